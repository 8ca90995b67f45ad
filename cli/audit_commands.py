"""``pneumo audit verify | export``: evidence that nobody touched the audit trail. Erasing has a module of its own."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.bars import bars
from cli.database import open_database, operator
from cli.erasure_commands import erase, purge
from core.settings import load_settings

if TYPE_CHECKING:
    from audit.anchors import Anchors
    from audit.verification import Findings
    from cli.spool_check import CheckedFiles

app = typer.Typer(help="The audit trail: verify, export, erase what tells of patients.", no_args_is_help=True)

AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def verify(
    anchor_file: Annotated[
        Path | None,
        typer.Option("--anchors", metavar="FILE", exists=True, dir_okay=False, help="Instead of audit.anchor_file."),
    ] = None,
    files: Annotated[bool, typer.Option("--files", help="Read every file of the spool that a row names, too.")] = False,
    as_json: AsJSON = False,
) -> None:
    """Recompute the whole chain of events and hold it against head, anchors and books; exit code 1 when broken."""
    from audit.anchors import Anchors, read_anchor_file
    from audit.evidence.book import Fault
    from audit.verdicts import record_verdict
    from audit.verification import Verification
    from cli.spool_check import check_files
    from core.spool import Spool

    settings = load_settings()
    path = anchor_file or settings.audit.anchor_file
    anchors = read_anchor_file(path) if path is not None and path.is_file() else Anchors()
    with open_database() as database, bars() as bar:
        walk, advance = Verification(database, anchors.found), bar("events", 1.0)
        before = 0.0
        while walk.step():
            advance(walk.progress - before)
            before = walk.progress
        findings, checked = walk.findings(), None
        if files:
            advance = bar("files", None)
            checked = check_files(database, Spool(settings.spool), lambda: advance(1))
            if findings.whole and checked.first_bad is not None:
                findings = replace(findings, first_bad=Fault(None, checked.first_bad))
        with database.write() as session:
            record_verdict(session, findings, operator())
    if as_json:
        typer.echo(json.dumps(_verdict_json(findings, path, anchors, checked)))
    else:
        _print_verdict(findings, path, anchors, checked)
    raise typer.Exit(0 if findings.whole else 1)


def _verdict_json(
    findings: Findings, path: Path | None, anchors: Anchors, checked: CheckedFiles | None
) -> dict[str, Any]:
    return {
        "whole": findings.whole,
        "events": findings.events,
        "first_bad": findings.first_bad and asdict(findings.first_bad),
        "head": findings.head and asdict(findings.head),
        "anchors": {
            "file": path and str(path),
            "found": len(anchors.found),
            "held": findings.anchors,
            "unreadable": anchors.unreadable,
        },
        "books": findings.books,
        "files": checked and asdict(checked),
    }


def _print_verdict(findings: Findings, path: Path | None, anchors: Anchors, checked: CheckedFiles | None) -> None:
    fault = findings.first_bad
    if fault is None:
        typer.echo(f"whole: {findings.events} events, each follows the one before it")
    else:
        typer.echo(f"BROKEN: {fault.why}" if fault.id is None else f"BROKEN: event {fault.id} {fault.why}")
    if findings.head:
        typer.echo(f"head: event {findings.head.event_id}, {findings.head.hash}")
    if path is None:
        typer.echo("anchors: none; without audit.anchor_file, a chain whose end was cut off looks whole")
    elif not anchors.found:
        typer.echo(f"anchors: none in {path}")
    else:
        typer.echo(f"anchors: {findings.anchors} of {path}, {anchors.unreadable} lines unreadable")
    typer.echo("books: " + ", ".join(f"{count} {book.replace('_', ' ')}" for book, count in findings.books.items()))
    if checked is not None:
        typer.echo(f"spool: {checked.checked} files, {checked.missing} missing, {checked.changed} changed")


@app.command()
def export(
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Instead of standard output.")] = None,
) -> None:
    """Every event in the order of the chain, a line of JSON each, to check without us (docs/integrity.md)."""
    from audit.chain_export import exported_events

    with open_database() as database:
        if out is None:
            sys.stdout.buffer.writelines(exported_events(database))
            sys.stdout.buffer.flush()
            return
        try:
            with out.open("xb") as file:
                file.writelines(exported_events(database))
        except FileExistsError as exc:
            raise typer.BadParameter(f"{out} exists") from exc


app.command()(purge)
app.command()(erase)
