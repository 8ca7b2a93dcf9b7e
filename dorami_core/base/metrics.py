"""Every part's `statistics()` as Prometheus gauges."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

Source = Callable[[], Any]
"""Returns a frozen attrs object; a mapping of label values to such objects; or a sequence of them, whose first text
field is the label."""


class StatisticsCollector(Collector):
    """`dorami_<part>_<field>` for each number of each part; of a mapping of numbers one for each key, as the label
    `key`."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for part, source in self._sources.items():
            families: dict[str, GaugeMetricFamily] = {}
            for label, row in _rows(source()):
                for field in attrs.fields(type(row)):
                    name = f"dorami_{part}_{field.name}"
                    for key, number in _numbers(getattr(row, field.name)):
                        labels = {"name": label} if label else {}
                        if key is not None:
                            labels["key"] = key
                        family = families.get(name)
                        if family is None:
                            text = re.sub("_", " ", f"{part} {field.name}")
                            family = families[name] = GaugeMetricFamily(name, text, labels=list(labels))
                        family.add_metric(list(labels.values()), float(number))
            yield from families.values()


def make_registry(sources: Mapping[str, Source]) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StatisticsCollector(sources))
    return registry


def _numbers(value: Any) -> Iterator[tuple[str | None, float]]:
    if isinstance(value, (int, float)):
        yield None, value
    elif isinstance(value, Mapping):
        yield from ((str(key), number) for key, number in value.items() if isinstance(number, (int, float)))


class _Merged(Collector):
    def __init__(self, expositions: Mapping[str, str]) -> None:
        self._expositions = expositions

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for process, text in self._expositions.items():
            for found in text_string_to_metric_families(text):
                family = families.setdefault(found.name, Metric(found.name, found.documentation, found.type))
                for sample in found.samples:
                    family.add_sample(sample.name, {**sample.labels, "process": process}, sample.value)
        yield from families.values()


def merge_expositions(expositions: Mapping[str, str]) -> bytes:
    """The metrics of several processes as one text, each sample with the label `process`; sums are the reader's."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Merged(expositions))
    return generate_latest(registry)


def _rows(answer: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(answer, Mapping):
        yield from ((str(label), row) for label, row in answer.items())
    elif isinstance(answer, (list, tuple)):
        for row in answer:
            yield next(value for value in attrs.astuple(row, recurse=False) if isinstance(value, str)), row
    else:
        yield "", answer
