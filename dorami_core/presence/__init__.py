"""Who is watching: people, not sockets."""
