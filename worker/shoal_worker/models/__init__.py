"""The model store: versions by number, their states, their files; self-describing and safe for writers at once."""
