"""Images given to the prediction service, as it books them."""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from audit.uploads import BookedUpload, GivenImage, Request, book_upload
from tests.worker.rooms import Rooms, film


def picture_file(kind: str = "PNG") -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.asarray(film())).save(buffer, kind)
    return buffer.getvalue()


def upload(house: Rooms, content: bytes, media_type: str = "image/png", **changes: Any) -> BookedUpload:
    given: dict[str, Any] = {
        "principal": "tester",
        "peer_address": "127.0.0.1",
        "content_sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
        "media_type": media_type,
        "columns": 600,
        "rows": 440,
        "use_tta": False,
        "patient_id": "",
    }
    with house.database.write() as session:
        name = house.spool.write(content, "received")
        return book_upload(session, GivenImage(**given | changes), name, Request(id="request-1"))
