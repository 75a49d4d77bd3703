"""Facts from files: a ClusteringModel's manifest, and a Parquet file's metadata; called by `explain`.

Invariant: of data nothing but the metadata is read, so the size of a file does not matter. A manifest is held to the
API's own types, so what `kubectl apply` would refuse is refused here in the same words.
"""

import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from shoal_cli.errors import ShoalError, UsageError
from shoal_cli.facts import Facts
from shoal_cli.quantities import read_bytes, read_cpus
from shoal_operator.api.meta import ResourceRequirements
from shoal_operator.api.model import ClusteringModelSpec

_LARGEST_MANIFEST = 3 << 20


def read_manifest(name: str) -> Facts:
    """Read the facts of the one ClusteringModel in a YAML or JSON file; - is standard input."""
    return model_facts(_find_model(name), "standard input:" if name == "-" else f"{name}:")


def model_facts(manifest: dict[str, Any], origin: str) -> Facts:
    """Return what a ClusteringModel tells before it is trained."""
    try:
        spec = ClusteringModelSpec.model_validate(manifest.get("spec"))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(["spec", *(str(part) for part in problem["loc"])])
        value = problem["input"] if isinstance(problem["input"], str | int | float) else None
        raise UsageError(
            problem["msg"].removeprefix("Value error, "),
            field=f"{origin} {place}",
            value=value,
            remedy="Correct it; `kubectl explain cmodel.spec` describes the fields",
        ) from None
    if spec.recipe is None:
        raise UsageError(
            "an imported model is not trained, so there is no plan to explain",
            field=f"{origin} spec.artifact",
            remedy="Give a model with source and algorithm",
        )
    source, algorithm = spec.recipe
    names = tuple(source.columns) if source.columns else None
    if names is None and algorithm.metric == "haversine":
        columns: int | None = 2
    else:
        columns = len(names) if names else None
    return Facts(
        columns=columns,
        names=names,
        metric=algorithm.metric,
        adaptive=algorithm.adaptive_dbscan is not None,
        steps=tuple(spec.preprocessing),
        memory=read_bytes(_limit(spec.training.resources, "memory"), f"{origin} spec.training.resources.limits.memory"),
        cpus=spec.training.plan.threads
        or read_cpus(_limit(spec.training.resources, "cpu"), f"{origin} spec.training.resources.limits.cpu"),
    )


def read_parquet(name: str, names: tuple[str, ...] | None) -> Facts:
    """Read rows and columns from a Parquet file's footer: the named columns, else the numeric ones."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(name)
    if not path.is_file():
        raise ShoalError(
            "there is no such file",
            field="WHAT",
            value=name,
            remedy="Name a Parquet file, or give --rows and --columns",
        )
    try:
        metadata, schema = pq.read_metadata(path), pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise ShoalError(
            f"it cannot be read as Parquet: {str(error).splitlines()[0][:200]}",
            field="WHAT",
            value=name,
            remedy="Name a Parquet file; of other formats tell --rows and --columns",
        ) from None
    if missing := [each for each in names or () if each not in schema.names]:
        raise UsageError(
            f"{name} has no such column; it has {', '.join(schema.names[:20])}",
            field="spec.source.columns",
            value=missing[0],
            remedy="Correct the model or the file",
        )
    types = [schema.field(each).type for each in names or schema.names]
    numeric = [each for each in types if pa.types.is_integer(each) or pa.types.is_floating(each)]
    narrow = bool(numeric) and all(each == pa.float32() for each in numeric)
    return Facts(rows=metadata.num_rows, columns=len(numeric), dtype="float32" if narrow else "float64")


def _find_model(name: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read(_LARGEST_MANIFEST) if name == "-" else Path(name).read_text(encoding="utf-8")
        documents = [each for each in yaml.safe_load_all(text) if isinstance(each, dict)]
    except (OSError, UnicodeDecodeError) as error:
        raise ShoalError(
            f"it cannot be read: {error}", field="--filename", value=name, remedy="Check the path"
        ) from None
    except yaml.YAMLError as error:
        where = str(error).replace("\n", " ")[:200]
        raise UsageError(
            f"it is not YAML: {where}", field="--filename", value=name, remedy="Correct the file"
        ) from None
    models = [each for each in documents if each.get("kind") == "ClusteringModel"]
    if len(models) != 1:
        kinds = ", ".join(str(each.get("kind")) for each in documents[:8]) or "nothing"
        raise UsageError(
            f"it must hold exactly one ClusteringModel, and holds {kinds}",
            field="--filename",
            value=name,
            remedy="Name the file of one ClusteringModel",
        )
    return models[0]


def _limit(resources: ResourceRequirements, name: str) -> str | None:
    return resources.limits.get(name)
