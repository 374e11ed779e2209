"""Attention: every query takes a weighted mean of the values, weighted by how well its key fits."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["SelfAttention", "attention", "attention_weights"]


def attention_weights(q: Tensor, k: Tensor, mask: Tensor | None = None) -> Tensor:
    """Say how much each query looks at each key: softmax over keys of q . k / sqrt(D).

    Args:
        q: (..., N, D), queries.
        k: (..., M, D), keys.
        mask: bool, broadcastable to (..., N, M): True where a query may look. A query that may look nowhere
            gets NaN.
    Returns:
        (..., N, M), each row sums to 1.
    Raises:
        ValueError: queries and keys differ in length D, or the mask is not boolean.
    """
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(
            f"q and k must agree in their last axis, got q {tuple(q.shape)} and k {tuple(k.shape)}; "
            "project both to the same number of channels"
        )
    fit = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (..., N, M)
    if mask is not None:
        if mask.dtype != torch.bool:
            raise ValueError(
                f"mask must be bool, True where a query may look, got {mask.dtype}; use mask.bool()"
            )
        fit = fit.masked_fill(~mask, -math.inf)
    return fit.softmax(dim=-1)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention: softmax(Q K^T / sqrt(D)) V.

    The root keeps the logits of order 1: a sum of D products of independent standard numbers has variance D.

    Args:
        q: (..., N, D), queries.
        k: (..., M, D), keys.
        v: (..., M, E), values.
        mask: bool, broadcastable to (..., N, M): True where a query may look.
    Returns:
        (..., N, E).
    Raises:
        ValueError: shapes that do not fit, or a mask that is not boolean.

    Source: Vaswani et al. 2017, eq. (1).
    Test: tests/unit/test_nn.py::test_attention_is_torchs
    """
    if k.shape[-2] != v.shape[-2]:
        raise ValueError(
            f"k and v must hold as many tokens, got k {tuple(k.shape)} and v {tuple(v.shape)}; "
            "make both from the same sequence"
        )
    return attention_weights(q, k, mask) @ v


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence, or of an image's pixels, to itself.

    [Q_h, K_h, V_h] = X W_h,  Y = concat_h(attention(Q_h, K_h, V_h)) W_out

    There is no norm and no residual here: the block around it adds them. Without positions in X the result
    does not know the order of the tokens.

    Args:
        channels: C, the channels of a token.
        heads: how many attentions run side by side, each on C / heads channels.
    Raises:
        ValueError: the heads do not divide the channels.

    Source: Vaswani et al. 2017, section 3.2.2.
    """

    def __init__(self, channels: int, heads: int = 1) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ValueError(f"heads must divide channels, got {heads} heads for {channels} channels")
        self.channels, self.heads = channels, heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map tokens (B, N, C) to (B, N, C), or an image (B, C, H, W) to (B, C, H, W).

        Args:
            x: tokens (B, N, C), or an image (B, C, H, W) whose H W pixels are the tokens.
            mask: bool, broadcastable to (B, heads, N, N): True where a query may look.
        Returns:
            The shape of `x`.
        Raises:
            ValueError: `x` has other axes or other channels.
        """
        if x.ndim == 4 and x.shape[1] == self.channels:
            tokens = x.flatten(2).transpose(1, 2)  # (B, H W, C)
            return self(tokens, mask).transpose(1, 2).reshape(x.shape)  # (B, C, H, W)
        if x.ndim != 3 or x.shape[-1] != self.channels:
            raise ValueError(
                f"x must have shape (B, N, C) or (B, C, H, W) with C = {self.channels}, got {tuple(x.shape)}"
            )
        batch, n, _ = x.shape
        qkv = self.qkv(x).reshape(batch, n, 3, self.heads, -1)  # (B, N, 3, heads, D)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, N, D)
        y = attention(q, k, v, mask)  # (B, heads, N, D)
        out: Tensor = self.out(y.transpose(1, 2).reshape(batch, n, self.channels))  # (B, N, C)
        return out
