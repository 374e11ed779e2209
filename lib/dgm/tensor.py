"""Small tensor operations that every family needs.

Shapes: `expand_to` lines one value per example up with a batch; `sum_except_batch` and `mean_except_batch`
reduce a batch to one value per example; `check_shape`, `check_same_shape` and `check_floating` refuse what
does not fit. Numbers: `log_mean_exp` averages in log space; `bits_per_dim` turns nats per example into bits
per dimension; `to_pm1` and `from_pm1` go between grey levels and [-1, 1]. Noise: `randn_like`, and
`draw_device` for other draws.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import torch
from torch import Tensor

__all__ = [
    "bits_per_dim",
    "check_floating",
    "check_same_shape",
    "check_shape",
    "draw_device",
    "expand_to",
    "from_pm1",
    "log_mean_exp",
    "mean_except_batch",
    "randn_like",
    "sum_except_batch",
    "to_pm1",
]

Number = TypeVar("Number", float, Tensor)


def expand_to(t: Tensor, like: Tensor) -> Tensor:
    """Give one value per example as many trailing axes of size 1 as `like` has.

    Broadcasting aligns shapes from the right, so a bare `t * x` would scale columns, not examples.

    Args:
        t: (B,), one value per example.
        like: (B, ...), the tensor that `t` is going to meet.
    Returns:
        (B, 1, ..., 1), a view of `t` with as many axes as `like`.
    Raises:
        ValueError: `t` is not of shape (B,).
    """
    if like.ndim == 0:
        raise ValueError("like must have a batch axis, got a tensor of shape (); use like[None]")
    batch = like.shape[0]
    if tuple(t.shape) != (batch,):
        if t.ndim == 0:
            remedy = f"use t.expand({batch})"
        elif t.ndim == 2 and tuple(t.shape) == (batch, 1):
            remedy = "use t[:, 0]"
        elif t.ndim > 2 and t.numel() == batch:
            remedy = "use t.flatten()"
        else:
            remedy = "give one value per example"
        raise ValueError(f"t must have shape (B,) = ({batch},), got {tuple(t.shape)}; {remedy}")
    return t.reshape(batch, *([1] * (like.ndim - 1)))


def sum_except_batch(x: Tensor) -> Tensor:
    """Sum each example over all of its axes.

    Args:
        x: (B, ...).
    Returns:
        (B,), in the units of `x`. An `x` of shape (B,) comes back as it is.
    Raises:
        ValueError: `x` has no batch axis.
    """
    _needs_batch(x)
    return x.flatten(1).sum(1) if x.ndim > 1 else x


def mean_except_batch(x: Tensor) -> Tensor:
    """Average each example over all of its axes.

    Args:
        x: (B, ...).
    Returns:
        (B,), in the units of `x`. An `x` of shape (B,) comes back as it is.
    Raises:
        ValueError: `x` has no batch axis.
    """
    _needs_batch(x)
    return x.flatten(1).mean(1) if x.ndim > 1 else x


def log_mean_exp(x: Tensor, dim: int) -> Tensor:
    """Average along one axis in log space, without overflow: log (1/K) sum_k exp(x_k).

    Args:
        x: (..., K, ...), logarithms.
        dim: the axis to average over.
    Returns:
        `x`'s shape without `dim`, in the units of `x`.
    """
    return torch.logsumexp(x, dim) - math.log(x.shape[dim])


def bits_per_dim(nll_nats: Number, dims: int) -> Number:
    """Turn a negative log-likelihood into bits per dimension: nll / (dims log 2).

    Args:
        nll_nats: any shape or a float, nats per example (summed over its dimensions).
        dims: the number of dimensions of one example, such as 64 for an 8x8 grey image.
    Returns:
        `nll_nats`' shape, bits per dimension.
    Raises:
        ValueError: `dims` is not positive.
    """
    if dims < 1:
        raise ValueError(f"dims must be at least 1, got {dims}; give the number of dimensions of one example")
    return nll_nats / (dims * math.log(2))


def check_shape(name: str, value: Any, shape: tuple[int | str, ...], remedy: str = "") -> None:
    """Raise unless a value is a tensor of a shape, of which some lengths may be free.

    Args:
        name: of the argument, for the message.
        value: what came.
        shape: a number where the length is given, a letter such as "B" where it is free.
        remedy: what to do, for the message.
    Raises:
        TypeError: `value` is no tensor.
        ValueError: it has another shape.
    """
    wanted = f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor of shape {wanted}, got {_what(value)}")
    fits = value.ndim == len(shape) and all(
        isinstance(length, str) or length == came for length, came in zip(shape, value.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} must have shape {wanted}, got {tuple(value.shape)}{_after(remedy)}")


def check_same_shape(name: str, value: Any, like_name: str, like: Any, remedy: str = "") -> None:
    """Raise unless a value is a tensor of the shape of another one; nothing is broadcast.

    Args:
        name: of the argument, for the message.
        value: what came.
        like_name: of the other argument.
        like: the tensor that has the shape.
        remedy: what to do, for the message.
    Raises:
        TypeError: one of the two is no tensor.
        ValueError: their shapes differ.
    """
    for one, tensor in ((like_name, like), (name, value)):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{one} must be a tensor, got {_what(tensor)}")
    if value.shape != like.shape:
        raise ValueError(
            f"{name} must have the shape of {like_name}, {tuple(like.shape)}, "
            f"got {tuple(value.shape)}{_after(remedy)}"
        )


def check_floating(name: str, value: Any, remedy: str = "") -> None:
    """Raise unless a value is a tensor of real numbers.

    Args:
        name: of the argument, for the message.
        value: what came.
        remedy: what to do, for the message.
    Raises:
        TypeError: `value` is no tensor.
        ValueError: it holds integers, booleans or complex numbers.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor of real numbers, got {_what(value)}")
    if not value.is_floating_point():
        raise ValueError(
            f"{name} must hold real numbers, got {value.dtype}{_after(remedy or f'use {name}.float()')}"
        )


def draw_device(generator: torch.Generator | None, like: Tensor | None = None) -> torch.device:
    """Say where random numbers are drawn: on the generator's device, else on that of `like`, else on the CPU.

    Args:
        generator: None for torch's global generators.
        like: the tensor that the numbers are going to meet.
    Returns:
        The device.
    """
    if generator is not None:
        return generator.device
    return torch.device("cpu") if like is None else like.device


def randn_like(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw N(0, 1) noise for a tensor, on the generator's device, and move it to the tensor's.

    So a generator on the CPU gives the same noise to a model on any device.

    Args:
        x: any shape, real numbers.
        generator: where the noise comes from; the global generator of `x`'s device when None.
    Returns:
        Shape, dtype and device of `x`.
    Raises:
        ValueError: `x` holds integers, which have no such noise.
    """
    check_floating("x", x)
    eps = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=draw_device(generator, x))
    return eps.to(x.device)


def to_pm1(x: Tensor, levels: int, *, dtype: torch.dtype | None = None) -> Tensor:
    """Map grey levels to [-1, 1]: 2 x / (levels - 1) - 1.

    Args:
        x: any shape, values in 0 .. levels - 1; fractions, such as expected levels, are welcome.
        levels: how many grey levels there are, 2 to 256.
        dtype: of the result; torch's default dtype when None.
    Returns:
        The shape of `x`, in [-1, 1].
    Raises:
        ValueError: `levels` is out of range, or a value of `x` is.
    """
    check_levels(levels)
    slack = 1e-4 * levels if x.is_floating_point() else 0  # an expected level is rounded
    if x.numel() and not bool(((x >= -slack) & (x <= levels - 1 + slack)).all()):
        raise ValueError(
            f"x must lie in 0 .. {levels - 1}, got values from {x.min().item():g} to {x.max().item():g}; "
            "values in [-1, 1] or [0, 1] need no to_pm1 or another number of levels"
        )
    return x.to(dtype or torch.get_default_dtype()) * (2 / (levels - 1)) - 1


def from_pm1(x: Tensor, levels: int) -> Tensor:
    """Map [-1, 1] to the nearest grey level: round((x + 1) (levels - 1) / 2), clipped to the levels.

    Args:
        x: any shape, real values; outside [-1, 1] they are clipped.
        levels: how many grey levels there are, 2 to 256.
    Returns:
        uint8, the shape of `x`, in 0 .. levels - 1.
    Raises:
        ValueError: `levels` is out of range, `x` is not of a float dtype, or `x` holds NaN.
    """
    check_levels(levels)
    if not x.is_floating_point():
        raise ValueError(f"x must be real numbers in [-1, 1], got {x.dtype}; levels need no from_pm1")
    if bool(x.isnan().any()):
        raise ValueError("x holds NaN, which is no grey level; look for where the sampler diverged")
    return ((x + 1) * ((levels - 1) / 2)).round().clamp(0, levels - 1).to(torch.uint8)


def check_levels(levels: int) -> None:
    """Raise unless a number of grey levels fits uint8.

    Args:
        levels: how many grey levels there are.
    Raises:
        ValueError: `levels` is outside 2 .. 256.
    """
    if not 2 <= levels <= 256:
        raise ValueError(f"levels must lie in 2 .. 256 (the pixels are uint8), got {levels}")


def _what(value: Any) -> str:
    """Say what came instead of a tensor, and how to make it one."""
    if isinstance(value, int | float):
        return f"the number {value}; use torch.tensor({value}) or a tensor with one value per example"
    if type(value).__name__ == "ImageSet":
        return "an ImageSet; pass .x, its grey levels"
    if type(value).__name__ == "ndarray":
        return "a numpy array; use torch.from_numpy"
    return f"a {type(value).__name__}"


def _after(remedy: str) -> str:
    return f"; {remedy}" if remedy else ""


def _needs_batch(x: Tensor) -> None:
    if x.ndim == 0:
        raise ValueError("x must have shape (B, ...), got a tensor of shape (); use x[None]")
