"""Broadcasts kept as files: written while they run, listed, given out, and in the end removed, never unannounced."""
