"""Bits per dimension of autoregressive models of the digits in 30 CPU-seconds.

Run: `python bench/autoregressive_digits.py`.
Split: first 1000 / next 350 / last 447 images, 17 grey levels; the likelihood is exact. The figure is the
test bits/dim of the best recipe over three seeds; at most 1.80. PixelCNN, gated PixelCNN and the Transformer
are listed beside it with seed 0. Every row keeps the weights that were best on the validation split, every
setting was chosen on it, and the test split is only read off.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from common import CpuClock, Figure, finish, parse_options, table, warm_up

from dgm.autoregressive import Autoregressive, GatedPixelCNN, PixelCNN, PixelTransformer
from dgm.data import load_digits
from dgm.recipes import RECIPES, AutoregressiveRecipe

LEVELS, SHAPE = 17, (1, 8, 8)


STEPS = 2000


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
    best = RECIPES["autoregressive"]
    runs = [measure("causal neighbours", best, seed, steps) for seed in range(options.seeds)]
    others = [
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
