"""Glow: steps of ActNorm, invertible 1x1 convolution and affine coupling, on several scales."""

from __future__ import annotations

from dgm.flows.base import Compose, Flow, FlowModel, StandardNormal
from dgm.flows.conditioner import ConvConditioner
from dgm.flows.coupling import Affine, Coupling, Halves
from dgm.flows.linear import ActNorm, InvertibleConv
from dgm.flows.multiscale import MultiScale, Squeeze


def glow_step(channels: int, width: int = 64, *, dropout: float = 0.0, clip: float = 2.0) -> Compose:
    """Build one step of Glow: ActNorm, invertible 1x1 convolution, affine coupling of channels.

    Args:
        channels: C of the images that pass, at least 2.
        width: hidden channels of the conditioner.
        dropout: probability that a hidden channel is dropped in training.
        clip: bound of the coupling's log-scales.

    Returns:
        The three flows, composed.

    Source: Kingma & Dhariwal 2018, section 3 and table 1.
    """
    split = Halves(channels)
    conditioner = ConvConditioner(split.kept, split.changed, 2, width, dropout=dropout)
    return Compose(ActNorm(channels), InvertibleConv(channels), Coupling(split, Affine(clip), conditioner))


def glow_images(
    shape: tuple[int, int, int] = (1, 8, 8),
    levels: int = 2,
    steps: int = 4,
    width: int = 64,
    *,
    dropout: float = 0.0,
    clip: float = 2.0,
) -> FlowModel:
    """Build Glow: at every level squeeze, then steps, then half of the channels leave.

    Args:
        shape: (C, H, W) of one image; H and W divisible by 2^levels.
        levels: L, number of scales.
        steps: K, at every level.
        width: hidden channels of the conditioners.
        dropout: probability that a hidden channel is dropped in training.
        clip: bound of the couplings' log-scales.

    Returns:
        A model with base N(0, I) of real-valued images (B, C, H, W): see `Logit` for those in [0, 1].

    Source: Kingma & Dhariwal 2018, section 3 and figure 2 (without their learned prior of what leaves).
    """
    channels, height, width_px = shape
    dims = channels * height * width_px
    flows: list[Flow] = []
    for _ in range(levels):
        channels *= 4
        flows.append(
            Compose(
                Squeeze(), *[glow_step(channels, width, dropout=dropout, clip=clip) for _ in range(steps)]
            )
        )
        channels //= 2
    return FlowModel(StandardNormal(dims), MultiScale(shape, flows))
