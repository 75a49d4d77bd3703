"""A store as a person opens it: by its URI, with the environment's credentials; used by notebooks and the CLI.

Invariant: of a file:// store nothing outside its own folder is touched; a store that does not answer is told at once.
"""

import os
from pathlib import Path

from shoal_worker.store.objects import Location, Store, open_store, parse_uri


def open_place(uri: str, credentials_dir: Path | None = None) -> tuple[Store, Location]:
    """Open the place at `uri`; credentials are AWS_* variables and the like, or files of those names in a directory."""
    location = parse_uri(uri, "store")
    store, base = open_store(
        uri,
        field="store",
        secret_dir=credentials_dir or Path(os.devnull),
        file_root=Path("/" + location.path) if location.scheme == "file" else Path("/"),
    )
    store.check_reachable()
    return store, base
