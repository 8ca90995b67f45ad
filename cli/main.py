"""``pneumo``: one command for people. Each subcommand imports what it needs when it runs."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from cli import (
    analyze_commands,
    audit_commands,
    bench_commands,
    card_commands,
    compare_commands,
    conformance_commands,
    delivery_commands,
    demo_commands,
    drift_commands,
    evaluation_commands,
    feedback_commands,
    health_commands,
    key_commands,
    models_commands,
    network_commands,
    pull_commands,
    recall_commands,
    route_commands,
    service_commands,
    training_commands,
)
from core.errors import PneumoError

app = typer.Typer(
    name="pneumo",
    help="Pneumonia AI behind a PACS: radiographs in by C-STORE, Secondary Capture and report out, all of it audited.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # locals hold patients
)
bench = typer.Typer(help="Measure.", no_args_is_help=True)
models = typer.Typer(help="Models and what becomes of them in service.", no_args_is_help=True)

app.command()(demo_commands.demo)
app.command()(service_commands.up)
app.command()(service_commands.listen)
app.command()(service_commands.work)
app.command()(service_commands.serve)
app.command()(service_commands.migrate)
app.command()(service_commands.doctor)
app.command()(conformance_commands.conformance)
app.command()(health_commands.alive)
app.command()(network_commands.echo)
app.command()(network_commands.send)
app.command()(pull_commands.pull)
app.command()(analyze_commands.analyze)
app.command()(training_commands.train)
app.command()(evaluation_commands.evaluate)
app.command()(recall_commands.recall)
app.add_typer(key_commands.app, name="keys")
app.add_typer(audit_commands.app, name="audit")
app.add_typer(feedback_commands.app, name="feedback")
app.add_typer(delivery_commands.app, name="deliveries")
app.add_typer(route_commands.app, name="routes")
app.add_typer(models, name="models")
app.add_typer(bench, name="bench")
bench.command("inference")(bench_commands.bench_inference)
bench.command("gate")(bench_commands.bench_gate)
bench.command("predict")(bench_commands.bench_predict)
bench.command("pictures")(bench_commands.bench_pictures)
bench.command("results")(bench_commands.bench_results)
bench.command("delivery")(bench_commands.bench_delivery)
bench.command("audit")(bench_commands.bench_audit)
models.command("list")(models_commands.list_)
models.command("add")(models_commands.add)
models.command("activate")(models_commands.activate)
models.command("shadow")(models_commands.shadow)
models.command("compare")(compare_commands.compare)
models.command("drift")(drift_commands.drift)
models.command("card")(card_commands.card)


def main() -> None:
    """The console script: our errors are a message and exit code 2, not a traceback."""
    try:
        app()
    except PneumoError as exc:
        Console(stderr=True, highlight=False, soft_wrap=True).print("pneumo:", str(exc), style="red", markup=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
