"""Artifacts in OCI registries, by the distribution API; used by `sources`.

An artifact is an image manifest with two layers whose titles are manifest.json and model.safetensors, as
`oras push registry/repository:tag manifest.json model.safetensors` makes it.
Invariant: what a digest names has that digest, or is refused.
"""

import hashlib
import re
from typing import Annotated, BinaryIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from yarl import URL

from shoal_worker.artifact.manifest import MANIFEST_LIMIT, MANIFEST_NAME, MODEL_NAME
from shoal_worker.errors import ArtifactInvalid, SettingsInvalid
from shoal_worker.importing.hosts import FIELD, AllowedHosts
from shoal_worker.importing.web import Credentials, Web, check_answer

_REFERENCE = re.compile(
    r"oci://(?P<registry>[A-Za-z0-9.\-]+(:\d{1,5})?|\[[0-9a-fA-F:]+\](:\d{1,5})?)/"
    r"(?P<repository>[a-z0-9]+([._/\-]+[a-z0-9]+)*)"
    r"(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9._\-]{0,127})|@(?P<digest>sha256:[0-9a-f]{64}))"
)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_TYPES = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
_IMAGE_LIMIT = 1 << 20
_TOKEN_LIMIT = 64 << 10
_TITLE = "org.opencontainers.image.title"


class _Layer(BaseModel):
    digest: Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0, le=1 << 40)]
    annotations: dict[str, str] = Field(default_factory=dict, max_length=64)


class _Image(BaseModel):
    model_config = ConfigDict(extra="ignore")

    layers: list[_Layer] = Field(max_length=64)


class _Token(BaseModel):
    token: str = ""
    access_token: str = ""


async def fetch_image(
    uri: str, web: Web, allowed: AllowedHosts, credentials: Credentials, limit: int, target: BinaryIO
) -> bytes:
    """Write the model's file to `target` and return the artifact's manifest."""
    found = _REFERENCE.fullmatch(uri)
    if found is None:
        raise SettingsInvalid(
            "it is no reference", field=FIELD, value=uri, remedy="Use oci://registry/repository:tag or @sha256:..."
        )
    scheme = "http" if f"http://{found['registry'].lower()}" in allowed.entries else "https"
    base = URL(f"{scheme}://{found['registry']}/v2/{found['repository']}")
    reference = found["digest"] or found["tag"]
    place = base / "manifests" / reference
    headers = await _authorize(place, web, credentials)
    content = await web.read(place, _IMAGE_LIMIT, headers)
    if found["digest"]:
        _check(content, found["digest"])
    layers = _read_layers(content, uri)
    model = layers[MODEL_NAME]
    if model.size > limit:
        raise ArtifactInvalid(
            f"the model has {model.size} bytes, more than the limit of {limit}",
            field=MODEL_NAME,
            remedy="Raise SHOAL_MAX_ARTIFACT_BYTES or import a smaller model",
        )
    manifest = await web.read(base / "blobs" / layers[MANIFEST_NAME].digest, MANIFEST_LIMIT, headers)
    _check(manifest, layers[MANIFEST_NAME].digest)
    # The model's bytes are held against the manifest's own record of them, as those from any other place.
    await web.save(base / "blobs" / model.digest, model.size, headers, target)
    return manifest


async def _authorize(place: URL, web: Web, credentials: Credentials) -> dict[str, str]:
    """Return the headers with which the registry answers: none, those of the Secret, or a token that it gives."""
    accept = {"Accept": _TYPES}
    async with web.ask(place, accept) as response:
        if response.status != 401:
            check_answer(response, place)
            return accept
        challenge = response.headers.get("WWW-Authenticate", "")
    kind, _, rest = challenge.partition(" ")
    if kind.lower() != "bearer" or credentials.token:
        return {**accept, **credentials.header}
    told = dict(_CHALLENGE.findall(rest))
    asked = {name: told[name] for name in ("service", "scope") if name in told}
    answer = await web.read(URL(told.get("realm", "")).update_query(asked), _TOKEN_LIMIT, credentials.header)
    try:
        found = _Token.model_validate_json(answer)
    except ValidationError:
        found = _Token()
    return {**accept, "Authorization": f"Bearer {found.token or found.access_token}"}


def _read_layers(content: bytes, uri: str) -> dict[str, _Layer]:
    try:
        image = _Image.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise ArtifactInvalid(
            f"the registry's manifest is malformed: {problem['msg']}",
            field=FIELD,
            value=uri,
            remedy="Push the two files of an artifact, for example with oras",
        ) from None
    layers = {layer.annotations.get(_TITLE, ""): layer for layer in image.layers}
    if missing := {MANIFEST_NAME, MODEL_NAME} - layers.keys():
        raise ArtifactInvalid(
            f"there is no layer with the title {sorted(missing)[0]}",
            field=FIELD,
            value=uri,
            remedy=f"Push {MANIFEST_NAME} and {MODEL_NAME}, for example with oras",
        )
    return layers


def _check(content: bytes, digest: str) -> None:
    actual = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if actual != digest:
        raise ArtifactInvalid(
            f"the registry sent other bytes than those of {digest}",
            reason="DigestMismatch",
            field=FIELD,
            value=actual,
            remedy="Push the artifact again",
        )
