"""Shoal's scaler against the rules of others, on loads that are replayed second by second."""
