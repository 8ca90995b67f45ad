"""How fast ``POST /predict`` answers: real processes, radiographs of a usual size, each of them new to the service."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
import numpy as np
from PIL import Image

from audit import schema
from audit.api_keys import create_key
from audit.session import Database
from audit.uploads import find_answer, upload_of
from cli.phantom import draw
from core.scopes import Scope
from core.settings import Settings

_START_SECONDS = 120.0
_WARM_UP = 3


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Road:
    """What the service stands on."""

    home: Path
    database_url: str = ""
    """SQLite where empty."""
    broker_url: str = ""
    """A folder where empty."""
    port: int = field(default_factory=_free_port)

    @property
    def environment(self) -> dict[str, str]:
        given = {
            "PNEUMO_HOME": str(self.home),
            "PNEUMO_DATABASE_URL": self.database_url,
            "PNEUMO_BROKER_URL": self.broker_url,
            "PNEUMO_API__PORT": str(self.port),
            "PNEUMO_API__PREDICT_RATE": "1000000/second",
            "PNEUMO_API__RATE_LIMIT_URL": "",
            "PNEUMO_LISTENER__DISK_RESERVE_BYTES": "0",
        }
        return {name: value for name, value in os.environ.items() if not name.startswith("PNEUMO_")} | given

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, database_url=self.database_url, broker_url=self.broker_url)


@dataclass(frozen=True, slots=True)
class Measured:
    clients: int
    requests: int
    per_second: float
    milliseconds_median: float
    milliseconds_p95: float
    model_milliseconds_median: float
    """The worker's own stages for one image: reading, network with heat map, pictures."""
    overhead_milliseconds_median: float
    """The rest of what a caller waits for: upload, checks, rows, waking, turn in the queue, answer."""
    cached_milliseconds_median: float
    """The same image again."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(road: Road, clients: Sequence[int], requests: int) -> list[Measured]:
    """``requests`` for each number of clients. The database is migrated; its rows stay."""
    database = Database(road.settings.database)
    try:
        schema.upgrade(database)
        principal = f"bench-{time.time_ns()}"
        with database.write() as session:
            key = create_key(session, principal, "cli:bench", [Scope.PREDICT])
        with _running(road), _client(road, key, max(clients)) as client:
            for image in radiographs(_WARM_UP, stream=0):
                _ask(client, image)
            return [
                _measure(client, database, principal, number, radiographs(requests, stream=number))
                for number in clients
            ]
    finally:
        database.close()


def radiographs(number: int, *, stream: int) -> list[bytes]:
    """JPEG files of one phantom, each with a grain of its own."""
    film, grain = draw(1, pneumonia=True, rows=1020, columns=1480), np.random.default_rng(stream)
    files = []
    for _ in range(number):
        file = BytesIO()
        noisy = film + grain.normal(0, 2, film.shape)
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def _measure(
    client: httpx.Client, database: Database, principal: str, clients: int, images: Sequence[bytes]
) -> Measured:
    with ThreadPoolExecutor(clients) as pool:
        began = time.perf_counter()
        answers = list(pool.map(lambda image: _ask(client, image), images))
        seconds = time.perf_counter() - began
    waits = [wait for wait, _ in answers]
    model = [_model_seconds(database, principal, uid) for _, uid in answers]
    again = [_ask(client, image)[0] for image in images[:20]]
    return Measured(
        clients=clients,
        requests=len(images),
        per_second=round(len(images) / seconds, 2),
        milliseconds_median=_milliseconds(median(waits)),
        milliseconds_p95=_milliseconds(quantiles(waits, n=20)[-1]),
        model_milliseconds_median=_milliseconds(median(model)),
        overhead_milliseconds_median=_milliseconds(median(wait - own for wait, own in zip(waits, model, strict=True))),
        cached_milliseconds_median=_milliseconds(median(again)),
    )


def _ask(client: httpx.Client, image: bytes) -> tuple[float, str]:
    """Seconds, and under which UID the image is kept."""
    began = time.perf_counter()
    answer = client.post("/predict", files={"file": ("chest.jpg", image, "image/jpeg")})
    answer.raise_for_status()
    return time.perf_counter() - began, answer.json()["sop_instance_uid"]


def _model_seconds(database: Database, principal: str, sop_instance_uid: str) -> float:
    with database.read() as session:
        booked = upload_of(session, sop_instance_uid, principal)
        row = None if booked is None else find_answer(session, booked.instance_id)
        if row is None:
            raise RuntimeError("an answer that was given is not in the audit log")
        return float(sum(row.stage_seconds.values()))


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 1)


@contextmanager
def _client(road: Road, key: str, connections: int) -> Iterator[httpx.Client]:
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    headers = {"Authorization": f"Bearer {key}"}
    address = f"http://127.0.0.1:{road.port}"
    with httpx.Client(base_url=address, headers=headers, limits=limits, timeout=60) as client:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(client):
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"the service did not start within {_START_SECONDS:.0f} s: run `pneumo up`, which says why"
                )
            time.sleep(0.5)
        yield client


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").is_success
    except httpx.TransportError:
        return False


@contextmanager
def _running(road: Road) -> Iterator[None]:
    """API and inference worker, as ``pneumo up`` would run them."""
    with ExitStack() as stack:
        for command in (["serve"], ["work", "--queue", "inference"]):
            process = subprocess.Popen(  # noqa: S603 - our own command line
                [sys.executable, "-m", "cli.main", *command],
                env=road.environment,
                stdout=subprocess.DEVNULL,  # Celery says goodbye there, in the middle of our JSON
                stderr=subprocess.DEVNULL,
            )
            stack.callback(_stop, process)
        yield


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
