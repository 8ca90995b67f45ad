"""The form on a study's page in which a reader says whether an answer is right."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from api.feedback_documents import NewFeedback


class FeedbackForm(BaseModel):
    """As it comes: it is checked by what is made of it, and shown again where that fails."""

    model_config = ConfigDict(frozen=True)

    agreement: str = ""
    true_label: str = ""
    comment: str = ""
    reader: str = ""
    back: str = Field("/", max_length=512)
    """The page that it stood on."""

    def feedback(self) -> NewFeedback:
        """Raises ValidationError."""
        return NewFeedback.model_validate({
            "agreement": self.agreement,
            "true_label": self.true_label or None,
            "comment": self.comment,
            "reader": self.reader.strip() or None,
        })  # fmt: skip


@dataclass(frozen=True, slots=True)
class TypedFeedback:
    """What was not kept."""

    prediction_id: int
    said: FeedbackForm
    error: str
    """A code that ``api.pages.words`` has words for."""
