"""The texts that pages use, found in templates and code as gettext's tools find them."""

from __future__ import annotations

from babel.messages.extract import extract_from_dir

from api.pages.rendering import TEMPLATES

Message = str | tuple[str, ...]

_METHODS = [("pages/**.py", "python"), ("templates/**.html", "jinja2")]
_OPTIONS = {
    "templates/**.html": {
        "extensions": "jinja2.ext.i18n,jinja2.ext.loopcontrols",
        "trim_blocks": "true",
        "lstrip_blocks": "true",
        "newstyle_gettext": "true",
        "silent": "false",
    }
}
_KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "N_": None}


def used_messages() -> set[Message]:
    """Texts with a plural are pairs."""
    found = extract_from_dir(str(TEMPLATES.parent), _METHODS, _OPTIONS, keywords=_KEYWORDS)
    return {message if isinstance(message, str) else tuple(message) for _, _, message, _, _ in found}
