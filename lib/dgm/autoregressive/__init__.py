"""Autoregressive models: a joint distribution as a product of conditionals, one pixel after another.

`model(x, y) -> logits` takes whole levels x (B, *shape) and gives logits (B, *shape, L); those at a position
depend on earlier positions alone, in raster order, so one call gives all conditionals.
Codes of a VQ-VAE serve as well as pixels.

- `base`: `Autoregressive`: `log_prob`, and which pixel depends on which (`dependence`)
- `sampling`: `sample_steps`, `sample`: one position after another; `complete`s a given beginning too
- `masked`: `MaskedConv2d` and its masks
- `pixelcnn`: `PixelCNN`, which has a blind spot, and `GatedPixelCNN`, which has none
- `transformer`: `PixelTransformer`, decoder-only, with a `KeyValueCache`
- `neighbours`: `CausalNeighbours`, one small network for every pixel
- `mixture`: `LabelMixture`, a model with labels as one without
- `coding`: `encode` and `decode`, arithmetic coding with the conditionals
"""

from dgm.autoregressive.base import Autoregressive, dependence
from dgm.autoregressive.coding import decode, encode, level_counts
from dgm.autoregressive.masked import MaskedConv2d, left_mask, raster_mask, rows_above_mask
from dgm.autoregressive.mixture import LabelMixture
from dgm.autoregressive.neighbours import CausalNeighbours
from dgm.autoregressive.pixelcnn import GatedPixelCNN, PixelCNN
from dgm.autoregressive.sampling import draw_level, sample, sample_steps
from dgm.autoregressive.transformer import KeyValueCache, PixelTransformer, sample_cached

__all__ = [
    "Autoregressive",
    "CausalNeighbours",
    "GatedPixelCNN",
    "KeyValueCache",
    "LabelMixture",
    "MaskedConv2d",
    "PixelCNN",
    "PixelTransformer",
    "decode",
    "dependence",
    "draw_level",
    "encode",
    "left_mask",
    "level_counts",
    "raster_mask",
    "rows_above_mask",
    "sample",
    "sample_cached",
    "sample_steps",
]
