"""How to connect to a PostgreSQL database with the credentials of a mounted Secret; used by `data` and `results`.

Invariant: connecting fails fast, and a server that is gone is noticed within a minute. With a `ca.crt` in the Secret
the server must prove that it is the one of that name.
"""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

CREDENTIALS = {"PGUSER": "user", "PGPASSWORD": "password", "PGSSLMODE": "sslmode"}
_AUTHORITY = "ca.crt"
_SECRET_BYTES = 4 << 10
_OPTIONS = {
    "connect_timeout": "5",
    "keepalives_idle": "20",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
    "application_name": "shoal",
}


def connection_uri(uri: str, secret_dir: Path, options: Mapping[str, str] | None = None) -> str:
    """Complete postgresql://host:5432/database, which tells no user, by the credentials and by libpq's `options`."""
    found = dict(_OPTIONS)
    if (authority := secret_dir / _AUTHORITY).is_file():
        found |= {"sslmode": "verify-full", "sslrootcert": str(authority)}
    found |= read_credentials(secret_dir)
    return f"{uri}?{urlencode({**found, **(options or {})}, quote_via=quote)}"


def read_credentials(secret_dir: Path) -> dict[str, str]:
    """Read the credentials by libpq's names; each may be absent."""
    found = {}
    for key, option in CREDENTIALS.items():
        if (path := secret_dir / key).is_file():
            with path.open(encoding="utf-8", errors="replace") as stream:
                found[option] = stream.read(_SECRET_BYTES).strip()
    return found
