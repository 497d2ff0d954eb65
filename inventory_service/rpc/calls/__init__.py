"""The calls, a file for each purpose: each parses its request, calls the stock once, and writes its response."""
