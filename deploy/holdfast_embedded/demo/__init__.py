"""A whole flash sale on the embedded stack: the persister is killed in it, and Redis and ledger are then compared."""
