"""What the persister hears and says on Kafka."""
