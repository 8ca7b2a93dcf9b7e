"""What the web app counts of itself."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class WebMeasures:
    """Requests by route, method and status; their time by route. A route is its pattern, so the labels are bounded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "dorami_http_requests", "HTTP requests answered", ("route", "method", "status"), registry=registry
        )
        self._seconds = Histogram(
            "dorami_http_request_seconds", "Time to answer", ("route",), registry=registry, buckets=_BUCKETS
        )

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
