"""The model store: versions by number, their states, their files; self-describing and safe for writers at once.

In a notebook: `from shoal_worker.models import push, export`.
"""

from shoal_worker.models.notebook import export, push

__all__ = ["export", "push"]
