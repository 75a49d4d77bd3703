"""Object stores: reading, writing, the verified cache of a node, and what failures mean."""
