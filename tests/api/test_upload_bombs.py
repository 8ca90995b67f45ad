"""What is no image, or too much of one, is refused within a second, and leaves nothing behind."""

from __future__ import annotations

import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from sqlalchemy import func, select

from audit.models import Upload
from audit.schema import upgrade
from audit.session import Database
from core.settings import Settings
from tests.api.answering_worker import png
from tests.api.conftest import serving
from tests.api.prediction_clients import key_of, settings_of_api
from tests.services import free_port
from tests.worker.rooms import radiograph_file

_LIMIT = 8 * 1024**2
_PIXELS = 4_000_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def database(home: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{home / 'pneumo.db'}")
    upgrade(database)
    yield database
    database.close()


@pytest.fixture(scope="module")
def client(home: Path, database: Database) -> Iterator[httpx.Client]:
    port = free_port()
    api = settings_of_api(
        port=port, maximum_upload_bytes=_LIMIT, maximum_upload_pixels=_PIXELS, predict_timeout_seconds=0.01
    )
    settings = Settings(home=home, api=api)  # type: ignore[arg-type]
    headers = {"Authorization": f"Bearer {key_of(database, 'ward')}"}
    with (
        serving(settings, database),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=10) as client,
    ):
        yield client


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(*chunks: bytes, columns: int = 60, rows: int = 40) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks)


def picture(kind: str, mode: str = "L", size: tuple[int, int] = (60, 40), **options: object) -> bytes:
    file = BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()


def animation() -> bytes:
    file, frames = BytesIO(), [Image.new("L", (60, 40), shade) for shade in (0, 99)]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    return file.getvalue()


def scans(number: int) -> bytes:
    """A progressive JPEG of 2000 x 2000 pixels whose last scan comes again and again."""
    content = picture("JPEG", size=(2000, 2000), progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * number + content[-2:]


def dicom(**changes: object) -> bytes:
    dataset = dcmread(BytesIO(radiograph_file("bomb")))
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def deflated() -> bytes:
    content = radiograph_file("bomb")
    dataset = dcmread(BytesIO(content))
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    dataset.PixelData = b"\0" * (64 * 1024**2)
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def many_elements() -> bytes:
    """Half a million empty private elements before the rows and columns."""
    content = radiograph_file("bomb")
    place = content.index(b"\x10\x00\x10\x00PN")
    element = b"".join(struct.pack("<HH2sH", 0x0009, 0x1000 + i % 0xE000, b"LO", 0) for i in range(500_000))
    return content[:place] + element + content[place:]


def deep_sequences() -> bytes:
    """Sequences in items in sequences, 100,000 deep, of undefined length."""
    content = radiograph_file("bomb")
    place = content.index(b"\x10\x00\x10\x00PN")
    level = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    return content[:place] + level * 100_000 + content[place:]


_NOISE = np.random.default_rng(0).bytes(4096)

BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "no_image"),
    "text": (lambda: b"<svg onload=alert(1)>", "no_image"),
    "noise": (lambda: _NOISE, "no_image"),
    "gif": (lambda: picture("GIF"), "no_image"),
    "tiff": (lambda: picture("TIFF"), "no_image"),
    "zip": (lambda: b"PK\x03\x04" + _NOISE, "no_image"),
    "magic alone": (lambda: b"\xff\xd8\xff", "no_image"),
    "jpeg magic and noise": (lambda: b"\xff\xd8\xff\xe0" + _NOISE, "no_image"),
    "png magic and noise": (lambda: b"\x89PNG\r\n\x1a\n" + _NOISE, "no_image"),
    "dicom magic and noise": (lambda: bytes(128) + b"DICM" + _NOISE, "no_image"),
    "dicom without magic": (lambda: radiograph_file("bomb")[132:], "no_image"),
    "jpeg that ends early": (lambda: picture("JPEG", size=(900, 900))[:-900], "no_image"),
    "png that ends early": (lambda: png()[:-30], "no_image"),
    "png with a broken checksum": (lambda: png()[:-20] + b"\0\0\0\0" + png()[-16:], "no_image"),
    "jpeg inside a dicom preamble": (
        lambda: b"\xff\xd8\xff" + radiograph_file("bomb")[3:],
        "no_image",
    ),
    "two pictures in one png": (animation, "no_image"),
    "cmyk": (lambda: picture("JPEG", "CMYK"), "no_image"),
    "pixel bomb, png": (lambda: picture("PNG", size=(3000, 3000)), "image_too_large"),
    "wider than DICOM knows": (lambda: picture("PNG", size=(65_536, 8)), "image_too_large"),
    "higher than DICOM knows": (lambda: picture("PNG", size=(8, 65_536)), "image_too_large"),
    "pixel bomb, png, 30,000 x 30,000": (
        lambda: png_of(chunk(b"IDAT", zlib.compress(bytes(9000), 9)), columns=30_000, rows=30_000),
        "image_too_large",
    ),
    "pixel bomb, png, 2**31 - 1": (
        lambda: png_of(chunk(b"IDAT", b""), columns=2**31 - 1, rows=2**31 - 1),
        "image_too_large",
    ),
    "pixel bomb, jpeg": (lambda: picture("JPEG", size=(3000, 3000)), "image_too_large"),
    "a hundred thousand png chunks": (
        lambda: png_of(chunk(b"abCd", b"") * 100_000, chunk(b"IDAT", zlib.compress(bytes(2440)))),
        "no_image",
    ),
    "text of a png that inflates": (
        lambda: png_of(
            chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(64 * 1024**2))) * 8,
            chunk(b"IDAT", zlib.compress(bytes(2440))),
        ),
        "no_image",
    ),
    "profile of a png that inflates": (
        lambda: png_of(chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(64 * 1024**2))), chunk(b"IDAT", b"")),
        "no_image",
    ),
    "a hundred scans of a jpeg": (lambda: scans(100), "no_image"),
    "a hundred thousand segments of a jpeg": (
        lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * 100_000 + picture("JPEG")[2:],
        "no_image",
    ),
    "pixel bomb, dicom": (lambda: dicom(Rows=60_000, Columns=60_000), "image_too_large"),
    "frames of a dicom": (lambda: dicom(NumberOfFrames=100_000), "image_too_large"),
    "dicom without rows": (lambda: dicom(Rows=None), "no_image"),
    "dicom without a uid": (lambda: dicom(StudyInstanceUID=None), "no_image"),
    "dicom with a long patient id": (lambda: dicom(PatientID="9" * 5000), "no_image"),
    "deflated dicom": (deflated, "no_image"),
    "half a million elements": (many_elements, "no_image"),
    "sequences without end": (deep_sequences, "no_image"),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.filterwarnings("ignore")  # the bombs are made with the libraries that they are meant for
def test_a_bomb_is_refused_within_a_second(client: httpx.Client, name: str) -> None:
    make, code = BOMBS[name]
    content = make()
    assert len(content) < _LIMIT, "it is no bomb if its size gives it away"
    began = time.perf_counter()
    answer = client.post("/predict", files={"file": ("chest.png", content, "image/png")})
    seconds = time.perf_counter() - began
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert seconds < 1
    assert str(answer.json()["detail"]).isprintable()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda: picture("PNG", "I;16"), id="16 bits"),
        pytest.param(lambda: picture("PNG", "P"), id="palette"),
        pytest.param(lambda: picture("PNG", "RGBA"), id="transparent"),
        pytest.param(lambda: picture("JPEG", "RGB", progressive=True), id="progressive"),
        pytest.param(lambda: png() + b"more", id="bytes after the end"),
        pytest.param(lambda: radiograph_file("fine"), id="dicom"),
    ],
)
def test_what_is_an_image_is_taken(client: httpx.Client, content: Callable[[], bytes]) -> None:
    answer = client.post("/predict", files={"file": ("no.txt", content(), "text/plain")})
    assert (answer.status_code, answer.json()["code"]) == (503, "model_busy"), "its name and type count for nothing"


def test_a_photograph_is_turned_as_it_is_shown(client: httpx.Client, database: Database) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    answer = client.post("/predict", files={"file": picture("JPEG", size=(60, 40), exif=exif)})
    uid = answer.headers["Location"].rsplit("/", 1)[1]
    with database.read() as session:
        upload = session.scalars(select(Upload).join(Upload.instance).where(Upload.instance.has(sop_instance_uid=uid)))
        assert [(row.columns, row.rows) for row in upload] == [(40, 60)]


@pytest.mark.parametrize(
    ("form", "code", "word"),
    [
        ({}, "no_image", "multipart"),
        ({"files": {"picture": png()}}, "invalid_request", "picture"),
        ({"data": {"file": "text"}, "files": {"patient_id": (None, "P")}}, "no_image", "as a file"),
        ({"files": {"file": png()}, "data": {"use_tta": "perhaps"}}, "invalid_request", "use_tta"),
        ({"files": {"file": png()}, "data": {"use_tta": ["true", "false"]}}, "invalid_request", "use_tta"),
        ({"files": {"file": png()}, "data": {"patient_id": "a\0b"}}, "invalid_request", "patient_id"),
        ({"files": {"file": png()}, "data": {"patient_id": "9" * 65}}, "invalid_request", "patient_id"),
        ({"files": {"file": png()}, "data": {"patient_id": ["a", "b"]}}, "invalid_request", "patient_id"),
        ({"files": {"file": png(), "patient_id": ("p.txt", b"P")}}, "invalid_request", "files"),
        ({"files": [("file", png()), ("file", png(1))]}, "invalid_request", "files"),
        ({"files": {"file": png()}, "data": {"patient_id": "x" * 9000}}, "invalid_request", "size"),
        ({"files": {"file": png()}, "params": {"use_tta": "true"}}, "invalid_request", "query"),
        (
            {"content": b"no form", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
            "invalid_request",
            "",
        ),
        ({"content": b"no form", "headers": {"Content-Type": "multipart/form-data"}}, "invalid_request", "boundary"),
    ],
)
def test_a_form_that_is_not_the_one_described(
    client: httpx.Client, form: dict[str, object], code: str, word: str
) -> None:
    answer = client.post("/predict", **form)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert word in answer.json()["detail"]


def test_a_body_that_is_too_large_is_not_read(client: httpx.Client) -> None:
    """The answer comes while no byte of the body has been sent."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=5) as peer:
        peer.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            b"Authorization: " + client.headers["Authorization"].encode() + b"\r\n"
            b"Content-Length: 999999999999\r\n\r\n"
        )
        began = time.perf_counter()
        answer = b""
        while part := peer.recv(65536):  # to the end: the service closes the connection
            answer += part
        assert time.perf_counter() - began < 1
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"body_too_large" in answer


def test_a_body_without_a_length_is_counted(client: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(200):
            yield bytes(256 * 1024)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    try:
        answer = client.post("/predict", content=endless(), headers=headers)
    except (httpx.NetworkError, httpx.RemoteProtocolError):
        return  # the service hung up on us while we were still sending
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_nothing_of_a_bomb_is_kept(client: httpx.Client, database: Database, home: Path) -> None:
    with database.read() as session:
        before = session.scalar(select(func.count()).select_from(Upload))
    client.post("/predict", files={"file": _NOISE})
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Upload)) == before
    spooled = [path for path in (home / "spool" / "received").rglob("*") if path.is_file()]
    assert len(spooled) == before
