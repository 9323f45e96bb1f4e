"""ZeroMQ sockets and nothing else: frames in, frames out; nothing here blocks."""
