"""Clients of object stores: s3, gs and az, built from the credentials of a mounted Secret; called by `objects` only.

Invariant: a client's calls end in bounded time. Without any credentials they are unsigned: that reads public buckets,
and never waits for a cloud's metadata service that is not there.
"""

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store

from shoal_worker.errors import SettingsInvalid

if TYPE_CHECKING:
    from obstore.store import AzureConfig, ClientConfig, GCSConfig, RetryConfig, S3Config

AnyStore = S3Store | GCSStore | AzureStore | LocalStore

CREDENTIAL_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_ALLOW_HTTP",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_BEARER_TOKEN",
    "GOOGLE_BASE_URL",
    "GOOGLE_ALLOW_HTTP",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
    "AZURE_STORAGE_ENDPOINT",
    "AZURE_ALLOW_HTTP",
)
_AWS_IDENTITY = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
_GOOGLE_IDENTITY = ("GOOGLE_APPLICATION_CREDENTIALS",)
_AZURE_IDENTITY = ("AZURE_FEDERATED_TOKEN_FILE",)
_CREDENTIAL_BYTES = 16 << 10
_CONNECT_TIMEOUT = timedelta(seconds=1)
# Shorter than the timeout of a question, so that a refused connection is tried again and a hanging store is not.
_RETRY_TIMEOUT = timedelta(seconds=1.5)
_BACKOFF = timedelta(milliseconds=100)
_RETRIES: "RetryConfig" = {
    "max_retries": 1,
    "retry_timeout": _RETRY_TIMEOUT,
    "backoff": {"init_backoff": _BACKOFF, "max_backoff": _BACKOFF, "base": 2},
}


def read_credentials(directory: Path) -> dict[str, str]:
    """Read the known credential files of a mounted Secret over the environment; both may be absent."""
    found = {key: os.environ[key] for key in CREDENTIAL_KEYS if key in os.environ}
    for key in CREDENTIAL_KEYS:
        path = directory / key
        if path.is_file():
            with path.open(encoding="utf-8", errors="replace") as stream:
                found[key] = stream.read(_CREDENTIAL_BYTES).strip()
    return found


def build_client(scheme: str, bucket: str, credentials: Mapping[str, str], field: str, timeout: timedelta) -> AnyStore:
    """Build the client of a bucket, of Azure a container."""
    match scheme:
        case "s3":
            return _s3(bucket, credentials, field, timeout)
        case "gs":
            return _gs(bucket, credentials, field, timeout)
        case "az":
            return _az(bucket, credentials, field, timeout)
    return LocalStore()


def _options(
    credentials: Mapping[str, str], endpoint_key: str, allow_key: str, field: str, timeout: timedelta
) -> tuple[str, "ClientConfig"]:
    endpoint = credentials.get(endpoint_key, "")
    allow_http = credentials.get(allow_key, "").lower() == "true"
    if endpoint.startswith("http://") and not allow_http:
        raise SettingsInvalid(
            f"{endpoint_key} is http:// and {allow_key} is not 'true'",
            field=field,
            value=endpoint,
            remedy=f"Use an https:// endpoint, or add {allow_key}=true to the Secret",
        )
    return endpoint, {"allow_http": allow_http, "connect_timeout": _CONNECT_TIMEOUT, "timeout": timeout}


def _s3(bucket: str, credentials: Mapping[str, str], field: str, timeout: timedelta) -> S3Store:
    endpoint, options = _options(credentials, "AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP", field, timeout)
    config: S3Config = {"region": credentials.get("AWS_REGION", "us-east-1")}
    if endpoint:
        config["endpoint"] = endpoint
    if "AWS_ACCESS_KEY_ID" in credentials:
        config["access_key_id"] = credentials["AWS_ACCESS_KEY_ID"]
        config["secret_access_key"] = credentials.get("AWS_SECRET_ACCESS_KEY", "")
        if token := credentials.get("AWS_SESSION_TOKEN"):
            config["session_token"] = token
    elif not any(key in os.environ for key in _AWS_IDENTITY):
        config["skip_signature"] = True
    return S3Store(bucket, config=config, client_options=options, retry_config=_RETRIES)


def _gs(bucket: str, credentials: Mapping[str, str], field: str, timeout: timedelta) -> GCSStore:
    endpoint, options = _options(credentials, "GOOGLE_BASE_URL", "GOOGLE_ALLOW_HTTP", field, timeout)
    config: GCSConfig = {}
    if endpoint:
        config["base_url"] = endpoint
    if key := credentials.get("GOOGLE_SERVICE_ACCOUNT_KEY"):
        config["service_account_key"] = key
    elif token := credentials.get("GOOGLE_BEARER_TOKEN"):
        config["bearer_token"] = token
    elif not any(key in os.environ for key in _GOOGLE_IDENTITY):
        config["skip_signature"] = True
    try:
        return GCSStore(bucket, config=config, client_options=options, retry_config=_RETRIES)
    except BaseError:
        # The library's text may quote the key.
        raise SettingsInvalid(
            "the key of the service account is not readable",
            field=field,
            value="GOOGLE_SERVICE_ACCOUNT_KEY",
            remedy="Put the JSON file of the service account's key into the Secret as it is",
        ) from None


def _az(container: str, credentials: Mapping[str, str], field: str, timeout: timedelta) -> AzureStore:
    endpoint, options = _options(credentials, "AZURE_STORAGE_ENDPOINT", "AZURE_ALLOW_HTTP", field, timeout)
    if not (account := credentials.get("AZURE_STORAGE_ACCOUNT_NAME")):
        raise SettingsInvalid(
            "az:// needs the name of the storage account",
            field=field,
            value="AZURE_STORAGE_ACCOUNT_NAME",
            remedy="Add it to the Secret, with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_KEY",
        )
    config: AzureConfig = {"account_name": account}
    if endpoint:
        config["endpoint"] = endpoint
    if key := credentials.get("AZURE_STORAGE_ACCOUNT_KEY"):
        config["account_key"] = key
    elif key := credentials.get("AZURE_STORAGE_SAS_KEY"):
        config["sas_key"] = key
    elif secret := credentials.get("AZURE_CLIENT_SECRET"):
        config["client_id"] = credentials.get("AZURE_CLIENT_ID", "")
        config["client_secret"] = secret
        config["tenant_id"] = credentials.get("AZURE_TENANT_ID", "")
    elif not any(key in os.environ for key in _AZURE_IDENTITY):
        config["skip_signature"] = True
    try:
        return AzureStore(container, config=config, client_options=options, retry_config=_RETRIES)
    except BaseError:
        raise SettingsInvalid(
            "the credentials of the storage account are not readable",
            field=field,
            value=account,
            remedy="Check AZURE_STORAGE_ACCOUNT_KEY (base64) or AZURE_STORAGE_SAS_KEY in the Secret",
        ) from None
