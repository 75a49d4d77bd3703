"""A model store as a person opens it: by its URI, with the environment's credentials; used by notebooks and the CLI.

Invariant: of a file:// store nothing outside its own folder is touched.
"""

import os
from pathlib import Path

from shoal_worker.models.store import ModelStore
from shoal_worker.store.objects import open_store, parse_uri

_LIMIT = 1 << 40


def open_models(uri: str, credentials_dir: Path | None = None) -> ModelStore:
    """Open the store at `uri`; credentials are AWS_* variables and the like, or files of those names in a directory."""
    location = parse_uri(uri, "store")
    store, base = open_store(
        uri,
        field="store",
        secret_dir=credentials_dir or Path(os.devnull),
        file_root=Path("/" + location.path) if location.scheme == "file" else Path("/"),
    )
    store.check_reachable()
    return ModelStore(store, base, limit=_LIMIT)
