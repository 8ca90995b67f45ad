"""From received bytes to the bytes of the results.

No queue and no database, so that ``pneumo analyze`` walks the same road.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import BinaryIO

from core.errors import FailedForGood, NotAnalysable
from core.records import Analysis, Finding, Heatmap, ModelIdentity, Outcome, ResultKind, Verdict
from dicom import gate
from dicom.case import Case
from dicom.orientation import left_side
from dicom.pixels import Radiograph, radiograph
from dicom.reading import SourceImage, read_source
from ml import overlay
from ml.classifier import Classifier
from ml.regions import region_of
from worker.results import DEFAULT_KINDS, BuiltResult, Picture, results_about

# Calibrated probability: within twice or half the odds of the threshold, another exposure may change the outcome.
_NEAR_THRESHOLD = 2.0


@dataclass(frozen=True, slots=True)
class Analysed:
    """All that came of one image; ``picture`` is (h, w, 3) uint8 where the model judged."""

    analysis: Analysis
    results: tuple[BuiltResult, ...]
    picture: Picture | None
    stage_seconds: dict[str, float]
    case: Case | None = None
    """None where not even the header can be read."""
    readable: Readable | None = None
    """For ``judge_again``; None where no model was asked."""
    heat: Heat | None = None


@dataclass(frozen=True, slots=True)
class Heat:
    """What colours the picture: a map whose hottest place counts as the share ``peak`` of the scale."""

    map: Heatmap
    peak: float


@dataclass(frozen=True, slots=True)
class Readable:
    """An image that the model may judge."""

    source: SourceImage
    radiograph: Radiograph
    seconds: float


@dataclass(frozen=True, slots=True)
class _Stopped:
    """An image whose outcome is known without the model; ``source`` is None where not even the header can be read."""

    source: SourceImage | None
    analysis: Analysis
    seconds: float


def analyse(
    files: Sequence[BinaryIO | Finding],
    classifier: Classifier,
    intended_use: str,
    kinds: Collection[ResultKind] = DEFAULT_KINDS,
    *,
    public_url: str = "",
    generations: Sequence[int] = (),
) -> Iterator[Analysed]:
    """Analyse a batch with one forward pass; yields one result per file, in their order.

    Args:
        files: DICOM, or why there is none.
        kinds: which results to make.
        generations: of each file's analysis; the first one for all where empty.
        public_url: of the pages; answers carry a link to the one that takes feedback. None without.
    """
    results = _Results(classifier.identity, intended_use, datetime.now(UTC), frozenset(kinds), public_url)
    cases = [_read(file) for file in files]
    radiographs = [case.radiograph.pixels for case in cases if isinstance(case, Readable)]
    clock = time.perf_counter()
    verdicts = iter(classifier.judge(radiographs))
    share = (time.perf_counter() - clock) / max(len(radiographs), 1)
    for case, generation in zip(cases, generations or (1,) * len(cases), strict=True):
        match case:
            case _Stopped(source, analysis, seconds):
                yield results.without_picture(source, analysis, {"read": seconds}, generation)
            case Readable(source, image, seconds):
                verdict, stage_seconds = next(verdicts), {"read": seconds, "predict": share}
                analysis = _judge(source, image, verdict)
                if verdict.heatmap is None:
                    analysed = results.without_picture(source, analysis, stage_seconds, generation)
                    yield replace(analysed, readable=case)
                else:
                    yield results.with_picture(case, analysis, verdict.heatmap, stage_seconds, generation)


def judge_again(images: Sequence[Readable], classifier: Classifier) -> tuple[list[Analysis], float]:
    """What another model says of decoded images, with one forward pass; also its seconds for each."""
    clock = time.perf_counter()
    verdicts = classifier.judge([image.radiograph.pixels for image in images])
    share = (time.perf_counter() - clock) / max(len(images), 1)
    judged = zip(images, verdicts, strict=True)
    return [_judge(image.source, image.radiograph, verdict) for image, verdict in judged], share


def failed(
    file: BinaryIO | Finding,
    reason: Finding,
    classifier: Classifier,
    intended_use: str,
    kinds: Collection[ResultKind] = DEFAULT_KINDS,
    *,
    generation: int = 1,
) -> Analysed:
    """The result of an image that was given up: its header is read for the report, its pixels are left alone."""
    source = None
    if not isinstance(file, Finding):
        with suppress(FailedForGood):
            source = read_source(file)
    analysis = Analysis(Outcome.FAILED, reasons=(reason,))
    results = _Results(classifier.identity, intended_use, datetime.now(UTC), frozenset(kinds))
    return results.without_picture(source, analysis, {}, generation)


def _read(file: BinaryIO | Finding) -> Readable | _Stopped:
    if isinstance(file, Finding):
        return _Stopped(None, Analysis(Outcome.FAILED, reasons=(file,)), 0.0)
    clock, source = time.perf_counter(), None
    try:
        source = read_source(file)
        if reasons := gate.refusals(source):
            raise NotAnalysable(reasons)
        return Readable(source, radiograph(source.dataset), time.perf_counter() - clock)
    except NotAnalysable as exc:
        analysis = Analysis(Outcome.NOT_ANALYSED, reasons=exc.reasons)
    except FailedForGood as exc:
        analysis = Analysis(Outcome.FAILED, reasons=(Finding(exc.code, exc.detail),))
    return _Stopped(source, analysis, time.perf_counter() - clock)


def _judge(source: SourceImage, image: Radiograph, verdict: Verdict) -> Analysis:
    prediction, warnings = verdict.prediction, gate.warnings(source, image) + verdict.warnings
    if prediction is None:
        return Analysis(Outcome.NOT_ANALYSED, reasons=verdict.reasons, warnings=warnings, voi=image.voi)
    near = gate.near_threshold(prediction, _NEAR_THRESHOLD)
    return Analysis(prediction.outcome, prediction=prediction, warnings=warnings + near, voi=image.voi)


@dataclass(frozen=True, slots=True)
class _Results:
    """Draws the pictures and makes the objects of one batch."""

    model: ModelIdentity
    intended_use: str
    started: datetime
    kinds: frozenset[ResultKind]
    public_url: str = ""

    def without_picture(
        self, source: SourceImage | None, analysis: Analysis, stage_seconds: dict[str, float], generation: int
    ) -> Analysed:
        clock = time.perf_counter()
        results: tuple[BuiltResult, ...] = ()
        case = None
        if source is not None:
            case = Case(source, analysis, self.model, self.intended_use, self.started, generation=generation)
            results = results_about(case, None, self.kinds)
        return Analysed(analysis, results, None, {**stage_seconds, "build": time.perf_counter() - clock}, case)

    def with_picture(
        self,
        readable: Readable,
        analysis: Analysis,
        heatmap: Heatmap,
        stage_seconds: dict[str, float],
        generation: int,
    ) -> Analysed:
        clock, source = time.perf_counter(), readable.source
        caption = self._caption(source, analysis)
        picture = overlay.render(readable.radiograph.pixels, heatmap, caption)
        region = None
        if analysis.outcome is Outcome.POSITIVE:
            region = region_of(heatmap, source.rows, source.columns)
        case = Case(
            source,
            analysis,
            self.model,
            self.intended_use,
            self.started,
            region,
            generation=generation,
            feedback_url=self._feedback_url(source),
        )
        results = results_about(case, picture, self.kinds)
        seconds = {**stage_seconds, "build": time.perf_counter() - clock}
        return Analysed(analysis, results, picture, seconds, case, readable, Heat(heatmap, caption.peak))

    def _caption(self, source: SourceImage, analysis: Analysis) -> overlay.Caption:
        if analysis.prediction is None:
            raise ValueError("only a judged image has a caption")
        return overlay.Caption(
            outcome=analysis.outcome,
            probability=analysis.prediction.probability,
            threshold=analysis.prediction.threshold,
            model=self.model.name,
            version=self.model.version,
            intended_use=self.intended_use,
            warnings=tuple(finding.detail or finding.code for finding in analysis.warnings),
            label=self.model.label,
            left_side=left_side(source.dataset),
            feedback_url=self._feedback_url(source),
        )

    def _feedback_url(self, source: SourceImage) -> str:
        return f"{self.public_url}/r/{source.sop_instance_uid}" if self.public_url else ""
