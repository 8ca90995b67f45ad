"""``pneumo pull``: studies of the past from an archive."""

from __future__ import annotations

import json
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.database import open_database, operator
from core.destinations import DICOMArchive, DICOMwebArchive
from core.errors import ConfigurationError
from core.logs import configure_logs
from core.settings import Settings, load_settings

if TYPE_CHECKING:
    from rich.console import Console

    from audit.pulls import OpenPull, PullQuery
    from audit.session import Database
    from cli.pull import Puller, Stopped
    from cli.pull_intake import PullIntake
    from worker.archive import Archive

_DAY = ["%Y-%m-%d"]
_MODALITIES = ("CR", "DX")
_INTERRUPTED = 130


def pull(
    *,
    source: Annotated[str, typer.Option("--from", metavar="ARCHIVE", help="Configured name of the archive.")],
    since: Annotated[datetime | None, typer.Option(formats=_DAY, help="First Study Date.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=_DAY, help="Last Study Date.")] = None,
    modality: Annotated[list[str] | None, typer.Option(help="Of the series to get; CR and DX if left out.")] = None,
    window: Annotated[str | None, typer.Option(metavar="HH:MM-HH:MM", help="Ask the archive only then.")] = None,
    per_minute: Annotated[float | None, typer.Option(min=0.01, help="At most so many studies a minute.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the last unfinished pull.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try the last pull's failures again.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Get studies that are here already as well.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the studies there are.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Get studies of the past from an archive, to analyse them or to make good for an outage.

    The same command goes on where an earlier one stopped. Exits with 1 if it stopped or a study failed.
    """
    from rich.console import Console

    from cli.pull import Pace, Puller
    from cli.pull_intake import open_intake
    from cli.pull_pace import Window
    from cli.pull_progress import PullProgress
    from cli.pull_report import Parties, explain, print_summary, summarise

    settings = load_settings()
    configure_logs(settings.log_format)
    archive = _archive(settings, source)
    query = _query(since, until, modality)
    if query is None and (dry_run or not (resume or retry_failed)):
        raise ConfigurationError("say which days: --since YYYY-MM-DD --until YYYY-MM-DD")
    pace = Pace(None if window is None else Window.parse(window), per_minute)
    parties = Parties(
        archive.name,
        settings.listener.ae_title,
        archive.ae_title if isinstance(archive, DICOMArchive) else archive.url,
    )
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    _warn_of_a_stranger(console, settings, archive)
    with (
        open_database() as database,
        open_intake(settings, archive, database) as intake,
        _interruptible(console) as stopping,
        PullProgress(console) as progress,
    ):
        puller = Puller(_connect(settings, archive, intake), pace, stopping, progress)
        if dry_run and query is not None:
            counted, stopped = _count(puller, query, archive.name)
        else:
            opened = _open(database, archive.name, query, resume=resume, retry_failed=retry_failed)
            if opened.resumed:
                progress.say(f"going on with pull {opened.id}, {opened.query.since} to {opened.query.until}")
            stopped = _run(database, opened, puller, intake, again=again)
            counted = summarise(database, opened, archive.name, puller)
    counted["stopped"] = stopped and stopped.code
    if as_json:
        typer.echo(json.dumps(counted))
    else:
        print_summary(Console(highlight=False, soft_wrap=True), counted)
    if stopped is not None:
        console.print(explain(stopped, parties), style="red", markup=False)
    if stopped is not None and stopped.code == "interrupted":
        raise typer.Exit(_INTERRUPTED)
    raise typer.Exit(1 if stopped or counted.get("failed") else 0)


def _archive(settings: Settings, name: str) -> DICOMArchive | DICOMwebArchive:
    known = {archive.name: archive for archive in settings.archives}
    if name not in known:
        raise ConfigurationError(f"there is no archive {name!r}, configured: {', '.join(known) or 'none'}")
    return known[name]


def _query(since: datetime | None, until: datetime | None, modalities: list[str] | None) -> PullQuery | None:
    from audit.pulls import PullQuery

    if since is None and until is None:
        return None
    if since is None or until is None or until < since:
        raise ConfigurationError("give --since and --until, the earlier day first")
    chosen = sorted({each.upper() for each in modalities or _MODALITIES})
    if bad := [each for each in chosen if not re.fullmatch(r"[A-Z0-9_]{1,16}", each)]:  # PS3.5 6.2, VR CS
        raise ConfigurationError(f"a modality is a word such as CR or DX, got {', '.join(bad)}")
    return PullQuery(since.date(), until.date(), tuple(chosen))


def _warn_of_a_stranger(console: Console, settings: Settings, archive: DICOMArchive | DICOMwebArchive) -> None:
    if not isinstance(archive, DICOMArchive) or archive.retrieve != "move":
        return
    if archive.ae_title not in {title for source in settings.sources for title in source.ae_titles}:
        console.print(
            f"our listener refuses {archive.ae_title}, which is in the ae_titles of no [[sources]] section: "
            "no image will arrive unless the archive sends them under another AE title",
            style="yellow",
            markup=False,
        )


def _connect(settings: Settings, archive: DICOMArchive | DICOMwebArchive, intake: PullIntake) -> Archive:
    from pacs_listener.admission import STORAGE_CLASSES
    from worker.dicom_archive import GettingArchive, MovingArchive
    from worker.web_archive import WebArchive

    own = settings.listener.ae_title
    if isinstance(archive, DICOMwebArchive):
        return WebArchive(archive, folder=intake.folder, store=intake.store)
    if archive.retrieve == "move":
        return MovingArchive(archive, own, destination=own)
    return GettingArchive(archive, own, storage_classes=STORAGE_CLASSES, folder=intake.folder, store=intake.store)


@contextmanager
def _interruptible(console: Console) -> Iterator[threading.Event]:
    """The event is set by the first Ctrl-C, or SIGTERM; the second Ctrl-C raises KeyboardInterrupt."""
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()
        console.print("stopping after this study; Ctrl-C again to stop at once")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _count(puller: Puller, query: PullQuery, archive: str) -> tuple[dict[str, Any], Stopped | None]:
    from cli.pull import Stopped

    found, stopped = 0, None
    try:
        found = len(puller.list_studies(query))
    except Stopped as exc:
        stopped = exc
    return {"archive": archive, "found": found, "malformed": puller.malformed}, stopped


def _open(database: Database, archive: str, query: PullQuery | None, *, resume: bool, retry_failed: bool) -> OpenPull:
    from audit.pulls import reopen_pull, start_pull

    with database.write() as session:
        if query is not None and not resume and not retry_failed:
            return start_pull(session, archive, query, operator())
        opened = reopen_pull(session, archive, query, operator(), retry_failed=retry_failed)
    if opened is None:
        which = "pull" if retry_failed else "unfinished pull"
        raise ConfigurationError(f"there is no {which} from {archive} to go on with")
    return opened


def _run(database: Database, opened: OpenPull, puller: Puller, intake: PullIntake, *, again: bool) -> Stopped | None:
    from audit.pulls import finish_pull
    from cli.pull import Stopped

    try:
        puller.book_studies(database, opened)
        puller.retrieve_studies(database, opened, intake, again=again)
    except Stopped as exc:
        return exc
    except KeyboardInterrupt:
        return Stopped("interrupted")
    with database.write() as session:
        finish_pull(session, opened.id, operator())
    return None
