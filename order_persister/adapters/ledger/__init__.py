"""The ledger in PostgreSQL: its tables, its statements and its transactions."""
