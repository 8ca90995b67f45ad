from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from ml.classifier import Classifier
from ml.weights import DEFAULT_WEIGHTS, load_record


def test_the_module_is_found_beside_the_folder_of_the_same_name() -> None:
    found = importlib.util.find_spec("ml.weights")
    assert found is not None
    assert found.origin is not None
    assert found.origin.endswith("weights.py")
    assert not (DEFAULT_WEIGHTS.parent / "__init__.py").exists()


def test_the_shipped_model_is_whole() -> None:
    identity = load_record(DEFAULT_WEIGHTS).identity
    assert identity.label == "pneumonia"
    assert len(identity.version) <= 64
    assert DEFAULT_WEIGHTS.stat().st_size <= 15_000_000


def test_the_identity_follows_every_part_of_the_record(weights: Path) -> None:
    record = load_record(weights)
    for change in ({"threshold": 0.4}, {"temperature": 2.0}, {"digest": "0" * 64}, {"version": "2"}):
        assert record.model_copy(update=change).identity != record.identity


def test_a_missing_file_is_named(tmp_path: Path, make_weights: Callable[[Path], Path]) -> None:
    with pytest.raises(ConfigurationError, match=r"weights file .* is missing"):
        load_record(tmp_path / "none.safetensors")
    path = make_weights(tmp_path)
    path.with_suffix(".json").unlink()
    with pytest.raises(ConfigurationError, match=r"record of the weights .* is missing"):
        load_record(path)


def test_other_kinds_of_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="safetensors"):
        load_record(tmp_path / "model.pth")


def test_changed_weights_do_not_load(tmp_path: Path, make_weights: Callable[[Path], Path]) -> None:
    path = make_weights(tmp_path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="SHA-256"):
        Classifier.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"threshold": 1.5}, "threshold"), ({"temperature": 0}, "temperature"), ({"colour": "red"}, "colour")],
)
def test_a_bad_record_says_what_is_wrong(
    tmp_path: Path, make_weights: Callable[[Path], Path], change: dict[str, object], message: str
) -> None:
    path = make_weights(tmp_path)
    beside = path.with_suffix(".json")
    beside.write_text(json.dumps(json.loads(beside.read_text()) | change))
    with pytest.raises(ConfigurationError, match=message):
        load_record(path)
    beside.write_text("{")
    with pytest.raises(ConfigurationError, match="no record of weights"):
        load_record(path)


def test_reading_a_record_needs_no_torch(weights: Path) -> None:
    program = (
        "import sys, pathlib; from ml.weights import load_record; load_record(pathlib.Path(sys.argv[1]));"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, str(weights)], check=True)
