"""Carts whose items hold stock until a deadline."""
