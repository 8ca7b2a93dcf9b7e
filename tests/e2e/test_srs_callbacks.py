"""A whole Dorami with `media.server = "srs"`: what SRS gets for its callbacks, byte by byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dorami_core.testing.server import RunningDorami, running_dorami

# As SRS 6.0.157 sends it, but for the stream.
BODY = {
    "server_id": "vid-0xk989d",
    "service_id": "382k456r",
    "action": "on_publish",
    "client_id": "341w361a",
    "ip": "127.0.0.1",
    "vhost": "__defaultVhost__",
    "app": "live",
    "tcUrl": "rtmp://127.0.0.1:1935/live?vhost=__defaultVhost__",
    "stream": "livestream",
    "param": "",
    "stream_url": "/live/livestream",
    "stream_id": "vid-124q9y3",
}
SRS = {"User-Agent": "SRS/6.0.157(Hang)", "Content-Type": "application/json", "Connection": "Keep-Alive"}


@pytest.fixture(scope="module")
def beside_srs(short_tmp: Path) -> Iterator[RunningDorami]:
    environ = {
        "DORAMI_MEDIA__SERVER": "srs",
        "DORAMI_SRS__TOKEN": "a token",
        "DORAMI_SRS__API_URL": "http://127.0.0.1:1",
    }
    with running_dorami(short_tmp / "srs", environ=environ) as server:
        yield server


def post(server: RunningDorami, name: str, body: dict[str, str], token: str | None = "a token") -> httpx.Response:
    params = {} if token is None else {"token": token}
    url = f"{server.web}/api/streaming/srs-{name}"
    return httpx.post(url, params=params, content=json.dumps(body), headers=SRS, timeout=60)


def test_srs_is_answered_as_it_needs_it(beside_srs: RunningDorami) -> None:
    with beside_srs.client("seller@example.test", role="ADMIN") as seller:
        stream = seller.post("/api/streams", json={"title": "t"}).json()["data"]
    assert stream["publish"]["url"].endswith(":1935/live"), "encoders go to SRS"
    secret = stream["publish"]["key"].partition("?")[2]
    body = {**BODY, "stream": stream["streamKey"], "param": f"?{secret}"}
    for _ in range(2):
        answer = post(beside_srs, "auth", body)
        assert (answer.status_code, answer.content) == (200, b'{"code":0}')
    for refused in (
        post(beside_srs, "auth", {**body, "param": "?secret=wrong", "client_id": "other"}),
        post(beside_srs, "auth", {**BODY, "client_id": "third"}),
        post(beside_srs, "auth", body, token="x"),
        post(beside_srs, "auth", body, token=None),
    ):
        assert refused.status_code == 403
        assert refused.json().get("code") != 0
    for _ in range(2):
        answer = post(beside_srs, "done", {**body, "action": "on_unpublish"})
        assert (answer.status_code, answer.content) == (200, b'{"code":0}')
    beat = {"device_id": "dorami", "ip": "127.0.0.1", "server": "vid-0xk989d", "service": "382k456r", "pid": "12345"}
    answer = post(beside_srs, "heartbeat", beat, token=None)
    assert (answer.status_code, answer.content) == (200, b'{"code":0}')


def test_without_a_token_it_does_not_start(short_tmp: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="must be set"),
        running_dorami(short_tmp / "no-token", environ={"DORAMI_MEDIA__SERVER": "srs"}),
    ):
        pass
