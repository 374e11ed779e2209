"""The autoregressive model of the digits: one network for every pixel (`bench/autoregressive_digits.py`)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dgm.autoregressive import Autoregressive, CausalNeighbours, sample
from dgm.data import Batches, augment_digits, load_digits
from dgm.nn import EMA, seeded
from dgm.recipes.base import DIMS, LEVELS, SHAPE, Model, Recipe
from dgm.tensor import bits_per_dim
from dgm.train import fit

COPIES = 12  # warped copies of the training images, made once; their seconds count
REAL, WARPED = 0, 1  # the label that tells the model which of the two it sees


class PixelModel(Model):
    """A trained autoregressive model, which knows real images from warped ones."""

    network: Autoregressive

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw pixel after pixel, each by a pass over the whole image."""
        x = sample(self.network, n, self.labels(n), generator=generator, progress=False)
        return x.to(torch.uint8)

    def bits_per_dimension(self, images: Tensor) -> dict[str, float]:
        """The exact value."""
        return {"exact": -bits_per_dim(self.log_prob(images).mean().item(), DIMS)}

    @torch.no_grad()
    def log_prob(self, images: Tensor) -> Tensor:
        """Exact log-probability of each image as a real one: (N,) nats."""
        parts = images.int().split(256)
        return torch.cat([self.network.log_prob(part, self.labels(len(part))) for part in parts])

    def labels(self, n: int) -> Tensor | None:
        """(n,) labels that say real; None for a network without labels."""
        return torch.full((n,), REAL) if self.network.classes else None


@dataclass(frozen=True, kw_only=True)
class AutoregressiveRecipe(Recipe):
    """Causal neighbours, with the weights that were best on the validation split.

    Args:
        radius: of the causal window.
        width: of the network.
        blocks: residual blocks.
        dropout: of channels.
        warped: share of a batch that is warped; the model is told which is which. 0 for no labels.
        batch: images in a batch.
        rate: of AdamW at the start; it falls to 0 by a cosine.
        weight_decay: of AdamW.
        ema: decay of the averaged weights.
    """

    radius: int = 2
    width: int = 96
    blocks: int = 2
    dropout: float = 0.3
    warped: float = 0.75
    batch: int = 32
    rate: float = 1e-2
    weight_decay: float = 0.1
    ema: float = 0.995

    def build(self) -> Autoregressive:
        """A fresh network, of torch's global generator."""
        return CausalNeighbours(
            LEVELS,
            SHAPE,
            self.radius,
            self.width,
            self.blocks,
            dropout=self.dropout,
            classes=2 if self.warped else 0,
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
        """See `Recipe.train`."""
        steps = self.full_steps if steps is None else steps
        generator = torch.Generator().manual_seed(seed)
        x = (load_digits("train").x if images is None else images).int()
        held = load_digits("valid").x if valid is None else valid
        with seeded(seed):  # the initial weights, and dropout
            model = self.build()
            averaged = EMA(model, self.ema)
            assert isinstance(averaged.model, Autoregressive)
            kept = PixelModel(averaged.model)
            warped = round(self.warped * self.batch) if model.classes else 0
            copies = augment_digits(x.byte().repeat(COPIES, 1, 1, 1), generator).int() if warped else x
            optimiser = torch.optim.AdamW(
                model.parameters(), lr=self.rate, weight_decay=self.weight_decay, fused=True
            )
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
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

            history = fit(
                step,
                Batches(x, batch_size=self.batch - warped, generator=generator),
                steps=steps,
                state={"kept": kept.network},
                validate=lambda: {"loss": -kept.log_prob(held).mean()},
                keep_best=["kept"],
                progress=progress,
            )
        kept.best_step = history.best_step
        return kept
