"""Security, character sets and greyscale consistency (PS3.2 N.8 and its annexes)."""

from __future__ import annotations

from cli.conformance.markdown import text

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

    Received and refused instances, refused associations, requests and reports of commitment, queries, retrievals,
    deliveries, reads of patient data and what administrators do are written to the service's own audit tables, each
    row with the hash of the one before it.

    Where `audit.syslog` is set, audit messages in the format of PS3.15 A.5 go to an audit record repository over syslog
    (PS3.15 A.6, RFC 5424 over TCP or, with `audit.syslog.tls`, over TLS by RFC 5425), and wait while it is away:
    Application Activity, DICOM Instances Transferred, DICOM Instances Accessed, DICOM Study Deleted, Query, Import,
    Export, User Authentication, Security Alert, Audit Log Used. They name patients, as the standard asks. A Query
    message holds the keys that were asked for without their values.

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
