"""The flow of the digits: couplings with one bin per grey level (`bench/flow_digits.py`)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dgm.data import Batches, augment_digits, load_digits
from dgm.flows import FlowModel, bin_flow, dequantised_log_prob, quantise, scattered_masks, tightened
from dgm.nn import EMA, seeded
from dgm.recipes.base import DIMS, LEVELS, SHAPE, Model, Recipe
from dgm.tensor import bits_per_dim
from dgm.train import fit

DRAWS = 16  # of the noise for each image that is rated


class DigitsFlow(Model):
    """A trained flow of dequantised levels."""

    network: FlowModel

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """The base through the inverse flow, cut to grey levels."""
        return quantise(self.network.sample(n, generator), LEVELS)

    def bits_per_dimension(self, images: Tensor) -> dict[str, float]:
        """The bound of uniform dequantisation, and the importance-weighted one of 16 draws."""
        terms = self.terms(images, DRAWS)
        return {
            "bound": bits_per_dim(-terms.mean().item(), DIMS),
            "importance-weighted bound": bits_per_dim(-tightened(terms).mean().item(), DIMS),
        }

    @torch.no_grad()
    def terms(self, images: Tensor, draws: int) -> Tensor:
        """The bound's terms at so many draws of the noise: (draws, N) nats."""
        generator = torch.Generator().manual_seed(1)
        return dequantised_log_prob(self.network.log_prob, images, LEVELS, draws=draws, generator=generator)


@dataclass(frozen=True, kw_only=True)
class FlowRecipe(Recipe):
    """Couplings of scattered pixels, with the weights that were best on the validation split.

    Args:
        groups: of pixels; each coupling changes one and keeps the others.
        hidden: widths of the conditioners.
        dropout: in the conditioners.
        warped: copies of the training images that are distorted, made once; their seconds count.
        plain: copies that are not.
        ema: decay of the averaged weights.
        batch: images in a batch.
        rate: of AdamW at the start; it falls to 0 by a cosine.
        weight_decay: of AdamW.
    """

    groups: int = 8
    hidden: tuple[int, ...] = (192, 192)
    dropout: float = 0.2
    warped: int = 12
    plain: int = 5
    ema: float = 0.99
    batch: int = 128
    rate: float = 5e-3
    weight_decay: float = 0.3

    def train(
        self,
        seed: int,
        steps: int | None = None,
        *,
        images: Tensor | None = None,
        valid: Tensor | None = None,
        progress: bool = False,
    ) -> DigitsFlow:
        """See `Recipe.train`."""
        steps = self.full_steps if steps is None else steps
        generator = torch.Generator().manual_seed(seed)
        x = load_digits("train").x if images is None else images
        held = load_digits("valid").x if valid is None else valid
        pool = [x.repeat(self.plain, 1, 1, 1)]
        if self.warped:
            pool.append(augment_digits(x.repeat(self.warped, 1, 1, 1), generator))
        with seeded(seed):  # the initial weights, and dropout
            masks = scattered_masks(*SHAPE[1:], self.groups)
            model = bin_flow(SHAPE, LEVELS, self.hidden, dropout=self.dropout, masks=masks)
            averaged = EMA(model, self.ema)
            assert isinstance(averaged.model, FlowModel)
            kept = DigitsFlow(averaged.model)
            optimiser = torch.optim.AdamW(
                model.parameters(), lr=self.rate, weight_decay=self.weight_decay, fused=True
            )
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)

            def step(batch: Tensor) -> dict[str, Tensor]:
                loss = -dequantised_log_prob(model.log_prob, batch, LEVELS, generator=generator).mean()
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 50.0)
                optimiser.step()
                schedule.step()
                averaged.update()
                return {"loss": loss}

            history = fit(
                step,
                Batches(torch.cat(pool), batch_size=self.batch, generator=generator),
                steps=steps,
                state={"averaged": averaged},
                validate=lambda: {"loss": -kept.terms(held, 2).mean()},
                keep_best=["averaged"],
                progress=progress,
            )
        kept.best_step = history.best_step
        return kept
