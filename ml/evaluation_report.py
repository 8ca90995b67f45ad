"""An evaluation as people keep it: a folder of charts, ``errors.csv``, ``evaluation.json`` and one ``report.html``.

The page needs no network and no script. The same model, data and run give the same bytes.
"""

from __future__ import annotations

import base64
import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from core.records import ModelIdentity
from ml.class_figures import ClassFigures, Kinds, class_figures, kinds
from ml.comparison import Comparison
from ml.curves import Curve, Reliability, before_calibration, curves, reliability
from ml.evaluation import Evaluation
from ml.image_grids import heatmap_grid, prediction_grid
from ml.learning_curves import Panel
from ml.operating_points import OperatingPoint, operating_points
from ml.plots import confusion_chart, learning_chart, precision_recall_chart, reliability_chart, roc_chart
from ml.resampling import RESAMPLES, faultless_bound
from ml.scoring import Scores
from ml.subgroups import Subgroup, subgroups
from ml.weights import WeightsRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = ("normal", "pneumonia")
DPI = 130


@dataclass(frozen=True, slots=True)
class Data:
    name: str
    images: int
    patients: int
    normal: int
    pneumonia: int


@dataclass(frozen=True, slots=True)
class WrongCall:
    name: str
    label: str
    probability: float
    subgroup: str


@dataclass(frozen=True, slots=True)
class Report:
    model: ModelIdentity
    data: Data
    evaluation: Evaluation
    operating_points: tuple[OperatingPoint, ...]
    """The shipped one first."""
    classes: tuple[ClassFigures, ...]
    kinds: Kinds | None
    reliability: Reliability
    before_calibration: Reliability | None
    """None where the record does not say how the model was calibrated."""
    roc: Curve
    precision_recall: Curve
    faultless: dict[str, float]
    """Sensitivity and specificity that are 1, with the least that so many patients prove: they have no interval."""
    subgroups: tuple[Subgroup, ...]
    comparison: Comparison | None
    training: tuple[Panel, ...]
    errors: tuple[WrongCall, ...]
    """Missed pneumonia first, the most certain mistakes before the others."""

    def as_json(self) -> dict[str, Any]:
        """The fields of ``pneumo evaluate --json``, and everything the report draws beside them."""
        fields = asdict(self)
        return {**fields.pop("evaluation"), **fields}


def make_report(
    record: WeightsRecord,
    scores: Scores,
    evaluation: Evaluation,
    *,
    data: str,
    comparison: Comparison | None,
    training: tuple[Panel, ...],
) -> Report:
    """Everything that can be said of ``scores``; ``data`` is what the images are called in the report."""
    labels, probabilities = scores.labels, scores.probabilities
    pneumonia = int(labels.sum())
    calibration = record.provenance.get("calibration")
    roc, precision_recall = curves(labels, probabilities, scores.patients)
    return Report(
        model=record.identity,
        data=Data(data, len(labels), len(set(scores.patients)), len(labels) - pneumonia, pneumonia),
        evaluation=evaluation,
        operating_points=operating_points(labels, probabilities, record.threshold),
        classes=class_figures(labels, (probabilities >= record.threshold).astype(np.int64), NAMES),
        kinds=kinds(scores),
        reliability=reliability(labels, probabilities),
        before_calibration=(
            reliability(labels, before_calibration(probabilities, calibration)) if calibration else None
        ),
        roc=roc,
        precision_recall=precision_recall,
        faultless={
            name: faultless_bound(len({s.patient for s in scores.samples if s.label == label}))
            for name, label in (("sensitivity", 1), ("specificity", 0))
            if getattr(evaluation, name) == 1.0
        },
        subgroups=subgroups(scores, record.threshold),
        comparison=comparison,
        training=training,
        errors=_errors(scores, record.threshold),
    )


def write_report(report: Report, scores: Scores, folder: Path) -> None:
    """Into ``folder``, which exists; files of an earlier report under the same names are replaced."""
    pictures = {}
    for name, figure in _figures(report, scores).items():
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=DPI)
        pictures[name] = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
    (folder / "evaluation.json").write_text(json.dumps(report.as_json(), indent=2, allow_nan=False) + "\n")
    with (folder / "errors.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(WrongCall.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(asdict(error) for error in report.errors)
    templates = Environment(
        loader=PackageLoader("ml"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters.update(percent=_percent, figure=_figure, range=_range)
    page = templates.get_template("evaluation.html").render(report=report, pictures=pictures, resamples=RESAMPLES)
    (folder / "report.html").write_text(page)


def _figures(report: Report, scores: Scores) -> dict[str, Figure]:
    """By file name, in the report's order."""
    shipped, evaluation = report.operating_points[0], report.evaluation
    prevalence = report.data.pneumonia / report.data.images
    figures = {
        "confusion-matrix": confusion_chart(evaluation.confusion, NAMES),
        "roc-curve": roc_chart(report.roc, evaluation.auc, shipped),
        "precision-recall-curve": precision_recall_chart(
            report.precision_recall, evaluation.pr_auc, prevalence, shipped
        ),
        "reliability": reliability_chart(report.reliability, report.before_calibration),
        "predictions": prediction_grid(scores, shipped.threshold),
        "grad-cam": heatmap_grid(scores, shipped.threshold),
    }
    if report.kinds:
        figures["kinds-confusion-matrix"] = confusion_chart(report.kinds.confusion, report.kinds.classes)
    if report.training:
        figures["learning-curves"] = learning_chart(report.training)
    return figures


def _errors(scores: Scores, threshold: float) -> tuple[WrongCall, ...]:
    wrong = [
        WrongCall(sample.name, NAMES[sample.label], float(probability), sample.subgroup)
        for sample, probability in zip(scores.samples, scores.probabilities, strict=True)
        if (probability >= threshold) != (sample.label == 1)
    ]
    missed = sorted((w for w in wrong if w.label == "pneumonia"), key=lambda w: w.probability)
    alarms = sorted((w for w in wrong if w.label == "normal"), key=lambda w: -w.probability)
    return (*missed, *alarms)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _range(ci: tuple[float, float], form: str) -> str:
    """Resampling shows no spread of a rate without an error, and "100 % to 100 %" would be taken for certainty."""
    low, high = ci
    if low == high == 1.0:
        return "no error seen"
    words = {"percent": _percent, "figure": _figure, "signed": "{:+.3f}".format}[form]
    return f"{words(low)} to {words(high)}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
