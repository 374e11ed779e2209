"""Normalising flows: invertible maps from data x to latent z whose log-determinant is known.

`forward(x) -> (z, logdet)` goes from data to latent, `inverse(z) -> (x, logdet)` back; each log-determinant,
(B,) nats, belongs to that call's own direction.

- `base`: `Flow`, `Compose`, `Inverse`; `FlowModel`, a density; its bases `StandardNormal`, `UnitCube`
- `coupling`: `Coupling` and `MaskedCoupling`, their splits and masks, `Additive` and `Affine`
- `conditioner`: the networks in a coupling
- `splines`, `bins`: the rational-quadratic spline and the histogram's distribution function
- `linear`: `ActNorm`, `InvertibleConv` (1x1, by LU), `Rotation`, `Reverse`
- `multiscale`: `squeeze`, `MultiScale`
- `realnvp`, `glow`: the models
- `dequantisation`: from grey levels to real numbers, with the bound on the likelihood; `Logit`
- `univariate`: `Line`, `SinhArcsinh`, for pictures on the line
"""

from dgm.flows.base import Compose, Flow, FlowModel, Inverse, StandardNormal, UnitCube
from dgm.flows.bins import Flatten, PiecewiseLinear, bin_flow, piecewise_linear, piecewise_linear_inverse
from dgm.flows.conditioner import ConvConditioner, MLPConditioner
from dgm.flows.coupling import (
    Additive,
    Affine,
    Coupling,
    Elementwise,
    Halves,
    MaskedCoupling,
    Subset,
    channel_mask,
    checkerboard_mask,
    halving_masks,
    mlp_coupling,
    scattered_masks,
    soft_clip,
)
from dgm.flows.dequantisation import (
    Logit,
    VariationalNoise,
    dequantise,
    dequantised_log_prob,
    quantise,
    tightened,
    uniform_noise,
)
from dgm.flows.glow import glow_images, glow_step
from dgm.flows.linear import ActNorm, InvertibleConv, Reverse, Rotation
from dgm.flows.multiscale import MultiScale, Squeeze, squeeze, unsqueeze
from dgm.flows.realnvp import RealNVP, mixed_couplings, realnvp_images
from dgm.flows.splines import (
    Knots,
    RationalQuadratic,
    rational_quadratic,
    rational_quadratic_inverse,
    spline_knots,
)
from dgm.flows.univariate import Line, SinhArcsinh

__all__ = [
    "ActNorm",
    "Additive",
    "Affine",
    "Compose",
    "ConvConditioner",
    "Coupling",
    "Elementwise",
    "Flatten",
    "Flow",
    "FlowModel",
    "Halves",
    "Inverse",
    "InvertibleConv",
    "Knots",
    "Line",
    "Logit",
    "MLPConditioner",
    "MaskedCoupling",
    "MultiScale",
    "PiecewiseLinear",
    "RationalQuadratic",
    "RealNVP",
    "Reverse",
    "Rotation",
    "SinhArcsinh",
    "Squeeze",
    "StandardNormal",
    "Subset",
    "UnitCube",
    "VariationalNoise",
    "bin_flow",
    "channel_mask",
    "checkerboard_mask",
    "dequantise",
    "dequantised_log_prob",
    "glow_images",
    "glow_step",
    "halving_masks",
    "mixed_couplings",
    "mlp_coupling",
    "piecewise_linear",
    "piecewise_linear_inverse",
    "quantise",
    "rational_quadratic",
    "rational_quadratic_inverse",
    "realnvp_images",
    "scattered_masks",
    "soft_clip",
    "spline_knots",
    "squeeze",
    "tightened",
    "uniform_noise",
    "unsqueeze",
]
