"""Headers of every answer: what a browser may do with it, and who may read it from another origin."""

from __future__ import annotations

from dorami_core.base.peers import host_name
from dorami_core.web.exchange import Incoming

PREFLIGHT_AGE_S = 600
ALLOWED_METHODS = "GET, POST, PUT, PATCH, DELETE"
ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, X-CSRF-Token"
EXPOSED_HEADERS = "Retry-After"

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), fullscreen=(self)",
}
_HSTS = "max-age=31536000; includeSubDomains"


def security_headers(incoming: Incoming, edge_port: int) -> dict[str, str]:
    headers = dict(_ALWAYS)
    headers["Content-Security-Policy"] = _api_policy() if incoming.is_api else _page_policy(incoming, edge_port)
    if incoming.is_secure:
        headers["Strict-Transport-Security"] = _HSTS
    return headers


def docs_policy(nonce: str) -> str:
    """For the one page under /api."""
    return f"default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def _api_policy() -> str:
    return "default-src 'none'; frame-ancestors 'none'"


def _page_policy(incoming: Incoming, edge_port: int) -> str:
    """The edge is named by the host that the client used: it serves sockets and video next to this listener."""
    name = host_name(incoming.host) or "localhost"
    http, ws = ("https", "wss") if incoming.is_secure else ("http", "ws")
    edge_http, edge_ws = f"{http}://{name}:{edge_port}", f"{ws}://{name}:{edge_port}"
    nonce = f"'nonce-{incoming.nonce}'"
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' {nonce}",
            f"style-src 'self' {nonce}",
            f"connect-src 'self' {edge_http} {edge_ws}",
            # mpegts.js and hls.js hand the video over as blob: URLs of a MediaSource.
            f"media-src 'self' blob: {edge_http}",
            "worker-src 'self' blob:",
            # A seller may name a product's picture anywhere on the web.
            f"img-src 'self' data: https: {edge_http}",
            "font-src 'self'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


def cors_headers(origin: str) -> dict[str, str]:
    """For an origin that is listed in CORS_ORIGINS."""
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": EXPOSED_HEADERS,
    }


def preflight_headers() -> dict[str, str]:
    return {
        "Access-Control-Allow-Methods": ALLOWED_METHODS,
        "Access-Control-Allow-Headers": ALLOWED_HEADERS,
        "Access-Control-Max-Age": str(PREFLIGHT_AGE_S),
    }
