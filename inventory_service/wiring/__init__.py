"""Builds each process from settings: its adapters, handed to its entry point."""
