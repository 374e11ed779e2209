"""The diffusion model of the digits: EDM on a small U-Net (`bench/diffusion_digits.py`), without labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dgm.data import Batches, from_pm1, load_digits, to_pm1
from dgm.diffusion import (
    DiscreteSchedule,
    EDMSchedule,
    draw_sigma,
    edm_denoiser,
    edm_loss,
    heun,
    initial_noise,
    sample,
    variational_bound,
)
from dgm.nn import EMA, UNet, seeded
from dgm.recipes.base import DIMS, LEVELS, SHAPE, Model, Recipe
from dgm.tensor import bits_per_dim, expand_to, randn_like
from dgm.train import fit


class DiffusionModel(Model):
    """A trained denoiser, with what was subtracted from the images.

    Args:
        network: the averaged U-Net.
        recipe: that it was trained by.
        mean: (1, 8, 8), of the training images in [-1, 1].
    """

    network: UNet

    def __init__(self, network: UNet, recipe: DiffusionRecipe, mean: Tensor) -> None:
        super().__init__(network)
        self.recipe, self.mean = recipe, mean

    def denoise(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        """Estimate of the image in [-1, 1], less its mean, from the noisy one: (B, 1, 8, 8)."""
        return edm_denoiser(self.network, self.recipe.sigma_data)(x_t, sigma)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Heun's sampler, rounded to grey levels."""
        schedule = EDMSchedule(self.recipe.sigma_min, self.recipe.sigma_max)
        noise = initial_noise((n, *SHAPE), schedule, generator)
        x = sample(heun, self.denoise, noise, schedule, self.recipe.sampler_steps, progress=False)
        return from_pm1((x + self.mean).clamp(-1, 1), LEVELS)

    def bits_per_dimension(self, images: Tensor) -> dict[str, float]:
        """The variational bound of an ancestral chain, some steps of which are drawn for each image."""
        recipe = self.recipe
        schedule = log_schedule(recipe.bound_steps, recipe.bound_sigma_min, recipe.bound_sigma_max)
        sigma_at = schedule.sigma(torch.arange(schedule.T + 1)) / schedule.alpha(torch.arange(schedule.T + 1))

        def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
            # x_t = alpha x_0 + sigma eps; over alpha it is EDM's x_0 + (sigma / alpha) eps.
            alpha = expand_to(schedule.alpha(t), x_t).to(x_t.dtype)
            x0_hat = self.denoise(x_t / alpha - self.mean, sigma_at[t].to(x_t.dtype)) + self.mean
            return x0_hat.clamp(-1, 1)

        generator = torch.Generator().manual_seed(1)
        bounds = [
            variational_bound(
                denoiser,
                part,
                schedule,
                levels=LEVELS,
                variance="large",  # the last step's smaller one is far too sure of a level
                steps=recipe.bound_draws,
                generator=generator,
            ).total
            for part in images.split(256)
        ]
        return {"bound": bits_per_dim(torch.cat(bounds).mean().item(), DIMS)}


def log_schedule(steps: int, sigma_min: float, sigma_max: float) -> DiscreteSchedule:
    """A variance-preserving chain whose sigma / alpha are evenly spaced in their logarithm.

    Args:
        steps: T.
        sigma_min: sigma / alpha at t = 1.
        sigma_max: at t = T.
    """
    sigma = torch.logspace(math.log10(sigma_min), math.log10(sigma_max), steps, dtype=torch.float64)
    alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), 1 / (1 + sigma.square())])
    return DiscreteSchedule.from_alpha_bar(alpha_bar)


@dataclass(frozen=True, kw_only=True)
class DiffusionRecipe(Recipe):
    """EDM on images less their mean; the last averaged weights are kept.

    Args:
        width: of the U-Net.
        mults: channels of its levels, as multiples of the width.
        batch: images in a batch.
        rate: of AdamW at the start; it falls to 0 by a cosine.
        weight_decay: of AdamW.
        ema: decay of the averaged weights.
        sigma_data: standard deviation of images less their mean.
        p_mean: of the logarithm of the noise levels that are trained.
        p_std: likewise, its standard deviation.
        sigma_min: lowest noise level in sampling.
        sigma_max: highest.
        sampler_steps: Heun's n, with 2n - 1 evaluations of the network.
        bound_steps: of the chain whose variational bound is taken.
        bound_draws: of them that are computed for each image, one from each of so many ranges.
        bound_sigma_min: noise level of the chain's first step.
        bound_sigma_max: of its last.
    """

    width: int = 32
    mults: tuple[int, ...] = (1, 2)
    batch: int = 32
    rate: float = 3e-3
    weight_decay: float = 1e-2
    ema: float = 0.995
    sigma_data: float = 0.54
    p_mean: float = -0.8
    p_std: float = 1.2
    sigma_min: float = 0.02
    sigma_max: float = 20.0
    sampler_steps: int = 10
    bound_steps: int = 1000
    bound_draws: int = 20
    bound_sigma_min: float = 0.05
    bound_sigma_max: float = 80.0

    def train(
        self,
        seed: int,
        steps: int | None = None,
        *,
        images: Tensor | None = None,
        valid: Tensor | None = None,
        progress: bool = False,
    ) -> DiffusionModel:
        """See `Recipe.train`; no image but those trained on has a say."""
        steps = self.full_steps if steps is None else steps
        rng = torch.Generator().manual_seed(seed)
        x = to_pm1(load_digits("train").x if images is None else images, LEVELS)
        mean = x.mean(0)
        with seeded(seed):  # the initial weights
            net = UNet(1, self.width, self.mults, time_scale=100.0)  # c_noise is a quarter of a logarithm
            net = net.to(memory_format=torch.channels_last)
            averaged = EMA(net, self.ema)
            optimiser = torch.optim.AdamW(
                net.parameters(), lr=self.rate, weight_decay=self.weight_decay, fused=True
            )
            rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)

            def step(x0: Tensor) -> dict[str, Tensor]:
                eps = randn_like(x0, rng)
                sigma = draw_sigma(len(x0), rng, p_mean=self.p_mean, p_std=self.p_std)
                loss = edm_loss(net, x0, sigma, eps, self.sigma_data).mean() / DIMS
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                rates.step()
                averaged.update()
                return {"loss": loss}

            batches = Batches(x - mean, batch_size=self.batch, generator=rng)
            fit(step, batches, steps=steps, progress=progress)
        assert isinstance(averaged.model, UNet)
        return DiffusionModel(averaged.model, self, mean)
