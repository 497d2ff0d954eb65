"""The `holdfast` command: calls a server, and starts the processes of the service."""
