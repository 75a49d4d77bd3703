"""`shoal models` that changes: push, retire, archive, unarchive, delete, label, rebuild.

Invariant: in a cluster only the user's wish is written, an annotation that the operator acts on; in a store the change
is made. Nothing tells a store what is served, so there, what takes files away is confirmed.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from shoal_cli.cluster import Cluster
from shoal_cli.errors import UsageError
from shoal_cli.models.options import (
    CredentialsOption,
    ModelArgument,
    NamespaceOption,
    NeededStore,
    StoreOption,
    VersionArgument,
    open_store,
    read_key,
    read_labels,
    read_version,
    working,
)
from shoal_cli.options import ContextOption

if TYPE_CHECKING:
    from shoal_worker.models.record import State

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def push(
    directory: Annotated[Path, typer.Argument(help="Directory with manifest.json and model.safetensors.")],
    name: Annotated[str, typer.Option("--name", help="Name of the model.")],
    store: NeededStore,
    credentials_dir: CredentialsOption = None,
    namespace: NamespaceOption = None,
    label: Annotated[list[str] | None, typer.Option("--label", "-l", help="name=value; repeatable.")] = None,
    card_points: Annotated[
        bool, typer.Option("--card-points/--no-card-points", help="Whether its card may show core samples.")
    ] = True,
) -> None:
    """Store an artifact as a version: its probes are tested first. `shoal_worker.models.export` writes a directory."""
    from shoal_worker.artifact.files import verify_artifact
    from shoal_worker.artifact.manifest import MANIFEST_NAME, MODEL_NAME, digest_of
    from shoal_worker.card.making import keep_card
    from shoal_worker.card.sketch import sketch_artifact
    from shoal_worker.importing.sources import fetch_artifact
    from shoal_worker.models.record import Draft
    from shoal_worker.models.reporting import judge_imported, report_of
    from shoal_worker.resources import this_machine
    from shoal_worker.spec.validation import ValidationSpec

    if not all((directory / each).is_file() for each in (MANIFEST_NAME, MODEL_NAME)):
        raise UsageError(
            f"it is no directory with {MANIFEST_NAME} and {MODEL_NAME}. A pickled estimator is never read, because "
            "reading one runs code that is in it",
            field="DIRECTORY",
            value=directory,
            remedy="Where the estimator was fitted, call shoal_worker.models.export(estimator, X, directory)",
        )
    place = directory.resolve()
    labels = read_labels(label or [], "--label")
    with working("Testing and storing"):
        key = read_key(name, namespace)
        models = open_store(store, credentials_dir)
        files = fetch_artifact(f"file://{place}", allowed_hosts=(), secret_dir=place, file_root=place, limit=1 << 40)
        artifact = verify_artifact(files, digest_of(files.manifest))
        judged = judge_imported(artifact, ValidationSpec(), this_machine())
        report = report_of(files, artifact.manifest, judged, models.artifact_uri(files.digest))
        draft = Draft(
            f"push-{files.digest.removeprefix('sha256:')[:8]}",
            files.digest,
            report,
            labels=labels,
            source=f"pushed from the directory {place.name}",
            card_points=card_points,
        )
        record = models.save(key, draft, files)
        keep_card(models, key, record, lambda: sketch_artifact(artifact, show_points=record.card_points))
    print(f"{key} version {record.number}, {'passed' if record.passed else 'REJECTED by its validation'}")


def retire(
    model: ModelArgument,
    version: VersionArgument,
    store: StoreOption = None,
    credentials_dir: CredentialsOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
) -> None:
    """Let a version be the latest no more; its files stay."""
    _change(model, version, "Retired", store, credentials_dir, namespace, context)


def archive(
    model: ModelArgument,
    version: VersionArgument,
    store: StoreOption = None,
    credentials_dir: CredentialsOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    yes: YesOption = False,
) -> None:
    """Move a version's files to the archive; `unarchive` brings them back."""
    if store is not None:
        _confirm(f"No worker can load version {version} of {model} while it is archived. Archive it?", yes)
    _change(model, version, "Archived", store, credentials_dir, namespace, context)


def unarchive(
    model: ModelArgument,
    version: VersionArgument,
    store: StoreOption = None,
    credentials_dir: CredentialsOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
) -> None:
    """Bring a retired or archived version back, its files verified, so that it can be served."""
    _change(model, version, "Active", store, credentials_dir, namespace, context)


def delete(
    model: ModelArgument,
    version: VersionArgument,
    store: NeededStore,
    credentials_dir: CredentialsOption = None,
    namespace: NamespaceOption = None,
    yes: YesOption = False,
) -> None:
    """Delete a version's files from the store for good; its record and number stay."""
    _confirm(f"Version {version} of {model} cannot be brought back. Delete it?", yes)
    _change(model, version, "Deleted", store, credentials_dir, namespace, None)


def label(
    model: ModelArgument,
    version: VersionArgument,
    labels: Annotated[list[str], typer.Argument(help="name=value to set, name- to remove.", show_default=False)],
    store: NeededStore,
    credentials_dir: CredentialsOption = None,
    namespace: NamespaceOption = None,
) -> None:
    """Set and remove labels of a version in the store."""
    gone = [each for each in labels if each.endswith("-") and "=" not in each]
    changes: dict[str, str | None] = {each.removesuffix("-"): None for each in gone}
    changes |= read_labels([each for each in labels if each not in gone], "LABELS")
    with working("Writing"):
        models = open_store(store, credentials_dir)
        key = read_key(model, namespace)
        found = models.label(key, read_version(models, key, version), changes)
    print(" ".join(f"{name}={value}" for name, value in sorted(found.labels.items())) or "no labels")


def rebuild(
    store: NeededStore,
    credentials_dir: CredentialsOption = None,
    namespace: Annotated[str | None, typer.Option("--namespace", "-n", help="Only the models of this one.")] = None,
    context: ContextOption = None,
    apply: Annotated[bool, typer.Option("--apply", help="Create them in the cluster, owned by their models.")] = False,
    uri: Annotated[
        str | None, typer.Option("--as", help="The store's URI for workers, if it is not the one that is recorded.")
    ] = None,
) -> None:
    """Print the ClusteringModelVersions that the store knows, for kubectl apply -f -, or create them."""
    from shoal_operator.api.version import ClusteringModelVersionSpec
    from shoal_worker.artifact.files import directory_name
    from shoal_worker.models.manifests import build_manifest

    fields = {field.alias or name for name, field in ClusteringModelVersionSpec.model_fields.items()}
    manifests: list[dict[str, Any]] = []
    passed_over: list[str] = []
    with working("Reading every record"):
        models = open_store(store, credentials_dir)
        for key in models.models():
            if namespace is not None and key.namespace != namespace:
                continue
            for version, record in models.recorded(key):
                moved = f"{uri.rstrip('/')}/artifacts/{directory_name(version.digest)}" if uri else None
                manifest = build_manifest(key, version, record, moved)
                known = {name: value for name, value in manifest["spec"].items() if name in fields}
                try:
                    # Through the API's own type, so that it is what the operator wrote, to the letter.
                    spec = ClusteringModelVersionSpec.model_validate(known).to_wire()
                except ValidationError as error:
                    passed_over.append(f"{key} version {version.number}: {error.errors(include_url=False)[0]['msg']}")
                    continue
                manifests.append({**manifest, "spec": spec})
    for problem in passed_over:
        print(f"passed over, its record is not of this release: {problem}", file=sys.stderr)
    if not apply:
        # As JSON, which leaves nothing to guess: kubectl reads a bare y as true.
        print("\n---\n".join(json.dumps(manifest) for manifest in manifests))
        return
    cluster = Cluster(context)
    created = sum(cluster.create_version(manifest) for manifest in manifests)
    print(f"{created} created, {len(manifests) - created} were there.")


def _change(
    model: str,
    version: str,
    to: "State",
    store: str | None,
    credentials_dir: Path | None,
    namespace: str | None,
    context: str | None,
) -> None:
    if store is None:
        cluster = Cluster(context)
        number = str(cluster.latest_version(model, namespace)) if version == "latest" else version.removeprefix("v")
        cluster.wish_state(f"{model}-v{number}", namespace, to)
        print(f"{model}-v{number}: the operator is asked to make it {to}")
        return
    with working(f"Making it {to}"):
        models = open_store(store, credentials_dir)
        key = read_key(model, namespace)
        number_found = read_version(models, key, version)
        changed = models.unarchive(key, number_found) if to == "Active" else models.change(key, number_found, to)
    print(f"{key} version {changed.number} is {changed.state}")


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(question, field="--yes", remedy="Add --yes if no deployment serves it")
    if not typer.confirm(question):
        raise typer.Exit(1)
