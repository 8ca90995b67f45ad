"""Numbers, times and sizes as people of a language write them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from babel.dates import format_date, format_datetime, format_skeleton, format_time, format_timedelta
from babel.localtime import get_localzone
from babel.numbers import format_decimal, format_percent
from markupsafe import Markup

_LOCALES = {"en": "en_GB", "de": "de_DE"}
"""Where the day has 24 hours."""
_NONE, _MINUS = "\u2013", "\u2212"


class Formats:
    """Of one language. Times are those of the place where the service runs (TZ); UTC stands in the title.

    A time from the other half of the year carries its own offset, since the page names the present one.
    """

    def __init__(self, language: str) -> None:
        self._language = _LOCALES[language]

    def when(self, moment: datetime | None, pattern: str = "short") -> Markup:
        """Date and time; the time alone where that was today."""
        if moment is None:
            return Markup(_NONE)  # noqa: S704 - a constant
        local = moment.astimezone()
        if pattern == "time" or local.date() == datetime.now().astimezone().date():
            text = format_time(local, "medium", locale=self._language)
        else:
            text = format_datetime(local, "short" if pattern == "short" else pattern, locale=self._language)
        return self._time(moment, text + _other_offset(local))

    def day_and_time(self, moment: datetime | None) -> Markup:
        if moment is None:
            return Markup(_NONE)  # noqa: S704 - a constant
        local = moment.astimezone()
        return self._time(moment, format_datetime(local, "medium", locale=self._language) + _other_offset(local))

    def day(self, moment: datetime) -> str:
        return str(format_date(moment.astimezone().date(), "full", locale=self._language))

    def date_of(self, day: date) -> str:
        return str(format_date(day, "medium", locale=self._language))

    def day_of_month(self, day: date) -> str:
        return str(format_skeleton("MMMd", day, locale=self._language))

    def hour(self, moment: datetime) -> str:
        return moment.astimezone().strftime("%H")

    def study_date(self, text: str) -> str:
        """A date of DICOM (PS3.5 6.2, DA), as it came where it is none."""
        try:
            day = datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a date has no zone
        except ValueError:
            return text or _NONE
        return self.date_of(day)

    def age(self, seconds: float | None) -> str:
        """Roughly, in one unit."""
        return _NONE if seconds is None else str(format_timedelta(round(seconds), locale=self._language, threshold=1.2))

    def passed(self, seconds: float) -> str:
        return str(format_timedelta(-round(seconds), add_direction=True, locale=self._language, threshold=1.2))

    def ago(self, moment: datetime | None) -> Markup:
        if moment is None:
            return Markup(_NONE)  # noqa: S704 - a constant
        passed = format_timedelta(moment - datetime.now(UTC), add_direction=True, locale=self._language, threshold=1.2)
        return self._time(moment, str(passed))

    def seconds(self, value: float | None) -> str:
        """To what matters: 0.42 s, 3.1 s, 48 s, 12 min."""
        if value is None:
            return _NONE
        if value >= 120:
            return self.age(value)
        return f"{self.number(value, 2 if value < 1 else 1 if value < 10 else 0)} s"

    def number(self, value: float, digits: int = 0) -> str:
        pattern = "#,##0" + ("." + "0" * digits if digits else "")
        return str(format_decimal(value, pattern, locale=self._language))

    def percent(self, share: float | None, digits: int = 0) -> str:
        if share is None:
            return _NONE
        return str(format_percent(share, "#,##0" + ("." + "0" * digits if digits else "") + " %", self._language))

    def probability(self, value: float | None) -> str:
        """With one decimal; no answer of a model is rounded to certainty."""
        if value is None:
            return _NONE
        if value > 0.999:
            return f"> {self.percent(0.999, 1)}"
        return self.percent(value, 1) if value >= 0.001 else f"< {self.percent(0.001, 1)}"

    def _time(self, moment: datetime, text: str) -> Markup:
        utc = moment.astimezone(UTC)
        return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
            utc.isoformat(timespec="seconds"), utc.strftime("%Y-%m-%d %H:%M:%S"), text
        )


def zone() -> str:
    """Where the clock stands that times are told by, ``Europe/Berlin``; its offset where nobody has named the place."""
    now = datetime.now().astimezone()
    if now.tzname() == "UTC":
        return "UTC"
    try:
        return getattr(get_localzone(), "key", None) or offset(now)
    except LookupError:  # TZ holds rules and no name
        return offset(now)


def offset(local: datetime | None = None) -> str:
    """``UTC+5:30``; of now where no time is given."""
    local = local or datetime.now().astimezone()
    minutes = round((local.utcoffset() or timedelta()).total_seconds() / 60)
    if minutes == 0:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'+' if minutes > 0 else _MINUS}{hours}" + (f":{rest:02}" if rest else "")


def _other_offset(local: datetime) -> str:
    return "" if offset(local) == offset() else f" {offset(local)}"
