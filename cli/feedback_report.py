"""Figures from feedback, as people and as programs read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audit.feedback_figures import FeedbackFigures, ModelAtSource
    from audit.models import ModelVersion, Role
    from audit.stability import Share
    from audit.verification_bias import Estimate


def print_figures(rows: list[ModelAtSource]) -> None:
    from rich.console import Console
    from rich.table import Table

    from audit.feedback_figures import CAUTION, Truth, in_all_sources
    from core.records import Outcome

    console = Console(highlight=False, soft_wrap=True)
    if not rows:
        console.print("No model has judged an image of these yet.")
        return
    columns = (
        "model", "source", "answers", "read again", "of positive", "of negative", "TP", "FP", "FN", "TN", "disputed",
        "unsure", "sensitivity", "specificity",
    )  # fmt: skip
    table = Table(*columns, title="Answers that readers gave feedback on", title_justify="left")
    every = [(model, "all", figures) for model, _, figures in in_all_sources(rows)]
    for model, source, figures in every + [(row.model, row.source, row.figures) for row in rows]:
        positive, negative = figures.verified(Outcome.POSITIVE), figures.verified(Outcome.NEGATIVE)
        cells = (positive.pneumonia, positive.no_pneumonia, negative.pneumonia, negative.no_pneumonia)
        table.add_row(
            f"{model.name} {model.version}",
            source,
            str(figures.predictions),
            str(figures.with_feedback),
            *(_percent(figures.read_again(outcome)) for outcome in (Outcome.POSITIVE, Outcome.NEGATIVE)),
            *map(str, (*cells, figures.told(Truth.DISPUTED), figures.told(Truth.UNSURE))),
            _percent(figures.sensitivity, interval=True),
            _percent(figures.specificity, interval=True),
        )
    console.print(table)
    console.print(CAUTION, style="dim")


def _percent(share: Share | None, *, interval: bool = False) -> str:
    if share is None:
        return "-"
    if not interval:
        return f"{share.value:.1%}"
    low, high = share.interval
    return f"{share.value:.1%} ({low:.1%} to {high:.1%})"


def report_json(rows: list[ModelAtSource]) -> dict[str, Any]:
    from audit.feedback_figures import CAUTION, in_all_sources

    return {
        "caution": CAUTION,
        "models": [_json(model, role, None, figures) for model, role, figures in in_all_sources(rows)],
        "sources": [_json(row.model, row.role, row.source, row.figures) for row in rows],
    }


def _json(model: ModelVersion, role: Role, source: str | None, figures: FeedbackFigures) -> dict[str, Any]:
    from audit.feedback_figures import Truth
    from audit.stability import Share
    from audit.verification_bias import sensitivity, specificity
    from core.records import Outcome

    positive, negative = figures.verified(Outcome.POSITIVE), figures.verified(Outcome.NEGATIVE)
    return {
        "model": model.name,
        "model_version": model.version,
        "device_uid": model.device_uid,
        "role": role,
        "source": source,
        "predictions": figures.predictions,
        "feedback_share": {
            "all": _share_json(Share(figures.with_feedback, figures.predictions)),
            "positive": _share_json(figures.read_again(Outcome.POSITIVE)),
            "negative": _share_json(figures.read_again(Outcome.NEGATIVE)),
        },
        "unsure": figures.told(Truth.UNSURE),
        "disputed": figures.told(Truth.DISPUTED),
        "confusion": {
            "true_positive": positive.pneumonia,
            "false_positive": positive.no_pneumonia,
            "false_negative": negative.pneumonia,
            "true_negative": negative.no_pneumonia,
        },
        "sensitivity": _share_json(figures.sensitivity),
        "specificity": _share_json(figures.specificity),
        "corrected": {
            "sensitivity": _share_json(sensitivity(positive, negative)),
            "specificity": _share_json(specificity(positive, negative)),
        },
    }


def _share_json(share: Share | Estimate | None) -> dict[str, Any] | None:
    from audit.stability import Share

    if share is None:
        return None
    low, high = share.interval or (None, None)
    counted = (share.count, share.n) if isinstance(share, Share) else (None, None)
    return {"value": share.value, "low": low, "high": high, "count": counted[0], "n": counted[1]}
