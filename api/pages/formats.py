"""Numbers, times and sizes as people of a language write them."""

from __future__ import annotations

from datetime import UTC, datetime

from babel.dates import format_date, format_datetime, format_time, format_timedelta
from babel.numbers import format_decimal, format_percent
from markupsafe import Markup

_LOCALES = {"en": "en_GB", "de": "de_DE"}
"""Where the day has 24 hours."""
_NONE = "\u2013"


class Formats:
    """Of one language. Times are those of the place where the service runs (TZ); UTC stands in the title."""

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
        return self._time(moment, text)

    def day_and_time(self, moment: datetime | None) -> Markup:
        if moment is None:
            return Markup(_NONE)  # noqa: S704 - a constant
        return self._time(moment, format_datetime(moment.astimezone(), "medium", locale=self._language))

    def day(self, moment: datetime) -> str:
        return str(format_date(moment.astimezone().date(), "full", locale=self._language))

    def hour(self, moment: datetime) -> str:
        return moment.astimezone().strftime("%H")

    def study_date(self, text: str) -> str:
        """A date of DICOM (PS3.5 6.2, DA), as it came where it is none."""
        try:
            day = datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a date has no zone
        except ValueError:
            return text or _NONE
        return str(format_date(day, "medium", locale=self._language))

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
    """The name of the clock that times are told by."""
    return datetime.now().astimezone().tzname() or "UTC"
