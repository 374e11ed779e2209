"""The flow of 28x28 images: Glow on dequantised levels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dgm.flows import Compose, FlowModel, Logit, dequantised_log_prob, glow_images, quantise, tightened
from dgm.recipes.base import Model
from dgm.recipes.full.base import CHUNK, FullRecipe, Learner, Parts, Run
from dgm.tensor import bits_per_dim

DRAWS = 4  # of the noise for each image that is rated


class FullFlow(Model):
    """A trained flow of dequantised levels.

    Args:
        network: the averaged flow.
        levels: grey levels of the images.
    """

    network: FlowModel

    def __init__(self, network: FlowModel, levels: int) -> None:
        super().__init__(network)
        self.levels = levels

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """The base through the inverse flow, cut to grey levels."""
        parts = [self.network.sample(min(CHUNK, n - at), generator) for at in range(0, n, CHUNK)]
        return quantise(torch.cat(parts), self.levels).cpu()

    @torch.no_grad()
    def bits_per_dimension(self, images: Tensor) -> dict[str, float]:
        """The bound of uniform dequantisation, and the importance-weighted one of 4 draws."""
        generator = torch.Generator().manual_seed(1)
        device = next(self.network.parameters()).device
        terms = torch.cat(
            [
                dequantised_log_prob(
                    self.network.log_prob, part, self.levels, draws=DRAWS, generator=generator
                )
                for part in images.to(device).split(CHUNK)
            ],
            1,
        )
        dims = images[0].numel()
        return {
            "bound": bits_per_dim(-terms.mean().item(), dims),
            "importance-weighted bound": bits_per_dim(-tightened(terms).mean().item(), dims),
        }


@dataclass(frozen=True, kw_only=True)
class FullFlowRecipe(FullRecipe):
    """Glow of two scales behind a logit; the averaged weights that were best on held-out images are kept.

    28 halves twice, so there are two scales. The logit and its alpha are those of Papamakarios et al. 2017
    for MNIST; Adam at 1e-3 is Glow's. float32: the inverse must find the conditioners' outputs again, and two
    roundings of nearly equal inputs to eight bits need not agree.

    Args:
        scales: levels of Glow.
        steps_per_scale: of Glow.
        width: hidden channels of the conditioners.
        alpha: of the logit.

    Source: Kingma & Dhariwal 2018, section 5; Papamakarios, Pavlakou & Murray 2017.
    """

    steps: int = 12_000
    batch: int = 128
    rate: float = 1e-3
    ema: float = 0.999
    bf16: bool = False
    scales: int = 2
    steps_per_scale: int = 16
    width: int = 256
    alpha: float = 1e-6

    def build(self, x: Tensor, run: Run) -> Parts:
        """See `FullRecipe.build`."""
        glow = glow_images(self.shape, self.scales, self.steps_per_scale, self.width)
        network = FlowModel(glow.base, Compose(Logit(self.alpha), glow.flow)).to(run.device)
        start = torch.randint(len(x), (self.batch,), generator=run.rng).to(run.device)
        with torch.no_grad():  # ActNorm starts from a whole batch, the same one in every process
            dequantised_log_prob(network.log_prob, x[start], self.levels, generator=run.rng)
        learner = Learner(network, run, self)
        averaged = learner.averaged.model
        assert isinstance(averaged, FlowModel)

        def step(batch: Tensor) -> dict[str, Tensor]:
            u = run.uniform(batch, *self.shape)

            def noise(x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
                return u, u.new_zeros(len(x))  # `uniform_noise`, of the whole batch

            terms = dequantised_log_prob(network.log_prob, batch, self.levels, noise=noise)
            return {"loss": learner.descend(-terms.mean() / self.dims)}

        @torch.no_grad()
        def held_loss(held: Tensor) -> Tensor:
            draws = torch.Generator().manual_seed(0)  # the same ones each time
            terms = dequantised_log_prob(averaged.log_prob, held, self.levels, generator=draws)
            return -terms.mean() / self.dims

        return Parts(FullFlow(averaged, self.levels), step, learner.state(), ["averaged"], held_loss)
