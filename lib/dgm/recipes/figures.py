"""The figures by which the families are compared: of samples, of likelihood, of speed; and their anchors.

Two sets of real images: the 1000 that were trained on, and the 797 others. By the order of the data set these
come from other writers, so that even real images are far from real ones; `anchors` says how far.
"""

from __future__ import annotations

import statistics
import time
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dgm.data import load_digits, to_pm1
from dgm.metrics import (
    DigitsClassifier,
    class_shares,
    classes_covered,
    density_coverage,
    digits_features,
    frechet_distance,
    kernel_distance,
    nearest_distances,
    precision_recall,
)
from dgm.recipes.base import LEVELS, SHAPE, Model
from dgm.tensor import bits_per_dim

SAMPLES = 1200  # for the Fréchet distance, which depends on the number
NEIGHBOURS = 5  # of precision, recall, density and coverage
SPEED_BATCH = 100
SPEED_REPEATS = 3
SPLITS = 20  # random parts of all images, over which the anchor is a mean
UNITS = {
    "frechet": "thousandths of the features' variance, to the 1000 training images",
    "frechet_held_out": "thousandths of the features' variance, to the 797 held-out images",
    "kid": "units of the kernel, to the training images",
    "kid_held_out": "units of the kernel, to the held-out images",
    "precision": "of the samples",
    "recall": "of the training images",
    "density": "1 for real images",
    "coverage": "of the training images",
    "apart": "times a held-out image's distance to the nearest training image",
    "classes": "of 10, with more than 4 % of the samples",
    "least_class_percent": "% of the samples",
    "largest_class_percent": "% of the samples",
    "bits": "bits per dimension of the test images",
    "samples_per_cpu_s": "samples per CPU-second, one thread",
    "parameters": "parameters",
    "train_cpu_s": "CPU-seconds",
}


class Reference(NamedTuple):
    """Real images, uint8 (N, 1, 8, 8), and their features (N, 64)."""

    images: Tensor
    features: Tensor


@cache
def _classifier() -> DigitsClassifier:
    return digits_features()


def _features(images: Tensor) -> Tensor:
    return _classifier().features(to_pm1(images, LEVELS))


@cache
def references() -> tuple[Reference, Reference]:
    """The images that are trained on, and the held-out ones: validation and test split together."""
    train = load_digits("train").x
    held_out = torch.cat([load_digits("valid").x, load_digits("test").x])
    return Reference(train, _features(train)), Reference(held_out, _features(held_out))


@cache
def _held_out_distance() -> float:
    """Mean distance, in pixels, of a held-out image to the nearest training image."""
    train, held_out = references()
    return nearest_distances(held_out.images.double(), train.images.double()).mean().item()


def sample_figures(samples: Tensor) -> dict[str, float]:
    """Every figure that needs samples alone.

    Args:
        samples: (N, 1, 8, 8) uint8. The distances take all of them; precision, recall, density and coverage
            as many as there are training images.

    Returns:
        Name to value; `UNITS` has the units.
    """
    train, held_out = references()
    x = _features(samples)
    equal = x[: len(train.features)]
    quality = precision_recall(train.features, equal, NEIGHBOURS)
    robust = density_coverage(train.features, equal, NEIGHBOURS)
    shares = class_shares(_classifier().logits(to_pm1(samples, LEVELS)))
    nearest = nearest_distances(samples.double(), train.images.double()).mean().item()
    return {
        "frechet": frechet_distance(x, train.features),
        "frechet_held_out": frechet_distance(x, held_out.features),
        "kid": kernel_distance(x, train.features),
        "kid_held_out": kernel_distance(x, held_out.features),
        "precision": quality.precision,
        "recall": quality.recall,
        "density": robust.density,
        "coverage": robust.coverage,
        "apart": nearest / _held_out_distance(),
        "classes": classes_covered(shares),
        "least_class_percent": 100 * shares.min().item(),
        "largest_class_percent": 100 * shares.max().item(),
    }


def drawn(model: Model, n: int, generator: torch.Generator) -> Tensor:
    """Draw n samples in batches of 100: some models are ten times faster where that fits a core's cache."""
    parts = [model.sample(min(SPEED_BATCH, n - at), generator) for at in range(0, n, SPEED_BATCH)]
    return torch.cat(parts)


def samples_per_cpu_s(model: Model) -> float:
    """Speed of sampling in batches of 100 on this process's threads: the median of three batches."""
    generator = torch.Generator().manual_seed(0)
    model.sample(2, generator)  # the first call imports and allocates
    speeds = []
    for _ in range(SPEED_REPEATS):
        start, done = time.process_time(), 0
        while done == 0 or time.process_time() - start < 0.05:  # many fast ones in one reading
            model.sample(SPEED_BATCH, generator)
            done += SPEED_BATCH
        speeds.append(done / (time.process_time() - start))
    return statistics.median(speeds)


def figures_of(model: Model, seed: int, samples: int = SAMPLES) -> dict[str, Any]:
    """Every figure of a trained model.

    Args:
        model: as `Recipe.train` returns it.
        seed: of the samples' draws.
        samples: how many are drawn; the figures depend on it.

    Returns:
        `sample_figures`, "bits" (kind to bits per dimension of the test images), "samples_per_cpu_s" and
        "parameters".
    """
    return {
        **sample_figures(drawn(model, samples, torch.Generator().manual_seed(seed))),
        "bits": model.bits_per_dimension(load_digits("test").x),
        "samples_per_cpu_s": samples_per_cpu_s(model),
        "parameters": model.parameters,
    }


def independent_pixels() -> Tensor:
    """Log-probability of each level at each pixel, by the training images' histograms: (64, 17) nats.

    A tenth of a count is added to each level, so that none is impossible.
    """
    x = load_digits("train").x.flatten(1).long()
    counts = torch.nn.functional.one_hot(x, LEVELS).sum(0) + 0.1  # (64, 17)
    return (counts / counts.sum(1, keepdim=True)).log()


def anchors(samples: int = SAMPLES, splits: int = SPLITS) -> list[dict[str, Any]]:
    """What needs no training: real images, copies, and images of independent pixels.

    Args:
        samples: how many are drawn where images are drawn.
        splits: of all images into random parts.

    Returns:
        Rows with a "name" and the keys of `figures_of`, as far as they make sense: the held-out images as if
        they were samples; random parts of 1000 and 797 images (means over the splits, to the part of 1000,
        "apart" in the same units); the training images drawn with replacement; independent pixels; noise.
    """
    train, held_out = references()
    rng = torch.Generator().manual_seed(0)
    every = Reference(*(torch.cat(parts) for parts in zip(train, held_out, strict=True)))
    parts = []
    for _ in range(splits):
        order = torch.randperm(len(every.images), generator=rng)
        one, other = order[: len(train.images)], order[len(train.images) :]
        x, y = every.features[one], every.features[other]
        near = nearest_distances(every.images[other].double(), every.images[one].double())
        parts.append(
            {
                "frechet": frechet_distance(y, x),
                "kid": kernel_distance(y, x),
                **precision_recall(x, y, NEIGHBOURS)._asdict(),
                **density_coverage(x, y, NEIGHBOURS)._asdict(),
                "apart": near.mean().item() / _held_out_distance(),
            }
        )
    real = sample_figures(held_out.images)
    redrawn = train.images[torch.randint(len(train.images), (samples,), generator=rng)]
    log_p = independent_pixels()
    levels = torch.multinomial(log_p.exp(), samples, replacement=True, generator=rng)  # (64, N)
    noise = torch.randint(LEVELS, (samples, *SHAPE), dtype=torch.uint8, generator=rng)
    test = load_digits("test").x.flatten(1).long()  # (N, 64)
    nll = -log_p.expand(len(test), -1, -1).gather(2, test[..., None]).sum((1, 2)).mean().item()
    return [
        {"name": "held-out images", **{k: v for k, v in real.items() if not k.endswith("held_out")}},
        {"name": "random parts", **{k: statistics.fmean(part[k] for part in parts) for k in parts[0]}},
        {"name": "training images, redrawn", **sample_figures(redrawn)},
        {
            "name": "independent pixels",
            **sample_figures(levels.T.reshape(-1, *SHAPE).to(torch.uint8)),
            "bits": {"exact": bits_per_dim(nll, log_p.shape[0])},
        },
        {
            "name": "uniform noise",
            **sample_figures(noise),
            "bits": {"exact": torch.tensor(float(LEVELS)).log2().item()},
        },
    ]
