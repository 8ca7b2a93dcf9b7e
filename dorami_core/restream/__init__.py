"""Sending a broadcast on to other platforms: targets, and one supervised worker process for each that runs."""
