"""Runs `pneumo` as a person would: in a process of its own, in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def pneumo(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PNEUMO_")}
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=folder, env={**inherited, "COLUMNS": "200", **environment},
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
