"""What the processes of both services share: settings, start, end, retries, logs and metrics."""
