from __future__ import annotations

from pathlib import Path

from ml.benchmark import BATCHES, measure


def test_every_row_is_measured_for_every_batch(weights: Path) -> None:
    rows = measure(weights, rounds=1)
    assert {row.batch for row in rows} == set(BATCHES)
    assert len(rows) == 4 * len(BATCHES)
    assert all(row.milliseconds > 0 for row in rows)
    assert set(rows[0].as_json()) == {"what", "batch", "milliseconds"}
