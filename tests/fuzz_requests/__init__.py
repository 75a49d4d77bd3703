"""Damaged requests against the worker's parser and answers: `make fuzz-requests`."""
