"""What the persister does in PostgreSQL: reads and writes the books, each commit once."""
