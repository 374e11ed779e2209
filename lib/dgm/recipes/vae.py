"""The VAE of the digits: beta-binomial likelihood, learned prior, warped images (`bench/vae_digits.py`)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from dgm.data import Batches, augment_digits, load_digits
from dgm.nn import EMA, seeded
from dgm.recipes.base import DIMS, Model, Recipe
from dgm.tensor import bits_per_dim
from dgm.train import fit
from dgm.vae import VAE, VAEConfig, elbo, iwae_bound

COPIES = 12  # warped copies of the training images, made once; their seconds count
DRAWS = 200  # from q(z|x) for each image, for the mean of the ELBO and for the importance-weighted bound


class VAEModel(Model):
    """A trained VAE."""

    network: VAE

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """z from the prior, then levels from p(x|z)."""
        return self.network.sample(n, generator).to(torch.uint8)

    def bits_per_dimension(self, images: Tensor) -> dict[str, float]:
        """The ELBO, and the importance-weighted bound of 200 draws."""
        log_w = self.log_weights(images)
        return {
            "bound": bits_per_dim(-log_w.mean().item(), DIMS),
            "importance-weighted bound": bits_per_dim(-iwae_bound(log_w).mean().item(), DIMS),
        }

    @torch.no_grad()
    def log_weights(self, images: Tensor) -> Tensor:
        """log p(x, z) - log q(z|x) at 200 draws of z: (200, N) nats."""
        generator = torch.Generator().manual_seed(1)
        parts = images.float().split(50)
        return torch.cat([self.network.log_weights(part, DRAWS, generator) for part in parts], 1)


@dataclass(frozen=True, kw_only=True)
class VAERecipe(Recipe):
    """A VAE of MLPs, with the weights that were best on the validation split.

    Args:
        config: of the model.
        augment: two of three images are warped.
        ema: decay of the averaged weights; 0 for none.
        batch: images in a batch.
        rate: of AdamW at the start; it falls to 0 by a cosine.
        weight_decay: of AdamW.
    """

    config: VAEConfig = field(
        default_factory=lambda: VAEConfig(
            likelihood="beta_binomial", prior_components=64, decoder_dropout=0.1, hidden=(384, 384)
        )
    )
    augment: bool = True
    ema: float = 0.995
    batch: int = 128
    rate: float = 3e-3
    weight_decay: float = 1e-4

    def train(
        self,
        seed: int,
        steps: int | None = None,
        *,
        images: Tensor | None = None,
        valid: Tensor | None = None,
        progress: bool = False,
    ) -> VAEModel:
        """See `Recipe.train`."""
        steps = self.full_steps if steps is None else steps
        generator = torch.Generator().manual_seed(seed)
        x = load_digits("train").x if images is None else images
        held = (load_digits("valid").x if valid is None else valid).float()
        if self.augment:
            warped = augment_digits(x.repeat(COPIES, 1, 1, 1), generator)
            x = torch.cat([x.repeat(COPIES // 2, 1, 1, 1), warped])
        with seeded(seed):  # the initial weights, and dropout
            model = VAE(self.config)
            averaged = EMA(model, self.ema) if self.ema else None
            kept = model if averaged is None else averaged.model
            assert isinstance(kept, VAE)
            optimiser = torch.optim.AdamW(
                model.parameters(), lr=self.rate, weight_decay=self.weight_decay, fused=True
            )
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)

            def step(batch: Tensor) -> dict[str, Tensor]:
                out = model(batch, generator)
                loss = -elbo(out.log_likelihood, out.kl).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                if averaged:
                    averaged.update()
                return {"loss": loss}

            @torch.no_grad()
            def validate() -> dict[str, Tensor]:
                kept.eval()
                draws = torch.Generator().manual_seed(0)  # the same ones each time
                loss = -kept.log_weights(held, 4, draws).mean()
                model.train()
                return {"loss": loss}

            history = fit(
                step,
                Batches(x.float(), batch_size=self.batch, generator=generator),
                steps=steps,
                state={"kept": kept},
                validate=validate,
                keep_best=["kept"],
                progress=progress,
            )
        return VAEModel(kept, history.best_step)
