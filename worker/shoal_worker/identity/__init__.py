"""Public cluster ids that stay the same over a model's versions, and the report of what became of each cluster."""
