"""Wrong answers of 02_vae with the hint each must get, and other right ways to write the answers."""

from coursekit.exercises.task import Variant, Wrong

BETA = """
def implied_beta(pixels):
    return pixels
"""


def negative_elbo(expression: str, beta: str = BETA) -> str:
    """The answer cell of the bug hunt with this expression for the loss."""
    return f"""
def negative_elbo(logits, x, kl):
    cost = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return {expression}
{beta}"""


WRONG = {
    "kl": (
        Wrong(
            "sign",
            """
def kl(mu, logvar):
    return 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)
""",
            "never negative",
        ),
        Wrong(
            "no half",
            """
def kl(mu, logvar):
    return (mu**2 + logvar.exp() - 1 - logvar).sum(1)
""",
            "Where is the ½",
        ),
        Wrong(
            "logvar as log std",
            """
def kl(mu, logvar):
    return 0.5 * (mu**2 + (2 * logvar).exp() - 1 - 2 * logvar).sum(1)
""",
            "log of the standard deviation",
        ),
        Wrong(
            "sum over the batch",
            """
def kl(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum()
""",
            "should return shape (5,)",
        ),
        Wrong(
            "mean over latents",
            """
def kl(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).mean(1)
""",
            "mean over the latents",
        ),
        Wrong(
            "no minus one",
            """
def kl(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - logvar).sum(1)
""",
            "A constant is missing",
        ),
        Wrong(
            "the other way round",
            """
def kl(mu, logvar):
    return 0.5 * ((1 + mu**2) * (-logvar).exp() - 1 + logvar).sum(1)
""",
            "Swap the two",
        ),
        Wrong(
            "sign of logvar",
            """
def kl(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 + logvar).sum(1)
""",
            "sign of logvar",
        ),
        Wrong(
            "detached",
            """
def kl(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar.detach()).sum(1)
""",
            "not that of the KL",
        ),
        Wrong(
            "small number",
            """
def kl(mu, logvar):
    var = logvar.exp()
    return 0.5 * (mu**2 + var - 1 - (var + 1e-12).log()).sum(1)
""",
            "small number inside a logarithm",
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
        ),
        Wrong(
            "one noise for the batch",
            """
def reparameterise(mu, logvar, generator):
    eps = torch.randn(mu.shape[1:], generator=generator, dtype=mu.dtype)
    return mu + (logvar / 2).exp() * eps
""",
            "All images of a batch",
        ),
        Wrong(
            "one noise for all latents",
            """
def reparameterise(mu, logvar, generator):
    eps = torch.randn(len(mu), *[1] * (mu.ndim - 1), generator=generator, dtype=mu.dtype)
    return mu + (logvar / 2).exp() * eps
""",
            "All latents of an image",
        ),
        Wrong(
            "uniform",
            """
def reparameterise(mu, logvar, generator):
    eps = torch.rand(mu.shape, generator=generator, dtype=mu.dtype)
    return mu + (logvar / 2).exp() * eps
""",
            "width one",
        ),
        Wrong(
            "uniform of the right spread",
            """
def reparameterise(mu, logvar, generator):
    eps = 12**0.5 * (torch.rand(mu.shape, generator=generator, dtype=mu.dtype) - 0.5)
    return mu + (logvar / 2).exp() * eps
""",
            "the noise is not Gaussian",
        ),
        Wrong(
            "mu detached",
            """
def reparameterise(mu, logvar, generator):
    eps = torch.randn(mu.shape, generator=generator, dtype=mu.dtype)
    return mu.detach() + (logvar / 2).exp() * eps
""",
            "the encoder's mean would never learn",
        ),
        Wrong(
            "a sample, no gradient",
            """
def reparameterise(mu, logvar, generator):
    return torch.normal(mu.detach(), (logvar.detach() / 2).exp(), generator=generator)
""",
            "No gradient flows",
        ),
        Wrong(
            "global random state",
            """
def reparameterise(mu, logvar, generator):
    return mu + (logvar / 2).exp() * torch.randn_like(mu)
""",
            "same generator seed gives other draws",
        ),
        Wrong(
            "logvar as std",
            """
def reparameterise(mu, logvar, generator):
    return mu + logvar * torch.randn(mu.shape, generator=generator, dtype=mu.dtype)
""",
            "logvar itself",
        ),
    ),
    "negative_elbo": (
        Wrong("the bug itself", negative_elbo("cost.mean(1) + kl.sum(1)"), "still a mean over the pixels"),
        Wrong("means everywhere", negative_elbo("cost.mean(1) + kl.mean(1)"), "Both terms are means now"),
        Wrong("the KL a mean", negative_elbo("cost.sum(1) + kl.mean(1)"), "Now the KL is a mean"),
        Wrong("the ELBO", negative_elbo("-(cost.sum(1) + kl.sum(1))"), "This is the ELBO"),
        Wrong(
            "repaired at the wrong term",
            negative_elbo("cost.mean(1) + kl.sum(1) / x.shape[1]"),
            "proportional to the ELBO",
        ),
        Wrong(
            "batch mean",
            negative_elbo("(cost.sum(1) + kl.sum(1)).mean()"),
            "should return shape (5,)",
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
        ),
        Wrong(
            "beta the other way round",
            negative_elbo("cost.sum(1) + kl.sum(1)", "\ndef implied_beta(pixels):\n    return 1 / pixels\n"),
            "the other way round",
        ),
        Wrong(
            "beta of one",
            negative_elbo("cost.sum(1) + kl.sum(1)", "\ndef implied_beta(pixels):\n    return 1.0\n"),
            "weight of 1 in the code",
        ),
        Wrong(
            "beta of these images only",
            negative_elbo("cost.sum(1) + kl.sum(1)", "\ndef implied_beta(pixels):\n    return 784\n"),
            "Wrong beta for 64 pixels",
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
        ),
        Wrong(
            "no log K",
            """
def iwae(log_w):
    return log_w.logsumexp(0)
""",
            "log of the sum",
        ),
        Wrong(
            "K for log K",
            """
def iwae(log_w):
    return log_w.logsumexp(0) - len(log_w)
""",
            "log K comes off, not K",
        ),
        Wrong(
            "over the images",
            """
def iwae(log_w):
    return log_w.logsumexp(1) - math.log(log_w.shape[1])
""",
            "should return shape (4,)",
        ),
        Wrong(
            "exp underflows",
            """
def iwae(log_w):
    return log_w.exp().mean(0).log()
""",
            "Log weights of -1000",
        ),
        Wrong(
            "no logarithm",
            """
def iwae(log_w):
    return log_w.exp().mean(0)
""",
            "mean of the weights",
        ),
        Wrong(
            "the best draw",
            """
def iwae(log_w):
    return log_w.max(0).values
""",
            "the largest log weight",
        ),
        Wrong(
            "detached",
            """
def iwae(log_w):
    top = log_w.max(0).values
    return top + (log_w.detach() - top.detach()).exp().mean(0).log()
""",
            "normalised weights",
        ),
        Wrong(
            "drops draws of weight zero",
            """
def iwae(log_w):
    return log_w.logsumexp(0) - log_w.isfinite().sum(0).log()
""",
            "Draws of weight zero count",
        ),
    ),
    "elbo_gap": (
        Wrong(
            "the KL of the prior",
            """
def elbo_gap(x, m, v, w, b, s2):
    return 0.5 * (m**2 + v - 1 - v.log())
""",
            "KL(q || prior)",
        ),
        Wrong(
            "the other KL",
            """
def elbo_gap(x, m, v, w, b, s2):
    var = s2 / (s2 + w**2)
    mean = w * (x - b) / (s2 + w**2)
    return 0.5 * (v.log() - var.log() + (var + (m - mean) ** 2) / v - 1)
""",
            "KL(posterior || q)",
        ),
        Wrong(
            "b forgotten",
            """
def elbo_gap(x, m, v, w, b, s2):
    var = s2 / (s2 + w**2)
    mean = w * x / (s2 + w**2)
    return 0.5 * (var.log() - v.log() + (v + (m - mean) ** 2) / var - 1)
""",
            "ignores b",
        ),
        Wrong(
            "the ELBO",
            """
def elbo_gap(x, m, v, w, b, s2):
    fit = -0.5 * ((2 * math.pi * s2).log() + ((x - w * m - b) ** 2 + w**2 * v) / s2)
    return fit - 0.5 * (m**2 + v - 1 - v.log())
""",
            "This is the ELBO",
        ),
        Wrong(
            "log p(x)",
            """
def elbo_gap(x, m, v, w, b, s2):
    total = w**2 + s2
    return -0.5 * ((2 * math.pi * total).log() + (x - b) ** 2 / total)
""",
            "This is log p(x)",
        ),
        Wrong(
            "sign",
            """
def elbo_gap(x, m, v, w, b, s2):
    var = s2 / (s2 + w**2)
    mean = w * (x - b) / (s2 + w**2)
    return -0.5 * (var.log() - v.log() + (v + (m - mean) ** 2) / var - 1)
""",
            "never below the ELBO",
        ),
        Wrong(
            "s2 as a standard deviation",
            """
def elbo_gap(x, m, v, w, b, s2):
    s2 = s2**2
    var = s2 / (s2 + w**2)
    mean = w * (x - b) / (s2 + w**2)
    return 0.5 * (var.log() - v.log() + (v + (m - mean) ** 2) / var - 1)
""",
            "squared once too often",
        ),
        Wrong(
            "divides by w",
            """
def elbo_gap(x, m, v, w, b, s2):
    var = 1 / (1 + w**2 / s2)
    mean = var * w**2 / s2 * (x - b) / w
    return 0.5 * (var.log() - v.log() + (v + (m - mean) ** 2) / var - 1)
""",
            "NaN",
        ),
    ),
    "score_variance": (
        Wrong(
            "second moment",
            """
def score_variance(mu, sigma):
    return mu**4 / sigma**2 + 18 * mu**2 + 15 * sigma**2
""",
            "second moment of the estimator",
        ),
        Wrong(
            "standard deviation",
            """
def score_variance(mu, sigma):
    return (mu**4 / sigma**2 + 14 * mu**2 + 15 * sigma**2).sqrt()
""",
            "This is the standard deviation",
        ),
        Wrong(
            "the other estimator",
            """
def score_variance(mu, sigma):
    return 4 * sigma**2
""",
            "reparameterised estimator",
        ),
        Wrong(
            "mean",
            """
def score_variance(mu, sigma):
    return 2 * mu
""",
            "the mean of the estimator",
        ),
        Wrong(
            "moments of one",
            """
def score_variance(mu, sigma):
    return (mu**2 / sigma + sigma) ** 2
""",
            "The moments of eps",
        ),
        Wrong(
            "sixth moment",
            """
def score_variance(mu, sigma):
    return mu**4 / sigma**2 + 14 * mu**2 + 9 * sigma**2
""",
            "5 · 3 · 1",
        ),
        Wrong(
            "sigma as a variance",
            """
def score_variance(mu, sigma):
    return mu**4 / sigma + 14 * mu**2 + 15 * sigma
""",
            "you use it as a variance",
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
def elbo_gap(x, m, v, w, b, s2):
    total = w**2 + s2
    evidence = -0.5 * ((2 * math.pi * total).log() + (x - b) ** 2 / total)
    fit = -0.5 * ((2 * math.pi * s2).log() + ((x - w * m - b) ** 2 + w**2 * v) / s2)
    return evidence - (fit - 0.5 * (m**2 + v - 1 - v.log()))
""",
        ),
        Variant(
            "precision",
            """
def elbo_gap(x, m, v, w, b, s2):
    precision = 1 + w * w / s2
    mean = w / s2 * (x - b) / precision
    return 0.5 * (precision * (v + (m - mean).square()) - 1 - torch.log(precision * v))
""",
        ),
    ),
    "score_variance": (
        Variant(
            "from the polynomial",
            """
def score_variance(mu, sigma):
    a, b, c = mu**2 / sigma, 2 * mu, sigma
    return a**2 + 6 * a * c + 15 * c**2 + 3 * b**2 - b**2
""",
        ),
        Variant(
            "in the ratio",
            """
def score_variance(mu, sigma):
    r = (mu / sigma) ** 2
    return sigma**2 * (r * r + 14 * r + 15)
""",
        ),
    ),
}
