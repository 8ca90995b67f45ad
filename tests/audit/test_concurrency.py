from __future__ import annotations

import subprocess
import sys
from collections import Counter

from sqlalchemy import func, select

from audit.inference_jobs import register_model
from audit.models import AuditEvent, Job, JobState, Prediction, ResultObject
from audit.session import Database
from tests.audit.rows import DEVICE_UID, MODEL, book

_JOBS = 200


def _start(url: str, pause_seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.audit.claimer", url, str(pause_seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_workers_that_are_killed_lose_nothing_and_double_nothing(database: Database) -> None:
    for _ in range(_JOBS):
        book(database)
    with database.write() as session:
        register_model(session, MODEL, DEVICE_UID)
    url = database.engine.url.render_as_string(hide_password=False)
    doomed = [_start(url, pause_seconds=0.2) for _ in range(2)]
    survivors = [_start(url, pause_seconds=0.01) for _ in range(2)]
    for worker in doomed + survivors[:1]:
        assert worker.stdout is not None
        assert worker.stdout.readline().startswith("claimed"), "all are in the middle of a batch"
    for worker in doomed:
        worker.kill()
    for worker in doomed + survivors:
        worker.communicate(timeout=120)
    assert [worker.returncode for worker in doomed + survivors] == [-9, -9, 0, 0]

    with database.read() as session:
        assert set(session.scalars(select(Job.state))) == {JobState.DONE}
        assert session.scalar(select(func.count()).select_from(Prediction)) == _JOBS
        assert session.scalar(select(func.count()).select_from(ResultObject)) == 2 * _JOBS
        finished = Counter(session.scalars(select(AuditEvent.subject).where(AuditEvent.kind == "prediction.positive")))
        assert len(finished) == _JOBS
        assert set(finished.values()) == {1}
        assert max(session.scalars(select(Job.attempts))) >= 2, "someone took over from the killed"
