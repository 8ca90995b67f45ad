from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from audit.models import ModelVersion
from core.errors import ConfigurationError
from core.records import ModelIdentity
from dicom.identity import device_uid
from ml.weights import digest_of, load_record, save_record
from tests.models import write_model
from worker.model_store import ModelStore

Weights = dict[str, torch.Tensor]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


def _version(identity: ModelIdentity, folder: str | None) -> ModelVersion:
    return ModelVersion(device_uid=device_uid(identity), name=identity.name, version=identity.version, folder=folder)


def test_what_was_added_is_loaded_whatever_becomes_of_the_original(store: ModelStore, tmp_path: Path) -> None:
    brought = write_model(tmp_path, "small", "1.0", shift=10)
    record, folder = store.add(brought)
    assert folder == "small-1.0"
    brought.unlink()
    version = _version(record.identity, folder)
    assert store.holds(version)
    assert store.record_of(version) == record
    assert store.load(version, use_tta=False).identity == record.identity
    left = sorted(path.name for path in (tmp_path / "store").rglob("*"))
    assert left == ["small-1.0", "small.json", "small.safetensors"]


def test_adding_a_model_again_changes_nothing_and_another_one_needs_a_version(
    store: ModelStore, tmp_path: Path
) -> None:
    first = write_model(tmp_path / "a", "small", "1.0")
    assert store.add(first) == store.add(first)
    other = write_model(tmp_path / "b", "small", "1.0", shift=1)
    with pytest.raises(ConfigurationError, match=r"another small 1\.0 .* version of its own"):
        store.add(other)


def test_adding_a_model_again_repairs_it(store: ModelStore, tmp_path: Path) -> None:
    brought = write_model(tmp_path, "small", "1.0")
    record, folder = store.add(brought)
    version = _version(record.identity, folder)
    store.weights_of(version).write_bytes(b"half")
    with pytest.raises(ConfigurationError, match="SHA-256"):
        store.record_of(version)
    store.add(brought)
    assert store.record_of(version) == record


def test_a_store_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    with pytest.raises(ConfigurationError, match="cannot be copied to"):
        ModelStore(tmp_path / "store").add(write_model(tmp_path, "small", "1.0"))


def test_what_cannot_judge_is_refused(store: ModelStore, tmp_path: Path) -> None:
    damaged = write_model(tmp_path, "damaged", "1")
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0")
    unfitting = write_model(tmp_path, "unfitting", "1")
    _rewrite(unfitting, lambda weights: {key: value for key, value in weights.items() if key != "head.linear.bias"})
    empty = write_model(tmp_path, "empty", "1")
    _rewrite(empty, lambda weights: weights | {"head.linear.bias": weights["head.linear.bias"] * float("nan")})
    elsewhere = write_model(tmp_path, "elsewhere", "1")
    save_record(load_record(elsewhere).model_copy(update={"name": "../elsewhere"}), elsewhere)
    pickled = tmp_path / "weights.pth"
    pickled.write_bytes(b"anything")
    for path, said in (
        (damaged, "SHA-256"),
        (unfitting, "does not fit the architecture"),
        (empty, "gives no prediction"),
        (elsewhere, r"become a folder.*'\.\./elsewhere'"),
        (pickled, r"a \.safetensors file with its \.json record"),
        (tmp_path / "nowhere.safetensors", "missing"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            store.add(path)
    assert not list(tmp_path.glob("store/*")), "nothing half is left behind"


def test_files_that_are_missing_or_anothers_are_found_out(store: ModelStore, tmp_path: Path) -> None:
    record, folder = store.add(write_model(tmp_path, "small", "1.0"))
    elsewhere = _version(replace(record.identity, version="9"), "small-9")
    assert not store.holds(elsewhere)
    with pytest.raises(ConfigurationError, match="is missing"):
        store.record_of(elsewhere)
    moved = _version(replace(record.identity, threshold=0.7), folder)
    with pytest.raises(ConfigurationError, match="is another model than"):
        store.record_of(moved)
    not_ours = _version(record.identity, None)  # as a model that an older release shipped
    assert not store.holds(not_ours)


def _rewrite(path: Path, change: Callable[[Weights], Weights]) -> None:
    """Other weights, and a record that speaks of them."""
    record = load_record(path)
    save_file(change(load_file(path)), path)
    save_record(record.model_copy(update={"digest": digest_of(path)}), path)
