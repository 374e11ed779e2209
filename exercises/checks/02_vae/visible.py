# Generated from solutions/ by `python -m coursekit.authoring.generate`; do not edit.
"""Visible checks of 02_vae: known values and properties, with the hint that fits what went wrong."""

import math
from functools import cache

import torch
from numpy.polynomial.hermite_e import hermegauss
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

from coursekit.exercises.judge import (
    CONSTANT,
    CUT,
    PARTLY,
    close,
    explain,
    not_given,
    number,
    passages,
    tensor,
)
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion, Task

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
    for name, passage in zip(("mu", "logvar"), passages(data, "slopes", 2), strict=True):
        if passage == CONSTANT:
            return f"The result does not depend on {name}."
        if passage == CUT:
            return f"No gradient reaches {name}: look for detach(), data, no_grad()."
        if passage == PARTLY:
            return (
                f"The gradient that reaches {name} is not that of the values you return: some part of it is "
                "cut off. Look for detach()."
            )
    return None


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
    by_mu, by_logvar = passages(data, "slopes", 2)
    if by_mu == by_logvar == CUT:
        return (
            "No gradient reaches mu and logvar. `torch.normal` draws, and passes no gradient to its "
            "arguments. Draw noise that knows nothing of them, then shift and scale it."
        )
    if by_mu == CUT:
        return "No gradient reaches mu: the encoder's mean would never learn. Look for detach() or no_grad()."
    if by_logvar == CUT:
        return "No gradient reaches logvar: the encoder's variance would never learn."
    if CONSTANT in (by_mu, by_logvar):
        return f"The draw does not depend on {'mu' if by_mu == CONSTANT else 'logvar'}."
    if PARTLY in (by_mu, by_logvar):
        return "A part of the gradient is cut off on its way. Look for detach() or no_grad()."
    return None


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
            "The reconstruction adds up the images of the batch too. Each image has a loss of its own: sum "
            "over dimension 1 only.": cost.sum() + kl,
            "The reconstruction is averaged over the images of the batch too. Each image has a loss of its "
            "own: sum over dimension 1 only.": cost.mean() / 8 + kl,
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
        given=given_loss(seed),
    )


def given_loss(seed: int) -> Tensor:
    """What the loss returns that the student was given."""
    logits, x, per_latent = binary_images(seed)
    return -Bernoulli(logits=logits).log_prob(x).mean(1) + per_latent.sum(1)


def stable(data: Plain, seed: int) -> str | None:
    not_given(tensor(data, "random", None, finite=False), given_loss(seed))
    far = tensor(data, "extreme", None, finite=False)
    half = tensor(data, "half as extreme", None, finite=False)
    if bool(far.isfinite().all()) and bool((half.abs() > 1e-3).all()) and close(far, 2 * half, rtol=1e-3):
        return None
    return (
        "At logits of 200 on the wrong side a pixel should cost twice what it costs at 100. Take the loss on "
        "logits, not the logarithm of a sigmoid that has rounded to 0 or 1."
    )


def beta(data: Plain, seed: int) -> str | None:
    large, small = number(data, "beta 784"), number(data, "beta 64")
    if large == small and large != 1:
        return f"This is {large:g} whatever the number of pixels. Write it as a function of `pixels`."
    return explain(
        torch.tensor([large, small], dtype=torch.float64),
        torch.tensor([784.0, 64.0]),
        {
            "That is the other way round: 1/pixels is the weight that the KL should have had beside a mean, "
            "to give the ELBO up to a factor. What weight did it have, relative to that?": torch.tensor(
                [1 / 784, 1 / 64], dtype=torch.float64
            ),
            "A weight of 1 in the code is not a weight of 1 in the ELBO: multiply the whole loss by the "
            "number of pixels, so that the first term is the log-likelihood. What stands before the KL?": (
                torch.ones(2)
            ),
            "This counts the pixels along an edge. `pixels` is the number of all of them.": torch.tensor(
                [28.0, 8.0]
            ),
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


def log_joint(grid: Tensor, x: Tensor, w: Tensor, b: Tensor, s2: Tensor) -> Tensor:
    """log p(x, z) at the points z of a grid (N, J)."""
    prior = Normal(torch.zeros(()).double(), 1.0).log_prob(grid).sum(1)
    return prior + Normal(grid @ w.T + b, s2.sqrt()).log_prob(x).sum(1)


@cache
def lattice(latents: int, points: int, reach: float) -> tuple[Tensor, float]:
    """Points (points^J, J) of a grid around zero, and the volume of its cells."""
    line = torch.linspace(-reach, reach, points, dtype=torch.float64)
    grid = torch.cartesian_prod(*[line] * latents).reshape(-1, latents)
    return grid, (2 * reach / (points - 1)) ** latents


@cache
def gaps(seed: int, latents: int, apart: bool) -> dict[str, float]:
    """The gap, and what mistakes give, from integrals over a grid: no formula for the posterior needed."""
    x, m, v, w, b, s2 = linear_gaussian(seed, latents, apart=apart)
    grid, cell = lattice(latents, 6001 if latents == 1 else 501, 12.0)
    log_q = Normal(m, v.sqrt()).log_prob(grid).sum(1)

    def normalised(x: Tensor, b: Tensor, s2: Tensor) -> tuple[Tensor, float]:
        joint = log_joint(grid, x, w, b, s2)
        evidence = float(joint.logsumexp(0)) + math.log(cell)
        return joint - evidence, evidence

    def kl(log_p: Tensor, log_r: Tensor) -> float:
        return float((log_p.exp() * (log_p - log_r)).sum()) * cell

    posterior, evidence = normalised(x, b, s2)
    gap = kl(log_q, posterior)
    return {
        "gap": gap,
        "elbo": evidence - gap,
        "evidence": evidence,
        "backwards": kl(posterior, log_q),
        "prior": float(to_prior(m, v.sqrt()).sum()),
        "no offset": kl(log_q, normalised(x, torch.zeros_like(b), s2)[0]),
        "offset added": kl(log_q, normalised(x, -b, s2)[0]),
        "s2 squared": kl(log_q, normalised(x, b, s2.square())[0]),
        "apart": kl(log_q, one_by_one(posterior, latents)),
    }


def one_by_one(log_p: Tensor, latents: int) -> Tensor:
    """The product of the marginals of a density on the grid; the same density where there is one latent."""
    if latents == 1:
        return log_p
    square = log_p.reshape(501, 501)
    step = 24.0 / 500
    rows, columns = square.logsumexp(1), square.logsumexp(0)
    return (rows[:, None] + columns + 2 * math.log(step)).reshape(-1)


def gap_of(data: Plain, seed: int, key: str, latents: int, *, apart: bool = False) -> str | None:
    got = number(data, key)
    known = gaps(seed, latents, apart)
    mistakes = {
        "This is the ELBO. The gap is what is missing to log p(x).": known["elbo"],
        "This is log p(x). Take the ELBO off it.": known["evidence"],
        "The sign is the wrong way round: log p(x) is never below the ELBO.": -known["gap"],
        "This is KL(posterior || q). The gap is the other one: the expectation is under q.": (
            known["backwards"]
        ),
        "This is KL(q || prior). The gap is measured from the posterior.": known["prior"],
        "The posterior's mean ignores b: only x - b is left for z to explain.": known["no offset"],
        "b has the wrong sign: what z has to explain is x - b.": known["offset added"],
        "s2 is a variance already; it is squared once too often.": known["s2 squared"],
        "Every value is twice what it should be. Where is the ½?": 2 * known["gap"],
        "The latents are treated one by one. Given x they are correlated: the posterior's precision is a "
        "matrix, and its entries off the diagonal count.": known["apart"],
    }
    return explain(
        got,
        known["gap"],
        mistakes,
        "Not log p(x) - ELBO. It is KL(q || p(z|x)); which Gaussian is p(z|x) here?",
        rtol=1e-5,
        atol=1e-6,
    )


def gap_one(data: Plain, seed: int) -> str | None:
    return gap_of(data, seed, "one", 1)


def gap_apart(data: Plain, seed: int) -> str | None:
    return gap_of(data, seed, "apart", 2, apart=True)


def gap_two(data: Plain, seed: int) -> str | None:
    return gap_of(data, seed, "two", 2)


@cache
def least(seed: int) -> dict[str, float]:
    """The least gap of a q in which two latents are independent, found by improving one after the other."""
    x, _, _, w, b, s2 = linear_gaussian(seed, 2)
    grid, cell = lattice(2, 301, 10.0)
    posterior = log_joint(grid, x, w, b, s2)
    posterior = (posterior - posterior.logsumexp(0) - math.log(cell)).reshape(301, 301)

    def gap(first: Tensor, second: Tensor) -> float:  # two sets of weights, each with sum 1
        logs = first.log()[:, None] + second.log() - math.log(cell)
        weights = first[:, None] * second
        return float(torch.where(weights > 0, weights * (logs - posterior), 0.0).sum())

    marginal = (posterior.exp().sum(1) * cell**0.5, posterior.exp().sum(0) * cell**0.5)
    first, second = (t / t.sum() for t in marginal)
    mistake = gap(first, second)
    for _ in range(400):
        first = (posterior @ second).softmax(0)
        second = (first @ posterior).softmax(0)
    return {"least": gap(first, second), "marginals": mistake}


def gap_least(data: Plain, seed: int) -> str | None:
    if abs(number(data, "least apart")) > 1e-6:
        return (
            "Where the columns of W are orthogonal the latents are independent given x: the least gap is 0."
        )
    known = least(seed)
    return explain(
        number(data, "least"),
        known["least"],
        {
            "A gap of 0 would need a q equal to the posterior. The posterior's latents are correlated, those "
            "of q are not.": 0.0,
            "These are the posterior's own variances, the diagonal of its covariance. The best q is "
            "narrower: set the derivative of the gap in v to zero.": known["marginals"],
            "The sign is the wrong way round: log p(x) is never below the ELBO.": -known["least"],
            "This is twice what it should be. Where is the ½?": 2 * known["least"],
        },
        "Not the least gap. Set the derivatives of your gap in m and v to zero and put the solution in.",
        rtol=1e-5,
        atol=1e-6,
    )


# --- score_variance ----------------------------------------------------------------------------------


def moments(mu: Tensor, sigma: Tensor, baseline: float = 0.0, *, alone: bool = False) -> dict[str, Tensor]:
    """Mean, second moment and variance of the estimator, (B,), by Gauss-Hermite quadrature.

    Exact, because the estimator is a polynomial of the noise.
    """
    nodes, weights = (torch.from_numpy(t) for t in hermegauss(6))
    latents = mu.shape[1]
    eps = torch.cartesian_prod(*[nodes] * latents).reshape(-1, latents)  # (N, J)
    weight = torch.cartesian_prod(*[weights / weights.sum()] * latents).reshape(-1, latents).prod(1)
    z = mu[:, None] + sigma[:, None] * eps  # (B, N, J)
    f = z[..., :1].square().sum(-1) if alone else z.square().sum(-1)
    estimate = (f - baseline) * eps[:, 0] / sigma[:, :1]
    mean, second = (estimate * weight).sum(1), (estimate.square() * weight).sum(1)
    f_mean, f_second = (f * weight).sum(1), (f.square() * weight).sum(1)
    return {
        "mean": mean,
        "second": second,
        "variance": second - mean.square(),
        "mean of f": f_mean,
        "variance of f": f_second - f_mean.square(),
    }


def variance_of(data: Plain, seed: int, key: str, latents: int, baseline: float) -> str | None:
    mu, sigma = gaussians(seed, latents)
    known = moments(mu, sigma, baseline)
    right, first = known["variance"], sigma[:, 0]
    mistakes = {
        "This is the second moment of the estimator. Take the square of its mean off.": known["second"],
        "This is the standard deviation. The task asks for the variance.": right.sqrt(),
        "This is the variance of the reparameterised estimator. That one is easy.": 4 * first.square(),
        "This is the mean of the estimator, not its variance.": known["mean"],
        "sigma is a standard deviation; you use it as a variance.": moments(mu, sigma.sqrt(), baseline)[
            "variance"
        ],
        "E[eps⁶] is 15, not 9: it is 5 · 3 · 1.": right - 6 * first.square(),
        "The product of mu₁² eps and sigma₁² eps³ is missing from the square: it has the mean "
        "mu₁² sigma₁² E[eps⁴], and counts twice.": right - 6 * mu[:, 0].square(),
    }
    if latents > 1:
        rest = moments(mu[:, 1:], sigma[:, 1:])["variance of f"]
        mistakes |= {
            "Only z₁² is in there. f adds up the squares of all latents, and the score of mu₁ multiplies "
            "them all.": moments(mu, sigma, baseline, alone=True)["variance"],
            "The other latents enter as if their squares were constants. They vary, and that counts.": (
                right - rest / first.square()
            ),
        }
    if baseline:
        mistakes["The baseline does not count."] = moments(mu, sigma)["variance"]
        mistakes["The baseline is added. It comes off f."] = moments(mu, sigma, -baseline)["variance"]
    return explain(
        tensor(data, key, (5,), meaning="one number per Gaussian"),
        right,
        mistakes,
        "Not the variance of (f(z) - b) (z₁ - mu₁) / sigma₁². With one latent, mu = 0, sigma = 1 and b = 0 "
        "it is 15; with a second such latent, 24; with b = 1 then, 17.",
    )


def one_latent(data: Plain, seed: int) -> str | None:
    return variance_of(data, seed, "one", 1, 0.0)


def three_latents(data: Plain, seed: int) -> str | None:
    return variance_of(data, seed, "three", 3, 0.0)


def with_baseline(data: Plain, seed: int) -> str | None:
    return variance_of(data, seed, "baseline", 3, 1.5)


def best(data: Plain, seed: int) -> str | None:
    mu, sigma = gaussians(seed, 3)
    down, zero, up = (moments(mu, sigma, b)["variance"] for b in (-1.0, 0.0, 1.0))  # a parabola in b
    right = (down - up) / (2 * (up + down - 2 * zero))
    f = moments(mu, sigma)["mean of f"]
    return explain(
        tensor(data, "best", (5,), meaning="one number per Gaussian"),
        right,
        {
            "This is the mean of f: the usual choice, and not the best one. The variance is a parabola in b; "
            "where is its lowest point?": f,
            "This is the best value of a single latent. The others shift f too.": right
            - moments(mu[:, 1:], sigma[:, 1:])["mean of f"],
            "The sign is the wrong way round: b comes off f, and f is positive.": -right,
            "sigma is a standard deviation; you use it as a variance.": f
            + (right - f) / sigma[:, 0]
            + (sigma - sigma.square()).sum(1),
        },
        "Another baseline has a smaller variance. The mean does not depend on b, so minimise the second "
        "moment.",
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
        "4 The two terms",
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
        "5 A gradient through a draw",
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
            "For beta, multiply the loss that you were given by the number of pixels: the first term becomes "
            "the right one. What became of the second?",
        ),
        ("torch.distributions",),
        "11 Break it: the wrong reduction",
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
        (),
        "10 How far is the bound from the truth?",
    ),
    Task(
        "elbo_gap",
        "How much the bound leaves out, and cannot help leaving out",
        "derive",
        6,
        PROBES["elbo_gap"],
        (
            Criterion("one latent", 1, gap_one),
            Criterion("two latents that are independent given x", 1, gap_apart),
            Criterion("two latents that are not", 1, gap_two),
            Criterion("the least gap", 2, gap_least),
        ),
        (
            "log p(x) = ELBO + KL(q(z) || p(z|x)). So you need the posterior, a Gaussian in J dimensions.",
            "Collect the terms in z of log p(z) + log p(x|z): the precision is a matrix (J, J), the identity "
            "plus something with W twice. Complete the square.",
            "With the precision A and the mean a, the gap is half of Σ_j (A_jj v_j - log v_j - 1) - log det "
            "A + (m - a)ᵀ A (m - a). Which m and v make it least?",
        ),
        ("torch.distributions",),
        "3 The bound again, with its gap",
    ),
    Task(
        "score_variance",
        "Why nobody trains a VAE with the score function",
        "derive",
        6,
        PROBES["score_variance"],
        (
            Criterion("one latent, no baseline", 1, one_latent),
            Criterion("three latents, no baseline", 1, three_latents),
            Criterion("three latents and a baseline", 1, with_baseline),
            Criterion("the best baseline", 2, best),
        ),
        (
            "Split f - b into z₁² and a rest r that is independent of eps₁. Then square, and take "
            "expectations of each part: E[eps²] = 1, E[eps⁴] = 3, E[eps⁶] = 15.",
            "You need the mean and the variance of r: those of the other z_j², and b. The variance of z² is "
            "4 mu² sigma² + 2 sigma⁴.",
            "The mean of the estimator is 2 mu₁ for every b. The second moment is a parabola in b: its "
            "lowest point is at E[f eps₁²] / E[eps₁²].",
        ),
        (),
        "5 A gradient through a draw",
    ),
]
