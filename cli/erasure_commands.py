"""``pneumo audit purge | erase``: what tells of patients goes, some hundred studies at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli.bars import bars
from cli.database import open_database, operator
from core.settings import load_settings

if TYPE_CHECKING:
    from audit.retention import Chosen, Erased
    from audit.session import Database

AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count what would be erased.")]


def purge(
    before: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="Studies of which nothing arrived since this day began, UTC.")
    ],
    dry_run: DryRun = False,
    as_json: AsJSON = False,
) -> None:
    """Erase what tells of the patients of old studies: files, identifiers, comments. Predictions and events stay."""
    from audit.retention import studies_before

    moment = before.replace(tzinfo=UTC)
    if moment > datetime.now(UTC):
        raise typer.BadParameter(f"{before:%Y-%m-%d} lies in the future")
    _erase(studies_before(moment), "retention", dry_run=dry_run, as_json=as_json)


def erase(
    patient_id: Annotated[str, typer.Option(metavar="ID", help="As received.")],
    issuer: Annotated[
        str | None, typer.Option(help="Issuer of the Patient ID; needed where there are several.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJSON = False,
) -> None:
    """Erase the same of one patient's studies, whole studies; exit code 1 where something of them is unfinished."""
    from audit.retention import Patient, issuers_of, studies_of_patient

    with open_database() as database, database.read() as session:
        issuers = issuers_of(session, patient_id)
    if issuer is None and len(issuers) > 1:
        raise typer.BadParameter(
            f"this ID is known from several issuers, give --issuer: {', '.join(map(repr, issuers))}"
        )
    done = _erase(studies_of_patient(Patient(patient_id, issuer)), "request", dry_run=dry_run, as_json=as_json)
    if done.unfinished and not dry_run:
        raise typer.Exit(1)


def _erase(studies: Chosen, why: str, *, dry_run: bool, as_json: bool) -> Erased:
    from audit.retention import count_erasable, remove_files
    from core.spool import Spool

    with open_database() as database:
        with database.read() as session:
            done = count_erasable(session, studies)
        left = 0
        if not dry_run:
            spool = Spool(load_settings().spool)
            done = _erase_in_batches(database, studies, why, done.studies, lambda: remove_files(database, spool))
            _, left = remove_files(database, spool)
    if as_json:
        typer.echo(json.dumps({"dry_run": dry_run, **asdict(done), "files_left": left}))
    else:
        would = "would erase" if dry_run else "erased"
        typer.echo(
            f"{would}: {_counted(done.studies, 'study', 'studies')} with {_counted(done.images, 'image')}, "
            f"{_counted(done.results, 'result')}, {_counted(done.pictures, 'picture')}, "
            f"{_counted(done.kept_aside, 'file')} kept aside, {_counted(done.comments, 'comment')}"
        )
        if done.unfinished:
            studies_left = _counted(done.unfinished, "study", "studies")
            typer.echo(f"left alone: {studies_left} with something still to be analysed, sent or confirmed")
        if left:
            files = _counted(left, "file")
            typer.echo(f"{files} could not be removed from the spool: repeat this to try again", err=True)
    if left:
        raise typer.Exit(1)
    return done


def _counted(number: int, one: str, several: str = "") -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"


def _erase_in_batches(
    database: Database, studies: Chosen, why: str, expected: int, remove: Callable[[], object]
) -> Erased:
    """Rows and files of some hundred studies at a time, so that an interrupted call has done what it has done."""
    from audit.models import Study
    from audit.retention import STUDIES_AT_ONCE, Erased, erase_studies

    done, last = Erased(), 0
    remove()  # what an interrupted call has left
    with bars() as bar:
        advance = bar("studies", expected)
        while True:
            with database.write() as session:
                ids = session.scalars(studies.where(Study.id > last).limit(STUDIES_AT_ONCE)).all()
                if not ids:
                    return done
                batch = erase_studies(session, ids, actor=operator(), why=why)
            remove()
            done, last = done + batch, ids[-1]
            advance(batch.studies)
