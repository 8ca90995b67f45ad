"""``/v1/predictions/{id}/overlay.png`` and its like: what the model looked at, and where."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Path, Response

from api import examples, prediction_examples
from api.access import AccessOfApp
from api.parameters import RowId
from api.security import Authenticated, Caller, permitted, record_read
from api.state import DatabaseOfApp, SpoolOfApp
from audit.events import record_event
from audit.models import PictureKind
from audit.pictures import PictureOfPrediction, find_picture
from audit.session import Database
from core.scopes import Scope

router = APIRouter(prefix="/v1/predictions", tags=["audit"])

_PNG = "image/png"
_ALL_PICTURES = (Scope.AUDIT_READ, Scope.PHI_READ)


def _answers() -> dict[int | str, dict[str, Any]]:
    documents = examples.answers(
        prediction_examples.ANSWER,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    )
    documents[200] = {
        "description": "The picture.",
        "content": {_PNG: {"schema": {"type": "string", "format": "binary"}}},
    }
    documents[304] = {"description": "It has not changed."}
    return documents


@router.get(
    "/{prediction_id}/{kind}.png",
    summary="A picture of the judged image",
    response_class=Response,
    responses=_answers(),
)
def show_picture(
    database: DatabaseOfApp,
    spool: SpoolOfApp,
    access: AccessOfApp,
    caller: Authenticated,
    *,
    prediction_id: Annotated[RowId, Path()],
    kind: Annotated[PictureKind, Path()],
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The scopes `audit:read` and `phi:read` show every picture, since a name may be written on a radiograph; with
    `predict` a caller sees those of its own uploads.
    """
    if not caller.may(Scope.PREDICT):
        permitted(access, caller, *_ALL_PICTURES)
    with database.read() as session:
        found = find_picture(session, prediction_id, kind)
    sees_all = all(caller.may(scope) for scope in _ALL_PICTURES)
    if found is None or not (sees_all or found.principal == caller.name):
        raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no prediction {prediction_id}.")
    if not found.spool_name:
        raise HTTPException(HTTPStatus.NOT_FOUND, _why_none(found))
    tag = f'"{found.sha256}"'
    if if_none_match is not None and tag in [each.strip().removeprefix("W/") for each in if_none_match.split(",")]:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})
    try:
        content = spool.read(found.spool_name)
    except FileNotFoundError as exc:  # erased in this moment
        raise HTTPException(HTTPStatus.NOT_FOUND, "The picture is not kept any more.") from exc
    _record(database, caller, found, prediction_id, kind)
    return Response(content, media_type=_PNG, headers={"ETag": tag})


def _why_none(found: PictureOfPrediction) -> str:
    if found.is_erased:
        return "The image and its pictures were erased."
    if not found.is_judged:
        return "The model did not judge this image, so there is no picture of it."
    return "No picture is kept of this prediction."


def _record(
    database: Database, caller: Caller, found: PictureOfPrediction, prediction_id: int, kind: PictureKind
) -> None:
    told: dict[str, object] = {"prediction": prediction_id, "picture": kind.value}
    if caller.may(Scope.PHI_READ):
        record_read(database, caller, subject=found.sop_instance_uid, **told)
        return
    with database.write() as session:  # its own upload, in which it may see a patient all the same
        record_event(
            session,
            "api.read",
            subject=found.sop_instance_uid,
            actor=caller.name,
            route=caller.route,
            address=caller.address,
            **told,
        )
