"""`make demo`: the main path on a real cluster, told live."""
