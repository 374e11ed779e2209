"""The spectral norm of a layer: how much it can stretch a vector, by power iteration."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm as _parametrize

from dgm.tensor import check_shape

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)


def power_iteration(weight: Tensor, u: Tensor, steps: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    r"""Estimate the largest singular value and its vectors.

    $v \leftarrow W^\top u / \lVert W^\top u \rVert$, $u \leftarrow W v / \lVert W v \rVert$, then
    $\sigma = u^\top W v$, from below. Each step shrinks the tangent of the angle between u and the first
    singular vector by $(\sigma_2 / \sigma_1)^2$ or more; in training the last u is a warm start, and one step
    is enough.

    Args:
        weight: (M, N) W.
        u: (M,) any vector that is not orthogonal to the first left singular vector.
        steps: how many, at least 1.

    Returns:
        sigma (), u (M,), v (N,). sigma is differentiable by W, the vectors are not.

    Raises:
        ValueError: if the shapes do not fit or `steps` is not positive.

    Source: Miyato et al. 2018, algorithm 1.
    Equation: wgan-power-iteration
    Test: tests/unit/test_gan.py::test_power_iteration_finds_the_largest_singular_value
    """
    check_shape("weight", weight, ("M", "N"), "use weight.flatten(1) for a convolution")
    check_shape("u", u, (len(weight),), "one entry per row of the weight")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    with torch.no_grad():
        for _ in range(steps):
            v = nn.functional.normalize(weight.T @ u, dim=0)  # (N,)
            u = nn.functional.normalize(weight @ v, dim=0)  # (M,)
    return u @ weight @ v, u, v


def spectral_norm(weight: Tensor, *, steps: int = 50, generator: torch.Generator | None = None) -> Tensor:
    r"""The largest singular value of a layer's weight, from a random start.

    $\sigma(W) = \max_{h \ne 0} \lVert W h \rVert_2 / \lVert h \rVert_2$

    A convolution's weight is read as the matrix (C_out, C_in k k); the norm of the convolution itself is up
    to k times that.

    Args:
        weight: (M, N, ...).
        steps: of the power iteration.
        generator: draws the start.

    Returns:
        () units of W; differentiable by W.

    Raises:
        ValueError: if `weight` has fewer than two axes.

    Source: Miyato et al. 2018, eq. (6).
    Equation: wgan-spectral-norm
    Test: tests/unit/test_gan.py::test_power_iteration_finds_the_largest_singular_value
    """
    if weight.ndim < 2:
        raise ValueError(f"weight must have shape (M, N, ...), got {tuple(weight.shape)}; leave out biases")
    start = torch.randn(len(weight), generator=generator, dtype=weight.dtype, device=weight.device)
    return power_iteration(weight.flatten(1), start, steps)[0]


def add_spectral_norm(module: nn.Module, *, steps: int = 1) -> nn.Module:
    r"""Divide the weight of every layer by its spectral norm from now on: $W / \sigma(W)$.

    It is torch.nn.utils.parametrizations.spectral_norm on each linear, convolutional and embedding layer: one
    step of the power iteration per forward pass in training mode, none in eval mode.

    Args:
        module: changed in place.
        steps: of the power iteration per forward pass.

    Returns:
        The same module.

    Source: Miyato et al. 2018, eq. (8).
    Equation: wgan-spectral-norm
    Test: tests/unit/test_gan.py::test_normalised_layers_have_norm_one
    """
    for layer in list(module.modules()):
        if isinstance(layer, LAYERS):
            _parametrize(layer, n_power_iterations=steps)
    return module


@torch.no_grad()
def lipschitz_bound(module: nn.Module) -> float:
    r"""Product of the linear layers' spectral norms, exactly by singular values.

    $\mathrm{Lip}(f) \le \prod_l \sigma(W_l)$ for linear layers in a row with 1-Lipschitz activations (ReLU,
    leaky ReLU, tanh; not SiLU, whose slope reaches 1.1).

    Args:
        module: whose nn.Linear layers follow one another.

    Returns:
        the bound, in units of the output over those of the input.

    Raises:
        ValueError: if there is no nn.Linear, or a convolution (whose norm is not that of its weight).

    Source: Miyato et al. 2018, eq. (7).
    Equation: wgan-spectral-norm
    Test: tests/equations/test_wgan.py::test_slope_is_at_most_the_product_of_norms_and_one_when_normalised
    """
    layers = list(module.modules())
    if any(isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) for layer in layers):
        raise ValueError("lipschitz_bound takes linear layers only, got a convolution")
    norms = [torch.linalg.svdvals(layer.weight)[0].item() for layer in layers if isinstance(layer, nn.Linear)]
    if not norms:
        raise ValueError("the module has no nn.Linear layer")
    bound = 1.0
    for norm in norms:
        bound *= norm
    return bound
