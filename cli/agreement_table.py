"""The comparison of two models as people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from audit.agreement import Agreement, Pair


def print_agreement(found: Agreement) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for name, model in (("A", found.a), ("B", found.b)):
        console.print(f"{name}: {model.name} {model.version}, threshold {model.threshold:.3f}, {model.device_uid}")
    if not found.outcomes:
        console.print("No image has an outcome of both. `pneumo models shadow` lets one judge beside the other.")
        return
    console.print(_calls(found))
    for line in _lines(found):
        console.print(line, markup=False)
    if found.most_different:
        console.print(_pairs(found.most_different, "Scores that lie farthest apart"))
    if found.one_answered:
        console.print(_pairs(found.one_answered, "Answered by one of them only, the latest"))


def _calls(found: Agreement) -> Table:
    from rich.table import Table

    from core.records import Outcome

    words = (Outcome.NEGATIVE, Outcome.POSITIVE)
    table = Table(f"{found.n} images judged by both", *(f"B {word}" for word in words))
    for word in words:
        table.add_row(f"A {word}", *(str(found.both(word, other)) for other in words))
    return table


def _lines(found: Agreement) -> list[str]:
    from core.records import Outcome

    lines = []
    if found.n:
        kappa = "none, both always say the same" if found.kappa is None else f"{found.kappa:.3f}"
        up, down = found.both(Outcome.NEGATIVE, Outcome.POSITIVE), found.both(Outcome.POSITIVE, Outcome.NEGATIVE)
        lines += [
            f"same call: {found.agreed / found.n:.1%}, Cohen's kappa {kappa}",
            f"negative to positive: {up} ({up / found.n:.1%}); positive to negative: {down} ({down / found.n:.1%})",
        ]
    if found.shift:
        shift = found.shift
        correlation = "none" if shift.correlation is None else f"{shift.correlation:.3f}"
        lines.append(
            f"score of B less score of A: mean {shift.mean:+.3f}, median {shift.median:+.3f}, "
            f"5 % {shift.q05:+.3f}, 95 % {shift.q95:+.3f}; correlation {correlation}"
        )
    only_a, only_b = found.answered_by_one
    return [*lines, f"answered by A only: {only_a}, by B only: {only_b}"]


def _pairs(pairs: tuple[Pair, ...], title: str) -> Table:
    from rich.table import Table

    table = Table("SOP Instance UID", "A", "B", "reasons", title=title, title_justify="left")
    for pair in pairs:
        a, b = (
            outcome.replace("_", " ") if score is None else f"{outcome} {score:.3f}"
            for outcome, score in ((pair.a, pair.score_a), (pair.b, pair.score_b))
        )
        table.add_row(pair.sop_instance_uid, a, b, ", ".join(pair.reasons))
    return table
