"""``pneumo doctor``: tries each thing the configuration names and says in a line what it found."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cli.peer_checks import check_archive, check_destination
from core.audit_settings import Syslog
from core.errors import PneumoError
from core.settings import Settings, configuration_file


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    ok: bool
    answer: str


def examine(settings: Settings) -> list[Check]:
    return [_try(name, check) for name, check in _checks(settings)]


def _checks(settings: Settings) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "configuration", lambda: str(configuration_file() or "no pneumo.toml; defaults and environment")
    yield "database", lambda: _database(settings)
    yield "broker", lambda: _broker(settings)
    yield "spool", lambda: _spool(settings)
    yield "model", lambda: _model(settings)
    yield "sources", lambda: _sources(settings)
    yield "listener", lambda: _port(settings.listener.host, settings.listener.port, settings.listener.ae_title)
    yield "api", lambda: _port(settings.api.host, settings.api.port, "the API")
    for path in filter(None, (settings.listener.tls_certificate, settings.listener.tls_key, settings.listener.tls_ca,
                              settings.api.tls_certificate, settings.api.tls_key)):  # fmt: skip
        yield f"TLS file {path.name}", lambda path=path: _readable(path)  # type: ignore[misc]
    if not settings.destinations:
        yield "destinations", _no_destination
    for destination in settings.destinations:
        yield f"destination {destination.name}", lambda d=destination: check_destination(settings, d)  # type: ignore[misc]
    for archive in settings.archives:
        yield f"archive {archive.name}", lambda a=archive: check_archive(settings, a)  # type: ignore[misc]
    if settings.audit.syslog is not None:
        yield "audit syslog", lambda syslog=settings.audit.syslog: _syslog(syslog)  # type: ignore[misc]
    if settings.routes:
        yield "routes", lambda: _routes(settings)


def _try(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except Exception as exc:  # noqa: BLE001 - every way a part can be unwell is an answer here
        text = str(exc).splitlines()[0] if str(exc) else ""
        return Check(name, False, text if isinstance(exc, PneumoError) else f"{type(exc).__name__}: {text}")


class _Unwell(PneumoError):
    pass


def _database(settings: Settings) -> str:
    from audit import schema
    from audit.session import Database

    database = Database(settings.database)
    try:
        found, newest = schema.current_revision(database), schema.newest_revision()
        kind = database.engine.dialect.name
    finally:
        database.close()
    if found != newest:
        raise _Unwell(
            f"{kind} is reachable, its schema is {found or 'empty'} and should be {newest}: run pneumo migrate"
        )
    return f"{kind}, schema {found}"


def _broker(settings: Settings) -> str:
    from core.broker import celery_app, probe_broker

    probe_broker(celery_app(settings))
    if not settings.broker_url:
        return f"embedded, in {settings.home.absolute() / 'broker'}"
    return f"{settings.broker_url.split(':', 1)[0]} answers"


def _spool(settings: Settings) -> str:
    from core.spool import Spool

    spool = Spool(settings.spool)
    spool.probe()
    free = spool.free_bytes()
    if free is None:
        return "writable"
    if free < settings.listener.disk_reserve_bytes:
        reserve = settings.listener.disk_reserve_bytes / 1e9
        raise _Unwell(f"{free / 1e9:.1f} GB free, below disk_reserve_bytes ({reserve:.1f} GB): images are refused now")
    return f"writable, {free / 1e9:.1f} GB free"


def _model(settings: Settings) -> str:
    try:
        from cli.model_check import examine_models
    except ModuleNotFoundError:
        return "not asked: this installation has no model room (listener and API need none)"

    return examine_models(settings)


def _sources(settings: Settings) -> str:
    if not settings.sources:
        raise _Unwell("none: every caller is refused. Add a [[sources]] section with name and ae_titles")
    return "; ".join(f"{source.name} ({', '.join(source.ae_titles)})" for source in settings.sources)


def _no_destination() -> str:
    raise _Unwell("none: results are made and stored, and nobody sees them. Add a [[destinations]] section")


def _port(host: str, port: int, name: str) -> str:
    with socket.socket() as probe:
        probe.settimeout(2)
        if probe.connect_ex((host, port)) == 0:
            return f"{name} at {host}:{port}: something answers there (the running service, if it is up)"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
    return f"{name} at {host}:{port}: free to use"


def _syslog(syslog: Syslog) -> str:
    from worker.syslog import Connection, SinkAway

    try:
        Connection(syslog).probe()
    except SinkAway as exc:
        raise _Unwell(f"{syslog.host}:{syslog.port}: {exc.code}; audit messages wait in the database") from exc
    how = "TLS" if syslog.tls is not None else "without TLS: patients travel in the clear"
    return f"{syslog.host}:{syslog.port} answers, {how}"


def _readable(path: Path) -> str:
    path.read_bytes()
    return str(path)


def _routes(settings: Settings) -> str:
    from worker.routing import check_routes

    check_routes(settings)
    reached = {name for route in settings.routes for name in route.destinations}
    if left_out := [each.name for each in settings.destinations if each.name not in reached]:
        raise _Unwell(f"no route leads to: {', '.join(left_out)}")
    return ", ".join(route.name for route in settings.routes)
