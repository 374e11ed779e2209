"""Parts that every family builds networks from.

- `mlp`: `MLP`, the multilayer perceptron; `Sine`, an activation
- `embed`: `sinusoidal` and `FourierFeatures` turn a time or a position into a vector
- `attend`: `attention` (the formula), `attention_weights`, `SelfAttention` over tokens or pixels
- `condition`: `Conditioning`, one vector for a time and a label; `scale_and_shift` (FiLM)
- `unet`: `UNet`, for images of any size
- `ema`: `EMA`, a moving average of a model's weights
- `seed`: `seeded(seed)`, the same initial weights every time
"""

from dgm.nn.attend import SelfAttention, attention, attention_weights
from dgm.nn.condition import Conditioning, scale_and_shift
from dgm.nn.ema import EMA
from dgm.nn.embed import FourierFeatures, sinusoidal
from dgm.nn.mlp import MLP, Sine
from dgm.nn.seed import seeded
from dgm.nn.unet import UNet

__all__ = [
    "EMA",
    "MLP",
    "Conditioning",
    "FourierFeatures",
    "SelfAttention",
    "Sine",
    "UNet",
    "attention",
    "attention_weights",
    "scale_and_shift",
    "seeded",
    "sinusoidal",
]
