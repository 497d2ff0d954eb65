"""Checks the settings of the servers on which the promises depend."""
