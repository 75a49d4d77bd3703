"""Builds the operator's and the worker's images and brings them into the local cluster."""
