"""Markdown of the Conformance Statement: tables, names of UIDs, and what constants and settings say of themselves."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable, Sequence
from itertools import pairwise
from types import ModuleType

from pydicom.sr.coding import Code
from pydicom.uid import UID


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [_line(header), _line(["---"] * len(header))]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def text(value: str) -> str:
    """Paragraphs as they stand in the source, without its indentation."""
    return textwrap.dedent(value).strip()


def uid_name(uid: str) -> str:
    """The name in PS3.6, or the UID itself where it has none."""
    name = UID(uid).name
    return name if name != uid else f"`{uid}`"


def code(value: Code) -> str:
    return f'({value.value}, {value.scheme_designator}, "{value.meaning}")'


def status(value: int) -> str:
    return f"0x{value:04X}"


def remarks(of: type | ModuleType) -> dict[str, str]:
    """The docstring below each assignment in the body of a class or module, by name, in one line."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(of)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else tree.body
    found: dict[str, str] = {}
    for before, after in pairwise(body):
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            for name in _names(before):
                found[name] = " ".join(after.value.value.replace("``", "`").split())
    return found


def _names(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    else:
        targets = []
    return [target.id for target in targets if isinstance(target, ast.Name)]
