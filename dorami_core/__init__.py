"""Dorami: live commerce for one-person sellers."""
