"""`shoal models`: the versions of models, in a store or in a cluster."""
