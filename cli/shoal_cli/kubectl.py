"""`kubectl shoal`: the same program as a plugin of kubectl, and the completion that kubectl asks plugins for.

kubectl finds `kubectl-shoal` and `kubectl_complete-shoal` on the PATH. Invariant: nothing differs but the name in the
help; completion never fails loudly, for it runs at each press of a key.
"""

import os
import shlex
import sys
from contextlib import suppress

from shoal_cli.__main__ import app

_NO_FILES = ":4"
"""Directive of cobra's protocol: do not offer file names instead."""


def complete() -> int:
    """Print what may follow the words typed after `kubectl shoal`, the last of them unfinished."""
    words = sys.argv[1:] or [""]
    os.environ |= {
        "_SHOAL_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["shoal", *(shlex.quote(word) if word else "" for word in words)]),
        "COMP_CWORD": str(len(words)),
    }
    with suppress(SystemExit, Exception):
        app(args=[], prog_name="shoal")
    print(_NO_FILES)
    return 0
