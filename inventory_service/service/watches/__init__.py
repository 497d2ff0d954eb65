"""Watches of sales and reservations: each shard is polled once for all of them, and news are sent within a budget."""
