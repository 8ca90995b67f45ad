"""``pneumo echo`` and ``pneumo send`` against a running listener."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import CTImageStorage
from pynetdicom import _config

from cli.sending import Stored, Target, open_association, store_files
from core.errors import ConfigurationError
from pacs_listener import statuses
from tests.cli.commands import pneumo
from tests.pacs_listener.room import CALLER, Room, data_set_of, radiograph, running, write
from tests.services import free_port


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", False)  # restored: sending sets it
    with running(tmp_path / "home") as room:
        yield room


def target(room: Room, called: str = "PNEUMO") -> str:
    return f"{called}@127.0.0.1:{room.port}"


def test_echo_says_who_answered(room: Room, tmp_path: Path) -> None:
    done = pneumo(tmp_path, "echo", target(room), "--from", CALLER)
    assert (done.returncode, done.stdout) == (0, f"{target(room)} answers C-ECHO from {CALLER}\n")


@pytest.mark.parametrize(
    ("called", "calling", "advice"),
    [("PNEUMO", "STRANGER", "the receiver must know it"), ("OTHER", CALLER, "does not go by the AE title OTHER")],
)
def test_echo_says_what_to_do_about_a_refusal(
    room: Room, tmp_path: Path, called: str, calling: str, advice: str
) -> None:
    done = pneumo(tmp_path, "echo", target(room, called), "--from", calling, "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ok"]) == (1, False)
    assert advice in answer["answer"]


def test_echo_where_nobody_listens(tmp_path: Path) -> None:
    done = pneumo(tmp_path, "echo", f"PACS@127.0.0.1:{free_port()}", "--from", CALLER)
    assert done.returncode == 1
    assert "is the receiver running" in done.stderr


@pytest.mark.parametrize("receiver", ["PACS", "PACS@host", "PACS@host:0", "PACS@host:99999", "@host:104"])
def test_a_receiver_is_written_out(receiver: str) -> None:
    with pytest.raises(ConfigurationError, match="AE@HOST:PORT"):
        Target.parse(receiver)


def test_target_knows_ipv6() -> None:
    assert Target.parse("PACS@[::1]:104") == Target("PACS", "::1", 104)


def test_send_a_folder_of_dicom_and_pictures(room: Room, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    (folder / "deeper").mkdir(parents=True)
    dicom = write(radiograph(), folder / "deeper" / "IM0001")
    grey = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    Image.fromarray(grey).save(folder / "a.png")
    Image.fromarray(grey).save(folder / "b.JPG", format="JPEG")
    (folder / "readme.txt").write_text("no image")
    for _ in range(2):  # the second time everything is known already
        done = pneumo(tmp_path, "send", str(folder), "--to", target(room), "--from", CALLER)
        assert done.returncode == 0, done.stderr
        assert re.search(r"0x0000 .* Success .* 3 ", done.stdout)
    rows = {row.patient_id: row for row in room.instances()}
    assert set(rows) == {"PID-QQ7731", "a", "b"}
    assert data_set_of(room.spool_root / rows["PID-QQ7731"].spool_name) == data_set_of(dicom)
    assert room.events("instance.received")[3:] == []


def test_send_tells_each_failure_and_fails(room: Room, tmp_path: Path) -> None:
    good = write(radiograph(), tmp_path / "good.dcm")
    odd = write(radiograph(StudyInstanceUID=None), tmp_path / "odd.dcm")
    ct = write(radiograph(), tmp_path / "ct.dcm", command_class=CTImageStorage)
    (text := tmp_path / "text.dcm").write_text("no image")
    done = pneumo(tmp_path, "send", *map(str, (good, odd, ct, text)), "--to", target(room), "--from", CALLER, "--json")
    assert done.returncode == 1
    answers = {Path(each["path"]).name: (each["status"], each["error"]) for each in json.loads(done.stdout)["files"]}
    assert answers == {
        "good.dcm": (statuses.SUCCESS, ""),
        "odd.dcm": (statuses.CANNOT_UNDERSTAND, "uid_missing: StudyInstanceUID"),
        "ct.dcm": (None, "the receiver does not accept CT Image Storage in Explicit VR Little Endian"),
        "text.dcm": (None, "cannot be read (InvalidDicomError)"),
    }


def test_send_without_anything_to_send(room: Room, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = pneumo(tmp_path, "send", str(tmp_path / "empty"), "--to", target(room))
    assert done.returncode == 2
    assert "there is no DICOM, JPEG or PNG file" in done.stderr


def test_more_presentation_contexts_than_an_association_has(room: Room, tmp_path: Path) -> None:
    """Each made-up SOP class needs one; the files that can be stored still are, whichever association they fall to."""
    strange = [write(radiograph(), tmp_path / f"{n}.dcm", command_class=f"1.2.840.99999.{n}") for n in range(1, 200)]
    good = [write(radiograph(), tmp_path / "first.dcm"), write(radiograph(), tmp_path / "last.dcm")]
    seen: list[Stored] = []
    answers = store_files([good[0], *strange, good[1]], Target("PNEUMO", "127.0.0.1", room.port), CALLER, seen.append)
    assert [each.path for each in answers if each.is_stored] == good
    assert sorted(seen) == sorted(answers)


def test_an_association_of_ours_sends_at_once_and_keeps_its_answers(room: Room) -> None:
    with open_association(Target.parse(target(room)), CALLER, [("1.2.840.10008.1.1", None)]) as association:
        connection = association.dul.socket.socket
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        answer = (1, object())
        association.dimse.msg_queue.put(answer)
        time.sleep(0.2)  # pynetdicom's own thread looks every millisecond
        assert association.dimse.get_msg(block=True) == answer
