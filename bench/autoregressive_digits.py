"""Bits per dimension of autoregressive models of the digits in 30 CPU-seconds.

Run: `python bench/autoregressive_digits.py`.
Split: first 1000 / next 350 / last 447 images, 17 grey levels; the likelihood is exact. The figure is the
test bits/dim of the best recipe over three seeds; at most 1.80. It is a mixture: the training images are put
into clusters by k-means, the network is told the cluster, and the cluster is summed out. No label of a digit
is used. The plain network (the one of `dgm.recipes`), PixelCNN, gated PixelCNN and the Transformer are listed
beside it with seed 0; these four keep the weights that were best on the validation split. Every setting was
chosen on it, and the test split is only read off.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from common import CpuClock, Figure, finish, parse_options, table, warm_up
from torch import Tensor

from dgm.autoregressive import (
    Autoregressive,
    CausalNeighbours,
    GatedPixelCNN,
    LabelMixture,
    PixelCNN,
    PixelTransformer,
)
from dgm.data import Batches, augment_digits, load_digits
from dgm.nn import EMA, seeded
from dgm.recipes import RECIPES, AutoregressiveRecipe
from dgm.recipes.autoregressive import COPIES, PixelModel
from dgm.recipes.base import DIMS, LEVELS, SHAPE
from dgm.recipes.gan import pseudo_labels
from dgm.train import fit

STEPS = 2000


@dataclass(frozen=True, kw_only=True)
class Clustered(AutoregressiveRecipe):
    """Causal neighbours that are told a cluster of the image, which is then summed out.

    Labels 0 .. K - 1 are the clusters of real images, K .. 2 K - 1 those of warped ones. The rate falls to 0,
    so the last weights are kept: K passes for each validation would cost as much as the training.

    Args:
        clusters: K.
    """

    clusters: int = 40
    full_steps: int = 0
    quarter_steps: int = 0

    def build(self) -> Autoregressive:
        """A fresh network."""
        return CausalNeighbours(
            LEVELS,
            SHAPE,
            self.radius,
            self.width,
            self.blocks,
            dropout=self.dropout,
            classes=2 * self.clusters,
        )

    def train(
        self,
        seed: int,
        steps: int | None = None,
        *,
        images: Tensor | None = None,
        valid: Tensor | None = None,
        progress: bool = False,
    ) -> PixelModel:
        """See `Recipe.train`; nothing is chosen on `valid`."""
        steps = self.full_steps if steps is None else steps
        generator = torch.Generator().manual_seed(seed)
        x = load_digits("train").x if images is None else images
        cluster = pseudo_labels(x, self.clusters, seed)
        with seeded(seed):  # the initial weights, and dropout
            model = self.build()
            averaged = EMA(model, self.ema)
            assert isinstance(averaged.model, Autoregressive)
            warped = round(self.warped * self.batch)
            copies = augment_digits(x.repeat(COPIES, 1, 1, 1), generator).int()
            told = cluster.repeat(COPIES) + self.clusters
            others = Batches(copies, told, batch_size=warped, generator=generator)
            optimiser = torch.optim.AdamW(
                model.parameters(), lr=self.rate, weight_decay=self.weight_decay, fused=True
            )
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)

            def step(batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
                both = [torch.cat(pair) for pair in zip(batch, next(others), strict=True)]
                loss = -model.log_prob(*both).mean() / DIMS
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                averaged.update()
                return {"loss": loss}

            real = Batches(x.int(), cluster, batch_size=self.batch - warped, generator=generator)
            fit(step, real, steps=steps, progress=progress)
        share = torch.bincount(cluster, minlength=self.clusters) + 0.5  # none may be 0
        return PixelModel(LabelMixture(averaged.model, share), best_step=steps)


@dataclass(frozen=True, kw_only=True)
class Other(AutoregressiveRecipe):
    """Another network, trained as the best one is.

    Args:
        make: a fresh network; what it is made of stands there alone.
        steps: of AdamW.
    """

    make: Callable[[], Autoregressive]
    steps: int
    warped: float = 0.6
    rate: float = 3e-3
    weight_decay: float = 1e-2
    full_steps: int = 0
    quarter_steps: int = 0

    def build(self) -> Autoregressive:
        """A fresh network."""
        return self.make()


OTHERS = {
    "PixelCNN": Other(
        make=lambda: PixelCNN(LEVELS, SHAPE, width=48, layers=4, dropout=0.1, classes=2), steps=1500
    ),
    "gated PixelCNN": Other(
        make=lambda: GatedPixelCNN(LEVELS, SHAPE, width=32, layers=3, dropout=0.1, classes=2), steps=1000
    ),
    "Transformer": Other(
        make=lambda: PixelTransformer(LEVELS, SHAPE, width=64, layers=3, dropout=0.1, classes=2),
        steps=800,
        rate=2e-3,
    ),
}


def measure(label: str, recipe: AutoregressiveRecipe, seed: int, steps: int) -> dict[str, Any]:
    """One row of the table."""
    print(f"{label} (seed {seed})", flush=True)
    with CpuClock() as clock:
        model = recipe.train(seed, steps, progress=True)
    return {
        "row": label,
        "seed": seed,
        "valid_bpd": model.bits_per_dimension(load_digits("valid").x)["exact"],
        "test_bpd": model.bits_per_dimension(load_digits("test").x)["exact"],
        "best_step": model.best_step,
        "parameters": model.parameters,
        "train_cpu_s": clock.seconds,
    }


def show(rows: list[dict[str, Any]]) -> str:
    """The rows as a table."""
    columns = ("", "seed", "valid", "test", "best at", "params", "CPU-s")
    return table(columns, [list(row.values()) for row in rows])


def main(options: argparse.Namespace) -> None:
    """The best recipe with every seed, the others with seed 0."""
    warm_up()
    steps = 20 if options.quick else STEPS
    pseudo_labels(load_digits("valid").x, 2, 0)  # its imports are no training
    best = Clustered()
    label = f"causal neighbours, {best.clusters} clusters summed"
    runs = [measure(label, best, seed, steps) for seed in range(options.seeds)]
    plain = RECIPES["autoregressive"]
    assert isinstance(plain, AutoregressiveRecipe)
    others = [measure("causal neighbours", plain, 0, steps)]
    others += [
        measure(label, other, 0, 20 if options.quick else other.steps) for label, other in OTHERS.items()
    ]
    print("\ndigits, 1000 / 350 / 447, 17 levels; bits per dimension, exact")
    print(show(runs + others))

    def over_seeds(key: str, unit: str, **limits: float) -> Figure:
        return Figure([float(run[key]) for run in runs], unit, **limits)

    finish(
        "autoregressive_digits",
        {
            "test_bpd": over_seeds("test_bpd", "bits/dim", at_most=1.80),
            "valid_bpd": over_seeds("valid_bpd", "bits/dim"),
            "train_seconds": over_seeds("train_cpu_s", "CPU-s", expected_s=30.0),
        },
        options=options,
        rows=runs + others,
    )


if __name__ == "__main__":
    main(parse_options(__doc__.splitlines()[0]))
