"""GET over https, for artifacts and registries; used by `sources` and `registry`.

Invariant: every host on the way is allowed, redirects among them; no more bytes are read than were asked for; a secret
is sent to the host it is meant for and to no other, and is in no error.
"""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import aiohttp
from yarl import URL

from shoal_worker.errors import ArtifactInvalid, CredentialsRejected, ObjectMissing, StoreUnavailable
from shoal_worker.importing.hosts import FIELD, AllowedHosts, CheckedResolver

_REDIRECTS = 5
_CHUNK_BYTES = 1 << 20
_SECRET_BYTES = 64 << 10
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=30)
_MOVED = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the Secret holds: a token, or user and password, and the certificate authority of a private host."""

    username: str = ""
    password: str = ""
    token: str = ""
    ca: str = ""

    @property
    def header(self) -> dict[str, str]:
        """The header that tells a host who asks."""
        if self.token:
            return {"Authorization": f"Bearer {self.token}"}
        if self.username:
            return {"Authorization": aiohttp.encode_basic_auth(self.username, self.password)}
        return {}


def read_web_credentials(directory: Path) -> Credentials:
    """Read username, password, token and ca.crt of a mounted Secret; each may be absent."""

    def read(name: str) -> str:
        path = directory / name
        if not path.is_file():
            return ""
        with path.open(encoding="utf-8", errors="replace") as stream:
            return stream.read(_SECRET_BYTES).strip()

    return Credentials(read("username"), read("password"), read("token"), read("ca.crt"))


class Web:
    """A client for the time of one import."""

    def __init__(self, allowed: AllowedHosts, credentials: Credentials) -> None:
        self._allowed = allowed
        self._trust = ssl.create_default_context()
        if credentials.ca:
            self._trust.load_verify_locations(cadata=credentials.ca)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the connections' pool."""
        connector = aiohttp.TCPConnector(resolver=CheckedResolver(self._allowed), ssl=self._trust, limit=4)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=_TIMEOUT, auto_decompress=False, headers={"Accept-Encoding": "identity"}
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        assert self._session is not None  # noqa: S101, for the type checker
        await self._session.close()

    @asynccontextmanager
    async def ask(self, url: URL, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask and follow redirects; the answer may be any but a redirect."""
        assert self._session is not None  # noqa: S101, for the type checker
        sent = dict(headers)
        for _ in range(_REDIRECTS + 1):
            self._allowed.check(url)
            try:
                async with self._session.get(url, headers=sent, allow_redirects=False) as response:
                    if response.status not in _MOVED:
                        yield response
                        return
                    target = url.join(URL(response.headers.get("Location", "")))
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise StoreUnavailable(
                    f"{url.host} cannot be reached: {type(error).__name__}",
                    reason="SourceUnreadable",
                    field=FIELD,
                    value=shown(url),
                    remedy="Check the host, the network policy and the certificate",
                ) from None
            if target.origin() != url.origin():
                sent.pop("Authorization", None)
            url = target
        raise ArtifactInvalid("there are too many redirects", field=FIELD, value=shown(url), remedy="Correct the URI")

    async def read(self, url: URL, limit: int, headers: Mapping[str, str]) -> bytes:
        """Read a whole answer of at most `limit` bytes."""
        async with self.ask(url, headers) as response:
            check_answer(response, url)
            return b"".join([chunk async for chunk in _chunks(response, url, limit)])

    async def save(self, url: URL, limit: int, headers: Mapping[str, str], target: BinaryIO) -> None:
        """Write an answer of at most `limit` bytes to a file."""
        async with self.ask(url, headers) as response:
            check_answer(response, url)
            async for chunk in _chunks(response, url, limit):
                target.write(chunk)


def check_answer(response: aiohttp.ClientResponse, url: URL) -> None:
    """Raise a StoreError unless there is what was asked for."""
    if response.status == 200:
        return
    if response.status in (401, 403):
        raise CredentialsRejected(
            f"{url.host} refused access with {response.status}",
            field=FIELD,
            value=shown(url),
            remedy="Check username and password, or token, in the Secret of spec.artifact.secretRef",
        )
    if response.status in (404, 410):
        raise ObjectMissing(
            "there is no such object",
            reason="SourceUnreadable",
            field=FIELD,
            value=shown(url),
            remedy="Check the URI",
        )
    raise StoreUnavailable(
        f"{url.host} answered {response.status}",
        reason="SourceUnreadable",
        field=FIELD,
        value=shown(url),
        remedy="Check the host's health",
        transient=response.status >= 500 or response.status == 429,
    )


def shown(url: URL) -> str:
    """A URL without what may be secret in it."""
    return str(url.with_user(None).with_query(None).with_fragment(None))


async def _chunks(response: aiohttp.ClientResponse, url: URL, limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        size += len(chunk)
        if size > limit:
            raise ArtifactInvalid(
                f"it has more bytes than the limit of {limit}",
                field=FIELD,
                value=shown(url),
                remedy="Raise SHOAL_MAX_ARTIFACT_BYTES or import a smaller model",
            )
        yield chunk
