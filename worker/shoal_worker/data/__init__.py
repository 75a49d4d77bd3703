"""Training data and batches: from objects and databases to rows."""
