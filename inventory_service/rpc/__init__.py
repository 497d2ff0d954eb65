"""The gRPC server: its calls, the validation of requests, messages, statuses and health."""
