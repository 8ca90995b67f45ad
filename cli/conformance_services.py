"""Services, communication of each application entity, and security (PS3.2 N.5, N.7 and N.8)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pynetdicom import AE, build_context
from pynetdicom.presentation import PresentationContext

from cli import conformance_statuses as statuses
from cli.conformance_markdown import table, text, uid_name
from cli.conformance_objects import sop_class
from cli.conformance_samples import Sample
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


def services() -> str:
    return "\n\n".join(
        (
            "### 4.1 Verification",
            _VERIFICATION,
            "### 4.2 Storage as SCP",
            _STORAGE_SCP,
            statuses.answered(),
            "### 4.3 Storage as SCU",
            _STORAGE_SCU,
            statuses.taken_as(),
            "### 4.4 Storage commitment as SCP",
            _COMMITMENT_SCP,
            table(("Status of N-ACTION", "When"), _ACTION_STATUSES),
            table(("Failure Reason", "When"), _FAILURE_REASONS),
            "### 4.5 Storage commitment as SCU",
            _COMMITMENT_SCU,
            table(("Status of N-EVENT-REPORT", "When"), _REPORT_STATUSES),
            "### 4.6 Query and retrieve as SCU",
            _QUERY,
            table(("Level", "Matching keys", "Return keys", "Used by"), _KEYS),
            statuses.of_archives(),
            "### 4.7 DICOMweb as user agent",
            _WEB,
            table(("Transaction", "Resource", "Request", "Answers"), _TRANSACTIONS),
        )
    )


def communication(objects: Mapping[ResultKind, Sequence[Sample]]) -> str:
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


_VERIFICATION = text("""
    As SCP, C-ECHO is answered 0x0000 to every caller whose association is accepted. As SCU, `pneumo echo` and
    `pneumo doctor` send one C-ECHO and release.
""")

_STORAGE_SCP = text("""
    Level 2 (full): every attribute, private ones included, is kept as received; nothing is coerced. The data set is
    kept in the transfer syntax it came in. Images are kept for as long as the spool keeps them; this is no archive and
    gives nothing back by query. Images that the model may not judge (laterals, other body parts, For Processing,
    Secondary Capture and so on) are accepted and end as "not analysed". Results of our own that come back are
    recognised, and analysed never.
""")

_STORAGE_SCU = text("""
    Results are sent in the order in which they were made, one association for what is due at a destination. A result is
    sent until the destination took it, refused it for good, or `give_up_after_days` have passed; pauses double from
    `first_retry_seconds` to `longest_pause_seconds`. What failed for good is kept and listed by `pneumo deliveries`,
    and an administrator can have it sent again. 0x0111, duplicate SOP Instance, counts as stored: our UIDs are derived
    and our bytes are kept, so it is this very object. Bytes are the same at each repeat, except for the transfer
    syntax where a destination takes Implicit VR only.
""")

_COMMITMENT_SCP = text("""
    Push Model. Committed means: the listener has the instance on disk and in its database at the time of the report. It
    says nothing of how long: this is no archive, and a site's archive should be asked as well. The report comes on the
    association of the request, after its response, where the source has no `host`; otherwise on a new association to
    that host, repeated until it was taken. Storage Media File-Set and Retrieve AE Title are not used.
""")

_ACTION_STATUSES = (
    ("0x0000", "the request is booked"),
    ("0x0110", "the database failed"),
    ("0x0112", "not the well-known SOP Instance"),
    ("0x0115", "the request cannot be read, or names no instance"),
    ("0x0123", "not action type 1"),
    ("0x0124", "the caller is no source"),
)

_FAILURE_REASONS = (
    ("0x0112, no such object instance", "it was not received"),
    ("0x0119, class-instance conflict", "it was received under another SOP class"),
)

_COMMITMENT_SCU = text("""
    For a destination with `confirm = "commitment"`, all results that it took, a request per association. The
    destination may report on that association within 3 seconds, or on a new association to our listener at any time
    later, as SCP by role selection. Instances it commits to are `confirmed`. Instances it fails are sent again,
    `most_repeats` times at most; then they are dead. Without a report, the request is repeated every
    `confirm_after_seconds` for `confirm_within_hours`, and the results stay `sent`. A report with an unknown
    Transaction UID is answered with success and recorded.
""")

_REPORT_STATUSES = (
    ("0x0000", "the report is booked, or its Transaction UID is unknown"),
    ("0x0110", "the database failed"),
    ("0x0113", "not event type 1 or 2"),
    ("0x0115", "the report cannot be read"),
    ("0x0124", "the caller is no destination"),
)

_QUERY = text("""
    Study Root information model, hierarchical queries without relational queries. No fuzzy matching, no time zone
    adjustment. With C-MOVE the move destination is our AE title, and the images come to the listener; with C-GET they
    come on the association that asks, which proposes the SCP role for them, and each is answered as in 4.2,
    except that an object that is kept aside is answered 0x0000, and one of a study that was not asked for 0xA900.
""")

_KEYS = (
    ("STUDY", "Study Date, Modalities in Study", "Study Instance UID, Study Time", "`pneumo pull`"),
    (
        "SERIES",
        "Study Instance UID",
        "Series Instance UID, Modality, Number of Series Related Instances",
        "`pneumo pull`",
    ),
    ("IMAGE", "Study, Series and SOP Instance UID", "SOP Instance UID", "confirmation, `confirm = query`"),
    ("SERIES (C-MOVE, C-GET)", "Study and Series Instance UID", "-", "`pneumo pull`"),
)

_WEB = text("""
    HTTP/1.1 to the root that `url` names; HTTP or HTTPS, with bearer token, HTTP Basic or neither. Redirects are not
    followed and proxies of the environment not used. Answers are bounded in size and time.
""")

_TRANSACTIONS = (
    (
        "Store (PS3.18 10.5)",
        "`/studies`",
        'multipart/related; type="application/dicom", one object to a request; accepts application/dicom+json, and '
        "reads the XML form, too",
        "200 and 202: the Store Instances Response is read, its Failure Reasons as C-STORE statuses (4.3). 409: "
        "likewise. 401, 403 and other 4xx: for good. 408, 425, 429, 5xx, no answer: sent again later, Retry-After is "
        "kept",
    ),
    (
        "Search (10.6)",
        "`/studies`, `/studies/{study}/series`, `/studies/{study}/instances`",
        "keys as in 4.6, `limit`, `offset`, `includefield`; application/dicom+json",
        "200 and 204; otherwise asked again later, except that most 4xx end a pulled study as failed",
    ),
    (
        "Retrieve (10.4)",
        "`/studies/{study}/series/{series}`",
        'multipart/related; type="application/dicom"; transfer-syntax=*',
        "200; parts in a transfer syntax that 6.1 does not list are refused",
    ),
)

_ACCEPTANCE = text(f"""
    Closed by default: only callers named in `[[sources]]`, and destinations for reports of storage commitment, are
    accepted, by calling AE title, called AE title and, where configured, address. Sources may store and ask for
    commitment; destinations that are no sources may send C-ECHO and reports only. A peer that is silent for
    `listener.network_timeout_seconds` is dropped; a PDU longer than the maximum ends the association. Reports of
    commitment to a source go to its `host`, port {Source.model_fields["port"].default} if not configured.

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

SECURITY = text("""
    ### 7.1 Secure transport

    The listener speaks TLS 1.2 or newer where `listener.tls_certificate` and `tls_key` are set, with the cipher suites
    of the OpenSSL library below; with `tls_ca`, callers must show a certificate that it signed. Associations that we
    request, and HTTPS, speak TLS 1.2 or newer where `tls` is set (or the URL is https): the peer's certificate is
    checked against `tls.ca` or the authorities of the machine, must name the configured host, and `tls.certificate` is
    shown to a peer that asks. The versions are those of the BCP 195 profiles of PS3.15 Annex B; cipher suites are not
    narrowed further. Older profiles are not offered.

    ### 7.2 Association level security

    Calling AE title, called AE title and IP address as in 6.1. AE titles are no secret: use TLS with client
    certificates where the network is not trusted. User identity negotiation is not supported.

    ### 7.3 Audit

    Refused associations and instances, requests and reports of commitment, deliveries and what administrators do are
    written to the service's own audit tables, not to an audit repository: audit messages of PS3.15 A.5 are not sent.
    Logs, metrics, file names and Error Comments hold UIDs and row numbers, no attributes of patients.

    ### 7.4 Others

    Digital signatures, attribute confidentiality, de-identification, secure media: none.
""")

CHARACTER_SETS = text("""
    Received data sets may have any Specific Character Set of PS3.3 C.12.1.1.2 that pydicom decodes, with code
    extension; what cannot be decoded is treated as absent. A result keeps the source's Specific Character Set where
    all of its text fits, and is written in ISO_IR 192 (UTF-8) where it does not; pure ASCII has none. Own words are
    English.
""")

GREYSCALE = text("""
    There is no display. The Secondary Capture is rendered from the radiograph's P-Values: modality LUT or rescale, VOI
    LUT or window (or percentiles where there is neither), then presentation LUT shape or MONOCHROME1 (PS3.4 N.2). It is
    8-bit RGB without an ICC profile; its grey tones are not calibrated to the GSDF (PS3.14).
""")
