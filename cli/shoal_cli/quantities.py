"""Numbers and Kubernetes quantities as they are typed, and bytes as people read them; used by `explain` and tables.

>>> read_bytes("2Gi", "--memory"), read_cpus("1500m", "--cpus"), show_bytes(3 << 20)
(2147483648, 2, '3.0 MiB')
"""

import re
from decimal import Decimal
from math import ceil

from shoal_cli.errors import UsageError

_QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:([KMGTPE])i|([numkMGTPE]?)|[eE]([+-]?\d{1,3}))")
_POWERS = {prefix: power for power, prefix in enumerate("KMGTPE", start=1)}
_SCALES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


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
    value = _parse(text)
    if not 0 < value < 2**63:
        raise UsageError("it is no quantity above zero", field=field, value=text, remedy=f"Write {examples}")
    return value


def _parse(text: str) -> Decimal:
    """Return the value of a quantity in the API's own grammar; 0 for anything else."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return Decimal(0)
    digits, binary, decimal, exponent = match.groups()
    if binary:
        return Decimal(digits) * (1 << 10 * _POWERS[binary])
    return Decimal(digits).scaleb(int(exponent) if exponent else _SCALES[decimal])
