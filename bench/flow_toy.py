"""How close flows come to known densities in the plane in 20 CPU-seconds: `python bench/flow_toy.py`.

The densities are exact, so the figure is KL(data, model) itself, in nats: the mean of log p - log q over
100,000 fresh points. Two moons with every seed: at most .015 by affine couplings, .008 by rational-quadratic
splines; the other densities are listed with seed 0. Training points are drawn anew for every step, so there
is nothing to overfit and no validation. Four minutes on an idle core.
"""

import argparse
import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from common import CpuClock, Figure, finish, parse_options, table, warm_up
from torch import Tensor

from dgm.data import toy2d
from dgm.flows import FlowModel, RationalQuadratic, mixed_couplings
from dgm.nn import EMA, seeded
from dgm.train import fit

POINTS = 100_000  # for the KL; at .005 nats its standard error is about .0003


@dataclass(frozen=True)
class Recipe:
    """All that a run depends on, beside the density and the seed.

    Args:
        bins: of the splines; 0 for affine couplings.
        layers: number of couplings, each after an ActNorm and a learned rotation.
        steps: of AdamW, with a cosine from `rate` to 0.
        frequency: of the sine conditioners' first weights.
    """

    bins: int
    layers: int
    steps: int
    batch: int = 256
    rate: float = 5e-3
    ema: float = 0.99
    hidden: tuple[int, ...] = (64, 64)
    frequency: float = 2.0

    def model(self) -> FlowModel:
        """A fresh model."""
        transform = RationalQuadratic(self.bins, 3.5) if self.bins else None
        return mixed_couplings(
            2, self.layers, transform, self.hidden, activation="sine", frequency=self.frequency
        )


AFFINE = Recipe(bins=0, layers=12, steps=1800, frequency=4.0)
# Twice the frequency serves the moons and makes training on the rings diverge.
AFFINE_OTHERS = replace(AFFINE, frequency=2.0)
SPLINE = Recipe(bins=16, layers=4, steps=2400)
DENSITIES: list[toy2d.Density2D] = [
    toy2d.TwoMoons(),
    toy2d.Rings(),
    toy2d.Checkerboard(),
    toy2d.Spirals(),
    toy2d.Pinwheel(),
]


def train(recipe: Recipe, density: toy2d.Density2D, seed: int) -> FlowModel:
    """Maximum likelihood on fresh points; the averaged weights."""
    generator = torch.Generator().manual_seed(seed)
    points = density.sample(recipe.steps * recipe.batch, generator)
    with seeded(seed):
        model = recipe.model()
    model.log_prob(points[: recipe.batch])  # ActNorm starts, before its values are averaged
    averaged = EMA(model, recipe.ema)
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=1e-4, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.steps)

    def step(batch: Tensor) -> dict[str, Tensor]:
        loss = -model.log_prob(batch).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimiser.step()
        schedule.step()
        averaged.update()
        return {"loss": loss}

    fit(step, points.split(recipe.batch), steps=recipe.steps)
    assert isinstance(averaged.model, FlowModel)
    return averaged.model


@torch.no_grad()
def divergence(model: FlowModel, density: toy2d.Density2D) -> tuple[float, float]:
    """KL(density, model) and its standard error, nats."""
    x = density.sample(POINTS, torch.Generator().manual_seed(10_000))
    ratio = torch.cat([density.log_prob(part) - model.log_prob(part) for part in x.split(10_000)])
    return ratio.mean().item(), ratio.std().item() / math.sqrt(len(x))


def measure(label: str, recipe: Recipe, density: toy2d.Density2D, seed: int) -> dict[str, Any]:
    """One row of the table."""
    print(f"{density.name}, {label} (seed {seed})", flush=True)
    with CpuClock() as clock:
        model = train(recipe, density, seed)
    kl, error = divergence(model, density)
    return {
        "row": f"{density.name}, {label}",
        "seed": seed,
        "kl_nats": kl,
        "standard_error": error,
        "parameters": sum(p.numel() for p in model.parameters()),
        "train_cpu_s": clock.seconds,
    }


def show(rows: list[dict[str, Any]]) -> str:
    """The rows as a table; the KL with four decimals."""
    columns = ("", "seed", "KL nats", "+-", "params", "CPU-s")
    four = [{k: f"{v:.4f}" if k in ("kl_nats", "standard_error") else v for k, v in r.items()} for r in rows]
    return table(columns, [list(row.values()) for row in four])


def main(options: argparse.Namespace) -> None:
    """Two moons with every seed, the others with seed 0."""
    warm_up()
    kinds = {"affine": (AFFINE, AFFINE_OTHERS), "spline": (SPLINE, SPLINE)}
    if options.quick:
        kinds = {label: (replace(a, steps=30), replace(b, steps=30)) for label, (a, b) in kinds.items()}
    rows: dict[str, list[dict[str, Any]]] = {}
    for label, (recipe, for_others) in kinds.items():
        moons, *others = DENSITIES
        rows[label] = [measure(label, recipe, moons, seed) for seed in range(options.seeds)]
        rows[f"{label}, others"] = [measure(label, for_others, density, 0) for density in others]
    every = [row for part in rows.values() for row in part]
    print(f"\nKL(data, model), {POINTS} points; affine {AFFINE.steps} steps, spline {SPLINE.steps}")
    print(show(every))

    def over_seeds(kind: str, key: str, unit: str, **limits: float) -> Figure:
        return Figure([row[key] for row in rows[kind]], unit, **limits)

    finish(
        "flow_toy",
        {
            "two_moons_affine_kl": over_seeds("affine", "kl_nats", "nats", at_most=0.015),
            "two_moons_spline_kl": over_seeds("spline", "kl_nats", "nats", at_most=0.008),
            "affine_train_seconds": over_seeds("affine", "train_cpu_s", "CPU-s", expected_s=20.0),
            "spline_train_seconds": over_seeds("spline", "train_cpu_s", "CPU-s", expected_s=20.0),
        },
        options=options,
        rows=every,
    )


if __name__ == "__main__":
    main(parse_options(__doc__.splitlines()[0]))
