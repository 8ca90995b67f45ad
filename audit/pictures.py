"""The pictures of a judged image."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from audit.models import Instance, Picture, PictureKind, Prediction, Study, Upload


@dataclass(frozen=True, slots=True)
class PictureOfPrediction:
    """``spool_name`` is None where there is none, or none any more."""

    sop_instance_uid: str
    principal: str | None
    """Who uploaded the image; None where it came from elsewhere."""
    is_judged: bool
    is_erased: bool
    spool_name: str | None
    sha256: str | None


def find_picture(session: Session, prediction_id: int, kind: PictureKind) -> PictureOfPrediction | None:
    """None where there is no such prediction."""
    row = session.execute(
        select(
            Instance.sop_instance_uid,
            Upload.principal,
            Prediction.probability.is_not(None),
            Study.erased_at.is_not(None),
            Picture.spool_name,
            Picture.sha256,
        )
        .select_from(Prediction)
        .join(Prediction.instance)
        .join(Instance.study)
        .outerjoin(Instance.upload)
        .outerjoin(Picture, (Picture.prediction_id == Prediction.id) & (Picture.kind == kind))
        .where(Prediction.id == prediction_id)
    ).first()
    return None if row is None else PictureOfPrediction(*row)
