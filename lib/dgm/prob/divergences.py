"""Entropy and KL divergence between discrete distributions and between densities on a grid."""

import torch
from torch import Tensor

from dgm.tensor import check_same_shape


def entropy(log_p: Tensor) -> Tensor:
    r"""Entropy of discrete distributions.

    $H(p) = -\sum_k p_k \log p_k$

    Args:
        log_p: (..., K) normalised log-probabilities; -inf where p is zero.

    Returns:
        (...) nats, between 0 and log K.

    Source: Cover & Thomas 2006, section 2.1.
    Equation: start-mle-kl
    Test: tests/unit/test_prob.py::test_entropy_and_kl_match_scipy
    """
    return -_sum_p_log_ratio(log_p, log_p)


def kl_categorical(log_p: Tensor, log_q: Tensor) -> Tensor:
    r"""KL(p || q) between discrete distributions.

    $\mathrm{KL}(p \,\|\, q) = \sum_k p_k (\log p_k - \log q_k)$

    Args:
        log_p: (..., K) normalised log-probabilities of p, under which the mean is taken.
        log_q: (..., K) normalised log-probabilities of q.

    Returns:
        (...) nats; infinite where q is zero and p is not.

    Source: Cover & Thomas 2006, section 2.3.
    Equation: start-kl
    Test: tests/equations/test_start.py::test_kl_by_grid_by_closed_form_and_for_categories
    """
    return _sum_p_log_ratio(log_p, log_p - log_q)


def kl_on_grid(log_p: Tensor, log_q: Tensor, cell: float) -> Tensor:
    r"""KL(p || q) between two densities tabulated on a regular grid, by the midpoint rule.

    $\mathrm{KL}(p \,\|\, q) \approx \sum_i p(x_i) \bigl( \log p(x_i) - \log q(x_i) \bigr) \Delta$;
    swap the arguments for the reverse KL.

    Args:
        log_p: (N,) or (N, M, ...) log-density of p at the grid points; -inf where p is zero.
        log_q: log-density of q at the same points.
        cell: length (area, volume) of one grid cell.

    Returns:
        () nats.

    Raises:
        ValueError: if the shapes differ, or p has mass below 0.99 or above 1.01 on the grid.

    Source: Cover & Thomas 2006, section 8.5.
    Equation: start-kl, start-reverse-kl
    Test: tests/equations/test_start.py::test_kl_by_grid_by_closed_form_and_for_categories
    """
    check_same_shape("log_q", log_q, "log_p", log_p)
    mass = float(log_p.detach().exp().sum() * cell)
    if not 0.99 < mass < 1.01:
        raise ValueError(
            f"exp(log_p) * cell must sum to 1 over the grid, got {mass:.4f}; widen or refine the grid, "
            "or check that cell is the spacing (in two dimensions its square)"
        )
    return _sum_p_log_ratio(log_p.flatten(), (log_p - log_q).flatten()) * cell


def _sum_p_log_ratio(log_p: Tensor, log_ratio: Tensor) -> Tensor:
    """Sum over the last axis of p * log_ratio, where p = 0 contributes nothing (0 log 0 = 0)."""
    # Both `where`s are needed: the inner one keeps -inf - (-inf) out of the backward pass.
    none = log_p == -torch.inf
    return (log_p.exp() * torch.where(none, torch.zeros_like(log_ratio), log_ratio)).sum(-1)
