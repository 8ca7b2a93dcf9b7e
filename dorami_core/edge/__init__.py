"""Sockets of viewers: HTTP, WebSocket, Engine.IO, Socket.IO, rooms and back-pressure, over raw non-blocking sockets."""
