"""The `holdfast` command: asks a server as a person would, and starts the processes of the service."""
