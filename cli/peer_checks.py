"""Whether destinations and archives can be reached as the configuration has them. Nothing is stored anywhere."""

from __future__ import annotations

import os
import socket
import ssl

from cli.sending import echo_once
from core.destinations import (
    Archive,
    Destination,
    DICOMArchive,
    DICOMDestination,
    DICOMwebArchive,
    DICOMwebDestination,
    FolderDestination,
    HL7Destination,
    WebhookDestination,
)
from core.errors import ConfigurationError
from core.fields import TLS
from core.settings import Settings

_SECONDS = 10.0


def check_destination(settings: Settings, destination: Destination) -> str:
    """The good news in a sentence. Raises ConfigurationError or OSError with the bad one."""
    match destination:
        case DICOMDestination():
            return _echo(settings, destination)
        case DICOMwebDestination():
            return _look_up(destination)
        case FolderDestination():
            if not destination.path.is_dir() or not os.access(destination.path, os.W_OK):
                raise ConfigurationError(f"{destination.path} is no folder that we may write into: make or mount it")
            return f"{destination.path} is a folder, and writable"
        case WebhookDestination():
            return _reach(destination.url)
        case HL7Destination():
            return _connect(destination.host, destination.port, destination.tls)


def check_archive(settings: Settings, archive: Archive) -> str:
    """As ``check_destination``; an archive that moves must also be allowed to send to us."""
    if isinstance(archive, DICOMwebArchive):
        return _look_up(archive)
    answer = _echo(settings, archive)
    if archive.retrieve == "move" and not any(archive.ae_title in source.ae_titles for source in settings.sources):
        raise ConfigurationError(
            f"{answer}; but what it moves would be refused: name {archive.ae_title} in a [[sources]] section"
        )
    return answer


def _echo(settings: Settings, peer: DICOMDestination | DICOMArchive) -> str:
    return echo_once(peer.ae_title, peer.host, peer.port, settings.listener.ae_title, peer.tls)


def _look_up(peer: DICOMwebDestination | DICOMwebArchive) -> str:
    """A search for one study: shows address, TLS and credentials at once."""
    from worker.answers import Unavailable
    from worker.http import HTTPPeer, authorization

    url = f"{peer.url.rstrip('/')}/studies?limit=1"
    try:
        with HTTPPeer(peer.url, peer.tls, _SECONDS) as http:
            answer = http.request("GET", url, {"Accept": "application/dicom+json", **authorization(peer)})
    except Unavailable as exc:
        raise ConfigurationError(f"{peer.url}: {exc.code}") from exc
    if answer.status not in (200, 204):
        raise ConfigurationError(f"{url} answers with HTTP {answer.status}")
    return f"{peer.url} answers a search for studies"


def _reach(url: str) -> str:
    """A connection and no more: a webhook has no question that changes nothing."""
    from urllib3.util import parse_url

    parts = parse_url(url)
    secure = parts.scheme == "https"
    return _connect(parts.host or "", parts.port or (443 if secure else 80), TLS() if secure else None)


def _connect(host: str, port: int, tls: TLS | None) -> str:
    from core.tls import client_context

    host = host.strip("[]")
    with socket.create_connection((host, port), _SECONDS) as connection:
        if tls is None:
            return f"{host}:{port} takes connections"
        try:
            with client_context(tls).wrap_socket(connection, server_hostname=host):
                return f"{host}:{port} takes connections over TLS"
        except ssl.SSLError as exc:
            raise ConfigurationError(f"{host}:{port} and we do not agree on TLS: {exc.reason or exc}") from exc
