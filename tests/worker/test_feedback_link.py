"""The link to the page that takes feedback, from the setting to every kind of result."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from pydantic import SecretStr
from pydicom import dcmread
from sqlalchemy import select

from audit.models import Instance, Prediction, ResultObject
from core.api_settings import APISettings
from core.destinations import DICOMDestination, HL7Destination, WebhookDestination
from core.records import ResultKind
from dicom.envelope import write
from ml.classifier import Classifier
from tests.dicom.test_report import texts
from tests.worker.rooms import Rooms, radiograph_file, rooms
from tests.worker.test_inference import classifier
from tests.worker.test_mllp import a_case, fields
from tests.worker.test_webhook import SECRET
from worker.events import event_bytes
from worker.hl7 import message_bytes

__all__ = ["classifier"]

URL = "https://pneumo.example.org/ai/r/1.2.3?a=b&c=d"


def test_a_webhook_is_told_the_address_where_there_is_one() -> None:
    plain = json.loads(event_bytes(a_case(), []))
    linked = json.loads(event_bytes(replace(a_case(), feedback_url=URL), []))
    assert linked["data"].pop("feedback_url") == URL
    assert linked == plain


def test_a_message_has_the_address_in_an_observation_of_its_own() -> None:
    plain, linked = message_bytes(a_case()), message_bytes(replace(a_case(), feedback_url=URL))
    assert parse_message(linked.decode(), validation_level=VALIDATION_LEVEL.STRICT).validate()
    known = [line[2:6] for line in fields(plain, "OBX")]
    words, address = [line[2:6] for line in fields(linked, "OBX") if line[2:6] not in known]
    assert words[0] == "TX"
    assert words[3].startswith("To say whether this is right")
    assert address == ["ST", "110037^URI^DCM", "", r"https://pneumo.example.org/ai/r/1.2.3?a=b\T\c=d"]
    assert fields(plain, "MSH") == fields(linked, "MSH")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Rooms]:
    objects = (ResultKind.SECONDARY_CAPTURE, ResultKind.REPORT, ResultKind.ENCAPSULATED_PDF)
    pacs = DICOMDestination(name="pacs", ae_title="PACS", host="127.0.0.1", objects=objects)
    hook = WebhookDestination(name="hook", type="webhook", url="http://127.0.0.1:9/", secret=SecretStr(SECRET))
    ris = HL7Destination(name="ris", type="hl7", host="127.0.0.1", port=9)
    with rooms(tmp_path) as made:
        made.settings = made.settings.model_copy(update={"destinations": (pacs, hook, ris)})
        yield made


@pytest.mark.parametrize("public_url", ["", "https://pneumo.example.org/ai"])
def test_the_setting_reaches_every_result_of_an_answer(house: Rooms, classifier: Classifier, public_url: str) -> None:
    house.settings = house.settings.model_copy(update={"api": APISettings(public_url=public_url)})
    uid = house.book_radiograph("good")
    lateral = dcmread(BytesIO(radiograph_file("lateral")))
    lateral.ViewPosition = "LL"
    del lateral.ViewCodeSequence
    house.book(write(lateral), sop_instance_uid=str(lateral.SOPInstanceUID))
    house.inference(classifier).drain()
    address = f"https://pneumo.example.org/ai/r/{uid}"
    said = _results_about(house, uid)
    assert set(said) == {
        ResultKind.SECONDARY_CAPTURE, ResultKind.REPORT, ResultKind.ENCAPSULATED_PDF, ResultKind.WEBHOOK_EVENT,
        ResultKind.HL7_MESSAGE,
    }  # fmt: skip
    assert [kind for kind, text in said.items() if (address in text) != bool(public_url)] == []
    refused = _results_about(house, str(lateral.SOPInstanceUID))
    assert "Reason lateral_view" in refused[ResultKind.REPORT]
    assert not any("/r/" in text for text in refused.values()), "there is nothing to agree with"


def _results_about(house: Rooms, sop_instance_uid: str) -> dict[ResultKind, str]:
    with house.database.read() as session:
        statement = select(ResultObject).join(ResultObject.prediction).join(Prediction.instance)
        rows = session.scalars(statement.where(Instance.sop_instance_uid == sop_instance_uid))
        return {row.kind: _text_of(house, row) for row in rows}


def _text_of(house: Rooms, result: ResultObject) -> str:
    content = house.spool.read(result.spool_name)
    if not result.sop_class_uid:
        return content.decode()
    dataset = dcmread(BytesIO(content))
    match result.kind:
        case ResultKind.SECONDARY_CAPTURE:
            return str(dataset.ImageComments)
        case ResultKind.ENCAPSULATED_PDF:
            return str(dataset.EncapsulatedDocument, "latin-1")
        case _:
            return texts(dataset)
