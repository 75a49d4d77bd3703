"""`shoal results`: the runs of batches in a result store, and questions to their rows."""
