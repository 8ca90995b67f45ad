from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from sqlalchemy import select, update

from audit.agreement import LISTED, Agreement, read_agreement
from audit.model_versions import find_version
from audit.models import Instance
from audit.session import Database
from core.records import Analysis
from tests.audit.databases import counted_statements
from tests.audit.rows import DEVICE_UID, analysed, not_analysed, positive, received
from tests.audit.test_shadow_predictions import CANDIDATE_UID, shadow


def _both(database: Database, a: list[Analysis], b: list[Analysis]) -> list[str]:
    """Each image is judged by both; returns the SOP Instance UIDs."""
    images = [analysed(database, analysis, [received()])[0] for analysis in a]
    shadow(database, *b)
    return [image.sop_instance_uid for image in images]


def _read(database: Database, **how: Any) -> Agreement:
    with database.read() as session:
        a, b = (find_version(session, uid) for uid in (DEVICE_UID, CANDIDATE_UID))
        return read_agreement(session, a, b, **how)


def test_agreement_and_shift_are_what_the_libraries_say(database: Database) -> None:
    generator = np.random.default_rng(7)
    a = generator.uniform(0, 1, 60)
    b = np.clip(a + generator.normal(0.1, 0.2, 60), 0, 1)
    uids = _both(database, [positive(score) for score in a], [positive(score) for score in b])
    analysed(database, positive(0.9))  # never seen by the other
    found = _read(database)
    assert found.n == 60
    assert found.kappa == pytest.approx(cohen_kappa_score(a >= 0.5, b >= 0.5))
    assert found.both("negative", "positive") == ((a < 0.5) & (b >= 0.5)).sum()  # type: ignore[arg-type]
    assert found.both("positive", "negative") == ((a >= 0.5) & (b < 0.5)).sum()  # type: ignore[arg-type]
    assert found.shift is not None
    assert found.shift.mean == pytest.approx((b - a).mean())
    assert found.shift.median == pytest.approx(np.median(b - a))
    assert (found.shift.q05, found.shift.q95) == pytest.approx(tuple(np.quantile(b - a, [0.05, 0.95])))
    assert found.shift.correlation == pytest.approx(np.corrcoef(a, b)[0, 1])
    farthest = np.argsort(-np.abs(b - a))[:LISTED]
    assert [pair.sop_instance_uid for pair in found.most_different] == [uids[place] for place in farthest]
    assert (found.most_different[0].score_a, found.most_different[0].score_b) == (a[farthest[0]], b[farthest[0]])


def test_where_only_one_answered(database: Database) -> None:
    a = [positive(0.9), not_analysed("unlike_training"), not_analysed("unlike_training"), positive(0.2)]
    b = [not_analysed("unlike_training", "low"), positive(0.1), not_analysed("unlike_training"), positive(0.3)]
    uids = _both(database, a, b)
    found = _read(database)
    assert found.n == 1
    assert found.answered_by_one == (1, 1)
    assert found.outcomes["not_analysed", "not_analysed"] == 1  # type: ignore[index]
    listed = [(pair.sop_instance_uid, pair.a, pair.b, pair.reasons) for pair in found.one_answered]
    assert listed == [
        (uids[1], "not_analysed", "negative", ("unlike_training",)),
        (uids[0], "positive", "not_analysed", ("unlike_training", "low")),
    ]


def test_too_little_to_say(database: Database) -> None:
    analysed(database)
    shadow(database)
    nothing = _read(database)
    assert (nothing.n, nothing.kappa, nothing.shift, nothing.most_different) == (0, None, None, ())
    _both(database, [positive(0.9)] * 3, [positive(0.8)] * 3)
    alike = _read(database)
    assert (alike.n, alike.agreed, alike.kappa) == (3, 3, None)
    assert alike.shift is not None
    assert alike.shift.correlation is None


def test_days_of_arrival_can_be_chosen(database: Database) -> None:
    _both(database, [positive(0.9)] * 4, [positive(0.8)] * 4)
    monday = datetime(2026, 3, 2, tzinfo=UTC)
    with database.write() as session:
        for days, instance_id in enumerate(session.scalars(select(Instance.id).order_by(Instance.id)).all()):
            at = monday + timedelta(days=days)
            session.execute(update(Instance).where(Instance.id == instance_id).values(received_at=at))
    assert _read(database, received_from=monday + timedelta(days=1)).n == 3
    assert _read(database, received_before=monday + timedelta(days=1)).n == 1
    assert _read(database, received_from=monday, received_before=monday + timedelta(days=2)).n == 2


def test_a_model_is_not_compared_with_itself(database: Database) -> None:
    analysed(database)
    with database.read() as session:
        model = find_version(session, DEVICE_UID)
        with pytest.raises(ValueError, match="name two"):
            read_agreement(session, model, model)


def test_the_statements_do_not_grow_with_the_images(database: Database) -> None:
    _both(database, [positive(0.9)] * 50, [positive(0.8)] * 50)
    with counted_statements(database.engine) as seen:
        _read(database)
    assert len(seen) == 3
