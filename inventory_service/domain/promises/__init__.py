"""What the promises rest on outside of this service: settings of Redis, Kafka and Postgres, judged one by one."""
