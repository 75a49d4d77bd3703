"""The engine against its peers: same arrays, one process each, time, memory, labels. Run by `make bench-engine`."""
