"""Builds each process from its settings: its adapters, and the service that gets them."""
