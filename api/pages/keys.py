"""``/keys``: who may ask what. For administrators."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Path
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.keys import KeyWanted, NewKey, end_key, make_key, show_keys
from api.pages.callers import PageAdministrator
from api.pages.rendering import View, ViewOfRequest
from api.problems import Refusal
from api.security import Caller
from api.state import DatabaseOfApp
from audit.session import Database
from core.scopes import Scope

router = APIRouter(include_in_schema=False)

_LASTS = (30, 90, 365)
_NAME = r"^[A-Za-z0-9 ._-]{1,64}$"


class KeyForm(BaseModel):
    """As it comes, and as it is shown again where no key can be made of it."""

    model_config = ConfigDict(frozen=True)

    name: str = ""
    scope: list[str] = []
    days: str = Field("", pattern=r"^[0-9]{0,4}$")


_BLANK = KeyForm(scope=[Scope.AUDIT_READ], days="90")


@router.get("/keys")
def keys_page(database: DatabaseOfApp, caller: PageAdministrator, view: ViewOfRequest) -> HTMLResponse:
    return _show(database, caller, view)


@router.post("/keys")
def make_a_key(
    database: DatabaseOfApp,
    caller: PageAdministrator,
    view: ViewOfRequest,
    form: Annotated[KeyForm, Form()],
) -> HTMLResponse:
    """The answer is the page itself and no redirect: the key is in it, and is shown this once."""
    expires_at = datetime.now(UTC) + timedelta(days=int(form.days)) if form.days else None
    try:
        wanted = KeyWanted.model_validate({"name": form.name.strip(), "scopes": form.scope, "expires_at": expires_at})
        return _show(database, caller, view, made=make_key(database, caller, wanted))
    except ValidationError:
        return _show(database, caller, view, form=form, error="invalid", status=HTTPStatus.UNPROCESSABLE_ENTITY)
    except Refusal as exc:
        return _show(database, caller, view, form=form, error=exc.code, status=exc.status_code)


@router.post("/keys/{name}/revoke")
def revoke_a_key(
    database: DatabaseOfApp, caller: PageAdministrator, name: Annotated[str, Path(pattern=_NAME)]
) -> RedirectResponse:
    end_key(database, caller, name)
    return RedirectResponse("/keys?notice=key_revoked", HTTPStatus.SEE_OTHER)


def _show(
    database: Database,
    caller: Caller,
    view: View,
    *,
    made: NewKey | None = None,
    form: KeyForm = _BLANK,
    error: str = "",
    status: int = HTTPStatus.OK,
) -> HTMLResponse:
    keys = sorted(show_keys(database, caller).items, key=lambda key: (key.state != "valid", key.name))
    grantable = [each for each in Scope if caller.may(each)]
    return view.show(
        "keys.html", caller, status=status,
        keys=keys, made=made, form=form, error=error, grantable=grantable, lasts=_LASTS,
    )  # fmt: skip
