"""File formats: each opens one file, names its splittable units and reads them as record batches."""
