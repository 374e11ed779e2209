"""Hidden checks of 02_vae: criteria that only the grader knows, on the same probes."""

import torch
from torch.distributions import MultivariateNormal, kl_divergence

from coursekit.exercises.judge import WHOLE, close, not_given, number, passages, tensor
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion

from .probes import binary_images, gaussians, linear_gaussian, log_weights, posterior
from .visible import given_loss, moments, to_prior


def narrow(data: Plain, seed: int) -> str | None:
    mu, logvar = posterior(seed)
    logvar = logvar - 40
    expected = 0.5 * (mu**2 + torch.exp(logvar) - 1 - logvar).sum(dim=1)
    if close(tensor(data, "narrow", (5,)), expected):
        return None
    return "Wrong for a very narrow posterior (logvar near -40). A small number inside a logarithm does that."


def feature_maps(data: Plain, seed: int) -> str | None:
    z = tensor(data, "images", (3, 2, 4, 4), meaning="that of mu")
    return "All latents should have noise of their own." if len(z.unique()) < z.numel() else None


def twice_the_pixels(data: Plain, seed: int) -> str | None:
    _, _, kl = binary_images(seed)
    kl = kl.sum(dim=1)
    once, wide = tensor(data, "random", (5,)), tensor(data, "wide", (5,))
    not_given(once, given_loss(seed))
    if close(wide - kl, 2 * (once - kl)):
        return None
    return "Showing every pixel twice should double the reconstruction term and leave the KL as it is."


def weights_of_gradient(data: Plain, seed: int) -> str | None:
    log_w = log_weights(seed)
    if passages(data, "slopes", 1) != [WHOLE]:
        return "The gradient that reaches the log weights is not that of the bound: look for detach()."
    right = torch.logsumexp(log_w, dim=0) - torch.tensor(8.0).log()
    if not close(tensor(data, "impossible", (4,)), right, rtol=1e-5):
        return "Draws of weight zero count too: they make the mean smaller."
    return None


def more_latents(data: Plain, seed: int) -> str | None:
    x, m, v, w, b, s2 = linear_gaussian(seed, 3)
    a = torch.eye(3, dtype=torch.float64) + w.T @ w / s2
    mean = torch.linalg.inv(a) @ w.T @ (x - b) / s2
    posterior = MultivariateNormal(mean, precision_matrix=a)
    gap = kl_divergence(MultivariateNormal(m, torch.diag(v)), posterior)
    best = kl_divergence(MultivariateNormal(mean, torch.diag(1 / a.diagonal())), posterior)
    if not close(number(data, "three"), gap) or not close(number(data, "least three"), best):
        return "Wrong for three latents."
    _, m, v, *_ = linear_gaussian(seed, 2)
    if close(number(data, "deaf"), to_prior(m, v.sqrt()).sum()):
        return None
    return "With W = 0 the posterior is the prior, so the gap is KL(q || prior)."


def five_latents(data: Plain, seed: int) -> str | None:
    mu, sigma = gaussians(seed, 5)
    if not close(tensor(data, "best five", (5,)), (mu**2 + sigma**2).sum(1) + 2 * sigma[:, 0] ** 2):
        return "Wrong baseline for five latents."
    if close(tensor(data, "five", (5,)), moments(mu, sigma, -0.7)["variance"]):
        return None
    return "Wrong variance for five latents and a negative baseline."


HIDDEN = {
    "kl": (Criterion("a very narrow posterior", 1, narrow),),
    "reparameterise": (Criterion("latents that are feature maps", 1, feature_maps),),
    "negative_elbo": (Criterion("twice the pixels", 1, twice_the_pixels),),
    "iwae": (Criterion("gradient, and weights of zero", 1, weights_of_gradient),),
    "elbo_gap": (Criterion("three latents, and a decoder that ignores its latents", 1, more_latents),),
    "score_variance": (Criterion("five latents", 1, five_latents),),
}
