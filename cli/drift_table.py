"""The drift report as people read it: one table for each source, and a line for each change."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from audit.drift import DriftReport, SourceDrift
    from audit.tallies import Days, Tally

QUANTILES = (5, 25, 50, 75, 95)
_PERIODS_SHOWN = 8


def print_report(report: DriftReport | None) -> None:
    from rich.console import Console

    from audit.drift import FEWEST_OF_A_WEEK, REFERENCE_WEEKS
    from audit.stability import CHANCE_LEVEL, DRIFT, SMOOTHING, WATCH

    console = Console(highlight=False)
    if report is None:
        console.print("No model has judged an image yet.")
        return
    console.print(f"{report.model.name} {report.model.version}, Device UID {report.model.device_uid}; days in UTC")
    for found in report.sources:
        console.print(_table(found))
        for line in warning_lines(found) or [_calm(found)]:
            console.print(line, style="red" if found.comparison.warnings else None, markup=False)
    console.print(
        "Unless days are given, the window is the last whole week (Monday to Sunday, UTC) and the reference each "
        f"source's first {REFERENCE_WEEKS} whole weeks, from the first one with {FEWEST_OF_A_WEEK} scored images. "
        f"PSI: deciles of the reference, {SMOOTHING} added to each count; watch above {WATCH}, drift above {DRIFT}, "
        f"and only above what chance stays below {CHANCE_LEVEL:.0%} of the time. "
        "Rates: 95 % intervals (Wilson) that do not overlap.",
        style="dim",
    )


def _table(found: SourceDrift) -> Table:
    from rich.table import Table

    columns = ("days", "images", "positive", *(f"q{q}" for q in QUANTILES), "not analysed", "failed", "warnings")
    table = Table(*columns, title=f"{found.source}: {found.comparison.status.replace('_', ' ')}")
    if found.reference:
        table.add_row(*_row(found.reference.days, found.reference.tally, "reference "))
    table.add_row(*_row(found.window.days, found.window.tally, "window "), end_section=True)
    for period in found.periods[-_PERIODS_SHOWN:]:
        table.add_row(*_row(period.days, period.tally))
    return table


def _row(days: Days, tally: Tally, name: str = "") -> list[str]:
    from core.records import Outcome

    when = f"{name}{days if days.length > 1 else days.first}"
    if not tally.images:
        return [when, "0"]
    low, high = tally.positive.interval if tally.scored else (0.0, 0.0)
    positive = f"{tally.positive.value:.0%} ({low:.0%}-{high:.0%})" if tally.scored else ""
    scores = [f"{tally.score(q / 100):.3f}" if tally.scored else "" for q in QUANTILES]
    codes = [
        ", ".join(f"{code} {count / tally.images:.0%}" for code, count in found.most_common(3))
        for found in (tally.reasons, tally.warnings)
    ]
    refused, failed = (f"{tally.share(outcome).value:.0%}" for outcome in (Outcome.NOT_ANALYSED, Outcome.FAILED))
    return [when, str(tally.images), positive, *scores, f"{refused} {codes[0]}".strip(), failed, codes[1]]


def warning_lines(found: SourceDrift) -> list[str]:
    return [f"{warning.status}: {found.source}: {warning.line}" for warning in found.comparison.warnings]


def _calm(found: SourceDrift) -> str:
    stability = found.comparison.stability
    if stability is None:
        return f"{found.source}: not compared, {found.comparison.unmet}"
    chance = f"chance alone stays below {stability.by_chance:.2f}"
    return f"{found.source}: steady, PSI {stability.psi:.2f} over {stability.bins} bins ({chance})"
