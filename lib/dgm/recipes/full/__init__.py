"""The full budget: for each family one model of real 28x28 images, for a machine with a GPU.

    python -m dgm.recipes.full vae --data data --download --out chapters/results
    torchrun --nproc-per-node=2 -m dgm.recipes.full vae --data data --out chapters/results

The models are those that the field uses for such images, of a few million parameters. The code is the
digits': the same losses, the same loop, the same samplers.

- `training`: `FULL`, the recipes by family, and `train_full`, which trains one
- `vae`, `gan`, `flow`, `diffusion`, `autoregressive`: one family each
- `measure`: `full_figures` of a model: bits per dimension, the distance of samples to real images
- `results`: `full_result`, what a chapter shows: a stored result, or a new one
- `command`: the command line
"""

from dgm.recipes.full.base import FullRecipe
from dgm.recipes.full.measure import FULL_UNITS, full_figures
from dgm.recipes.full.results import FullResult, full_result
from dgm.recipes.full.training import FULL, Trained, train_full

__all__ = [
    "FULL",
    "FULL_UNITS",
    "FullRecipe",
    "FullResult",
    "Trained",
    "full_figures",
    "full_result",
    "train_full",
]
