"""Bits per dimension of autoregressive models of the digits in 30 CPU-seconds.

Run: `python bench/autoregressive_digits.py`.
Split: first 1000 / next 350 / last 447 images, 17 grey levels; the likelihood is exact. The figure is the
test bits/dim of the best recipe over three seeds; at most 1.80. PixelCNN, gated PixelCNN and the Transformer
are listed beside it with seed 0. Every row keeps the weights that were best on the validation split, every
setting was chosen on it, and the test split is only read off.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from common import CpuClock, Figure, finish, parse_options, table, warm_up
from torch import Tensor

from dgm.autoregressive import Autoregressive, CausalNeighbours, GatedPixelCNN, PixelCNN, PixelTransformer
from dgm.data import Batches, augment_digits, load_digits
from dgm.nn import EMA, seeded
from dgm.tensor import bits_per_dim
from dgm.train import fit

LEVELS, SHAPE, DIMS = 17, (1, 8, 8), 64
COPIES = 12  # warped copies of the training images, made once; their seconds count
REAL, WARPED = 0, 1  # the label that tells the model which of the two it sees


@dataclass(frozen=True)
class Recipe:
    """All that a run depends on, beside the seed.

    Args:
        build: a fresh model.
        warped: the share of a batch that is warped; the model is told which is which. 0 for no labels.
        steps: of AdamW, with a cosine from `rate` to 0.
    """

    build: Callable[[], Autoregressive]
    warped: float = 0.6
    steps: int = 2000
    batch: int = 32
    rate: float = 3e-3
    weight_decay: float = 1e-2
    ema: float = 0.995


RECIPES = {
    "causal neighbours": Recipe(
        lambda: CausalNeighbours(LEVELS, SHAPE, radius=2, width=96, blocks=2, dropout=0.3, classes=2),
        warped=0.75,
        rate=1e-2,
        weight_decay=0.1,
    ),
    "PixelCNN": Recipe(
        lambda: PixelCNN(LEVELS, SHAPE, width=48, layers=4, dropout=0.1, classes=2), steps=1500
    ),
    "gated PixelCNN": Recipe(
        lambda: GatedPixelCNN(LEVELS, SHAPE, width=32, layers=3, dropout=0.1, classes=2), steps=1000
    ),
    "Transformer": Recipe(
        lambda: PixelTransformer(LEVELS, SHAPE, width=64, layers=3, dropout=0.1, classes=2),
        steps=800,
        rate=2e-3,
    ),
}
BEST = "causal neighbours"


def labels(model: Autoregressive, n: int, kind: int) -> Tensor | None:
    """(n,) labels that say real or warped; None for a model without labels."""
    return torch.full((n,), kind) if model.classes else None


@torch.no_grad()
def nll_bpd(model: Autoregressive, x: Tensor) -> float:
    """Mean bits per dimension of whole images."""
    log_prob = torch.cat([model.log_prob(part, labels(model, len(part), REAL)) for part in x.split(256)])
    return -bits_per_dim(log_prob.mean().item(), DIMS)


def train(recipe: Recipe, seed: int, trace: list[float] | None = None) -> tuple[Autoregressive, int]:
    """Train on the training split; the weights and the step that were best on the validation split."""
    generator = torch.Generator().manual_seed(seed)
    x = load_digits("train").x.int()
    valid = load_digits("valid").x.int()
    with seeded(seed):  # the initial weights, and dropout
        model = recipe.build()
        averaged = EMA(model, recipe.ema)
        kept = averaged.model
        assert isinstance(kept, Autoregressive)
        warped = round(recipe.warped * recipe.batch) if model.classes else 0
        copies = augment_digits(x.byte().repeat(COPIES, 1, 1, 1), generator).int() if warped else x
        optimiser = torch.optim.AdamW(
            model.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.steps)
        others = Batches(copies, batch_size=max(warped, 1), generator=generator)

        def step(batch: Tensor) -> dict[str, Tensor]:
            y = None
            if warped:
                y = torch.cat([torch.full((len(batch),), REAL), torch.full((warped,), WARPED)])
                batch = torch.cat([batch, next(others)])
            loss = -model.log_prob(batch, y).mean() / DIMS
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            averaged.update()
            return {"loss": loss}

        def validate() -> dict[str, float]:
            loss = nll_bpd(kept, valid)
            if trace is not None:
                trace.append(loss)
            return {"loss": loss}

        history = fit(
            step,
            Batches(x, batch_size=recipe.batch - warped, generator=generator),
            steps=recipe.steps,
            state={"kept": kept},
            validate=validate,
            keep_best=["kept"],
        )
    assert history.best_step is not None
    return kept.eval(), history.best_step


def measure(label: str, recipe: Recipe, seed: int) -> dict[str, Any]:
    """One row of the table."""
    print(f"{label} (seed {seed})", flush=True)
    with CpuClock() as clock:
        model, best_step = train(recipe, seed)
    return {
        "row": label,
        "seed": seed,
        "valid_bpd": nll_bpd(model, load_digits("valid").x.int()),
        "test_bpd": nll_bpd(model, load_digits("test").x.int()),
        "best_step": best_step,
        "parameters": sum(p.numel() for p in model.parameters()),
        "train_cpu_s": clock.seconds,
    }


def show(rows: list[dict[str, Any]]) -> str:
    """The rows as a table."""
    columns = ("", "seed", "valid", "test", "best at", "params", "CPU-s")
    return table(columns, [list(row.values()) for row in rows])


def main(options: argparse.Namespace) -> None:
    """The best recipe with every seed, the others with seed 0."""
    warm_up()
    recipes = {k: replace(r, steps=20) for k, r in RECIPES.items()} if options.quick else RECIPES
    runs = [measure(BEST, recipes[BEST], seed) for seed in range(options.seeds)]
    others = [measure(label, recipe, 0) for label, recipe in recipes.items() if label != BEST]
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
