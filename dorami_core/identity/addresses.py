"""Shipping addresses at rest: sealed, bound to the user and the field they belong to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dorami_core.base.ids import UserId
from dorami_core.base.sealing import SealBroken, Sealer


class AddressUnreadable(Exception):
    """The envelope is damaged, of another user or field, or was written with a key that is not configured."""


class AddressCipher:
    """Encrypts with `key` (64 hex digits); also reads what was written with one of `previous_keys`.

    ValueError where a key is not 64 hex digits.
    """

    def __init__(self, key: str, previous_keys: Sequence[str] = ()) -> None:
        self._sealer = Sealer(key, previous_keys)

    def encrypt(self, user_id: UserId, field: str, value: dict[str, Any]) -> bytes:
        """Two calls never give the same bytes: the nonce is random."""
        plain = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        return self._sealer.seal(plain, f"{user_id}:{field}")

    def decrypt(self, user_id: UserId, field: str, envelope: bytes) -> dict[str, Any]:
        """Raises AddressUnreadable."""
        try:
            plain = self._sealer.open(envelope, f"{user_id}:{field}")
        except SealBroken as error:
            raise AddressUnreadable(str(error)) from None
        value: dict[str, Any] = json.loads(plain)
        return value
