"""``pneumo models list | add | activate | shadow``: which model judges, and which ones watch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.database import open_database, operator
from core.settings import load_settings

if TYPE_CHECKING:
    from audit.models import ModelVersion
    from audit.session import Database
    from worker.model_store import ModelStore

AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Model = Annotated[str, typer.Argument(help="NAME@VERSION, or the beginning of a Device UID.")]


def list_(as_json: AsJSON = False) -> None:
    """All models that are or were here, with what each one does now."""
    from rich.console import Console
    from rich.table import Table

    from audit.model_versions import list_versions

    store = _store()
    with _listed() as database, database.read() as session:
        rows = [_row(version, store) for version in list_versions(session)]
    pinned = load_settings().worker.weights
    if as_json:
        typer.echo(json.dumps({"models": rows, "pinned_to": pinned and str(pinned)}))
        return
    table = Table("model", "version", "state", "since (UTC)", "threshold", "MB", "files", "digest", "Device UID begins")
    for row in rows:
        table.add_row(
            row["name"], row["version"], row["state"], row["since"][:16].replace("T", " "), f"{row['threshold']:.3f}",
            f"{row['size_bytes'] / 1e6:.1f}" if row["size_bytes"] else "", row["files"], row["digest"][:12],
            row["device_uid"][:12],
        )  # fmt: skip
    Console().print(table)
    _say_if_pinned()


def add(
    weights: Annotated[Path, typer.Argument(help="A .safetensors file with its .json record beside it.")],
    as_json: AsJSON = False,
) -> None:
    """Check a model, copy it into the store and put it on the list; it judges nothing yet."""
    from audit.model_versions import keep_files
    from dicom.identity import device_uid

    record, folder = _store().add(weights)
    with _listed() as database, database.write() as session:
        version = keep_files(session, record.identity, device_uid(record.identity), folder, operator())
    if as_json:
        typer.echo(json.dumps(_row(version, _store())))
    else:
        typer.echo(f"{version.name}@{version.version} is here, {version.state}; Device UID {version.device_uid}")


def activate(model: Model) -> None:
    """Let this model judge from the next batch on; the one before it is idle then."""
    from audit.model_versions import activate, find_version

    with _listed() as database, database.write() as session:
        version = activate(session, _usable(find_version(session, model)).id, operator())
    typer.echo(f"{version.name}@{version.version} is active; running workers take it up with their next batch")
    _say_if_pinned()


def shadow(
    model: Model, off: Annotated[bool, typer.Option("--off", help="No longer; its predictions are kept.")] = False
) -> None:
    """Let this model judge the same images, on record only: nothing of it is reported or delivered."""
    from audit.model_versions import find_version, put_in_shadow, take_out_of_shadow

    with _listed() as database, database.write() as session:
        if off:
            version = take_out_of_shadow(session, find_version(session, model).id, operator())
        else:
            version = put_in_shadow(session, _usable(find_version(session, model)).id, operator())
    typer.echo(f"{version.name}@{version.version} is {'no longer ' if off else ''}in shadow")
    _say_if_pinned()


def _store() -> ModelStore:
    from worker.model_store import ModelStore

    return ModelStore(load_settings().models)


@contextmanager
def _listed() -> Iterator[Database]:
    """The database, with the shipped model on its list; what cannot be done is said as a mistake of the call."""
    from audit.model_versions import introduce_shipped
    from dicom.identity import device_uid
    from ml.weights import DEFAULT_WEIGHTS, load_record

    shipped = load_record(DEFAULT_WEIGHTS).identity
    with open_database() as database:
        with database.write() as session:
            introduce_shipped(session, shipped, device_uid(shipped))
        try:
            yield database
        except ValueError as exc:
            raise typer.BadParameter(str(exc)) from exc


def _usable(version: ModelVersion) -> ModelVersion:
    """Raises ConfigurationError where this machine does not have it: no worker should be sent after it."""
    _store().record_of(version)
    return version


def _row(version: ModelVersion, store: ModelStore) -> dict[str, Any]:
    from audit.model_versions import since

    here = store.holds(version)
    return {
        "name": version.name,
        "version": version.version,
        "digest": version.digest,
        "device_uid": version.device_uid,
        "state": version.state,
        "since": since(version).isoformat(),
        "threshold": version.threshold,
        "size_bytes": store.weights_of(version).stat().st_size if here else None,
        "files": ("shipped" if version.folder is None else "stored") if here else "missing",
    }


def _say_if_pinned() -> None:
    pinned = load_settings().worker.weights
    if pinned is not None:
        typer.echo(f"worker.weights is set: workers configured so use {pinned}, whatever stands in this list", err=True)
