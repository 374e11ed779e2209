"""A uniform density on every second square of a board."""

import math
from dataclasses import dataclass
from typing import ClassVar, NoReturn

import torch
from torch import Tensor

from dgm.data.toy2d.base import Bounds, check_points, check_positive, choose, square, uniform


@dataclass(frozen=True)
class Checkerboard:
    """Uniform on the squares of a board whose row and column numbers have an even sum.

    p(x) = 2 / (2 half_width)^2 on those squares, 0 elsewhere

    The log-density is constant or -inf, so it has no score, and autograd has nothing to differentiate.

    Args:
        cells: Squares along each side, even, so that exactly half of the area is filled.
        half_width: The board covers [-half_width, half_width)^2; squares are half-open.
    """

    cells: int = 4
    half_width: float = 3.0

    name: ClassVar[str] = "checkerboard"

    def __post_init__(self) -> None:
        check_positive(half_width=self.half_width)
        if self.cells < 2 or self.cells % 2:
            remedy = max(2, self.cells + self.cells % 2)
            raise ValueError(f"cells must be even and at least 2, got {self.cells}; use {remedy}")

    @property
    def bounds(self) -> Bounds:
        """The board with a margin of a third of its half width."""
        return square(self.half_width * 4 / 3)

    def sample(
        self, n: int, generator: torch.Generator | None = None, *, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Draw n points (n, 2)."""
        row = choose(n, self.cells, generator)  # (n,)
        column = 2 * choose(n, self.cells // 2, generator) + row % 2  # (n,): row + column is even
        return torch.stack(
            [
                self._within(column, uniform(n, generator, dtype)),
                self._within(row, uniform(n, generator, dtype)),
            ],
            dim=1,
        )

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) (B,) in nats for points x (B, 2); -inf off the filled squares."""
        check_points(x)
        cell = ((x + self.half_width) / self._side).floor()  # (B, 2)
        on_board = ((cell >= 0) & (cell < self.cells)).all(dim=1)
        filled = on_board & (cell.sum(dim=1) % 2 == 0)
        return torch.where(filled, x.new_tensor(math.log(2 / (2 * self.half_width) ** 2)), -math.inf)

    def score(self, x: Tensor) -> NoReturn:
        """Raise NotImplementedError: a piecewise constant density has no score."""
        raise NotImplementedError(
            "the checkerboard has no score: its density is piecewise constant, so its gradient is 0 "
            "inside the squares and does not exist on their edges; use a density that has a score, such "
            "as TwoMoons"
        )

    @property
    def _side(self) -> float:
        return 2 * self.half_width / self.cells

    def _within(self, cell: Tensor, u: Tensor) -> Tensor:
        """Return a coordinate in the half-open cell, for u in [0, 1)."""
        # Rounding must carry no point over an edge into an empty cell: keep a few rounding errors clear.
        hair = 4 * self.cells * torch.finfo(u.dtype).eps
        return (cell + u.clamp(hair, 1 - hair)) * self._side - self.half_width
