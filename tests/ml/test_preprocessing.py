from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as tf

from core.errors import ConfigurationError
from ml.preprocessing import Preprocessing, read_image
from tests.ml.conftest import radiograph
from tests.services import require_images


@pytest.mark.parametrize("shape", [(2048, 2500), (300, 180), (224, 224), (60, 40)])
def test_the_resizer_is_torchvisions_antialiased_bilinear(shape: tuple[int, int]) -> None:
    image = radiograph(1, *shape)
    ours = Preprocessing().square(image)
    theirs = tf.resize(torch.from_numpy(image)[None], [224, 224], antialias=True)[0].numpy()
    assert ours.shape == (224, 224)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_an_empty_or_coloured_array_is_refused() -> None:
    for shape in ((0, 5), (5, 5, 3)):
        with pytest.raises(ValueError, match="a radiograph is"):
            Preprocessing().square(np.zeros(shape, np.float32))


def test_equal_settings_have_one_text() -> None:
    assert Preprocessing().canonical() == Preprocessing().canonical()
    assert Preprocessing().canonical() != Preprocessing(size=256).canonical()


def test_eight_and_sixteen_bit_files_are_read_alike(tmp_path: Path) -> None:
    eight = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(eight).save(tmp_path / "8.png")
    Image.fromarray(eight.astype(np.uint16) * 257).save(tmp_path / "16.png")
    Image.fromarray(np.stack([eight] * 3, axis=-1)).save(tmp_path / "rgb.png")
    for name in ("8.png", "16.png", "rgb.png"):
        np.testing.assert_allclose(read_image(tmp_path / name), eight / np.float32(255), atol=1e-6)


def test_an_unreadable_file_is_an_error_without_its_name(tmp_path: Path) -> None:
    path = tmp_path / "doe_jane.png"
    path.write_bytes(b"no picture")
    with pytest.raises(ConfigurationError) as caught:
        read_image(path)
    assert "doe" not in str(caught.value)


def test_small_public_copies_are_what_the_resizer_makes_of_full_size_files() -> None:
    images = require_images()
    for path in sorted((images / "chest_xray_fullsize").glob("*/*.jpeg"))[::6]:
        small = read_image(images / "chest_xray" / "train" / path.parent.name / path.name)
        # JPEG's own loss is 2 to 3 grey levels in the mean.
        assert np.abs(Preprocessing().square(read_image(path)) - small).mean() < 3.5 / 255
