"""From an uploaded file to what the model says of it: check, book, wake a worker, wait, answer."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.datastructures import UploadFile

from api.image_files import JPEG, PNG, ImageFile, examine
from api.problems import Code, Refusal
from api.rate_limits import Allowance, RateLimits
from api.security import Caller
from api.state import open_spool
from api.waiting import Waiting
from audit.api_keys import ANONYMOUS
from audit.heartbeats import model_in_charge
from audit.models import DICOM, Prediction
from audit.session import Database
from audit.uploads import (
    BookedUpload,
    GivenImage,
    Request,
    ask,
    book_upload,
    find_answer,
    find_upload,
    record_answer,
    upload_of,
)
from core.broker import Waker, WorkQueue, celery_app
from core.records import ModelInCharge
from core.settings import Settings
from core.tracing import span

_DECODERS = 2
"""Uploads decoded at once: each may take some hundred megabytes for a moment."""
_LAST_WORDS_SECONDS = 1.0
"""What is not sent by then, the sweeper finds."""
_SUFFIXES = {JPEG: ".jpg", PNG: ".png", DICOM: ".dcm"}


@dataclass(frozen=True, slots=True)
class Examined:
    """An upload that is an image."""

    file: UploadFile
    given: GivenImage


@dataclass(frozen=True, slots=True)
class Told:
    """An outcome, and whether it was there before it was asked for."""

    row: Prediction = field(repr=False)
    cached: bool


class PredictionService:
    """One of an application; started and closed with it, on its event loop."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings, self.database = settings, database
        self._waker = Waker(celery_app(settings))
        self._decoders = CapacityLimiter(_DECODERS)
        self._rates = RateLimits(settings)
        self._waiting = Waiting(database)

    async def close(self) -> None:
        await self._waiting.close()
        await anyio.to_thread.run_sync(self._waker.close, _LAST_WORDS_SECONDS)

    async def allow(self, caller: Caller, number: int) -> Allowance:
        """As many as there is room for; of none it only looks. Raises Refusal: 429 where there is no room at all."""
        client = f"address:{caller.address}" if caller.name == ANONYMOUS else f"caller:{caller.name}"
        allowance = await anyio.to_thread.run_sync(self._rates.take, client, number)
        if not allowance.granted and not (number == 0 and allowance.remaining):
            raise too_many(allowance)
        return allowance

    async def examine(self, file: UploadFile, patient_id: str, *, use_tta: bool, caller: Caller) -> Examined:
        """Raises Refusal: 422 ``no_image`` or ``image_too_large``."""
        look = partial(examine, file.file, self.settings.api.maximum_upload_pixels)
        image = await anyio.to_thread.run_sync(look, limiter=self._decoders)
        return Examined(file, _given(image, patient_id, use_tta=use_tta, caller=caller))

    async def predict(self, examined: Examined, caller: Caller, request: Request) -> Told:
        """Raises Refusal: 503 ``model_busy`` where the model has not answered in time."""
        began = time.perf_counter()
        booked, prediction_id = await anyio.to_thread.run_sync(self._ask, examined, request)
        if prediction_id is None:
            self._waker.wake(WorkQueue.INFERENCE, booked.job_id)
            await self._until_finished(booked)
        return await anyio.to_thread.run_sync(self._tell, booked, caller, prediction_id, began)

    async def look_again(self, sop_instance_uid: str, caller: Caller) -> Told | None:
        """What was said of an upload of this caller; None where there is no such upload. Raises as ``predict``."""
        began = time.perf_counter()
        booked = await anyio.to_thread.run_sync(self._find, sop_instance_uid, caller)
        if booked is None:
            return None
        await self._until_finished(booked)
        return await anyio.to_thread.run_sync(self._tell, booked, caller, None, began)

    async def _until_finished(self, booked: BookedUpload) -> None:
        seconds = self.settings.api.predict_timeout_seconds
        with span("wait for the model", job_id=booked.job_id, sop_instance_uid=booked.sop_instance_uid):
            finished = await self._waiting.until_finished(booked.job_id, seconds)
        if not finished:
            raise late(booked.sop_instance_uid, seconds)

    def _find(self, sop_instance_uid: str, caller: Caller) -> BookedUpload | None:
        with self.database.read() as session:
            return upload_of(session, sop_instance_uid, caller.name)

    def _ask(self, examined: Examined, request: Request) -> tuple[BookedUpload, int | None]:
        """The upload's rows, and its answer where it stands already."""
        given, spool_name, spool = examined.given, None, open_spool(self.settings.spool)
        with self.database.read() as session:
            known = find_upload(session, given)
        if known is None:
            examined.file.file.seek(0)
            spool_name = spool.write(examined.file.file.read(), "received", _SUFFIXES[given.media_type])
        kept = False
        try:
            with self.database.write() as session:
                if spool_name is not None:
                    known = book_upload(session, given, spool_name, request)
                assert known is not None  # noqa: S101 - one of the two is there
                model = model_in_charge(session)
                asked = ask(session, known.job_id, _wanted(model, given), request)
            kept = known.is_new
        finally:
            if spool_name is not None and not kept:
                spool.release(spool_name)
        return known, asked.prediction_id

    def _tell(self, booked: BookedUpload, caller: Caller, prediction_id: int | None, began: float) -> Told:
        """The answer that stood, or else the one that has come."""
        cached = prediction_id is not None
        with self.database.write() as session:
            row = find_answer(session, booked.instance_id, prediction_id)
            if row is None:  # withdrawn in this moment: another answer is on its way
                raise late(booked.sop_instance_uid, 1)
            record_answer(
                session,
                row,
                actor=caller.name,
                address=caller.address,
                cached=cached,
                seconds=time.perf_counter() - began,
            )
        return Told(row, cached)


def _wanted(model: ModelInCharge | None, given: GivenImage) -> str | None:
    """Whose answer serves."""
    if model is None:
        return None
    return model.device_uid_with_tta if given.use_tta else model.device_uid


def too_many(allowance: Allowance) -> Refusal:
    return Refusal(
        HTTPStatus.TOO_MANY_REQUESTS,
        Code.TOO_MANY_REQUESTS,
        f"{allowance.limit} images in {allowance.window_seconds} s are allowed (api.predict_rate): "
        f"try again in {allowance.reset_seconds} s.",
        {"Retry-After": str(allowance.reset_seconds), **allowance.headers},
    )


def late(sop_instance_uid: str, seconds: float) -> Refusal:
    """The answer will be where Location says."""
    return Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        Code.MODEL_BUSY,
        f"The model has not answered within {seconds:g} s. The image is kept: its answer will be at "
        f"/v1/predict/{sop_instance_uid}, or send the same request again.",
        {"Retry-After": "5", "Location": f"/v1/predict/{sop_instance_uid}"},
    )


def _given(image: ImageFile, patient_id: str, *, use_tta: bool, caller: Caller) -> GivenImage:
    common = partial(
        GivenImage,
        principal=caller.name,
        peer_address=caller.address,
        content_sha256=image.sha256,
        size_bytes=image.size_bytes,
        media_type=image.media_type,
        columns=image.columns,
        rows=image.rows,
        use_tta=use_tta,
    )
    if image.header is None:
        return common(patient_id=patient_id)
    about = image.header.about
    return common(
        patient_id=patient_id or about.patient_id,
        issuer_of_patient_id="" if patient_id else about.issuer_of_patient_id,  # it goes with the ID it was found with
        accession_number=about.accession_number,
        study_date=about.study_date,
        modality=about.modality,
        sop_class_uid=about.sop_class_uid,
        transfer_syntax_uid=image.header.transfer_syntax_uid,
        original_sop_instance_uid=about.sop_instance_uid,
        original_study_instance_uid=about.study_instance_uid,
    )
