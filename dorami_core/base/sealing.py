"""Secrets at rest: AES-256-GCM, each bound to the place that it belongs to.

Envelope: version (1 byte, 0x01), key id (4 bytes), nonce (12 bytes), ciphertext with its 16-byte tag. The key id is the
start of the key's SHA-256, so that a key can be changed while old rows stay readable.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = b"\x01"
_KEY_ID = 4
_NONCE = 12
_HEAD = len(_VERSION) + _KEY_ID + _NONCE


class SealBroken(Exception):
    """The envelope is damaged, of another place, or was written with a key that is not configured."""


class Sealer:
    """Seals with `key` (64 hex digits); also opens what was sealed with one of `previous_keys`.

    ValueError where a key is not 64 hex digits.
    """

    def __init__(self, key: str, previous_keys: Sequence[str] = ()) -> None:
        self._ciphers: dict[bytes, AESGCM] = {}
        for text in (*previous_keys, key):
            if re.fullmatch(r"[0-9a-fA-F]{64}", text) is None:
                raise ValueError("a profile encryption key is 64 hex digits")
            raw = bytes.fromhex(text)
            self._current = hashlib.sha256(raw).digest()[:_KEY_ID]
            self._ciphers[self._current] = AESGCM(raw)

    def seal(self, plain: bytes, place: str) -> bytes:
        """`place` names row and field. Two calls never give the same bytes: the nonce is random."""
        nonce = os.urandom(_NONCE)
        sealed = self._ciphers[self._current].encrypt(nonce, plain, place.encode())
        return _VERSION + self._current + nonce + sealed

    def open(self, envelope: bytes, place: str) -> bytes:
        """Raises SealBroken."""
        if len(envelope) < _HEAD or envelope[:1] != _VERSION:
            raise SealBroken("not an envelope of a known version")
        cipher = self._ciphers.get(envelope[1 : 1 + _KEY_ID])
        if cipher is None:
            raise SealBroken("written with a key that is not configured")
        try:
            return cipher.decrypt(envelope[1 + _KEY_ID : _HEAD], envelope[_HEAD:], place.encode())
        except InvalidTag:
            raise SealBroken("damaged, or of another place") from None
