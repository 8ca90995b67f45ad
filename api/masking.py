"""Who may see the patient. Fields that tell of one are marked in the schemas; without ``phi:read`` they come masked."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field

from api.security import Caller
from core.scopes import Scope

MASKED = "(masked)"


class _TellsOfPatient:
    """Marks a field of a document; an empty value stays empty."""


_MARK = _TellsOfPatient()

OfPatient = Annotated[str, _MARK, Field(description="`(masked)` without the scope `phi:read`.")]
"""A text that tells of a patient."""

Document = TypeVar("Document", bound=BaseModel)


def for_caller(document: Document, caller: Caller) -> Document:
    """The document as this caller may see it."""
    return document if Scope.PHI_READ in caller.scopes else _masked(document)


def _masked(document: Document) -> Document:
    changed: dict[str, Any] = {}
    for name, field in type(document).model_fields.items():
        value = getattr(document, name)
        if _MARK in field.metadata:
            masked: Any = MASKED if value else value
        else:
            masked = _inside(value)
        if masked is not value:
            changed[name] = masked
    return document.model_copy(update=changed) if changed else document


def _inside(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _masked(value)
    if isinstance(value, list):
        return [_inside(each) for each in value]
    if isinstance(value, dict):
        return {key: _inside(each) for key, each in value.items()}
    return value
