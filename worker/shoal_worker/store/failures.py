"""What an object store's failure means to the person who can mend it; called by `store` only.

Invariant: each failure becomes exactly one StoreError. Some causes are told in the libraries' texts only, so texts are
read here and nowhere else; none of them is passed on uncut.
"""

import re

from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from shoal_worker.errors import CredentialsRejected, ObjectMissing, StoreError, StoreUnavailable, shorten

# A refused listing comes as a general error with the status in its text. An unknown key is a 404 for some servers
# (Versity: XAdminUserNotFound).
_REFUSED = re.compile(r"status code: 40[13] |InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|UserNotFound")
_WHO = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_SERVICE_ACCOUNT_KEY",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "file": "",
}
_ENDPOINT = {"s3": "AWS_ENDPOINT_URL, ", "gs": "GOOGLE_BASE_URL, ", "az": "AZURE_STORAGE_ENDPOINT, ", "file": ""}
_FULL = re.compile(r"No space left on device|Disk quota exceeded|\(os error (28|122)\)")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_UNREACHABLE = re.compile(r"kind: (Connect|Timeout)")


def explain(error: Exception, *, uri: str, field: str, listing: bool) -> StoreError:
    """Translate one failure of a call about `uri`; a listing with nothing to list means no bucket."""
    text = str(error)
    scheme = uri.partition(":")[0]
    code = _CODE.search(text)
    if isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError) or _REFUSED.search(text):
        remedy = f"Check the Secret's {_WHO[scheme]} and the rights of that user"
        return CredentialsRejected(
            f"the store refused access{f' with {code[1]}' if code else ''}",
            field=field,
            value=uri,
            remedy="Check the file's owner and mode" if scheme == "file" else remedy,
        )
    if _FULL.search(text):
        return StoreUnavailable(
            "the disk is full",
            field=field,
            value=uri,
            remedy="Make room, or the volume larger",
        )
    missing = isinstance(error, FileNotFoundError)
    if "NoSuchBucket" in text or "ContainerNotFound" in text or (missing and listing):
        return StoreUnavailable(
            "there is no such bucket",
            field=field,
            value=uri,
            remedy="Create the bucket or correct the URI",
            transient=False,
        )
    if missing:
        return ObjectMissing(
            "there is no such object", field=field, value=uri, remedy="Check the URI and that the object exists"
        )
    answer = code[1] if code else shorten(text.partition("\n")[0], 400)
    return StoreUnavailable(
        "the store cannot be reached"
        if _UNREACHABLE.search(text)
        else f"the store did not answer as expected: {answer}",
        field=field,
        value=uri,
        remedy=f"Check {_ENDPOINT[scheme]}the network policy and the store's health",
    )
