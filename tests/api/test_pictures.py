"""Pictures of judged images: to whom they are shown, and what that leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select, update

from audit.models import AuditEvent, Picture, PictureKind, Study, now
from audit.session import Database
from core.scopes import Scope
from core.spool import Spool
from tests.api.answering_worker import AnsweringWorker, answering, png
from tests.api.conftest import StartAPI
from tests.api.prediction_clients import client_with, key_of, settings_of_api
from tests.audit.databases import migrated
from tests.audit.rows import book, not_analysed


@pytest.fixture(scope="module")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One kind is enough: what differs between them is not what is tested here."""
    with migrated("sqlite", tmp_path_factory.mktemp("migrated")) as url:
        yield url


@pytest.fixture
def worker(database: Database, tmp_path: Path) -> Iterator[AnsweringWorker]:
    with answering(AnsweringWorker(database, Spool((tmp_path / "home" / "spool").as_uri()))) as worker:
        yield worker


@pytest.fixture
def client(start_api: StartAPI, database: Database) -> httpx.Client:
    client = start_api(api=settings_of_api())
    client.headers["Authorization"] = f"Bearer {key_of(database, 'ward')}"
    return client


def predicted(client: httpx.Client) -> int:
    number: int = client.post("/predict", files={"file": png()}).json()["prediction_id"]
    return number


def reads(database: Database) -> list[AuditEvent]:
    with database.read() as session:
        return list(session.scalars(select(AuditEvent).where(AuditEvent.kind == "api.read")))


@pytest.mark.usefixtures("worker")
def test_who_uploaded_an_image_sees_its_pictures(client: httpx.Client, database: Database) -> None:
    number = predicted(client)
    for kind in PictureKind:
        answer = client.get(f"/v1/predictions/{number}/{kind}.png")
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")
        assert answer.content == png(len(kind))
    assert [(event.actor, event.data["picture"]) for event in reads(database)] == [
        ("ward", kind) for kind in PictureKind
    ]


@pytest.mark.usefixtures("worker")
def test_a_picture_that_has_not_changed_is_not_sent_again(client: httpx.Client, database: Database) -> None:
    path = f"/v1/predictions/{predicted(client)}/overlay.png"
    tag = client.get(path).headers["ETag"]
    again = client.get(path, headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert len(reads(database)) == 1


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        ([Scope.AUDIT_READ, Scope.PHI_READ], 200),
        ([Scope.AUDIT_READ], 403),
        ([Scope.PHI_READ], 403),
        ([Scope.PREDICT], 404),
        ([Scope.PREDICT, Scope.AUDIT_READ], 404),
        ([Scope.JOBS_WRITE, Scope.ADMIN, Scope.FEEDBACK_WRITE], 403),
    ],
)
def test_others_need_to_be_let(client: httpx.Client, database: Database, scopes: list[Scope], status: int) -> None:
    number = predicted(client)
    with client_with(key_of(database, "other", scopes), client) as other:
        assert other.get(f"/v1/predictions/{number}/original.png").status_code == status


@pytest.mark.parametrize("scopes", [[Scope.PREDICT], [Scope.AUDIT_READ, Scope.PHI_READ]])
def test_an_image_that_was_not_judged_has_none(
    client: httpx.Client, database: Database, worker: AnsweringWorker, scopes: list[Scope]
) -> None:
    worker.say = lambda _job: not_analysed("not_frontal")
    book(database)  # of the PACS
    uploaded = client.post("/predict", files={"file": png()})
    assert uploaded.status_code == 422
    with client_with(key_of(database, "other", scopes), client) as other:
        answers = [other.get(f"/v1/predictions/{number}/overlay.png") for number in (1, 2, 3)]
    assert [answer.status_code for answer in answers] == [404] * 3
    sees_all = Scope.PHI_READ in scopes
    assert ["did not judge" in answer.json()["detail"] for answer in answers] == [sees_all, sees_all, False]


@pytest.mark.usefixtures("worker")
def test_what_was_erased_is_gone(client: httpx.Client, database: Database) -> None:
    number = predicted(client)
    with database.write() as session:
        session.execute(update(Picture).values(spool_name=""))
        session.execute(update(Study).values(erased_at=now()))
    answer = client.get(f"/v1/predictions/{number}/overlay.png")
    assert (answer.status_code, "erased" in answer.json()["detail"]) == (404, True)


def test_a_kind_that_is_none(client: httpx.Client) -> None:
    assert client.get("/v1/predictions/1/other.png").status_code == 422
