"""Log-likelihoods of observations that are bits, grey levels or classes.

Each is `(parameters..., x) -> (B,)` in nats, summed over every dimension but the first, and each is a
probability: over all values that x can take it sums to one. That is what a reconstruction "loss" must be
for an ELBO to bound log p(x). The Gaussian for continuous x is in `dgm.prob.gaussian`.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm.tensor import check_same_shape, sum_except_batch

_SQRT_HALF = math.sqrt(0.5)
_NARROW = 3e-3  # a bin of less than this many standard deviations has no use for differences of Phi
_TINY = 1e-30  # keeps logarithms and their gradients finite where a branch is not the one used


def _check_same_shape(name: str, value: Tensor, x: Tensor) -> None:
    remedy = f"use {name}.reshape(x.shape) or x.reshape({name}.shape), or expand explicitly"
    check_same_shape(name, value, "x", x, remedy)


def _check_levels(x: Tensor, top: int) -> None:
    """Raise unless x holds whole numbers from 0 to `top`."""
    in_range = bool(((x >= 0) & (x <= top)).all())
    whole = not x.is_floating_point() or bool((x == x.round()).all())
    if not (in_range and whole):
        raise ValueError(
            f"x must hold whole numbers from 0 to {top}, got values from {x.min().item():g} to "
            f"{x.max().item():g}{'' if whole else ' with fractions'}; "
            "pass the integer grey levels, not pixels scaled to [0, 1] or [-1, 1]"
        )


def bernoulli_log_prob(logits: Tensor, x: Tensor) -> Tensor:
    r"""Log-probability of bits under independent Bernoullis given by logits.

    $\log p(x) = \sum_j x_j \log \varsigma(l_j) + (1 - x_j) \log \varsigma(-l_j)$,
    with the logistic function $\varsigma$; for x in {0, 1} this is minus the binary cross-entropy.

    Args:
        logits: (B, ...) log-odds of x = 1.
        x: (B, ...) zeros and ones, any dtype.

    Returns:
        (B,) nats.

    Raises:
        ValueError: if x holds anything but 0 and 1. On grey values the same expression does not sum
            to one over x, so it is not a log-likelihood.

    Source: Kingma & Welling 2014, appendix C.1.
    Equation: vae-bernoulli
    Test: tests/equations/test_vae.py::test_bernoulli_sums_to_one_and_matches_torch
    """
    _check_same_shape("logits", logits, x)
    if not bool(((x == 0) | (x == 1)).all()):
        raise ValueError(
            "x must be 0 or 1: binary cross-entropy on grey pixels is not a log-likelihood, got values from "
            f"{x.min().item():g} to {x.max().item():g}; use binomial_log_prob, beta_binomial_log_prob, "
            "categorical_log_prob or discretised_logistic_log_prob on integer grey levels, "
            "gaussian_log_prob on continuous values, or binarise x"
        )
    sign = 2 * x.to(logits.dtype) - 1  # (B, ...): -1 or 1
    return sum_except_batch(F.logsigmoid(sign * logits))  # (B,)


def binomial_log_prob(logits: Tensor, x: Tensor, total: int) -> Tensor:
    r"""Log-probability of counts out of `total` under independent binomials given by logits.

    $\log p(x) = \sum_j \log \binom{n}{x_j} + x_j \log \varsigma(l_j) + (n - x_j) \log \varsigma(-l_j)$

    Args:
        logits: (B, ...) log-odds of one of the n trials.
        x: (B, ...) whole numbers 0..total (grey levels of an image with total + 1 levels).
        total: n, the number of trials.

    Returns:
        (B,) nats.

    Raises:
        ValueError: on shapes that differ, or x that is not a whole number in 0..total.

    Equation: vae-binomial
    Test: tests/equations/test_vae.py::test_binomial_sums_to_one_and_matches_scipy
    """
    _check_same_shape("logits", logits, x)
    _check_levels(x, total)
    x = x.to(logits.dtype)
    ways = log_binomial(x, total)
    return sum_except_batch(ways + x * F.logsigmoid(logits) + (total - x) * F.logsigmoid(-logits))  # (B,)


def log_binomial(x: Tensor, total: int) -> Tensor:
    r"""Logarithm of the binomial coefficient, by element: the number of ways to have x successes in `total`.

    $\log \binom{n}{x} = \log n! - \log x! - \log (n - x)!$

    Args:
        x: (...) whole numbers 0..total, in a floating-point dtype.
        total: n.

    Returns:
        (...) nats.
    """
    return math.lgamma(total + 1) - torch.lgamma(x + 1) - torch.lgamma(total - x + 1)


def beta_binomial_log_prob(log_a: Tensor, log_b: Tensor, x: Tensor, total: int) -> Tensor:
    r"""Log-probability of counts whose success probability is itself drawn from Beta(a, b).

    $\log p(x) = \sum_j \log \binom{n}{x_j} + \log B(x_j + a_j, n - x_j + b_j) - \log B(a_j, b_j)$,
    where the ratio of Betas is
    $\prod_{i<x} (a + i) \prod_{i<n-x} (b + i) \big/ \prod_{i<n} (a + b + i)$

    Two parameters per pixel instead of the binomial's one, so the spread is free: it may put mass on both
    ends at once (a, b < 1) or tend to the binomial (a, b large). Memory is n numbers per entry of x.

    Args:
        log_a: (B, ...) logarithm of the first parameter of the Beta.
        log_b: (B, ...) logarithm of the second.
        x: (B, ...) whole numbers 0..total.
        total: n, the number of trials.

    Returns:
        (B,) nats.

    Raises:
        ValueError: on shapes that differ, or x that is not a whole number in 0..total.

    Equation: vae-beta-binomial
    Test: tests/equations/test_vae.py::test_beta_binomial_sums_to_one_and_matches_scipy
    """
    _check_same_shape("log_a", log_a, x)
    _check_same_shape("log_b", log_b, x)
    _check_levels(x, total)
    x = x.to(log_a.dtype)
    log_a, log_b = log_a.unsqueeze(-1), log_b.unsqueeze(-1)  # (B, ..., 1)
    # The product form: in float32 differences of log-gammas are wrong by 0.02 nats at a = e^10, by 4 at e^14.
    i = torch.arange(total, dtype=x.dtype, device=x.device)  # (n,)
    of_a = i < x.unsqueeze(-1)  # (B, ..., n): x factors of a, the rest of b
    step = torch.where(of_a, i, i - x.unsqueeze(-1))
    if bool(torch.maximum(log_a.abs(), log_b.abs()).max() < 40):
        a, b = log_a.exp(), log_b.exp()
        ratio = (torch.where(of_a, a, b) + step).log() - (a + b + i).log()
    else:  # three times slower, but exp(log_a) may overflow and exp(log_b) underflow
        ratio = torch.logaddexp(torch.where(of_a, log_a, log_b), step.log())
        ratio = ratio - torch.logaddexp(torch.logaddexp(log_a, log_b), i.log())
    ratio = ratio.sum(-1)  # (B, ...)
    return sum_except_batch(log_binomial(x, total) + ratio)  # (B,)


def categorical_log_prob(logits: Tensor, x: Tensor) -> Tensor:
    r"""Log-probability of classes (or grey levels without an order) given by a softmax of logits.

    $\log p(x) = \sum_j \bigl( l_{j, x_j} - \log \sum_k e^{l_{jk}} \bigr)$

    Args:
        logits: (B, ..., L) unnormalised log-probabilities of the L classes.
        x: (B, ...) class numbers 0..L-1.

    Returns:
        (B,) nats.

    Raises:
        ValueError: if the shapes do not fit, or x is not a whole number in 0..L-1.

    Equation: vae-categorical
    Test: tests/equations/test_vae.py::test_categorical_sums_to_one_and_matches_torch
    """
    if logits.shape[:-1] != x.shape:
        raise ValueError(
            f"logits must have shape (*x.shape, L) = {(*x.shape, 'L')}, got {tuple(logits.shape)}; "
            "put the levels last, e.g. logits.movedim(1, -1)"
        )
    _check_levels(x, logits.shape[-1] - 1)
    log_p = torch.log_softmax(logits, dim=-1)  # (B, ..., L)
    return sum_except_batch(log_p.gather(-1, x.long().unsqueeze(-1)).squeeze(-1))  # (B,)


def discretised_logistic_log_prob(mu: Tensor, log_scale: Tensor, x: Tensor, levels: int) -> Tensor:
    r"""Log-probability of grey levels as the mass that a logistic density puts on each level's bin.

    With the level mapped to $\tilde x = 2x/(L-1) - 1$ in [-1, 1], bins of half-width $h = 1/(L-1)$ and
    $u_\pm = (\tilde x \pm h - \mu)/s$:
    $p(x) = \varsigma(u_+) - \varsigma(u_-)$; the first bin reaches down to minus infinity
    ($p = \varsigma(u_+)$), the last up to infinity ($p = 1 - \varsigma(u_-)$).

    Args:
        mu: (B, ...) centre, on the scale where levels run from -1 to 1.
        log_scale: (B, ...) log s, on the same scale.
        x: (B, ...) whole numbers 0..levels-1.
        levels: L, at least 2.

    Returns:
        (B,) nats.

    Raises:
        ValueError: on shapes that differ, x outside 0..levels-1, or fewer than 2 levels.

    Source: Salimans et al. 2017 (PixelCNN++), eq. (2), with one component.
    Equation: vae-discretised-logistic
    Test: tests/equations/test_vae.py::test_discretised_logistic_sums_to_one_and_matches_scipy
    """
    if levels < 2:
        raise ValueError(f"levels must be at least 2, got {levels}; one level carries no information")
    _check_same_shape("mu", mu, x)
    _check_same_shape("log_scale", log_scale, x)
    _check_levels(x, levels - 1)
    half = 1.0 / (levels - 1)
    centred = 2 * half * x.to(mu.dtype) - 1 - mu  # (B, ...)
    inverse_scale = torch.exp(-log_scale)
    upper, lower = (centred + half) * inverse_scale, (centred - half) * inverse_scale
    # sigmoid(u) - sigmoid(v) = sigmoid(u) sigmoid(-v) (1 - exp(v - u)): three logs, none of a difference
    # of nearly equal numbers, since u - v = 2 h / s is known exactly.
    below, above = F.logsigmoid(upper), F.logsigmoid(-lower)  # log P(X <= x), log P(X >= x)
    inside = below + above + torch.log(-torch.expm1(-2 * half * inverse_scale))
    ends = torch.where(x == 0, below, above)
    return sum_except_batch(torch.where((x == 0) | (x == levels - 1), ends, inside))  # (B,)


def discretised_gaussian_log_prob(mu: Tensor, log_scale: Tensor, x: Tensor, levels: int) -> Tensor:
    r"""Log-probability of grey levels as the mass that a Gaussian density puts on each level's bin.

    With the level mapped to $\tilde x = 2x/(L-1) - 1$ in [-1, 1], bins of half-width $h = 1/(L-1)$ and
    $u_\pm = (\tilde x \pm h - \mu)/s$:
    $p(x) = \Phi(u_+) - \Phi(u_-)$ with the normal distribution function $\Phi$; the first bin reaches down to
    minus infinity ($p = \Phi(u_+)$), the last up to infinity ($p = 1 - \Phi(u_-)$).

    Args:
        mu: (B, ...) centre, on the scale where levels run from -1 to 1.
        log_scale: (B, ...) log s, on the same scale.
        x: (B, ...) whole numbers 0..levels-1.
        levels: L, at least 2.

    Returns:
        (B,) nats.

    Raises:
        ValueError: on shapes that differ, x outside 0..levels-1, or fewer than 2 levels.

    Source: Ho, Jain & Abbeel 2020, section 3.3.
    Test: tests/unit/test_prob.py::test_discretised_gaussian_matches_scipy
    """
    if levels < 2:
        raise ValueError(f"levels must be at least 2, got {levels}; one level carries no information")
    _check_same_shape("mu", mu, x)
    _check_same_shape("log_scale", log_scale, x)
    _check_levels(x, levels - 1)
    half = 1.0 / (levels - 1)
    centred = 2 * half * x.to(mu.dtype) - 1 - mu  # (B, ...)
    inverse_scale = torch.exp(-log_scale)
    upper, lower = (centred + half) * inverse_scale, (centred - half) * inverse_scale
    # A bin above the centre is as likely as its mirror image below, where Phi is small and keeps its digits.
    near, far = torch.where(centred > 0, -lower, upper), torch.where(centred > 0, -upper, lower)
    wide = torch.where(
        near > 0, _log_mass_across(near, far), _log_mass_below(near, far, half * inverse_scale)
    )
    width, u = 2 * half * inverse_scale, centred * inverse_scale
    inside = torch.where(width * u.abs().clamp(min=1) < _NARROW, _log_mass_narrow(u, width), wide)
    ends = _log_phi(torch.where(x == 0, upper, -lower))
    return sum_except_batch(torch.where((x == 0) | (x == levels - 1), ends, inside))  # (B,)


def _log_mass_narrow(u: Tensor, width: Tensor) -> Tensor:
    """log(Phi(u + width / 2) - Phi(u - width / 2)): density times width, and the curvature."""
    width, u = width.clamp(max=_NARROW), torch.minimum(u.abs(), _NARROW / width)
    curvature = (u.square() - 1) * width.square() / 24
    return width.log() - 0.5 * (u.square() + math.log(2 * math.pi)) + torch.log1p(curvature)


def _log_mass_across(near: Tensor, far: Tensor) -> Tensor:
    """log(Phi(near) - Phi(far)) for far < 0 < near: a sum of two positive numbers, no cancellation."""
    near, far = near.clamp(min=_TINY), far.clamp(max=-_TINY)  # elsewhere the result is not used
    return torch.log(0.5 * (torch.erf(near * _SQRT_HALF) + torch.erf(-far * _SQRT_HALF)))


def _log_mass_below(near: Tensor, far: Tensor, half_width: Tensor) -> Tensor:
    """log(Phi(near) - Phi(far)) for far < near <= 0.

    Phi(far) / Phi(near) = exp(-(far^2 - near^2) / 2) erfcx(-far / sqrt 2) / erfcx(-near / sqrt 2), and
    far^2 - near^2 = (far - near)(far + near) is a product, no difference of large numbers.
    """
    near = near.clamp(max=0)
    far = torch.minimum(far, near)
    log_ratio = half_width * (far + near) + _log_erfcx(-far * _SQRT_HALF) - _log_erfcx(-near * _SQRT_HALF)
    return _log_phi(near) + torch.log(-torch.expm1(log_ratio.clamp(max=-_TINY)))


def _log_phi(u: Tensor) -> Tensor:
    """log Phi(u), with gradients that torch.special.log_ndtr loses far below 0."""
    below, above = u.clamp(max=0), u.clamp(min=0)
    lower = -0.5 * below.square() + _log_erfcx(-below * _SQRT_HALF) - math.log(2)
    return torch.where(u < 0, lower, torch.log1p(-0.5 * torch.erfc(above * _SQRT_HALF)))


def _log_erfcx(a: Tensor) -> Tensor:
    """log(exp(a^2) erfc(a)) for a >= 0; its asymptotic series where torch's derivative cancels."""
    end = 25.0 if a.dtype == torch.float64 else 8.0
    far = 1 / a.clamp(min=end).square()
    series = far * (-0.5 + far * (0.75 + far * (-1.875 + far * 6.5625)))
    far_log = torch.log1p(series) + 0.5 * far.log() - 0.5 * math.log(math.pi)
    return torch.where(a > end, far_log, torch.special.erfcx(a.clamp(max=end)).log())
