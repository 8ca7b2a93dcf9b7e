"""Access tokens, guest tokens, address encryption."""

from __future__ import annotations

import jwt
import pytest

from dorami_core.base.errors import DoramiError
from dorami_core.base.ids import UserId, new_uuid
from dorami_core.base.principal import UserIdentity
from dorami_core.identity.addresses import AddressCipher, AddressUnreadable
from dorami_core.identity.tokens import Authenticator
from dorami_core.testing.clock import ManualClock

SECRET = "a secret of the tests that is long enough"
ADDRESS = {"recipient": "김미나", "line1": "성수이로 1"}


@pytest.fixture
def authenticator(manual_clock: ManualClock) -> Authenticator:
    return Authenticator(SECRET, manual_clock)


@pytest.fixture
def user() -> UserIdentity:
    return UserIdentity(UserId(new_uuid()), "USER", "미나")


def test_an_access_token_lives_15_minutes(
    authenticator: Authenticator, manual_clock: ManualClock, user: UserIdentity
) -> None:
    session = new_uuid()
    issued = authenticator.issue(user, session)
    assert authenticator.read(issued.token) == (user, session)
    principal, fresh = authenticator.authenticate(issued.token, None)
    assert (principal.user, fresh) == (user, None)
    manual_clock.advance(15 * 60 - 1)
    authenticator.read(issued.token)
    manual_clock.advance(1)
    with pytest.raises(DoramiError, match="UNAUTHORIZED"):
        authenticator.authenticate(issued.token, None)


def test_forged_access_tokens(authenticator: Authenticator, user: UserIdentity) -> None:
    claims = {"sub": str(user.id), "role": "ADMIN", "name": "x", "sid": str(new_uuid()), "exp": 2**34}
    right = jwt.encode(claims, SECRET, "HS256")
    assert authenticator.read(right)[0].role == "ADMIN"
    forged = [
        jwt.encode(claims, SECRET + "x", "HS256"),
        jwt.encode(claims, "", "none"),
        jwt.encode(claims, SECRET * 2, "HS512"),
        jwt.encode({**claims, "role": "OWNER"}, SECRET, "HS256"),
        jwt.encode({**claims, "sub": "me"}, SECRET, "HS256"),
        jwt.encode({**claims, "exp": 10**30}, SECRET, "HS256"),
        *(jwt.encode({k: v for k, v in claims.items() if k != gone}, SECRET, "HS256") for gone in claims),
        right[:-2],
        right + "." * 5000,
        "é",
        "a.b.c",
    ]
    for token in forged:
        with pytest.raises(DoramiError, match="UNAUTHORIZED"):
            authenticator.authenticate(token, None)


def test_guests_have_signed_ids(authenticator: Authenticator, manual_clock: ManualClock) -> None:
    first, token = authenticator.authenticate(None, None)
    assert token is not None
    again, fresh = authenticator.authenticate(None, token)
    assert (again, fresh) == (first, None)
    assert first.viewer_id == f"g:{first.guest_id}"
    for bad in ("", ".", token + "x", "x" + token, token.partition(".")[0], "é" + token, token * 10):
        other, made = authenticator.authenticate(None, bad)
        assert made is not None
        assert other.guest_id != first.guest_id
    stranger = Authenticator(SECRET + "x", manual_clock)
    assert stranger.guest_id(token) is None


def test_addresses_come_back() -> None:
    cipher, user_id = AddressCipher("0b" * 32), UserId(new_uuid())
    envelope = cipher.encrypt(user_id, "shipping_address", ADDRESS)
    assert cipher.decrypt(user_id, "shipping_address", envelope) == ADDRESS
    assert envelope != cipher.encrypt(user_id, "shipping_address", ADDRESS)
    assert "김미나".encode() not in envelope


def test_addresses_are_bound_to_user_and_field() -> None:
    cipher, user_id = AddressCipher("0b" * 32), UserId(new_uuid())
    envelope = cipher.encrypt(user_id, "shipping_address", ADDRESS)
    with pytest.raises(AddressUnreadable):
        cipher.decrypt(UserId(new_uuid()), "shipping_address", envelope)
    with pytest.raises(AddressUnreadable):
        cipher.decrypt(user_id, "billing_address", envelope)
    for position in range(len(envelope)):
        damaged = bytearray(envelope)
        damaged[position] ^= 1
        with pytest.raises(AddressUnreadable):
            cipher.decrypt(user_id, "shipping_address", bytes(damaged))
    with pytest.raises(AddressUnreadable):
        cipher.decrypt(user_id, "shipping_address", b"")


def test_a_key_can_be_changed() -> None:
    user_id = UserId(new_uuid())
    old = AddressCipher("0b" * 32).encrypt(user_id, "f", ADDRESS)
    assert AddressCipher("0c" * 32, ["0b" * 32]).decrypt(user_id, "f", old) == ADDRESS
    with pytest.raises(AddressUnreadable, match="not configured"):
        AddressCipher("0c" * 32).decrypt(user_id, "f", old)
    with pytest.raises(ValueError, match="64 hex"):
        AddressCipher("0b" * 31)
