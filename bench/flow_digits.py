"""How likely flows find unseen 8x8 digits after 40 CPU-seconds: `python bench/flow_digits.py`.

Split: first 1000 / next 350 / last 447 images, 17 grey levels. The figure is the bound of uniform
dequantisation on the test split, in bits per dimension (a mean over 16 draws of the noise), of couplings
with one bin per grey level, each of which changes every eighth pixel; at most 1.93 over the seeds. The plain
affine RealNVP stands beside it with the same regularisation (warped copies, dropout, weight decay), and so
does the histogram of each pixel. Both keep the weights that were best on the validation split, on which their
settings were chosen too; the test split is only read off. Two minutes on an idle core.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from common import CpuClock, Figure, finish, parse_options, table, warm_up
from torch import Tensor

from dgm.data import Batches, augment_digits, load_digits
from dgm.flows import (
    Affine,
    Compose,
    Flatten,
    FlowModel,
    Logit,
    StandardNormal,
    Subset,
    bin_flow,
    dequantised_log_prob,
    halving_masks,
    mlp_coupling,
    scattered_masks,
    tightened,
)
from dgm.nn import EMA, seeded
from dgm.tensor import bits_per_dim
from dgm.train import fit

LEVELS, DIMS = 17, 64
DRAWS = 16  # of the noise for each image that is rated


@dataclass(frozen=True)
class Recipe:
    """All that a run depends on, beside the seed.

    Args:
        model: makes a fresh one, of images in [0, 1].
        warped: copies of the training images that are distorted, made once; their seconds count.
        plain: copies that are not.
        steps: of AdamW, with a cosine from `rate` to 0.
    """

    model: Callable[[], FlowModel]
    steps: int
    rate: float
    weight_decay: float
    warped: int = 12
    plain: int = 5
    ema: float = 0.99
    batch: int = 128


def plain_realnvp() -> FlowModel:
    """Twelve affine couplings of the flattened image behind a logit, twice through the six halvings."""
    couplings = [
        mlp_coupling(Subset(mask.expand(1, 8, 8)), Affine(), (192,), dropout=0.1)
        for mask in halving_masks(8, 8) * 2
    ]
    return FlowModel(StandardNormal(DIMS), Compose(Flatten((1, 8, 8)), Logit(0.005), *couplings))


def bins() -> FlowModel:
    """Eight couplings, 17 bins; each changes eight scattered pixels and keeps the others."""
    return bin_flow((1, 8, 8), LEVELS, (192, 192), dropout=0.1, masks=scattered_masks(8, 8, 8))


RECIPES = {
    "plain affine RealNVP": Recipe(plain_realnvp, steps=1500, rate=5e-3, weight_decay=0.3, ema=0.98),
    "17 bins": Recipe(bins, steps=1500, rate=5e-3, weight_decay=0.3),
}


def train(recipe: Recipe, seed: int) -> tuple[FlowModel, int]:
    """Train on the training split; the weights and the step that were best on the validation split."""
    generator = torch.Generator().manual_seed(seed)
    x = load_digits("train").x
    pool = [x.repeat(recipe.plain, 1, 1, 1)]
    if recipe.warped:
        pool.append(augment_digits(x.repeat(recipe.warped, 1, 1, 1), generator))
    valid = load_digits("valid").x
    with seeded(seed):  # the initial weights, and dropout
        model = recipe.model()
        averaged = EMA(model, recipe.ema)
        optimiser = torch.optim.AdamW(
            model.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.steps)

        def step(batch: Tensor) -> dict[str, Tensor]:
            loss = -dequantised_log_prob(model.log_prob, batch, LEVELS, generator=generator).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 50.0)
            optimiser.step()
            schedule.step()
            averaged.update()
            return {"loss": loss}

        def validate() -> dict[str, float]:
            assert isinstance(averaged.model, FlowModel)
            return {"loss": rate(averaged.model, valid, draws=2)[0]}

        history = fit(
            step,
            Batches(torch.cat(pool), batch_size=recipe.batch, generator=generator),
            steps=recipe.steps,
            state={"averaged": averaged},
            validate=validate,
            keep_best=["averaged"],
        )
    assert history.best_step is not None
    assert isinstance(averaged.model, FlowModel)
    return averaged.model, history.best_step


@torch.no_grad()
def rate(model: FlowModel, x: Tensor, draws: int) -> tuple[float, float]:
    """The uniform bound and the one tightened by averaging the draws in log space, bits per dimension."""
    terms = dequantised_log_prob(
        model.log_prob, x, LEVELS, draws=draws, generator=torch.Generator().manual_seed(1)
    )  # (K, N)
    return (
        bits_per_dim(-terms.mean().item(), DIMS),
        bits_per_dim(-tightened(terms).mean().item(), DIMS),
    )


def histogram_bits() -> float:
    """Bits per dimension of independent pixels, each with its own smoothed histogram, on the test split."""
    train_x, test_x = (load_digits(part).x.flatten(1).long() for part in ("train", "test"))
    counts = torch.nn.functional.one_hot(train_x, LEVELS).sum(0) + 0.1  # (64, 17)
    log_p = (counts / counts.sum(1, keepdim=True)).log()
    nll = -log_p.expand(len(test_x), -1, -1).gather(2, test_x[..., None]).sum((1, 2))
    return bits_per_dim(nll.mean().item(), DIMS)


def measure(label: str, recipe: Recipe, seed: int) -> dict[str, Any]:
    """One row of the table."""
    print(f"{label} (seed {seed})", flush=True)
    with CpuClock() as clock:
        model, best_step = train(recipe, seed)
    test, tight = rate(model, load_digits("test").x, DRAWS)
    return {
        "row": label,
        "seed": seed,
        "valid_bits_per_dim": rate(model, load_digits("valid").x, DRAWS)[0],
        "test_bits_per_dim": test,
        f"test_iw{DRAWS}_bits_per_dim": tight,
        "best_step": best_step,
        "parameters": sum(p.numel() for p in model.parameters()),
        "train_cpu_s": clock.seconds,
    }


def main(options: argparse.Namespace) -> None:
    """The plain model with seed 0, the best form with every seed."""
    warm_up()
    recipes = {k: replace(r, steps=40) for k, r in RECIPES.items()} if options.quick else RECIPES
    (plain, plain_recipe), (best, best_recipe) = recipes.items()
    baseline = measure(plain, plain_recipe, 0)
    runs = [measure(best, best_recipe, seed) for seed in range(options.seeds)]
    rows = [baseline, *runs]
    print(f"\ndigits, 1000 / 350 / 447, {LEVELS} levels; bits per dimension")
    columns = ("", "seed", "valid", "test", f"IW-{DRAWS}", "best at", "params", "CPU-s")
    print(table(columns, [list(row.values()) for row in rows]))

    def over_seeds(key: str, unit: str, **limits: float) -> Figure:
        return Figure([float(run[key]) for run in runs], unit, **limits)

    finish(
        "flow_digits",
        {
            "test_bits_per_dim": over_seeds("test_bits_per_dim", "bits/dim", at_most=1.93),
            "valid_bits_per_dim": over_seeds("valid_bits_per_dim", "bits/dim"),
            "plain_test_bits_per_dim": Figure([baseline["test_bits_per_dim"]], "bits/dim"),
            "independent_pixels_bits_per_dim": Figure([histogram_bits()], "bits/dim"),
            "train_seconds": over_seeds("train_cpu_s", "CPU-s", expected_s=40.0),
        },
        options=options,
        rows=rows,
    )


if __name__ == "__main__":
    main(parse_options(__doc__.splitlines()[0]))
