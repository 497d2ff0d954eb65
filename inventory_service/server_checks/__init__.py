"""What the servers must be set to, and whether they are."""
