"""``POST /predict``: an image in, what the model says of it out.

The published API of the service this one stands in for; its clients need no change. ``/v1/predict/batch`` takes several
files at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Annotated, Any, TypeVar, cast

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Path
from fastapi import Request as HTTPRequest
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile

from api import examples, prediction_examples
from api.idempotency import Idempotency, Reply
from api.parameters import UID
from api.prediction_answers import BatchAnswer, BatchItem, PredictionAnswer, problem_of
from api.prediction_service import PredictionService, Told, too_many
from api.problems import Code, Problem, ProblemResponse, Refusal, problem_document
from api.rate_limits import Allowance
from api.security import Caller, Predictor
from api.upload_form import UploadForm, upload_form
from audit.session import Database
from audit.uploads import Request
from core.request_ids import current_request_id
from core.settings import Settings
from core.tracing import traceparent

UPLOAD_PATHS = frozenset({"/predict", "/v1/predict", "/v1/predict/batch"})
"""Whose bodies are limited here, by ``api.maximum_upload_bytes``."""
_MORE_SECONDS = 60.0
"""Beyond the wait for the model no request takes longer."""

_routes = APIRouter(tags=["prediction"])

Result = TypeVar("Result")
IdempotencyKey = Annotated[
    str | None,
    Header(description="The same key with the same request gets the same answer again, for 24 hours."),
]


def predict_router(settings: Settings, database: Database) -> APIRouter:
    """The service lives as long as the application it belongs to."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.predictions = service = PredictionService(settings, database)
        try:
            yield
        finally:
            await service.close()

    router = APIRouter(lifespan=lifespan)
    router.include_router(_routes)
    return router


def _service(request: HTTPRequest) -> PredictionService:
    return cast("PredictionService", request.app.state.predictions)


Service = Annotated[PredictionService, Depends(_service)]

_REFUSALS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_ONE: dict[str, Any] = {
    "response_model": PredictionAnswer,
    "responses": examples.answers(prediction_examples.ANSWER, *_REFUSALS),
    "openapi_extra": prediction_examples.form("file", several=False),
}


@_routes.post("/predict", summary="What does the model say of this image?", **_ONE)
@_routes.post("/v1/predict", summary="The same", **_ONE)
async def predict(
    request: HTTPRequest, caller: Predictor, service: Service, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """A JPEG, a PNG or a DICOM file as ``file``; ``patient_id`` and ``use_tta`` (test-time augmentation) if you like.

    The same image of the same caller, judged by the model in charge before, is answered at once (``cached``).
    """
    allowance = await service.allow(caller, 1)
    most = service.settings.api.maximum_upload_bytes
    with _telling(allowance):
        async with upload_form(request, "file", maximum_files=1, maximum_bytes=most) as form:
            began = time.perf_counter()

            async def work() -> Reply:
                return _reply(_document(await _told(service, caller, form, 0), began))

            once = _idempotency(service).once(caller.name, idempotency_key, "predict", form, work)
            reply = await _unless_hung_up(request, once)
    return _response(reply, allowance)


@_routes.post(
    "/v1/predict/batch",
    summary="What does the model say of these images?",
    response_model=BatchAnswer,
    responses={
        **examples.answers(prediction_examples.BATCH, *_REFUSALS),
        207: {
            "model": BatchAnswer,
            "description": "At least one file has a problem instead of an answer.",
            **examples.json_example(prediction_examples.PARTIAL_BATCH),
        },
    },
    openapi_extra=prediction_examples.form("files", several=True),
)
async def predict_batch(
    request: HTTPRequest, caller: Predictor, service: Service, idempotency_key: IdempotencyKey = None
) -> JSONResponse:
    """Several files as ``files``; none, one or as many ``patient_id``. All together are one body to the limit.

    200 where each file has its answer, else 207 and a problem in place of each answer that is missing. Each file counts
    for the rate limit: those beyond it have the problem ``too_many_requests``.
    """
    await service.allow(caller, 0)
    api = service.settings.api
    async with upload_form(
        request, "files", maximum_files=api.maximum_batch, maximum_bytes=api.maximum_upload_bytes
    ) as form:
        began, number = time.perf_counter(), len(form.files)
        allowance = await service.allow(caller, number)  # one that came between may have taken what there was

        async def one(place: int) -> BatchItem:
            document: PredictionAnswer | Problem
            try:
                if place >= allowance.granted:
                    raise too_many(allowance)
                document = _document(await _told(service, caller, form, place), began)
            except Refusal as refusal:
                document = problem_document(refusal.status_code, refusal.detail, refusal.code)
            if isinstance(document, Problem):
                return BatchItem(answer=None, problem=document)
            return BatchItem(answer=document, problem=None)

        async def work() -> Reply:
            items = await asyncio.gather(*(one(place) for place in range(number)))
            whole = all(item.problem is None for item in items)
            answer = BatchAnswer(status="success" if whole else "partial", results=items)
            return _reply(answer, HTTPStatus.OK if whole else HTTPStatus.MULTI_STATUS)

        once = _idempotency(service).once(caller.name, idempotency_key, "batch", form, work)
        with _telling(allowance):
            reply = await _unless_hung_up(request, once)
    return _response(reply, allowance)


@_routes.get(
    "/v1/predict/{sop_instance_uid}",
    summary="The answer that was late",
    response_model=PredictionAnswer,
    responses=examples.answers(
        prediction_examples.ANSWER,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
async def show_answer(
    request: HTTPRequest, caller: Predictor, service: Service, sop_instance_uid: Annotated[UID, Path()]
) -> JSONResponse:
    """For whoever uploaded the image and was told ``model_busy``; waits for the model as ``POST`` does."""
    began = time.perf_counter()
    told = await _unless_hung_up(request, service.look_again(sop_instance_uid, caller))
    if told is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"You have uploaded no image {sop_instance_uid}.")
    return _response(_reply(_document(told, began)))


async def _told(service: PredictionService, caller: Caller, form: UploadForm, place: int) -> Told:
    file: UploadFile = form.files[place]
    examined = await service.examine(file, form.patient_ids[place], use_tta=form.use_tta, caller=caller)
    return await service.predict(examined, caller, Request(current_request_id(), traceparent()))


def _document(told: Told, began: float) -> PredictionAnswer | Problem:
    if told.row.probability is None:
        return problem_of(told.row)
    return PredictionAnswer.of(told.row, cached=told.cached, milliseconds=(time.perf_counter() - began) * 1000)


def _reply(document: PredictionAnswer | BatchAnswer | Problem, status: int = HTTPStatus.OK) -> Reply:
    return Reply(document.status if isinstance(document, Problem) else status, document.model_dump(mode="json"))


def _response(reply: Reply, allowance: Allowance | None = None) -> JSONResponse:
    headers = dict(allowance.headers) if allowance else {}
    if reply.is_repeated:
        headers["Idempotency-Replayed"] = "true"
    kind = ProblemResponse if reply.status >= HTTPStatus.BAD_REQUEST else JSONResponse
    return kind(reply.body, reply.status, headers)


@contextmanager
def _telling(allowance: Allowance) -> Iterator[None]:
    """A refusal says as well where the client stands."""
    try:
        yield
    except Refusal as refusal:
        refusal.headers = {**(refusal.headers or {}), **allowance.headers}
        raise


def _idempotency(service: PredictionService) -> Idempotency:
    return Idempotency(service.database, service.settings.api.predict_timeout_seconds + _MORE_SECONDS)


async def _unless_hung_up(request: HTTPRequest, work: Coroutine[Any, Any, Result]) -> Result:
    """Nobody waits for a client that is gone; what it asked for is analysed and kept all the same."""
    task, gone = asyncio.create_task(work), asyncio.create_task(_hangs_up(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Refusal(HTTPStatus.BAD_REQUEST, Code.INVALID_REQUEST, "The client is gone.")
        return task.result()
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _hangs_up(request: HTTPRequest) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
