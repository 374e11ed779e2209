"""Linear flows: ActNorm, the invertible 1x1 convolution by its LU factors, and a learned rotation.

All act on axis 1, on vectors (B, C) as well as on images (B, C, H, W), where every pixel is mapped alike and
the log-determinant counts H W times.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dgm.flows.base import Flow, Mapped, check_channels


class ActNorm(Flow):
    r"""Scale and shift each channel; the first batch in training mode sets both.

    $z = e^{s_c} x + b_c$, log-determinant $H W \sum_c s_c$

    At the first forward pass in training mode s and b are set so that this batch leaves with mean 0 and
    variance 1 per channel; after that they are ordinary parameters. Before it the map is the identity.

    Args:
        channels: C, length of axis 1.

    Source: Kingma & Dhariwal 2018, section 3.1.
    Equation: glow-actnorm, glow-actnorm-start
    Test: tests/equations/test_glow.py::test_actnorm_is_an_affine_map_per_channel
    """

    started: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.register_buffer("started", torch.tensor(False))
        self._known = False  # that `started` is true, without asking a GPU at every step

    def forward(self, x: Tensor) -> Mapped:
        check_channels(x, len(self.shift))
        if self.training and not self._known:
            if not bool(self.started):
                self._start(x)
            self._known = True
        z = torch.addcmul(_lift(self.shift, x), x, _lift(self.log_scale.exp(), x))
        return z, (_pixels(x) * self.log_scale.sum()).expand(len(x))

    def inverse(self, z: Tensor) -> Mapped:
        """Shift back, then scale back."""
        check_channels(z, len(self.shift))
        x = (z - _lift(self.shift, z)) * _lift(torch.exp(-self.log_scale), z)
        return x, (-_pixels(z) * self.log_scale.sum()).expand(len(z))

    @torch.no_grad()
    def _start(self, x: Tensor) -> None:
        values = x.transpose(0, 1).flatten(1)  # (C, B H W)
        if values.shape[1] < 2:
            raise ValueError(
                "ActNorm starts from the variance of a batch, which needs more than one value per channel, "
                f"got x of shape {tuple(x.shape)}; give a larger first batch"
            )
        std = values.std(dim=1, unbiased=False)
        std = torch.where(std < 1e-6, torch.ones_like(std), std)  # a constant channel is only shifted
        self.log_scale.copy_(-std.log())
        self.shift.copy_(-values.mean(dim=1) / std)
        self.started.fill_(True)


class InvertibleConv(Flow):
    r"""A 1x1 convolution with weight $W = P L (U + \text{diag}(\sigma e^{s}))$, which mixes the channels.

    P is a fixed permutation, L unit lower and U strictly upper triangular, $\sigma$ fixed signs. So
    $\log |\det W| = \sum_c s_c$, C additions where a dense determinant takes C^3 operations; and the
    inverse is two triangular solves. Starts at a random rotation.

    Args:
        channels: C, length of axis 1.

    Source: Kingma & Dhariwal 2018, section 3.2.
    Equation: glow-conv, glow-lu, glow-lu-logdet
    Test: tests/equations/test_glow.py::test_weight_is_the_product_of_its_factors
    """

    permutation: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        weight, _ = torch.linalg.qr(torch.randn(channels, channels))
        permutation, lower, upper = torch.linalg.lu(weight)
        diagonal = upper.diagonal()
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_diagonal = nn.Parameter(diagonal.abs().log())
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", diagonal.sign())

    def factors(self) -> tuple[Tensor, Tensor]:
        """Unit lower triangular L and upper triangular U with its diagonal, each (C, C)."""
        lower = self.lower.tril(-1) + torch.eye(
            len(self.sign), dtype=self.sign.dtype, device=self.sign.device
        )
        return lower, self.upper.triu(1) + torch.diag(self.sign * self.log_diagonal.exp())

    def weight(self) -> Tensor:
        """W = P L U, (C, C)."""
        lower, upper = self.factors()
        return self.permutation @ lower @ upper

    def forward(self, x: Tensor) -> Mapped:
        check_channels(x, len(self.sign))
        z = torch.einsum("dc,bc...->bd...", self.weight(), x)
        return z, (_pixels(x) * self.log_diagonal.sum()).expand(len(x))

    def inverse(self, z: Tensor) -> Mapped:
        """Map z to x by two triangular solves."""
        check_channels(z, len(self.sign))
        lower, upper = self.factors()
        flat = z.transpose(0, 1).flatten(1)  # (C, B H W)
        flat = torch.linalg.solve_triangular(
            lower, self.permutation.T @ flat, upper=False, unitriangular=True
        )
        flat = torch.linalg.solve_triangular(upper, flat, upper=True)
        x = flat.unflatten(1, (len(z), *z.shape[2:])).transpose(0, 1)  # (B, C, H, W)
        return x, (-_pixels(z) * self.log_diagonal.sum()).expand(len(z))


class Rotation(Flow):
    r"""A learned rotation of the channels, $z = e^{A} x$ with $A^\top = -A$; the log-determinant is 0.

    It takes the place of the fixed swap of halves: the flow learns which directions a coupling splits. In
    two dimensions the exponential is the matrix of one angle. Starts at a random rotation.

    Args:
        channels: C, length of axis 1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 2:
            raise ValueError(f"channels must be at least 2, got {channels}; one channel cannot be rotated")
        self.channels = channels
        pairs = channels * (channels - 1) // 2
        self.angles = nn.Parameter(math.pi * (2 * torch.rand(pairs) - 1))

    def weight(self) -> Tensor:
        """The rotation matrix (C, C)."""
        if self.channels == 2:  # a matrix exponential of this size is all overhead
            cos, sin = self.angles.cos(), self.angles.sin()
            return torch.stack([torch.cat([cos, -sin]), torch.cat([sin, cos])])
        skew = self.angles.new_zeros(self.channels, self.channels)
        rows, columns = torch.tril_indices(self.channels, self.channels, -1, device=skew.device)
        skew = skew.index_put((rows, columns), self.angles)
        return torch.linalg.matrix_exp(skew - skew.T)

    def forward(self, x: Tensor) -> Mapped:
        check_channels(x, self.channels)
        return _mix(self.weight(), x), x.new_zeros(len(x))

    def inverse(self, z: Tensor) -> Mapped:
        """Rotate back."""
        check_channels(z, self.channels)
        return _mix(self.weight().T, z), z.new_zeros(len(z))


class Reverse(Flow):
    """Turn the order of the channels round, so that the next coupling changes the other half."""

    def forward(self, x: Tensor) -> Mapped:
        return x.flip(1), x.new_zeros(len(x))

    def inverse(self, z: Tensor) -> Mapped:
        """Turn the order round again."""
        return z.flip(1), z.new_zeros(len(z))


def _mix(weight: Tensor, x: Tensor) -> Tensor:
    """Apply a matrix (C, C) to axis 1 of x (B, C, ...)."""
    return x @ weight.T if x.ndim == 2 else torch.einsum("dc,bc...->bd...", weight, x)


def _pixels(x: Tensor) -> int:
    """H W of an image, 1 of a vector."""
    return math.prod(x.shape[2:])


def _lift(parameter: Tensor, x: Tensor) -> Tensor:
    """One value per channel, (C,), with the axes of x: (C, 1, 1) for an image."""
    return parameter.reshape(-1, *[1] * (x.ndim - 2))
