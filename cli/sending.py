"""An application entity that calls others: C-ECHO, and C-STORE of files as they lie on disk.

The DICOM libraries are imported inside: ``pneumo --help`` needs none of them.
"""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from core.errors import ConfigurationError, FailedForGood

if TYPE_CHECKING:
    from pynetdicom.association import Association

    from core.fields import TLS

PICTURES = {".jpg", ".jpeg", ".png"}

_TIMEOUT_SECONDS = 30.0
_MAXIMUM_CONTEXTS = 128  # PS3.8 9.3.2.2: odd context IDs of one byte
_TARGET = re.compile(r"(?P<ae_title>[^@\\]{1,16})@\[?(?P<host>[^\[\]]+)\]?:(?P<port>[0-9]{1,5})")

# PS3.8 Table 9-21: source and reason of a rejected association
_CALLING_AE_TITLE_NOT_RECOGNISED = (1, 3)
_CALLED_AE_TITLE_NOT_RECOGNISED = (1, 7)
_TRANSIENT = 2


@dataclass(frozen=True, slots=True)
class Target:
    ae_title: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Target:
        """``AE@HOST:PORT``, an IPv6 address in brackets. Raises ConfigurationError."""
        match = _TARGET.fullmatch(text)
        if match is None or not 1 <= int(match["port"]) <= 65535:
            raise ConfigurationError(f"a receiver is written AE@HOST:PORT, such as PACS@192.0.2.10:104, got {text!r}")
        return cls(match["ae_title"], match["host"], int(match["port"]))

    def __str__(self) -> str:
        return f"{self.ae_title}@{self.host}:{self.port}"


class NothingAccepted(ConfigurationError):
    """The receiver knows us, and wants none of the SOP classes in the transfer syntaxes offered."""


class Stored(NamedTuple):
    path: Path
    status: int | None
    """The C-STORE status; None where none came."""
    error: str
    """Why there is no status, or what the receiver says about it; empty when all is well."""

    @property
    def is_stored(self) -> bool:
        # PS3.4 B.2.3: success, or one of the warnings 0xBxxx
        return self.status is not None and (self.status == 0x0000 or self.status >> 12 == 0xB)


@contextmanager
def open_association(
    target: Target, calling_ae_title: str, contexts: Sequence[tuple[str, str | None]], tls: TLS | None = None
) -> Iterator[Association]:
    """``contexts``: pairs of SOP class and transfer syntax, each a presentation context; None offers the usual ones.

    Raises:
        ConfigurationError: there is no association; the message says what to do about it.
    """
    from worker.scu import request_association

    try:
        association = request_association(
            target.host,
            target.port,
            ae_title=target.ae_title,
            calling_ae_title=calling_ae_title,
            contexts=contexts,
            timeout_seconds=_TIMEOUT_SECONDS,
            tls=tls,
        )
    except socket.gaierror as exc:
        raise ConfigurationError(f"there is no host named {target.host}") from exc
    except ssl.SSLError as exc:
        raise ConfigurationError(f"{target} and we do not agree on TLS: {exc.reason or exc}") from exc
    if not association.is_established:
        raise _why_not(association, target, calling_ae_title)
    try:
        yield association
    finally:
        association.release()


def _why_not(association: Association, target: Target, calling_ae_title: str) -> ConfigurationError:
    answer = association.acceptor.primitive
    if answer is None:
        return ConfigurationError(
            f"no answer from {target.host}:{target.port}: is the receiver running, is the port right and open, "
            "and does it speak DICOM without TLS?"
        )
    if not association.is_rejected:
        return NothingAccepted(f"{target} accepts none of the SOP classes in the transfer syntaxes offered")
    reason = (answer.result_source, answer.diagnostic)
    if reason == _CALLING_AE_TITLE_NOT_RECOGNISED:
        return ConfigurationError(
            f"{target} refuses the calling AE title {calling_ae_title}: the receiver must know it (a pneumo listener: "
            "ae_titles, and addresses where given, of a [[sources]] section), or give one it knows with --from"
        )
    if reason == _CALLED_AE_TITLE_NOT_RECOGNISED:
        return ConfigurationError(
            f"what listens at {target.host}:{target.port} does not go by the AE title {target.ae_title}"
        )
    if answer.result == _TRANSIENT:
        return ConfigurationError(f"{target} is busy at the moment, mostly with other associations: try again")
    return ConfigurationError(f"{target} refuses the association (source and reason of PS3.8 9.3.4: {reason})")


def echo_once(ae_title: str, host: str, port: int, calling_ae_title: str, tls: TLS | None = None) -> str:
    """The good news in a sentence. Raises ConfigurationError with the bad one."""
    from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made when the module is imported

    target = Target(ae_title, host, port)
    with open_association(target, calling_ae_title, [(Verification, None)], tls) as association:
        status = association.send_c_echo().get("Status")
    if status != 0x0000:
        answer = "with nothing" if status is None else f"with status 0x{status:04X}"
        raise ConfigurationError(f"{target} accepted {calling_ae_title} and answered C-ECHO {answer}")
    return f"{target} answers C-ECHO from {calling_ae_title}"


def store_files(
    paths: Sequence[Path],
    target: Target,
    calling_ae_title: str,
    on_progress: Callable[[Stored], None] = lambda _: None,
) -> list[Stored]:
    """C-STORE DICOM files as they are, and JPEG or PNG files wrapped as DX; one answer a path, in their order.

    Raises:
        ConfigurationError: the receiver lets nobody in.
    """
    from pydicom.errors import InvalidDicomError
    from pynetdicom import _config

    # Bytes and transfer syntax of a file go out unchanged; otherwise pynetdicom decodes and encodes them.
    _config.STORE_SEND_CHUNKED_DATASET = True
    answers: dict[Path, Stored] = {}

    def answered(stored: Stored) -> None:
        answers[stored.path] = stored
        on_progress(stored)

    with tempfile.TemporaryDirectory() as folder:
        outgoing: dict[tuple[str, str], list[tuple[Path, Path]]] = {}
        for path in dict.fromkeys(paths):
            try:
                file = _wrapped(path, Path(folder)) if path.suffix.lower() in PICTURES else path
                outgoing.setdefault(_class_and_syntax(file), []).append((path, file))
            except (FailedForGood, InvalidDicomError, AttributeError, OSError, ValueError) as exc:
                code = exc.code if isinstance(exc, FailedForGood) else type(exc).__name__
                answered(Stored(path, None, f"cannot be read ({code})"))
        for first in range(0, len(outgoing), _MAXIMUM_CONTEXTS):
            contexts = list(outgoing)[first : first + _MAXIMUM_CONTEXTS]
            batch = {context: outgoing[context] for context in contexts}
            try:
                with open_association(target, calling_ae_title, contexts) as association:
                    for stored in _store_batch(association, batch):
                        answered(stored)
            except NothingAccepted:
                for stored in (_not_accepted(path, context) for context in batch for path, _ in batch[context]):
                    answered(stored)
    return [answers[path] for path in dict.fromkeys(paths)]


def _store_batch(association: Association, batch: dict[tuple[str, str], list[tuple[Path, Path]]]) -> Iterator[Stored]:
    accepted = {(each.abstract_syntax, each.transfer_syntax[0]) for each in association.accepted_contexts}
    for context, files in batch.items():
        for path, file in files:
            yield _store(association, path, file) if context in accepted else _not_accepted(path, context)


def _store(association: Association, path: Path, file: Path) -> Stored:
    if not association.is_established:
        return Stored(path, None, "the association was lost")
    try:
        answer = association.send_c_store(file)
    except (AttributeError, OSError, RuntimeError, ValueError) as exc:
        return Stored(path, None, f"could not be sent ({type(exc).__name__})")
    if "Status" not in answer:
        return Stored(path, None, "no answer")
    return Stored(path, int(answer.Status), str(answer.get("ErrorComment") or ""))


def _not_accepted(path: Path, context: tuple[str, str]) -> Stored:
    from pydicom.uid import UID

    sop_class, syntax = (UID(each).name for each in context)
    return Stored(path, None, f"the receiver does not accept {sop_class} in {syntax}")


def _class_and_syntax(path: Path) -> tuple[str, str]:
    from pydicom.filereader import read_file_meta_info

    meta = read_file_meta_info(path)
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)


def _wrapped(picture: Path, folder: Path) -> Path:
    """A file that has not changed is the same SOP Instance when it is sent again."""
    from dicom.wrapping import Wrapping, image_file_to_dx

    taken = datetime.fromtimestamp(picture.stat().st_mtime, UTC).astimezone()
    seed = hashlib.sha256(picture.read_bytes() + f"{picture.stem} {taken.timestamp()}".encode()).hexdigest()
    dx = image_file_to_dx(picture, Wrapping(patient_id=_patient_id(picture), taken=taken, seed=seed))
    wrapped = folder / f"{seed}.dcm"
    dx.save_as(wrapped, enforce_file_format=True)
    return wrapped


def _patient_id(picture: Path) -> str:
    """A picture knows no patient: the file's name keeps the results apart (PS3.5 6.2, VR LO)."""
    return re.sub(r"[\\\x00-\x1f\x7f]", "_", picture.stem)[:64]
