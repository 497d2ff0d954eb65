"""A whole flash sale on the embedded stack, with a crash in it, and the proof that the books agree."""
