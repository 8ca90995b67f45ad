"""What a caller of the API may do. No scope includes another: who keeps the keys need not see a patient."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    AUDIT_READ = "audit:read"
    """Read what was received, said, delivered and done; patients come masked."""
    PHI_READ = "phi:read"
    """See who the patients are, and search for them."""
    PREDICT = "predict"
    """Give images to the prediction service, and see its answers."""
    FEEDBACK_WRITE = "feedback:write"
    """Say whether a prediction was right."""
    JOBS_WRITE = "jobs:write"
    """Retry, requeue, re-analyse, acknowledge."""
    ADMIN = "admin"
    """Keys."""
