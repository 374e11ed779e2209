"""The diffusion model of 28x28 images: EDM on a U-Net, as for the digits, wider and deeper."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dgm.data import from_pm1, to_pm1
from dgm.diffusion import (
    EDMSchedule,
    edm_denoiser,
    edm_loss,
    heun,
    initial_noise,
    sample,
    variational_bound,
)
from dgm.nn import UNet
from dgm.recipes.base import Model
from dgm.recipes.diffusion import log_schedule
from dgm.recipes.full.base import CHUNK, FullRecipe, Learner, Parts, Run
from dgm.tensor import bits_per_dim, expand_to


class FullDiffusion(Model):
    """A trained denoiser, with what was subtracted from the images.

    Args:
        network: the averaged U-Net.
        recipe: that it was trained by.
        mean: (C, H, W), of the training images in [-1, 1].
        sigma_data: standard deviation of images less their mean.
    """

    network: UNet

    def __init__(self, network: UNet, recipe: FullDiffusionRecipe, mean: Tensor, sigma_data: float) -> None:
        super().__init__(network)
        self.recipe, self.mean, self.sigma_data = recipe, mean, sigma_data

    @torch.no_grad()
    def denoise(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        """Estimate of the image in [-1, 1], less its mean, from the noisy one: (B, C, H, W)."""
        return edm_denoiser(self.network, self.sigma_data)(x_t, sigma)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Heun's sampler, rounded to grey levels."""
        schedule = EDMSchedule(self.recipe.sigma_min, self.recipe.sigma_max)
        parts = []
        for at in range(0, n, CHUNK):
            shape = (min(CHUNK, n - at), *self.recipe.shape)
            noise = initial_noise(shape, schedule, generator, device=self.mean.device)
            x = sample(heun, self.denoise, noise, schedule, self.recipe.sampler_steps, progress=False)
            parts.append(from_pm1((x + self.mean).clamp(-1, 1), self.recipe.levels))
        return torch.cat(parts).cpu()

    @torch.no_grad()
    def bits_per_dimension(self, images: Tensor) -> dict[str, float]:
        """The variational bound of an ancestral chain, some steps of which are drawn for each image."""
        recipe = self.recipe
        schedule = log_schedule(recipe.bound_steps, recipe.bound_sigma_min, recipe.sigma_max)
        every = torch.arange(schedule.T + 1)
        sigma_at = (schedule.sigma(every) / schedule.alpha(every)).to(self.mean.device)

        def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
            # x_t = alpha x_0 + sigma eps; over alpha it is EDM's x_0 + (sigma / alpha) eps.
            alpha = expand_to(schedule.alpha(t), x_t).to(x_t)
            x0_hat = self.denoise(x_t / alpha - self.mean, sigma_at[t].to(x_t.dtype)) + self.mean
            return x0_hat.clamp(-1, 1)

        generator = torch.Generator().manual_seed(1)
        bounds = [
            variational_bound(
                denoiser,
                part,
                schedule,
                levels=recipe.levels,
                variance="large",
                steps=recipe.bound_draws,
                generator=generator,
            ).total
            for part in images.to(self.mean.device).split(CHUNK)
        ]
        return {"bound": bits_per_dim(torch.cat(bounds).mean().item(), images[0].numel())}


@dataclass(frozen=True, kw_only=True)
class FullDiffusionRecipe(FullRecipe):
    """EDM on images less their mean, noise levels and sampler as in the paper; the last averaged weights.

    The rate is the paper's for CIFAR-10, the U-Net a fifteenth of its size.

    Args:
        width: of the U-Net.
        mults: channels of its levels, as multiples of the width.
        blocks: residual blocks per level.
        heads: of the attention.
        dropout: in the residual blocks.
        p_mean: of the logarithm of the noise levels that are trained.
        p_std: likewise, its standard deviation.
        sigma_min: lowest noise level in sampling.
        sigma_max: highest.
        sampler_steps: Heun's n, with 2n - 1 evaluations of the network.
        bound_steps: of the chain whose variational bound is taken.
        bound_draws: of them that are computed for each image, one from each of so many ranges.
        bound_sigma_min: noise level of the chain's first step.

    Source: Karras et al. 2022, table 1 and appendix F.
    """

    steps: int = 20_000
    batch: int = 256
    rate: float = 1e-3
    ema: float = 0.9995
    bf16: bool = True
    width: int = 48
    mults: tuple[int, ...] = (1, 2, 2)
    blocks: int = 2
    heads: int = 4
    dropout: float = 0.1
    p_mean: float = -1.2
    p_std: float = 1.2
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sampler_steps: int = 18
    bound_steps: int = 1000
    bound_draws: int = 20
    bound_sigma_min: float = 0.003

    def build(self, x: Tensor, run: Run) -> Parts:
        """See `FullRecipe.build`."""
        mean = to_pm1(x.float().mean(0), self.levels)
        sigma_data = (x.float().var(0, unbiased=False).mean().sqrt() * (2 / (self.levels - 1))).item()
        network = UNet(
            self.shape[0],
            self.width,
            self.mults,
            blocks=self.blocks,
            heads=self.heads,
            time_scale=100.0,  # c_noise is a quarter of a logarithm
            dropout=self.dropout,
        )
        network = network.to(run.device).to(memory_format=torch.channels_last)
        learner = Learner(network, run, self)
        averaged = learner.averaged.model
        assert isinstance(averaged, UNet)

        def mixed(x_in: Tensor, c_noise: Tensor) -> Tensor:
            with run.mixed():
                out: Tensor = network(x_in, c_noise)
            return out.float()

        def step(batch: Tensor) -> dict[str, Tensor]:
            eps = run.normal(batch, *self.shape)
            sigma = torch.exp(self.p_mean + self.p_std * run.normal(batch))
            x0 = to_pm1(batch, self.levels) - mean
            loss = edm_loss(mixed, x0, sigma, eps, sigma_data).mean() / self.dims
            return {"loss": learner.descend(loss)}

        return Parts(FullDiffusion(averaged, self, mean, sigma_data), step, learner.state())
