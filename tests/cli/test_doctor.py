from __future__ import annotations

import json
from pathlib import Path

from pynetdicom import AE
from pynetdicom.sop_class import Verification

from audit.schema import newest_revision
from tests.cli.commands import pneumo
from tests.services import free_port


def answers(folder: Path) -> tuple[int, dict[str, tuple[bool, str]]]:
    done = pneumo(folder, "doctor", "--json")
    assert done.stderr == "" or done.returncode in (0, 1), done.stderr
    checks = json.loads(done.stdout)["checks"]
    return done.returncode, {check["name"]: (check["ok"], check["answer"]) for check in checks}


def test_an_empty_folder_is_told_what_is_missing(tmp_path: Path) -> None:
    code, found = answers(tmp_path)
    assert code == 1
    assert found["database"] == (
        False,
        f"sqlite is reachable, its schema is empty and should be {newest_revision()}: run pneumo migrate",
    )
    assert not found["sources"][0]
    assert not found["destinations"][0]
    assert found["broker"][0]
    assert found["spool"][0]
    assert found["model"][0]


def test_everything_that_is_named_is_tried(tmp_path: Path) -> None:
    pacs = AE(ae_title="PACS")
    pacs.add_supported_context(Verification)
    server = pacs.start_server(("127.0.0.1", 0), block=False)
    try:
        (tmp_path / "pneumo.toml").write_text(f"""
[listener]
port = {free_port()}
disk_reserve_bytes = 0
[api]
port = {free_port()}
[[sources]]
name = "Room 1"
ae_titles = ["CR1"]
[[destinations]]
name = "up"
ae_title = "PACS"
host = "127.0.0.1"
port = {server.server_address[1]}
[[destinations]]
name = "down"
ae_title = "PACS"
host = "127.0.0.1"
port = {free_port()}
""")
        assert pneumo(tmp_path, "migrate").returncode == 0
        code, found = answers(tmp_path)
    finally:
        server.shutdown()
        server.server_close()
    wrong = {name for name, (ok, _) in found.items() if not ok}
    assert wrong == {"destination down"}, found
    assert code == 1
