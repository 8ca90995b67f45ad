"""Every file of the spool that a row names, with the digest that the row has of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import exists, select

from audit.models import Instance, Picture, ResultObject, Upload
from audit.session import Database

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class SpooledFile:
    what: str
    """For people: ``image``, ``result`` or ``picture``, and its UID or row."""
    spool_name: str
    sha256: str
    as_received: bool
    """The digest is of the data set as it came over the wire, not of the whole file."""


def spooled_files(database: Database) -> Iterator[SpooledFile]:
    """In short transactions: a file may be erased between being named here and being opened."""
    uploaded = exists().where(Upload.instance_id == Instance.id)
    for kind, statement, key in (
        ("image", select(Instance.id, Instance.sop_instance_uid, Instance.spool_name, Instance.sha256, ~uploaded),
         Instance),
        ("result", select(ResultObject.id, ResultObject.sop_instance_uid, ResultObject.spool_name, ResultObject.sha256),
         ResultObject),
        ("picture", select(Picture.id, Picture.id, Picture.spool_name, Picture.sha256), Picture),
    ):  # fmt: skip
        last = 0
        while True:
            page = statement.where(key.id > last, key.spool_name != "").order_by(key.id).limit(_AT_ONCE)
            with database.read() as session:
                rows = session.execute(page).all()
            if not rows:
                break
            for row_id, name, spool_name, sha256, *as_received in rows:
                yield SpooledFile(f"{kind} {name}", spool_name, sha256, as_received == [True])
                last = row_id


def is_still_named(database: Database, file: SpooledFile) -> bool:
    with database.read() as session:
        return any(
            session.scalar(select(table.id).where(table.spool_name == file.spool_name).limit(1)) is not None
            for table in (Instance, ResultObject, Picture)
        )
