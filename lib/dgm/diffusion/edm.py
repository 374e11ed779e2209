r"""EDM: preconditioning, loss and noise levels chosen so that the network has an easy task at each of them.

Everything is in the noise level $\sigma$ with $x = x_0 + \sigma \varepsilon$ (`EDMSchedule`, whose time is
sigma). The sampler is `heun`, apart from all this.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dgm.diffusion.predictions import Denoiser
from dgm.tensor import check_same_shape, draw_device, expand_to, sum_except_batch


class EDMCoefficients(NamedTuple):
    """How a network is wrapped at each noise level, each (B,)."""

    c_skip: Tensor  # of the noisy input, in the output
    c_out: Tensor  # of the network's output
    c_in: Tensor  # of the network's input
    c_noise: Tensor  # what the network is told of the noise level


def edm_coefficients(sigma: Tensor, sigma_data: float) -> EDMCoefficients:
    r"""Scales at which a network's input and its target have unit variance, and its errors matter least.

    $c_{\text{skip}} = \frac{\sigma_d^2}{\sigma^2 + \sigma_d^2}, \quad
    c_{\text{out}} = \frac{\sigma \sigma_d}{\sqrt{\sigma^2 + \sigma_d^2}}, \quad
    c_{\text{in}} = \frac{1}{\sqrt{\sigma^2 + \sigma_d^2}}, \quad c_{\text{noise}} = \tfrac14 \ln \sigma$

    Args:
        sigma: (B,) noise levels, above 0.
        sigma_data: standard deviation of the data's entries, around a mean of 0.

    Returns:
        The four coefficients, each (B,).

    Raises:
        ValueError: if sigma_data is not positive.

    Source: Karras et al. 2022, table 1.
    """
    if sigma_data <= 0:
        raise ValueError(f"sigma_data must be positive, got {sigma_data}; take the data's standard deviation")
    total = sigma.square() + sigma_data**2
    return EDMCoefficients(
        sigma_data**2 / total, sigma * sigma_data * total.rsqrt(), total.rsqrt(), sigma.log() / 4
    )


def edm_denoiser(network: Callable[..., Tensor], sigma_data: float, *, y: Tensor | None = None) -> Denoiser:
    r"""Turn a raw network into a denoiser, through its preconditioning.

    $D(x, \sigma) = c_{\text{skip}}\, x + c_{\text{out}}\, F(c_{\text{in}}\, x, c_{\text{noise}})$

    Args:
        network: F, (x (B, ...), c_noise (B,)) -> (B, ...), or with `y` as third argument where that is given.
        sigma_data: standard deviation of the data.
        y: (B,) labels for the network.

    Returns:
        (x_t, sigma) -> x0_hat: a denoiser for `EDMSchedule`.

    Source: Karras et al. 2022, section 5.
    """

    def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
        c = edm_coefficients(t.to(x_t.dtype), sigma_data)
        c_skip, c_out, c_in = (expand_to(value, x_t) for value in (c.c_skip, c.c_out, c.c_in))
        x_in = c_in * x_t
        raw = network(x_in, c.c_noise) if y is None else network(x_in, c.c_noise, y)
        return c_skip * x_t + c_out * raw

    return denoiser


def edm_loss(
    network: Callable[..., Tensor],
    x0: Tensor,
    sigma: Tensor,
    eps: Tensor,
    sigma_data: float,
    *,
    y: Tensor | None = None,
) -> Tensor:
    r"""Squared error of the denoised data, weighted so that every noise level counts alike at the start.

    $\lambda(\sigma) \lVert D(x_0 + \sigma \varepsilon, \sigma) - x_0 \rVert^2, \quad
    \lambda = (\sigma^2 + \sigma_d^2) / (\sigma \sigma_d)^2 = 1 / c_{\text{out}}^2$ (a sum over dimensions)

    Args:
        network: F, see `edm_denoiser`.
        x0: (B, ...) data.
        sigma: (B,) noise levels: `draw_sigma`.
        eps: (B, ...) noise.
        sigma_data: standard deviation of the data.
        y: (B,) labels for the network.

    Returns:
        (B,); for a network that says 0 and data of that deviation its mean is the number of dimensions.

    Source: Karras et al. 2022, table 1.
    """
    check_same_shape("eps", eps, "x0", x0)
    sigma = sigma.to(x0.dtype)
    x0_hat = edm_denoiser(network, sigma_data, y=y)(x0 + expand_to(sigma, x0) * eps, sigma)
    weight = edm_coefficients(sigma, sigma_data).c_out ** -2  # (B,)
    return weight * sum_except_batch((x0_hat - x0).square())


def draw_sigma(
    n: int, generator: torch.Generator | None = None, *, p_mean: float = -1.2, p_std: float = 1.2
) -> Tensor:
    r"""Draw noise levels for a training batch, log-normal.

    $\ln \sigma \sim \mathcal{N}(P_{\text{mean}}, P_{\text{std}}^2)$

    Args:
        n: how many.
        generator: source of the draws.
        p_mean: mean of ln sigma.
        p_std: its standard deviation.

    Returns:
        (n,) in torch's default dtype, on the generator's device.

    Raises:
        ValueError: if the deviation is negative.

    Source: Karras et al. 2022, table 1.
    """
    if p_std < 0:
        raise ValueError(f"p_std must not be negative, got {p_std}")
    eps = torch.randn(n, generator=generator, device=draw_device(generator))
    return torch.exp(p_mean + p_std * eps)
