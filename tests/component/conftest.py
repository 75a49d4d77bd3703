"""What the component tests of streams share: a stored model, a NATS server, and streams of each test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.nats_server import NatsServer, run_nats
from tests.streaming import Stored, store_model
from tests.streams import Streams, open_streams


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return store_model(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with run_nats(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture
async def streams(server: NatsServer, request: pytest.FixtureRequest) -> AsyncIterator[Streams]:
    name = request.node.name.translate(str.maketrans("_[", "--", "]"))[:60]
    async with open_streams(server.url, name) as opened:
        yield opened
