"""The calls, a file for each purpose: each parses its request, asks the stock or a service, and writes its response."""
