"""Where the files of a run lie, by names that can lead nowhere else; used all over `results`.

    <output>/<namespace>/<batch>/<run>/plan.json                        what the run does; written first
                                       part-00000-<16 hex>.parquet      rows of one part, named by their sha256
                                       part-00000.json                  the part's record; the part is there with it
                                       manifest.json                    the whole run; it is complete with it

Invariant: a part's rows are named by their content, so a file is never replaced by another one. Pure.
"""

import re
from typing import NamedTuple

from shoal_worker.errors import SettingsInvalid
from shoal_worker.models.record import model_key
from shoal_worker.store.objects import Location

PLAN_NAME = "plan.json"
MANIFEST_NAME = "manifest.json"
MOST_PARTS = 10_000
ROWS_NAME = re.compile(r"part-(\d{5})-[0-9a-f]{16}\.parquet")
RECORD_NAME = re.compile(r"part-(\d{5})\.json")

_RUN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,126}[a-z0-9])?")


class BatchKey(NamedTuple):
    """The batch, or the stream, that runs belong to."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Namespace and name as people write them."""
        return f"{self.namespace}/{self.name}"


class RunKey(NamedTuple):
    """One run of a batch."""

    batch: BatchKey
    run: str

    def __str__(self) -> str:
        """Namespace, batch and run as people write them."""
        return f"{self.batch}/{self.run}"


def batch_key(namespace: str, name: str) -> BatchKey:
    """Check the names; they become folders of the store. No namespace is the namespace default."""
    return BatchKey(*model_key(namespace, name))


def run_key(namespace: str, name: str, run: str) -> RunKey:
    """Check the names.

    >>> str(run_key("demo", "nightly", "20260501-1a2b3c"))
    'demo/nightly/20260501-1a2b3c'
    """
    batch = batch_key(namespace, name)
    if not is_run_name(run):
        raise SettingsInvalid(
            "it must be of at most 128 lower-case letters, digits, '-' and '.'",
            field="run",
            value=run,
            remedy="Name it as `shoal results ls` does",
        )
    return RunKey(batch, run)


def is_run_name(text: str) -> bool:
    """Tell whether a folder can be a run's."""
    return _RUN.fullmatch(text) is not None and ".." not in text


def batch_folder(base: Location, key: BatchKey) -> Location:
    """Where all runs of a batch lie."""
    return base.child(key.namespace).child(key.name)


def run_folder(base: Location, key: RunKey) -> Location:
    """Where one run lies."""
    return batch_folder(base, key.batch).child(key.run)


def rows_name(part: int, sha256: str) -> str:
    """Name the Parquet file of a part.

    >>> rows_name(7, "1f" * 32)
    'part-00007-1f1f1f1f1f1f1f1f.parquet'
    """
    return f"part-{part:05d}-{sha256[:16]}.parquet"


def record_name(part: int) -> str:
    """Name the record of a part.

    >>> record_name(7)
    'part-00007.json'
    """
    return f"part-{part:05d}.json"
