"""An artifact's bytes from wherever it lies: a store, a web server or a registry; called by `job` and the command line.

Invariant: the model's bytes go to a file and are mapped, so memory does not grow with them; nothing is trusted until
`verify_artifact` has held it against the digest.
"""

import asyncio
import tempfile
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

from yarl import URL

from shoal_worker.artifact.files import ArtifactFiles
from shoal_worker.artifact.manifest import MANIFEST_LIMIT, MANIFEST_NAME, MODEL_NAME
from shoal_worker.errors import SettingsInvalid
from shoal_worker.importing.hosts import FIELD, AllowedHosts
from shoal_worker.importing.registry import fetch_image
from shoal_worker.importing.web import Credentials, Web, read_web_credentials
from shoal_worker.store.objects import open_store


def fetch_artifact(
    uri: str, *, allowed_hosts: tuple[str, ...], secret_dir: Path, file_root: Path, limit: int
) -> ArtifactFiles:
    """Fetch the two files of an artifact."""
    scheme = uri.partition("://")[0]
    with tempfile.TemporaryFile() as stream:
        if scheme in ("https", "oci", "http"):
            allowed = AllowedHosts(frozenset(allowed_hosts))
            credentials = read_web_credentials(secret_dir)
            manifest = asyncio.run(_fetch(uri, allowed, credentials, limit, stream))
        else:
            store, folder = open_store(uri, field=FIELD, secret_dir=secret_dir, file_root=file_root)
            manifest = store.read(folder.child(MANIFEST_NAME), MANIFEST_LIMIT)
            for chunk in store.read_chunks(folder.child(MODEL_NAME), limit):
                stream.write(chunk)
        stream.flush()
        model = mmap(stream.fileno(), 0, access=ACCESS_READ) if stream.tell() else b""
        return ArtifactFiles(manifest, model)


async def _fetch(uri: str, allowed: AllowedHosts, credentials: Credentials, limit: int, stream: BinaryIO) -> bytes:
    async with Web(allowed, credentials) as web:
        if uri.startswith("oci://"):
            return await fetch_image(uri, web, allowed, credentials, limit, stream)
        try:
            folder = URL(uri)
        except ValueError:
            raise SettingsInvalid("it is no URL", field=FIELD, value=uri, remedy="Use https://host/folder") from None
        manifest = await web.read(folder / MANIFEST_NAME, MANIFEST_LIMIT, credentials.header)
        await web.save(folder / MODEL_NAME, limit, credentials.header, stream)
        return manifest
