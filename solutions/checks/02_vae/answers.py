"""Wrong answers of 02_vae with the hint each must get, and other right ways to write the answers."""

from coursekit.exercises.task import Equivalent, Variant, Wrong

BETA = """
def implied_beta(pixels):
    return pixels
"""

LEAST = "0.5 * (precision.diagonal().log().sum() - precision.logdet())"
BEST = "f + 2 * sigma[:, 0] ** 2"


def negative_elbo(expression: str, beta: str = BETA) -> str:
    """The answer cell of the bug hunt with this expression for the loss."""
    return f"""
def negative_elbo(logits, x, kl):
    cost = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return {expression}
{beta}"""


def elbo_gap_answer(body: str, least: str = LEAST) -> str:
    """The answer cell of the gap with this body, from the posterior's `precision` and `mean`."""
    return f"""
def posterior(x, W, b, s2):
    precision = torch.eye(W.shape[1], dtype=W.dtype) + W.T @ W / s2
    return precision, torch.linalg.inv(precision) @ W.T @ (x - b) / s2

def kl(m0, c0, m1, c1):
    inverse = torch.linalg.inv(c1)
    off = m1 - m0
    return 0.5 * ((inverse @ c0).trace() - len(m0) + off @ inverse @ off + c1.logdet() - c0.logdet())

def elbo_gap(x, m, v, W, b, s2):
    precision, mean = posterior(x, W, b, s2)
    covariance = torch.linalg.inv(precision)
    {body}

def least_gap(W, s2):
    precision = torch.eye(W.shape[1], dtype=W.dtype) + W.T @ W / s2
    return {least}
"""


RIGHT_GAP = "return kl(m, torch.diag(v), mean, covariance)"


def score_answer(variance: str, best: str = BEST) -> str:
    """The answer cell of the score function's variance with these two expressions."""
    return f"""
def score_variance(mu, sigma, baseline):
    m, s, others = mu[:, 0], sigma[:, 0], sigma[:, 1:] ** 2
    mean = (mu[:, 1:] ** 2 + others).sum(1)
    spread = (4 * mu[:, 1:] ** 2 * others + 2 * others**2).sum(1)
    offset = mean - baseline
    own = m**4 + 18 * m**2 * s**2 + 15 * s**4
    second = own + 2 * offset * (m**2 + 3 * s**2) + offset**2 + spread
    return {variance}

def best_baseline(mu, sigma):
    f = (mu**2 + sigma**2).sum(1)
    return {best}
"""


RIGHT_VARIANCE = "second / s**2 - 4 * m**2"


WRONG = {
    "kl": (
        Wrong(
            "sign",
            """
def kl(mu, logvar):
    return 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)
""",
            "never negative",
            fails=("random posteriors, in nats",),
        ),
        Wrong(
            "no half",
            """
def kl(mu, logvar):
    return (mu**2 + logvar.exp() - 1 - logvar).sum(1)
""",
            "Where is the ½",
            fails=("random posteriors, in nats",),
        ),
        Wrong(
            "logvar as log std",
            """
def kl(mu, logvar):
    return 0.5 * (mu**2 + (2 * logvar).exp() - 1 - 2 * logvar).sum(1)
""",
            "log of the standard deviation",
            fails=("random posteriors, in nats",),
        ),
        Wrong(
            "sum over the batch",
            """
def kl(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum()
""",
            "the batch too",
            fails=("random posteriors, in nats", "zero at the prior"),
        ),
        Wrong(
            "mean over latents",
            """
def kl(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).mean(1)
""",
            "mean over the latents",
            fails=("random posteriors, in nats",),
        ),
        Wrong(
            "no minus one",
            """
def kl(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - logvar).sum(1)
""",
            "A constant is missing",
            fails=("random posteriors, in nats", "zero at the prior"),
        ),
        Wrong(
            "the other way round",
            """
def kl(mu, logvar):
    return 0.5 * ((1 + mu**2) * (-logvar).exp() - 1 + logvar).sum(1)
""",
            "Swap the two",
            fails=("random posteriors, in nats",),
        ),
        Wrong(
            "sign of logvar",
            """
def kl(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 + logvar).sum(1)
""",
            "sign of logvar",
            fails=("random posteriors, in nats",),
        ),
        Wrong(
            "detached",
            """
def kl(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar.detach()).sum(1)
""",
            "some part of it is cut off",
            fails=("gradients reach mu and logvar",),
        ),
        Wrong(
            "small number",
            """
def kl(mu, logvar):
    var = logvar.exp()
    return 0.5 * (mu**2 + var - 1 - (var + 1e-12).log()).sum(1)
""",
            "small number inside a logarithm",
            fails=(),
        ),
    ),
    "reparameterise": (
        Wrong(
            "variance for std",
            """
def reparameterise(mu, logvar, generator):
    eps = torch.randn(mu.shape, generator=generator, dtype=mu.dtype)
    return mu + logvar.exp() * eps
""",
            "Halve the exponent",
            fails=("mean, spread and shape of the noise",),
        ),
        Wrong(
            "one noise for the batch",
            """
def reparameterise(mu, logvar, generator):
    eps = torch.randn(mu.shape[1:], generator=generator, dtype=mu.dtype)
    return mu + (logvar / 2).exp() * eps
""",
            "All images of a batch",
            fails=("mean, spread and shape of the noise",),
        ),
        Wrong(
            "one noise for all latents",
            """
def reparameterise(mu, logvar, generator):
    eps = torch.randn(len(mu), *[1] * (mu.ndim - 1), generator=generator, dtype=mu.dtype)
    return mu + (logvar / 2).exp() * eps
""",
            "All latents of an image",
            fails=("mean, spread and shape of the noise",),
        ),
        Wrong(
            "uniform",
            """
def reparameterise(mu, logvar, generator):
    eps = torch.rand(mu.shape, generator=generator, dtype=mu.dtype)
    return mu + (logvar / 2).exp() * eps
""",
            "width one",
            fails=("mean, spread and shape of the noise",),
        ),
        Wrong(
            "uniform of the right spread",
            """
def reparameterise(mu, logvar, generator):
    eps = 12**0.5 * (torch.rand(mu.shape, generator=generator, dtype=mu.dtype) - 0.5)
    return mu + (logvar / 2).exp() * eps
""",
            "the noise is not Gaussian",
            fails=("mean, spread and shape of the noise",),
        ),
        Wrong(
            "mu detached",
            """
def reparameterise(mu, logvar, generator):
    eps = torch.randn(mu.shape, generator=generator, dtype=mu.dtype)
    return mu.detach() + (logvar / 2).exp() * eps
""",
            "the encoder's mean would never learn",
            fails=("gradients pass to mu and logvar",),
        ),
        Wrong(
            "a sample, no gradient",
            """
def reparameterise(mu, logvar, generator):
    return torch.normal(mu.detach(), (logvar.detach() / 2).exp(), generator=generator)
""",
            "No gradient flows",
            fails=("gradients pass to mu and logvar",),
        ),
        Wrong(
            "torch.normal",
            """
def reparameterise(mu, logvar, generator):
    return torch.normal(mu, (logvar / 2).exp(), generator=generator)
""",
            "`torch.normal` draws, and passes no gradient",
            fails=("gradients pass to mu and logvar",),
        ),
        Wrong(
            "logvar detached",
            """
def reparameterise(mu, logvar, generator):
    std = (logvar.detach() / 2).exp()
    return mu + std * torch.randn(mu.shape, generator=generator, dtype=mu.dtype)
""",
            "the encoder's variance would never learn",
            fails=("gradients pass to mu and logvar",),
        ),
        Wrong(
            "global random state",
            """
def reparameterise(mu, logvar, generator):
    return mu + (logvar / 2).exp() * torch.randn_like(mu)
""",
            "same generator seed gives other draws",
            fails=("the noise comes from the generator",),
        ),
        Wrong(
            "logvar as std",
            """
def reparameterise(mu, logvar, generator):
    return mu + logvar * torch.randn(mu.shape, generator=generator, dtype=mu.dtype)
""",
            "logvar itself",
            fails=("mean, spread and shape of the noise",),
        ),
    ),
    "negative_elbo": (
        Wrong(
            "the bug itself",
            negative_elbo("cost.mean(1) + kl.sum(1)"),
            "the code that you were given returns",
            fails=("the corrected loss is the negative ELBO", "finite at extreme logits"),
        ),
        Wrong(
            "the batch summed too",
            """
def negative_elbo(logits, x, kl):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") + kl.sum(1)
"""
            + BETA,
            "adds up the images of the batch",
            fails=("the corrected loss is the negative ELBO",),
        ),
        Wrong(
            "the batch averaged too",
            """
def negative_elbo(logits, x, kl):
    return F.binary_cross_entropy_with_logits(logits, x) + kl.sum(1)
"""
            + BETA,
            "averaged over the images of the batch",
            fails=("the corrected loss is the negative ELBO",),
        ),
        Wrong(
            "means everywhere",
            negative_elbo("cost.mean(1) + kl.mean(1)"),
            "Both terms are means now",
            fails=("the corrected loss is the negative ELBO",),
        ),
        Wrong(
            "the KL a mean",
            negative_elbo("cost.sum(1) + kl.mean(1)"),
            "Now the KL is a mean",
            fails=("the corrected loss is the negative ELBO",),
        ),
        Wrong(
            "the ELBO",
            negative_elbo("-(cost.sum(1) + kl.sum(1))"),
            "This is the ELBO",
            fails=("the corrected loss is the negative ELBO",),
        ),
        Wrong(
            "repaired at the wrong term",
            negative_elbo("cost.mean(1) + kl.sum(1) / x.shape[1]"),
            "proportional to the ELBO",
            fails=("the corrected loss is the negative ELBO",),
        ),
        Wrong(
            "batch mean",
            negative_elbo("(cost.sum(1) + kl.sum(1)).mean()"),
            "averages everything, the batch too",
            fails=("the corrected loss is the negative ELBO",),
        ),
        Wrong(
            "log of a sigmoid",
            """
def negative_elbo(logits, x, kl):
    p = logits.sigmoid()
    cost = -(x * p.log() + (1 - x) * (1 - p).log()).sum(1)
    return cost + kl.sum(1)
"""
            + BETA,
            "rounded to 0 or 1",
            fails=("finite at extreme logits",),
        ),
        Wrong(
            "beta the other way round",
            negative_elbo("cost.sum(1) + kl.sum(1)", "\ndef implied_beta(pixels):\n    return 1 / pixels\n"),
            "the other way round",
            fails=("the beta that the buggy code implies",),
        ),
        Wrong(
            "beta of one",
            negative_elbo("cost.sum(1) + kl.sum(1)", "\ndef implied_beta(pixels):\n    return 1.0\n"),
            "weight of 1 in the code",
            fails=("the beta that the buggy code implies",),
        ),
        Wrong(
            "beta of these images only",
            negative_elbo("cost.sum(1) + kl.sum(1)", "\ndef implied_beta(pixels):\n    return 784\n"),
            "whatever the number of pixels",
            fails=("the beta that the buggy code implies",),
        ),
    ),
    "iwae": (
        Wrong(
            "mean of logs",
            """
def iwae(log_w):
    return log_w.mean(0)
""",
            "mean of the logs",
            fails=("random weights",),
        ),
        Wrong(
            "no log K",
            """
def iwae(log_w):
    return log_w.logsumexp(0)
""",
            "log of the sum",
            fails=("random weights",),
        ),
        Wrong(
            "K for log K",
            """
def iwae(log_w):
    return log_w.logsumexp(0) - len(log_w)
""",
            "log K comes off, not K",
            fails=("random weights", "one draw"),
        ),
        Wrong(
            "over the images",
            """
def iwae(log_w):
    return log_w.logsumexp(1) - math.log(log_w.shape[1])
""",
            "should return shape (4,)",
            fails=("random weights", "one draw", "log weights of -1000"),
        ),
        Wrong(
            "exp underflows",
            """
def iwae(log_w):
    return log_w.exp().mean(0).log()
""",
            "Log weights of -1000",
            fails=("log weights of -1000",),
        ),
        Wrong(
            "no logarithm",
            """
def iwae(log_w):
    return log_w.exp().mean(0)
""",
            "mean of the weights",
            fails=("random weights", "one draw", "log weights of -1000"),
        ),
        Wrong(
            "the best draw",
            """
def iwae(log_w):
    return log_w.max(0).values
""",
            "the largest log weight",
            fails=("random weights",),
        ),
        Wrong(
            "detached",
            """
def iwae(log_w):
    top = log_w.max(0).values
    return top + (log_w.detach() - top.detach()).exp().mean(0).log()
""",
            "not that of the bound",
            fails=(),
        ),
        Wrong(
            "drops draws of weight zero",
            """
def iwae(log_w):
    return log_w.logsumexp(0) - log_w.isfinite().sum(0).log()
""",
            "Draws of weight zero count",
            fails=(),
        ),
    ),
    "elbo_gap": (
        Wrong(
            "the KL of the prior",
            elbo_gap_answer("return 0.5 * (m**2 + v - 1 - v.log()).sum()"),
            "KL(q || prior)",
            fails=("one latent", "two latents that are independent given x", "two latents that are not"),
        ),
        Wrong(
            "the other KL",
            elbo_gap_answer("return kl(mean, covariance, m, torch.diag(v))"),
            "KL(posterior || q)",
            fails=("one latent", "two latents that are independent given x", "two latents that are not"),
        ),
        Wrong(
            "b forgotten",
            elbo_gap_answer("_, mean = posterior(x, W, 0 * b, s2)\n    " + RIGHT_GAP),
            "ignores b",
            fails=("one latent", "two latents that are independent given x", "two latents that are not"),
        ),
        Wrong(
            "b added",
            elbo_gap_answer("_, mean = posterior(x, W, -b, s2)\n    " + RIGHT_GAP),
            "b has the wrong sign",
            fails=("one latent", "two latents that are independent given x", "two latents that are not"),
        ),
        Wrong(
            "the ELBO",
            elbo_gap_answer(
                "error = (x - W @ m - b).square().sum() + (W**2 @ v).sum()\n"
                "    fit = -0.5 * (len(x) * (2 * math.pi * s2).log() + error / s2)\n"
                "    return fit - 0.5 * (m**2 + v - 1 - v.log()).sum()"
            ),
            "This is the ELBO",
            fails=("one latent", "two latents that are independent given x", "two latents that are not"),
        ),
        Wrong(
            "log p(x)",
            elbo_gap_answer(
                "total = W @ W.T + s2 * torch.eye(len(x), dtype=x.dtype)\n"
                "    off = x - b\n"
                "    return -0.5 * ((2 * math.pi * total).logdet() + off @ torch.linalg.inv(total) @ off)"
            ),
            "This is log p(x)",
            fails=("one latent", "two latents that are independent given x", "two latents that are not"),
        ),
        Wrong(
            "sign",
            elbo_gap_answer(RIGHT_GAP.replace("return ", "return -")),
            "never below the ELBO",
            fails=("one latent", "two latents that are independent given x", "two latents that are not"),
        ),
        Wrong(
            "s2 as a standard deviation",
            elbo_gap_answer(
                "precision, mean = posterior(x, W, b, s2**2)\n"
                "    covariance = torch.linalg.inv(precision)\n    " + RIGHT_GAP
            ),
            "squared once too often",
            fails=("one latent", "two latents that are independent given x", "two latents that are not"),
        ),
        Wrong(
            "no half",
            elbo_gap_answer(RIGHT_GAP.replace("return ", "return 2 * ")),
            "Where is the ½",
            fails=("one latent", "two latents that are independent given x", "two latents that are not"),
        ),
        Wrong(
            "latent by latent",
            elbo_gap_answer("return kl(m, torch.diag(v), mean, torch.diag(covariance.diagonal()))"),
            "treated one by one",
            fails=("two latents that are not",),
        ),
        Wrong(
            "an estimate from draws",
            elbo_gap_answer(
                "g = torch.Generator().manual_seed(3)\n"
                "    eps = torch.randn(500000, len(m), generator=g, dtype=x.dtype)\n"
                "    z = m + v.sqrt() * eps\n"
                "    log_q = -0.5 * (eps**2 + v.log()).sum(1)\n"
                "    off = z - mean\n"
                "    log_p = -0.5 * ((off @ precision) * off).sum(1) + 0.5 * precision.logdet()\n"
                "    return (log_q - log_p).mean()"
            ),
            "an estimate from random draws",
            fails=("one latent", "two latents that are independent given x", "two latents that are not"),
        ),
        Wrong(
            "no gap left",
            elbo_gap_answer(RIGHT_GAP, "0.0"),
            "would need a q equal to the posterior",
            fails=("the least gap",),
        ),
        Wrong(
            "the posterior's own variances",
            elbo_gap_answer(
                RIGHT_GAP,
                "0.5 * ((precision.diagonal() * precision.inverse().diagonal()).sum() - W.shape[1]"
                " - precision.inverse().diagonal().log().sum() - precision.logdet())",
            ),
            "The best q is narrower",
            fails=("the least gap",),
        ),
        Wrong(
            "least gap without its half",
            elbo_gap_answer(RIGHT_GAP, f"2 * {LEAST}"),
            "twice what it should be. Where",
            fails=("the least gap",),
        ),
        Wrong(
            "least gap of the prior's variances",
            elbo_gap_answer(RIGHT_GAP, "0.5 * (precision.trace() - W.shape[1] - precision.logdet())"),
            "the least gap is 0",
            fails=("the least gap",),
        ),
    ),
    "score_variance": (
        Wrong(
            "second moment",
            score_answer("second / s**2"),
            "second moment of the estimator",
            fails=("one latent, no baseline", "three latents, no baseline", "three latents and a baseline"),
        ),
        Wrong(
            "standard deviation",
            score_answer(f"({RIGHT_VARIANCE}).sqrt()"),
            "This is the standard deviation",
            fails=("one latent, no baseline", "three latents, no baseline", "three latents and a baseline"),
        ),
        Wrong(
            "the other estimator",
            score_answer("4 * s**2"),
            "reparameterised estimator",
            fails=("one latent, no baseline", "three latents, no baseline", "three latents and a baseline"),
        ),
        Wrong(
            "mean",
            score_answer("2 * m"),
            "the mean of the estimator",
            fails=("one latent, no baseline", "three latents, no baseline", "three latents and a baseline"),
        ),
        Wrong(
            "sixth moment",
            score_answer(f"{RIGHT_VARIANCE} - 6 * s**2"),
            "5 · 3 · 1",
            fails=("one latent, no baseline", "three latents, no baseline", "three latents and a baseline"),
        ),
        Wrong(
            "cross term",
            score_answer(f"{RIGHT_VARIANCE} - 6 * m**2"),
            "counts twice",
            fails=("one latent, no baseline", "three latents, no baseline", "three latents and a baseline"),
        ),
        Wrong(
            "sigma as a variance",
            score_answer("0").replace("return 0", "return right(mu, sigma.sqrt(), baseline)")
            + score_answer(RIGHT_VARIANCE)
            .split("\ndef best_baseline")[0]
            .replace("def score_variance", "def right"),
            "you use it as a variance",
            fails=("one latent, no baseline", "three latents, no baseline", "three latents and a baseline"),
        ),
        Wrong(
            "the chapter's formula",
            score_answer("own / s**2 - 4 * m**2"),
            "Only z₁² is in there",
            fails=("three latents, no baseline", "three latents and a baseline"),
        ),
        Wrong(
            "constants",
            score_answer("(second - spread) / s**2 - 4 * m**2"),
            "as if their squares were constants",
            fails=("three latents, no baseline", "three latents and a baseline"),
        ),
        Wrong(
            "baseline forgotten",
            score_answer(RIGHT_VARIANCE).replace("mean - baseline", "mean"),
            "does not count",
            fails=("three latents and a baseline",),
        ),
        Wrong(
            "baseline added",
            score_answer(RIGHT_VARIANCE).replace("mean - baseline", "mean + baseline"),
            "is added",
            fails=("three latents and a baseline",),
        ),
        Wrong(
            "an estimate from draws",
            score_answer("draws(mu, sigma, baseline)")
            + """
def draws(mu, sigma, baseline):
    g = torch.Generator().manual_seed(5)
    eps = torch.randn(200000, *mu.shape, generator=g, dtype=mu.dtype)
    f = (mu + sigma * eps).square().sum(-1)
    return ((f - baseline) * eps[..., 0] / sigma[:, 0]).var(0)
""",
            "an estimate from random draws",
            fails=("one latent, no baseline", "three latents, no baseline", "three latents and a baseline"),
        ),
        Wrong(
            "the mean of f",
            score_answer(RIGHT_VARIANCE, "f"),
            "This is the mean of f",
            fails=("the best baseline",),
        ),
        Wrong(
            "one latent's baseline",
            score_answer(RIGHT_VARIANCE, "mu[:, 0] ** 2 + 3 * sigma[:, 0] ** 2"),
            "a single latent",
            fails=("the best baseline",),
        ),
        Wrong(
            "baseline's sign",
            score_answer(RIGHT_VARIANCE, f"-({BEST})"),
            "b comes off f",
            fails=("the best baseline",),
        ),
    ),
}

VARIANTS = {
    "kl": (
        Variant(
            "with sigma",
            """
def kl(mu, logvar):
    sigma = torch.exp(logvar / 2)
    return torch.sum((sigma**2 + mu**2 - 1) / 2 - logvar / 2, dim=1)
""",
        ),
        Variant(
            "the textbook's line",
            """
def kl(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=-1)
""",
        ),
    ),
    "reparameterise": (
        Variant(
            "addcmul",
            """
def reparameterise(mu, logvar, generator):
    eps = torch.empty_like(mu).normal_(generator=generator)
    return torch.addcmul(mu, torch.exp(0.5 * logvar), eps)
""",
        ),
        Variant(
            "square root of the variance",
            """
def reparameterise(mu, logvar, generator):
    noise = torch.randn(*mu.shape, generator=generator, dtype=mu.dtype, device=mu.device)
    return noise * logvar.exp().sqrt() + mu
""",
        ),
    ),
    "negative_elbo": (
        Variant(
            "softplus",
            """
def negative_elbo(logits, x, kl):
    cost = (F.softplus(logits) - x * logits).sum(-1)
    return cost + kl.sum(-1)

def implied_beta(pixels):
    return float(pixels)
""",
        ),
        Variant(
            "mean times number",
            """
def negative_elbo(logits, x, kl):
    mean = F.binary_cross_entropy_with_logits(logits, x, reduction="none").mean(dim=1)
    return mean * x.shape[1] + kl.sum(dim=1)

def implied_beta(pixels):
    return torch.tensor(pixels)
""",
        ),
    ),
    "iwae": (
        Variant(
            "largest taken out",
            """
def iwae(log_w):
    top = log_w.max(dim=0).values
    return top + (log_w - top).exp().mean(dim=0).log()
""",
        ),
        Variant(
            "weights 1/K inside",
            """
def iwae(log_w):
    return torch.logsumexp(log_w - math.log(log_w.shape[0]), dim=0)
""",
        ),
    ),
    "elbo_gap": (
        Variant(
            "log p(x) minus the ELBO",
            """
def elbo_gap(x, m, v, W, b, s2):
    total = W @ W.T + s2 * torch.eye(len(x), dtype=x.dtype)
    off = x - b
    evidence = -0.5 * (torch.logdet(2 * math.pi * total) + off @ torch.linalg.solve(total, off))
    error = (x - W @ m - b).square().sum() + (W.square() @ v).sum()
    fit = -0.5 * (len(x) * torch.log(2 * math.pi * s2) + error / s2)
    return evidence - (fit - 0.5 * (m**2 + v - 1 - v.log()).sum())

def least_gap(W, s2):
    a = torch.eye(W.shape[1], dtype=W.dtype) + W.T @ W / s2
    x, b = W[:, 0] * 0, W[:, 0] * 0
    return elbo_gap(x, torch.zeros(W.shape[1], dtype=W.dtype), 1 / a.diagonal(), W, b, s2)
""",
        ),
        Variant("two Gaussians", elbo_gap_answer(RIGHT_GAP)),
        Variant(
            "eigenvalues and a plain number",
            elbo_gap_answer(
                RIGHT_GAP,
                "float(sum(math.log(a) for a in precision.diagonal())"
                " - sum(math.log(e) for e in torch.linalg.eigvalsh(precision))) / 2",
            ),
        ),
    ),
    "score_variance": (
        Variant(
            "from the polynomial",
            """
def score_variance(mu, sigma, baseline):
    rest_mean = (mu**2 + sigma**2)[:, 1:].sum(1) - baseline
    rest_var = (2 * sigma**4 + (2 * mu * sigma) ** 2)[:, 1:].sum(1)
    mu, sigma = mu[:, 0], sigma[:, 0]
    a, b, c = (mu**2 + rest_mean) / sigma, 2 * mu, sigma
    return a**2 + 6 * a * c + 15 * c**2 + 3 * b**2 - b**2 + rest_var / sigma**2

def best_baseline(mu, sigma):
    weights = torch.ones_like(sigma)
    weights[:, 0] = 3
    return (mu**2 + weights * sigma**2).sum(dim=1)
""",
        ),
        Variant("by parts", score_answer(RIGHT_VARIANCE)),
    ),
}

# Mutants of the solution that get full marks, and why they may (see coursekit.grading.proof).
EQUIVALENT = {
    "reparameterise": (
        Equivalent(
            "return mu - (logvar / 2).exp() * eps",
            "eps and -eps have the same distribution, and the gradients are those of a draw of it.",
        ),
    ),
}
