"""Where a browser goes after the sign-in."""

from __future__ import annotations

import re

_LOCAL = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")  # no second slash, no backslash, nothing that browsers drop
_LONGEST = 2048


def local_path(given: str | None) -> str:
    """A path of ours, whatever a link asked for."""
    return given if given is not None and len(given) <= _LONGEST and _LOCAL.fullmatch(given) else "/"
