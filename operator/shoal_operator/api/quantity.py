"""Reads quantities of the Kubernetes API, such as 500m and 2Gi.

Called by core.scaling, runtime.loads and the command line. Invariant: any text gives an answer, none raises.
"""

from __future__ import annotations

import re
from decimal import Decimal

_QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:([KMGTPE])i|([numkMGTPE]?)|[eE]([+-]?\d{1,3}))")
_POWERS = {prefix: power for power, prefix in enumerate("KMGTPE", start=1)}
_SCALES = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


def read_quantity(text: str) -> Decimal:
    """Return the value of a quantity in the API's own grammar; 0 for anything else.

    >>> read_quantity("1500m"), read_quantity("2Ki"), read_quantity("1e3"), read_quantity("much")
    (Decimal('1.500'), Decimal('2048'), Decimal('1E+3'), Decimal('0'))
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return Decimal(0)
    digits, binary, decimal, exponent = match.groups()
    if binary:
        return Decimal(digits) * (1 << 10 * _POWERS[binary])
    return Decimal(digits).scaleb(int(exponent) if exponent else _SCALES[decimal])
