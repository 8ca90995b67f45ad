"""``pneumo models drift``: does each source still send what it used to?"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.database import open_database
from cli.drift_table import QUANTILES, print_report, warning_lines

if TYPE_CHECKING:
    from audit.drift import DriftReport, SourceDrift
    from audit.stability import Share
    from audit.tallies import Days, Tally


class By(StrEnum):
    WEEK = "week"
    DAY = "day"


def drift(  # noqa: PLR0917 - Typer calls it by name
    reference: Annotated[
        str | None,
        typer.Option(help="Days to hold against, FROM..TO. Otherwise each source's first four whole weeks."),
    ] = None,
    window: Annotated[
        str | None, typer.Option(help="Days in question, FROM..TO. Otherwise the last whole week.")
    ] = None,
    by: Annotated[By, typer.Option(help="Length of a period: ISO week or day, in UTC.")] = By.WEEK,
    source: Annotated[str | None, typer.Option(help="Only this source, by its configured name.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Beginning of a Device UID. Otherwise the model that judged last.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Positive rate, scores, refusals and warnings of each source, now and in its reference days."""
    from audit.drift import read_drift

    days = {"reference": _days(reference), "window": _days(window)}
    today = datetime.now(UTC).date()
    with open_database() as database, database.read() as session:
        try:
            report = read_drift(
                session, today=today, stretch=7 if by is By.WEEK else 1, source=source, model=model, **days
            )
        except ValueError as exc:
            raise typer.BadParameter(str(exc)) from exc
    if as_json:
        typer.echo(json.dumps(_report_json(report, by)))
    else:
        print_report(report)


def _days(words: str | None) -> Days | None:
    from audit.tallies import Days

    if words is None:
        return None
    first, _, last = words.partition("..")
    try:
        return Days(date.fromisoformat(first), date.fromisoformat(last))
    except ValueError as exc:
        raise typer.BadParameter(f"write days as 2026-01-05..2026-02-01, both included; got {words}") from exc


def _report_json(report: DriftReport | None, by: By) -> dict[str, Any]:
    return {
        "model": report and {
            "device_uid": report.model.device_uid, "name": report.model.name, "version": report.model.version,
        },
        "by": by,
        "window": report and _days_json(report.window),
        "method": _method(),
        "warnings": [line for found in report.sources for line in warning_lines(found)] if report else [],
        "sources": [_source_json(found) for found in report.sources] if report else [],
    }  # fmt: skip


def _method() -> dict[str, Any]:
    from audit.comparison import FEWEST_IN_REFERENCE, FEWEST_IN_WINDOW
    from audit.drift import FEWEST_OF_A_WEEK, REFERENCE_WEEKS
    from audit.score_bins import PRECISION
    from audit.stability import CHANCE_LEVEL, CONFIDENCE, DRIFT, SMOOTHING, WATCH

    return {
        "time_zone": "UTC",
        "psi_bins": "deciles of the reference",
        "psi_smoothing": SMOOTHING,
        "psi_watch": WATCH,
        "psi_drift": DRIFT,
        "psi_chance_level": CHANCE_LEVEL,
        "interval": f"Wilson, {CONFIDENCE:.0%}",
        "quantile_precision": PRECISION,
        "fewest_in_reference": FEWEST_IN_REFERENCE,
        "fewest_in_window": FEWEST_IN_WINDOW,
        "reference_weeks": REFERENCE_WEEKS,
        "fewest_of_first_week": FEWEST_OF_A_WEEK,
    }


def _source_json(found: SourceDrift) -> dict[str, Any]:
    stability = found.comparison.stability
    return {
        "source": found.source,
        "status": found.comparison.status,
        "not_compared": found.comparison.unmet or None,
        "psi": stability and stability.psi,
        "psi_bins": stability and stability.bins,
        "psi_by_chance": stability and stability.by_chance,
        "warnings": [
            {"change": warning.change, "status": warning.status, "line": warning.line}
            for warning in found.comparison.warnings
        ],
        "reference": found.reference and _period_json(found.reference.days, found.reference.tally),
        "window": _period_json(found.window.days, found.window.tally),
        "periods": [_period_json(period.days, period.tally) for period in found.periods],
    }


def _period_json(days: Days, tally: Tally) -> dict[str, Any]:
    from core.records import Outcome

    return {
        **_days_json(days),
        "images": tally.images,
        "analysed": tally.scored,
        "positive": _share_json(tally.positive),
        "not_analysed": _share_json(tally.share(Outcome.NOT_ANALYSED)),
        "failed": _share_json(tally.share(Outcome.FAILED)),
        "quantiles": {str(q): tally.score(q / 100) for q in QUANTILES} if tally.scored else None,
        "reasons": dict(tally.reasons.most_common()),
        "warnings": dict(tally.warnings.most_common()),
    }


def _days_json(days: Days) -> dict[str, str]:
    return {"from": days.first.isoformat(), "to": days.last.isoformat()}


def _share_json(share: Share) -> dict[str, Any]:
    low, high = share.interval if share.n else (None, None)
    return {"count": share.count, "n": share.n, "share": share.value if share.n else None, "low": low, "high": high}
