"""Settings of the audit trail's outside witnesses, and of what calls for a person."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from core.fields import TLS, Port, Section


class Syslog(Section):
    """An audit record repository that takes DICOM audit messages (PS3.15 A.5, IHE ATNA) over TCP or TLS."""

    host: str = Field(min_length=1)
    port: Port = 6514
    tls: TLS | None = None
    facility: int = Field(default=10, ge=0, le=23)
    """RFC 5424 6.2.1; 10 is security and authorisation."""


class AuditSettings(Section):
    syslog: Syslog | None = None
    anchor_file: Path | None = None
    """The head of the chain of events is appended to it now and then: best on a volume others own."""
    anchor_seconds: float = Field(default=3600, gt=0)
    """How often the head goes to the file, and to the syslog where there is one."""


class AlertSettings(Section):
    """When something calls for a person."""

    unanalysed_seconds: float = Field(default=600, gt=0)
    """An image waits this long for its outcome."""
    undelivered_seconds: float = Field(default=1800, gt=0)
    """A result waits this long for its destination, and an audit event for the syslog and the anchor file."""
    not_analysed_share: float = Field(default=0.3, gt=0, le=1)
    """Of a source's images of the last day, of at least ``not_analysed_minimum``, the model may not judge this many."""
    not_analysed_minimum: int = Field(default=20, ge=1)
