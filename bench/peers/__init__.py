"""Peers that a bench runs beside ours, under the same load."""
