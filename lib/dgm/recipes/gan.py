"""The GAN and the WGAN-GP of the digits: MLPs, rates that fall, averaged weights (`bench/gan_digits.py`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from dgm.data import Batches, from_pm1, load_digits, to_pm1
from dgm.gan import (
    MLPDiscriminator,
    MLPGenerator,
    Players,
    gan_step,
    sample,
    standing_statistics,
    wgan_step,
)
from dgm.nn import EMA, seeded
from dgm.recipes.base import LEVELS, SHAPE, Model, Recipe
from dgm.train import fit

END = 0.02  # of the rates, as a fraction of their start; between they fall linearly

Step = Callable[[Any], dict[str, Tensor]]


class GANModel(Model):
    """A trained generator.

    Args:
        players: the networks; the averaged generator samples.
        labels: (N,) pseudo-label of each training image, whose shares the samples' labels have; None without.
    """

    def __init__(self, players: Players, labels: Tensor | None = None) -> None:
        super().__init__(players.best_generator)
        self.players, self.labels = players, labels

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Noise through the averaged generator, rounded to grey levels."""
        y = self.labels
        if y is not None:
            y = y[torch.randint(len(y), (n,), generator=generator)]
        return from_pm1(sample(self.network, n, y, rng=generator), LEVELS)


@dataclass(frozen=True, kw_only=True)
class GANRecipe(Recipe):
    """A game of two MLPs; the last averaged weights are kept, with batch norm's statistics taken anew.

    Args:
        wgan: Wasserstein critic with gradient penalty, else the non-saturating GAN with R1.
        rate_g: of the generator's Adam at the start; both rates fall linearly to `END` of it.
        rate_d: of the discriminator's Adam at the start.
        beta_1: of both.
        weight: of R1 or of the gradient penalty.
        clusters: pseudo-labels, by k-means of the training images; 0 for none.
        batch: images in a batch.
        latents: width of the noise.
        hidden: widths of both networks.
        ema: decay of the generator's averaged weights.
    """

    wgan: bool
    rate_g: float
    rate_d: float
    beta_1: float
    weight: float
    clusters: int = 0
    batch: int = 64
    latents: int = 32
    hidden: tuple[int, ...] = (256, 256)
    ema: float = 0.998

    def train(
        self,
        seed: int,
        steps: int | None = None,
        *,
        images: Tensor | None = None,
        valid: Tensor | None = None,
        progress: bool = False,
    ) -> GANModel:
        """See `Recipe.train`; no image but those trained on has a say."""
        steps = self.full_steps if steps is None else steps
        x = load_digits("train").x if images is None else images
        players, y, batches, step = prepare(self, x, seed, steps)
        fit(step, batches, steps=steps, progress=progress)
        labels = y if self.clusters else None
        rng = torch.Generator().manual_seed(seed)
        standing_statistics(players.best_generator, self.batch, labels, rng=rng)
        return GANModel(players, labels)


def pseudo_labels(x: Tensor, clusters: int, seed: int) -> Tensor:
    """k-means of the pixels: (N,) cluster of each image.

    Args:
        x: (N, ...) images.
        clusters: how many.
        seed: of the first centres.
    """
    from sklearn.cluster import KMeans  # lazily: a second of imports

    means = KMeans(clusters, n_init=2, random_state=seed)
    return torch.as_tensor(means.fit_predict(x.flatten(1).double().numpy())).long()


def networks(recipe: GANRecipe, seed: int) -> Players:
    """Both networks with their optimisers; the weights depend on the seed alone."""
    with seeded(seed):
        g = MLPGenerator(recipe.latents, SHAPE, recipe.hidden, classes=recipe.clusters)
        d = MLPDiscriminator(SHAPE, recipe.hidden, classes=recipe.clusters, minibatch_std=True)
    adam = partial(torch.optim.Adam, betas=(recipe.beta_1, 0.99), fused=True)
    return Players(
        g,
        d,
        adam(g.parameters(), lr=recipe.rate_g),
        adam(d.parameters(), lr=recipe.rate_d),
        EMA(g, recipe.ema),
    )


def fall(done: int, steps: int) -> float:
    """What the rates are multiplied by after so many steps: 1 at the start, `END` at the end."""
    return 1 - (1 - END) * min(done / steps, 1)


def set_rates(players: Players, recipe: GANRecipe, done: int, steps: int) -> None:
    """Give both optimisers the rates of the step after `done` of `steps`."""
    factor = fall(done, steps)
    for optimiser, rate in ((players.optimiser_g, recipe.rate_g), (players.optimiser_d, recipe.rate_d)):
        optimiser.param_groups[0]["lr"] = rate * factor


def prepare(recipe: GANRecipe, x: Tensor, seed: int, steps: int) -> tuple[Players, Tensor, Batches, Step]:
    """The players, the pseudo-label of each image (zeros without clusters), the batches, and the step.

    Args:
        recipe: of the game.
        x: (N, 1, 8, 8) uint8, images to train on.
        seed: of the weights, the batches and the noise.
        steps: of the game, over which the rates fall.
    """
    rng = torch.Generator().manual_seed(seed)
    y = torch.zeros(len(x), dtype=torch.int64)
    if recipe.clusters:
        y = pseudo_labels(x, recipe.clusters, seed)
    tensors = (to_pm1(x, LEVELS), y) if recipe.clusters else (to_pm1(x, LEVELS),)
    batches = Batches(*tensors, batch_size=recipe.batch, generator=rng)
    players = networks(recipe, seed)
    done = 0

    def step(batch: Any) -> dict[str, Tensor]:
        nonlocal done
        set_rates(players, recipe, done, steps)
        done += 1
        real, labels = batch if recipe.clusters else (batch, None)
        if recipe.wgan:
            return wgan_step(players, real, labels, penalty=recipe.weight, rng=rng)
        return gan_step(players, real, labels, r1=recipe.weight, rng=rng)

    return players, y, batches, step
