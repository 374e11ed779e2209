"""Small tensor operations that every family needs.

Shapes: `expand_to` lines one value per example up with a batch; `sum_except_batch` and `mean_except_batch`
reduce a batch to one value per example. Numbers: `log_mean_exp` averages in log space; `bits_per_dim`
turns nats per example into bits per dimension.
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor

__all__ = ["bits_per_dim", "expand_to", "log_mean_exp", "mean_except_batch", "sum_except_batch"]

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


def _needs_batch(x: Tensor) -> None:
    if x.ndim == 0:
        raise ValueError("x must have shape (B, ...), got a tensor of shape (); use x[None]")
