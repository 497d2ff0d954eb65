"""The calls of the client, a file for each purpose; `Client` puts them together."""
