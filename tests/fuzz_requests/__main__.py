"""`make fuzz-requests`: damaged requests, a million unless told otherwise, against the parser and the answers.

Each case is made from its number: `python -m tests.fuzz_requests --first N --cases 1` repeats one.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import os
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random

from shoal_worker.log import configure_logging
from tests.fuzz_requests.judging import ALLOWED, outcome_of
from tests.fuzz_requests.mutating import mutate
from tests.fuzz_requests.targets import make_targets

BLOCK = 20_000
WARM_UP = 5_000
MOST_GROWTH = 0.05
MOST_FAILURES = 20


def main() -> int:
    """Run the cases; 1 if one of them failed or the memory grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_requests", description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    arguments = parser.parse_args()
    # Says where, if the process itself dies.
    faulthandler.enable()
    configure_logging("error")
    targets = make_targets()
    random = Random()

    def run(case: int) -> str | None:
        random.seed(case)
        target = targets[case % len(targets)]
        content = mutate(random, random.choice(target.requests), random.choice(target.requests))
        try:
            code = outcome_of(target.model, content)
        except Exception:
            print(f"case {case}: {content.hex()}\n{traceback.format_exc()}", file=sys.stderr)
            return None
        if code not in ALLOWED:
            print(f"case {case}: {code}: {content.hex()}", file=sys.stderr)
            return None
        return code

    for case in range(min(WARM_UP, arguments.cases)):
        run(case)
    before, began = resident_mib(), time.monotonic()
    codes: Counter[str] = Counter()
    failures = 0
    last = arguments.first + arguments.cases
    for start in range(arguments.first, last, BLOCK):
        for case in range(start, min(start + BLOCK, last)):
            code = run(case)
            if code is None:
                failures += 1
            else:
                codes[code] += 1
        print(f"{min(start + BLOCK, last):,} cases, {time.monotonic() - began:.0f} s, {failures} failed", flush=True)
        if failures >= MOST_FAILURES:
            break
    grown = resident_mib() / before - 1
    told = ", ".join(f"{count:,} {code}" for code, count in codes.most_common())
    print(f"{told}; {failures} failed; memory {before:.0f} MiB, {grown:+.1%}")
    return int(failures > 0 or grown > MOST_GROWTH)


def resident_mib() -> float:
    """Memory of this process, once what nobody holds is given back."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


if __name__ == "__main__":
    sys.exit(main())
