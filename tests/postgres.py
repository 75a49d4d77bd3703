"""A real PostgreSQL server on a loopback port for tests: Debian's, run as an ordinary user over a temporary folder."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import adbc_driver_postgresql.dbapi
import pytest

_START_SECONDS = 30.0
_OWNER = "shoal"


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server with one database, and who may do all in it."""

    port: int
    password: str
    address: str = "127.0.0.1"

    @property
    def user(self) -> str:
        """Who may do all."""
        return _OWNER

    @property
    def place(self) -> str:
        """Where a client connects, without saying who it is."""
        return f"postgresql://{self.address}:{self.port}/postgres"

    def ask(self, statement: str) -> list[tuple[object, ...]]:
        """Run one statement and return its rows, if it has any."""
        uri = f"{self.place}?user={self.user}&password={self.password}"
        with (
            adbc_driver_postgresql.dbapi.connect(uri, autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for all tests of a session; each keeps to tables of its own."""
    with run_postgres() as server:
        yield server


@contextmanager
def run_postgres(address: str = "127.0.0.1") -> Iterator[PostgresServer]:
    """Run a server at an address of this machine until the end of the context."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="shoal-postgres-"))
    password = secrets.token_hex(8)
    (folder / "password").write_text(password)
    # The server refuses to run as root.
    nobody = pwd.getpwnam("nobody") if os.getuid() == 0 else None
    as_user: dict[str, object] = {}
    if nobody is not None:
        as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        for path in (folder, folder / "password"):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    with socket.socket() as probe:
        probe.bind((address, 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    process = None
    try:
        identity = ["-U", _OWNER, "-A", "scram-sha-256", "--pwfile", str(folder / "password")]
        subprocess.run(
            [programs / "initdb", "-D", data, *identity, "--no-sync", "-E", "UTF8", "--locale=C"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            env={"PATH": os.environ["PATH"]},
            **as_user,  # type: ignore[call-overload]
        )
        # Whoever reaches this address must know the password, as pods do that call by another one.
        (data / "pg_hba.conf").write_text("host all all all scram-sha-256\n")
        options = {"listen_addresses": address, "port": port, "unix_socket_directories": "", "fsync": "off"}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    programs / "postgres",
                    "-D",
                    data,
                    *(word for item in options.items() for word in ("-c", f"{item[0]}={item[1]}")),
                ],
                stdout=log,
                stderr=log,
                cwd=folder,
                env={"PATH": os.environ["PATH"]},
                **as_user,  # type: ignore[call-overload]
            )
        server = PostgresServer(port, password, address)
        _await_answer(server, process)
        yield server
    finally:
        if process is not None:
            process.terminate()
            process.wait(20)
        shutil.rmtree(folder)


def _programs() -> Path:
    """Where the server's programs lie; Debian keeps them out of the PATH."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "postgres").exists():
            return folder
    raise FileNotFoundError("there is no PostgreSQL: apt-get install postgresql")


def _await_answer(server: PostgresServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            server.ask("SELECT 1")
        except adbc_driver_postgresql.dbapi.Error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
        else:
            return
        time.sleep(0.05)
