"""Probes of 02_vae: they try the answers on seeded inputs and write down what came out."""

import torch
from coursekit.exercises.probe import Plain, Probe, call, gradient
from torch import Tensor


def draw(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers, float64, of one seed."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def posterior(seed: int) -> tuple[Tensor, Tensor]:
    """Means and log variances of five images' posteriors over three latents, each (5, 3)."""
    mu, logvar = draw(seed, 2, 5, 3)
    return mu, logvar


def run_kl(kl, *, seed: int) -> Plain:
    mu, logvar = posterior(seed)
    live = [mu.clone().requires_grad_(), logvar.clone().requires_grad_()]
    zero = torch.zeros(2, 4, dtype=torch.float64)
    return {
        "random": call(kl, mu.clone(), logvar.clone()),
        "prior": call(kl, zero, zero.clone()),
        "gradient": gradient(kl, *live, wrt=live),
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
    live = [t.clone().requires_grad_() for t in small]
    return {
        "draws": call(reparameterise, mu, logvar, generator()),
        "small": call(reparameterise, *small, generator()),
        "again": call(reparameterise, *small, generator()),
        "other": call(reparameterise, *small, generator(seed + 1)),
        "gradient": gradient(reparameterise, *live, generator(), wrt=live),
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
        "extreme": call(negative_elbo, extreme, x.clone(), kl.clone()),
        "wide": call(negative_elbo, logits.repeat(1, 2), x.repeat(1, 2), kl.clone()),
        "beta 784": call(implied_beta, 784),
        "beta 64": call(implied_beta, 64),
    }


def log_weights(seed: int) -> Tensor:
    """Log importance weights (6, 4): six draws for each of four images."""
    return 2 * draw(seed, 6, 4) - 3


def run_iwae(iwae, *, seed: int) -> Plain:
    log_w = log_weights(seed)
    live = log_w.clone().requires_grad_()
    return {
        "random": call(iwae, log_w.clone()),
        "one": call(iwae, log_w[:1].clone()),
        "far": call(iwae, log_w - 1000),
        "gradient": gradient(iwae, live, wrt=[live]),
        "impossible": call(iwae, torch.cat([log_w, torch.full_like(log_w[:2], -torch.inf)])),
    }


def linear_gaussian(seed: int) -> tuple[Tensor, ...]:
    """x, m, v, w, b, s2, each (6,): z ~ N(0, 1), x|z ~ N(w z + b, s2), q(z|x) = N(m, v)."""
    x, m, w, b, u, t = draw(seed, 6, 6)
    return x, m, (0.5 * u).exp(), w, b, (0.5 * t).exp()


def run_elbo_gap(elbo_gap, *, seed: int) -> Plain:
    args = linear_gaussian(seed)
    x, m, v, _, b, s2 = args
    return {
        "random": call(elbo_gap, *(t.clone() for t in args)),
        "deaf": call(elbo_gap, x.clone(), m.clone(), v.clone(), torch.zeros_like(x), b.clone(), s2.clone()),
    }


def gaussians(seed: int) -> tuple[Tensor, Tensor]:
    """Means and standard deviations, each (6,)."""
    mu, u = draw(seed, 2, 6)
    return mu, (0.5 * u).exp()


def run_score_variance(score_variance, *, seed: int) -> Plain:
    mu, sigma = gaussians(seed)
    return {
        "random": call(score_variance, mu.clone(), sigma.clone()),
        "centred": call(score_variance, torch.zeros_like(mu), sigma.clone()),
    }


PROBES = {
    "kl": Probe(("kl",), run_kl),
    "reparameterise": Probe(("reparameterise",), run_reparameterise),
    "negative_elbo": Probe(("negative_elbo", "implied_beta"), run_negative_elbo),
    "iwae": Probe(("iwae",), run_iwae),
    "elbo_gap": Probe(("elbo_gap",), run_elbo_gap),
    "score_variance": Probe(("score_variance",), run_score_variance),
}
