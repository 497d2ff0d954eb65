"""The server: calls in, answers out."""
