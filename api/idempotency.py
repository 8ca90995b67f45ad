"""The Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header): a repeated request gets the same answer."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar, cast

import anyio.to_thread

from api.prediction_answers import sop_instance_uids, with_patients, with_request_id, without_patient
from api.problems import Code, Refusal
from api.upload_form import UploadForm
from audit import idempotency
from audit.idempotency import Begun, Standing
from audit.session import Database
from audit.uploads import patients_of
from core.request_ids import current_request_id

Result = TypeVar("Result")

_KEY = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Reply:
    """A status and a document: an answer, or a problem that stands."""

    status: int
    body: dict[str, Any]
    is_repeated: bool = False


@dataclass(frozen=True, slots=True)
class Idempotency:
    database: Database
    longest_seconds: float
    """No request takes longer than this."""

    async def once(
        self, principal: str, header: str | None, route: str, form: UploadForm, work: Callable[[], Awaitable[Reply]]
    ) -> Reply:
        """The work's reply, or the one it led to before. What the work raises is nobody's answer, and frees the key.

        Raises Refusal: 422 ``idempotency_conflict`` or ``invalid_request``, 409 ``conflict``.
        """
        if header is None:
            return await work()
        key = _key(header)
        begun = await _in_thread(lambda: self._begin(principal, key, _digest(route, form)))
        match begun.standing:
            case Standing.OTHER:
                detail = "This Idempotency-Key came with another request before: take a new one."
                raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, Code.IDEMPOTENCY_CONFLICT, detail)
            case Standing.RUNNING:
                detail = "The first request with this Idempotency-Key is still being answered."
                raise Refusal(HTTPStatus.CONFLICT, Code.CONFLICT, detail, {"Retry-After": "1"})
            case Standing.ANSWERED:
                return await _in_thread(lambda: self._repeated(begun))
        reply = None
        try:
            reply = await work()
        finally:
            await _in_thread(partial(self._end, begun.row_id, reply))
        return reply

    def _begin(self, principal: str, key: str, digest: str) -> Begun:
        with self.database.write() as session:
            return idempotency.begin(session, principal, key, digest, self.longest_seconds)

    def _end(self, row_id: int, reply: Reply | None) -> None:
        with self.database.write() as session:
            if reply is None:
                idempotency.forget(session, row_id)
            else:
                body = without_patient(json.loads(json.dumps(reply.body)))
                idempotency.keep_answer(session, row_id, {"status": reply.status, "body": body})

    def _repeated(self, begun: Begun) -> Reply:
        assert begun.answer is not None  # noqa: S101 - what ANSWERED says
        body = begun.answer["body"]
        with self.database.read() as session:
            patients = patients_of(session, sop_instance_uids(body))
        document = with_request_id(with_patients(body, patients), current_request_id())
        return Reply(begun.answer["status"], document, is_repeated=True)


def _key(header: str) -> str:
    key = header.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':  # the draft's string; many clients send the bare word
        key = key[1:-1]
    if not _KEY.fullmatch(key):
        raise Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            Code.INVALID_REQUEST,
            "Idempotency-Key: 1 to 128 printable ASCII characters without spaces.",
        )
    return key


def _digest(route: str, form: UploadForm) -> str:
    """SHA-256 of what was asked for."""
    contents = []
    for part in form.files:
        part.file.seek(0)
        contents.append(hashlib.file_digest(cast("io.BufferedIOBase", part.file), "sha256").hexdigest())
    asked = json.dumps([route, contents, form.patient_ids, form.use_tta])
    return hashlib.sha256(asked.encode()).hexdigest()


async def _in_thread(work: Callable[[], Result]) -> Result:
    return await anyio.to_thread.run_sync(work)
