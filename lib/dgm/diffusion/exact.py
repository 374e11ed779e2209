r"""Data whose denoiser and score are known at every time: a mixture of Gaussians under the forward process.

A Gaussian stays one: $x_0 \sim \mathcal{N}(m, \Sigma)$ gives $x_t \sim \mathcal{N}(\alpha m, \alpha^2 \Sigma
+ \sigma^2 I)$, and a mixture stays a mixture with the same weights. What a network is trained towards, what a
sampler should reach and what a classifier of noisy points should say are then formulas.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dgm.diffusion.predictions import Denoiser
from dgm.diffusion.schedule import Schedule, exact
from dgm.tensor import check_shape, draw_device, randn_like


@dataclass(frozen=True, eq=False)
class ExactMixture:
    r"""$p(x_0) = \sum_k w_k \mathcal{N}(x_0; m_k, \Sigma_k)$, and all about its diffusion in closed form.

    A covariance may be 0: then its component is a point, and a data set is the mixture of its points.

    Args:
        means: (K, D).
        covs: (K, D, D) symmetric, no eigenvalue below 0.
        weights: (K,) with sum 1.

    Raises:
        ValueError: if shapes do not fit, weights do not sum to 1, or a matrix is no covariance.
    """

    means: Tensor
    covs: Tensor
    weights: Tensor
    _axes: Tensor = field(init=False, repr=False)  # (K, D, D) columns are the eigenvectors of each covariance
    _vars: Tensor = field(init=False, repr=False)  # (K, D) its eigenvalues

    def __post_init__(self) -> None:
        check_shape("means", self.means, ("K", "D"))
        count, dims = self.means.shape
        check_shape("covs", self.covs, (count, dims, dims))
        check_shape("weights", self.weights, (count,))
        if bool((self.weights < 0).any()) or abs(float(self.weights.sum()) - 1) > 1e-6:
            raise ValueError(
                f"weights must not be negative and must sum to 1, got sum {float(self.weights.sum()):.6g}"
            )
        for name in ("means", "covs", "weights"):
            object.__setattr__(self, name, getattr(self, name).to(torch.float64))
        variances, axes = torch.linalg.eigh(self.covs)
        symmetric = torch.allclose(self.covs, self.covs.mT, atol=1e-6)
        if not symmetric or bool((variances < -1e-9 * variances.abs().max()).any()):
            raise ValueError("covs must be symmetric and have no eigenvalue below 0")
        object.__setattr__(self, "_axes", axes)
        object.__setattr__(self, "_vars", variances.clamp(min=0))

    @classmethod
    def gaussian(cls, mean: Tensor, cov: Tensor) -> "ExactMixture":
        """One Gaussian.

        Args:
            mean: (D,).
            cov: (D, D).
        """
        return cls(mean[None], cov[None], torch.ones(1))

    @classmethod
    def isotropic(
        cls,
        means: Tensor | Sequence[Sequence[float]],
        stds: Tensor | Sequence[float],
        weights: Tensor | Sequence[float] | None = None,
    ) -> "ExactMixture":
        """Round Gaussians.

        Args:
            means: (K, D).
            stds: (K,) standard deviations, 0 for points.
            weights: (K,); equal when None.
        """
        means = torch.as_tensor(means, dtype=torch.float64)
        stds = torch.as_tensor(stds, dtype=torch.float64)
        count, dims = means.shape
        check_shape("stds", stds, (count,))
        equal = torch.full((count,), 1 / count, dtype=torch.float64)
        covs = stds.square()[:, None, None] * torch.eye(dims, dtype=torch.float64)
        return cls(means, covs, equal if weights is None else torch.as_tensor(weights, dtype=torch.float64))

    def component(self, k: int) -> "ExactMixture":
        """The k-th Gaussian alone."""
        return ExactMixture.gaussian(self.means[k], self.covs[k])

    def sample(
        self, n: int, generator: torch.Generator | None = None, *, dtype: torch.dtype | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw n points x_0 (n, D), in torch's default dtype if none is given, and their components (n,)."""
        weights = self.weights.to(draw_device(generator))
        y = torch.multinomial(weights, n, replacement=True, generator=generator).to(self.means.device)
        eps = randn_like(self.means[y], generator)  # (n, D)
        scaled = self._vars[y].sqrt() * eps
        x0 = self.means[y] + torch.einsum("nij,nj->ni", self._axes[y], scaled)
        return x0.to(dtype or torch.get_default_dtype()), y

    def diffused_log_prob(self, x_t: Tensor, t: Tensor, schedule: Schedule) -> Tensor:
        """log p_t(x_t) (B,) in nats, for x_t (B, D) at times t (B,); at t = 0 the data's."""
        return self._pieces(x_t, t, schedule)[0].logsumexp(dim=1).to(x_t.dtype)

    def component_log_prob(self, x_t: Tensor, t: Tensor, schedule: Schedule) -> Tensor:
        """log p(k | x_t) (B, K): the exact classifier of noisy points.

        Equation: guide-jensen
        Test: tests/equations/test_guidance.py::test_a_noisy_classifier_is_a_mean_its_power_no_mean_of_powers
        """
        return self._pieces(x_t, t, schedule)[0].log_softmax(dim=1).to(x_t.dtype)

    def score(self, x_t: Tensor, t: Tensor, schedule: Schedule) -> Tensor:
        r"""$\nabla \log p_t(x_t)$ (B, D)."""
        log_joint, along, var, _ = self._pieces(x_t, t, schedule)
        pulls = -self._back(along / var)  # (B, K, D)
        return torch.einsum("bk,bkd->bd", log_joint.softmax(dim=1), pulls).to(x_t.dtype)

    def posterior_mean(self, x_t: Tensor, t: Tensor, schedule: Schedule, y: Tensor | None = None) -> Tensor:
        r"""$\mathbb{E}[x_0 | x_t]$ (B, D), or given the component y (B,) as well.

        Of each Gaussian $m + \alpha \Sigma (\alpha^2 \Sigma + \sigma^2 I)^{-1} (x_t - \alpha m)$, averaged
        with p(k | x_t).
        """
        log_joint, along, var, alpha = self._pieces(x_t, t, schedule)
        shrink = torch.where(var > 0, alpha * self._vars / var, 0.0)  # (B, K, D); 0 for points
        means = self.means + self._back(shrink * along)  # (B, K, D)
        if y is not None:
            check_shape("y", y, (len(x_t),), "give one component per example")
            return means[torch.arange(len(y)), y].to(x_t.dtype)
        return torch.einsum("bk,bkd->bd", log_joint.softmax(dim=1), means).to(x_t.dtype)

    def posterior_cov(self, x_t: Tensor, t: Tensor, schedule: Schedule) -> Tensor:
        r"""$\mathrm{Cov}(x_0 | x_t)$ (B, D, D): what of the data is still unknown at x_t.

        Under p(k | x_t) the mean of the covariances plus the covariance of the means; of each Gaussian
        $\Sigma - \alpha^2 \Sigma (\alpha^2 \Sigma + \sigma^2 I)^{-1} \Sigma$.
        """
        log_joint, along, var, alpha = self._pieces(x_t, t, schedule)
        shrink = torch.where(var > 0, alpha * self._vars / var, 0.0)  # (B, K, D); 0 for points
        weights, means = log_joint.softmax(dim=1), self.means + self._back(shrink * along)
        within = torch.einsum(
            "bk,kdi,bki,kei->bde", weights, self._axes, self._vars * (1 - alpha * shrink), self._axes
        )
        apart = means - torch.einsum("bk,bkd->bd", weights, means)[:, None]  # (B, K, D)
        return (within + torch.einsum("bk,bkd,bke->bde", weights, apart, apart)).to(x_t.dtype)

    def denoiser(self, schedule: Schedule, y: Tensor | None = None) -> Denoiser:
        """The best of all denoisers: (x_t, t) -> E[x_0 | x_t], or E[x_0 | x_t, y] for components y (B,)."""
        return lambda x_t, t: self.posterior_mean(x_t, t, schedule, y)

    def classifier(self, schedule: Schedule) -> Callable[[Tensor, Tensor], Tensor]:
        """The best of all noisy classifiers: (x_t, t) -> log p(k | x_t) (B, K)."""
        return lambda x_t, t: self.component_log_prob(x_t, t, schedule)

    def _pieces(self, x_t: Tensor, t: Tensor, schedule: Schedule) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """log (w_k p_t(x_t | k)) (B, K); x_t - alpha m_k along the axes, its variances (B, K, D); alpha."""
        check_shape("x_t", x_t, ("B", self.means.shape[1]))
        check_shape("t", t, (len(x_t),), "give one time per example")
        x = x_t.to(torch.float64)
        alpha = schedule.alpha(exact(t))[:, None, None]  # (B, 1, 1)
        sigma = schedule.sigma(exact(t))[:, None, None]
        along = torch.einsum("kij,bki->bkj", self._axes, x[:, None] - alpha * self.means)  # (B, K, D)
        var = alpha.square() * self._vars + sigma.square()  # (B, K, D)
        log_p = -0.5 * (math.log(2 * math.pi) + var.log() + along.square() / var).sum(-1)  # (B, K)
        return self.weights.log() + log_p, along, var, alpha

    def _back(self, along: Tensor) -> Tensor:
        """From the axes of each component to coordinates: (B, K, D)."""
        return torch.einsum("kij,bkj->bki", self._axes, along)
