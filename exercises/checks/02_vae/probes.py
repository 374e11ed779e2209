# Generated from solutions/ by `python -m coursekit.authoring.generate`; do not edit.
"""Probes of 02_vae: they try the answers on seeded inputs and write down what came out."""

import torch
from torch import Tensor

from coursekit.exercises.probe import Plain, Probe, call, slopes


def draw(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers, float64, of one seed."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def posterior(seed: int) -> tuple[Tensor, Tensor]:
    """Means and log variances of five images' posteriors over three latents, each (5, 3)."""
    mu, logvar = draw(seed, 2, 5, 3)
    return mu, logvar


def run_kl(kl, *, seed: int) -> Plain:
    mu, logvar = posterior(seed)
    zero = torch.zeros(2, 4, dtype=torch.float64)
    return {
        "random": call(kl, mu.clone(), logvar.clone()),
        "prior": call(kl, zero, zero.clone()),
        "slopes": slopes(kl, lambda *at: at, mu, logvar),
        "narrow": call(kl, mu.clone(), logvar - 40),
    }


# One image's posterior, many times over: what comes back are draws.
DRAWS = 4000
MU, LOGVAR = (1.5, -2.0), (-1.0, 1.5)


def repeated() -> tuple[Tensor, Tensor]:
    """mu and logvar, each (DRAWS, 2), all rows equal."""
    mu, logvar = torch.tensor([MU, LOGVAR], dtype=torch.float64)
    return mu.expand(DRAWS, 2).clone(), logvar.expand(DRAWS, 2).clone()


def run_reparameterise(reparameterise, *, seed: int) -> Plain:
    def generator(of: int = seed) -> torch.Generator:
        return torch.Generator().manual_seed(of)

    mu, logvar = repeated()
    small = posterior(seed)
    return {
        "draws": call(reparameterise, mu, logvar, generator()),
        "small": call(reparameterise, *small, generator()),
        "again": call(reparameterise, *small, generator()),
        "other": call(reparameterise, *small, generator(seed + 1)),
        "slopes": slopes(reparameterise, lambda *at: (*at, generator()), *small),
        "images": call(reparameterise, *draw(seed, 2, 3, 2, 4, 4), generator()),
    }


def binary_images(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (5, 8), binary images (5, 8), and the KL of each latent in nats, (5, 3)."""
    logits = 2 * draw(seed + 1, 5, 8)
    x = (draw(seed + 2, 5, 8) > 0).double()
    return logits, x, draw(seed + 3, 5, 3).exp()


def run_negative_elbo(negative_elbo, implied_beta, *, seed: int) -> Plain:
    logits, x, kl = binary_images(seed)
    extreme = torch.where(x > 0.5, -200.0, 200.0).double()
    return {
        "random": call(negative_elbo, logits.clone(), x.clone(), kl.clone()),
        "extreme": call(negative_elbo, extreme, x.clone(), torch.zeros_like(kl)),
        "half as extreme": call(negative_elbo, extreme / 2, x.clone(), torch.zeros_like(kl)),
        "wide": call(negative_elbo, logits.repeat(1, 2), x.repeat(1, 2), kl.clone()),
        "beta 784": call(implied_beta, 784),
        "beta 64": call(implied_beta, 64),
    }


def log_weights(seed: int) -> Tensor:
    """Log importance weights (6, 4): six draws for each of four images."""
    return 2 * draw(seed, 6, 4) - 3


def run_iwae(iwae, *, seed: int) -> Plain:
    log_w = log_weights(seed)
    return {
        "random": call(iwae, log_w.clone()),
        "one": call(iwae, log_w[:1].clone()),
        "far": call(iwae, log_w - 1000),
        "slopes": slopes(iwae, lambda *at: at, log_w),
        "impossible": call(iwae, torch.cat([log_w, torch.full_like(log_w[:2], -torch.inf)])),
    }


Model = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def linear_gaussian(seed: int, latents: int, *, apart: bool = False) -> Model:
    """x (4,), m (J,), v (J,), W (4, J), b (4,), s2 (): z ~ N(0, I), x|z ~ N(W z + b, s2 I), q = N(m, diag v).

    With `apart` the columns of W are orthogonal.
    """
    x, b, t = draw(seed, 3, 4)
    m, u = draw(seed + 1, 2, latents)
    w = draw(seed + 2, 4, latents)
    if apart:
        w = torch.linalg.qr(w).Q * (0.5 + draw(seed + 3, latents).abs())
    elif latents > 1:
        w = w + w[:, :1]  # columns that have much in common
    return x, m, (0.4 * u).exp(), w, b, 0.5 + t[0].abs()


def run_elbo_gap(elbo_gap, least_gap, *, seed: int) -> Plain:
    def gap(model: Model) -> Plain:
        return call(elbo_gap, *(t.clone() for t in model))

    def least(model: Model) -> Plain:
        return call(least_gap, model[3].clone(), model[5].clone())

    one, apart = linear_gaussian(seed, 1), linear_gaussian(seed, 2, apart=True)
    two, three = linear_gaussian(seed, 2), linear_gaussian(seed, 3)
    x, m, v, w, b, s2 = two
    return {
        "one": gap(one),
        "apart": gap(apart),
        "two": gap(two),
        "least": least(two),
        "least apart": least(apart),
        "three": gap(three),
        "least three": least(three),
        "deaf": gap((x, m, v, torch.zeros_like(w), b, s2)),
    }


def gaussians(seed: int, latents: int) -> tuple[Tensor, Tensor]:
    """Means and standard deviations of five Gaussians, each (5, J)."""
    mu, u = draw(seed, 2, 5, latents)
    return mu, (0.5 * u).exp()


def run_score_variance(score_variance, best_baseline, *, seed: int) -> Plain:
    def variance(latents: int, shift: float) -> Plain:
        mu, sigma = gaussians(seed, latents)
        return call(score_variance, mu, sigma, torch.full_like(mu[:, 0], shift))

    return {
        "one": variance(1, 0.0),
        "three": variance(3, 0.0),
        "baseline": variance(3, 1.5),
        "best": call(best_baseline, *gaussians(seed, 3)),
        "five": variance(5, -0.7),
        "best five": call(best_baseline, *gaussians(seed, 5)),
    }


PROBES = {
    "kl": Probe(("kl",), run_kl),
    "reparameterise": Probe(("reparameterise",), run_reparameterise),
    "negative_elbo": Probe(("negative_elbo", "implied_beta"), run_negative_elbo),
    "iwae": Probe(("iwae",), run_iwae),
    "elbo_gap": Probe(("elbo_gap", "least_gap"), run_elbo_gap),
    "score_variance": Probe(("score_variance", "best_baseline"), run_score_variance),
}
