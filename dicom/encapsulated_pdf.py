"""The result on a page of A4 for those who open no DICOM objects, as Encapsulated PDF (PS3.3 A.45.1)."""

from __future__ import annotations

import html
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage
from reportlab import rl_config
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import KeepInFrame, Paragraph, Spacer, Table

from core.identity import MANUFACTURER
from core.records import ResultKind
from core.wording import RIGHT_OR_WRONG
from dicom import codes, typefaces
from dicom.case import Case
from dicom.envelope import code_item, envelope
from dicom.sentences import remarks, result_sentence

SERIES_NUMBER = 9005
_SERIES_DESCRIPTION = "AI result page - RESEARCH, not for diagnosis"
_NOT_PRINTABLE = "(cannot be printed here: see the DICOM header)"

_PAGE_WIDTH, _PAGE_HEIGHT = A4
_MARGIN = 18 * mm
_WIDTH = _PAGE_WIDTH - 2 * _MARGIN
_FOOT = 14 * mm
_MOST_WORDS = 0.5 * _PAGE_HEIGHT
"""The words are made smaller beyond this; the picture gets the rest."""
_JPEG_QUALITY = 90

rl_config.useA85 = 0  # binary streams: four fifths of the size, and no loop in Python over each byte

_PLAIN = ParagraphStyle("plain", fontName=typefaces.REGULAR, fontSize=9, leading=13)
_MUTED = ParagraphStyle("muted", _PLAIN, textColor=HexColor(0x5A6270))
_TITLE = ParagraphStyle("title", _PLAIN, fontName=typefaces.BOLD, fontSize=15, leading=20)
_RESULT = ParagraphStyle("result", _PLAIN, fontName=typefaces.BOLD, fontSize=11, leading=15, spaceAfter=4)
_USE = ParagraphStyle("use", _PLAIN, fontName=typefaces.BOLD, textColor=HexColor(0xA03A00))


def build(case: Case, picture: npt.NDArray[np.uint8] | None) -> Dataset:
    """``picture``: (H, W, 3) uint8, RGB, as in the Secondary Capture; None where the image was not judged."""
    source = case.source
    title = f"AI result for {case.model.label}"
    document = envelope(
        case,
        ResultKind.ENCAPSULATED_PDF,
        sop_class_uid=EncapsulatedPDFStorage,
        modality="DOC",
        series_number=SERIES_NUMBER,
        series_description=_SERIES_DESCRIPTION,
        texts=[title],
    )
    document.ConversionType = "WSD"
    # PS3.3 C.24.2
    document.AcquisitionDateTime = ""
    document.BurnedInAnnotation = "YES"
    document.DocumentTitle = title
    document.ConceptNameCodeSequence = [code_item(codes.IMAGING_MEASUREMENT_REPORT)]
    document.VerificationFlag = "UNVERIFIED"
    document.SourceInstanceSequence = [_reference(source.sop_class_uid, source.sop_instance_uid)]
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    page = _page(case, document, picture)
    document.EncapsulatedDocumentLength = len(page)
    document.EncapsulatedDocument = page + b"\0" * (len(page) % 2)
    return document


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item


def _page(case: Case, header: Dataset, picture: npt.NDArray[np.uint8] | None) -> bytes:
    """PDF without the date it was made: two builds are equal byte for byte."""
    typefaces.register()
    buffer = BytesIO()
    canvas = Canvas(buffer, pagesize=A4, invariant=1, pageCompression=1, lang="en")
    canvas.setTitle(f"AI result for {case.model.label}")
    canvas.setAuthor(MANUFACTURER)
    words = KeepInFrame(_WIDTH, _MOST_WORDS, _words(case, header), mode="shrink")
    _, height = words.wrapOn(canvas, _WIDTH, _MOST_WORDS)
    top = _PAGE_HEIGHT - _MARGIN - height
    words.drawOn(canvas, _MARGIN, top)
    if picture is not None:
        jpeg = BytesIO()
        Image.fromarray(picture).save(jpeg, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        _place(canvas, jpeg, picture.shape[1] / picture.shape[0], top - 5 * mm)
    use = Paragraph(_set(case.intended_use), _USE)
    use.wrapOn(canvas, _WIDTH, _FOOT)
    use.drawOn(canvas, _MARGIN, _FOOT - 4 * mm)
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def _place(canvas: Canvas, jpeg: BytesIO, aspect: float, top: float) -> None:
    """In the middle, as large as the rest of the page allows."""
    bottom = _FOOT + 6 * mm
    width = min(_WIDTH, (top - bottom) * aspect)
    canvas.drawImage(ImageReader(jpeg), (_PAGE_WIDTH - width) / 2, top - width / aspect, width, width / aspect)


def _words(case: Case, header: Dataset) -> list[Paragraph | Spacer | Table]:
    model = case.model
    rows = [
        ("Patient", _set_name(str(header.PatientName))),
        ("Patient ID", _set(header.PatientID)),
        ("Born", _set(_date(header.PatientBirthDate))),
        ("Study date", _set(_date(header.StudyDate))),
        ("Accession number", _set(header.AccessionNumber)),
        ("Analysed", _set(f"{_date(header.ContentDate)} {header.ContentTime[:2]}:{header.ContentTime[2:4]}")),
        ("Model", _set(f"{model.name} {model.version}, {model.manufacturer}")),
        ("Operating point", _set(f"positive from {100 * model.threshold:.1f} %")),
    ]
    cells = [[Paragraph(label, _MUTED), Paragraph(value, _PLAIN)] for label, value in rows]
    edges = [(f"{edge}PADDING", (0, 0), (-1, -1), 0) for edge in ("LEFT", "TOP", "BOTTOM")]
    return [
        Paragraph(_set(f"AI result for {model.label}"), _TITLE),
        Paragraph(_set(case.intended_use), _USE),
        Spacer(0, 3 * mm),
        Table(cells, colWidths=(38 * mm, _WIDTH - 38 * mm), style=[("VALIGN", (0, 0), (-1, -1), "TOP"), *edges]),
        Spacer(0, 3 * mm),
        Paragraph(_set(result_sentence(case.analysis)), _RESULT),
        *(Paragraph(_set(line), _PLAIN) for line in remarks(case.analysis)),
        *([Paragraph(_link(case.feedback_url), _PLAIN)] if case.feedback_url else []),
    ]


def _set(text: str) -> str:
    if not text:
        return "-"
    return typefaces.marked_up(text) or _NOT_PRINTABLE


def _link(address: str) -> str:
    """The words and the address, which a click opens."""
    anchor = f'<a href="{html.escape(address)}" color="#0B57A4">{_set(address)}</a>'
    return f"{_set(RIGHT_OR_WRONG)} {anchor}"


def _set_name(name: str) -> str:
    """The groups of a person's name (PS3.5 6.2.1) that can be printed; a romanised one is mostly among them."""
    groups = [_family_first(group) for group in name.split("=") if group.strip("^ ")]
    printable = [markup for markup in map(typefaces.marked_up, groups) if markup is not None]
    if printable:
        return " / ".join(printable)
    return _NOT_PRINTABLE if groups else "-"


def _family_first(group: str) -> str:
    family, *others = group.split("^")
    return ", ".join(part for part in (family, " ".join(filter(None, others))) if part)


def _date(value: str) -> str:
    return f"{value[:4]}-{value[4:6]}-{value[6:]}" if value else ""
