"""``pneumo recall``: what a withdrawn model said and where it went; marks, rejects and analyses again on request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from cli.database import open_database, operator
from cli.recall import Reason, in_charge, mark, reanalyse, refuse_in_charge, reject
from cli.recall_report import Done, line, print_counts, print_done, print_json, summary_json
from core.settings import load_settings

if TYPE_CHECKING:
    from audit.models import ModelVersion
    from audit.recalls import Recall
    from audit.session import Database

_DAY = ["%Y-%m-%d"]


def recall(  # noqa: PLR0917 - Typer calls it by name
    model: Annotated[
        str, typer.Option("--model", metavar="VERSION", help="Version, NAME@VERSION, or beginning of a Device UID.")
    ],
    since: Annotated[datetime | None, typer.Option(formats=_DAY, help="First day of analysis, in UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=_DAY, help="Last day of analysis, itself included.")] = None,
    to_mark: Annotated[
        bool, typer.Option("--mark", help="Mark the results as recalled, and send none that is not sent yet.")
    ] = False,
    to_reject: Annotated[
        Reason | None,
        typer.Option("--reject", help="Mark them, and send rejection notes to wherever they were sent."),
    ] = None,
    to_reanalyse: Annotated[
        bool, typer.Option("--reanalyse", help="Mark them, and let the active model judge their images.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List every result of a withdrawn model; mark, reject and analyse again only where asked to."""
    from audit.recalls import Recall, count_results, find_model, find_results

    if since and until and until < since:
        raise typer.BadParameter(f"--until {until:%Y-%m-%d} lies before --since {since:%Y-%m-%d}")
    with open_database() as database:
        with database.read() as session:
            try:
                version = find_model(session, model)
            except ValueError as exc:
                raise typer.BadParameter(str(exc)) from exc
        chosen = Recall(
            version.id, since and since.replace(tzinfo=UTC), until and until.replace(tzinfo=UTC) + timedelta(days=1)
        )
        done = Done()
        if to_mark or to_reject or to_reanalyse:
            done = _withdraw(database, version, chosen, to_reject, to_reanalyse)
        with database.read() as session:
            counts, results = count_results(session, chosen), find_results(session, chosen)
            if as_json:
                days = {"since": since and f"{since:%Y-%m-%d}", "until": until and f"{until:%Y-%m-%d}"}
                print_json(summary_json(version, counts, done, to_reject) | days, results)
                return
            if done.marked is None:
                for result in results:
                    typer.echo(line(result))
    print_counts(version, counts)
    print_done(done)


def _withdraw(
    database: Database, version: ModelVersion, chosen: Recall, reason: Reason | None, to_reanalyse: bool
) -> Done:
    from audit.recalls import record_recall, studies_of
    from core.spool import Spool
    from worker.recall import RejectionNotes

    settings = load_settings()
    by = in_charge(database, settings)
    refuse_in_charge(version, by)
    with database.read() as session:
        ids = studies_of(session, chosen)
    with _progress(len(ids)) as step:
        marked = mark(database, chosen, ids, step("marked"))
        rejections = None
        if reason:
            notes = RejectionNotes(settings, database, Spool(settings.spool), reason.document_title, operator())
            rejections = reject(notes, chosen, ids, step("rejected"))
        reanalysis = reanalyse(database, chosen, ids, by, step("queued")) if to_reanalyse else None
    with database.write() as session:
        record_recall(
            session, chosen, operator(), studies=len(ids), **asdict(marked),
            notes=rejections.new if rejections else 0, reanalysed=reanalysis.queued if reanalysis else 0,
        )  # fmt: skip
    return Done(marked, rejections, reanalysis, by)


@contextmanager
def _progress(studies: int) -> Iterator[Callable[[str], Callable[[int], None]]]:
    """A bar for each step, begun by its name."""
    from functools import partial

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (TextColumn("studies {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield lambda name: partial(progress.advance, progress.add_task(name, total=studies))
