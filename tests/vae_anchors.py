"""What the tests of dgm.prob and dgm.vae are held against: an exactly solvable model, z-scores, quadrature.

Nothing here uses dgm: densities come from torch.distributions and numpy.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence


def z_score(draws: Tensor, expected: float | Tensor) -> Tensor:
    """How many standard errors the mean of `draws` over its first axis is from `expected`."""
    return (draws.mean(0) - expected) / (draws.std(0) / math.sqrt(len(draws)))


def variance_z_score(draws: Tensor, expected: float) -> float:
    """How many standard errors the sample variance of `draws` (S,) is from `expected`."""
    centred = draws - draws.mean()
    return float((draws.var() - expected) / (centred.square().std() / math.sqrt(len(draws))))


def normal_quadrature(points: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights with sum(w f(node)) = E[f(eps)], eps ~ N(0, 1)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    return torch.from_numpy(nodes), torch.from_numpy(weights / math.sqrt(2 * math.pi))


@dataclass(frozen=True)
class LinearGaussian:
    """Probabilistic PCA: z ~ N(0, I), x | z ~ N(W z + b, s^2 I). Everything about it is known.

    weight (X, D), bias (X,), noise_var s^2.
    """

    weight: Tensor
    bias: Tensor
    noise_var: float

    def decode(self, z: Tensor) -> Tensor:
        return z @ self.weight.T + self.bias

    def log_marginal(self, x: Tensor) -> Tensor:
        """log p(x): p(x) = N(b, W W' + s^2 I)."""
        eye = torch.eye(len(self.bias), dtype=x.dtype)
        cov = self.weight @ self.weight.T + self.noise_var * eye
        return MultivariateNormal(self.bias, cov).log_prob(x)

    def posterior(self, x: Tensor) -> MultivariateNormal:
        """p(z|x) = N(M^-1 W'(x - b), s^2 M^-1) with M = W'W + s^2 I."""
        m = self.weight.T @ self.weight + self.noise_var * torch.eye(self.weight.shape[1], dtype=x.dtype)
        mean = torch.linalg.solve(m, self.weight.T @ (x - self.bias).T).T
        return MultivariateNormal(mean, (self.noise_var * torch.linalg.inv(m)).expand(len(x), -1, -1))

    def expected_log_likelihood(self, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        """E of log p(x|z) under z ~ N(mu, diag exp(logvar)), in closed form: (B,)."""
        misfit = (x - self.decode(mu)).square().sum(1) + logvar.exp() @ self.weight.square().sum(0)
        return -0.5 * (len(self.bias) * math.log(2 * math.pi * self.noise_var) + misfit / self.noise_var)

    def gap(self, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        """KL(N(mu, diag exp(logvar)) || p(z|x)): (B,)."""
        return kl_divergence(MultivariateNormal(mu, torch.diag_embed(logvar.exp())), self.posterior(x))


def example_model(seed: int = 0, dims: int = 5, latents: int = 2) -> tuple[LinearGaussian, Tensor]:
    """A linear-Gaussian model with correlated posteriors, and six points drawn from it."""
    g = torch.Generator().manual_seed(seed)
    weight = torch.randn(dims, latents, generator=g, dtype=torch.float64)
    bias = torch.randn(dims, generator=g, dtype=torch.float64)
    model = LinearGaussian(weight, bias, noise_var=0.6)
    z = torch.randn(6, latents, generator=g, dtype=torch.float64)
    noise = torch.randn(6, dims, generator=g, dtype=torch.float64)
    return model, model.decode(z) + math.sqrt(0.6) * noise
