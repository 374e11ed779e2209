"""The autoregressive model of 28x28 images: the gated PixelCNN, with a logit for each of 256 levels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dgm.autoregressive import GatedPixelCNN, sample
from dgm.prob import categorical_log_prob
from dgm.recipes.base import Model
from dgm.recipes.full.base import CHUNK, FullRecipe, Learner, Parts, Run
from dgm.tensor import bits_per_dim


class FullPixelCNN(Model):
    """A trained gated PixelCNN."""

    network: GatedPixelCNN

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw pixel after pixel, each by a pass over the whole image."""
        parts = [
            sample(self.network, min(CHUNK, n - at), generator=generator, progress=False)
            for at in range(0, n, CHUNK)
        ]
        return torch.cat(parts).to(torch.uint8).cpu()

    @torch.no_grad()
    def bits_per_dimension(self, images: Tensor) -> dict[str, float]:
        """The exact value."""
        device = next(self.network.parameters()).device
        parts = images.to(device).int().split(CHUNK // 5)
        log_p = torch.cat([self.network.log_prob(part) for part in parts])
        return {"exact": bits_per_dim(-log_p.mean().item(), images[0].numel())}


@dataclass(frozen=True, kw_only=True)
class FullPixelCNNRecipe(FullRecipe):
    """The gated PixelCNN of two stacks; the averaged weights that were best on held-out images are kept.

    The first layer of 7x7 and ten of 3x3 see thirteen pixels to the left and above, most of a digit. The
    paper's networks, for colour, are wider and deeper; rate and batch are usual for this size, not tuned.

    Args:
        width: channels of each stack.
        layers: after the first.
        first: size of the first kernels.
        dropout: on the input of every layer.

    Source: van den Oord et al. 2016, "Conditional image generation with PixelCNN decoders".
    """

    steps: int = 15_000
    batch: int = 128
    rate: float = 1e-3
    ema: float = 0.999
    bf16: bool = True
    width: int = 64
    layers: int = 10
    first: int = 7
    dropout: float = 0.1

    def build(self, x: Tensor, run: Run) -> Parts:
        """See `FullRecipe.build`."""
        network = GatedPixelCNN(
            self.levels, self.shape, self.width, self.layers, first=self.first, dropout=self.dropout
        ).to(run.device)
        learner = Learner(network, run, self)
        averaged = learner.averaged.model
        assert isinstance(averaged, GatedPixelCNN)

        def loss_of(model: GatedPixelCNN, batch: Tensor) -> Tensor:
            levels = batch.long()
            with run.mixed():
                logits = model(levels)
            return -categorical_log_prob(logits.float(), levels).mean() / self.dims

        def step(batch: Tensor) -> dict[str, Tensor]:
            return {"loss": learner.descend(loss_of(network, batch))}

        @torch.no_grad()
        def held_loss(held: Tensor) -> Tensor:
            return loss_of(averaged, held)

        return Parts(FullPixelCNN(averaged), step, learner.state(), ["averaged"], held_loss)
