"""Parts that every family builds networks from.

- `mlp`: `MLP`, the multilayer perceptron; `Sine`, an activation
- `embed`: `sinusoidal` and `FourierFeatures` turn a time or a position into a vector
- `attend`: `attention` (the formula), `attention_weights`, `SelfAttention` over tokens or pixels
- `ema`: `EMA`, a moving average of a model's weights
- `seed`: `seeded(seed)`, the same initial weights every time
"""

from dgm.nn.attend import SelfAttention, attention, attention_weights
from dgm.nn.ema import EMA
from dgm.nn.embed import FourierFeatures, sinusoidal
from dgm.nn.mlp import MLP, Sine
from dgm.nn.seed import seeded

__all__ = [
    "EMA",
    "MLP",
    "FourierFeatures",
    "SelfAttention",
    "Sine",
    "attention",
    "attention_weights",
    "seeded",
    "sinusoidal",
]
