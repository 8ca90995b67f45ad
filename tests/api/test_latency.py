"""`make scale`: how long pages take and what exports hold in memory at 100,000 predictions, on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.audit_benchmark import measure
from tests.audit.databases import migrated

_IMAGES = 100_000
_MOST_MILLISECONDS = 100
_MOST_GROWTH_MIB = 50

pytestmark = [
    pytest.mark.scale,
    pytest.mark.timeout(1200),
]


def test_pages_are_fast_and_exports_constant_in_memory(tmp_path: Path) -> None:
    with migrated("postgresql", tmp_path) as url:
        found = measure(url, _IMAGES, tmp_path, print)
    slow = {each.query: each.p95 for each in found.latencies if each.p95 >= _MOST_MILLISECONDS}
    assert slow == {}, "p95 in milliseconds"
    for export in found.exports:
        assert export.rows > 0.9 * _IMAGES
        assert export.rss_peak_mib - export.rss_before_mib < _MOST_GROWTH_MIB, export.format
