"""Who may call, and for what. Closed by default: a caller that no source and no destination names is refused."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from pynetdicom.events import Event
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made when the module is imported

from core.commitment import PUSH_MODEL
from core.destinations import DICOMDestination
from core.settings import Settings, Source
from core.transfer_syntaxes import READABLE

STORAGE_CLASSES = (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,  # ends as "not analysed", which is an answer; a refusal is none
    SecondaryCaptureImageStorage,
)
_NOT_COMPRESSED: list[str | UID] = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]


def supported_contexts(*, of_source: bool = True, of_destination: bool = False) -> list[PresentationContext]:
    """What a caller may propose. A destination may propose to be the SCP of storage commitment (PS3.4 J.3.3.1.3)."""
    commitment = build_context(PUSH_MODEL, _NOT_COMPRESSED)
    if of_destination:
        commitment.scu_role = commitment.scp_role = True
    contexts = [build_context(Verification, _NOT_COMPRESSED), commitment]
    if of_source:
        contexts += [build_context(sop_class, list(READABLE)) for sop_class in STORAGE_CLASSES]
    return contexts


@dataclass(frozen=True, slots=True)
class Peer:
    calling_ae_title: str
    called_ae_title: str
    address: str


def peer_of(event: Event) -> Peer:
    requestor = event.assoc.requestor
    request = requestor.primitive
    if request is None:
        raise ValueError("an association without a request has no peer to speak of")
    # Within the columns' sizes; pynetdicom ends an association whose AE titles are not of VR AE (PS3.5 6.2).
    return Peer(request.calling_ae_title.strip()[:16], request.called_ae_title.strip()[:16], requestor.address[:45])


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an association is refused, in a word and in the numbers of A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""

    cause: str
    result: int
    source: int
    diagnostic: int


UNKNOWN_CALLING_AE_TITLE = Refusal("calling_ae_title_unknown", 1, 1, 3)
ADDRESS_NOT_ALLOWED = Refusal("address_not_allowed", 1, 1, 3)
UNKNOWN_CALLED_AE_TITLE = Refusal("called_ae_title_unknown", 1, 1, 7)
TOO_MANY_ASSOCIATIONS = Refusal("too_many_associations", 2, 3, 2)  # transient: local limit exceeded


class Admission:
    def __init__(self, settings: Settings) -> None:
        self._ae_title = settings.listener.ae_title
        self._maximum_associations = settings.listener.maximum_associations
        self._sources = {title: source for source in settings.sources for title in source.ae_titles}
        self._destinations: dict[str, dict[str, DICOMDestination]] = {}
        for destination in settings.destinations:
            if isinstance(destination, DICOMDestination):
                self._destinations.setdefault(destination.ae_title, {})[destination.name] = destination

    def source(self, calling_ae_title: str, address: str) -> Source | None:
        """The source that calls, or None when nobody of this name may call from there."""
        source = self._sources.get(calling_ae_title.strip(" "))
        return source if source and _is_among(address, source.addresses) else None

    def destinations(self, calling_ae_title: str) -> Mapping[str, DICOMDestination]:
        """The destinations of this name, which may report what they commit to."""
        return self._destinations.get(calling_ae_title.strip(" "), {})

    def contexts(self, calling_ae_title: str) -> list[PresentationContext]:
        """Of a caller who was let in: only a source may store."""
        is_source = calling_ae_title.strip(" ") in self._sources
        return supported_contexts(of_source=is_source, of_destination=bool(self.destinations(calling_ae_title)))

    def judge(self, calling_ae_title: str, called_ae_title: str, address: str, established: int) -> Refusal | None:
        """None lets the caller in; ``established`` is how many associations there are already."""
        if called_ae_title.strip(" ") != self._ae_title:
            return UNKNOWN_CALLED_AE_TITLE
        if calling_ae_title.strip(" ") in self._sources:
            if self.source(calling_ae_title, address) is None:
                return ADDRESS_NOT_ALLOWED
        elif not self.destinations(calling_ae_title):
            return UNKNOWN_CALLING_AE_TITLE
        if established >= self._maximum_associations:
            return TOO_MANY_ASSOCIATIONS
        return None


def _is_among(address: str, allowed: tuple[str, ...]) -> bool:
    return not allowed or _canonical(address) in {_canonical(each) for each in allowed}


def _canonical(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """A dual-stack socket sees 10.0.0.5 as ::ffff:10.0.0.5."""
    parsed = ipaddress.ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed
