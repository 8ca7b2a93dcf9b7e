"""Shipping addresses at rest: AES-256-GCM, bound to the user and the field they belong to.

Envelope: version (1 byte, 0x01), key id (4 bytes), nonce (12 bytes), ciphertext with its 16-byte tag. The key id is the
start of the key's SHA-256, so that a key can be changed while old rows stay readable.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dorami_core.base.ids import UserId

_VERSION = b"\x01"
_KEY_ID = 4
_NONCE = 12
_HEAD = len(_VERSION) + _KEY_ID + _NONCE


class AddressUnreadable(Exception):
    """The envelope is damaged, of another user or field, or was written with a key that is not configured."""


class AddressCipher:
    """Encrypts with `key` (64 hex digits); also reads what was written with one of `previous_keys`.

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

    def encrypt(self, user_id: UserId, field: str, value: dict[str, Any]) -> bytes:
        """Two calls never give the same bytes: the nonce is random."""
        nonce = os.urandom(_NONCE)
        plain = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        sealed = self._ciphers[self._current].encrypt(nonce, plain, _aad(user_id, field))
        return _VERSION + self._current + nonce + sealed

    def decrypt(self, user_id: UserId, field: str, envelope: bytes) -> dict[str, Any]:
        """Raises AddressUnreadable."""
        if len(envelope) < _HEAD or envelope[:1] != _VERSION:
            raise AddressUnreadable("not an envelope of a known version")
        cipher = self._ciphers.get(envelope[1 : 1 + _KEY_ID])
        if cipher is None:
            raise AddressUnreadable("written with a key that is not configured")
        try:
            plain = cipher.decrypt(envelope[1 + _KEY_ID : _HEAD], envelope[_HEAD:], _aad(user_id, field))
        except InvalidTag:
            raise AddressUnreadable("damaged, or of another user or field") from None
        value: dict[str, Any] = json.loads(plain)
        return value


def _aad(user_id: UserId, field: str) -> bytes:
    return f"{user_id}:{field}".encode()
