r"""The variational bound on minus the log-likelihood, term by term, in nats.

$-\log p(x_0) \le \underbrace{\mathrm{KL}(q(x_T|x_0) \,\|\, p(x_T))}_{L_T}
+ \sum_{t=2}^T \underbrace{\mathrm{KL}(q(x_{t-1}|x_t,x_0) \,\|\, p(x_{t-1}|x_t))}_{L_{t-1}}
\underbrace{{} - \log p(x_0|x_1)}_{L_0}$, the middle and last terms in expectation over q(x_t | x_0).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dgm.diffusion.predictions import Denoiser
from dgm.diffusion.process import posterior, q_sample
from dgm.diffusion.reverse import reverse_moments
from dgm.diffusion.schedule import DiscreteSchedule
from dgm.prob import discretised_gaussian_log_prob, gaussian_log_prob, kl_gaussian_standard, kl_gaussians
from dgm.tensor import check_floating, expand_to, randn_like, to_pm1


@dataclass(frozen=True)
class Bound:
    """The terms of the bound, each in nats per example.

    Args:
        decoder: (B,) L_0.
        t: (B, n) the steps whose KL was computed, increasing.
        kl: (B, n) L_{t-1} of each.
        weights: (n,) how many steps each of them stands for; ones where all were computed.
        prior: (B,) L_T.
    """

    decoder: Tensor
    t: Tensor
    kl: Tensor
    weights: Tensor
    prior: Tensor

    @property
    def total(self) -> Tensor:
        """The bound (B,): nats; `dgm.tensor.bits_per_dim` makes it bits per dimension."""
        return self.decoder + self.kl @ self.weights + self.prior


def prior_kl(x0: Tensor, schedule: DiscreteSchedule) -> Tensor:
    r"""What of the data is left in x_T: $L_T = \mathrm{KL}(q(x_T | x_0) \,\|\, \mathcal{N}(0, I))$.

    Args:
        x0: (B, ...) data.
        schedule: of the noise.

    Returns:
        (B,) nats; it has no parameters, and near 0 is where it should be.

    Source: Ho, Jain & Abbeel 2020, section 3.1.
    """
    alpha, sigma = schedule.coefficients(torch.full((len(x0),), schedule.T, device=x0.device), x0)
    return kl_gaussian_standard(alpha * x0, (2 * sigma.log()).expand_as(x0))


def step_kl(
    denoiser: Denoiser,
    x0: Tensor,
    t: Tensor,
    eps: Tensor,
    schedule: DiscreteSchedule,
    *,
    variance: str = "small",
) -> Tensor:
    r"""One step's part of the bound, at one draw of x_t.

    $L_{t-1} = \mathrm{KL}(q(x_{t-1} | x_t, x_0) \,\|\, p(x_{t-1} | x_t))$

    Args:
        denoiser: (x_t, t) -> x0_hat.
        x0: (B, ...) data.
        t: (B,) steps in 2..T.
        eps: (B, ...) the noise of x_t.
        schedule: of the noise.
        variance: of the reverse step: "small", "large" or "learned".

    Returns:
        (B,) nats.

    Raises:
        ValueError: if a t is below 2; at t = 1 the term is `decoder_nll`.

    Source: Ho, Jain & Abbeel 2020, section 2.
    Equation: diff-kl-mean
    Test: tests/equations/test_diffusion.py::test_kl_is_an_error_of_the_mean_and_a_constant
    """
    if t.numel() and int(t.min()) < 2:
        raise ValueError(f"t must be at least 2, got {int(t.min())}; the term of t = 1 is decoder_nll")
    x_t = q_sample(x0, t, eps, schedule)
    true_mean, true_var = posterior(x_t, t, x0, schedule)
    mean, logvar = reverse_moments(denoiser, x_t, t, schedule, variance=variance)
    return kl_gaussians(true_mean, expand_to(true_var.log(), x0), mean, logvar)


def decoder_nll(
    denoiser: Denoiser,
    x: Tensor,
    eps: Tensor,
    schedule: DiscreteSchedule,
    *,
    levels: int | None = None,
    variance: str = "small",
) -> Tensor:
    r"""The last step's part of the bound, $L_0 = -\log p(x_0 | x_1)$ at one draw of x_1.

    On grey levels p(x_0 | x_1) is the mass of the Gaussian in each level's bin; on real data its density.

    Args:
        denoiser: (x_t, t) -> x0_hat.
        x: (B, ...) whole grey levels 0..levels - 1, or real data where `levels` is None.
        eps: (B, ...) the noise of x_1.
        schedule: of the noise.
        levels: number of grey levels, which are spread over [-1, 1].
        variance: of the reverse step: "small" (posterior_var[2], since that of t = 1 is 0), "large" or
            "learned".

    Returns:
        (B,) nats; of a density it may be negative.

    Source: Ho, Jain & Abbeel 2020, section 3.3.
    """
    x0 = _scaled(x, levels, eps.dtype)
    t = torch.ones(len(x0), dtype=torch.int64, device=x0.device)
    mean, logvar = reverse_moments(denoiser, q_sample(x0, t, eps, schedule), t, schedule, variance=variance)
    return -decoder_log_prob(x0, mean, logvar, levels)


@torch.no_grad()
def variational_bound(
    denoiser: Denoiser,
    x: Tensor,
    schedule: DiscreteSchedule,
    *,
    levels: int | None = None,
    variance: str = "small",
    steps: int | None = None,
    generator: torch.Generator | None = None,
) -> Bound:
    r"""An unbiased estimate of the bound on $-\log p(x)$, with its terms apart.

    Args:
        denoiser: (x_t, t) -> x0_hat; it is evaluated T times, or `steps` + 1 times.
        x: (B, ...) whole grey levels 0..levels - 1, or real data where `levels` is None.
        schedule: of the noise.
        levels: number of grey levels, which are spread over [-1, 1].
        variance: of the reverse step: "small", "large" or "learned".
        steps: None for all T - 1 KLs; else from how many of them to estimate their sum: 2..T is cut into so
            many ranges, and each example draws one step from each.
        generator: source of the noise and the steps.

    Returns:
        The terms; `total` (B,) is the bound in nats.

    Raises:
        ValueError: if `steps` is not in 1..T - 1, or x does not fit `levels`.

    Source: Ho, Jain & Abbeel 2020, section 2.
    Equation: diff-bound
    Test: tests/equations/test_diffusion.py::test_bound_is_the_log_ratio_of_two_chains
    """
    x0 = _scaled(x, levels, x.dtype if x.is_floating_point() else torch.get_default_dtype())
    edges = _strata(schedule.T, steps)
    sizes = edges.diff()  # (n,)
    uniform = torch.rand((len(x0), len(sizes)), generator=generator, dtype=torch.float64)
    t = (edges[:-1] + (uniform * sizes).floor().to(torch.int64)).to(x0.device)  # (B, n), one of each range
    kl = [
        step_kl(denoiser, x0, t[:, i], randn_like(x0, generator), schedule, variance=variance)
        for i in range(len(sizes))
    ]
    eps = randn_like(x0, generator)
    return Bound(
        decoder=decoder_nll(denoiser, x, eps, schedule, levels=levels, variance=variance),
        t=t,
        kl=torch.stack(kl, dim=1) if kl else x0.new_zeros(len(x0), 0),
        weights=sizes.to(x0),
        prior=prior_kl(x0, schedule),
    )


def decoder_log_prob(x0: Tensor, mean: Tensor, logvar: Tensor, levels: int | None) -> Tensor:
    """log p(x_0 | x_1) (B,) in nats, of x0 already in [-1, 1] where it has levels."""
    if levels is None:
        return gaussian_log_prob(x0, mean, logvar)
    x = (x0 + 1) * ((levels - 1) / 2)
    return discretised_gaussian_log_prob(mean, 0.5 * logvar.expand_as(mean), x.round(), levels)


def _scaled(x: Tensor, levels: int | None, dtype: torch.dtype) -> Tensor:
    if levels is None:
        check_floating("x", x, "give levels= for grey levels, or use x.float() for real data")
        return x
    return to_pm1(x, levels, dtype=dtype)


def _strata(T: int, steps: int | None) -> Tensor:
    """First steps of the ranges that 2..T is cut into, and T + 1 at the end: (n + 1,) int64."""
    if steps is None:
        return torch.arange(2, T + 2)
    if not 1 <= steps <= T - 1:
        raise ValueError(f"steps must be in 1 .. T - 1 = {T - 1}, got {steps}; None takes all")
    return torch.linspace(2, T + 1, steps + 1, dtype=torch.float64).round().to(torch.int64)
