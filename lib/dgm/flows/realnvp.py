"""RealNVP: affine couplings that alternate, for vectors and for images; and couplings with learned mixing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from dgm.flows.base import Compose, Flow, FlowModel, Mapped, StandardNormal
from dgm.flows.conditioner import ConvConditioner
from dgm.flows.coupling import (
    Affine,
    Coupling,
    Halves,
    MaskedCoupling,
    Transform,
    checkerboard_mask,
    mlp_coupling,
)
from dgm.flows.linear import ActNorm, Rotation
from dgm.flows.multiscale import MultiScale, Squeeze


class RealNVP(Flow):
    r"""Couplings of vectors that keep the first half, the second half, the first half, ...

    The same map as a `Compose` of `Coupling`s, but faster: the halves are cut once, stay two tensors that
    change roles, and are joined once; log-derivatives are summed over the entries once, at the end.

    Args:
        features: D, entries of a vector x (B, D).
        layers: number of couplings; at least 2, or one half is never changed.
        hidden: widths of the conditioners' hidden layers.
        transform: of single numbers; `Affine()` when None.
        activation: a name that `dgm.nn.MLP` knows.
        dropout: probability that a hidden unit is dropped in training.
        start: factor of the conditioners' last initial weights; 0 starts at the identity.

    Source: Dinh et al. 2017, sections 3.2 to 3.5.
    """

    def __init__(
        self,
        features: int,
        layers: int = 8,
        hidden: Sequence[int] = (64, 64),
        *,
        transform: Transform | None = None,
        activation: str = "relu",
        dropout: float = 0.0,
        start: float = 0.0,
    ) -> None:
        super().__init__()
        if layers < 2:
            raise ValueError(f"layers must be at least 2, got {layers}; one coupling changes only one half")
        self.couplings = nn.ModuleList(
            mlp_coupling(
                Halves(features, swap=i % 2 == 1),
                transform or Affine(),
                hidden,
                activation=activation,
                dropout=dropout,
                start=start,
            )
            for i in range(layers)
        )

    def forward(self, x: Tensor) -> Mapped:
        return self._run(x, [cast(Coupling, c) for c in self.couplings], inverse=False)

    def inverse(self, z: Tensor) -> Mapped:
        """Map z to x through the couplings, the last one first."""
        return self._run(z, [cast(Coupling, c) for c in reversed(self.couplings)], inverse=True)

    @staticmethod
    def _run(x: Tensor, couplings: list[Coupling], inverse: bool) -> Mapped:
        outer = couplings[0].split
        kept, changed = outer(x)
        # The log-derivatives of each half: (B, entries), then summed.
        sums: list[Tensor | None] = [None, None]
        for i, coupling in enumerate(couplings):
            transform = coupling.transform.inverse if inverse else coupling.transform.forward
            changed, log_derivative = transform(changed, coupling.conditioner(kept))
            so_far = sums[i % 2]
            sums[i % 2] = log_derivative if so_far is None else so_far + log_derivative
            kept, changed = changed, kept
        if len(couplings) % 2:  # an odd number of changes of role
            kept, changed = changed, kept
        first, second = (s.sum(1) for s in sums if s is not None)
        return outer.merge(kept, changed), first + second


def mixed_couplings(
    features: int,
    layers: int = 8,
    transform: Transform | None = None,
    hidden: Sequence[int] = (64, 64),
    *,
    activation: str = "sine",
    start: float = 0.0,
    frequency: float = 2.0,
) -> FlowModel:
    """Build a density of vectors by couplings with ActNorm and a learned rotation before each.

    In two dimensions this does far better than a fixed swap, the more so with sine activations.

    Args:
        features: D, entries of a vector x (B, D).
        layers: number of couplings.
        transform: of single numbers, such as `RationalQuadratic(16, 3.5)`; `Affine()` when None.
        hidden: widths of the conditioners' hidden layers.
        activation: a name that `dgm.nn.MLP` knows.
        start: factor of the conditioners' last initial weights.
        frequency: factor of their first initial weights where the activation is the sine; of two moons,
            many affine couplings learn more with 4.

    Returns:
        A model with base N(0, I).
    """
    flows: list[Flow] = []
    for _ in range(layers):
        coupling = mlp_coupling(
            Halves(features),
            transform or Affine(),
            hidden,
            activation=activation,
            start=start,
            frequency=frequency,
        )
        flows += [ActNorm(features), Rotation(features), coupling]
    return FlowModel(StandardNormal(features), Compose(*flows))


def realnvp_images(
    shape: tuple[int, int, int] = (1, 8, 8), width: int = 64, *, dropout: float = 0.0, clip: float = 2.0
) -> FlowModel:
    """Build the RealNVP of images: checkerboard couplings, squeeze, channel couplings, split, checkerboards.

    Two levels. The first has three checkerboard couplings, then (squeezed) three of channels; half of the
    channels leave; the rest passes four checkerboard couplings.

    Args:
        shape: (C, H, W) of one image, H and W even.
        width: hidden channels of the conditioners.
        dropout: probability that a hidden channel is dropped in training.
        clip: bound of the log-scales.

    Returns:
        A model with base N(0, I) of real-valued images (B, C, H, W): see `Logit` for those in [0, 1].

    Source: Dinh et al. 2017, section 3.6 (their networks are residual and deeper).
    """
    channels, height, width_px = shape

    def checkers(c: int, h: int, w: int, number: int) -> list[Flow]:
        return [
            MaskedCoupling(
                checkerboard_mask(h, w, swap=i % 2 == 1),
                Affine(clip),
                ConvConditioner(c, c, 2, width, dropout=dropout),
            )
            for i in range(number)
        ]

    by_channel: list[Flow] = []
    for i in range(3):
        split = Halves(4 * channels, swap=i % 2 == 1)
        conditioner = ConvConditioner(split.kept, split.changed, 2, width, dropout=dropout)
        by_channel.append(Coupling(split, Affine(clip), conditioner))
    first = Compose(*checkers(channels, height, width_px, 3), Squeeze(), *by_channel)
    second = Compose(*checkers(2 * channels, height // 2, width_px // 2, 4))
    dims = channels * height * width_px
    return FlowModel(StandardNormal(dims), MultiScale(shape, [first, second]))
