"""Spooled files as DICOM, whatever they were received as."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime
from io import BytesIO
from typing import BinaryIO

from audit.models import DICOM
from core.errors import FailedForGood
from core.records import Finding, InferenceJob
from core.spool import Spool
from dicom.envelope import write
from dicom.wrapping import Wrapping, image_file_to_dx


def opened(job: InferenceJob, spool: Spool, stack: ExitStack) -> BinaryIO | Finding:
    """The job's file, closed with ``stack``; an uploaded picture as DX; or why it is none."""
    if not job.spool_name:  # made due by somebody who had not seen that it was erased
        return Finding("erased", "The image was erased.")
    file = stack.enter_context(spool.open(job.spool_name))
    if job.media_type == DICOM:
        return file
    uid = job.sop_instance_uid
    about = Wrapping(patient_id="", taken=datetime.now().astimezone(), seed=uid, sop_instance_uid=uid)
    try:
        return BytesIO(write(image_file_to_dx(file, about)))
    except FailedForGood as exc:
        return Finding(exc.code, exc.detail)
