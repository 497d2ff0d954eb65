"""What the persister does with commits, between its servers and its rules; it knows neither server by a library."""
