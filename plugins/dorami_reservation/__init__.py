"""The waitlist: who comes after the last unit, in the order in which the server committed them."""
