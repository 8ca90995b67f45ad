"""``pneumo bench``: measure."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.evaluation_commands import JSON


def bench_inference(as_json: JSON = False) -> None:
    """Milliseconds per image of prediction with heat map, beside the plain network without one."""
    from ml.benchmark import measure

    rows = measure()
    if as_json:
        typer.echo(json.dumps([row.as_json() for row in rows], indent=2))
        return
    table = Table("What", "Batch", "ms", title="Milliseconds per image, median")
    for row in rows:
        table.add_row(row.what, str(row.batch), f"{row.milliseconds:.1f}")
    Console().print(table)


def bench_gate(
    data: Annotated[Path, typer.Option(help="Labelled radiographs, as train and evaluate take them.")],
    model: Annotated[
        Path | None, typer.Option(help="A .safetensors file with its record; the shipped model if left out.")
    ] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Take the patients of this data that the model's training held out.")
    ] = False,
    most: Annotated[int, typer.Option(min=1, help="Radiographs to draw.")] = 300,
    as_json: JSON = False,
) -> None:
    """Which pictures the model's gate lets pass: radiographs and their stress copies, and pictures that are none.

    Those are made from the radiographs and taken from files that ship inside pydicom and scikit-image.
    """
    from cli.foreign_pictures import foreign_pictures
    from ml.classifier import Classifier
    from ml.holdout import held_out_samples
    from ml.novelty_benchmark import measure
    from ml.readers import read_samples
    from ml.weights import DEFAULT_WEIGHTS

    samples = read_samples(data)
    classifier = Classifier.load(model or DEFAULT_WEIGHTS)
    if held_out:
        samples = held_out_samples(samples, classifier.record.provenance)
    with Console(stderr=True).status("Reading pictures") as status:
        measured = measure(classifier, samples, foreign_pictures(), status.update, most=most)
    if as_json:
        typer.echo(json.dumps(measured.as_json(), indent=2))
        return
    console = Console()
    table = Table("Radiographs", "Images", "Accepted", "Share", "Of these with a warning", title="To be accepted")
    for copy in measured.acceptance:
        share = f"{copy.accepted / copy.n:.1%}"
        table.add_row(copy.kind, str(copy.n), str(copy.accepted), share, str(copy.warned))
    console.print(table)
    table = Table("Pictures", "Images", "Refused", "Share", title="To be refused")
    for other in measured.refusal:
        table.add_row(other.kind, str(other.n), str(other.refused), f"{other.refused / other.n:.1%}")
    console.print(table)


def bench_results(
    rows: Annotated[int, typer.Option(min=64, help="Of the radiograph.")] = 2000,
    columns: Annotated[int, typer.Option(min=64)] = 2500,
    as_json: JSON = False,
) -> None:
    """How long each kind of result takes to build, and how large it is."""
    from cli.delivery_benchmark import measure_building

    times = measure_building(rows, columns)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in times], indent=2))
        return
    table = Table("Result", "ms", "KiB", title=f"Of a radiograph of {rows} x {columns}")
    for each in times:
        table.add_row(each.kind, f"{each.milliseconds:.0f}", f"{each.bytes / 1024:.0f}")
    Console().print(table)


def bench_delivery(
    to: Annotated[str, typer.Option(help="Receiver, AE@HOST:PORT. It keeps what it is sent: take a test PACS.")],
    objects: Annotated[int, typer.Option(min=1, help="How many to send, half of them pictures.")] = 200,
    concurrency: Annotated[list[int] | None, typer.Option(min=1, help="Associations at once; repeatable.")] = None,
    as_json: JSON = False,
) -> None:
    """Result objects a second from our tables and spool into a receiver."""
    from cli.delivery_benchmark import measure_delivery
    from cli.sending import Target
    from core.destinations import DICOMDestination
    from core.logs import configure_logs

    configure_logs("text")
    logging.getLogger("pneumo").setLevel(logging.WARNING)  # a line for each object would be half of what is measured
    target, measured = Target.parse(to), []
    for at_once in concurrency or [1, 4]:
        destination = DICOMDestination(
            name="bench", ae_title=target.ae_title, host=target.host, port=target.port, concurrency=at_once
        )
        with TemporaryDirectory() as folder:
            measured.append(measure_delivery(destination, Path(folder), objects))
    if as_json:
        typer.echo(json.dumps([each.as_json() for each in measured], indent=2))
        return
    table = Table("Associations", "Objects", "Sent", "Seconds", "Objects/s")
    for each in measured:
        row = each.as_json()
        table.add_row(
            str(each.concurrency), str(each.objects), str(each.sent), f"{each.seconds:.1f}", f"{row['per_second']}"
        )
    Console().print(table)


def bench_predict(
    clients: Annotated[str, typer.Option(help="Clients at once, several numbers with commas.")] = "1,8",
    requests: Annotated[int, typer.Option(min=2, help="For each number of clients.")] = 60,
    database: Annotated[
        str, typer.Option(help="SQLAlchemy URL of an empty database; SQLite if left out.", show_default=False)
    ] = "",
    broker: Annotated[str, typer.Option(help="redis:// or amqp://; a folder if left out.", show_default=False)] = "",
    as_json: JSON = False,
) -> None:
    """Answers of `POST /predict` a second, and what of the wait is not the model's."""
    from cli.prediction_benchmark import Road, measure

    numbers = [int(number) for number in clients.split(",")]
    with TemporaryDirectory() as folder:
        measured = measure(Road(Path(folder), database, broker), numbers, requests)
    if as_json:
        typer.echo(json.dumps([each.as_json() for each in measured], indent=2))
        return
    table = Table(
        "Clients", "Requests", "Requests/s", "Median", "p95", "Model", "Overhead", "Cached",
        title="POST /predict, milliseconds",
    )  # fmt: skip
    for each in measured:
        table.add_row(
            str(each.clients), str(each.requests), f"{each.per_second:.1f}",
            *(f"{value:.0f}" for value in (
                each.milliseconds_median, each.milliseconds_p95, each.model_milliseconds_median,
                each.overhead_milliseconds_median, each.cached_milliseconds_median,
            )),
        )  # fmt: skip
    Console().print(table)


def bench_pictures(
    out: Annotated[Path, typer.Option(help="Folder for the sheet and the example.")] = Path("docs/pictures"),
) -> None:
    """Draw Secondary Captures of synthetic radiographs of many formats on one sheet, to be looked at."""
    from cli.contact_sheet import draw_pictures

    for path in draw_pictures(out):
        typer.echo(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


def bench_audit(
    rows: Annotated[int, typer.Option(min=1000, help="Images, each with a prediction.")] = 100_000,
    database: Annotated[
        str, typer.Option(help="SQLAlchemy URL of an empty database; SQLite in a temporary folder if left out.")
    ] = "",
    calls: Annotated[int, typer.Option(min=10, help="Of each query.")] = 60,
    as_json: JSON = False,
) -> None:
    """How fast the audit log answers over HTTP when it holds a year, and what memory an export takes.

    The database is filled with a made-up history and kept; it must be empty.
    """
    from cli.audit_benchmark import measure

    with TemporaryDirectory() as folder, Console(stderr=True).status("Making up a history") as status:
        url = database or f"sqlite:///{folder}/bench.db"
        measured = measure(url, rows, Path(folder), status.update, calls)
    if as_json:
        typer.echo(json.dumps(asdict(measured), indent=2))
        return
    console = Console()
    table = Table("Query", "p50", "p95", "p99", "API's CPU", title=f"Milliseconds, {rows:,} predictions")
    for each in measured.latencies:
        table.add_row(each.query, *(f"{value:.1f}" for value in (each.p50, each.p95, each.p99, each.cpu)))
    console.print(table)
    table = Table("Export", "Rows", "Seconds", "MB", "MiB of memory before", "at most")
    for run in measured.exports:
        figures = (f"{run.rows:,}", *(f"{value:.1f}" for value in (run.seconds, run.megabytes)))
        table.add_row(run.format, *figures, f"{run.rss_before_mib:.0f}", f"{run.rss_peak_mib:.0f}")
    console.print(table)
