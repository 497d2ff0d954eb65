"""The fake server of the client's unit tests, for clients that run as processes or take seconds."""

from tests.unit.clients.conftest import fake, hanging

__all__ = ["fake", "hanging"]
