"""Several server processes on one address, under a supervisor that serves their metrics and health as one page."""
