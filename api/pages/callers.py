"""Who may open which page. Whoever is not signed in is sent there, and comes back."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from api.security import Caller
from api.sessions import page_requires
from core.scopes import Scope

PageReader = Annotated[Caller, Depends(page_requires(Scope.AUDIT_READ))]
PageOperator = Annotated[Caller, Depends(page_requires(Scope.JOBS_WRITE))]
PageFeedbackWriter = Annotated[Caller, Depends(page_requires(Scope.FEEDBACK_WRITE))]
PageAdministrator = Annotated[Caller, Depends(page_requires(Scope.ADMIN))]
