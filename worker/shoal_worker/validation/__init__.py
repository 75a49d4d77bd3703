"""Does a trained version do what it should? The tests, the limits, and how it compares with the last good one."""
