from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import _config

from tests.pacs_listener.room import Room, running


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with running(tmp_path / "home") as room:
        yield room


@pytest.fixture(autouse=True)
def _files_are_sent_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this pynetdicom decodes what it is given a path of, and encodes it anew."""
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
