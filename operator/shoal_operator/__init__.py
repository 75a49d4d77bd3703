"""The Shoal operator: api (types) < core (pure decisions) < runtime (I/O) < handlers, app (composition)."""

__version__ = "0.1.0"
