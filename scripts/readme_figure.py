"""Draw docs/figures/readme.png: held-out digits, digits drawn from a VAE, a plane of a 2-D latent space.

Run it as `.venv/bin/python scripts/readme_figure.py`; it trains two small VAEs in about a minute.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from coursekit import image_grid, use_style
from dgm.data import Batches, augment_digits, load_digits, to_pm1
from dgm.nn import seeded
from dgm.train import fit
from dgm.vae import VAE, VAEConfig, elbo

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "figures" / "readme.png"
ROWS = 10


def train(config: VAEConfig, steps: int) -> VAE:
    """A VAE of the training digits, half of every batch distorted."""
    generator = torch.Generator().manual_seed(0)
    with seeded(0):
        model = VAE(config)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)

    def step(x: Tensor) -> dict[str, float]:
        half = len(x) // 2
        x = torch.cat([x[:half], augment_digits(x[half:], generator)])
        out = model(x, generator)
        loss = -elbo(out.log_likelihood, out.kl).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        return {"loss": loss.item()}

    with seeded(1):  # dropout
        batches = Batches(load_digits("train").x, batch_size=128, generator=generator)
        fit(step, batches, steps=steps, state={"model": model, "optimiser": optimiser})
    return model.eval()


@torch.no_grad()
def images(model: VAE, z: Tensor) -> Tensor:
    """The mean image of p(x|z) for each z (N, D), in [-1, 1]: (N, 1, 8, 8)."""
    return to_pm1(model.observation.mean(model.decode(z)), model.config.levels)


def main() -> None:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(2)
    mixture = VAEConfig(
        likelihood="beta_binomial",
        latents=16,
        hidden=(256, 256),
        prior_components=64,
        encoder_dropout=0.1,
        decoder_dropout=0.1,
    )
    model = train(mixture, steps=3000)
    drawn = images(model, model.sample_prior(ROWS**2, generator))

    plane = train(VAEConfig(likelihood="beta_binomial", latents=2, hidden=(256, 256)), steps=2000)
    # Equal steps of probability under N(0, I): each picture stands for the same share of what is drawn.
    shares = (torch.arange(ROWS) + 0.5) / ROWS
    steps = torch.distributions.Normal(0.0, 1.0).icdf(shares)
    z = torch.cartesian_prod(-steps, steps).flip(1)  # rows from the top down, (x, y) each

    test = load_digits("test")
    use_style()
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
    image_grid(
        test.x[: ROWS**2],
        columns=ROWS,
        ax=axes[0],
        title="digits, held out",
        value_range=(0, test.levels - 1),
    )
    image_grid(drawn, columns=ROWS, ax=axes[1], title="digits that nobody wrote")
    image_grid(images(plane, z), columns=ROWS, ax=axes[2], title="a latent plane, corner to corner")
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(TARGET, dpi=130)


if __name__ == "__main__":
    main()
