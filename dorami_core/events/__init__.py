"""What happened: frozen classes, their codec, and the outbox that delivers them after the commit."""
