"""Where a browser goes after the sign-in."""

from __future__ import annotations

import re
from collections.abc import Collection

from core.scopes import Scope

_LOCAL = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")  # no second slash, no backslash, nothing that browsers drop
_LONGEST = 2048
_FIRST_PAGES = ((Scope.AUDIT_READ, "/"), (Scope.ADMIN, "/keys"))
_ANYBODY_S = "/account"


def local_path(given: str | None) -> str:
    """A path of ours, whatever a link asked for."""
    return given if given is not None and len(given) <= _LONGEST and _LOCAL.fullmatch(given) else "/"


def first_page(scopes: Collection[Scope]) -> str:
    """The first of the pages that these scopes open."""
    return next((page for scope, page in _FIRST_PAGES if scope in scopes), _ANYBODY_S)


def page_after_sign_in(asked_for: str, scopes: Collection[Scope]) -> str:
    path = local_path(asked_for)
    return first_page(scopes) if path == "/" else path
