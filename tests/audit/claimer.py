"""A worker as its own process: ``python -m tests.audit.claimer URL SECONDS``.

Claims batches and finishes them, with a pause of SECONDS before each image, until nothing is pending. Prints a line for
each batch before it finishes any of it, so that a test can kill it in between.
"""

from __future__ import annotations

import sys
import time

from sqlalchemy import func, select

from audit.inference_jobs import claim_inference
from audit.models import Job, JobState
from audit.session import Database
from core.errors import LeaseLost
from tests.audit.rows import finish, positive

LEASE_SECONDS = 3.0


def main(url: str, pause_seconds: float) -> None:
    database = Database(url)
    while True:
        with database.write() as session:
            jobs = claim_inference(session, 8, LEASE_SECONDS)
        if not jobs:
            with database.read() as session:
                if not session.scalar(select(func.count()).where(Job.state == JobState.PENDING)):
                    break
            time.sleep(0.1)
            continue
        sys.stdout.write(f"claimed {len(jobs)}\n")
        sys.stdout.flush()
        for job in jobs:
            time.sleep(pause_seconds)
            try:
                with database.write() as session:
                    finish(session, job, positive())
            except LeaseLost:
                sys.stdout.write("lease lost\n")
    database.close()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
