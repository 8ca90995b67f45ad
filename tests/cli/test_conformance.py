"""The Conformance Statement says what the code does, and the code does what it says."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, build_context
from pynetdicom.sop_class import _STORAGE_CLASSES

from core.records import MESSAGE_KINDS, ResultKind
from pacs_listener import statuses
from tests.cli.commands import pneumo
from tests.pacs_listener.room import CALLER, close, radiograph, running

DOCUMENT = Path(__file__).parents[2] / "docs" / "conformance.md"
MOST_CONTEXTS = 128  # PS3.8 9.3.2.2: odd numbers of one byte


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """In a place of its own: another time zone, language and configuration leave no trace."""
    folder = tmp_path_factory.mktemp("conformance")
    printed = pneumo(
        folder, "conformance", TZ="Asia/Tokyo", LC_ALL="C.UTF-8", PNEUMO_LISTENER__PORT="104", PYTHONHASHSEED="7"
    )
    assert (printed.returncode, printed.stderr) == (0, "")
    return printed.stdout


def section(text: str, title: str) -> str:
    """From the heading to the next one."""
    return re.split(r"\n#{2,3} ", text.split(f" {title}\n", 1)[1], maxsplit=1)[0]


def test_the_document_is_what_this_version_prints(text: str) -> None:
    if text != DOCUMENT.read_text(encoding="utf-8"):
        pytest.fail("docs/conformance.md is out of date: run `pneumo conformance --out docs/conformance.md`")


def test_the_listener_accepts_what_the_statement_says_and_nothing_else(text: str, tmp_path: Path) -> None:
    listed = section(text, "6.1 Application entity LISTENER")
    stated = {
        (cells[2].strip(" `"), syntax)
        for line in listed.splitlines()
        if line.endswith("| SCU |") and (cells := line.split("|"))
        for syntax in re.findall(r"\(`([0-9.]+)`\)", cells[3])
    }
    classes = {*_STORAGE_CLASSES.values(), *(uid for uid, _ in stated)}
    pairs = [(uid, str(syntax)) for uid in sorted(classes) for syntax in AllTransferSyntaxes[:3]]
    pairs += [(uid, str(syntax)) for uid in sorted({uid for uid, _ in stated}) for syntax in AllTransferSyntaxes[3:]]
    accepted: set[tuple[str, str]] = set()
    with running(tmp_path) as room:
        ae = AE(ae_title=CALLER)
        rest = iter(pairs)
        while some := list(islice(rest, MOST_CONTEXTS)):
            contexts = [build_context(*pair) for pair in some]
            association = ae.associate("127.0.0.1", room.port, contexts=contexts, ae_title="PNEUMO")
            accepted |= {
                (str(each.abstract_syntax), str(each.transfer_syntax[0])) for each in association.accepted_contexts
            }
            association.release()
            close(association)
    assert accepted == stated


@pytest.mark.parametrize(
    ("reserve", "change", "expected"),
    [
        (0, {}, statuses.SUCCESS),
        (0, {"StudyInstanceUID": None}, statuses.CANNOT_UNDERSTAND),
        (2**60, {}, statuses.OUT_OF_RESOURCES),
    ],
)
def test_answers_are_among_those_stated(
    text: str, tmp_path: Path, reserve: int, change: dict[str, Any], expected: int
) -> None:
    with running(tmp_path, disk_reserve_bytes=reserve) as room, room.association() as association:
        answer = association.send_c_store(radiograph(**change))
    assert answer.Status == expected
    assert f"| 0x{answer.Status:04X} |" in section(text, "4.2 Storage as SCP")


def test_negotiation_and_rejections_are_those_stated(text: str, tmp_path: Path) -> None:
    stated = section(text, "6.1 Application entity LISTENER")
    with running(tmp_path) as room:
        with room.association() as association:
            acceptor = association.acceptor
            assert f"| Maximum PDU that is received | {acceptor.maximum_length} bytes |" in stated
            assert f"| Implementation Class UID | `{acceptor.implementation_class_uid}` |" in stated
            assert f"| Implementation Version Name | {acceptor.implementation_version_name} |" in stated
        for cause, calling, called in (
            ("calling ae title unknown", "STRANGER", "PNEUMO"),
            ("called ae title unknown", CALLER, "OTHER"),
        ):
            with room.association(calling, called) as association:
                answer = association.acceptor.primitive
                assert answer is not None
                numbers = f"{answer.result} | {answer.result_source} | {answer.diagnostic}"
                assert f"| {cause} | {numbers} |" in stated


def test_every_kind_of_object_is_described(text: str) -> None:
    described = re.findall(r"^### A\.\d+ .*: `(\w+)`$", text, re.MULTILINE)
    assert described == [kind for kind in ResultKind if kind not in MESSAGE_KINDS]
