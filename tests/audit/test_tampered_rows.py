"""What changes an answer of the service is found in the rows of a long life; the life itself is whole."""

# ruff: noqa: S608 - the statements are the tests' own

from __future__ import annotations

from collections.abc import Iterator

import pytest

from audit.session import Database
from tests.audit.databases import emptied
from tests.audit.long_life import live
from tests.audit.tampering import verify, verify_after

_EARLIER = "'2020-01-01 00:00:00.000000'"
_JUDGED = "(SELECT max(prediction_id) FROM pictures)"
_COPIED_DELIVERY = (
    "INSERT INTO deliveries (id, destination, result_object_id, state, attempts, repeats) SELECT 999, 'elsewhere',"
    " result_object_id, 'pending', 0, 0 FROM deliveries WHERE id = (SELECT {} FROM deliveries JOIN result_objects"
    " ON result_object_id = result_objects.id WHERE {})"
)


@pytest.fixture(scope="module")
def lived(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with emptied(database_url, tmp_path_factory.mktemp("lived")) as database:
        live(database)
        yield database


def test_a_long_life_is_whole(lived: Database) -> None:
    found = verify(lived)
    assert found.whole, found.first_bad
    assert found.books.pop("older_predictions") == 0
    assert all(found.books.values()), found.books


def _found(database: Database, words: str, *statements: str) -> None:
    fault = verify_after(database, *statements).first_bad
    assert fault is not None, "nothing was found"
    assert words in fault.why


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE instances SET study_id = 2 WHERE id = 1", "image 1 was changed in the books since its event: study"),
        ("UPDATE studies SET study_instance_uid = '1.9' WHERE id = 1", "since its event: study"),
        ("UPDATE instances SET study_id = 999 WHERE id = 1", "since its event: study"),
        ("UPDATE instances SET series_instance_uid = '1.9' WHERE id = 1", "since its event: series"),
        ("UPDATE instances SET calling_ae_title = 'X' WHERE id = 1", "since its event: calling_ae_title"),
        ("UPDATE instances SET calling_ae_title = 'X' WHERE id IN (SELECT instance_id FROM uploads)", "calling_ae"),
        ("UPDATE instances SET source_id = 2 WHERE id = 1", "since its event: source"),
        ("UPDATE sources SET name = 'x' WHERE name = 'room-2'", "since its event: source"),
        (f"UPDATE instances SET received_at = {_EARLIER} WHERE id = 1", "since its event: received_at"),
        ("DELETE FROM uploads", "since its event: upload"),
        ("UPDATE uploads SET principal = 'other'", "since its event: upload"),
        ("UPDATE uploads SET instance_id = 1, content_sha256 = (SELECT sha256 FROM instances WHERE id = 1)", "upload"),
        ("DELETE FROM jobs WHERE id = 1", "image 1 has no job"),
        ("UPDATE jobs SET state = 'done' WHERE state = 'pending'", "no event tells of an answer"),
    ],
)
def test_of_images(lived: Database, statement: str, words: str) -> None:
    _found(lived, words, statement)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            f"UPDATE predictions SET created_at = {_EARLIER} WHERE id = 1",
            "prediction 1, which was changed in the books",
        ),
        ("UPDATE pictures SET sha256 = 'ef', spool_name = 'x' WHERE kind = 'overlay' AND id > 3", "whose pictures"),
        (f"UPDATE pictures SET prediction_id = 5 WHERE prediction_id = {_JUDGED}", "prediction 5, whose pictures"),
        (f"DELETE FROM pictures WHERE prediction_id = {_JUDGED}", "whose pictures were changed"),
        (f"DELETE FROM pictures WHERE prediction_id = {_JUDGED} AND kind = 'original'", "whose pictures were changed"),
        (f"UPDATE feedback SET created_at = {_EARLIER}", "feedback 1, which was changed in the books: created_at"),
        (
            "UPDATE feedback SET principal = 'other' WHERE id = 2",
            "feedback 2, which was changed in the books: principal",
        ),
    ],
)
def test_of_predictions(lived: Database, statement: str, words: str) -> None:
    _found(lived, words, statement)


@pytest.mark.parametrize("kind", ["report", "study_summary", "rejection_note"])
def test_of_where_results_go(lived: Database, kind: str) -> None:
    theirs = f"result_object_id IN (SELECT id FROM result_objects WHERE kind = '{kind}')"
    _found(lived, "which is gone from the books", f"DELETE FROM deliveries WHERE {theirs}")
    for destination in ("pacs", "archive") if kind != "study_summary" else ("pacs",):
        moved = f"UPDATE deliveries SET destination = 'elsewhere' WHERE destination = '{destination}' AND {theirs}"
        _found(lived, f"for {destination}, which is gone from the books", moved)
    words = "to elsewhere, and the books do" if kind == "report" else "delivery 999 stands in the books"
    for which in ("min(deliveries.id)", "max(deliveries.id)"):
        _found(lived, words, _COPIED_DELIVERY.format(which, f"kind = '{kind}'"))


def test_of_a_result_slipped_in(lived: Database) -> None:
    """Of a study, and of what a model in shadow said."""
    for owner, study in (("NULL", 8), ("(SELECT min(id) FROM predictions WHERE role = 'shadow')", 1)):
        _found(
            lived,
            "delivery 999 stands in the books, and no event tells of it",
            "INSERT INTO result_objects (id, study_id, prediction_id, kind, sop_class_uid, sop_instance_uid,"
            f" series_instance_uid, spool_name, sha256, created_at) SELECT 999, {study}, {owner}, kind, sop_class_uid,"
            " '1.9.9', series_instance_uid, spool_name, sha256, created_at FROM result_objects WHERE id = 1",
            "INSERT INTO deliveries (id, destination, result_object_id, state, attempts, repeats)"
            " VALUES (999, 'pacs', 999, 'pending', 0, 0)",
        )


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE studies SET erased_at = last_received_at WHERE id = 1", "study 1 is erased in the books"),
        ("UPDATE studies SET erased_at = NULL WHERE erased_at IS NOT NULL", "stands in the books as if it were there"),
        *(
            (f"UPDATE model_versions SET {change} WHERE id = 1", f"books since its event: {what}")
            for change, what in (
                ("threshold = 0.4", "threshold"), ("temperature = 2", "temperature"), ("version = '9'", "version"),
                ("name = 'x'", "name"), ("digest = 'ef'", "digest"), ("label = 'x'", "label"),
                ("manufacturer = 'x'", "manufacturer"), ("preprocessing = '[]'", "preprocessing_sha256"),
            )
        ),
        ("UPDATE model_versions SET state = 'shadow' WHERE id = 1", "model 1 is shadow in the books, and idle by"),
        ("UPDATE model_versions SET state = 'idle' WHERE id = 2", "model 2 is idle in the books, and active by"),
        ("UPDATE model_versions SET device_uid = '2.25.9' WHERE id = 2", "tells of model 2.25.22, which is gone"),
        ("INSERT INTO model_versions (id, device_uid, name, version, manufacturer, digest, preprocessing, label,"
         " threshold, temperature, registered_at, state) SELECT 9, '2.25.9', name, version, manufacturer, digest,"
         " preprocessing, label, threshold, temperature, registered_at, 'idle' FROM model_versions WHERE id = 1",
         "model 9 stands in the books, and no event tells of it"),
        ("UPDATE api_keys SET scopes = '[\"admin\"]' WHERE id = 1", "key 1 was changed in the books since its event"),
        ("UPDATE api_keys SET prefix = 'cafecafe' WHERE id = 1", "since its event: prefix"),
        ("UPDATE api_keys SET sha256 = 'ef' WHERE id = 1", "since its event: sha256"),
        ("UPDATE api_keys SET expires_at = NULL WHERE id = 2", "since its event: expires_at"),
        (f"UPDATE api_keys SET expires_at = {_EARLIER} WHERE id = 1", "since its event: expires_at"),
        ("UPDATE api_keys SET revoked_at = NULL WHERE id = 3", "key 3 stands in the books as if it held"),
        ("UPDATE api_keys SET revoked_at = created_at WHERE id = 1", "key 1 is revoked in the books"),
        ("DELETE FROM api_keys WHERE id = 3", "tells of key 'former', which is gone from the books"),
        ("UPDATE api_keys SET name = 'mine' WHERE id = 1", "tells of key 'ward', which is gone from the books"),
        ("INSERT INTO api_keys (id, name, prefix, sha256, scopes, created_at) SELECT 9, 'mine', 'cafecafe', 'ef',"
         " scopes, created_at FROM api_keys WHERE id = 1", "key 9 stands in the books, and no event tells of it"),
    ],
)  # fmt: skip
def test_of_erasures_models_and_keys(lived: Database, statement: str, words: str) -> None:
    _found(lived, words, statement)
