"""Messages of a live room: sending, history, moderation."""
