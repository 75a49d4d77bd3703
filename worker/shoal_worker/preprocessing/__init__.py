"""From raw columns to the numbers that are clustered: fitted once in training, applied the same way everywhere."""
