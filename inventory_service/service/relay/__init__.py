"""The relay: publishes, trims, expires, archives and takes over, shard by shard."""
