"""The Shoal worker: one image, several verbs (`serve`, `train`); see `docs/worker.md`."""

__version__ = "0.1.0"
