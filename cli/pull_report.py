"""What a pull says: why it stopped and what to do about it, and what it has done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from audit.pulls import OpenPull, progress
from audit.session import Database
from cli.pull import Puller, Stopped

_LISTENER = (
    "could not send to our listener, {own}: it must run (`pneumo listen`) and have {peer} among the ae_titles of a "
    "[[sources]] section, and the archive must know {own} with the right host and port"
)
_ADVICE = {
    "association_rejected": "refuses us: it must know {own} as a calling AE title, and go by {peer} itself",
    "association_rejected_for_now": "is busy",
    "disk_reserve_reached": "was not asked on: this machine has less free disk than listener.disk_reserve_bytes",
    "http_401": "refuses our credentials",
    "http_403": "refuses our credentials",
    "interrupted": "was not asked on, as you wished",
    "move_destination_unknown": "does not know {own} as a move destination: give it this AE title, host and port",
    "no_accepted_context": "does not offer what this needs (C-FIND, and C-MOVE or C-GET, study root)",
    "no_answer": "does not answer in time",
    "no_association": "cannot be reached: is it running, and are host, port and TLS right?",
    "no_connection": "cannot be reached: is it running, and are host and port right?",
    "no_image_was_taken": _LISTENER,
    "sub_operations_impossible": _LISTENER,
    "tls_refused": "and we do not agree on TLS: check ca, certificate and key",
    "too_many_matches": "has more studies on one day than can be right",
    "unknown_host": "has a host name that nobody knows",
}


@dataclass(frozen=True, slots=True)
class Parties:
    archive: str
    own: str
    peer: str
    """The archive's AE title, or its URL."""


def explain(stopped: Stopped, parties: Parties) -> str:
    advice = _ADVICE.get(stopped.code, "cannot serve us").format(own=parties.own, peer=parties.peer)
    detail = f"{stopped.code}, {stopped.detail}" if stopped.detail else stopped.code
    return f"{parties.archive} {advice} ({detail}). The same command goes on where this one stopped."


def summarise(database: Database, pull: OpenPull, archive: str, puller: Puller) -> dict[str, Any]:
    with database.read() as session:
        reached = progress(session, pull.id)
    return {
        "pull": pull.id,
        "archive": archive,
        "resumed": pull.resumed,
        "found": reached.pending + reached.done + reached.failed,
        "done": reached.done,
        "failed": reached.failed,
        "pending": reached.pending,
        "images": reached.images,
        "here_already": puller.here_already,
        "malformed": puller.malformed,
        "failures": reached.failures,
    }


def print_summary(console: Console, summary: dict[str, Any]) -> None:
    if "pull" not in summary:
        console.print(f"{summary['found']} studies in {summary['archive']}")
    else:
        console.print(
            f"pull {summary['pull']} from {summary['archive']}: {summary['found']} studies, {summary['done']} done, "
            f"{summary['failed']} failed, {summary['pending']} to do; {summary['images']} images came"
        )
    if summary.get("here_already"):
        console.print(f"{summary['here_already']} of them had nothing that is not here already")
    if summary["malformed"]:
        console.print(f"{summary['malformed']} answers without a valid Study Instance UID were left out")
    if summary.get("failures"):
        table = Table("failed with", "studies")
        for code, number in sorted(summary["failures"].items()):
            table.add_row(code, str(number))
        console.print(table)
        console.print("The same command with --retry-failed tries them again.")
