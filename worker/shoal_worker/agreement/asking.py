"""Asks the candidate to answer what stable answered, over HTTP; used by `comparing`.

Invariant: only one address is ever asked, that of the settings; an answer counts only if it says that it is of the
version and the digest that were expected, and it is read up to a limit. At most CALLS calls are under way at once.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import aiohttp
import numpy as np
from google.protobuf.message import DecodeError

from shoal_proto import inference_pb2 as pb
from shoal_worker.agreement.excerpt import Batch, join_excerpts
from shoal_worker.artifact.files import LabelArray
from shoal_worker.artifact.ranges import Flags
from shoal_worker.errors import ComparisonFailed, shorten
from shoal_worker.serving.inference import LABELS

CALLS = 2
OUT_OF_REACH = "out_of_reach"
"""An output that answers to comparisons have beside the labels, where the model knows its ranges: BOOL, [rows]."""
PROTOBUF = "application/x-protobuf"
VERSION_HEADER, DIGEST_HEADER = "Shoal-Version", "Shoal-Digest"

_MOST_BYTES = 1 << 20
_MOST_SPLITS = 256
"""Calls to find out which of some requests were refused; what is left in doubt is neither compared nor refused."""
_REFUSALS = (400, 500)
"""The request is wrong for that version, or too much for it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A version as the deployment numbers it, and the digest of its artifact."""

    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A batch with the candidate's labels, and its rows that are out of the candidate's reach, where it tells."""

    batch: Batch
    labels: LabelArray
    outside: Flags | None


@dataclass(frozen=True, slots=True)
class Replies:
    """What became of the requests: answered batches, and the number of requests that the candidate refused."""

    answered: tuple[Answered, ...]
    refused: int


class _Refused(Exception):  # noqa: N818 - a message between two functions, not an error
    """The candidate does not answer this batch."""


class CandidateClient:
    """The candidate behind one address."""

    def __init__(self, url: str) -> None:
        self._url = f"{url.rstrip('/')}/answer"
        # The address is a Service's, which leads elsewhere for the next candidate: no connection and no name is kept.
        connector = aiohttp.TCPConnector(limit=CALLS, force_close=True, use_dns_cache=False)
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60, connect=5))

    async def close(self) -> None:
        """Let the connections go."""
        await self._session.close()

    async def ask(self, excerpts: Sequence[pb.ModelInferRequest], expected: Identity) -> Replies:
        """Have all excerpts answered, or raise ComparisonFailed."""
        survey = _Survey(self, excerpts, expected)
        async with asyncio.TaskGroup() as group:
            for batch in join_excerpts(excerpts, range(len(excerpts))):
                group.create_task(survey.ask(batch))
        return Replies(tuple(survey.answered), survey.refused)

    async def answer(self, batch: Batch, expected: Identity) -> Answered:
        """Have one batch answered; _Refused where the candidate does not."""
        headers = {"Content-Type": PROTOBUF}
        try:
            async with self._session.post(
                self._url, data=batch.request.SerializeToString(), headers=headers, allow_redirects=False
            ) as response:
                content = await _read(response)
                status = response.status
                told = Identity(response.headers.get(VERSION_HEADER, ""), response.headers.get(DIGEST_HEADER, ""))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ComparisonFailed(
                "the candidate does not answer",
                reason="CandidateUnreachable",
                value=f"{type(error).__name__}: {error}",
                remedy="Wait until one of its pods is ready",
            ) from None
        if status != 200 and status not in _REFUSALS:
            _fail(f"the candidate answered with status {status}", content[:200].decode(errors="replace"))
        if told != expected:
            raise ComparisonFailed(
                f"another version answered than {expected.version} with {expected.digest}",
                reason="CandidateMismatch",
                value=f"{shorten(told.version, 20)} {shorten(told.digest, 80)}",
                remedy="Ask again when the preview Service leads to the candidate",
            )
        if status in _REFUSALS:
            raise _Refused
        return _read_answer(batch, content)


class _Survey:
    """The replies to one set of excerpts, as they come in."""

    def __init__(self, client: CandidateClient, excerpts: Sequence[pb.ModelInferRequest], expected: Identity) -> None:
        self._client = client
        self._excerpts = excerpts
        self._expected = expected
        self._turns = asyncio.Semaphore(CALLS)
        self._splits = _MOST_SPLITS
        self.answered: list[Answered] = []
        self.refused = 0

    async def ask(self, batch: Batch) -> None:
        """Have a batch answered, or its halves, so that one bad request costs no others."""
        try:
            async with self._turns:
                self.answered.append(await self._client.answer(batch, self._expected))
        except _Refused:
            middle = len(batch.members) // 2
            if not middle:
                self.refused += 1
                return
            for half in (batch.members[:middle], batch.members[middle:]):
                if self._splits:
                    self._splits -= 1
                    (part,) = join_excerpts(self._excerpts, half)
                    await self.ask(part)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body; one over the limit is cut, and is no answer then."""
    content = b""
    async for part in response.content.iter_chunked(64 << 10):
        content += part
        if len(content) > _MOST_BYTES:
            break
    return content


def _read_answer(batch: Batch, content: bytes) -> Answered:
    try:
        response = pb.ModelInferResponse.FromString(content)
    except DecodeError:
        _fail("the candidate's answer is no message", f"{len(content)} bytes")
    raw = dict(zip((output.name for output in response.outputs), response.raw_output_contents, strict=False))
    rows = sum(batch.rows)
    labels = np.frombuffer(raw.get(LABELS, b""), np.uint8)
    if len(labels) != 4 * rows:
        _fail(f"the candidate's answer does not have {rows} labels", f"{len(labels)} bytes")
    outside = np.frombuffer(raw.get(OUT_OF_REACH, b""), np.uint8)
    if OUT_OF_REACH in raw and len(outside) != rows:
        _fail(f"the candidate's answer does not have {rows} flags", f"{len(outside)} bytes")
    return Answered(batch, labels.view("<i4"), outside.astype(np.bool_) if OUT_OF_REACH in raw else None)


def _fail(message: str, value: str) -> NoReturn:
    raise ComparisonFailed(message, reason="CandidateUnreachable", value=value, remedy="See the candidate's log")
