from __future__ import annotations

from dataclasses import fields, replace

import pytest

from core.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from core.records import ModelIdentity, ResultKind
from dicom.headers import canonical_uid
from dicom.identity import device_uid, result_uid, series_uid, tracking_uid
from tests.dicom.sources import MODEL


@pytest.mark.parametrize("field", [field.name for field in fields(ModelIdentity)])
def test_any_change_of_the_model_is_another_device(field: str) -> None:
    value = getattr(MODEL, field)
    changed = replace(MODEL, **{field: value + 0.01 if isinstance(value, float) else f"{value}x"})
    assert device_uid(changed) != device_uid(MODEL)
    assert device_uid(replace(MODEL)) == device_uid(MODEL)


def test_the_same_thing_has_the_same_name_for_ever() -> None:
    """Released results carry these: a change here would send every image's results a second time."""
    assert device_uid(MODEL) == "2.25.49408978914969767675879390349552520843"
    assert result_uid("1.2.3", "1.2.4", ResultKind.REPORT) == "2.25.200113415519632703461934428591643634161"


def test_a_first_analysis_has_the_names_it_had_before_generations_were_told_apart() -> None:
    assert series_uid("1.2", "1.2.3", "1.2.4", ResultKind.REPORT) == "2.25.158497596399817182254278309664089792483"
    assert tracking_uid("1.2.3", "1.2.4", "pneumonia") == "2.25.70768646123751629607151309323414029295"
    for kind in ResultKind:
        assert result_uid("1.2.3", "1.2.4", kind, 1) == result_uid("1.2.3", "1.2.4", kind)
        assert len({result_uid("1.2.3", "1.2.4", kind, generation) for generation in (1, 2, 3)}) == 3
        assert len({series_uid("1.2", "1.2.3", "1.2.4", kind, generation) for generation in (1, 2, 3)}) == 3
    assert tracking_uid("1.2.3", "1.2.4", "pneumonia", 2) != tracking_uid("1.2.3", "1.2.4", "pneumonia")


def test_uids_are_valid_and_differ_where_they_name_different_things() -> None:
    device = device_uid(MODEL)
    named = [
        device,
        tracking_uid("1.2.3", device, "pneumonia"),
        *(result_uid(source, device, kind) for source in ("1.2.3", "1.2.30") for kind in ResultKind),
        *(series_uid(study, "1.2.3", device, kind) for study in ("1.2", "1.20") for kind in ResultKind),
    ]
    assert len(set(named)) == len(named)
    assert all(canonical_uid(uid) == uid for uid in (*named, IMPLEMENTATION_CLASS_UID))
    assert len(IMPLEMENTATION_VERSION_NAME) <= 16


def test_pictures_of_a_study_share_a_series_and_reports_do_not() -> None:
    device = device_uid(MODEL)

    def series(source: str, kind: ResultKind) -> str:
        return series_uid("1.2", source, device, kind)

    assert series("1.2.3", ResultKind.SECONDARY_CAPTURE) == series("1.2.4", ResultKind.SECONDARY_CAPTURE)
    assert series("1.2.3", ResultKind.REPORT) != series("1.2.4", ResultKind.REPORT)
