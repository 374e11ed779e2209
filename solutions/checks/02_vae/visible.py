"""Visible checks of 02_vae: known values and properties, with the hint that fits what went wrong."""

import math

import torch
from coursekit.exercises.judge import close, explain, number, tensor, tensors
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion, Task
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

from .probes import (
    DRAWS,
    LOGVAR,
    MU,
    PROBES,
    binary_images,
    gaussians,
    linear_gaussian,
    log_weights,
    posterior,
)

EACH = "one number per image"

# --- kl ----------------------------------------------------------------------------------------------


def to_prior(mu: Tensor, std: Tensor) -> Tensor:
    """KL of N(mu, std²) from the standard normal, per latent: torch's own."""
    return kl_divergence(Normal(mu, std), Normal(torch.zeros_like(mu), torch.ones_like(std)))


def kl_random(data: Plain, seed: int) -> str | None:
    mu, logvar = posterior(seed)
    std = torch.exp(logvar / 2)
    got = tensor(data, "random", (5,), meaning=EACH)
    right = to_prior(mu, std).sum(1)
    backwards = kl_divergence(Normal(torch.zeros_like(mu), 1.0), Normal(mu, std)).sum(1)
    return explain(
        got,
        right,
        {
            "The sign is the wrong way round: a KL is never negative.": -right,
            "Every value is twice what it should be. Where is the ½?": 2 * right,
            "logvar is the log of the variance; you use it as the log of the standard deviation.": to_prior(
                mu, logvar.exp()
            ).sum(1),
            "This is the mean over the latents. The KL of independent latents is the sum of theirs.": right
            / 3,
            "A constant is missing: at mu = 0, logvar = 0 the KL is 0.": right + 3 / 2,
            "This is KL(prior || posterior). Swap the two.": backwards,
            "The means are missing, or do not count.": to_prior(torch.zeros_like(mu), std).sum(1),
            "mu counts squared.": right + (mu.abs() - mu.square()).sum(1) / 2,
            "The sign of logvar is wrong: a narrow posterior should cost more, not less.": (
                right + logvar.sum(1)
            ),
        },
        "Not the KL. For one latent with mu = 1, logvar = 0 it is 0.5 nats; with mu = 0, logvar = 1, 0.3591.",
    )


def kl_prior(data: Plain, seed: int) -> str | None:
    got = tensor(data, "prior", (2,), meaning=EACH)
    return None if close(got, torch.zeros(2)) else "A posterior that equals the prior has KL 0."


def kl_gradient(data: Plain, seed: int) -> str | None:
    mu, logvar = posterior(seed)
    by_mu, by_logvar = tensors(data, "gradient", [(5, 3), (5, 3)])
    if close(by_mu, torch.zeros(5, 3)) or close(by_logvar, torch.zeros(5, 3)):
        return "No gradient reaches mu or logvar: look for detach(), data, no_grad()."
    live = [mu.requires_grad_(), logvar.requires_grad_()]
    right = torch.autograd.grad(to_prior(live[0], torch.exp(live[1] / 2)).sum(), live)
    if close(by_mu, right[0]) and close(by_logvar, right[1]):
        return None
    return "The gradient is not that of the KL. With the first criterion passed, look for detach()."


# --- reparameterise ----------------------------------------------------------------------------------


def location_and_spread(data: Plain, seed: int) -> str | None:
    z = tensor(data, "draws", (DRAWS, 2), meaning="that of mu")
    mean, logvar = torch.tensor([MU, LOGVAR], dtype=torch.float64)
    std = (logvar / 2).exp()
    eps = (z - mean) / std
    if float(eps[:, 0].std()) < 1e-6:
        return "All images of a batch get the same noise. Draw eps in the full shape of mu."
    if close(eps[:, 0] / eps[0, 0], eps[:, 1] / eps[0, 1], rtol=1e-4):
        return "All latents of an image get the same noise. Draw eps in the full shape of mu."
    spread = eps.std(0)
    near = 5 / math.sqrt(2 * DRAWS)  # five standard errors of a standard deviation
    if bool((spread * math.sqrt(12) - 1).abs().max() < near):
        return "The noise is uniform, of width one. Take Gaussian noise: `randn`, not `rand`."
    if bool((eps.mean(0).abs() > 5 * spread / math.sqrt(DRAWS)).any()):
        return "The draws of an image should have the mean mu."
    if bool((spread - 1).abs().max() < near):
        kurtosis = (eps - eps.mean(0)).pow(4).mean(0) / spread.pow(4)
        if bool((kurtosis - 3).abs().max() < 0.9):  # standard error sqrt(24 / 4000) = .08; uniform has 1.8
            return None
        return "Mean and spread are right, but the noise is not Gaussian. `randn`, not `rand`."
    for hint, factor in (
        (
            "The standard deviation is exp(logvar); that is the variance. Halve the exponent.",
            (logvar / 2).exp(),
        ),
        ("The standard deviation is logvar itself. Take it out of the logarithm.", (logvar / std).abs()),
        ("The standard deviation is 1: logvar does not count.", 1 / std),
    ):
        if bool((spread / factor - 1).abs().max() < near):
            return hint
    return "The draws of an image should have the variance exp(logvar)."


def pathwise(data: Plain, seed: int) -> str | None:
    mu, _ = posterior(seed)
    z = tensor(data, "small", (5, 3), meaning="that of mu")
    by_mu, by_logvar = tensors(data, "gradient", [(5, 3), (5, 3)])
    if close(by_mu, torch.zeros(5, 3)):
        return "No gradient reaches mu: the encoder's mean would never learn. Look for detach() or sample()."
    if close(by_logvar, torch.zeros(5, 3)):
        return "No gradient reaches logvar: the encoder's variance would never learn."
    if close(by_mu, torch.ones(5, 3)) and close(by_logvar, (z - mu) / 2):
        return None
    return "dz/dmu should be 1, and dz/dlogvar half of z - mu: the noise itself has no gradient."


def from_generator(data: Plain, seed: int) -> str | None:
    first, again, other = (tensor(data, key, (5, 3)) for key in ("small", "again", "other"))
    if not close(first, again):
        return "The same generator seed gives other draws. Pass `generator=generator` where you draw."
    return "Every generator seed gives the same draws." if close(first, other) else None


# --- negative_elbo -----------------------------------------------------------------------------------


def bound(data: Plain, seed: int) -> str | None:
    logits, x, per_latent = binary_images(seed)
    got = tensor(data, "random", (5,), meaning=EACH)
    cost = -Bernoulli(logits=logits).log_prob(x).sum(1)
    kl = per_latent.sum(1)
    return explain(
        got,
        cost + kl,
        {
            "The reconstruction is still a mean over the pixels, the KL a sum. A log-likelihood of "
            "independent pixels is a sum.": cost / 8 + kl,
            "Both terms are means now. Sum over the pixels and sum over the latents.": cost / 8 + kl / 3,
            "Now the KL is a mean over the latents. Both terms are sums.": cost + kl / 3,
            "This is the ELBO. The loss is its negative.": -(cost + kl),
            "The KL has a weight of the number of pixels. In the ELBO it is 1.": cost + 8 * kl,
            "The weight is 1 over the number of pixels on the KL. That belongs to the mean.": cost + kl / 8,
            "The mean of the reconstruction and 1/pixels of the KL: proportional to the ELBO, but not in "
            "nats. Multiply by the number of pixels.": (cost + kl) / 8,
            "The KL is subtracted. It is a cost.": cost - kl,
            "This treats the logits as probabilities would be treated.": -(
                x * logits + (1 - x) * (1 - logits)
            ).sum(1)
            + kl,
        },
        "Not the negative ELBO: minus the log-likelihood of all pixels, plus the KL of all latents.",
    )


def stable(data: Plain, seed: int) -> str | None:
    _, _, kl = binary_images(seed)
    tensor(data, "random", (5,), meaning=EACH)  # its trouble comes first
    got = tensor(data, "extreme", (5,), meaning=EACH, finite=False)
    right = 8 * 200 + kl.sum(1)
    if close(got, right):
        return None
    return (
        "At logits of 200 on the wrong side the cost should be 200 nats a pixel. Take the loss on logits, "
        "not the logarithm of a sigmoid that has rounded to 0 or 1."
    )


def beta(data: Plain, seed: int) -> str | None:
    got = number(data, "beta 784")
    return explain(
        got,
        784.0,
        {
            "That is the other way round: 1/pixels is the weight that the KL should have had beside a mean, "
            "to give the ELBO up to a factor. What weight did it have, relative to that?": 1 / 784,
            "A weight of 1 in the code is not a weight of 1 in the ELBO: multiply the whole loss by the "
            "number of pixels, so that the first term is the log-likelihood. What stands before the KL?": 1.0,
        },
        "Multiply the whole loss by the number of pixels. What stands before the KL then?",
    )


# --- iwae --------------------------------------------------------------------------------------------


def bound_of(log_w: Tensor) -> Tensor:
    """With Python's own numbers: exact enough at this size, useless far away."""
    columns = log_w.T.tolist()
    return torch.tensor(
        [math.log(math.fsum(map(math.exp, c)) / len(c)) for c in columns], dtype=torch.float64
    )


def iwae_random(data: Plain, seed: int) -> str | None:
    log_w = log_weights(seed)
    right = bound_of(log_w)
    return explain(
        tensor(data, "random", (4,), meaning=EACH),
        right,
        {
            "This is the mean of the logs, which is the ELBO. Average the weights, then take the log.": (
                log_w.mean(0)
            ),
            "This is the log of the sum. For the mean take log K off.": right + math.log(6),
            "Divide the sum by K inside the logarithm: log K comes off, not K.": right + math.log(6) - 6,
            "This is the mean of the weights. Its logarithm is the bound.": right.exp(),
            "This is the largest log weight, not the log of their mean.": log_w.max(0).values,
            "log K is added. It comes off.": right + 2 * math.log(6),
        },
        "Not log (1/K) Σ w_k. For two weights 1 and 3 it is log 2 = 0.6931.",
    )


def iwae_one(data: Plain, seed: int) -> str | None:
    got = tensor(data, "one", (4,), meaning=EACH)
    return None if close(got, log_weights(seed)[0]) else "With one draw the bound is that draw's log weight."


def iwae_far(data: Plain, seed: int) -> str | None:
    near = tensor(data, "random", (4,), meaning=EACH)
    far = tensor(data, "far", (4,), meaning=EACH, finite=False)
    if close(far, near - 1000):
        return None
    return (
        "Log weights of -1000 are common for images; exp of them is zero. "
        "Take the largest one out first (log-sum-exp)."
    )


# --- elbo_gap ----------------------------------------------------------------------------------------


def on_grid(x: Tensor, w: Tensor, b: Tensor, s2: Tensor) -> tuple[Tensor, Tensor]:
    """A grid z (N, 1), and log p(x, z) on it, (N, 6)."""
    z = torch.linspace(-14, 14, 8001, dtype=torch.float64)[:, None]
    return z, Normal(torch.zeros(()).double(), 1.0).log_prob(z) + Normal(w * z + b, s2.sqrt()).log_prob(x)


def gap_by_quadrature(seed: int) -> dict[str, Tensor]:
    """The gap, and what mistakes give, from integrals over a grid: no formula for the posterior needed."""
    x, m, v, w, b, s2 = linear_gaussian(seed)
    z, log_joint = on_grid(x, w, b, s2)
    step = float(z[1, 0] - z[0, 0])
    log_evidence = log_joint.logsumexp(0) + math.log(step)
    log_q = Normal(m, v.sqrt()).log_prob(z)
    log_posterior = log_joint - log_evidence
    elbo = (log_q.exp() * (log_joint - log_q)).sum(0) * step
    backwards = (log_posterior.exp() * (log_posterior - log_q)).sum(0) * step
    prior = to_prior(m, v.sqrt())
    _, no_offset = on_grid(x, w, torch.zeros_like(b), s2)
    no_offset = no_offset - no_offset.logsumexp(0) - math.log(step)
    _, twice = on_grid(x, w, b, s2.square())
    twice = twice - twice.logsumexp(0) - math.log(step)
    return {
        "gap": log_evidence - elbo,
        "elbo": elbo,
        "evidence": log_evidence,
        "backwards": backwards,
        "prior": prior,
        "no offset": (log_q.exp() * (log_q - no_offset)).sum(0) * step,
        "s2 squared": (log_q.exp() * (log_q - twice)).sum(0) * step,
    }


def gap_random(data: Plain, seed: int) -> str | None:
    got = tensor(data, "random", (6,), meaning="one number per x")
    known = gap_by_quadrature(seed)
    return explain(
        got,
        known["gap"],
        {
            "This is the ELBO. The gap is what is missing to log p(x).": known["elbo"],
            "This is log p(x). Take the ELBO off it.": known["evidence"],
            "The sign is the wrong way round: log p(x) is never below the ELBO.": -known["gap"],
            "This is KL(posterior || q). The gap is the other one: the expectation is under q.": (
                known["backwards"]
            ),
            "This is KL(q || prior). The gap is measured from the posterior.": known["prior"],
            "The posterior's mean ignores b: only x - b is left for z to explain.": known["no offset"],
            "s2 is a variance already; it is squared once too often.": known["s2 squared"],
        },
        "Not log p(x) - ELBO. It is KL(q || p(z|x)); which Gaussian is p(z|x) here?",
        rtol=1e-5,
        atol=1e-6,
    )


# --- score_variance ----------------------------------------------------------------------------------


def variance_by_quadrature(mu: Tensor, sigma: Tensor, which: str) -> dict[str, Tensor]:
    """Mean, second moment and variance of a gradient estimator of E[z²], from a grid over eps."""
    eps = torch.linspace(-14, 14, 8001, dtype=torch.float64)[:, None]
    weight = (-eps.square() / 2).exp()
    weight = weight / weight.sum()
    z = mu + sigma * eps
    estimate = z.square() * eps / sigma if which == "score" else 2 * z
    mean, second = (weight * estimate).sum(0), (weight * estimate.square()).sum(0)
    return {"mean": mean, "second": second, "variance": second - mean.square()}


def variance_random(data: Plain, seed: int) -> str | None:
    mu, sigma = gaussians(seed)
    score = variance_by_quadrature(mu, sigma, "score")
    right = score["variance"]
    return explain(
        tensor(data, "random", (6,), meaning="one number per Gaussian"),
        right,
        {
            "This is the second moment of the estimator. Take the square of its mean off.": score["second"],
            "This is the standard deviation. The task asks for the variance.": right.sqrt(),
            "This is the variance of the reparameterised estimator. That one is easy.": (
                variance_by_quadrature(mu, sigma, "path")["variance"]
            ),
            "This is the mean of the estimator, not its variance.": score["mean"],
            "sigma is a standard deviation; you use it as a variance.": variance_by_quadrature(
                mu, sigma.sqrt(), "score"
            )["variance"],
            "The moments of eps: E[eps⁴] = 3 and E[eps⁶] = 15, not 1.": (
                (mu.square() / sigma + sigma).square()
            ),
            "E[eps⁶] is 15, not 9: it is 5 · 3 · 1.": right - 6 * sigma.square(),
        },
        "Not the variance of z² (z - mu) / sigma². With mu = 0, sigma = 1 it is 15; with mu = 1 it is 30.",
    )


TASKS = [
    Task(
        "kl",
        "The KL term",
        "implement",
        5,
        PROBES["kl"],
        (
            Criterion("random posteriors, in nats", 2, kl_random),
            Criterion("zero at the prior", 1, kl_prior),
            Criterion("gradients reach mu and logvar", 1, kl_gradient),
        ),
        (
            "The KL is E_q[log q(z) - log p(z)]. Both logs are quadratic: E_q[z] and E_q[z²] are enough.",
            "E_q[z²] = mu² + sigma², and E_q[(z - mu)²] = sigma². Write sigma² as exp(logvar).",
            "Per latent: half of mu² + exp(logvar) - 1 - logvar. Sum over the latents, not over the batch.",
        ),
        ("torch.distributions", "torch.nn.functional.kl_div"),
    ),
    Task(
        "reparameterise",
        "A draw that gradients pass",
        "implement",
        5,
        PROBES["reparameterise"],
        (
            Criterion("mean, spread and shape of the noise", 2, location_and_spread),
            Criterion("the noise comes from the generator", 1, from_generator),
            Criterion("gradients pass to mu and logvar", 1, pathwise),
        ),
        (
            "Draw noise that does not depend on mu and logvar; shift and scale it.",
            "z = mu + sigma eps. What is sigma when logvar = log sigma²?",
            "`torch.randn(mu.shape, generator=generator, dtype=mu.dtype)`, and sigma = exp(logvar / 2).",
        ),
        ("torch.distributions",),
    ),
    Task(
        "negative_elbo",
        "Find the bug in the loss",
        "find the bug",
        6,
        PROBES["negative_elbo"],
        (
            Criterion("the corrected loss is the negative ELBO", 2, bound),
            Criterion("finite at extreme logits", 1, stable),
            Criterion("the beta that the buggy code implies", 2, beta),
        ),
        (
            "Write down for each term what is summed and what is averaged: over pixels, latents, images.",
            "The log-likelihood of an image is the sum over its pixels. `reduction` decides what you get.",
            "Multiply the buggy loss by the number of pixels: the first term becomes the right one. "
            "What became of the second?",
        ),
        ("torch.distributions",),
    ),
    Task(
        "iwae",
        "The importance-weighted bound",
        "implement",
        4,
        PROBES["iwae"],
        (
            Criterion("random weights", 1, iwae_random),
            Criterion("one draw", 1, iwae_one),
            Criterion("log weights of -1000", 1, iwae_far),
        ),
        (
            "log of the mean, not mean of the log. Which dimension holds the draws?",
            "log (1/K) Σ exp(a_k) = logsumexp(a) - log K.",
            "`torch.logsumexp(log_w, dim=0) - math.log(log_w.shape[0])`",
        ),
    ),
    Task(
        "elbo_gap",
        "How much the bound leaves out",
        "derive",
        5,
        PROBES["elbo_gap"],
        (Criterion("random linear Gaussian models", 4, gap_random),),
        (
            "log p(x) = ELBO + KL(q(z) || p(z|x)). So you need the posterior.",
            "Collect the terms in z of log p(z) + log p(x|z): precision 1 + w²/s2. Complete the square.",
            "Posterior: variance s2 / (s2 + w²), mean w (x - b) / (s2 + w²). Then the KL of two Gaussians.",
        ),
        ("torch.distributions",),
    ),
    Task(
        "score_variance",
        "Why nobody trains a VAE with the score function",
        "derive",
        5,
        PROBES["score_variance"],
        (Criterion("random Gaussians", 4, variance_random),),
        (
            "Put z = mu + sigma eps into z² (z - mu) / sigma²: a polynomial in eps of degree three.",
            "Square it and take expectations: odd powers vanish, E[eps²] = 1, E[eps⁴] = 3, E[eps⁶] = 15.",
            "The second moment is mu⁴/sigma² + 18 mu² + 15 sigma². The mean is 2 mu.",
        ),
    ),
]
