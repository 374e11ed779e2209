"""The VAE of 28x28 images: residual convolutions, a mixture prior, a discretised logistic for each pixel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dgm.prob import gaussian_log_prob
from dgm.recipes.base import Model
from dgm.recipes.full.base import CHUNK, FullRecipe, Learner, Parts, Run, on_device
from dgm.tensor import bits_per_dim
from dgm.vae import VAE, VAEConfig, elbo, iwae_bound, kl_one_sample

DRAWS = 100  # from q(z|x) for each image, for the mean of the ELBO and for the importance-weighted bound


class Residual(nn.Module):
    """Two 3x3 convolutions beside the identity: y = x + conv(silu(norm(conv(silu(norm(x)))))).

    Args:
        channels: of x, a multiple of 8.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.GroupNorm(8, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


class ConvEncoder(nn.Module):
    """q(z|x): two halvings of the side with residual blocks, then one linear layer.

    Args:
        shape: (C, H, W) of x, H and W divisible by 4.
        width: channels after the first halving; twice as many after the second.
        blocks: residual blocks at each size.
        latents: J.
    """

    def __init__(self, shape: tuple[int, int, int], width: int, blocks: int, latents: int) -> None:
        super().__init__()
        channels, height, side = shape
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            *[Residual(width) for _ in range(blocks)],
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            *[Residual(2 * width) for _ in range(blocks)],
            nn.GroupNorm(8, 2 * width),
            nn.SiLU(),
            nn.Flatten(),
        )
        self.last = nn.Linear(2 * width * (height // 4) * (side // 4), 2 * latents)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (B, C, H, W) to mu and logvar, each (B, J)."""
        mu, logvar = self.last(self.layers(x)).float().chunk(2, dim=-1)
        return mu, logvar


class ConvDecoder(nn.Module):
    """The parameters of p(x|z): the encoder's mirror image, the side doubled by repeating pixels.

    Args:
        shape: (C, H, W) of x, H and W divisible by 4.
        width: as the encoder's; half as many channels at the full size.
        blocks: residual blocks at each size but the full one.
        latents: J.
        n_params: P, numbers per entry of x.
    """

    def __init__(
        self, shape: tuple[int, int, int], width: int, blocks: int, latents: int, n_params: int
    ) -> None:
        super().__init__()
        channels, height, side = shape
        self.channels, self.start = channels, (2 * width, height // 4, side // 4)
        self.first = nn.Linear(latents, torch.Size(self.start).numel())
        self.layers = nn.Sequential(
            *[Residual(2 * width) for _ in range(blocks)],
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * width, width, 3, padding=1),
            *[Residual(width) for _ in range(blocks)],
            nn.Upsample(scale_factor=2),
            nn.Conv2d(width, width // 2, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width // 2, n_params * channels, 3, padding=1),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Map z (B, J) to (B, C, H, W, P)."""
        h = F.silu(self.first(z)).reshape(len(z), *self.start)
        raw = self.layers(h).float()  # likelihoods are never in bfloat16
        return raw.unflatten(1, (self.channels, -1)).movedim(2, -1)  # (B, C, H, W, P)


def conv_vae(config: VAEConfig, width: int, blocks: int) -> VAE:
    """A `VAE` whose two MLPs are replaced by convolutions; everything else of it stays.

    Args:
        config: of the VAE, with a shape (C, H, W); `hidden` is not used.
        width: of both networks.
        blocks: residual blocks at each size.
    """
    model = VAE(config)
    channels, height, side = config.shape
    shape = (channels, height, side)
    model.encoder = ConvEncoder(shape, width, blocks, config.latents)  # type: ignore[assignment]
    model.decoder = ConvDecoder(  # type: ignore[assignment]
        shape, width, blocks, config.latents, model.observation.n_params
    )
    return model


class FullVAE(Model):
    """A trained VAE of images.

    Args:
        network: the averaged VAE.
        draws: from q(z|x) for each image that is rated.
    """

    network: VAE

    def __init__(self, network: VAE, draws: int = DRAWS) -> None:
        super().__init__(network)
        self.draws = draws

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """z from the prior, then the mean of p(x|z), rounded: a level drawn for each pixel adds noise."""
        z = self.network.sample_prior(n, on_device(generator, next(self.network.parameters()).device))
        with torch.no_grad():
            means = [self.network.observation.mean(self.network.decode(part)) for part in z.split(CHUNK // 5)]
        return torch.cat(means).round().to(torch.uint8).cpu()

    @torch.no_grad()
    def bits_per_dimension(self, images: Tensor) -> dict[str, float]:
        """The ELBO, and the importance-weighted bound of `draws` draws."""
        device = next(self.network.parameters()).device
        generator = torch.Generator().manual_seed(1)
        parts = images.to(device).float().split(20)
        log_w = torch.cat([self.network.log_weights(part, self.draws, generator) for part in parts], 1)
        dims = images[0].numel()
        return {
            "bound": bits_per_dim(-log_w.mean().item(), dims),
            "importance-weighted bound": bits_per_dim(-iwae_bound(log_w).mean().item(), dims),
        }


@dataclass(frozen=True, kw_only=True)
class FullVAERecipe(FullRecipe):
    """Convolutions in place of MLPs; the averaged weights that were best on held-out images are kept.

    One logistic for each pixel is the likelihood of Salimans et al. 2017 with one component; the prior is the
    mixture that Tomczak & Welling 2018 compare with, of 40 latents as theirs. Rate and batch are those usual
    for networks of this size, not tuned.

    Args:
        latents: J.
        prior_components: of the mixture prior.
        width: of both networks.
        blocks: residual blocks at each size.
        likelihood: of each pixel.
        draws: from q(z|x) for each image that is rated.

    Source: Tomczak & Welling 2018; Salimans et al. 2017 (PixelCNN++).
    """

    steps: int = 20_000
    batch: int = 128
    rate: float = 1e-3
    ema: float = 0.999
    bf16: bool = True
    latents: int = 40
    prior_components: int = 100
    width: int = 64
    blocks: int = 2
    likelihood: str = "discretised_logistic"
    draws: int = DRAWS

    def build(self, x: Tensor, run: Run) -> Parts:
        """See `FullRecipe.build`."""
        config = VAEConfig(
            shape=self.shape,
            levels=self.levels,
            likelihood=self.likelihood,
            latents=self.latents,
            prior_components=self.prior_components,
        )
        network = conv_vae(config, self.width, self.blocks).to(run.device)
        learner = Learner(network, run, self)
        averaged = learner.averaged.model
        assert isinstance(averaged, VAE)

        def negative_elbo(model: VAE, batch: Tensor, eps: Tensor) -> Tensor:
            levels = batch.float()
            with run.mixed():
                mu, logvar = model.encode(levels)
            z = mu + torch.exp(0.5 * logvar) * eps  # `reparameterise`, with noise of the whole batch
            with run.mixed():
                params = model.decode(z)
            kl = kl_one_sample(gaussian_log_prob(z, mu, logvar), model.log_prior(z))
            return -elbo(model.observation.log_prob(params, levels), kl).mean() / self.dims

        def step(batch: Tensor) -> dict[str, Tensor]:
            loss = negative_elbo(network, batch, run.normal(batch, self.latents))
            return {"loss": learner.descend(loss)}

        @torch.no_grad()
        def held_loss(held: Tensor) -> Tensor:
            draws = torch.Generator().manual_seed(0)  # the same ones each time
            return negative_elbo(
                averaged, held, torch.randn(len(held), self.latents, generator=draws).to(run.device)
            )

        return Parts(FullVAE(averaged, self.draws), step, learner.state(), ["averaged"], held_loss)
