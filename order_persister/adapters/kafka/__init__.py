"""The persister's side of Kafka: consuming commits, producing what is published, recovering from errors."""
