from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import ConfigurationError
from core.records import Outcome
from ml.classifier import Classifier
from ml.initial_weights import initialise
from ml.networks import Network, mobilenet_v2
from ml.preprocessing import Preprocessing, read_image
from ml.weights import DEFAULT_WEIGHTS
from tests.ml.conftest import radiograph
from tests.services import require_images


@pytest.fixture(scope="module")
def classifier(weights: Path) -> Classifier:
    return Classifier.load(weights)


def test_the_answer_is_the_networks_own(classifier: Classifier, network: Network) -> None:
    image = radiograph(21)
    [(prediction, heatmap)] = classifier.classify([image])
    with torch.no_grad():
        logit = network(torch.from_numpy(Preprocessing().square(image))[None, None])
    assert prediction.probability == pytest.approx(float(torch.sigmoid(logit / 1.5)), abs=1e-5)
    assert prediction.label == "pneumonia"
    assert heatmap.values.shape == (7, 7)
    assert heatmap.values.min() >= 0


def test_batch_mates_do_not_matter(classifier: Classifier) -> None:
    images = [radiograph(seed, 200 + 40 * seed, 300) for seed in range(5)]
    together = classifier.classify(images)
    for image, (prediction, heatmap) in zip(images, together, strict=True):
        [(alone, map_alone)] = classifier.classify([image])
        assert alone.probability == pytest.approx(prediction.probability, abs=1e-5)
        np.testing.assert_allclose(map_alone.values, heatmap.values, atol=1e-5)


def test_one_forward_pass_serves_the_batch_and_its_maps(classifier: Classifier) -> None:
    passes: list[int] = []

    def count(_module: object, inputs: tuple[torch.Tensor], _output: object) -> None:
        passes.append(len(inputs[0]))

    hook = classifier._network.backbone.register_forward_hook(count)
    classifier.classify([radiograph(1), radiograph(2), radiograph(3)])
    hook.remove()
    assert passes == [3]


def test_no_image_is_no_work(classifier: Classifier) -> None:
    assert classifier.classify([]) == []


def test_grad_cam_and_opencv_stay_away_when_the_head_is_linear(weights: Path) -> None:
    program = """
import sys, pathlib, numpy
from ml.classifier import Classifier
Classifier.load(pathlib.Path(sys.argv[1])).classify([numpy.zeros((300, 200), numpy.float32)])
sys.exit(str({"pytorch_grad_cam", "cv2", "lightning", "sklearn", "matplotlib"} & set(sys.modules) or ""))
"""
    done = subprocess.run([sys.executable, "-c", program, str(weights)], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_starting_weights_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    network = mobilenet_v2(Preprocessing())
    with pytest.raises(ConfigurationError, match="not a file"):
        initialise(network, "mobilenet_v2", str(tmp_path / "none.pth"))
    torch.save({"features.0.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ConfigurationError, match="no state dict of torchvision's mobilenet_v2"):
        initialise(network, "mobilenet_v2", str(tmp_path / "other.pth"))
    (tmp_path / "broken.safetensors").write_bytes(b"broken")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        initialise(network, "mobilenet_v2", str(tmp_path / "broken.safetensors"))
    assert initialise(network, "mobilenet_v2", "none") == "random"


def test_without_a_network_both_ways_out_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request._opener", None)  # made at the first use, with the proxies of that moment
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: refused at once
    with pytest.raises(ConfigurationError, match=r"--init FILE.*--init none"):
        initialise(mobilenet_v2(Preprocessing()), "mobilenet_v2", None)


def test_full_size_radiographs_get_the_answer_of_their_small_copies() -> None:
    images = require_images()
    shipped = Classifier.load(DEFAULT_WEIGHTS)
    paths = sorted((images / "chest_xray_fullsize").glob("*/*.jpeg"))[::4]
    full = shipped.classify([read_image(path) for path in paths])
    small = shipped.classify(
        [read_image(images / "chest_xray" / "train" / path.parent.name / path.name) for path in paths]
    )
    gaps = [abs(a.probability - b.probability) for (a, _), (b, _) in zip(full, small, strict=True)]
    # The small copies went through JPEG once more; near the threshold that shows.
    assert np.median(gaps) < 0.02
    assert np.mean([a.outcome is b.outcome for (a, _), (b, _) in zip(full, small, strict=True)]) >= 0.9
    found = [prediction.outcome is Outcome.POSITIVE for prediction, _ in full]
    assert np.mean([a == (path.parent.name == "PNEUMONIA") for a, path in zip(found, paths, strict=True)]) >= 0.8
