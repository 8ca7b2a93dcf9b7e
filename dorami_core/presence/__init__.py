"""Who is watching: people, not sockets, over all processes."""
