"""What makes an autoencoder more than a compressor: penalties on the code and noise on the input."""

from collections.abc import Callable

import torch
from torch import Tensor

from dgm.tensor import check_floating, check_same_shape, draw_device, randn_like, sum_except_batch


def squared_error(x: Tensor, x_hat: Tensor) -> Tensor:
    r"""Squared distance between input and reconstruction.

    $\lVert x - \hat x \rVert^2 = \sum_j (x_j - \hat x_j)^2$ (a sum, not a mean, over the dimensions)

    Args:
        x: (B, ...) inputs.
        x_hat: (B, ...) reconstructions.

    Returns:
        (B,) squared units of x.

    Raises:
        ValueError: if the shapes differ.

    Source: Hinton & Salakhutdinov 2006.
    Equation: ae-mse
    Test: tests/equations/test_autoencoder.py::test_squared_error_is_the_squared_euclidean_distance
    """
    check_same_shape("x_hat", x_hat, "x", x)
    return sum_except_batch((x - x_hat).square())


def sparse_penalty(codes: Tensor) -> Tensor:
    r"""L1 norm of the code, which pushes code units to exactly zero.

    $\lVert h \rVert_1 = \sum_j |h_j|$

    Args:
        codes: (B, J) codes h.

    Returns:
        (B,) units of h.

    Source: Goodfellow, Bengio & Courville 2016, section 14.2.1.
    Equation: ae-sparse
    Test: tests/equations/test_autoencoder.py::test_sparse_penalty_is_the_l1_norm
    """
    return sum_except_batch(codes.abs())


def corrupt(
    x: Tensor, amount: float, *, kind: str = "gaussian", generator: torch.Generator | None = None
) -> Tensor:
    r"""A noisy copy of the input, for an autoencoder that must give back the clean one.

    gaussian: $\tilde x = x + \sigma \varepsilon$, with sigma = `amount`;
    masking: $\tilde x_j = 0$ with probability `amount`, else $x_j$.

    Args:
        x: (B, ...) clean inputs.
        amount: standard deviation in units of x, or probability of a zero.
        kind: "gaussian" or "masking".
        generator: source of the noise.

    Returns:
        (B, ...) corrupted copy; `x` is left as it is.

    Raises:
        ValueError: on integers, another kind, a negative deviation, or a probability outside [0, 1].

    Source: Vincent et al. 2010.
    Equation: ae-denoising
    Test: tests/equations/test_autoencoder.py::test_corruption_adds_noise_of_the_stated_deviation
    """
    check_floating("x", x, "use dgm.data.to_pm1(x, levels) on grey levels")
    if kind == "gaussian":
        if amount < 0:
            raise ValueError(f"amount is a standard deviation and must not be negative, got {amount}")
        return x + amount * randn_like(x, generator)
    if kind == "masking":
        if not 0 <= amount <= 1:
            raise ValueError(f"amount is a probability and must be in [0, 1], got {amount}")
        keep = (
            torch.rand(x.shape, generator=generator, device=draw_device(generator, x)).to(x.device) >= amount
        )
        return x * keep
    raise ValueError(f'kind must be "gaussian" or "masking", got "{kind}"')


def contractive_penalty(encoder: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    r"""Squared Frobenius norm of the encoder's Jacobian at each input, exactly.

    $\lVert J_h(x) \rVert_F^2 = \sum_{k,j} \bigl( \partial h_k / \partial x_j \bigr)^2$

    One backward pass per code unit, all batched: for wide codes use `contractive_penalty_estimate`.

    Args:
        encoder: maps (B, ...) to (B, J), each row by itself (no batch norm in training mode).
        x: (B, ...) inputs.

    Returns:
        (B,) squared units of h over x; differentiable by the encoder's parameters.

    Raises:
        ValueError: if the encoder's output is not (B, J).

    Source: Rifai et al. 2011.
    Equation: ae-contractive
    Test: tests/equations/test_autoencoder.py::test_contractive_penalty_is_the_sum_of_squared_derivatives
    """
    x, codes = _codes_with_graph(encoder, x)  # (B, ...), (B, J)
    batch, width = codes.shape
    # Unit vector k for every sample at once: since samples do not interact, one vector-Jacobian product per k
    # is row k of every sample's Jacobian.
    rows = torch.eye(width, dtype=codes.dtype, device=codes.device)[:, None, :].expand(width, batch, width)
    (jacobian,) = torch.autograd.grad(codes, x, rows, create_graph=True, is_grads_batched=True)  # (J, B, ...)
    return sum_except_batch(jacobian.square().sum(0))  # (B,)


def contractive_penalty_estimate(
    encoder: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    probes: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Unbiased estimate of the squared Frobenius norm of the encoder's Jacobian, whatever the code's width.

    $\lVert J \rVert_F^2 = \operatorname{tr} J J^\top = \mathbb{E}_v \lVert J^\top v \rVert^2$ for v of
    independent random signs.

    Args:
        encoder: maps (B, ...) to (B, J), each row by itself.
        x: (B, ...) inputs.
        probes: number of v; the cost is one backward pass each.
        generator: source of the signs.

    Returns:
        (B,) squared units of h over x; differentiable by the encoder's parameters.

    Raises:
        ValueError: if the encoder's output is not (B, J), or `probes` is not positive.

    Source: Hutchinson 1990.
    Equation: ae-contractive
    Test: tests/unit/test_vae.py::test_estimated_contractive_penalty_is_unbiased
    """
    if probes < 1:
        raise ValueError(f"probes must be at least 1, got {probes}")
    x, codes = _codes_with_graph(encoder, x)  # (B, ...), (B, J)
    coin = torch.randint(0, 2, (probes, *codes.shape), generator=generator, device=codes.device)
    signs = coin.to(codes.dtype) * 2 - 1  # (P, B, J)
    (product,) = torch.autograd.grad(codes, x, signs, create_graph=True, is_grads_batched=True)  # (P, B, ...)
    return sum_except_batch(product.square().mean(0))  # (B,)


def sigmoid_contractive_penalty(weight: Tensor, codes: Tensor) -> Tensor:
    r"""`contractive_penalty` in closed form for the one-layer encoder h = sigmoid(W x + b).

    $\lVert J_h(x) \rVert_F^2 = \sum_k \bigl( h_k (1 - h_k) \bigr)^2 \sum_j W_{kj}^2$

    Args:
        weight: (J, D) W, as in `nn.Linear.weight`.
        codes: (B, J) h.

    Returns:
        (B,) squared units of h over x.

    Raises:
        ValueError: if the shapes do not fit.

    Source: Rifai et al. 2011.
    Equation: ae-contractive-sigmoid
    Test: tests/equations/test_autoencoder.py::test_closed_form_of_the_sigmoid_layer_is_the_jacobian_norm
    """
    if weight.ndim != 2 or codes.ndim != 2 or weight.shape[0] != codes.shape[1]:
        raise ValueError(
            f"weight must be (J, D) and codes (B, J), got {tuple(weight.shape)} and {tuple(codes.shape)}; "
            "take nn.Linear's weight as it is, output units first"
        )
    slope = codes * (1 - codes)  # (B, J)
    return slope.square() @ weight.square().sum(1)  # (B,)


def _codes_with_graph(encoder: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """A copy of x to differentiate by, and its codes; also where the caller has switched gradients off."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        codes = encoder(x)
    if codes.ndim != 2 or codes.shape[0] != x.shape[0]:
        raise ValueError(f"encoder must return shape (B, J) = ({x.shape[0]}, J), got {tuple(codes.shape)}")
    return x, codes
