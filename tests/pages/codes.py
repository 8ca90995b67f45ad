"""The codes that the service writes, found in its source: those of errors and refusals, and the kinds of events."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
_CODED = {"FailedForGood": 0, "Finding": 0, "Refused": 0, "RetryLater": 0, "Unavailable": 0, "_refuse": 1}
"""Which of their arguments is a code."""
_KIND = re.compile(
    r"[a-z_]+\.([a-z_]+ed|absent|broken|(patient_)?conflict|dead|given|read|sent|taken_up|unavailable|unknown)"
)
_TOLD_OUTSIDE = {"chain.anchored", "prediction.completed"}
"""A message to the audit record repository, and one to webhooks: both look like kinds of audit events."""


def codes_of(*places: str) -> set[str]:
    """Written in these modules and packages; one that goes on with a number ends where the number begins."""
    found: set[str] = set()
    for path in _modules(places):
        names = vars(importlib.import_module(".".join(path.relative_to(_ROOT).with_suffix("").parts)))
        for call in (node for node in _nodes(path) if isinstance(node, ast.Call)):
            place = _CODED.get(_name(call.func), len(call.args))
            coded = call.args[place : place + 1]
            coded += [each.value for each in call.keywords if each.arg in ("code", "last_error")]
            found.update(code for each in coded for code in _codes(each, names))
    return found


def kinds_of_events(*packages: str) -> set[str]:
    texts = (
        node.value
        for path in _modules(packages)
        for node in _nodes(path)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return {text for text in texts if _KIND.fullmatch(text)} - _TOLD_OUTSIDE


def _modules(places: tuple[str, ...]) -> Iterator[Path]:
    for place in places:
        path = _ROOT / place
        found = [path] if path.suffix else sorted(path.rglob("*.py"))
        assert found, place
        yield from found


def _nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text()))


def _codes(expression: ast.expr, names: Mapping[str, Any]) -> Iterator[str]:
    match expression:
        case ast.Constant(value=str(code)):
            yield code
        case ast.JoinedStr(values=[ast.Constant(value=str(beginning)), *_]):
            yield beginning
        case ast.IfExp(body=body, orelse=orelse):
            yield from (*_codes(body, names), *_codes(orelse, names))
        case ast.Name(id=name) if isinstance(names.get(name), str):
            yield names[name]
        case ast.Subscript(value=ast.Name(id=table)) if isinstance(names.get(table), Mapping):
            yield from names[table].values()


def _name(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""
