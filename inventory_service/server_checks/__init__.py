"""Checks the servers' own settings against what Holdfast promises; `holdfast doctor` prints the results."""
