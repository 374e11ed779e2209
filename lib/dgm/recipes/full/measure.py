"""The figures of a model of 28x28 images: of likelihood, of samples, of speed.

There is no classifier of such images here, so samples are compared with real ones by their pixels, averaged
over 2x2: 196 numbers. That sees where ink lies and how it varies together; it is not the FID, and no figure
of it compares with one. What real images read is measured beside it.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dgm.metrics import frechet_distance, nearest_distances
from dgm.recipes.base import Model

FULL_UNITS = {
    "bits": "bits per dimension of the test images, 256 levels",
    "frechet": "squared grey in [0, 1], summed over 196 averages of 2x2 pixels, to the training images",
    "apart": "times a test image's distance to the nearest training image, of the same averages",
    "samples_per_s": "samples per second on the clock",
}
NEAREST = 1000  # samples whose nearest training images are sought


def averages(images: Tensor) -> Tensor:
    """Pixels averaged over 2x2, in [0, 1]: uint8 (N, C, H, W) to (N, C H W / 4)."""
    return F.avg_pool2d(images.float() / 255, 2).flatten(1)


def nearest(x: Tensor, train: Tensor, device: torch.device) -> float:
    """Mean distance of the first rows of `x` to the nearest row of `train`."""
    rows = x[:NEAREST].to(device).split(50)  # 50 x 50,000 distances at once
    return torch.cat([nearest_distances(part, train.to(device)) for part in rows]).mean().item()


def full_figures(
    model: Model,
    train: Tensor,
    test: Tensor,
    *,
    samples: int = 2000,
    rated: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Every figure of a trained model of images.

    Args:
        model: as `train_full` returns it.
        train: (N, 1, 28, 28) uint8, that it was trained on.
        test: (M, 1, 28, 28) uint8, that nothing was chosen by.
        samples: how many are drawn, at most M; the distance depends on it.
        rated: of how many test images the bits are taken; all where None.
        seed: of the samples' draws.

    Returns:
        "samples", uint8 images; "figures", name to value as `FULL_UNITS` has them; "anchors", those of as
        many test images in the place of samples; "counts", of samples and rated images.
    """
    n = min(samples, len(test))
    device = next(model.network.parameters()).device
    model.sample(2, torch.Generator().manual_seed(seed))  # the first call imports and allocates
    start = time.perf_counter()
    drawn = model.sample(n, torch.Generator().manual_seed(seed))
    seconds = time.perf_counter() - start
    real, x, held = averages(train.cpu()), averages(drawn), averages(test[:n].cpu())
    at_held = nearest(held, real, device)
    return {
        "samples": drawn,
        "figures": {
            "bits": model.bits_per_dimension(test[:rated]),
            "frechet": frechet_distance(x, real),
            "apart": nearest(x, real, device) / at_held,
            "samples_per_s": n / seconds,
        },
        "anchors": {"frechet": frechet_distance(held, real), "apart": 1.0},
        "counts": {"samples": n, "rated": len(test[:rated])},
    }
