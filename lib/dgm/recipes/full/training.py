"""`train_full`: one run of one recipe of the full budget, by the course's one loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dgm.data import Batches
from dgm.nn import seeded
from dgm.parallel import Shard, mean_over
from dgm.recipes.base import Model
from dgm.recipes.full.autoregressive import FullPixelCNNRecipe
from dgm.recipes.full.base import CHUNK, Clock, FullRecipe, Run
from dgm.recipes.full.diffusion import FullDiffusionRecipe
from dgm.recipes.full.flow import FullFlowRecipe
from dgm.recipes.full.gan import FullGANRecipe
from dgm.recipes.full.vae import FullVAERecipe
from dgm.tensor import check_shape
from dgm.train import History, fit

PRECISIONS = ("auto", "float32", "bf16")
FULL: dict[str, FullRecipe] = {
    "vae": FullVAERecipe(),
    "gan": FullGANRecipe(),
    "flow": FullFlowRecipe(),
    "diffusion": FullDiffusionRecipe(),
    "autoregressive": FullPixelCNNRecipe(),
}


def find_recipe(family: str) -> FullRecipe:
    """The recipe of a family, or a ValueError that says which there are."""
    if family not in FULL:
        raise ValueError(f"a family is one of {', '.join(FULL)}, got {family!r}")
    return FULL[family]


@dataclass
class Trained:
    """What `train_full` returns.

    Args:
        model: with `sample`, `bits_per_dimension` and `parameters`.
        history: of the training.
        seconds: of the training, over all of its parts, on the clock.
        device: on which it ran.
        bf16: whether the networks ran in bfloat16.
        steps: that it had.
    """

    model: Model
    history: History
    seconds: float
    device: torch.device
    bf16: bool
    steps: int


def train_full(
    family: str | FullRecipe,
    images: Tensor,
    *,
    steps: int | None = None,
    device: str | torch.device | None = None,
    valid: Tensor | None = None,
    seed: int = 0,
    precision: str = "auto",
    shard: Shard | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> Trained:
    """Train the model of a family on 28x28 images, on a GPU where there is one.

    With several processes (`dgm.parallel`) every one calls this with the same arguments but for its shard and
    its device. Batches and noise are those of one process; so is the result, rounding and dropout apart, but
    for the GAN, whose batch norm sees a part of the batch.

    Args:
        family: one of `FULL`, or a recipe, such as one of these with a field changed.
        images: (N, 1, 28, 28) uint8, levels 0 .. 255, to train on.
        steps: how many; those of the recipe where None.
        device: of the networks; "cuda" where there is one, else "cpu", when None.
        valid: (M, 1, 28, 28) uint8, by which the best weights are chosen; needed by those that choose.
        seed: of the first weights, the batches and all noise.
        precision: "bf16", "float32", or "auto": bfloat16 on a GPU for the families that have it. Weights,
            losses, log-determinants and likelihoods are float32 in any case.
        shard: which of how many processes this is; None for the only one.
        checkpoint: the file from which the run goes on, if it is there, and into which the first process
            writes; None for none.
        progress: show a bar, in the first process.

    Returns:
        The model, in every process, and how it was trained.

    Raises:
        ValueError: another family, images that do not fit, a batch that does not divide among the processes,
            a missing `valid`, bfloat16 for a family without, or the checkpoint of another run.
    """
    recipe = find_recipe(family) if isinstance(family, str) else family
    steps = recipe.steps if steps is None else steps
    if precision not in PRECISIONS:
        raise ValueError(f"precision is one of {', '.join(PRECISIONS)}, got {precision!r}")
    shard = shard or Shard()
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    for name, x in (("images", images), ("valid", valid)):
        if x is not None:
            check_shape(name, x, ("N", *recipe.shape), "recipes of this budget are for such images")
            if x.dtype != torch.uint8:
                raise ValueError(f"{name} must be uint8 levels 0 .. {recipe.levels - 1}, got {x.dtype}")
    shard.part(recipe.batch)  # an error now, not in the first step
    if precision == "bf16" and not recipe.bf16:
        raise ValueError(
            f"{type(recipe).__name__} trains in float32 alone, see there why; use precision='float32'"
        )
    bf16 = recipe.bf16 and where.type == "cuda" if precision == "auto" else precision == "bf16"
    run = Run(seed, steps, where, shard, bf16)
    x = images.to(where)
    clock = Clock()
    with seeded(seed):  # the initial weights, and dropout
        parts = recipe.build(x, run)
        validate = None
        if parts.keep_best:
            if valid is None:
                raise ValueError(
                    "this recipe keeps the weights that were best on held-out images; give valid="
                )
            held = valid.to(where)
            held = shard.take(held[: len(held) // shard.world * shard.world])

            def validate() -> dict[str, Tensor]:
                assert parts.held_loss is not None
                parts_of = [parts.held_loss(part) * len(part) for part in held.split(CHUNK)]
                return {"loss": mean_over(torch.stack(parts_of).sum() / len(held), shard)}

        def step(batch: Tensor) -> dict[str, Tensor]:
            torch.manual_seed(run.own_seed())  # of dropout: another one in every process, also after a resume
            return parts.step(shard.take(batch))

        history = fit(
            step,
            Batches(x, batch_size=recipe.batch, generator=run.rng),
            steps=steps,
            state={**parts.state, "clock": clock} if checkpoint is not None else parts.state,
            validate=validate,
            keep_best=list(parts.keep_best),
            checkpoint=checkpoint,
            write=shard.leads,
            progress=progress and shard.leads,
        )
        seconds = clock.seconds
        parts.finish()
    parts.model.best_step = history.best_step
    return Trained(parts.model, history, seconds, where, bf16, steps)
