"""The probes of a model, raw rows, as tensors and back; used by `files`.

Invariant: a text of the training data is one of its column's categories or missing, so a number stands for it: its
place among them, or -1. No text lies outside the manifest.
"""

import numpy as np

from shoal_worker.data.frame import Frame
from shoal_worker.errors import ArtifactInvalid
from shoal_worker.preprocessing.preprocessor import Preprocessor
from shoal_worker.preprocessing.records import OneHotRecord

Codes = np.ndarray[tuple[int, int], np.dtype[np.int32]]


def encode_texts(preprocessor: Preprocessor, probes: Frame) -> Codes:
    """One row for each probe, one column for each text column, in the schema's order."""
    categories = _categories(preprocessor)
    codes: Codes = np.full((probes.rows, len(preprocessor.texts)), -1, dtype="<i4")
    for column, name in enumerate(preprocessor.texts):
        places = {text: place for place, text in enumerate(categories[name])}
        codes[:, column] = [places.get(text, -1) for text in probes.texts[name].tolist()]
    return codes


def decode_probes(preprocessor: Preprocessor, numbers: np.ndarray, codes: np.ndarray | None) -> Frame:
    """The raw rows; ArtifactInvalid for a code that stands for nothing."""
    texts = {}
    for column, name in enumerate(preprocessor.texts):
        assert codes is not None, "the manifest's tensors were checked"  # noqa: S101
        known = np.array([*_categories(preprocessor)[name], None], dtype=object)
        places = codes[:, column]
        if ((places < -1) | (places >= len(known) - 1)).any():
            raise ArtifactInvalid(
                "a probe holds no category", field="probe_texts", value=name, remedy="Train the model again"
            )
        texts[name] = known[places]
    return Frame(preprocessor.columns, numbers, texts)


def _categories(preprocessor: Preprocessor) -> dict[str, tuple[str, ...]]:
    return {
        column.column: column.texts
        for record in preprocessor.records
        if isinstance(record, OneHotRecord)
        for column in record.columns
        if column.texts is not None
    }
