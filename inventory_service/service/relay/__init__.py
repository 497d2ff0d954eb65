"""The relay: the keeping of every shard."""
