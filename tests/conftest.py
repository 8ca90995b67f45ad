"""The order of the tests: whole round trips first, since several processes share the rest better than a long end."""

from __future__ import annotations

from pathlib import Path

import pytest

_SYSTEM = Path(__file__).parent / "system"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.is_relative_to(_SYSTEM))
