"""Builds the processes, and declares their commands."""
