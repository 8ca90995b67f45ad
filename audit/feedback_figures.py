"""How often readers found a model right, by model version and source. The counting is the database's.

What readers say holds for the image: every model that judged it is held against it, in shadow or after a re-analysis
as well. The truth of an image is the last word of each reader about it, where they do not contradict each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, Subquery, case, func, select
from sqlalchemy.orm import Session

from audit.feedback import JUDGED, of_images
from audit.models import Agreement, Feedback, Instance, ModelVersion, Prediction, Role, Source, TrueLabel
from audit.stability import Share
from audit.verification_bias import Verified
from core.records import Outcome

CAUTION = (
    "No measurement of accuracy: readers choose what they give feedback on, and have seen the model's answer when they "
    "do. Read `feedback_share` first: where it is small, or differs between positive and negative answers, sensitivity "
    "and specificity mean little. `corrected` allows for the difference between the answers (Begg and Greenes, 1983), "
    "for no other choice that readers make."
)
"""Belongs to the figures wherever they are shown."""


class Truth(StrEnum):
    PNEUMONIA = "pneumonia"
    NO_PNEUMONIA = "no_pneumonia"
    DISPUTED = "disputed"
    """Readers contradict each other."""
    UNSURE = "unsure"
    """None of them could tell."""
    UNREAD = "unread"
    """Nobody has given feedback."""


@dataclass(frozen=True, slots=True)
class FeedbackFigures:
    """Of the standing predictions of one model, about images of one source or of all."""

    counts: Counter[tuple[Outcome, Truth]] = field(default_factory=Counter)

    def __add__(self, other: FeedbackFigures) -> FeedbackFigures:
        return FeedbackFigures(self.counts + other.counts)

    def answered(self, outcome: Outcome) -> int:
        return sum(self.counts[outcome, truth] for truth in Truth)

    def told(self, truth: Truth) -> int:
        return sum(self.counts[outcome, truth] for outcome in JUDGED)

    @property
    def predictions(self) -> int:
        return sum(self.counts.values())

    @property
    def with_feedback(self) -> int:
        return self.predictions - self.told(Truth.UNREAD)

    def read_again(self, outcome: Outcome) -> Share | None:
        """How many of the predictions with this outcome have feedback."""
        n = self.answered(outcome)
        return _share(n - self.counts[outcome, Truth.UNREAD], n)

    def verified(self, outcome: Outcome) -> Verified:
        return Verified(
            self.answered(outcome), self.counts[outcome, Truth.PNEUMONIA], self.counts[outcome, Truth.NO_PNEUMONIA]
        )

    @property
    def sensitivity(self) -> Share | None:
        """As counted, biased by who gives feedback on what; `verification_bias` corrects one part of that."""
        return _share(self.counts[Outcome.POSITIVE, Truth.PNEUMONIA], self.told(Truth.PNEUMONIA))

    @property
    def specificity(self) -> Share | None:
        """Likewise."""
        return _share(self.counts[Outcome.NEGATIVE, Truth.NO_PNEUMONIA], self.told(Truth.NO_PNEUMONIA))


@dataclass(frozen=True, slots=True)
class ModelAtSource:
    model: ModelVersion
    role: Role
    source: str
    figures: FeedbackFigures


def read_feedback_figures(
    session: Session,
    *,
    model: str | None = None,
    source: str | None = None,
    role: Role | None = Role.ACTIVE,
    received_from: datetime | None = None,
    received_before: datetime | None = None,
) -> list[ModelAtSource]:
    """By model, newest first, and source; one that judged nothing is absent. ``model``: name or Device UID."""
    truths = read_truths(received_from, received_before)
    conditions = [
        Prediction.recalled_at.is_(None),
        Prediction.outcome.in_(JUDGED),
        *of_images(model, source, received_from, received_before),
    ]
    if role is not None:
        conditions.append(Prediction.role == role)
    cell = (Prediction.model_version_id, Prediction.role, Source.name, Prediction.outcome, truth_of(truths))
    rows = session.execute(
        select(*cell, func.count())
        .join(Prediction.instance)
        .join(Instance.source)
        .join(Prediction.model_version)
        .outerjoin(truths, truths.c.instance_id == Prediction.instance_id)
        .where(*conditions)
        .group_by(*cell)
    )
    counted: dict[tuple[int, Role, str], FeedbackFigures] = {}
    for version_id, in_role, name, outcome, truth, count in rows:
        figures = counted.setdefault((version_id, in_role, name), FeedbackFigures())
        figures.counts[outcome, Truth(truth)] += count
    versions = {
        version.id: version
        for version in session.scalars(select(ModelVersion).where(ModelVersion.id.in_({key[0] for key in counted})))
    }
    return [
        ModelAtSource(versions[version_id], in_role, name, figures)
        for (version_id, in_role, name), figures in sorted(
            counted.items(), key=lambda item: (-item[0][0], item[0][1], item[0][2])
        )
    ]


def read_truths(received_from: datetime | None, received_before: datetime | None) -> Subquery:
    """Images with feedback: how many readers could tell, and the least and the greatest of what they told."""
    last = func.row_number().over(partition_by=(Prediction.instance_id, Feedback.reader), order_by=Feedback.id.desc())
    words = (
        select(Prediction.instance_id, _told().label("told"), last.label("place"))
        .select_from(Feedback)
        .join(Feedback.prediction)
        .join(Prediction.instance)
        .where(*of_images(None, None, received_from, received_before))
        .subquery("words")
    )
    return (
        select(
            words.c.instance_id,
            func.count(words.c.told).label("deciding"),
            func.min(words.c.told).label("least"),
            func.max(words.c.told).label("greatest"),
        )
        .where(words.c.place == 1)
        .group_by(words.c.instance_id)
        .subquery("truths")
    )


def _told() -> ColumnElement[int | None]:
    """1 for pneumonia, 0 for none, NULL where the reader could not tell. The label counts before the agreement."""
    said = case((Prediction.outcome == Outcome.POSITIVE, 1), else_=0)
    return case(
        (Feedback.true_label == TrueLabel.PNEUMONIA, 1),
        (Feedback.true_label == TrueLabel.NO_PNEUMONIA, 0),
        (Feedback.agreement == Agreement.AGREE, said),
        (Feedback.agreement == Agreement.DISAGREE, 1 - said),
    )


def truth_of(truths: Subquery) -> ColumnElement[str]:
    return case(
        (truths.c.instance_id.is_(None), Truth.UNREAD.value),
        (truths.c.deciding == 0, Truth.UNSURE.value),
        (truths.c.least < truths.c.greatest, Truth.DISPUTED.value),
        (truths.c.least == 1, Truth.PNEUMONIA.value),
        else_=Truth.NO_PNEUMONIA.value,
    )


def in_all_sources(rows: list[ModelAtSource]) -> Iterator[tuple[ModelVersion, Role, FeedbackFigures]]:
    """Each model once, in the same order."""
    totals: dict[tuple[int, Role], tuple[ModelVersion, Role, FeedbackFigures]] = {}
    for row in rows:
        _, _, before = totals.get((row.model.id, row.role), (None, None, FeedbackFigures()))
        totals[row.model.id, row.role] = (row.model, row.role, before + row.figures)
    yield from totals.values()


def _share(count: int, n: int) -> Share | None:
    return Share(count, n) if n else None
