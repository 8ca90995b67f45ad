"""How fast the audit log answers, over HTTP from a running API, at the size that it has after a year."""

from __future__ import annotations

import itertools
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from audit import sample_history as history
from audit import schema
from audit.api_keys import create_key
from audit.session import Database
from core.errors import ConfigurationError
from core.scopes import Scope

_CALLS = 60
_UNTIMED = 3  # the first ones fill caches and plans
_STARTS_WITHIN_SECONDS = 60

Query = Callable[[random.Random, int], tuple[str, dict[str, Any]]]


def _day(generator: random.Random, images: int) -> str:
    days = max(1, images // 274)
    return (history.FIRST_DAY + timedelta(days=generator.randrange(days))).date().isoformat()


def _range(generator: random.Random, images: int, what: str, days: int) -> dict[str, Any]:
    first = history.FIRST_DAY + timedelta(days=generator.randrange(max(1, images // 274)))
    return {
        f"{what}_from": first.date().isoformat(),
        f"{what}_before": (first + timedelta(days=days)).date().isoformat(),
    }


def _some_study(generator: random.Random, images: int) -> int:
    return history.study_of(generator.randrange(images))


def _some_patient(generator: random.Random, images: int) -> str:
    return history.patient_id(history.patient_of(_some_study(generator, images)))


QUERIES: dict[str, Query] = {
    "newest predictions": lambda _g, _n: ("predictions", {}),
    "predictions of a patient": lambda g, n: ("predictions", {"patient_id": _some_patient(g, n)}),
    "studies by accession number": lambda g, n: (
        "studies",
        {"accession_number": history.accession_number(_some_study(g, n))},
    ),
    "one study": lambda g, n: (f"studies/{history.study_uid(_some_study(g, n))}", {}),
    "positive of a day": lambda g, n: ("predictions", {"outcome": "positive", **_range(g, n, "created", 1)}),
    "a source in a week": lambda g, n: (
        "predictions",
        {"source": g.choice(history.SOURCES), **_range(g, n, "received", 7)},
    ),
    "a warning under a model": lambda g, _n: (
        "predictions",
        {"warning": g.choice(history.WARNINGS), "model_version": g.choice(("1.0.0", "2.0.0", "3.0.0"))},
    ),
    "studies without a confirmed result": lambda _g, _n: ("studies", {"unconfirmed": "true"}),
    "dead deliveries": lambda g, _n: (
        "deliveries",
        {"state": "dead", "destination": g.choice((history.PACS, history.HOOK))},
    ),
    "history of a patient": lambda g, n: ("patients", {"patient_id": _some_patient(g, n)}),
    "highest probabilities of a source": lambda g, _n: (
        "predictions",
        {"sort": "probability_high", "source": g.choice(history.SOURCES)},
    ),
    "disagreed with": lambda _g, _n: ("predictions", {"feedback": "disagree"}),
    "a source ever": lambda g, _n: ("predictions", {"source": g.choice(history.SOURCES), "outcome": "not_analysed"}),
    "events of an image": lambda g, n: ("events", {"subject": history.sop_uid(g.randrange(n))}),
    "events of a kind": lambda g, _n: ("events", {"kind": g.choice(("delivery.", "delivery.dead", "prediction."))}),
    "newest studies": lambda _g, _n: ("studies", {}),
    "positive, counted": lambda g, n: (
        "predictions",
        {"outcome": "positive", "count": "true", **_range(g, n, "created", 30)},
    ),
    "dead letters": lambda _g, _n: ("dead-letters", {}),
    "sources": lambda _g, _n: ("sources", {}),
    "models": lambda _g, _n: ("models", {}),
}


@dataclass(frozen=True, slots=True)
class Latency:
    query: str
    p50: float
    """Milliseconds, like the others."""
    p95: float
    p99: float
    cpu: float
    """Of the API's process per call, the database's not counted: what is left of a call on a busy machine."""

    @classmethod
    def of(cls, query: str, seconds: list[float], cpu_seconds: float) -> Latency:
        cuts = statistics.quantiles(seconds, n=100, method="inclusive")
        p50, p95, p99 = (round(1000 * cuts[place - 1], 1) for place in (50, 95, 99))
        return cls(query, p50, p95, p99, round(1000 * cpu_seconds / len(seconds), 1))


@dataclass(frozen=True, slots=True)
class ExportRun:
    format: str
    rows: int
    seconds: float
    megabytes: float
    rss_before_mib: float
    rss_peak_mib: float


@dataclass(frozen=True, slots=True)
class Benchmark:
    database: str
    processors: int
    images: int
    fill_seconds: float
    latencies: list[Latency]
    walk_seconds: float
    """Of a walk over all predictions in pages of 200."""
    exports: list[ExportRun]


def measure(url: str, images: int, folder: Path, note: Callable[[str], None], calls: int = _CALLS) -> Benchmark:
    """Fill an empty database, start the API on it, ask.

    Raises:
        ConfigurationError: the database is not empty.
    """
    database = Database(url)
    try:
        schema.upgrade(database)
        clock = time.perf_counter()
        try:
            history.fill(database, images, lambda done: note(f"{done:,} of {images:,} images made up"))
        except ValueError as exc:
            raise ConfigurationError(str(exc)) from exc
        filled = time.perf_counter() - clock
        with database.write() as session:
            key = create_key(session, "bench", "cli:bench", [Scope.AUDIT_READ, Scope.PHI_READ])
        kind = "sqlite" if database.is_sqlite else "postgresql"
    finally:
        database.close()
    with _serving(url, folder, key) as (api, pid):
        latencies = []
        for name, query in QUERIES.items():
            note(name)
            latencies.append(_asked(api, pid, (name, query), images, calls))
        note("a walk over all predictions")
        walked = _walk(api)
        exports = []
        for export_format in ("ndjson", "csv"):
            note(f"export as {export_format}")
            exports.append(_export(api, export_format, pid))
    return Benchmark(kind, len(os.sched_getaffinity(0)), images, round(filled, 1), latencies, round(walked, 1), exports)


def _asked(api: httpx.Client, pid: int, query: tuple[str, Query], images: int, calls: int) -> Latency:
    generator = random.Random(7)  # noqa: S311 - the same questions each time
    (name, ask), seconds, cpu = query, [], 0.0
    for call in range(calls + _UNTIMED):
        if call == _UNTIMED:
            cpu = _cpu_seconds(pid)
        path, parameters = ask(generator, images)
        clock = time.perf_counter()
        answer = api.get(path, params=parameters)
        if call >= _UNTIMED:
            seconds.append(time.perf_counter() - clock)
        answer.raise_for_status()
    return Latency.of(name, seconds, _cpu_seconds(pid) - cpu)


def _walk(api: httpx.Client) -> float:
    clock = time.perf_counter()
    parameters: dict[str, Any] = {"limit": 200}
    while True:
        page = api.get("predictions", params=parameters).raise_for_status().json()
        if page["next"] is None:
            return time.perf_counter() - clock
        parameters["cursor"] = page["next"]


def _export(api: httpx.Client, export_format: str, pid: int) -> ExportRun:
    before = _memory(pid, "VmRSS")
    size = lines = 0
    clock = time.perf_counter()
    with api.stream("GET", "predictions/export", params={"format": export_format}) as answer:
        answer.raise_for_status()
        for chunk in answer.iter_raw():
            size += len(chunk)
            lines += chunk.count(b"\n")
    seconds = time.perf_counter() - clock
    rows = lines - (export_format == "csv")
    return ExportRun(
        export_format, rows, round(seconds, 1), round(size / 1e6, 1), round(before, 1), round(_memory(pid, "VmHWM"), 1)
    )


def _cpu_seconds(pid: int) -> float:
    """User's and system's (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int, line: str) -> float:
    """MiB, as Linux counts it."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(each.split()[1]) / 1024 for each in status.splitlines() if each.startswith(f"{line}:"))


@contextmanager
def _serving(url: str, folder: Path, key: str) -> Iterator[tuple[httpx.Client, int]]:
    """`pneumo serve` in a process of its own, whose memory can be told from ours."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ, "PNEUMO_HOME": str(folder), "PNEUMO_DATABASE_URL": url, "PNEUMO_API__PORT": str(port),
    }  # fmt: skip
    with (folder / "api.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "cli.main", "serve"], env=environment, stdout=log, stderr=log)
        try:
            for attempt in itertools.count():
                try:
                    httpx.get(f"http://127.0.0.1:{port}/v1/predictions", timeout=5)
                    break
                except httpx.TransportError as exc:
                    if process.poll() is not None or attempt >= 10 * _STARTS_WITHIN_SECONDS:
                        raise ConfigurationError(f"the API does not start: see {log.name}") from exc
                    time.sleep(0.1)
            headers = {"Authorization": f"Bearer {key}"}
            with httpx.Client(base_url=f"http://127.0.0.1:{port}/v1/", headers=headers, timeout=300) as api:
                yield api, process.pid
        finally:
            process.terminate()
            process.wait(30)
