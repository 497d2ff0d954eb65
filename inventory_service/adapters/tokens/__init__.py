"""Verifies tokens by PyJWT and cryptography."""
