"""``pneumo models compare``: would the other model have said the same?"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.agreement_table import print_agreement
from cli.database import open_database

if TYPE_CHECKING:
    from audit.agreement import Agreement, Pair
    from audit.models import ModelVersion

Model = Annotated[str, typer.Argument(help="NAME@VERSION, or the beginning of a Device UID.")]
_DAY = ["%Y-%m-%d"]


def compare(
    a: Model,
    b: Model,
    first: Annotated[
        datetime | None, typer.Option("--from", formats=_DAY, help="First day of arrival, in UTC.")
    ] = None,
    last: Annotated[
        datetime | None, typer.Option("--to", formats=_DAY, help="Last day of arrival, itself included.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Agreement and score shift of two models on the images that both have an outcome for."""
    from audit.agreement import read_agreement
    from audit.model_versions import find_version

    if first and last and last < first:
        raise typer.BadParameter(f"--to {last:%Y-%m-%d} lies before --from {first:%Y-%m-%d}")
    with open_database() as database, database.read() as session:
        try:
            found = read_agreement(
                session,
                find_version(session, a),
                find_version(session, b),
                received_from=first and first.replace(tzinfo=UTC),
                received_before=last and last.replace(tzinfo=UTC) + timedelta(days=1),
            )
        except ValueError as exc:
            raise typer.BadParameter(str(exc)) from exc
    if as_json:
        days = {"from": first and f"{first:%Y-%m-%d}", "to": last and f"{last:%Y-%m-%d}"}
        typer.echo(json.dumps(_agreement_json(found) | days))
    else:
        print_agreement(found)


def _agreement_json(found: Agreement) -> dict[str, Any]:
    from dataclasses import asdict

    from core.records import Outcome

    words = (Outcome.NEGATIVE, Outcome.POSITIVE)
    only_a, only_b = found.answered_by_one
    return {
        "a": _model_json(found.a),
        "b": _model_json(found.b),
        "images": found.outcomes.total(),
        "n": found.n,
        "agreement": found.agreed / found.n if found.n else None,
        "kappa": found.kappa,
        "table": {said: {other: found.both(said, other) for other in words} for said in words},
        "changed": {
            f"{said}_to_{other}": {"count": count, "share": count / found.n if found.n else None}
            for said, other in (words, words[::-1])
            for count in [found.both(said, other)]
        },
        "score_shift": found.shift and asdict(found.shift),
        "answered_only_by_a": only_a,
        "answered_only_by_b": only_b,
        "most_different": [_pair_json(pair) for pair in found.most_different],
        "one_answered": [_pair_json(pair) | {"reasons": pair.reasons} for pair in found.one_answered],
    }


def _model_json(version: ModelVersion) -> dict[str, Any]:
    return {
        "name": version.name,
        "version": version.version,
        "device_uid": version.device_uid,
        "threshold": version.threshold,
    }


def _pair_json(pair: Pair) -> dict[str, Any]:
    return {
        "sop_instance_uid": pair.sop_instance_uid,
        "a": {"outcome": pair.a, "probability": pair.score_a},
        "b": {"outcome": pair.b, "probability": pair.score_b},
    }
