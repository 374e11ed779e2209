"""Divergences between p (data) and q (generator) that a critic can estimate from samples alone.

One row per f-divergence: the generator function f, its convex conjugate f*, the output activation that keeps
a network's number v inside the domain of f*, and the critic that makes the bound tight. Then the optimal
discriminator and the Jensen-Shannon divergence of the original game.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm.tensor import check_same_shape, check_shape

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class FDivergence:
    r"""One row of the table of f-divergences, $D_f(p \| q) = \int q\, f(p / q)$, f convex.

    Bound: $D_f(p \| q) \ge E_p[T] - E_q[f^*(T)]$ with $f^*(t) = \sup_u\, (u t - f(u))$, for every critic T
    with values in the domain of f*; equality at $T = f'(p / q)$.

    Args:
        name: of the divergence.
        f: u > 0 to f(u).
        conjugate: t in its domain to f*(t).
        activation: v, any real number, to t in the domain of f*.
        conjugate_at: v to f*(activation(v)), simplified so that it stays finite where the two steps do not.
        optimal_critic: log u = log p - log q to f'(u).

    Source: Nowozin, Cseke & Tomioka 2016, tables 1 and 2.
    Equation: gan-f-divergence, gan-conjugate
    Test: tests/unit/test_gan.py::test_conjugates_are_the_supremum
    """

    name: str
    f: Function
    conjugate: Function
    activation: Function
    conjugate_at: Function
    optimal_critic: Function


F_DIVERGENCES: dict[str, FDivergence] = {
    row.name: row
    for row in (
        FDivergence(
            "kl",  # D_f = KL(p || q)
            f=lambda u: torch.xlogy(u, u),
            conjugate=lambda t: torch.exp(t - 1),
            activation=lambda v: v,
            conjugate_at=lambda v: torch.exp(v - 1),
            optimal_critic=lambda log_u: 1 + log_u,
        ),
        FDivergence(
            "reverse_kl",  # D_f = KL(q || p)
            f=lambda u: -torch.log(u),
            conjugate=lambda t: -1 - torch.log(-t),
            activation=lambda v: -torch.exp(-v),
            conjugate_at=lambda v: v - 1,
            optimal_critic=lambda log_u: -torch.exp(-log_u),
        ),
        FDivergence(
            "pearson",  # D_f = integral of (p - q)^2 / q
            f=lambda u: (u - 1).square(),
            conjugate=lambda t: 0.25 * t.square() + t,
            activation=lambda v: v,
            conjugate_at=lambda v: 0.25 * v.square() + v,
            optimal_critic=lambda log_u: 2 * torch.expm1(log_u),
        ),
        FDivergence(
            "gan",  # D_f = 2 JS(p, q) - log 4: the value of the minimax game, so f(1) = -log 4 and not 0
            f=lambda u: torch.xlogy(u, u) - (u + 1) * torch.log1p(u),
            conjugate=lambda t: -torch.log(-torch.expm1(t)),
            activation=lambda v: F.logsigmoid(v),
            conjugate_at=lambda v: F.softplus(v),
            optimal_critic=lambda log_u: F.logsigmoid(log_u),
        ),
    )
}


def f_divergence(divergence: FDivergence, p: Tensor, q: Tensor) -> Tensor:
    r"""The divergence itself, of two discrete distributions (or of two densities times the cells' areas).

    $D_f(p \| q) = \sum_k q_k\, f(p_k / q_k)$

    Args:
        divergence: a row of `F_DIVERGENCES`.
        p: (K,) probabilities of the data; 0 is allowed where f(0) is finite.
        q: (K,) probabilities of the generator, all positive.

    Returns:
        () nats (Pearson's has no unit).

    Raises:
        ValueError: on other shapes, or a q that is not positive.

    Source: Nowozin, Cseke & Tomioka 2016, section 2.1.
    Equation: gan-f-divergence
    Test: tests/unit/test_gan.py::test_f_divergences_are_what_they_are_called
    """
    _check_distributions(p, q)
    if not bool((q > 0).all()):
        raise ValueError("q must be positive everywhere, got a zero; D_f(p || q) needs p / q")
    return (q * divergence.f(p / q)).sum()


def f_bound(
    divergence: FDivergence,
    critic_p: Tensor,
    critic_q: Tensor,
    *,
    weights_p: Tensor | None = None,
    weights_q: Tensor | None = None,
) -> Tensor:
    r"""The variational lower bound of an f-divergence from a critic's values.

    $E_p[T(x)] - E_q[f^*(T(x))]$, as means over samples or as weighted sums.

    Args:
        divergence: a row of `F_DIVERGENCES`.
        critic_p: (N,) T at points of p, in the domain of f* (after the activation).
        critic_q: (M,) T at points of q.
        weights_p: (N,) probabilities of the points; equal when None.
        weights_q: (M,) likewise.

    Returns:
        () nats.

    Raises:
        ValueError: on other shapes.

    Source: Nowozin, Cseke & Tomioka 2016, eq. (4).
    Equation: gan-f-bound
    Test: tests/unit/test_gan.py::test_bound_is_tight_at_the_optimal_critic_and_below_elsewhere
    """
    return _mean(critic_p, weights_p, "p") - _mean(divergence.conjugate(critic_q), weights_q, "q")


def f_critic_loss(divergence: FDivergence, real_values: Tensor, fake_values: Tensor) -> Tensor:
    r"""Minus the bound, per sample, on a network's plain outputs v: $-g(v_{real}) + f^*(g(v_{fake}))$.

    With the row "gan" it is `discriminator_loss`.

    Args:
        divergence: a row of `F_DIVERGENCES`; g is its activation.
        real_values: (B,) outputs at real samples.
        fake_values: (B,) outputs at generated samples.

    Returns:
        (B,) nats. KL's grows like exp(v) and overflows beyond v = 88 in float32, as does reverse KL's below
        -88: that is the divergence, not the code.

    Raises:
        ValueError: if the shapes are not both (B,).

    Source: Nowozin, Cseke & Tomioka 2016, eq. (6).
    """
    check_shape("real_values", real_values, ("B",), "use values[:, 0]")
    check_same_shape("fake_values", fake_values, "real_values", real_values, "use values[:, 0]")
    return divergence.conjugate_at(fake_values) - divergence.activation(real_values)


def optimal_logit(log_p: Tensor, log_q: Tensor) -> Tensor:
    r"""The logit of the optimal discriminator: $\log p(x) - \log q(x)$.

    Args:
        log_p: (B,) nats, log-density of the data at x.
        log_q: (B,) nats, log-density of the generator at the same x.

    Returns:
        (B,) logits.

    Source: Goodfellow et al. 2014, proposition 1.
    Equation: gan-optimal-discriminator
    """
    return log_p - log_q


def optimal_discriminator(log_p: Tensor, log_q: Tensor) -> Tensor:
    r"""The discriminator that wins against a given generator.

    $D^*(x) = p(x) / (p(x) + q(x)) = \mathrm{sigmoid}(\log p(x) - \log q(x))$

    Args:
        log_p: (B,) nats, log-density of the data at x.
        log_q: (B,) nats, log-density of the generator at the same x.

    Returns:
        (B,) probabilities that x is real.

    Source: Goodfellow et al. 2014, proposition 1.
    Equation: gan-optimal-discriminator
    Test: tests/unit/test_gan.py::test_optimal_discriminator_beats_every_other_and_reaches_two_js_minus_log_4
    """
    return torch.sigmoid(optimal_logit(log_p, log_q))


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    r"""Jensen-Shannon divergence of two discrete distributions, in nats: from 0 to log 2 (disjoint).

    $\tfrac12 KL(p \| m) + \tfrac12 KL(q \| m)$ with $m = (p + q) / 2$

    The game's value at the optimal discriminator is 2 JS - log 4.

    Args:
        p: (K,) probabilities (or density times cell area).
        q: (K,) probabilities; zeros are allowed in both.

    Returns:
        () nats.

    Raises:
        ValueError: on other shapes.

    Source: Goodfellow et al. 2014, eq. (6); Lin 1991.
    Equation: gan-value-js, wgan-js-disjoint
    Test: tests/unit/test_gan.py::test_jensen_shannon_is_scipys_and_log_2_when_disjoint
    """
    _check_distributions(p, q)
    m = (p + q) / 2
    entropy = torch.special.entr  # -x log x, 0 at 0
    return entropy(m).sum() - 0.5 * (entropy(p).sum() + entropy(q).sum())


def game_value(p: Tensor, q: Tensor, logits: Tensor) -> Tensor:
    r"""Value of the minimax game with discrete p and q at a given discriminator, exactly.

    $V = \sum_k p_k \log D_k + q_k \log(1 - D_k)$, at most 2 JS(p, q) - log 4.

    Args:
        p: (K,) probabilities of the data.
        q: (K,) probabilities of the generator.
        logits: (K,) of the discriminator at each of the K points.

    Returns:
        () nats.

    Raises:
        ValueError: on other shapes.

    Source: Goodfellow et al. 2014, eq. (3).
    Equation: gan-minimax, gan-value-js
    """
    _check_distributions(p, q)
    check_same_shape("logits", logits, "p", p, "give one logit per point")
    return (p * F.logsigmoid(logits) + q * F.logsigmoid(-logits)).sum()


def _mean(values: Tensor, weights: Tensor | None, name: str) -> Tensor:
    check_shape(f"critic_{name}", values, ("N",), "use values[:, 0]")
    if weights is None:
        return values.mean()
    check_same_shape(f"weights_{name}", weights, f"critic_{name}", values, "give one weight per sample")
    return (weights * values).sum()


def _check_distributions(p: Tensor, q: Tensor) -> None:
    remedy = "flatten a grid of densities and multiply by the cells' area"
    check_shape("p", p, ("K",), remedy)
    check_same_shape("q", q, "p", p, remedy)
