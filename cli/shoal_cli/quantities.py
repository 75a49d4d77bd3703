"""Numbers and Kubernetes quantities as they are typed, and bytes as people read them; used by `explain` and tables.

>>> read_bytes("2Gi", "--memory"), read_cpus("1500m", "--cpus"), show_bytes(3 << 20)
(2147483648, 2, '3.0 MiB')
"""

from decimal import Decimal
from math import ceil

from shoal_cli.errors import UsageError
from shoal_operator.api.quantity import read_quantity


def read_bytes(text: str | None, field: str) -> int | None:
    """Return a quantity of memory in bytes."""
    return None if text is None else int(_positive(text, field, "2Gi or 500M"))


def read_cpus(text: str | None, field: str) -> int | None:
    """Return a quantity of CPUs in whole ones, rounded up, as the engine counts threads."""
    return None if text is None else ceil(_positive(text, field, "2 or 500m"))


def read_count(text: str, field: str) -> int:
    """Return a whole number above zero."""
    try:
        count = int(text)
    except ValueError:
        count = 0
    if not 0 < count < 2**63:
        raise UsageError("it is no whole number above zero", field=field, value=text, remedy="Write 5000 or 1_000_000")
    return count


def show_bytes(count: int) -> str:
    """Return bytes with a binary unit."""
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"


def _positive(text: str, field: str, examples: str) -> Decimal:
    value = read_quantity(text)
    if not 0 < value < 2**63:
        raise UsageError("it is no quantity above zero", field=field, value=text, remedy=f"Write {examples}")
    return value
