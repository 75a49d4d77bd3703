"""The columns of results: which row, its label and cluster, how near, and input columns that were asked for.

Invariant: a name means one thing. Pure.
"""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from shoal_worker.errors import SettingsInvalid
from shoal_worker.results.record import ResultColumn

MESSAGE_ID, SENDER_ID, SEQUENCE = "message_id", "sender_id", "sequence"
VERSION, DIGEST, LABELLED_AT = "version", "digest", "labelled_at"
FILE, ROW, LABEL, CLUSTER_ID, DISTANCE, STRENGTH = "file", "row", "label", "cluster_id", "distance", "strength"
NOISE = -1

FILE_ROW = (pa.field(FILE, pa.string(), nullable=False), pa.field(ROW, pa.int64(), nullable=False))
"""How a row is told apart where no input columns do: its file's URI and its number in it, from 0 on."""
MESSAGE_ROW = (
    pa.field(MESSAGE_ID, pa.string(), nullable=False),
    pa.field(SENDER_ID, pa.string()),
    pa.field(SEQUENCE, pa.int64(), nullable=False),
    pa.field(ROW, pa.int64(), nullable=False),
)
"""How a row of a stream is told apart: by its message and its number in it, from 0 on. Of the message there are our id,
which depends on its place in the stream only, the Nats-Msg-Id of its sender if it has one, and its number."""


def result_schema(
    *,
    row_id: Iterable["pa.Field[Any]"] = FILE_ROW,
    carried: Iterable["pa.Field[Any]"] = (),
    strength: bool = False,
    distance: pa.DataType | None = None,
) -> pa.Schema:
    """Build the schema of results: row_id, label, cluster_id, distance, strength if the model has it, carried.

    row_id, carried: input columns keep their own types. distance: float32 or float64, float64 unless told. Raises
    SettingsInvalid where two columns have one name.
    """
    own = [
        pa.field(LABEL, pa.int32(), nullable=False),
        pa.field(CLUSTER_ID, pa.int64(), nullable=False),
        pa.field(DISTANCE, distance or pa.float64()),
        *([pa.field(STRENGTH, pa.float32())] if strength else []),
    ]
    row_id, carried = tuple(row_id), tuple(carried)
    given = [*row_id, *carried]
    names = [field.name for field in own]
    for field in given:
        if names.count(field.name) or [each.name for each in given].count(field.name) > 1:
            raise SettingsInvalid(
                f"two columns of the results would have this name; {', '.join(names)} are its own",
                field="spec.output.columns",
                value=field.name,
                remedy="Leave the column out, or give it another name in the input",
            )
    return pa.schema([*row_id, *own, *carried])


STREAM_SCHEMA = result_schema(
    row_id=MESSAGE_ROW,
    carried=(
        pa.field(VERSION, pa.int64(), nullable=False),
        pa.field(DIGEST, pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field(LABELLED_AT, pa.timestamp("ms", tz="UTC"), nullable=False),
    ),
    strength=True,
    distance=pa.float32(),
)
"""The columns of every stream, whatever the model, so that runs of several versions make one table."""


def columns_of(schema: pa.Schema) -> tuple[ResultColumn, ...]:
    """Tell a schema as plan and manifest do."""
    return tuple(ResultColumn(name=field.name, type=str(field.type)) for field in schema)
