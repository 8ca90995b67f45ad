"""What a result says in words: the same words in the picture's comments and in every document."""

from __future__ import annotations

from collections.abc import Sequence

from core.records import Analysis, Finding, Outcome
from core.wording import RIGHT_OR_WRONG, percent

_SAYS_NOTHING = "This says nothing about whether a finding is present or absent"


def result_sentence(analysis: Analysis) -> str:
    """Outcome, certainty and operating point; then the shares of the model's classes where it tells several."""
    prediction = analysis.prediction
    if prediction is None:
        done = "The analysis failed" if analysis.outcome is Outcome.FAILED else "This image was not analysed"
        return f"{done}. {_SAYS_NOTHING}."
    label, verb = prediction.label.capitalize(), "reaches" if analysis.outcome is Outcome.POSITIVE else "stays below"
    found = "signs found" if analysis.outcome is Outcome.POSITIVE else "no signs found"
    sentence = (
        f"{label}: {found}. The certainty that it is present, {percent(prediction.probability)}, "
        f"{verb} the operating point of {percent(prediction.threshold)}."
    )
    if not prediction.classes:
        return sentence
    shares = ", ".join(f"{name} {percent(share)}" for name, share in prediction.classes)
    return f"{sentence} The model's classes: {shares}."


BEFORE_THE_ADDRESS = "To say whether this is right, open the address that follows."


def invitation(feedback_url: str) -> list[str]:
    """Where a reader may say whether the answer is right; no line without an address."""
    return [f"{RIGHT_OR_WRONG} {feedback_url}"] if feedback_url else []


def study_sentence(label: str, analyses: Sequence[Analysis]) -> str:
    """What the images of a study say together. An image without an answer is named, never counted as normal."""
    total = len(analyses)
    positive = sum(analysis.outcome is Outcome.POSITIVE for analysis in analyses)
    answered = sum(analysis.prediction is not None for analysis in analyses)
    if positive:
        sentence = f"{label.capitalize()}: signs found in {positive} of {_images(total)}."
    elif answered == total:
        sentence = f"{label.capitalize()}: no signs found in any of {_images(total)}."
    elif answered:
        sentence = f"{label.capitalize()}: no signs found in {answered} of {_images(total)}."
    else:
        return f"None of {_images(total)} was analysed. {_SAYS_NOTHING}."
    if answered == total:
        return sentence
    left = total - answered
    return (
        f"{sentence} {left} of {_images(total)} {'was' if left == 1 else 'were'} not analysed. {_SAYS_NOTHING} there."
    )


def in_per_cent(share: float) -> float:
    """A share of 1 as a number of per cent with one decimal, for coded values."""
    return round(100 * share, 1)


def remarks(analysis: Analysis) -> list[str]:
    """Reasons and warnings, a line each with its code in front."""
    return [
        *(_line("Reason", finding) for finding in analysis.reasons),
        *(_line("Warning", finding) for finding in analysis.warnings),
    ]


def _line(word: str, finding: Finding) -> str:
    return f"{word} {finding.code}: {finding.detail}" if finding.detail else f"{word} {finding.code}"


def _images(count: int) -> str:
    return f"{count} image" if count == 1 else f"{count} images"
