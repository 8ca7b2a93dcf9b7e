"""How video goes out: packets, FLV, HLS and the PyAV workers."""
