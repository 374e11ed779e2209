"""Arithmetic coding: an exact likelihood is a file size.

Draw the unit interval, and cut it in proportion to the probabilities of the first pixel; keep the piece of
the level that x has, cut it in proportion to the second pixel's conditional, and so on. The last piece is
p(x) wide, and a binary number that lies in it needs about -log2 p(x) digits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import torch
from torch import Tensor

from dgm.autoregressive.base import Autoregressive

__all__ = ["decode", "encode", "level_counts"]

PRECISION = 16  # a conditional probability is a whole number of 1 / 2^16


def level_counts(probabilities: Tensor) -> Tensor:
    """Round probabilities to whole numbers of 1 / 2^16 that sum to one, none of them 0.

    Args:
        probabilities: (..., L), each row sums to 1; L at most 2^15.
    Returns:
        (..., L) int64, at least 1, each row sums to 2^16.
    Raises:
        ValueError: more than 2^15 levels.
    """
    levels, total = probabilities.shape[-1], 1 << PRECISION
    if levels > total // 2:
        raise ValueError(f"expected at most {total // 2} levels, got {levels}")
    counts = 1 + (probabilities.double() * (total - levels)).floor().long()  # at most `total` in a row
    spare = total - counts.sum(-1, keepdim=True)
    return counts.scatter_add(-1, counts.argmax(-1, keepdim=True), spare)


def encode(model: Autoregressive, x: Tensor, y: Tensor | None = None) -> list[str]:
    r"""Write each x as a string of bits, by arithmetic coding with the model's conditionals.

    The string names a binary interval inside [F, F + p), where p is the product of the conditionals of x
    and F the sum of those of all images before it in lexicographic order. No string is the beginning of
    another one, so they may follow one another without a mark between them.

    $-\log_2 p \le \text{length} < -\log_2 p + 2$

    The conditionals are rounded to 16 bits, which costs about a thousandth of a bit a pixel.

    Args:
        model: in eval mode.
        x: (B, *shape), whole levels.
        y: (B,) labels, for a model with classes.
    Returns:
        B strings of "0" and "1".
    Raises:
        ValueError: as the model's `forward`.

    Source: Cover & Thomas 2006, "Elements of information theory".
    Equation: ar-code
    Test: tests/equations/test_autoregressive.py::test_code_lengths_are_bounded_and_prefix_free
    """
    model.check(x, y)
    given = torch.zeros_like(x, dtype=torch.int64)
    chosen = x.flatten(1).tolist()
    intervals = [(0, 1)] * len(x)
    for i in range(model.dims):
        bounds = _bounds(model, given, y, i)
        levels = [row[i] for row in chosen]
        intervals = [_narrow(*args) for args in zip(intervals, bounds, levels, strict=True)]
        given.view(len(x), -1)[:, i] = x.flatten(1)[:, i]
    return [_inside(low, width, PRECISION * model.dims) for low, width in intervals]


def decode(model: Autoregressive, codes: Sequence[str], y: Tensor | None = None) -> Tensor:
    """Read what `encode` wrote.

    All that `encode` got at once must be read at once, by the same model on the same machine: a conditional
    that differs in its last digits may round to another count, and everything after it is lost.

    Args:
        model: that of `encode`.
        codes: all that it returned, in the same order.
        y: its labels.
    Returns:
        (B, *shape) int64 levels.
    Raises:
        ValueError: as the model's `forward`, or a code with other characters than 0 and 1.
    """
    if any(not code or set(code) - {"0", "1"} for code in codes):
        raise ValueError("codes must be strings of 0 and 1, as encode returns them")
    device = next(model.parameters()).device
    given = torch.zeros(len(codes), *model.shape, dtype=torch.int64, device=device)
    intervals = [(0, 1)] * len(codes)
    for i in range(model.dims):
        bounds = _bounds(model, given, y, i)
        scale = PRECISION * i
        levels = [_level(*args, scale) for args in zip(codes, intervals, bounds, strict=True)]
        intervals = [_narrow(*args) for args in zip(intervals, bounds, levels, strict=True)]
        given.view(len(codes), -1)[:, i] = torch.tensor(levels, device=device)
    return given


@torch.no_grad()
def _bounds(model: Autoregressive, given: Tensor, y: Tensor | None, i: int) -> list[list[int]]:
    """Where the pieces of position i begin, in 1 / 2^16 of the present piece: B lists of L + 1 numbers.

    Encoder and decoder both come here with the same zeros after position i, so that they compute the same.
    """
    logits = model.logits_at(given, i, y)  # (B, L)
    counts = level_counts(logits.double().softmax(1))
    begin = torch.cat([torch.zeros_like(counts[:, :1]), counts.cumsum(1)], 1)
    found: list[list[int]] = begin.tolist()
    return found


def _narrow(interval: tuple[int, int], bounds: list[int], level: int) -> tuple[int, int]:
    """The piece of a level. A piece is (low, width); at position i in units of 1 / 2^(16 i)."""
    low, width = interval
    return (low << PRECISION) + bounds[level] * width, (bounds[level + 1] - bounds[level]) * width


def _inside(low: int, width: int, scale: int) -> str:
    """The shortest binary interval that is sure to lie in [low, low + width) / 2^scale."""
    length = scale - (width.bit_length() - 1) + 1  # ceil(-log2 p) + 1: 2^-length is at most p / 2
    first = -((-low << length) >> scale)  # low, rounded up to a multiple of 2^-length
    return f"{first:0{length}b}"


def _level(code: str, interval: tuple[int, int], bounds: list[int], scale: int) -> int:
    """The level whose piece holds the number 0.code."""
    low, width = interval
    offset = (int(code, 2) << scale) - (low << len(code))  # from the beginning of the piece
    place = (offset << PRECISION) // (width << len(code))  # in 1 / 2^16 of it
    return bisect_right(bounds, place) - 1
