"""Pictures of a judged image at rest in the spool, for the API and its pages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from audit.inference_jobs import StoredPicture
from audit.models import PictureKind
from core.spool import Spool
from ml.pictures import heatmap_png, original_png, page_png
from worker.pipeline import Analysed


def keep_pictures(analysed: Analysed, spool: Spool) -> list[StoredPicture]:
    """One of each kind where the model judged the image, else none."""
    if analysed.readable is None or analysed.picture is None or analysed.heat is None:
        return []
    pixels = analysed.readable.radiograph.pixels
    rows, columns = pixels.shape
    drawn: dict[PictureKind, Callable[[], bytes]] = {
        PictureKind.ORIGINAL: partial(original_png, pixels),
        PictureKind.HEATMAP: partial(heatmap_png, analysed.heat.map, rows, columns, analysed.heat.peak),
        PictureKind.OVERLAY: partial(page_png, analysed.picture),
    }

    def kept(kind: PictureKind) -> StoredPicture:
        png = drawn[kind]()
        return StoredPicture(kind, spool.write(png, "pictures", ".png"), hashlib.sha256(png).hexdigest())

    # Someone may be waiting. Pillow and the disk let go of Python's lock for most of the time.
    with ThreadPoolExecutor(len(drawn)) as threads:
        return list(threads.map(kept, drawn))
