"""Seals bytes with a key that only this process has; used by `keeping` and `comparing`.

Invariant: the key is made at the start, never written or sent, and gone with the process; no nonce comes twice.
"""

from itertools import count

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class Sealer:
    """AES-256-GCM (NIST SP 800-38D) with a counter for a nonce. Any thread may seal or open."""

    def __init__(self) -> None:
        self._cipher = AESGCM(AESGCM.generate_key(256))
        self._numbers = count()

    def seal(self, content: bytes) -> bytes:
        """The content, unreadable and unchangeable without the key."""
        nonce = next(self._numbers).to_bytes(_NONCE_BYTES, "big")
        return nonce + self._cipher.encrypt(nonce, content, None)

    def open(self, sealed: bytes) -> bytes:
        """The content again; `cryptography.exceptions.InvalidTag` for what this process did not seal."""
        return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
