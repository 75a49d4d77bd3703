"""A deployment on the cluster that a load drives up and down: calls by either router, and a stream."""
