"""``GET /model/info``: which model answers, as its workers last told."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api import examples
from api.prediction_answers import CLASS_NAMES, PredictedClass
from api.problems import Code, Refusal
from api.security import Predictor
from api.state import DatabaseOfApp
from audit.heartbeats import model_in_charge
from core.records import ModelInCharge

router = APIRouter(tags=["prediction"])


class ModelInfo(BaseModel):
    model_config = ConfigDict(frozen=True)

    model_name: str
    version: str
    accuracy: float | None = Field(description="Share of held-out images, 0 to 1; null where it was not measured.")
    num_parameters: int
    device: str = Field(description="`cpu` or `cuda`.")
    class_names: list[PredictedClass]
    image_size: list[int] = Field(
        description="Width and height that the network sees, pixels; the same form as in a prediction.",
        min_length=2,
        max_length=2,
    )
    device_uid: str = Field(description="Stands for weights, preprocessing and threshold.")

    @classmethod
    def of(cls, model: ModelInCharge) -> ModelInfo:
        return cls(
            model_name=model.name,
            version=model.version,
            accuracy=model.accuracy,
            num_parameters=model.num_parameters,
            device=model.device,
            class_names=CLASS_NAMES,
            image_size=[model.image_size, model.image_size],
            device_uid=model.device_uid,
        )


_EXAMPLE = ModelInfo(
    model_name="mobilenet_v2",
    version="1.0.0",
    accuracy=0.951,
    num_parameters=2_225_153,
    device="cpu",
    class_names=CLASS_NAMES,
    image_size=[224, 224],
    device_uid="2.25.301198437766254401938477561029384756102",
)


@router.get(
    "/model/info",
    summary="Which model answers",
    responses=examples.answers(_EXAMPLE, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.SERVICE_UNAVAILABLE),
)
def show_model(database: DatabaseOfApp, caller: Predictor) -> ModelInfo:  # noqa: ARG001 - who may ask
    with database.read() as session:
        model = model_in_charge(session)
    if model is None:
        detail = "No inference worker is alive that could say which model answers."
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, Code.UNAVAILABLE, detail, {"Retry-After": "30"})
    return ModelInfo.of(model)
