"""The feature space in which the digits' metrics are measured: a small classifier, shipped with the library.

A Fréchet distance is a figure of two sets of images *and* of the features they are seen by. These features
are the 64 numbers before the last nonlinearity of a convolutional classifier of the 8x8 digits, in units that
make the total variance over the 1000 training images 1000. So a distance is in thousandths of that variance:
a generator of nothing but the mean is 1000 away, and 10 is one per cent.
"""

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

FEATURES = 64
TOTAL_VARIANCE = (
    1000.0  # of the features, summed over the 64, over the training images: the unit of the distances
)
DIGITS_CLASSIFIER = Path(__file__).with_name("digits_classifier.safetensors")
COMMAND = "python -m dgm.metrics.train_digits_classifier"
_MARGIN = 1e-4  # rounding of a value at -1 or 1


class DigitsClassifier(nn.Module):
    """A convolutional classifier of 8x8 digits, whose 64 hidden numbers serve as features.

    h = silu(conv_2(silu(conv_1(x)))),  features = scale * linear(h),  logits = head(silu(features / scale))

    Args:
        channels: of the first convolution; the second, with stride 2, has twice as many.
        dropout: probability of dropping a hidden unit in training.
    """

    scale: Tensor

    def __init__(self, channels: int = 16, dropout: float = 0.3) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(1, channels, 3, padding=1)
        self.conv_2 = nn.Conv2d(channels, 2 * channels, 3, padding=1, stride=2)
        self.linear = nn.Linear(2 * channels * 4 * 4, FEATURES)
        self.head = nn.Linear(FEATURES, 10)
        self.dropout = dropout
        self.register_buffer("scale", torch.ones(()))

    def features(self, x_pm1: Tensor) -> Tensor:
        """Map images to the features that the Fréchet distance is taken in.

        Args:
            x_pm1: (N, 1, 8, 8), values in [-1, 1] (`dgm.data.to_pm1`); they need not be whole grey levels.

        Returns:
            (N, 64), in units that make the total variance over the training images 1000.

        Raises:
            ValueError: on another shape, or values outside [-1, 1].

        Test: tests/unit/test_metrics.py::test_features_have_the_documented_total_variance
        """
        return self.scale * self._hidden(x_pm1)

    def logits(self, x_pm1: Tensor) -> Tensor:
        """Map images (N, 1, 8, 8) in [-1, 1] to the logits of the ten digits, (N, 10)."""
        h = F.silu(self._hidden(x_pm1))  # (N, 64)
        return self.head(F.dropout(h, self.dropout, self.training))

    def forward(self, x_pm1: Tensor) -> Tensor:
        """The logits."""
        return self.logits(x_pm1)

    def _hidden(self, x: Tensor) -> Tensor:
        _check_images(x)
        h = F.silu(self.conv_1(x))  # (N, C, 8, 8)
        h = F.silu(self.conv_2(h)).flatten(1)  # (N, 2 C * 4 * 4)
        return self.linear(F.dropout(h, self.dropout, self.training))  # (N, 64)


def digits_features() -> DigitsClassifier:
    """The classifier that the library ships, in eval mode and without gradients of its weights.

    `digits_features().features(x_pm1)` feeds `frechet_distance`. It was made by
    `python -m dgm.metrics.train_digits_classifier`, from the training split alone;
    `digits_classifier_metadata()` says how good it is.

    Returns:
        The `DigitsClassifier`.

    Raises:
        FileNotFoundError: if the file is missing.
    """
    tensors, metadata = _read()
    classifier = DigitsClassifier(metadata["channels"], metadata["dropout"])
    classifier.load_state_dict(tensors)
    return classifier.eval().requires_grad_(False)


def digits_classifier_metadata() -> dict[str, Any]:
    """How the shipped classifier was made: command, seed, steps, accuracies (fractions of 1).

    Returns:
        Name to value.
    """
    return _read()[1]


def _read() -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not DIGITS_CLASSIFIER.is_file():
        raise FileNotFoundError(f"{DIGITS_CLASSIFIER.name} is missing; make it by `{COMMAND}`")
    try:
        with safe_open(DIGITS_CLASSIFIER, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, json.loads(file.metadata()["digits_classifier"])
    except (SafetensorError, TypeError, KeyError) as error:
        raise ValueError(
            f"{DIGITS_CLASSIFIER.name} is damaged ({error}); make it anew by `{COMMAND}`"
        ) from error


def _check_images(x: Tensor) -> None:
    if x.ndim != 4 or x.shape[1:] != (1, 8, 8):
        raise ValueError(
            f"x_pm1 must have shape (N, 1, 8, 8), got {tuple(x.shape)}; use x.reshape(-1, 1, 8, 8)"
        )
    if not x.is_floating_point():
        raise ValueError(f"x_pm1 must hold floats in [-1, 1], got {x.dtype}; use to_pm1(x, 17)")
    if x.numel() and not bool((x.abs() <= 1 + _MARGIN).all()):
        raise ValueError(
            f"x_pm1 must lie in [-1, 1], got values from {x.min().item():.3g} to {x.max().item():.3g}; "
            "use to_pm1(x, 17) on grey levels, x.clamp(-1, 1) on samples"
        )
