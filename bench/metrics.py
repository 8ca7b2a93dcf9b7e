"""What a target counts of itself, from its `/metrics`."""

from __future__ import annotations

from collections import Counter

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bench.target import Target

_DISCONNECTS = "dorami_edge_disconnects"
_OWN_LABELS = {"process", "name"}
_LIMIT_S = 10.0


def read_disconnects(target: Target) -> Counter[str]:
    """Ended sessions by reason, of all processes together; empty where it tells nothing (a peer, or one that keeps its
    metrics from us)."""
    found: Counter[str] = Counter()
    if not target.web:
        return found
    try:
        answer = httpx.get(f"{target.web}/metrics", timeout=_LIMIT_S)
    except httpx.HTTPError:
        return found
    if answer.status_code != 200:
        return found
    for family in text_string_to_metric_families(answer.text):
        if family.name == _DISCONNECTS:
            for sample in family.samples:
                reason = next((value for label, value in sample.labels.items() if label not in _OWN_LABELS), "")
                found[reason] += int(sample.value)
    return found
