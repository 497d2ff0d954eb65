"""What the persister decides, without I/O: which commits follow, what they come to, and who is refused."""
