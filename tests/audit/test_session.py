from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError, StatementError

from audit.models import Source, Study
from audit.session import Database


def _study(**changes: object) -> Study:
    values = {"patient_id": "", "issuer_of_patient_id": "", "accession_number": "", "study_date": ""} | changes
    return Study(study_instance_uid="1.2.3", **values)


def test_a_block_that_fails_writes_nothing(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as session:
        session.add_all([Source(name="room-1"), Source(name="room-2"), Source(name="room-2")])
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Source)) == 0


def test_errors_of_the_database_quote_no_patient(database: Database) -> None:
    with database.write() as session:
        session.add(_study())
    with pytest.raises(IntegrityError) as failure, database.write() as session:
        session.add(_study(patient_id="SECRET"))
    assert "SECRET" not in str(failure.value)


def test_times_are_utc_whatever_zone_they_come_in(database: Database) -> None:
    moment = datetime(2026, 3, 2, 9, tzinfo=timezone(timedelta(hours=1)))
    with database.write() as session:
        session.add(Source(name="room-1", first_seen_at=moment))
    with database.read() as session:
        read = session.scalars(select(Source.first_seen_at)).one()
    assert (read, read.tzinfo) == (moment, UTC)
    naive = moment.replace(tzinfo=None)
    with pytest.raises(StatementError, match="expected an aware datetime"), database.write() as session:
        session.add(Source(name="room-2", first_seen_at=naive))
