"""Against mode collapse: let the discriminator see the batch, match features, or look ahead (unrolling)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dgm.tensor import check_shape


def feature_matching_loss(real_features: Tensor, fake_features: Tensor) -> Tensor:
    r"""Distance between the mean features of a real and of a fake batch, for the generator to minimise.

    $\bigl\lVert \tfrac1B \sum_b h(x_b) - \tfrac1B \sum_b h(G(z_b)) \bigr\rVert_2^2$, h a hidden layer of the
    discriminator. It is a figure of the batch, so there is no value per sample.

    Args:
        real_features: (B, D) h at real samples; no gradient flows to them.
        fake_features: (B', D) h at generated samples.

    Returns:
        () squared units of h.

    Raises:
        ValueError: if the features are not (B, D) with one D.

    Source: Salimans et al. 2016, section 3.1.
    Equation: gan-feature-matching
    Test: tests/unit/test_gan.py::test_feature_matching_compares_means_only
    """
    check_shape("real_features", real_features, ("B", "D"), "use features.flatten(1)")
    dims = real_features.shape[1]
    check_shape("fake_features", fake_features, ("B", dims), "take both from the same layer, flattened")
    return (real_features.detach().mean(0) - fake_features.mean(0)).square().sum()


class MinibatchStd(nn.Module):
    r"""Append one feature that says how varied the batch is.

    $s = \tfrac1D \sum_j \mathrm{std}_b(h_{bj})$, the same number for every sample: a generator that always
    draws the same is found out by it.

    Args:
        eps: added to the variance, so that a batch of equals has a gradient.

    Source: Karras et al. 2018, section 3.
    Test: tests/unit/test_gan.py::test_minibatch_std_is_the_mean_deviation
    """

    def __init__(self, eps: float = 1e-8) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, h: Tensor) -> Tensor:
        """Map (B, D) to (B, D + 1), or (B, C, H, W) to (B, C + 1, H, W)."""
        variance = (h - h.mean(0)).square().mean(0)  # h's shape without B; twice as fast as h.var(0)
        std = (variance + self.eps).sqrt().mean()  # ()
        return torch.cat([h, std.expand(len(h), 1, *h.shape[2:])], dim=1)


class MinibatchDiscrimination(nn.Module):
    r"""Append features that say how close each sample is to the others of its batch.

    $M_b = T h_b$ (K rows of length L), $o_{bk} = \sum_{b'} \exp(-\lVert M_{bk} - M_{b'k} \rVert_1)$; the
    sample itself counts 1.

    Args:
        features: D, width of the input.
        kernels: K, number of features appended.
        dims: L, length of each row.

    Source: Salimans et al. 2016, section 3.2.
    Equation: gan-minibatch
    Test: tests/unit/test_gan.py::test_minibatch_discrimination_counts_neighbours
    """

    def __init__(self, features: int, kernels: int = 16, dims: int = 4) -> None:
        super().__init__()
        self.kernels, self.dims = kernels, dims
        self.project = nn.Linear(features, kernels * dims, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        """Map (B, D) to (B, D + K)."""
        m = self.project(h).reshape(len(h), self.kernels, self.dims)  # (B, K, L)
        distance = (m[:, None] - m[None]).abs().sum(3)  # (B, B, K)
        return torch.cat([h, torch.exp(-distance).sum(1)], dim=1)  # (B, D + K)


def unrolled_parameters(
    discriminator: nn.Module,
    loss: Callable[[Callable[..., Tensor]], Tensor],
    *,
    steps: int,
    rate: float,
) -> dict[str, Tensor]:
    r"""Parameters of the discriminator after a few steps of gradient descent that have not happened yet.

    $\omega^0 = \omega$, $\omega^{k+1} = \omega^k - \eta \nabla_\omega L_D(\omega^k)$, K times. The result
    depends on the generator through L_D, and its gradient is kept: the generator learns how the
    discriminator will answer. The discriminator itself is left as it is.

    Use them by `torch.func.functional_call(discriminator, parameters, (fake,))`.

    Args:
        discriminator: a network without batch norm or dropout.
        loss: called with the discriminator at given parameters (a function of its arguments), returns the
            discriminator's scalar loss; the fake samples in it must carry gradients to the generator.
        steps: K; 0 gives the present parameters back.
        rate: eta.

    Returns:
        name to tensor, with a graph to the generator through all K steps.

    Raises:
        ValueError: if `steps` is negative or the rate is not positive.

    Source: Metz et al. 2017, eqs. (7) to (9).
    Equation: gan-unrolled
    Test: tests/unit/test_gan.py::test_unrolled_gradient_is_that_of_finite_differences
    """
    if steps < 0 or rate <= 0:
        raise ValueError(f"steps must not be negative and rate positive, got {steps} and {rate}")
    parameters: dict[str, Tensor] = dict(discriminator.named_parameters())
    for _ in range(steps):
        here = parameters

        def at_parameters(*args: Tensor, here: dict[str, Tensor] = here) -> Tensor:
            out: Tensor = functional_call(discriminator, here, args)
            return out

        gradients = torch.autograd.grad(loss(at_parameters), list(here.values()), create_graph=True)
        parameters = {
            name: value - rate * gradient
            for (name, value), gradient in zip(here.items(), gradients, strict=True)
        }
    return parameters
