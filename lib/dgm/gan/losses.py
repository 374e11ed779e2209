"""What the two players minimise, on logits: one value per sample, finite for any logit.

A logit l stands for the discriminator's belief D = sigmoid(l) that a sample is real; a critic's value is a
bare number. log D = -softplus(-l) and log(1 - D) = -softplus(l) never take the logarithm of 0.
"""

import torch.nn.functional as F
from torch import Tensor

from dgm.tensor import check_same_shape, check_shape


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor, *, real_target: float = 1.0) -> Tensor:
    r"""The discriminator's side of the minimax game: cross-entropy of real against fake.

    $-\log D(x) - \log(1 - D(G(z))) = \mathrm{softplus}(-l_{real}) + \mathrm{softplus}(l_{fake})$

    With a target a < 1 for the real ones (one-sided label smoothing) the first term is
    $-a \log D(x) - (1 - a) \log(1 - D(x))$, and the best D becomes a p / (p + q). Minus the mean of the plain
    loss is the game's value V.

    Args:
        real_logits: (B,) logits of real samples.
        fake_logits: (B,) logits of generated samples.
        real_target: a, in (0, 1]; .9 is usual for smoothing.

    Returns:
        (B,) nats.

    Raises:
        ValueError: on other shapes, or a target outside (0, 1].

    Source: Goodfellow et al. 2014, eq. (1); smoothing: Salimans et al. 2016, section 3.4.
    Equation: gan-minimax, gan-label-smoothing
    Test: tests/unit/test_gan.py::test_discriminator_loss_is_binary_cross_entropy
    """
    _check(real_logits=real_logits, fake_logits=fake_logits)
    if not 0 < real_target <= 1:
        raise ValueError(f"real_target must lie in (0, 1], got {real_target}; .9 is usual, 1 for none")
    real = F.softplus(-real_logits)  # (B,)
    if real_target < 1:
        # -a log D - (1 - a) log(1 - D), by log(1 - D) = log D - l
        real = real + (1 - real_target) * real_logits
    return real + F.softplus(fake_logits)


def saturating_generator_loss(fake_logits: Tensor) -> Tensor:
    r"""The generator's side of the minimax game, as it stands.

    $\log(1 - D(G(z))) = -\mathrm{softplus}(l)$, whose derivative by the logit is -D: it vanishes where the
    discriminator is sure of the fake.

    Args:
        fake_logits: (B,) logits of generated samples.

    Returns:
        (B,) nats.

    Raises:
        ValueError: on another shape.

    Source: Goodfellow et al. 2014, eq. (1).
    Equation: gan-saturating-gradient
    Test: tests/unit/test_gan.py::test_generator_losses_have_the_derivatives_that_name_them
    """
    _check(fake_logits=fake_logits)
    return -F.softplus(fake_logits)


def non_saturating_generator_loss(fake_logits: Tensor) -> Tensor:
    r"""The generator's loss in practice: make the discriminator call the fake real.

    $-\log D(G(z)) = \mathrm{softplus}(-l)$, whose derivative by the logit is -(1 - D): largest where the
    discriminator is sure of the fake.

    Args:
        fake_logits: (B,) logits of generated samples.

    Returns:
        (B,) nats.

    Raises:
        ValueError: on another shape.

    Source: Goodfellow et al. 2014, section 3.
    Equation: gan-saturating-gradient, gan-non-saturating
    Test: tests/unit/test_gan.py::test_generator_losses_have_the_derivatives_that_name_them
    """
    _check(fake_logits=fake_logits)
    return F.softplus(-fake_logits)


def least_squares_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    r"""Least squares with the targets 1 for real and 0 for fake.

    $\tfrac12 (l_{real} - 1)^2 + \tfrac12 l_{fake}^2$

    Args:
        real_logits: (B,) outputs at real samples.
        fake_logits: (B,) outputs at generated samples.

    Returns:
        (B,) squared units of the output.

    Raises:
        ValueError: on other shapes.

    Source: Mao et al. 2017.
    """
    _check(real_logits=real_logits, fake_logits=fake_logits)
    return 0.5 * (real_logits - 1).square() + 0.5 * fake_logits.square()


def least_squares_generator_loss(fake_logits: Tensor) -> Tensor:
    r"""The generator's side of least squares: the target is 1.

    $\tfrac12 (l - 1)^2$

    Args:
        fake_logits: (B,) outputs at generated samples.

    Returns:
        (B,) squared units of the output.

    Raises:
        ValueError: on another shape.

    Source: Mao et al. 2017.
    """
    _check(fake_logits=fake_logits)
    return 0.5 * (fake_logits - 1).square()


def hinge_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    r"""The hinge loss: a sample on its side by a margin of 1 costs nothing and teaches nothing.

    $\max(0, 1 - l_{real}) + \max(0, 1 + l_{fake})$

    The generator's loss beside it is `wgan_generator_loss`.

    Args:
        real_logits: (B,) outputs at real samples.
        fake_logits: (B,) outputs at generated samples.

    Returns:
        (B,) units of the output.

    Raises:
        ValueError: on other shapes.

    Source: Lim & Ye 2017; Miyato et al. 2018.
    """
    _check(real_logits=real_logits, fake_logits=fake_logits)
    return F.relu(1 - real_logits) + F.relu(1 + fake_logits)


def wgan_critic_loss(real_values: Tensor, fake_values: Tensor) -> Tensor:
    r"""Minus the critic's estimate of the Wasserstein-1 distance.

    $f(G(z)) - f(x)$

    Minus its mean is a lower bound of W1 when f is 1-Lipschitz; nothing here makes it so.

    Args:
        real_values: (B,) critic at real samples.
        fake_values: (B,) critic at generated samples.

    Returns:
        (B,) units of the critic, which are those of distances between samples.

    Raises:
        ValueError: on other shapes.

    Source: Arjovsky, Chintala & Bottou 2017.
    Equation: wgan-critic, wgan-weak-duality
    Test: tests/equations/test_wgan.py::test_losses_of_critic_and_generator_are_w1_and_its_gradient
    """
    _check(real_values=real_values, fake_values=fake_values)
    return fake_values - real_values


def wgan_generator_loss(fake_values: Tensor) -> Tensor:
    r"""Make the critic's value at the generated samples large: $-f(G(z))$.

    Args:
        fake_values: (B,) critic at generated samples.

    Returns:
        (B,) units of the critic.

    Raises:
        ValueError: on another shape.

    Source: Arjovsky, Chintala & Bottou 2017.
    Equation: wgan-critic
    Test: tests/equations/test_wgan.py::test_losses_of_critic_and_generator_are_w1_and_its_gradient
    """
    _check(fake_values=fake_values)
    return -fake_values


def _check(**values: Tensor) -> None:
    """Every argument must be (B,), and all of the same length."""
    first_name, first = next(iter(values.items()))
    for name, value in values.items():
        column = value.ndim == 2 and value.shape[1] == 1
        patches = f"use {name}.flatten() where every entry is a sample or a patch of its own"
        check_shape(name, value, ("B",), f"use {name}[:, 0]" if column else patches)
        check_same_shape(name, value, first_name, first, "give as many real samples as generated ones")
