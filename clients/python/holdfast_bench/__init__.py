"""Puts loads of Reserve calls on a server: the shapes, what runs them with ghz, and the command `holdfast bench`."""
