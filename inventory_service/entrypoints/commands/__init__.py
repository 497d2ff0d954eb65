"""What an operator runs once: it ends by itself, with an exit code."""
