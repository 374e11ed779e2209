"""The evidence lower bound, the importance-weighted bound, and an estimate of log p(x) itself.

Notation: q(z|x) the encoder's distribution, p(z) the prior, p(x|z) the decoder's likelihood. One draw z from
q(z|x) has the log-weight log w = log p(x|z) + log p(z) - log q(z|x). The mean of log w is the ELBO; the mean
of w is p(x).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from dgm.tensor import check_same_shape, check_shape, log_mean_exp


def _check_batch(**values: Tensor) -> None:
    (first_name, first), *rest = values.items()
    check_shape(first_name, first, ("B",), "sum over the other dimensions")
    for name, value in rest:
        check_same_shape(name, value, first_name, first, "both are sums over everything but the batch")


def elbo(log_likelihood: Tensor, kl: Tensor, *, beta: float = 1.0) -> Tensor:
    r"""Evidence lower bound of each batch entry: reconstruction minus KL.

    $\mathcal{L}(x) = \mathbb{E}_{q(z|x)}[\log p(x|z)] - \beta\, \mathrm{KL}(q(z|x) \,\|\, p(z))$

    With beta = 1 its mean over z is below log p(x) by exactly KL(q(z|x) || p(z|x)). With beta > 1 it is still
    a lower bound, only a looser one; with beta < 1 it need not be a bound at all.

    Args:
        log_likelihood: (B,) nats, log p(x|z) at one draw z from q(z|x), or a mean over draws; summed, not
            averaged, over the pixels.
        kl: (B,) nats, in closed form (`dgm.prob.kl_gaussian_standard`) or from one draw (`kl_one_sample`).
        beta: weight of the KL.

    Returns:
        (B,) nats; train on minus its mean over the batch.

    Raises:
        TypeError: if an argument is no tensor.
        ValueError: if the arguments are not both (B,).

    Source: Kingma & Welling 2014, eq. (3); beta: Higgins et al. 2017.
    Equation: vae-elbo-terms, vae-elbo-gap, vae-beta
    Test: tests/equations/test_vae.py::test_elbo_plus_gap_is_the_exact_marginal
    """
    _check_batch(log_likelihood=log_likelihood, kl=kl)
    return log_likelihood - beta * kl


def kl_one_sample(log_q: Tensor, log_p: Tensor) -> Tensor:
    r"""Unbiased estimate of KL(q || p) from one draw, for a prior p without a closed form.

    $\log q(z) - \log p(z), \quad z \sim q$. Unlike the KL itself it can be negative.

    Args:
        log_q: (B,) nats, log q(z|x) at the draw that the likelihood was computed at.
        log_p: (B,) nats, log p(z) at the same draw.

    Returns:
        (B,) nats.

    Raises:
        TypeError: if an argument is no tensor.
        ValueError: if the arguments are not both (B,).

    Source: Kingma & Welling 2014, eq. (6).
    Equation: vae-elbo-jensen
    Test: tests/equations/test_vae.py::test_one_sample_kl_is_unbiased
    """
    _check_batch(log_q=log_q, log_p=log_p)
    return log_q - log_p


def iwae_bound(log_w: Tensor) -> Tensor:
    r"""Importance-weighted lower bound on log p(x) from K draws of q(z|x).

    $\mathcal{L}_K(x) = \log \frac1K \sum_{k=1}^K w_k, \quad
    w_k = \frac{p(x|z_k)\, p(z_k)}{q(z_k|x)}$

    Its mean grows with K towards log p(x); K = 1 is the ELBO.

    Args:
        log_w: (K, B) nats, log p(x|z) + log p(z) - log q(z|x) at K independent draws.

    Returns:
        (B,) nats.

    Raises:
        ValueError: if `log_w` is not (K, B).

    Source: Burda, Grosse & Salakhutdinov 2016, section 3 and theorem 1.
    Equation: vae-iwae
    Test: tests/equations/test_vae.py::test_iwae_grows_with_k_from_the_elbo_to_the_marginal
    """
    check_shape("log_w", log_w, ("K", "B"), "draws come first; one draw: log_w[None]")
    return log_mean_exp(log_w, dim=0)  # (B,)


@torch.no_grad()
def importance_log_prob(draw_log_w: Callable[[int], Tensor], *, samples: int, chunk: int = 100) -> Tensor:
    r"""Estimate log p(x) by importance sampling from q(z|x), a chunk of draws at a time, without gradients.

    $p(x) = \int p(x|z)\, p(z)\, dz = \mathbb{E}_{q(z|x)}[w] \approx \frac1S \sum_s w_s$

    The estimate of p(x) is unbiased; its logarithm is `iwae_bound` of S draws, low by little when S is large.
    Memory holds `chunk` draws at once, whatever `samples` is.

    Args:
        draw_log_w: called with a number k, returns (k, B) fresh log-weights in nats.
        samples: S, how many draws in all.
        chunk: at most this many per call.

    Returns:
        (B,) nats.

    Raises:
        ValueError: if `samples` or `chunk` is not positive, or `draw_log_w` returns another shape.

    Source: Burda, Grosse & Salakhutdinov 2016, section 3.
    Equation: vae-marginal, vae-iwae
    Test: tests/equations/test_vae.py::test_importance_sampling_finds_the_exact_marginal
    """
    if samples < 1 or chunk < 1:
        raise ValueError(f"samples and chunk must be at least 1, got {samples} and {chunk}")
    total: Tensor | None = None
    for start in range(0, samples, chunk):
        k = min(chunk, samples - start)
        log_w = draw_log_w(k)  # (k, B)
        if log_w.ndim != 2 or log_w.shape[0] != k:
            raise ValueError(f"draw_log_w({k}) must return shape (k, B) = ({k}, B), got {tuple(log_w.shape)}")
        part = torch.logsumexp(log_w, dim=0)  # (B,)
        total = part if total is None else torch.logaddexp(total, part)
    assert total is not None
    return total - math.log(samples)
