"""How each application entity communicates (PS3.2 N.7): association parameters, policies, presentation contexts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pynetdicom import AE, build_context
from pynetdicom.presentation import PresentationContext

from cli.conformance import statuses
from cli.conformance.markdown import table, text, uid_name
from cli.conformance.objects import sop_class
from cli.conformance.samples import Sample
from core.commitment import PUSH_MODEL
from core.destinations import DICOMDestination
from core.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from core.records import ResultKind
from core.settings import ListenerSettings, Source
from core.transfer_syntaxes import READABLE
from pacs_listener.admission import STORAGE_CLASSES, supported_contexts
from pacs_listener.server import MAXIMUM_PDU_BYTES
from worker import archive_association, c_store, dicom_archive

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_CONTEXTS = ("Abstract syntax", "UID", "Transfer syntaxes", "Role of the requestor")


def chapter(objects: Mapping[ResultKind, Sequence[Sample]]) -> str:
    return "\n\n".join(
        (
            "### 6.1 Application entity LISTENER",
            _parameters(MAXIMUM_PDU_BYTES, "accepts", f"`listener.maximum_associations`, {_listener_default()}"),
            _ACCEPTANCE,
            statuses.rejections(),
            "Accepted presentation contexts. Of the transfer syntaxes that a context proposes, the first one in the "
            "order of this table is accepted.",
            table(_CONTEXTS, _accepted()),
            "### 6.2 Application entity DELIVERY",
            _parameters(AE().maximum_pdu_size, "requests", "`concurrency` of each destination, 1"),
            _INITIATION,
            "Proposed presentation contexts, for storage each transfer syntax in a context of its own:",
            table(_CONTEXTS, _proposed_by_delivery(objects)),
            "### 6.3 Application entity PULL",
            _parameters(archive_association._PDU_BYTES, "requests", "1"),
            _PULL,
            table(_CONTEXTS, _proposed_by_pull()),
            "### 6.4 Network interfaces",
            _INTERFACES,
        )
    )


def _listener_default() -> object:
    return ListenerSettings.model_fields["maximum_associations"].default


def _parameters(pdu_bytes: int, does: str, associations: str) -> str:
    return table(
        ("Parameter", "Value"),
        (
            ("Application Context Name", f"`{_APPLICATION_CONTEXT}`"),
            ("Implementation Class UID", f"`{IMPLEMENTATION_CLASS_UID}`"),
            ("Implementation Version Name", IMPLEMENTATION_VERSION_NAME),
            ("Maximum PDU that is received", f"{pdu_bytes} bytes"),
            (f"Associations that it {does} at once", associations),
            ("Asynchronous operations", "not negotiated: one outstanding operation"),
            ("User identity, extended negotiation of SOP classes", "not negotiated; ignored"),
        ),
    )


def _accepted() -> Iterator[tuple[str, ...]]:
    of_source = supported_contexts(of_source=True, of_destination=False)
    yield from (_row(context, "SCU") for context in of_source)
    for context in supported_contexts(of_source=False, of_destination=True):
        if context.scp_role:
            yield _row(context, "SCU or SCP, where the caller is a destination")
    known = {context.abstract_syntax for context in supported_contexts()}
    for context in supported_contexts(of_source=True, may_retrieve=True):
        if context.scp_role:
            role = "SCU or SCP" if context.scu_role else "SCP"
            yield _row(context, f"{role}, with C-GET, where the source may retrieve")
        elif context.abstract_syntax not in known:
            yield _row(context, "SCU, where the source may retrieve")


def _proposed_by_delivery(objects: Mapping[ResultKind, Sequence[Sample]]) -> Iterator[tuple[str, ...]]:
    syntaxes = [str(c_store._SYNTAXES[name]) for name in DICOMDestination.model_fields["transfer_syntaxes"].default]
    for uid in dict.fromkeys(map(sop_class, objects.values())):
        yield _row(build_context(uid, syntaxes), "SCU")
    yield _row(build_context(PUSH_MODEL), "SCU towards destinations, SCP towards sources")
    yield _row(build_context(dicom_archive._FIND), "SCU")


def _proposed_by_pull() -> Iterator[tuple[str, ...]]:
    for uid in (dicom_archive._FIND, dicom_archive._MOVE, dicom_archive._GET):
        yield _row(build_context(uid), "SCU")
    for uid in STORAGE_CLASSES:
        yield _row(build_context(uid, list(READABLE)), "SCP, with C-GET")


def _row(context: PresentationContext, role: str) -> tuple[str, ...]:
    uid = str(context.abstract_syntax)
    return uid_name(uid), f"`{uid}`", _named(context.transfer_syntax), role


def _named(uids: Iterable[str]) -> str:
    return ", ".join(f"{uid_name(uid)} (`{uid}`)" for uid in uids)


_ACCEPTANCE = text(f"""
    Closed by default: only callers named in `[[sources]]`, and destinations for reports of storage commitment, are
    accepted, by calling AE title, called AE title and, where configured, address. Sources may store and ask for
    commitment, and query and retrieve where they have `may_retrieve`; destinations that are no sources may send C-ECHO
    and reports only. A peer that is silent for `listener.network_timeout_seconds` is dropped; a PDU longer than the
    maximum ends the association. Reports of commitment to a source go to its `host`, port
    {Source.model_fields["port"].default} if not configured. For C-MOVE the listener requests an association with the
    move destination and proposes the contexts of 4.8.

    Rejections (A-ASSOCIATE-RJ, PS3.8 Table 9-21):
""")

_INITIATION = text("""
    Real-world activities: results are due at a destination; a destination is to confirm; a report of commitment is due
    at a source. Each is an association of its own, released when nothing is left to send. No accepted context and a
    rejection that is permanent count as refused for good; a transient rejection, no connection, TLS that fails and an
    association that breaks are tried again. `timeout_seconds` of the destination holds for the connection, each answer
    and silence.
""")

_PULL = text("""
    Real-world activity: an operator pulls the studies of some days. One association at a time, an association for
    each query and for each retrieved series. Proposed presentation contexts, each storage transfer syntax in a context
    of its own so that the archive transcodes nothing:
""")

_INTERFACES = text("""
    TCP/IP over whatever network the machine has; IPv4 and IPv6. The listener has one port, plain or TLS. No DHCP, no
    LDAP; host names are resolved by the operating system.
""")
