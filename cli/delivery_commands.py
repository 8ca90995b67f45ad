"""``pneumo deliveries list | requeue``: what was sent where, and what to try again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from cli.database import open_database, operator
from core.records import DeliveryState

if TYPE_CHECKING:
    from audit.models import Delivery

app = typer.Typer(help="Result objects on their way to the PACS.", no_args_is_help=True)

State = Annotated[DeliveryState | None, typer.Option(help="Only those in this state.")]
Destination = Annotated[str | None, typer.Option(help="Only those for this destination, by its configured name.")]
AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class _Row(TypedDict):
    id: int
    destination: str
    kind: str
    sop_instance_uid: str
    state: str
    attempts: int
    due_at: str | None
    sent_at: str | None
    confirmed_at: str | None
    last_status: str | None
    last_error: str | None


@app.command("list")
def list_(
    state: State = None,
    destination: Destination = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 100,
    as_json: AsJSON = False,
) -> None:
    """What was sent where, newest first."""
    from rich.console import Console
    from rich.table import Table

    from audit.deliveries import DeliveryFilter
    from audit.delivery_listing import find_deliveries

    with open_database() as database, database.read() as session:
        deliveries = find_deliveries(session, DeliveryFilter(state=state, destination=destination), limit)
    if as_json:
        typer.echo(json.dumps({"deliveries": [_row(delivery) for delivery in deliveries]}))
        return
    table = Table("id", "destination", "object", "state", "attempts", "last answer", "next try")
    for delivery in deliveries:
        row = _row(delivery)
        answer = " ".join(word for word in (row["last_status"], row["last_error"]) if word)
        waits = delivery.state is DeliveryState.PENDING
        due = f"{delivery.due_at:%Y-%m-%d %H:%M:%S}" if delivery.due_at else "when its study is complete"
        table.add_row(
            str(delivery.id), delivery.destination, delivery.result_object.kind, delivery.state,
            str(delivery.attempts), answer, due if waits else "",
        )  # fmt: skip
    Console().print(table)


@app.command()
def requeue(
    ids: Annotated[list[int] | None, typer.Option("--id", help="This delivery; may be given several times.")] = None,
    state: State = None,
    destination: Destination = None,
    as_json: AsJSON = False,
) -> None:
    """Try deliveries again from the start, each at the destination it always had."""
    from audit.deliveries import DeliveryFilter, requeue_deliveries

    if not ids and state is None:
        raise typer.BadParameter(
            "say which: --id N, or --state dead (with --destination NAME for one destination only)"
        )
    with open_database() as database, database.write() as session:
        chosen = DeliveryFilter(state=state, destination=destination, ids=tuple(ids or ()))
        requeued = requeue_deliveries(session, chosen, operator())
    if as_json:
        typer.echo(json.dumps({"requeued": requeued}))
    else:
        typer.echo(f"{len(requeued)} requeued; the delivery worker takes them up within seconds")


def _row(delivery: Delivery) -> _Row:
    return {
        "id": delivery.id,
        "destination": delivery.destination,
        "kind": delivery.result_object.kind,
        "sop_instance_uid": delivery.result_object.sop_instance_uid,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "due_at": delivery.due_at.isoformat() if delivery.due_at else None,
        "sent_at": delivery.sent_at.isoformat() if delivery.sent_at else None,
        "confirmed_at": delivery.confirmed_at.isoformat() if delivery.confirmed_at else None,
        "last_status": _status(delivery),
        "last_error": delivery.last_error,
    }


def _status(delivery: Delivery) -> str | None:
    """Of DIMSE in its four hexadecimal digits, of HTTP as it is."""
    if delivery.last_status is None:
        return None
    is_message = not delivery.result_object.sop_class_uid
    return str(delivery.last_status) if is_message else f"0x{delivery.last_status:04X}"
