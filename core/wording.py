"""Numbers and phrases as people read them, the same in pictures and in reports."""

from __future__ import annotations

RIGHT_OR_WRONG = "Right or wrong? Say so at"
"""Before the address of the page that takes feedback."""


def percent(share: float) -> str:
    """A share of 1 with one decimal; no answer of a model is rounded to certainty."""
    if share > 0.999:
        return "over 99.9 %"
    return f"{100 * share:.1f} %" if share >= 0.001 else "under 0.1 %"
