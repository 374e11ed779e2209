"""A small VAE of two MLPs, whose likelihood and prior are chosen by a configuration."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dgm.nn import MLP
from dgm.prob import gaussian_log_prob, kl_gaussian_standard, reparameterise, standard_normal_log_prob
from dgm.tensor import check_shape, to_pm1
from dgm.vae.bounds import kl_one_sample
from dgm.vae.observations import Observation, observation


@dataclass(frozen=True)
class VAEConfig:
    """What a `VAE` is made of.

    Args:
        shape: of one x, e.g. (1, 8, 8).
        levels: number of grey levels of x (17 for the digits); 0 for continuous x.
        likelihood: a name that `observation` knows.
        variance: for the likelihood gaussian_fixed, in squared units of x.
        latents: J, the width of z.
        hidden: widths of the encoder's hidden layers; the decoder has them in reverse.
        prior_components: K of a learned mixture prior; 0 for N(0, I).
        encoder_dropout: probability that a hidden unit of the encoder is dropped in training.
        decoder_dropout: the same for the decoder, which is where it helps (see bench/vae_digits.py).
    """

    shape: tuple[int, ...] = (1, 8, 8)
    levels: int = 17
    likelihood: str = "binomial"
    variance: float = 1.0
    latents: int = 16
    hidden: tuple[int, ...] = (256, 256)
    prior_components: int = 0
    encoder_dropout: float = 0.0
    decoder_dropout: float = 0.0

    @property
    def dims(self) -> int:
        """Number of entries of one x."""
        return int(torch.Size(self.shape).numel())


class Encoder(nn.Module):
    """q(z|x) = N(mu(x), diag sigma(x)^2): an MLP from x to the two parameters.

    Args:
        dims: number of entries of one x.
        hidden: widths of the hidden layers.
        latents: J, the width of z.
        dropout: probability that a hidden unit is dropped in training.
    """

    def __init__(self, dims: int, hidden: tuple[int, ...], latents: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.net = MLP([dims, *hidden, 2 * latents], dropout=dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (B, ...) to mu and logvar, each (B, latents)."""
        mu, logvar = self.net(x.flatten(1)).chunk(2, dim=-1)
        return mu, logvar


class Decoder(nn.Module):
    """The parameters of p(x|z): an MLP from z to `n_params` numbers per entry of x.

    Args:
        latents: J, the width of z.
        hidden: widths of the hidden layers.
        shape: of one x.
        n_params: P, numbers per entry of x (`Observation.n_params`).
        dropout: probability that a hidden unit is dropped in training.
    """

    def __init__(
        self,
        latents: int,
        hidden: tuple[int, ...],
        shape: tuple[int, ...],
        n_params: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.shape, self.n_params = shape, n_params
        dims = int(torch.Size(shape).numel())
        self.net = MLP([latents, *hidden, dims * n_params], dropout=dropout)

    def forward(self, z: Tensor) -> Tensor:
        """Map z (B, latents) to (B, *shape, n_params)."""
        return self.net(z).reshape(len(z), *self.shape, self.n_params)


class MixturePrior(nn.Module):
    r"""A learned prior: a mixture of K diagonal Gaussians.

    $p(z) = \sum_k \pi_k \mathcal{N}(z; \mu_k, \operatorname{diag} \sigma_k^2)$, starting from equal weights,
    unit variances and means drawn from N(0, I).

    Args:
        components: K.
        latents: J.

    Source: Tomczak & Welling 2018, where it is the baseline called mixture of Gaussians.
    Equation: vae-mixture-prior
    Test: tests/equations/test_vae.py::test_mixture_prior_matches_torch_and_integrates_to_one
    """

    def __init__(self, components: int, latents: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components))  # (K,)
        self.mu = nn.Parameter(torch.randn(components, latents))  # (K, J)
        self.logvar = nn.Parameter(torch.zeros(components, latents))  # (K, J)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density at z (B, J): (B,) nats."""
        check_shape("z", z, ("B", self.mu.shape[1]))
        # Each point in each component's own units, where the density is the standard one over its volume.
        scaled = (z[:, None] - self.mu) * torch.exp(-0.5 * self.logvar)  # (B, K, J)
        volume = 0.5 * (self.logvar.sum(1) + self.logvar.shape[1] * math.log(2 * math.pi))  # (K,)
        log_component = -0.5 * scaled.square().sum(-1) - volume  # (B, K)
        return torch.logsumexp(log_component + torch.log_softmax(self.logits, 0), dim=1)  # (B,)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws: (n, J)."""
        k = torch.multinomial(self.logits.softmax(0), n, replacement=True, generator=generator)  # (n,)
        return reparameterise(self.mu[k], self.logvar[k], generator)


class VAEOutput(NamedTuple):
    """One pass through a VAE: all that an ELBO is made of."""

    mu: Tensor  # (B, J)
    logvar: Tensor  # (B, J)
    z: Tensor  # (B, J) one draw from q(z|x)
    params: Tensor  # (B, *shape, P) of p(x|z)
    log_likelihood: Tensor  # (B,) nats, log p(x|z)
    kl: Tensor  # (B,) nats, closed form under N(0, I), one-sample estimate under a mixture prior


class VAE(nn.Module):
    """Encoder, decoder, prior and likelihood; `elbo(out.log_likelihood, out.kl)` is the bound.

    `x` is always the data as it is: integer grey levels (B, *shape) where `config.levels` is given, which the
    model scales to [-1, 1] for its encoder, or floats where it is 0.

    Args:
        config: what it is made of.
    """

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.observation: Observation = observation(config.likelihood, config.levels, config.variance)
        self.encoder = Encoder(config.dims, config.hidden, config.latents, config.encoder_dropout)
        self.decoder = Decoder(
            config.latents,
            config.hidden[::-1],
            config.shape,
            self.observation.n_params,
            config.decoder_dropout,
        )
        self.prior = (
            MixturePrior(config.prior_components, config.latents) if config.prior_components else None
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu and logvar of q(z|x), each (B, J)."""
        check_shape("x", x, ("B", *self.config.shape))
        dtype = next(self.parameters()).dtype
        return self.encoder(to_pm1(x, self.config.levels, dtype=dtype) if self.config.levels else x.to(dtype))

    def decode(self, z: Tensor) -> Tensor:
        """Parameters of p(x|z): (B, *shape, P), to be read by `self.observation`."""
        return self.decoder(z)

    def log_prior(self, z: Tensor) -> Tensor:
        """log p(z): (B,) nats."""
        return standard_normal_log_prob(z) if self.prior is None else self.prior.log_prob(z)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> VAEOutput:
        """Encode x (B, *shape), draw one z each, decode, and take the two terms of the ELBO."""
        mu, logvar = self.encode(x)
        z = reparameterise(mu, logvar, generator)
        params = self.decode(z)
        log_likelihood = self.observation.log_prob(params, x)
        if self.prior is None:
            kl = kl_gaussian_standard(mu, logvar)
        else:
            kl = kl_one_sample(gaussian_log_prob(z, mu, logvar), self.prior.log_prob(z))
        return VAEOutput(mu, logvar, z, params, log_likelihood, kl)

    def log_weights(self, x: Tensor, draws: int, generator: torch.Generator | None = None) -> Tensor:
        """log p(x|z) + log p(z) - log q(z|x) at `draws` draws of z for each x: (draws, B) nats."""
        if draws < 1:
            raise ValueError(f"draws must be at least 1, got {draws}")
        mu, logvar = (p.repeat(draws, 1) for p in self.encode(x))  # (K B, J)
        z = reparameterise(mu, logvar, generator)
        x = x.repeat(draws, *[1] * (x.ndim - 1))  # (K B, *shape)
        log_joint = self.observation.log_prob(self.decode(z), x) + self.log_prior(z)
        return (log_joint - gaussian_log_prob(z, mu, logvar)).reshape(draws, -1)

    def sample_prior(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws of z from the prior: (n, J)."""
        if self.prior is not None:
            return self.prior.sample(n, generator)
        like = next(self.parameters())
        return torch.randn(n, self.config.latents, generator=generator, dtype=like.dtype, device=like.device)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n new x: z from the prior, then x from p(x|z), in the units of the data: (n, *shape)."""
        return self.observation.sample(self.decode(self.sample_prior(n, generator)), generator)
