"""QIDO-RS and WADO-RS against Orthanc, and against a server that answers nonsense."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from core.destinations import DICOMwebArchive
from core.errors import FailedForGood, RetryLater
from tests.pacs_listener.room import data_set_of
from tests.services import free_port
from tests.worker.archives import orthanc_with_dicomweb
from worker.archive import Arrived, FoundSeries, Retrieved
from worker.multipart import MultipartError, MultipartReader, boundary_of
from worker.web_archive import WebArchive

BOTH = ("CR", "DX")
MARCH_1 = date(2025, 3, 1)


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("web")
    with orthanc_with_dicomweb(folder) as url:
        yield url, folder / "files"


def client(url: str, folder: Path, arrived: list[Arrived] | None = None, keep: bool = False) -> WebArchive:
    def store(each: Arrived) -> int:
        if arrived is not None:
            arrived.append(each)
        if keep:
            each.path.rename(each.path.with_suffix(".kept"))
        return 0x0000

    return WebArchive(
        DICOMwebArchive(type="dicomweb", name="web", url=url, timeout_seconds=5), folder=folder, store=store
    )


def test_studies_series_and_their_images(orthanc: tuple[str, Path], tmp_path: Path) -> None:
    url, files = orthanc
    arrived: list[Arrived] = []
    archive = client(url, tmp_path, arrived, keep=True)
    assert archive.find_studies(MARCH_1, BOTH).uids == ("1.2.3.1", "1.2.3.2")
    assert archive.find_studies(MARCH_1, ("CR",)).uids == ("1.2.3.2",)
    assert archive.find_studies(date(2025, 3, 2), BOTH).uids == ()
    series = sorted(archive.find_series("1.2.3.1", BOTH), key=lambda each: each.modality)
    assert series == [FoundSeries("1.2.3.1.7", "CT", 1), FoundSeries("1.2.3.1.1", "DX", 2)]
    assert archive.retrieve("1.2.3.1", "1.2.3.1.1") == Retrieved(completed=2, failed=0)
    assert {each.sop_instance_uid for each in arrived} == {"1.2.3.1.1.1", "1.2.3.1.1.2"}
    sent = {data_set_of(path) for path in files.iterdir()}
    assert all(data_set_of(path) in sent for path in tmp_path.glob("*.kept"))
    assert list(tmp_path.glob("*.dcm")) == []
    with pytest.raises(FailedForGood, match="http_404"):
        archive.retrieve("1.2.3.1", "1.2.3.99")


Answer = tuple[int, str, bytes]


@contextmanager
def server(answer: Callable[[str], Answer]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content_type, body = answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=[0.02])
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}/web"
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def test_matches_of_a_stranger(tmp_path: Path) -> None:
    uids: list[object] = ["1.2.3", "../../etc", "1.2.3", {"a": 1}, "9" * 65, "1.2.4"]
    page = [{"0020000D": {"vr": "UI", "Value": [uid]}} for uid in uids] + [[], {"0020000D": 5}]
    with server(lambda _path: (200, "application/dicom+json", json.dumps(page).encode())) as url:
        # This server knows no offset: its first page comes again.
        found = client(url, tmp_path).find_studies(MARCH_1, ("DX",))
    assert (found.uids, found.malformed) == (("1.2.3", "1.2.4"), 5)


@pytest.mark.parametrize(
    ("status", "body", "fate", "code"),
    [
        (503, b"", RetryLater, "http_503"),
        (401, b"", RetryLater, "http_401"),
        (302, b"", FailedForGood, "http_302"),
        (200, b"<html>", FailedForGood, "answer_no_json"),
        (200, b"[" * 100_000, FailedForGood, "answer_no_json"),
    ],
)
def test_other_answers_to_a_query(
    tmp_path: Path, status: int, body: bytes, fate: type[RetryLater | FailedForGood], code: str
) -> None:
    with server(lambda _path: (status, "text/html", body)) as url, pytest.raises(fate, match=code):
        client(url, tmp_path).find_series("1.2.3", BOTH)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(RetryLater, match="no_connection"):
        client(f"http://127.0.0.1:{free_port()}", tmp_path).find_series("1.2.3", BOTH)


def test_parts_that_are_none_are_counted_and_a_message_that_breaks_off_is_an_error(tmp_path: Path) -> None:
    whole = (
        b"--x\r\nContent-Type: application/dicom\r\n\r\nno dicom\r\n"
        b"--x\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x--\r\n"
    )
    kind = 'multipart/related; type="application/dicom"; boundary=x'
    with server(lambda _path: (200, kind, whole)) as url:
        assert client(url, tmp_path).retrieve("1.2.3", "1.2.4") == Retrieved(completed=0, failed=2)
    with (
        server(lambda _path: (200, kind, whole[:60])) as url,
        pytest.raises(RetryLater, match="no_answer"),
    ):
        client(url, tmp_path).retrieve("1.2.3", "1.2.4")


def test_multipart_in_pieces_of_any_size() -> None:
    content = b"a\r\n--\r\n--ab\r\r\nz"
    message = (
        b"preamble\r\n--abc \r\n\r\n" + content + b"\r\n--abc\r\nA: b\r\ncontent-type: Image/X; y=1\r\n\r\n\r\n--abc--"
    )
    for size in (1, 2, 3, 7, 1000):
        reader = MultipartReader((message[at : at + size] for at in range(0, len(message), size)), b"abc")
        parts = []
        while (kind := reader.next_part()) is not None:
            part = bytearray()
            reader.copy(part.extend, 100)
            parts.append((kind, bytes(part)))
        assert parts == [("", content), ("image/x", b"")]
    reader = MultipartReader([message], b"abc")
    reader.next_part()
    with pytest.raises(MultipartError, match="longer"):
        reader.copy(lambda _: None, len(content) - 1)
    with pytest.raises(MultipartError, match="boundary"):
        boundary_of("application/dicom")
