from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from audit import schema
from audit.models import Base
from audit.session import Database
from tests.audit.databases import KINDS
from tests.databases import temporary_postgresql


@pytest.fixture(params=KINDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
    else:
        with temporary_postgresql() as url:
            yield url


@pytest.fixture
def empty(empty_url: str) -> Iterator[Database]:
    database = Database(empty_url)
    yield database
    database.close()


def test_the_migrations_make_what_the_models_say(empty: Database) -> None:
    assert schema.current_revision(empty) is None
    schema.upgrade(empty)
    assert schema.current_revision(empty) == schema.newest_revision()
    assert schema.drift(empty) == []
    schema.upgrade(empty)  # again: nothing to do


def test_every_migration_can_be_taken_back(empty: Database) -> None:
    schema.upgrade(empty)
    config = schema._config()
    with empty.engine.execution_options(pneumo_writing=True).connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        connection.commit()
    assert set(inspect(empty.engine).get_table_names()) <= {"alembic_version"}
    schema.upgrade(empty)
    assert set(Base.metadata.tables) < set(inspect(empty.engine).get_table_names())


def test_processes_that_start_together_migrate_once(empty_url: str) -> None:
    program = (
        "import sys; from audit import schema; from audit.session import Database;"
        "database = Database(sys.argv[1]); schema.upgrade(database); database.close()"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program, empty_url]) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]


def test_results_and_deliveries_of_before_survive_migration_0003(empty: Database) -> None:
    at = {"at": "2026-01-02 03:04:05.000000"}
    schema.upgrade(empty, "0002")
    with empty.engine.begin() as connection:
        for statement in (
            "INSERT INTO sources (id, name, first_seen_at, last_seen_at) VALUES (1, 'CR', :at, :at)",
            "INSERT INTO studies (id, study_instance_uid, patient_id, issuer_of_patient_id, accession_number,"
            " study_date, first_received_at, last_received_at, reported_at)"
            " VALUES (7, '1.2', 'P', '', '', '', :at, :at, :at)",
            "INSERT INTO instances (id, study_id, source_id, sop_instance_uid, sop_class_uid, series_instance_uid,"
            " transfer_syntax_uid, modality, patient_id, issuer_of_patient_id, calling_ae_title, called_ae_title,"
            " peer_address, spool_name, sha256, size_bytes, received_at)"
            " VALUES (1, 7, 1, '1.2.3', '1', '1', '1', 'DX', 'P', '', 'A', 'B', 'C', 'd', 'e', 1, :at)",
            "INSERT INTO model_versions (id, device_uid, name, version, manufacturer, digest, preprocessing, label,"
            " threshold, temperature, registered_at) VALUES (1, '2.25.1', 'm', '1', 'x', 'y', '', 'z', 0.5, 1, :at)",
            "INSERT INTO predictions (id, instance_id, model_version_id, outcome, stage_seconds, created_at)"
            " VALUES (1, 1, 1, 'failed', '{}', :at)",
            "INSERT INTO result_objects (id, prediction_id, kind, sop_class_uid, sop_instance_uid, series_instance_uid,"
            " spool_name, sha256, created_at) VALUES (3, 1, 'report', '1', '1.2.3.4', '1', 's', 'h', :at)",
            "INSERT INTO deliveries (id, result_object_id, destination, state, attempts) VALUES (5, 3, 'p', 'sent', 1)",
        ):
            connection.execute(text(statement), at)

    schema.upgrade(empty)

    with empty.engine.begin() as connection:
        assert connection.execute(text("SELECT id, study_id, prediction_id FROM result_objects")).all() == [(3, 7, 1)]
        assert connection.execute(text("SELECT result_object_id, repeats FROM deliveries")).all() == [(3, 0)]
        concluded = "SELECT count(*) FROM studies WHERE concluded_at = reported_at"
        assert connection.scalar(text(concluded)) == 1  # an upgrade writes nothing about studies of the past
    wrong = "UPDATE result_objects SET kind = 'fax'", "UPDATE deliveries SET result_object_id = 4"
    for statement in wrong:
        with pytest.raises(IntegrityError), empty.engine.begin() as connection:
            connection.execute(text(statement))
