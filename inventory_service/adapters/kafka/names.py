"""What topics and consumer groups are called, and how large a record may be."""

COMMITS = "holdfast.commits.v1"
PROGRESS = "holdfast.ledger-progress.v1"
COMPENSATIONS = "holdfast.compensations.v1"
ORDERS = "holdfast.orders.v1"
PERSISTER_GROUP = "holdfast-persister"
COMPENSATOR_GROUP = "holdfast-compensator"
LARGEST_RECORD = 8 * 1024 * 1024  # a run is 256 KiB, but a single commit is never cut
