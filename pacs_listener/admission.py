"""Who may call, and for what. Closed by default: a caller that no source and no destination names is refused."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
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
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made when the module is imported

from audit.holdings import RESULT_MODALITIES
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
# PS3.4 C.6.2: Study Root
FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
_RETRIEVED_CLASSES = tuple(dict.fromkeys((*STORAGE_CLASSES, *RESULT_MODALITIES)))
_NOT_COMPRESSED: list[str | UID] = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]


def supported_contexts(
    *,
    of_source: bool = True,
    of_destination: bool = False,
    may_retrieve: bool = False,
    receives: Collection[str] = _RETRIEVED_CLASSES,
) -> list[PresentationContext]:
    """What a caller may propose. A destination may propose to be the SCP of storage commitment (PS3.4 J.3.3.1.3).

    ``receives``: the SOP classes a caller proposes to be the SCP of, as it must for C-GET (PS3.4 C.5.3.1.1). Others
    that are no ``STORAGE_CLASSES`` are left out: pynetdicom would accept them for storing.
    """
    commitment = build_context(PUSH_MODEL, _NOT_COMPRESSED)
    if of_destination:
        commitment.scu_role = commitment.scp_role = True
    contexts = [build_context(Verification, _NOT_COMPRESSED), commitment]
    storage = {uid: build_context(uid, list(READABLE)) for uid in STORAGE_CLASSES} if of_source else {}
    if may_retrieve:
        contexts += [build_context(uid, _NOT_COMPRESSED) for uid in (FIND, MOVE, GET)]
        for uid in _RETRIEVED_CLASSES:
            if uid in receives:
                may_store = uid in storage
                context = storage.setdefault(UID(uid), build_context(uid, _NOT_COMPRESSED))
                context.scu_role, context.scp_role = may_store, True
    return [*contexts, *storage.values()]


@dataclass(frozen=True, slots=True)
class Peer:
    calling_ae_title: str
    called_ae_title: str
    address: str


def peer_of(event: Event) -> Peer:
    return caller(event.assoc)


def caller(association: Association) -> Peer:
    requestor = association.requestor
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

    def contexts(self, calling_ae_title: str, receives: Collection[str]) -> list[PresentationContext]:
        """Of a caller who was let in: only a source may store. ``receives`` is as in ``supported_contexts``."""
        source = self._sources.get(calling_ae_title.strip(" "))
        return supported_contexts(
            of_source=source is not None,
            of_destination=bool(self.destinations(calling_ae_title)),
            may_retrieve=source is not None and source.may_retrieve,
            receives=receives,
        )

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
