"""The persister's rules, without I/O: which commits are accepted, what they add up to, and which orders are refused."""
