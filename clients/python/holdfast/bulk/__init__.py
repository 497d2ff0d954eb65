"""Many Reserve requests at once: in batches, on streams, and single calls that are sent together."""
