"""The modules every result object has: SOP Common, Patient, General Study, General Series, General Equipment."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import UID, ExplicitVRLittleEndian

from core.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, MANUFACTURER, MANUFACTURER_MODEL_NAME
from core.records import ModelIdentity, ResultKind
from dicom import codes, orders
from dicom.case import Case
from dicom.headers import inherited, integer
from dicom.identity import device_uid, result_uid, series_uid

_DOCUMENTS = ("SR", "KO")


def envelope(
    case: Case,
    kind: ResultKind,
    *,
    sop_class_uid: str,
    modality: str,
    series_number: int,
    series_description: str,
    texts: Sequence[str],
) -> Dataset:
    """A data set with everything but its content. Two calls with the same arguments are equal byte for byte.

    Times are written in this machine's local time like the study's own. ``texts``: what the content will say, for the
    choice of character set.
    """
    source, model, created = case.source, case.model, case.created
    device = device_uid(model)
    local = created.astimezone().replace(tzinfo=None) if created.tzinfo else created
    date, time = local.strftime("%Y%m%d"), local.strftime("%H%M%S.%f")

    requests = orders.requests(source.dataset)
    result = inherited(source.dataset, [*texts, *orders.texts(requests)])
    result.SOPClassUID = sop_class_uid
    result.SOPInstanceUID = result_uid(source.sop_instance_uid, device, kind, case.generation)
    result.InstanceCreationDate, result.InstanceCreationTime = date, time
    result.ContentDate, result.ContentTime = date, time

    result.Modality = modality
    result.SeriesInstanceUID = series_uid(
        source.study_instance_uid, source.sop_instance_uid, device, kind, case.generation
    )
    result.SeriesNumber = series_number
    result.SeriesDescription = series_description
    result.InstanceNumber = max(1, integer(source.dataset, "InstanceNumber", 1) % 2**31)

    if requests:
        # Documents have a sequence of their own for it (PS3.3 C.17.1, C.17.6.1: none in their series).
        if modality in _DOCUMENTS:
            result.ReferencedRequestSequence = orders.referenced_requests(result, requests)
        else:
            result.RequestAttributesSequence = requests

    result.Manufacturer = MANUFACTURER
    result.ManufacturerModelName = MANUFACTURER_MODEL_NAME
    result.SoftwareVersions = [f"{model.name} {model.version}"[:64], model.digest[:64]]
    result.ContributingEquipmentSequence = [_algorithm(model, device, f"{date}{time}")]

    result.file_meta = FileMetaDataset()
    result.file_meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    result.file_meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
    result.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    result.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    result.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return result


def _algorithm(model: ModelIdentity, device: str, moment: str) -> Dataset:
    """IHE AIR 6.5.3.1. Its own purpose code is still a placeholder (99IHE); the standard's nearest stands in."""
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code_item(codes.PROCESSING_EQUIPMENT)]
    item.Manufacturer = model.manufacturer[:64]
    item.ManufacturerModelName = model.name[:64]
    item.SoftwareVersions = model.version[:64]
    item.DeviceUID = device
    item.ContributionDateTime = moment
    item.ContributionDescription = f"AI model for {model.label}"
    return item


def code_item(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def write(dataset: Dataset) -> bytes:
    """The data set as a DICOM file (PS3.10)."""
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
