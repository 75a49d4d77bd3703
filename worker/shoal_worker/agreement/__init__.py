"""How far stable and candidate agree on the same recent requests: kept, answered by both, told as aggregates only."""
