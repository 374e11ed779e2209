"""Against posterior collapse: warm-up of the KL, free bits, and the count of latents in use."""

import torch
from torch import Tensor

from dgm.tensor import check_shape


def linear_warmup(step: int, steps: int) -> float:
    r"""Weight of the KL that grows linearly from 0 to 1 over the first `steps` steps.

    $\beta_i = \min(1, i / N)$

    Args:
        step: i, counted from 0.
        steps: N; 0 means no warm-up.

    Returns:
        a float in [0, 1], the `beta` of `elbo`.

    Raises:
        ValueError: if either is negative.

    Source: Bowman et al. 2016; Sønderby et al. 2016.
    Equation: vae-warmup
    Test: tests/equations/test_vae.py::test_warmup_is_the_line_from_zero_to_one
    """
    if step < 0 or steps < 0:
        raise ValueError(f"step and steps must not be negative, got {step} and {steps}; count steps from 0")
    return 1.0 if step >= steps else step / steps


def free_bits(kl_per_dim: Tensor, floor_nats: float) -> Tensor:
    r"""KL to train on that costs at least `floor_nats` per latent, so that nothing is gained below it.

    $\sum_j \max\bigl( \lambda, \tfrac1B \sum_b \mathrm{KL}_{bj} \bigr)$

    The convention: one group per latent dimension, and the mean over the batch is taken *before* the
    maximum. The result is spread over the batch so that its mean is that sum: a latent above the floor gives
    each entry its own KL, one below it gives each the constant floor, without a gradient.

    Args:
        kl_per_dim: (B, J) nats.
        floor_nats: lambda, nats per latent dimension (the name says bits; the paper counts in nats).

    Returns:
        (B,) nats, for the `kl` of `elbo` in training; report the ELBO with the plain KL.

    Raises:
        ValueError: if `kl_per_dim` is not (B, J) or the floor is negative.

    Source: Kingma et al. 2016 (inverse autoregressive flow), arXiv version, eq. (15).
    Equation: vae-free-bits
    Test: tests/equations/test_vae.py::test_free_bits_mean_is_the_sum_of_floors_and_its_gradient_stops
    """
    remedy = "use kl_gaussian_standard_per_dim, not the sum over dimensions"
    check_shape("kl_per_dim", kl_per_dim, ("B", "J"), remedy)
    if floor_nats < 0:
        raise ValueError(f"floor_nats must not be negative, got {floor_nats}")
    above = kl_per_dim.mean(0) > floor_nats  # (J,)
    return torch.where(above, kl_per_dim, torch.full_like(kl_per_dim, floor_nats)).sum(1)  # (B,)


def active_units(mu: Tensor, threshold: float = 0.01) -> Tensor:
    r"""Which latents the encoder uses: those whose posterior mean varies over the data.

    $\mathrm{Var}_x\bigl( \mathbb{E}_{q(z|x)}[z_j] \bigr) > 0.01$

    Args:
        mu: (N, J) posterior means over a data set.
        threshold: on the variance, in squared units of z (the prior's variance is 1).

    Returns:
        (J,) booleans; `.sum()` is the number of active units.

    Raises:
        ValueError: if `mu` is not (N, J) with at least two rows.

    Source: Burda, Grosse & Salakhutdinov 2016, section 5.2.
    Test: tests/unit/test_vae.py::test_active_units_counts_latents_whose_mean_moves
    """
    if mu.ndim != 2 or mu.shape[0] < 2:
        raise ValueError(f"mu must have shape (N, J) with N at least 2, got {tuple(mu.shape)}")
    return mu.var(0) > threshold
