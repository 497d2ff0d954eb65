"""The stock in memory as watches, lists and audits read it."""
