"""Users, sign-in, tokens, address encryption."""
