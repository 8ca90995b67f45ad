"""What ``pneumo recall`` prints, as text and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

from cli.recall import InCharge, Reason, Rejections
from core.settings import load_settings

if TYPE_CHECKING:
    from audit.models import ModelVersion, Prediction, ResultObject
    from audit.reanalysis import Reanalysis
    from audit.recalls import Marked, RecallCounts

_STATES = ("pending", "under_way", "sent", "confirmed", "stopped", "dead")


@dataclass(frozen=True, slots=True)
class Done:
    """What was asked for beyond the list; None what was not."""

    marked: Marked | None = None
    rejections: Rejections | None = None
    reanalysis: Reanalysis | None = None
    by: InCharge | None = None


def line(result: Prediction) -> str:
    where = Counter(
        (delivery.destination, delivery.state.value) for each in result.result_objects for delivery in each.deliveries
    )
    went = ", ".join(f"{name} {count} {state}" for (name, state), count in sorted(where.items())) or "no deliveries"
    recalled = f"; recalled {result.recalled_at:%Y-%m-%d %H:%M}" if result.recalled_at else ""
    return (
        f"{result.created_at:%Y-%m-%d %H:%M}  {result.outcome:12}  study {result.instance.study.study_instance_uid}  "
        f"image {result.instance.sop_instance_uid}  {went}{recalled}"
    )


def print_counts(version: ModelVersion, counts: RecallCounts) -> None:
    from rich.console import Console
    from rich.table import Table

    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.outcomes.items())) or "none"
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.objects.items())) or "none"
    typer.echo(f"{version.name}@{version.version}, {version.state}, Device UID {version.device_uid}")
    typer.echo(f"{counts.studies} studies, {counts.images} images: {outcomes}; {counts.recalled} recalled")
    typer.echo(f"result objects: {kinds}")
    if counts.destinations:
        table = Table("destination", *(state.replace("_", " ") for state in _STATES))
        for name, states in counts.destinations.items():
            table.add_row(name, *(str(states[state]) for state in _STATES))
        Console(highlight=False).print(table)


def print_done(done: Done) -> None:
    if done.marked is None or done.by is None:
        return
    typer.echo(f"marked: {done.marked.images} images now; {done.marked.stopped} deliveries stopped")
    if done.marked.under_way:
        lease = load_settings().delivery.lease_seconds
        typer.echo(
            f"{done.marked.under_way} deliveries are in a worker's hands: repeat this in {lease:.0f} s to stop what it "
            "could not deliver, and to reject what it did"
        )
    if (notes := done.rejections) is not None:
        due = ", ".join(f"{count} to {name}" for name, count in sorted(notes.destinations.items())) or "nothing to send"
        typer.echo(f"rejection notes: {notes.new} new, {notes.known} known already; {due}")
        for name, studies in sorted(notes.unreachable.items()):
            typer.echo(
                f"{name} has results of {studies} studies and is gone from the configuration: no note went there"
            )
        if notes.failed:
            typer.echo(f"{notes.failed} studies have no note: none of their images can be read any more")
    if (again := done.reanalysis) is not None:
        typer.echo(
            f"analysis by {done.by.name}: {again.queued} images queued, {again.waiting} waiting already, "
            f"{again.done} done already"
        )
        if again.blocked:
            typer.echo(
                f"{again.blocked} images were judged by {done.by.name} before, and that was recalled: activate a third "
                "model for them"
            )


def print_json(summary: dict[str, Any], results: Iterator[Prediction]) -> None:
    """One object; each result on a line of its own, printed as it is read."""
    typer.echo(json.dumps(summary)[:-1] + ', "results": [', nl=False)
    for place, result in enumerate(results):
        typer.echo((",\n" if place else "\n") + json.dumps(_result_json(result)), nl=False)
    typer.echo("\n]}")


def summary_json(version: ModelVersion, counts: RecallCounts, done: Done, reason: Reason | None) -> dict[str, Any]:
    return {
        "model": {
            "name": version.name,
            "version": version.version,
            "device_uid": version.device_uid,
            "state": version.state,
        },
        "studies": counts.studies,
        "images": counts.images,
        "recalled": counts.recalled,
        "outcomes": counts.outcomes,
        "objects": counts.objects,
        "destinations": {
            name: {state: states[state] for state in _STATES} for name, states in counts.destinations.items()
        },
        "marked": done.marked and asdict(done.marked),
        "rejected": done.rejections and {"reason": reason, **vars(done.rejections)},
        "reanalysed": done.reanalysis and done.by and {"by": asdict(done.by), **asdict(done.reanalysis)},
    }


def _result_json(result: Prediction) -> dict[str, Any]:
    return {
        "study_instance_uid": result.instance.study.study_instance_uid,
        "sop_instance_uid": result.instance.sop_instance_uid,
        "outcome": result.outcome,
        "created_at": result.created_at.isoformat(),
        "recalled_at": result.recalled_at and result.recalled_at.isoformat(),
        "objects": [_object_json(each) for each in result.result_objects],
    }


def _object_json(each: ResultObject) -> dict[str, Any]:
    return {
        "kind": each.kind,
        "sop_instance_uid": each.sop_instance_uid,
        "deliveries": [
            {
                "destination": delivery.destination,
                "state": delivery.state,
                "sent_at": delivery.sent_at and delivery.sent_at.isoformat(),
                "confirmed_at": delivery.confirmed_at and delivery.confirmed_at.isoformat(),
                "last_error": delivery.last_error,
            }
            for delivery in each.deliveries
        ],
    }
