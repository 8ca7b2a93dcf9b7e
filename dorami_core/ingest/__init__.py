"""How video comes in: the embedded RTMP server."""
