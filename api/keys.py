"""``/v1/keys``: who may ask. For administrators; the first key is made by ``pneumo keys create``.

Nobody hands out what they do not have: an administrator without ``phi:read`` cannot make a key that has it, so whoever
keeps the keys need not see a patient, and a stolen ``admin`` key opens no patient's data. At the command line anything
may be granted: who is there has the database.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Self

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from api.examples import answers, json_example
from api.parameters import Moment
from api.problems import Code, Refusal
from api.security import Administrator
from api.state import DatabaseOfApp
from audit.api_keys import KEY_NAME, KeyFault, add_key, fault_of, key_named, list_keys, revoke_key
from audit.models import APIKey
from core.scopes import Scope

router = APIRouter(prefix="/v1/keys", tags=["keys"])


class KeyState(StrEnum):
    VALID = "valid"
    EXPIRED = "expired"
    REVOKED = "revoked"

    @classmethod
    def of(cls, key: APIKey) -> KeyState:
        fault = fault_of(key)
        if fault is None:
            return cls.VALID
        return cls.REVOKED if fault is KeyFault.REVOKED else cls.EXPIRED


class Key(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str = Field(description="Names the caller in the audit trail; used once and never again.")
    prefix: str = Field(description="The key begins with `pneumo_` and this.")
    scopes: list[Scope]
    state: KeyState
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")

    @classmethod
    def of(cls, row: APIKey, **more: object) -> Self:
        return cls.model_validate({
            "name": row.name,
            "prefix": row.prefix,
            "scopes": row.scopes,
            "state": KeyState.of(row),
            "created_at": row.created_at,
            "expires_at": row.expires_at,
            "revoked_at": row.revoked_at,
            "last_used_at": row.last_used_at,
            **more,
        })  # fmt: skip


class KeyList(BaseModel):
    items: list[Key]


class KeyWanted(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=KEY_NAME)
    scopes: frozenset[Scope] = Field(frozenset({Scope.AUDIT_READ}), min_length=1)
    expires_at: Moment | None = Field(None, description="Null: until it is revoked.")


class NewKey(Key):
    key: str = Field(description="Shown this once: only its hash is kept.")


_KEY = Key(
    name="dashboard",
    prefix="5f0c2a91",
    scopes=[Scope.AUDIT_READ],
    state=KeyState.VALID,
    created_at=datetime(2026, 3, 2, 8, 0, tzinfo=UTC),
    expires_at=datetime(2026, 6, 1, tzinfo=UTC),
    revoked_at=None,
    last_used_at=None,
)
_NEW = NewKey(**dict(_KEY), key="pneumo_5f0c2a91_" + "x" * 43)
_REVOKED = _KEY.model_copy(update={"state": KeyState.REVOKED, "revoked_at": datetime(2026, 3, 9, 16, 30, tzinfo=UTC)})
_DENIED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


@router.get("", summary="List keys, the revoked ones too", responses=answers(KeyList(items=[_KEY]), *_DENIED))
def show_keys(database: DatabaseOfApp, _caller: Administrator) -> KeyList:
    with database.read() as session:
        return KeyList(items=[Key.of(key) for key in list_keys(session)])


@router.post(
    "",
    summary="Make a key",
    status_code=HTTPStatus.CREATED,
    responses={
        **{
            status: document
            for status, document in answers(
                _NEW, *_DENIED, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY
            ).items()
            if status != HTTPStatus.OK
        },
        HTTPStatus.CREATED.value: json_example(_NEW),
    },
)
def make_key(database: DatabaseOfApp, caller: Administrator, wanted: KeyWanted) -> NewKey:
    """With scopes that you have yourself. 409 where a key of that name is or was."""
    if beyond := sorted(wanted.scopes - caller.scopes):
        raise Refusal(
            HTTPStatus.FORBIDDEN,
            Code.SCOPE_MISSING,
            f"You cannot grant {', '.join(beyond)}, which you do not have; `pneumo keys create` can.",
        )
    with database.write() as session:
        if key_named(session, wanted.name) is not None:
            raise Refusal(
                HTTPStatus.CONFLICT, Code.CONFLICT, "There is or was a key of this name: the audit trail tells by it."
            )
        try:
            row, key = add_key(session, wanted.name, caller.name, wanted.scopes, wanted.expires_at)
        except ValueError as exc:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_REQUEST, f"{exc}.") from exc
        return NewKey.of(row, key=key)


@router.post(
    "/{name}/revoke",
    summary="Revoke a key",
    responses=answers(_REVOKED, *_DENIED, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY),
)
def end_key(
    database: DatabaseOfApp, caller: Administrator, name: Annotated[str, Path(pattern=r"^[A-Za-z0-9 ._-]{1,64}$")]
) -> Key:
    """From now on it opens nothing, and whoever signed in with it is signed out. Again: no change."""
    with database.write() as session:
        try:
            return Key.of(revoke_key(session, name, caller.name))
        except ValueError as exc:
            raise Refusal(HTTPStatus.NOT_FOUND, Code.NOT_FOUND, "There is no key of this name.") from exc
