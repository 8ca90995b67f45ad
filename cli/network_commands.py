"""``pneumo echo | send``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli.sending import PICTURES, Stored, Target, echo_once, store_files
from core.errors import ConfigurationError

__all__ = ["Target", "echo", "echo_once", "send", "store_files"]

_From = Annotated[
    str | None, typer.Option("--from", metavar="AE", help="Our own AE title; the listener's if left out.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_RECEIVER = "AE@HOST:PORT"


def echo(
    receiver: Annotated[str, typer.Argument(metavar=_RECEIVER, help="Whom to ask.")],
    calling: _From = None,
    as_json: _Json = False,
) -> None:
    """Ask a DICOM node whether it would talk to us (C-ECHO). Exits with 1 if not."""
    target = Target.parse(receiver)
    try:
        ok, answer = True, echo_once(target.ae_title, target.host, target.port, calling or _own_ae_title())
    except ConfigurationError as exc:
        ok, answer = False, str(exc)
    typer.echo(json.dumps({"ok": ok, "answer": answer}) if as_json else answer, err=not ok and not as_json)
    raise typer.Exit(0 if ok else 1)


def send(
    paths: Annotated[list[Path], typer.Argument(help="DICOM, JPEG or PNG files, and folders of them.", exists=True)],
    to: Annotated[str, typer.Option("--to", metavar=_RECEIVER, help="Whom to send to.")],
    calling: _From = None,
    as_json: _Json = False,
) -> None:
    """Send files by C-STORE, DICOM as it is, JPEG and PNG wrapped as DX. Exits with 1 if any was not stored."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    target = Target.parse(to)
    files = list(_files(paths))
    if not files:
        raise ConfigurationError("there is no DICOM, JPEG or PNG file in what was given")
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (TextColumn("to {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(target.ae_title, total=len(files))

        def advance(_stored: Stored) -> None:
            progress.advance(task)

        answers = store_files(files, target, calling or _own_ae_title(), advance)
    if as_json:
        rows = [{"path": str(each.path), "status": each.status, "error": each.error} for each in answers]
        typer.echo(json.dumps({"files": rows}))
    else:
        _print_summary(answers)
    raise typer.Exit(0 if all(each.is_stored for each in answers) else 1)


def _print_summary(answers: Sequence[Stored]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("status", "meaning", "files")
    for (status, meaning), count in sorted(Counter((_number(each), _meaning(each)) for each in answers).items()):
        table.add_row(status, meaning, str(count))
    console = Console(highlight=False)
    console.print(table)
    for each in answers:
        if not each.is_stored:
            console.print(f"{each.path}: {_number(each)} {each.error}", markup=False, soft_wrap=True)


def _number(stored: Stored) -> str:
    return "none" if stored.status is None else f"0x{stored.status:04X}"


def _meaning(stored: Stored) -> str:
    from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS

    if stored.status is None:
        return stored.error
    category, meaning = STORAGE_SERVICE_CLASS_STATUS.get(stored.status, ("Unknown", ""))
    return f"{category}: {meaning}" if meaning else category


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """What was named, and what lies in folders and is DICOM or a picture."""
    for path in paths:
        if path.is_dir():
            inside = (each for each in sorted(path.rglob("*")) if each.is_file())
            yield from (each for each in inside if each.suffix.lower() in PICTURES or _is_dicom(each))
        else:
            yield path


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(128)
        return file.read(4) == b"DICM" and path.name != "DICOMDIR"  # PS3.10 7.1


def _own_ae_title() -> str:
    from core.settings import load_settings

    return load_settings().listener.ae_title
