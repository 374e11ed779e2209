"""The GAN of 28x28 images: DCGAN's networks, the non-saturating game with R1."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from dgm.data import from_pm1, to_pm1
from dgm.gan import DCGANDiscriminator, DCGANGenerator, Players, gan_step, sample, standing_statistics
from dgm.nn import EMA
from dgm.parallel import average_gradients, check_equal, mean_over
from dgm.recipes.base import Model
from dgm.recipes.full.base import CHUNK, FullRecipe, Parts, Run, on_device


class FullGAN(Model):
    """A trained generator.

    Args:
        network: the averaged generator.
        levels: grey levels of the images.
    """

    def __init__(self, network: torch.nn.Module, levels: int) -> None:
        super().__init__(network)
        self.levels = levels

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Noise through the averaged generator, rounded to grey levels; the noise is drawn on its device."""
        rng = on_device(generator, next(self.network.parameters()).device)
        parts = [sample(self.network, min(CHUNK, n - at), rng=rng) for at in range(0, n, CHUNK)]
        return from_pm1(torch.cat(parts), self.levels).cpu()


@dataclass(frozen=True, kw_only=True)
class FullGANRecipe(FullRecipe):
    """DCGAN with R1 in place of batch norm in the discriminator; the last averaged generator is kept.

    Adam at 2e-4 with a first moment of .5, and batches of 128, are DCGAN's; R1 keeps the game from circling.
    The generator's batch norm sees a process's part of a batch alone, so a game of several processes differs
    from that of one; the other families' training does not. float32: R1 takes gradients of gradients.

    Args:
        latents: width of the noise.
        width: of both networks.
        beta_1: of Adam.
        r1: weight of R1.

    Source: Radford, Metz & Chintala 2016; Mescheder, Geiger & Nowozin 2018.
    """

    steps: int = 20_000
    batch: int = 128
    rate: float = 2e-4
    ema: float = 0.999
    bf16: bool = False
    latents: int = 64
    width: int = 128
    beta_1: float = 0.5
    r1: float = 1.0

    def build(self, x: Tensor, run: Run) -> Parts:
        """See `FullRecipe.build`."""
        channels, height, side = self.shape
        if height != side:
            raise ValueError(f"DCGAN makes square images, got shape {self.shape}")
        g = DCGANGenerator(side, latents=self.latents, channels=channels, width=self.width).to(run.device)
        d = DCGANDiscriminator(side, channels=channels, width=self.width, batch_norm=False).to(run.device)
        adam = partial(torch.optim.Adam, lr=self.rate, betas=(self.beta_1, 0.99), fused=True)
        players = Players(g, d, adam(g.parameters()), adam(d.parameters()), EMA(g, self.ema))
        for network, optimiser in ((g, players.optimiser_g), (d, players.optimiser_d)):

            def average(*_: Any, of: torch.nn.Module = network) -> None:
                average_gradients(of.parameters(), run.shard)

            optimiser.register_step_pre_hook(average)
        checked = False

        def step(batch: Tensor) -> dict[str, Tensor]:
            nonlocal checked
            if not checked:
                check_equal([*g.parameters(), *d.parameters()], run.shard)
                checked = True
            rng = torch.Generator(run.device).manual_seed(run.own_seed())
            scalars = gan_step(players, to_pm1(batch, self.levels), r1=self.r1, rng=rng)
            return {name: mean_over(value, run.shard) for name, value in scalars.items()}

        def finish() -> None:
            rng = torch.Generator(run.device).manual_seed(run.seed)
            standing_statistics(players.best_generator, self.batch, rng=rng)

        model = FullGAN(players.best_generator, self.levels)
        return Parts(model, step, players.state(), finish=finish)
