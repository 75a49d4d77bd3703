"""The result store: what runs of batches made of their rows, as Parquet that tells by itself what it is."""
