"""How good a diffusion model of the 8x8 digits gets in 60 CPU-seconds: `python bench/diffusion_digits.py`.

Figure: the Fréchet distance (FD) between 1200 samples and 600 held-out images, in the 64 features of
`digits_features`, and the share of samples in which the classifier sees the digit that was asked for; means
over three seeds. At most 20 network evaluations a sample, without guidance, and at most 0.75 M parameters.

Two models on one U-Net: EDM (its preconditioning, loss and noise levels; Heun's sampler with 10 steps, 19
evaluations), which is judged, and DDPM as in the chapter (cosine schedule of 1000 steps, noise prediction,
simple loss; DDIM with 20 steps), which is listed beside it. Every run takes a fixed number of steps and keeps
its last averaged weights: no held-out image has a say in the training. Samples are rounded to grey levels.

Images: a random split of all 1797, 1197 to train on and 600 held out, another one for every seed;
`gan_digits.py` says why. FD is a figure of the images and of the classifier that sees them: the distance
between the two real parts stands in the table beside it.

A low FD can be had by copies. So the table has "apart": the mean distance of a sample to the nearest training
image over that of a held-out image, in pixels. Near 1 the samples are as new as new images; copies have 0.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from common import CpuClock, Figure, finish, parse_options, table, warm_up
from torch import Tensor

from dgm.data import Batches, from_pm1, load_digits, to_pm1
from dgm.diffusion import (
    Denoiser,
    EDMSchedule,
    Schedule,
    clipped,
    cosine_schedule,
    ddim,
    draw_sigma,
    draw_steps,
    edm_denoiser,
    edm_loss,
    heun,
    initial_noise,
    make_denoiser,
    sample,
    simple_loss,
)
from dgm.metrics import digits_features, frechet_distance, nearest_distances
from dgm.nn import EMA, UNet, seeded
from dgm.tensor import randn_like
from dgm.train import fit

SAMPLES = 1200  # for the Fréchet distance, which depends on the number
HELD_OUT = 600
LEVELS = 17
CLASSES = 10
DIMS = 64
MOST_PARAMETERS = 750_000
MOST_EVALUATIONS = 20


@dataclass(frozen=True)
class Recipe:
    """All that a run depends on, beside the seed.

    Args:
        edm: EDM, on images less their mean; else DDPM, on the images.
        steps: of AdamW, with a cosine from `rate` to 0.
        sigma_data: EDM's, the standard deviation of images less their mean.
        p_mean: EDM's, of the logarithm of the noise levels that are trained.
        p_std: likewise, its standard deviation.
        sigma_min: lowest noise level in sampling.
        sigma_max: highest.
        sampler_steps: Heun's, with 2n - 1 evaluations, or DDIM's, with n.
    """

    edm: bool
    sampler_steps: int
    steps: int = 1200
    batch: int = 32
    rate: float = 3e-3
    weight_decay: float = 1e-2
    ema: float = 0.995
    dropout: float = 0.0
    sigma_data: float = 0.54
    p_mean: float = -0.8
    p_std: float = 1.2
    sigma_min: float = 0.02
    sigma_max: float = 20.0

    @property
    def evaluations(self) -> int:
        """Of the network, for one sample."""
        return 2 * self.sampler_steps - 1 if self.edm else self.sampler_steps

    @property
    def schedule(self) -> Schedule:
        """That samples are drawn with, and DDPM is trained with."""
        return EDMSchedule(self.sigma_min, self.sigma_max) if self.edm else DDPM


DDPM = cosine_schedule(1000)
RECIPES = {"EDM, Heun 10": Recipe(True, 10), "DDPM, DDIM 20": Recipe(False, 20)}


@dataclass(frozen=True)
class Images:
    """A random split, uint8 images (N, 1, 8, 8) and labels (N,)."""

    x: Tensor
    y: Tensor
    held_out: Tensor

    @classmethod
    def split(cls, seed: int) -> "Images":
        """1197 images to train on and 600 held out."""
        parts = [load_digits(split) for split in ("train", "valid", "test")]
        x, y = torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts])
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        kept, held_out = order[HELD_OUT:], order[:HELD_OUT]
        return cls(x[kept], y[kept], x[held_out])


def train(recipe: Recipe, x: Tensor, y: Tensor, seed: int) -> UNet:
    """Train on images x (N, 1, 8, 8) with labels y; the averaged network."""
    rng = torch.Generator().manual_seed(seed)
    with seeded(seed):  # the initial weights, and dropout
        time_scale = 100.0 if recipe.edm else 1.0  # EDM's c_noise is a quarter of a logarithm
        net = UNet(1, 32, (1, 2), classes=CLASSES, dropout=recipe.dropout, time_scale=time_scale)
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        averaged = EMA(net, recipe.ema)
        optimiser = torch.optim.AdamW(
            net.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay, fused=True
        )
        rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.steps)

        def losses(x0: Tensor, y: Tensor) -> Tensor:
            eps = randn_like(x0, rng)
            if recipe.edm:
                sigma = draw_sigma(len(x0), rng, p_mean=recipe.p_mean, p_std=recipe.p_std)
                return edm_loss(net, x0, sigma, eps, recipe.sigma_data, y=y)
            return simple_loss(net, x0, draw_steps(len(x0), DDPM, rng), eps, DDPM, y=y)

        def step(batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
            loss = losses(*batch).mean() / DIMS
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rates.step()
            averaged.update()
            return {"loss": loss}

        fit(step, Batches(x, y, batch_size=recipe.batch, generator=rng), steps=recipe.steps)
    assert isinstance(averaged.model, UNet)
    return averaged.model


def draw(recipe: Recipe, net: UNet, y: Tensor) -> Tensor:
    """One sample for each label y (n,), in the units that the network was trained in."""
    rng = torch.Generator().manual_seed(1)
    noise = initial_noise((len(y), 1, 8, 8), recipe.schedule, rng)
    denoiser: Denoiser
    if recipe.edm:
        sampler: Callable[..., Any] = heun
        denoiser = edm_denoiser(net, recipe.sigma_data, y=y)
    else:
        sampler = partial(ddim, generator=rng)
        denoiser = clipped(make_denoiser(net, DDPM, y=y))
    return sample(sampler, denoiser, noise, recipe.schedule, recipe.sampler_steps, progress=False)


def distance(x: Tensor, reference: Tensor) -> float:
    """Fréchet distance between two sets of images, uint8."""
    features = digits_features().features
    return frechet_distance(features(to_pm1(x, LEVELS)), features(to_pm1(reference, LEVELS)))


def apart(samples: Tensor, x: Tensor, held_out: Tensor) -> float:
    """How far samples are from the training images x, where held-out images are 1 and copies 0."""
    to_x = [nearest_distances(images.double(), x.double()).mean().item() for images in (samples, held_out)]
    return to_x[0] / to_x[1]


def measure(name: str, recipe: Recipe, seed: int, count: int = SAMPLES) -> dict[str, Any]:
    """One run, one row."""
    print(f"{name} (seed {seed})", flush=True)
    images = Images.split(seed)
    x = to_pm1(images.x, LEVELS)
    mean = x.mean(0) if recipe.edm else torch.zeros(())
    with CpuClock() as training:
        net = train(recipe, x - mean, images.y, seed)
    rng = torch.Generator().manual_seed(1)
    y = images.y[torch.randint(len(images.y), (count,), generator=rng)]
    with CpuClock() as sampling:
        samples = from_pm1((draw(recipe, net, y) + mean).clamp(-1, 1), LEVELS)
    seen = digits_features().logits(to_pm1(samples, LEVELS)).argmax(1)
    return {
        "row": name,
        "seed": seed,
        "fd_real": distance(images.x, images.held_out),
        "fd_held_out": distance(samples, images.held_out),
        "fd_train": distance(samples, images.x),
        "apart": apart(samples, images.x, images.held_out),
        "agreement": (seen == y).double().mean().item(),
        "evaluations": recipe.evaluations,
        "parameters": sum(p.numel() for p in net.parameters()),
        "sampling_cpu_s": sampling.seconds,
        "train_cpu_s": training.seconds,
        "ms_per_step": 1000 * training.seconds / recipe.steps,
    }


def main(options: argparse.Namespace) -> None:
    """Run both models with every seed."""
    warm_up()
    rows = [
        measure(name, replace(recipe, steps=10), seed, 150) if options.quick else measure(name, recipe, seed)
        for name, recipe in RECIPES.items()
        for seed in range(options.seeds)
    ]
    print(f"\ndigits, 1197 / 600 at random, 17 levels; {SAMPLES} samples; FD in thousandths of the variance")
    print(
        table(
            ("", "seed", "FD real", "FD", "to train", "apart", "agreement", "evaluations", "parameters",
             "sampling CPU-s", "training CPU-s", "ms / step"),
            [list(row.values()) for row in rows],
        )
    )  # fmt: skip

    def over_seeds(name: str, key: str, unit: str, **limits: float) -> Figure:
        return Figure([float(row[key]) for row in rows if row["row"] == name], unit, **limits)

    edm, ddpm = RECIPES
    fd = "per mille of the features' variance"
    finish(
        "diffusion_digits",
        {
            "edm_frechet_distance": over_seeds(edm, "fd_held_out", fd, at_most=16.0),
            "edm_agreement": over_seeds(edm, "agreement", "of the samples", at_least=0.95),
            "edm_apart": over_seeds(edm, "apart", "times a new image's distance"),
            "edm_evaluations": over_seeds(edm, "evaluations", "per sample", at_most=MOST_EVALUATIONS),
            "edm_parameters": over_seeds(edm, "parameters", "parameters", at_most=MOST_PARAMETERS),
            "edm_train_seconds": over_seeds(edm, "train_cpu_s", "CPU-s", expected_s=60.0),
            "real_frechet_distance": over_seeds(edm, "fd_real", fd),
            "ddpm_frechet_distance": over_seeds(ddpm, "fd_held_out", fd),
            "ddpm_agreement": over_seeds(ddpm, "agreement", "of the samples"),
            "ddpm_train_seconds": over_seeds(ddpm, "train_cpu_s", "CPU-s", expected_s=60.0),
        },
        options=options,
        rows=[{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows],
    )


if __name__ == "__main__":
    main(parse_options(__doc__.splitlines()[0]))
