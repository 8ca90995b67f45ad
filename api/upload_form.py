"""The multipart body of a prediction request, within limits: nothing is read of what is too large to be taken."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NoReturn

from fastapi import Request
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from api.problems import Code, Refusal

_FIELD_BYTES = 4096
_MORE_FIELDS = 4
"""Besides a patient ID for each file; those that are not known are named in the refusal."""
_OVERHEAD_BYTES = 64 * 1024
"""Of a body, for boundaries, headers and fields."""
_BOOLEAN = TypeAdapter(bool)
_LONGEST_PATIENT_ID = 64  # PS3.5 6.2, VR LO


@dataclass(frozen=True, slots=True)
class UploadForm:
    files: tuple[UploadFile, ...]
    patient_ids: tuple[str, ...] = field(repr=False)
    """As many as files; empty where none was given."""
    use_tta: bool


@asynccontextmanager
async def upload_form(
    request: Request, file_field: str, *, maximum_files: int, maximum_bytes: int
) -> AsyncIterator[UploadForm]:
    """The files are closed, and those that were spooled to the disk are gone, at the end of the block.

    Raises Refusal: 413 ``body_too_large``, 422 ``invalid_request`` or ``no_image``.
    """
    if request.query_params:
        _refuse("The fields go into the form; this takes no query parameters.")
    form = await _parse(request, maximum_files, maximum_bytes + _OVERHEAD_BYTES)
    try:
        yield _checked(form, file_field, maximum_bytes)
    finally:
        await form.close()


async def _parse(request: Request, maximum_files: int, maximum_bytes: int) -> FormData:
    content_type = request.headers.get("Content-Type", "")
    if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        _refuse("Send the image as multipart/form-data.", Code.NO_IMAGE)
    announced = request.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) > maximum_bytes:
        raise _too_large(maximum_bytes)
    try:
        async with aclosing(_counted(request, maximum_bytes)) as stream:
            return await MultiPartParser(
                request.headers,
                stream,
                max_files=maximum_files,
                max_fields=maximum_files + _MORE_FIELDS,
                max_part_size=_FIELD_BYTES,
            ).parse()
    except MultiPartException as exc:
        _refuse(f"The form cannot be read: {exc.message}")
    except ClientDisconnect as exc:
        raise Refusal(HTTPStatus.BAD_REQUEST, Code.INVALID_REQUEST, "The body ended too early.") from exc


async def _counted(request: Request, maximum_bytes: int) -> AsyncGenerator[bytes, None]:
    """Content-Length is a promise, and chunked bodies make none."""
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > maximum_bytes:
            raise _too_large(maximum_bytes)
        yield chunk


def _checked(form: FormData, file_field: str, maximum_bytes: int) -> UploadForm:
    if unknown := sorted(set(form) - {file_field, "patient_id", "use_tta"}):
        _refuse(f"The form has fields that are not known: {', '.join(name[:40] for name in unknown)}.")
    given = form.getlist(file_field)
    files = tuple(part for part in given if isinstance(part, UploadFile))
    if not files or len(files) < len(given):
        _refuse(f"The form needs the image as a file, in the field `{file_field}`.", Code.NO_IMAGE)
    if any((file.size or 0) > maximum_bytes for file in files):
        raise _too_large(maximum_bytes)
    return UploadForm(files, _patient_ids(form, len(files)), _use_tta(form))


def _patient_ids(form: FormData, number: int) -> tuple[str, ...]:
    given = [_text(part, "patient_id").strip(" ") for part in form.getlist("patient_id")]
    if any(len(value) > _LONGEST_PATIENT_ID or not value.isprintable() or "\\" in value for value in given):
        _refuse("patient_id: at most 64 printable characters, none of them a backslash.")
    if len(given) not in (0, 1, number):
        _refuse("patient_id: give none, one for all files, or one for each.")
    return tuple(given) if len(given) == number else tuple((given or [""]) * number)


def _use_tta(form: FormData) -> bool:
    given = form.getlist("use_tta")
    if len(given) > 1:
        _refuse("use_tta: give it once.")
    try:
        return _BOOLEAN.validate_python(_text(given[0], "use_tta").strip() or "false") if given else False
    except ValidationError:
        _refuse("use_tta: give true or false.")


def _text(part: UploadFile | str, name: str) -> str:
    if isinstance(part, UploadFile):
        _refuse(f"{name}: a text is needed, not a file.")
    return part


def _too_large(maximum_bytes: int) -> Refusal:
    return Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        Code.BODY_TOO_LARGE,
        f"At most {maximum_bytes} bytes are taken (api.maximum_upload_bytes).",
        {"Connection": "close"},
    )


def _refuse(detail: str, code: Code = Code.INVALID_REQUEST) -> NoReturn:
    raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, code, detail)
