"""The services we use and provide, and what their statuses mean (PS3.2 N.5)."""

from __future__ import annotations

from cli.conformance import statuses
from cli.conformance.markdown import table, text
from pacs_listener.query import MOST_INSTANCES, MOST_MATCHES
from pacs_listener.retrieve import AT_ONCE


def chapter() -> str:
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
            "### 4.8 Query and retrieve as SCP",
            _QUERY_SCP,
            table(("Level", "Unique key", "Other matching keys", "Other return keys"), _KEYS_OF_SCP),
            table(("Status of C-FIND", "When"), _FIND_STATUSES),
            table(("Status of C-GET and C-MOVE", "When"), _RETRIEVE_STATUSES),
        )
    )


_VERIFICATION = text("""
    As SCP, C-ECHO is answered 0x0000 to every caller whose association is accepted. As SCU, `pneumo echo` and
    `pneumo doctor` send one C-ECHO and release.
""")

_STORAGE_SCP = text("""
    Level 2 (full): every attribute, private ones included, is kept as received; nothing is coerced. The data set is
    kept in the transfer syntax it came in. Images are kept for as long as the spool keeps them; this is no archive,
    although it gives back what it has (4.8). Images that the model may not judge (laterals, other body parts, For
    Processing, Secondary Capture and so on) are accepted and end as "not analysed". Results of our own that come back
    are recognised, and analysed never.
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
        "likewise. 401, 403 and 407: sent again, ten minutes later at the earliest. Other 4xx: for good. 408, "
        "425, 429, 5xx, no answer: sent again later, Retry-After is "
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

_QUERY_SCP = text(f"""
    For callers of a source with `may_retrieve`: images as received, and every DICOM result that was made of them, sent
    or not. Study Root information model, hierarchical: a request names one unique key for each level above its own. No
    relational queries, no fuzzy matching, no time zone adjustment; extended negotiation is ignored. Keys of the levels
    above are matched and returned as well. Texts match with case and the wild cards `*` and `?`; Study Date as a day or
    a range; UIDs as a list. Answers are in ISO_IR 192 with Retrieve AE Title and Instance Availability ONLINE.
    Patient's Name, Study Time, Study ID, Series Number and Instance Number are not kept: they are returned empty, and a
    value for one fails the query. Any other key is returned empty and not matched.

    C-GET and C-MOVE send the data set's bytes as they are held where the peer accepts that transfer syntax. Between
    Explicit and Implicit VR Little Endian they are encoded anew; nothing is decompressed. What no accepted context fits
    counts as a failed sub-operation. C-MOVE goes to the AE titles of destinations of type `dicom` and of sources with a
    `host`, over TLS where they have `tls`, each transfer syntax in a context of its own. C-CANCEL is heeded between
    matches and between sub-operations. {AT_ONCE} retrievals may go on at once, and {MOST_INSTANCES:,} instances be
    asked for. Queries and retrievals are audit events, with UIDs and counts and without the keys' values.
""")

_KEYS_OF_SCP = (
    (
        "STUDY",
        "Study Instance UID",
        "Patient ID, Issuer of Patient ID, Accession Number, Study Date, Modalities in Study",
        "SOP Classes in Study, Number of Study Related Series, Number of Study Related Instances",
    ),
    ("SERIES", "Series Instance UID", "Modality", "Number of Series Related Instances"),
    ("IMAGE", "SOP Instance UID", "SOP Class UID", "-"),
)

_FIND_STATUSES = (
    ("0x0000", "no more matches"),
    ("0xFF00", "a match"),
    ("0xFF01", "a match; some keys were not matched"),
    ("0xFE00", "cancelled"),
    ("0xA700", f"more than {MOST_MATCHES} matches, none of which is sent"),
    ("0xA900", "the identifier cannot be read, or lacks a unique key, or a UID or date in it is none"),
    ("0xC000", "a value for a key that is not kept; or the database failed"),
)

_RETRIEVE_STATUSES = (
    ("0x0000", "all sub-operations succeeded, or nothing matched"),
    ("0xFF00", "after each sub-operation"),
    ("0xFE00", "cancelled"),
    ("0xB000", "some sub-operations failed or gave warnings"),
    ("0xA701", f"more than {MOST_INSTANCES:,} instances"),
    ("0xA702", "all sub-operations failed, the move destination cannot be reached, or too many retrievals go on"),
    ("0xA801", "C-MOVE: the move destination is not configured"),
    ("0xA900", "as with C-FIND"),
    ("0xC000", "the database or the disk failed"),
)
