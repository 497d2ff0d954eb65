"""The calls, a file an intention: each reads its request, asks the stock once, and writes its response."""
