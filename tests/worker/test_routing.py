from __future__ import annotations

from typing import Any

import pytest

from core.destinations import Route
from core.errors import ConfigurationError
from core.records import Outcome, ResultKind
from core.settings import Settings
from tests.dicom.sources import as_source, clean_dx
from worker.routing import check_routes, route_results

DESTINATIONS: list[dict[str, Any]] = [
    {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1"},
    {"name": "ris", "type": "hl7", "host": "127.0.0.1"},
    {"name": "research", "type": "folder", "path": "/nowhere", "objects": ["segmentation", "report_3d"]},
]


def settings(*routes: dict[str, Any]) -> Settings:
    return Settings.model_validate(
        {
            "sources": [{"name": "room 1", "ae_titles": ["CR1"]}, {"name": "room 2", "ae_titles": ["CR2"]}],
            "destinations": DESTINATIONS,
            "routes": routes,
        }
    )


def names(configured: Settings, source: str = "room 1", outcome: Outcome = Outcome.POSITIVE, **tags: str) -> list[str]:
    dataset = clean_dx()
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    routing = route_results(configured, source=source, outcome=outcome, image=as_source(dataset))
    return [destination.name for destination in routing.destinations]


def test_without_routes_everybody_gets_everything() -> None:
    assert names(settings()) == ["pacs", "ris", "research"]


def test_destinations_of_every_matching_route_are_joined() -> None:
    configured = settings(
        {"name": "all", "destinations": ["pacs"]},
        {"name": "alarm", "outcomes": ["positive"], "destinations": ["ris", "pacs"]},
        {"name": "ward", "sources": ["room 2"], "destinations": ["research"]},
    )
    assert names(configured) == ["pacs", "ris"]
    assert names(configured, outcome=Outcome.NEGATIVE) == ["pacs"]
    assert names(configured, source="room 2", outcome=Outcome.FAILED) == ["pacs", "research"]


def test_the_last_route_ends_the_asking() -> None:
    configured = settings(
        {"name": "trial", "tags": {"StationName": "bucky*"}, "destinations": ["research"], "last": True},
        {"name": "all", "destinations": ["pacs"]},
    )
    assert names(configured, StationName="BUCKY 2") == ["research"]
    assert names(configured, StationName="portable") == ["pacs"]


def test_each_route_says_why() -> None:
    configured = settings(
        {"name": "films", "modalities": ["MG"], "destinations": ["pacs"]},
        {"name": "ward", "tags": {"StationName": "ward*"}, "destinations": ["pacs"]},
        {"name": "all", "destinations": []},
    )
    dataset = clean_dx()
    dataset.StationName = "portable"
    image = as_source(dataset)
    routing = route_results(configured, source="room 1", outcome=Outcome.POSITIVE, image=image)
    assert [(decision.matched, decision.because) for decision in routing.decisions] == [
        (False, "the modality is DX, not MG"),
        (False, "StationName does not match ward*"),
        (True, "everything it names matches"),
    ]
    assert routing.destinations == ()


def test_kinds_go_to_those_that_take_them() -> None:
    routing = route_results(settings(), source="", outcome=Outcome.NEGATIVE, image=as_source(clean_dx()))
    takers = routing.takers()
    assert takers[ResultKind.REPORT] == ["pacs"]
    assert takers[ResultKind.REPORT_3D] == ["research"]
    assert takers[ResultKind.HL7_MESSAGE] == ["ris"]


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigurationError, match="films names no keyword of DICOM's: StationNam"):
        check_routes(settings({"name": "films", "tags": {"StationNam": "x"}, "destinations": ["pacs"]}))
    with pytest.raises(ValueError, match="films names a destination that is not configured: archive"):
        settings({"name": "films", "destinations": ["archive"]})
    with pytest.raises(ValueError, match="films names a source that is not configured: room 9"):
        settings({"name": "films", "sources": ["room 9"], "destinations": ["pacs"]})
    with pytest.raises(ValueError, match="one report in several dialects"):
        Settings.model_validate({"destinations": [{**DESTINATIONS[0], "objects": ["report", "report_3d"]}]})
    with pytest.raises(ValueError, match="not for a destination of this type: report"):
        Settings.model_validate({"destinations": [{**DESTINATIONS[1], "objects": ["report"]}]})


def test_a_route_is_read_from_the_configuration() -> None:
    assert settings({"name": "all", "destinations": ["pacs"]}).routes == (Route(name="all", destinations=("pacs",)),)
