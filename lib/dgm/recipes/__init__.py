"""Recipes: one whole model of the digits for each family, trained, sampled and rated in one way.

What a chapter and a measurement share, so that no training loop is written twice. A recipe is a frozen
dataclass of all that a run depends on; `recipe.train(seed, steps)` makes a `Model` with `sample`,
`bits_per_dimension` and `parameters`. Every recipe has two budgets, in steps: 60 and 15 CPU-seconds of one
idle core.

- `base`: `Recipe`, `Model`, `fingerprint`
- `vae`, `gan`, `flow`, `autoregressive`, `diffusion`: one family each; none is told the digits' classes
- `figures`: `figures_of` a model, `sample_figures` of images, and `anchors`: what real images and noise read
"""

from dgm.recipes.autoregressive import AutoregressiveRecipe
from dgm.recipes.base import BUDGETS, Model, Recipe, fingerprint
from dgm.recipes.diffusion import DiffusionRecipe
from dgm.recipes.figures import SAMPLES, UNITS, anchors, figures_of, sample_figures
from dgm.recipes.flow import FlowRecipe
from dgm.recipes.gan import GANRecipe
from dgm.recipes.vae import VAERecipe

RECIPES: dict[str, Recipe] = {
    "VAE": VAERecipe(full_steps=6000, quarter_steps=1450),
    "GAN": GANRecipe(
        wgan=False, rate_g=1e-3, rate_d=1e-3, beta_1=0.5, weight=0.1, full_steps=9500, quarter_steps=2400
    ),
    "WGAN-GP": GANRecipe(
        wgan=True, rate_g=5e-4, rate_d=1e-3, beta_1=0.0, weight=1.0, full_steps=8500, quarter_steps=2100
    ),
    "flow": FlowRecipe(full_steps=2900, quarter_steps=640),
    "autoregressive": AutoregressiveRecipe(full_steps=4500, quarter_steps=950),
    "diffusion": DiffusionRecipe(full_steps=1350, quarter_steps=340),
}

__all__ = [
    "BUDGETS",
    "RECIPES",
    "SAMPLES",
    "UNITS",
    "AutoregressiveRecipe",
    "DiffusionRecipe",
    "FlowRecipe",
    "GANRecipe",
    "Model",
    "Recipe",
    "VAERecipe",
    "anchors",
    "figures_of",
    "fingerprint",
    "sample_figures",
]
