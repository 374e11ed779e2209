"""Hidden checks of 02_vae: criteria that only the grader knows, on the same probes."""

import torch
from coursekit.exercises.judge import close, number, tensor, tensors
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion

from .probes import binary_images, gaussians, linear_gaussian, log_weights, posterior
from .visible import to_prior


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
    if not close(wide - kl, 2 * (once - kl)):
        return "Showing every pixel twice should double the reconstruction term and leave the KL as it is."
    return None if abs(number(data, "beta 64") - 64) < 1e-6 else "Wrong beta for 64 pixels."


def weights_of_gradient(data: Plain, seed: int) -> str | None:
    log_w = log_weights(seed)
    (got,) = tensors(data, "gradient", [(6, 4)])
    if not close(got, torch.softmax(log_w, dim=0)):
        return "The gradient should be the normalised weights: look for detach()."
    right = torch.logsumexp(log_w, dim=0) - torch.tensor(8.0).log()
    if not close(tensor(data, "impossible", (4,)), right, rtol=1e-5):
        return "Draws of weight zero count too: they make the mean smaller."
    return None


def deaf_decoder(data: Plain, seed: int) -> str | None:
    _, m, v, *_ = linear_gaussian(seed)
    if close(tensor(data, "deaf", (6,)), to_prior(m, v.sqrt())):
        return None
    return "With w = 0 the posterior is the prior, so the gap is KL(q || prior)."


def at_the_centre(data: Plain, seed: int) -> str | None:
    _, sigma = gaussians(seed)
    if close(tensor(data, "centred", (6,)), 15 * sigma**2):
        return None
    return "At mu = 0 the variance should be 15 sigma²."


HIDDEN = {
    "kl": (Criterion("a very narrow posterior", 1, narrow),),
    "reparameterise": (Criterion("latents that are feature maps", 1, feature_maps),),
    "negative_elbo": (Criterion("twice the pixels", 1, twice_the_pixels),),
    "iwae": (Criterion("gradient, and weights of zero", 1, weights_of_gradient),),
    "elbo_gap": (Criterion("a decoder that ignores its latent", 1, deaf_decoder),),
    "score_variance": (Criterion("a centred Gaussian", 1, at_the_centre),),
}
