"""What keeps a critic's slope in bounds: the gradient penalty, R1, and weight clipping."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dgm.tensor import check_same_shape, check_shape, expand_to, sum_except_batch

Critic = Callable[[Tensor], Tensor]


def interpolate(real: Tensor, fake: Tensor, generator: torch.Generator | None = None) -> Tensor:
    r"""A random point on the straight line between each real sample and its fake partner.

    $\hat x = \varepsilon x + (1 - \varepsilon) \tilde x$, with one uniform $\varepsilon$ per sample (one per
    pixel would fill the box between the two, not the line).

    Args:
        real: (B, ...) real samples x.
        fake: (B, ...) generated samples.
        generator: source of epsilon.

    Returns:
        (B, ...) points, without gradients to either.

    Raises:
        ValueError: if the shapes differ.

    Source: Gulrajani et al. 2017, algorithm 1.
    Equation: wgan-gradient-penalty
    Test: tests/unit/test_gan.py::test_interpolation_is_one_number_per_sample
    """
    check_same_shape("fake", fake, "real", real, "each real sample has one fake partner")
    eps = torch.rand(len(real), generator=generator, dtype=real.dtype, device=real.device)  # (B,)
    return torch.lerp(fake.detach(), real.detach(), expand_to(eps, real))  # (B, ...)


def input_gradients(values: Tensor, x: Tensor) -> Tensor:
    r"""The gradient of each value by its own sample, itself differentiable.

    $\nabla_{x_b} f(x_b)$, by one backward pass for the whole batch, since f(x_b) depends on x_b alone.

    Args:
        values: (B,) critic at x; batch norm in training mode would mix the samples.
        x: (B, ...) with requires_grad, the very tensor that went into the critic.

    Returns:
        (B, ...) gradients, with a graph to the critic's parameters.

    Raises:
        ValueError: if `values` is not (B,), or `x` does not require gradients.
    """
    check_shape("the critic's output", values, (len(x),), "use values[:, 0]")
    if not x.requires_grad:
        raise ValueError("x must require gradients before it goes into the critic; x.requires_grad_()")
    (gradients,) = torch.autograd.grad(values.sum(), x, create_graph=True)
    return gradients


def gradient_penalty(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    *,
    generator: torch.Generator | None = None,
    target: float = 1.0,
    one_sided: bool = False,
) -> Tensor:
    r"""Penalty on a slope other than 1 between real and fake samples (WGAN-GP).

    $\bigl( \lVert \nabla_{\hat x} f(\hat x) \rVert_2 - 1 \bigr)^2$ at `interpolate(real, fake)`; the norm
    is over all axes of one sample. Add lambda times its mean to the critic's loss; lambda is 10 in the
    paper.

    Args:
        critic: (B, ...) to (B,), each row by itself; with labels: `lambda x: critic(x, y)`.
        real: (B, ...) real samples.
        fake: (B, ...) generated samples.
        generator: source of the interpolation.
        target: the slope that costs nothing, in units of the critic over those of x.
        one_sided: charge only slopes above the target.

    Returns:
        (B,) squared slopes; differentiable by the critic's parameters, not by real or fake.

    Raises:
        ValueError: if the shapes differ or the critic does not return (B,).

    Source: Gulrajani et al. 2017, eq. (3).
    Equation: wgan-gradient-penalty, wgan-penalty-bias
    Test: tests/unit/test_gan.py::test_penalty_of_a_linear_critic_is_exact
    """
    with torch.enable_grad():
        x = interpolate(real, fake, generator).requires_grad_()  # (B, ...)
        slope = torch.linalg.vector_norm(input_gradients(critic(x), x).flatten(1), dim=1)  # (B,)
    excess = slope - target
    return (excess.clamp(min=0) if one_sided else excess).square()


def r1_penalty(discriminator: Critic, real: Tensor) -> Tensor:
    r"""Penalty on the discriminator's slope at the real samples (R1).

    $\tfrac12 \lVert \nabla_x l(x) \rVert_2^2$; multiply its mean by gamma.

    Args:
        discriminator: (B, ...) to logits (B,), each row by itself.
        real: (B, ...) real samples.

    Returns:
        (B,) squared logits over squared units of x; differentiable by the discriminator's parameters.

    Raises:
        ValueError: if the discriminator does not return (B,).

    Source: Mescheder, Geiger & Nowozin 2018, eq. (9).
    Test: tests/unit/test_gan.py::test_penalty_of_a_linear_critic_is_exact
    """
    with torch.enable_grad():
        x = real.detach().requires_grad_()
        return r1_from_logits(discriminator(x), x)


def r1_from_logits(real_logits: Tensor, real: Tensor) -> Tensor:
    """`r1_penalty` from logits that are there already, which saves a forward pass.

    Args:
        real_logits: (B,) logits at `real`.
        real: (B, ...) real samples with requires_grad, the very tensor that went in.

    Returns:
        (B,), as `r1_penalty`.

    Raises:
        ValueError: if `real_logits` is not (B,), or `real` does not require gradients.
    """
    return 0.5 * sum_except_batch(input_gradients(real_logits, real).square())


@torch.no_grad()
def clip_weights(module: nn.Module, limit: float) -> None:
    r"""Clip every parameter to [-limit, limit], in place, to be called after the optimiser's step.

    $w \leftarrow \min(\max(w, -c), c)$

    It bounds the critic's slope, if crudely: most weights end at one of the two limits.

    Args:
        module: the critic.
        limit: c; .01 in the paper.

    Raises:
        ValueError: if the limit is not positive.

    Source: Arjovsky, Chintala & Bottou 2017, algorithm 1.
    Equation: wgan-clipping, wgan-clipping-bound
    Test: tests/equations/test_wgan.py::test_a_clipped_linear_critic_ends_in_the_corner_of_the_box
    """
    if limit <= 0:
        raise ValueError(f"limit must be positive, got {limit}; the paper has .01")
    for parameter in module.parameters():
        parameter.clamp_(-limit, limit)
