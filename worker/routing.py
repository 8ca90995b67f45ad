"""Which destinations get an image's results, by the routes of the configuration, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pydicom.datadict import tag_for_keyword

from core.destinations import Destination, Route
from core.errors import ConfigurationError
from core.records import REPORT_KINDS, Outcome, ResultKind
from core.settings import Settings
from dicom.headers import values
from dicom.reading import SourceImage
from worker.results import DEFAULT_KINDS


@dataclass(frozen=True, slots=True)
class Decision:
    """Of one route. ``because`` names the first condition that does not hold, or says that all do."""

    route: Route
    matched: bool
    because: str


@dataclass(frozen=True, slots=True)
class Routing:
    destinations: tuple[Destination, ...]
    """In the configuration's order."""
    decisions: tuple[Decision, ...]
    """Of the routes that were asked."""

    def takers(self) -> dict[ResultKind, list[str]]:
        """Names of the destinations that get a kind."""
        takers: dict[ResultKind, list[str]] = {}
        for destination in self.destinations:
            for kind in destination.objects:
                takers.setdefault(kind, []).append(destination.name)
        return takers


def check_routes(settings: Settings) -> None:
    """Raises ConfigurationError where a route names an attribute that DICOM does not have."""
    for route in settings.routes:
        if unknown := sorted(keyword for keyword in route.tags if tag_for_keyword(keyword) is None):
            raise ConfigurationError(f"route {route.name} names no keyword of DICOM's: {', '.join(unknown)}")


def kinds_for(settings: Settings) -> frozenset[ResultKind]:
    """What is made of every image: whatever a destination takes, and always a picture and a report for the audit."""
    if settings.wanted_kinds.intersection(REPORT_KINDS):
        return settings.wanted_kinds | {ResultKind.SECONDARY_CAPTURE}
    return settings.wanted_kinds | DEFAULT_KINDS


def route_results(settings: Settings, *, source: str, outcome: Outcome, image: SourceImage) -> Routing:
    """Without routes every destination is meant; with routes, those of every route that matches."""
    if not settings.routes:
        return Routing(settings.destinations, ())
    decisions = tuple(_ask(settings.routes, source, outcome, image))
    names = {name for decision in decisions if decision.matched for name in decision.route.destinations}
    return Routing(tuple(each for each in settings.destinations if each.name in names), decisions)


def _ask(routes: Sequence[Route], source: str, outcome: Outcome, image: SourceImage) -> Iterable[Decision]:
    for route in routes:
        objection = _objection(route, source, outcome, image)
        yield Decision(route, objection is None, objection or "everything it names matches")
        if objection is None and route.last:
            return


def _objection(route: Route, source: str, outcome: Outcome, image: SourceImage) -> str | None:
    for what, wanted, found in (
        ("source", route.sources, source),
        ("outcome", route.outcomes, outcome),
        ("modality", route.modalities, image.modality),
    ):
        if wanted and found not in wanted:
            return f"the {what} is {found or 'not given'}, not {' or '.join(wanted)}"
    for keyword, pattern in route.tags.items():
        found_values = [str(value) for value in values(image.dataset, keyword)]
        if not any(fnmatchcase(value.casefold(), pattern.casefold()) for value in found_values):
            return f"{keyword} does not match {pattern}"
    return None
