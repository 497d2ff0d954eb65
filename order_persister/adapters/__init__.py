"""Kafka and PostgreSQL as the persister uses them."""
