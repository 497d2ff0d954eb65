"""What the processes do, between gRPC and the adapters; knows no library but structlog."""
