"""The feature space of colour images: torchvision's Inception v3, whose weights are fetched when asked.

The 2048 numbers after the last pooling, of images resized to 299x299. **The weights are torchvision's, not
those of the original TensorFlow graph that published FIDs are taken with**: distances in these features
compare models with one another, never with a published figure.

torchvision, which knows the address, is imported only inside the functions: it takes seconds.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm.bar import Bar

_SIZE = 299  # pixels, of the images that the weights were trained on
_MEGABYTES = 104  # of the file with the weights
_SHA256 = "0cc3c7bd"  # its first digits, which torchvision's name of the file states
_MARGIN = 1e-4  # rounding of a value at -1 or 1


class InceptionFeatures(nn.Module):
    """Inception v3 up to its last pooling; always in eval mode, without gradients.

    Args:
        network: torchvision's Inception v3, which takes values in [-1, 1] (`transform_input=False`).
    """

    columns: ClassVar[int] = 2048

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> InceptionFeatures:
        """Stay in eval mode: batch statistics would make a feature depend on the other images."""
        return super().train(False)

    @torch.no_grad()
    def features(self, x_pm1: Tensor, *, batch_size: int = 32, progress: bool = False) -> Tensor:
        """Map colour images to the features that metrics of colour images are taken in.

        Images of another size are resized to 299x299, bilinear and antialiased. Some 11 billion operations an
        image: minutes a thousand on one core. Batches go to the device of the network
        (`extractor.to("cuda")`).

        Args:
            x_pm1: (N, 3, H, W), values in [-1, 1] (`dgm.data.to_pm1`).
            batch_size: images at once.
            progress: show a bar.

        Returns:
            (N, 2048) float32, never negative, on the device of the images. An image's row does not depend on
            the batch that it is in.

        Raises:
            ValueError: on another shape, values outside [-1, 1], or a batch size below 1.

        Test: tests/unit/test_inception_v3.py::test_features_of_a_stand_in
        """
        _check_images(x_pm1)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        device = next(self.network.parameters()).device
        found = []
        bar = Bar(len(x_pm1), enabled=progress)
        for batch in x_pm1.split(batch_size):
            x = batch.to(device, torch.float32)
            if x.shape[2:] != (_SIZE, _SIZE):
                x = F.interpolate(x, size=(_SIZE, _SIZE), mode="bilinear", antialias=True)
            found.append(self.network(x).to(x_pm1.device))  # (B, 2048)
            bar.show(bar.done + len(batch), "images")
        bar.close()
        return torch.cat(found)

    def forward(self, x_pm1: Tensor) -> Tensor:
        """The features."""
        return self.features(x_pm1)


def inception_v3_features(
    path: str | os.PathLike[str] | None = None, *, download: bool = False, sha256: str | None = _SHA256
) -> InceptionFeatures:
    """Inception v3 with torchvision's weights, trained on ImageNet, as an extractor of 2048 features.

    `inception_v3_features(download=True).features(x_pm1)` feeds `frechet_distance`. The weights are not the
    original TensorFlow ones: the values are not comparable with published FIDs.

    Args:
        path: of the file with the weights; where torchvision itself keeps it
            (`torch.hub.get_dir()/checkpoints`) when left out.
        download: fetch the file, 104 MB, to `path` if it is missing; without it nothing touches the network.
        sha256: the first digits that the file's checksum must have; None takes any file.

    Returns:
        the extractor, on the CPU.

    Raises:
        FileNotFoundError: the file is missing and `download` is False.
        ConnectionError: the download failed.
        ValueError: the file is damaged or holds other weights.
        ImportError: without torchvision.

    Source: Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision".
    Test: tests/unit/test_inception_v3.py::test_features_of_a_stand_in
    """
    inception_v3, url = _torchvision()
    name = url.rsplit("/", 1)[1]
    file = Path(torch.hub.get_dir(), "checkpoints", name) if path is None else Path(path)
    if not file.is_file():
        if not download:
            raise FileNotFoundError(
                f"Inception v3: there is no {file}; call with download=True to fetch {_MEGABYTES} MB from "
                f"{url}, or copy the file there. The 8x8 digits need none of this: digits_features()"
            )
        _fetch(url, file, sha256)
    with open(file, "rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if sha256 is not None and not found.startswith(sha256):
        raise ValueError(
            f"{file} has the sha256 {found[:16]}..., not {sha256}...; it is damaged or another: delete it "
            "and call with download=True, or pass sha256=None for weights of your own"
        )
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        with torch.device("meta"):  # no memory, no random numbers: the weights come from the file
            network = inception_v3(weights=None, init_weights=False, transform_input=False)
        network.load_state_dict(state, assign=True)
    except (pickle.UnpicklingError, EOFError, OSError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(
            f"{file} is no state dict of torchvision's Inception v3 ({_first_lines(error)}); "
            f"fetch {url}, or save network.state_dict() of torchvision.models.inception_v3"
        ) from error
    network.fc = nn.Identity()  # the pooled features instead of the 1000 classes
    network.AuxLogits = None  # the second head serves training
    return InceptionFeatures(network)


def _fetch(url: str, file: Path, sha256: str | None) -> None:
    """Say what is fetched and from where, then fetch it; a broken download leaves no file."""
    print(f"Inception v3: fetching {_MEGABYTES} MB from {url} to {file}", flush=True)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), hash_prefix=sha256, progress=True)
    except (OSError, RuntimeError) as error:
        raise ConnectionError(
            f"could not fetch Inception v3 ({error}); is there a network? You can also copy {url} to {file} "
            "by hand"
        ) from error


def _torchvision() -> tuple[Any, str]:
    """The builder of the network and the address of its weights."""
    try:
        from torchvision.models import Inception_V3_Weights, inception_v3
    except ImportError as error:
        raise ImportError(
            "Inception v3 needs torchvision, which the course's environment has: pip install torchvision"
        ) from error
    return inception_v3, Inception_V3_Weights.IMAGENET1K_V1.url


def _first_lines(error: Exception, length: int = 200) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= length else text[:length] + "..."


def _check_images(x: Tensor) -> None:
    if x.ndim != 4 or x.shape[1] != 3 or not x.numel():
        raise ValueError(
            f"x_pm1 must have shape (N, 3, H, W) and hold an image, got {tuple(x.shape)}; "
            "use x.expand(-1, 3, -1, -1) on grey images"
        )
    if not x.is_floating_point():
        raise ValueError(f"x_pm1 must hold floats in [-1, 1], got {x.dtype}; use to_pm1(x, 256)")
    if not bool((x.abs() <= 1 + _MARGIN).all()):
        raise ValueError(
            f"x_pm1 must lie in [-1, 1], got values from {x.min().item():.3g} to {x.max().item():.3g}; "
            "use to_pm1(x, 256) on levels, x.clamp(-1, 1) on samples"
        )
