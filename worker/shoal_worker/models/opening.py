"""A model store as a person opens it; used by notebooks and the CLI."""

from pathlib import Path

from shoal_worker.models.store import ModelStore
from shoal_worker.store.opening import open_place

_LIMIT = 1 << 40


def open_models(uri: str, credentials_dir: Path | None = None) -> ModelStore:
    """Open the store at `uri`; credentials are AWS_* variables and the like, or files of those names in a directory."""
    return ModelStore(*open_place(uri, credentials_dir), limit=_LIMIT)
