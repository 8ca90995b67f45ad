"""What a result says in words: the same words in the picture's comments and in the report."""

from __future__ import annotations

from core.records import Analysis, Finding, Outcome


def result_sentence(analysis: Analysis) -> str:
    prediction = analysis.prediction
    if prediction is None:
        done = "The analysis failed" if analysis.outcome is Outcome.FAILED else "This image was not analysed"
        return f"{done}. This says nothing about whether a finding is present or absent."
    label, verb = prediction.label.capitalize(), "reaches" if analysis.outcome is Outcome.POSITIVE else "stays below"
    found = "signs found" if analysis.outcome is Outcome.POSITIVE else "no signs found"
    return (
        f"{label}: {found}. The certainty that it is present, {percent(prediction.probability)} %, "
        f"{verb} the operating point of {percent(prediction.threshold)} %."
    )


def percent(share: float) -> float:
    """A share of 1 as per cent with one decimal."""
    return round(100 * share, 1)


def remarks(analysis: Analysis) -> list[str]:
    """Reasons and warnings, a line each with its code in front."""
    return [
        *(_line("Reason", finding) for finding in analysis.reasons),
        *(_line("Warning", finding) for finding in analysis.warnings),
    ]


def _line(word: str, finding: Finding) -> str:
    return f"{word} {finding.code}: {finding.detail}" if finding.detail else f"{word} {finding.code}"
