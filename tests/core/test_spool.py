from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from core.spool import Spool
from tests.services import missing


@pytest.fixture(params=["local", "remote"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Spool:
    """On this file system, and on an fsspec file system that is none of ours."""
    return Spool((tmp_path / "spool").as_uri() if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def test_adopted_file_moves_and_reads_back(spool: Spool, tmp_path: Path) -> None:
    received = tmp_path / "incoming"
    received.write_bytes(b"bytes")
    name = spool.adopt(received, "received")
    assert not received.exists()
    assert name.startswith("received/")
    assert spool.read(name) == b"bytes"
    with spool.open(name) as file:
        assert file.read(2) == b"by"


def test_written_bytes_read_back_until_released(spool: Spool) -> None:
    name = spool.write(b"result", "results")
    assert spool.read(name) == b"result"
    spool.release(name)
    spool.release(name)
    with pytest.raises(FileNotFoundError):
        spool.read(name)


def test_names_never_repeat(spool: Spool) -> None:
    assert spool.write(b"", "results") != spool.write(b"", "results")


def test_no_partial_file_is_left_under_a_final_name(tmp_path: Path) -> None:
    spool = Spool((tmp_path / "spool").as_uri())
    spool.write(b"result", "results")
    names = [path.name for path in (tmp_path / "spool").rglob("*") if path.is_file()]
    assert len(names) == 1
    assert names[0].endswith(".dcm")


def test_refused_adoption_leaves_the_file_where_it_was(tmp_path: Path) -> None:
    spool = Spool((tmp_path / "spool").as_uri())
    received = tmp_path / "incoming"
    received.write_bytes(b"bytes")
    (tmp_path / "spool" / "received").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="received"):
        spool.adopt(received, "received")
    assert received.read_bytes() == b"bytes"


def test_adoption_from_another_volume(tmp_path: Path) -> None:
    other = Path("/dev/shm")  # noqa: S108 - a second file system is what the test is about
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        missing("this machine has one file system")
    received = other / f"pneumo-test-{uuid.uuid4().hex}"
    received.write_bytes(b"bytes")
    spool = Spool((tmp_path / "spool").as_uri())
    assert spool.read(spool.adopt(received, "received")) == b"bytes"
    assert not received.exists()


def test_free_space_is_known_where_there_is_a_limit(spool: Spool) -> None:
    free = spool.free_bytes()
    assert free is None if spool.local_root is None else free > 0
    spool.probe()
