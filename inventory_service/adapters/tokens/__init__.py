"""Verifies tokens: the room of PyJWT and cryptography."""
