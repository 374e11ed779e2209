"""Visible checks of 00_start: known values and properties, with the hint that fits what went wrong."""

import math
from functools import cache

import torch
from torch import Tensor
from torch.distributions import Categorical, kl_divergence

from coursekit.exercises.judge import Trouble, close, entry, explain, numbers, table, tensor, tensors
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion, Task

from .probes import MEANS, PROBES, STDS, WEIGHTS, classes, distributions, mixture, with_zeros

# --- from_joint -----------------------------------------------------------------------------------

BOTH = "log p(x) of shape (5,) and log p(y|x) of shape (5, 3)"


def sums_to_one(data: Plain, seed: int) -> str | None:
    _, log_posterior = tensors(data, "random", [(5,), (5, 3)], meaning=BOTH)
    rows, columns = log_posterior.exp().sum(1), log_posterior.exp().sum(0)
    if close(rows, torch.ones(5)):
        return None
    if close(columns, torch.ones(3)):
        return (
            "Your p(y|x) sums to one over the inputs. It should sum to one over the classes, for each input."
        )
    if close(log_posterior.sum(1), torch.ones(5)):
        return "These are the probabilities themselves. Return their logarithms, which never underflow."
    return "For each input, exp(log p(y|x)) should sum to one over the classes. What is it divided by?"


def product_rule(data: Plain, seed: int) -> str | None:
    log_likelihood, log_prior = classes(seed)
    log_px, log_posterior = tensors(data, "random", [(5,), (5, 3)], meaning=BOTH)
    product = log_px[:, None] + log_posterior
    return explain(
        product,
        log_likelihood + log_prior,
        {"p(y) is missing: multiply by the prior before you sum over the classes.": log_likelihood},
        "p(x) p(y|x) should be p(x|y) p(y), entry by entry. Is log p(x) the log of a sum over classes?",
    )


def far_away(data: Plain, seed: int) -> str | None:
    near = tensors(data, "random", [(5,), (5, 3)], meaning=BOTH)
    far = tensors(data, "far", [(5,), (5, 3)], meaning=BOTH, finite=False)
    if not all(bool(t.isfinite().all()) for t in far):
        return (
            "At log densities near -1500, exp gives zero and its log minus infinity. "
            "Take the largest one out of the sum first (log-sum-exp)."
        )
    if close(far[0], near[0] - 1500) and close(far[1], near[1]):
        return None
    return "Lowering all log densities by 1500 should lower log p(x) by 1500 and leave p(y|x) as it was."


# --- kl_categorical -------------------------------------------------------------------------------


def kl_random(data: Plain, seed: int) -> str | None:
    p, q = distributions(seed)
    got = tensor(data, "random", (4,), meaning="one number per row")
    right = kl_divergence(Categorical(p), Categorical(q))
    return explain(
        got,
        right,
        {
            "This is the KL in bits. Take the natural logarithm for nats.": right / math.log(2),
            "This is KL(q || p). The expectation is under the first argument, p.": kl_divergence(
                Categorical(q), Categorical(p)
            ),
            "This is the cross-entropy of p and q. The KL is smaller by the entropy of p.": right
            + Categorical(p).entropy(),
            "The log ratios are added without weights. Weight each by p: the KL is an expectation.": (
                p.log() - q.log()
            ).sum(1),
            "This is the mean over the values. An expectation is a sum: p holds the weights already.": right
            / 5,
            "The sign is the wrong way round: a KL is never negative.": -right,
        },
        "Not the KL. For p = (1/2, 1/2) and q = (1/4, 3/4) it is 1/2 log 2 + 1/2 log 2/3 = 0.1438 nats.",
    )


def kl_zeros(data: Plain, seed: int) -> str | None:
    got = tensor(data, "zeros", None, finite=False)
    limit = tensor(data, "almost zeros", None, finite=False)
    if bool(got.isnan().any()):
        return "Where p is zero you get NaN: 0 times log 0. The limit of p log p at 0 is 0: nothing is added."
    if bool(got.isfinite().all()) and bool((got != 0).any()) and close(got, limit, atol=1e-9):
        return None
    return "Wrong where p holds zeros. A value that p never takes should add exactly nothing."


# --- moment_match ---------------------------------------------------------------------------------


def density(x: Tensor, weights: Tensor, means: Tensor, stds: Tensor) -> Tensor:
    """Density (N,) of the mixture at x (N,)."""
    z = (x[:, None] - means) / stds  # (N, K)
    return (weights * (-z.square() / 2).exp() / (stds * math.sqrt(2 * math.pi))).sum(1)


def by_quadrature(weights: Tensor, means: Tensor, stds: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of the mixture, from its density on a fine grid."""
    x = torch.linspace(-25, 25, 20_001, dtype=torch.float64)
    p = density(x, weights, means, stds)
    mean = float(torch.trapezoid(p * x, x))
    return mean, math.sqrt(float(torch.trapezoid(p * (x - mean).square(), x)))


def matched_mean(data: Plain, seed: int) -> str | None:
    weights, means, stds = mixture(seed)
    got, _ = numbers(data, "random", 2, meaning="mean and standard deviation")
    return explain(
        got,
        by_quadrature(weights, means, stds)[0],
        {
            "This is the plain average of the means. Weight them.": float(means.mean()),
            "This is the mean of the heaviest component. That is what the reverse KL likes; the forward KL "
            "has to cover all of them.": float(means[weights.argmax()]),
        },
        "Not the mean that minimises KL(p || q). Set the derivative of E_p[log q(x)] in the mean to zero.",
    )


def matched_std(data: Plain, seed: int) -> str | None:
    weights, means, stds = mixture(seed)
    _, got = numbers(data, "random", 2, meaning="mean and standard deviation")
    right = by_quadrature(weights, means, stds)[1]
    return explain(
        got,
        right,
        {
            "This is the variance. Return its square root.": right**2,
            "Only the spread inside the components is there. The means differ too, and that counts.": float(
                (weights * stds.square()).sum().sqrt()
            ),
            "An average of standard deviations. Variances add, standard deviations do not.": float(
                (weights * stds).sum()
            ),
            "This is the root of E[x²]. Take the squared mean off it.": math.sqrt(
                right**2 + by_quadrature(weights, means, stds)[0] ** 2
            ),
        },
        "Not the standard deviation that minimises KL(p || q). Set the derivative in log std to zero.",
    )


# --- prediction -----------------------------------------------------------------------------------

KEYS = ("forward_mean", "forward_std", "reverse_mean", "reverse_std")


@cache
def reverse_fit() -> tuple[float, float]:
    """The Gaussian of least KL(q || p), by trying a grid of means and standard deviations."""
    x = torch.linspace(-8, 8, 1001, dtype=torch.float64)
    p = density(x, *(torch.tensor(v, dtype=torch.float64) for v in (WEIGHTS, MEANS, STDS)))
    best, where = math.inf, (0.0, 0.0)
    for std in torch.linspace(0.2, 3, 57, dtype=torch.float64).tolist():
        means = torch.linspace(-4, 4, 161, dtype=torch.float64)
        log_q = -((x - means[:, None]) / std).square() / 2 - math.log(std * math.sqrt(2 * math.pi))
        kl = torch.trapezoid(log_q.exp() * (log_q - p.log()), x)
        if float(kl.min()) < best:
            best, where = float(kl.min()), (float(means[kl.argmin()]), std)
    return where


def predicted(key: str, right: float, known: dict[float, str], otherwise: str, data: Plain) -> str | None:
    got = entry(table(data, "prediction", KEYS), key)
    if abs(got - right) <= 0.2:
        return None
    near = [hint for value, hint in known.items() if abs(got - value) <= 0.2]
    return near[0] if near else otherwise


@cache
def forward_target() -> tuple[float, float]:
    return by_quadrature(*(torch.tensor(v, dtype=torch.float64) for v in (WEIGHTS, MEANS, STDS)))


def forward_mean(data: Plain, seed: int) -> str | None:
    known = {
        MEANS[
            0
        ]: "Here the forward KL sits on one bump. It pays without limit wherever p has mass and q has none.",
        0.0: "Halfway between the bumps would be right for equal weights. Here they are .65 and .35.",
    }
    return predicted("forward_mean", forward_target()[0], known, "The forward KL keeps the mean of p.", data)


def forward_std(data: Plain, seed: int) -> str | None:
    known = {STDS[0]: "With this std, q would leave one bump out. How wide must it be to cover both?"}
    return predicted(
        "forward_std", forward_target()[1], known, "The forward KL keeps the variance of p.", data
    )


def reverse_mean(data: Plain, seed: int) -> str | None:
    known = {
        MEANS[
            1
        ]: "Sitting on the lighter bump is a local minimum only: on the heavier one the KL is smaller by "
        "log(.65/.35).",
        forward_target()[
            0
        ]: "Here q would put its mass where p has almost none, and the reverse KL pays for that.",
    }
    return predicted(
        "reverse_mean", reverse_fit()[0], known, "Where can q sit so that p is large wherever q is?", data
    )


def reverse_std(data: Plain, seed: int) -> str | None:
    known = {
        forward_target()[1]: "Too wide for the reverse KL: q would reach into the gap between the bumps."
    }
    return predicted("reverse_std", reverse_fit()[1], known, "How wide is the bump that q sits on?", data)


# --- two_ways -------------------------------------------------------------------------------------

ANY_FLOAT = ("float32", "float64")


def drawn(data: Plain, key: str = "data", n: int = 400) -> tuple[Tensor, Tensor]:
    """x and y, each (n,)."""
    x, y = tensors(data, key, [(n,), (n,)], meaning=f"x and y of shape ({n},)", dtype=ANY_FLOAT)
    return x, y


def well_formed(data: Plain, seed: int) -> str | None:
    x, y = drawn(data)
    if not bool(((x == 0) | (x == 1)).all()):
        return "x should hold zeros (free road) and ones (obstacle) only."
    if not 0.2 <= float(x.mean()) <= 0.8:
        return "Each situation should make up a fifth of the rows or more."
    if bool((y.abs() > 1).any()):
        return "The steering y should stay between -1 and 1; clamp it, or make the noise smaller."
    return None


def in_situation(data: Plain, key: str, n: int, situation: int) -> Tensor:
    """The targets y of the rows with this x."""
    x, y = drawn(data, key, n)
    if not bool((x == situation).any()):
        raise Trouble(f"There is no row with x = {situation}.")
    return y[x == situation]


def free_road(data: Plain, seed: int) -> str | None:
    y = in_situation(data, "data", 400, 0)
    if float(((y - y.mean()).abs() <= 0.2).double().mean()) >= 0.9:
        return None
    return "On the free road (x = 0) nine targets of ten should lie within .2 of their mean. Make them agree."


def obstacle(data: Plain, seed: int, key: str = "data", n: int = 400) -> str | None:
    y = in_situation(data, key, n, 1)
    mean = y.mean()
    if float(((y - mean).abs() < 0.5).double().mean()) <= 0.01:
        return None
    if float(y.std()) < 0.2:
        return (
            "At the obstacle all targets agree, so their average is one of them and the regressor is right."
        )
    if bool((y > 0.3).any()) and bool((y < -0.3).any()) and float((y.abs() < 0.3).double().mean()) < 0.02:
        return (
            f"One side is so frequent that the average ({float(mean):.2f}) lies near its targets. "
            "How frequent may a side be?"
        )
    return (
        f"Many targets lie within .5 of the average ({float(mean):.2f}). "
        "There should be two ways and nothing between."
    )


def from_generator(data: Plain, seed: int) -> str | None:
    first, again, other = (drawn(data, key) for key in ("data", "again", "other"))
    if not all(close(a, b) for a, b in zip(first, again, strict=True)):
        return (
            "The same generator seed gives other data each time. Pass it to each random call: "
            "an experiment that cannot be repeated proves nothing."
        )
    if close(first[0], other[0]) and close(first[1], other[1]):
        return "Every generator seed gives the same data. Draw x and y at random."
    return None


TASKS = [
    Task(
        "from_joint",
        "From p(x|y) and p(y) to p(x) and p(y|x)",
        "implement",
        4,
        PROBES["from_joint"],
        (
            Criterion("p(y|x) sums to one for each input", 1, sums_to_one),
            Criterion("p(x) p(y|x) = p(x|y) p(y)", 1, product_rule),
            Criterion("far from every class nothing underflows", 1, far_away),
        ),
        (
            "The product rule with logarithms: log p(x, y) = log p(x|y) + log p(y). Which shape has it?",
            "p(x) sums p(x, y) over the classes. In logarithms that is a log-sum-exp over dimension 1.",
            "p(y|x) = p(x, y) / p(x): subtract, with p(x) as a column, `[:, None]`.",
        ),
        (),
        "7 Discriminative and generative",
    ),
    Task(
        "kl_categorical",
        "The KL divergence by hand",
        "implement",
        4,
        PROBES["kl_categorical"],
        (
            Criterion("random distributions, in nats", 2, kl_random),
            Criterion("a zero in p adds nothing", 1, kl_zeros),
        ),
        (
            "The KL is an expectation under p. Of what?",
            "Row by row: the sum over the values of p times (log p - log q).",
            "For zeros in p: `torch.where`, or `torch.xlogy(p, p)`, which is 0 at 0.",
        ),
        ("torch.distributions", "torch.nn.functional.kl_div"),
        "4 Derive: what maximum likelihood measures",
    ),
    Task(
        "moment_match",
        "The best Gaussian under the forward KL",
        "derive",
        4,
        PROBES["moment_match"],
        (
            Criterion("the mean", 1, matched_mean),
            Criterion("the standard deviation", 2, matched_std),
        ),
        (
            "Only -E_p[log q(x)] depends on q. Write log q(x) out for a Gaussian.",
            "Setting both derivatives to zero says: q has the mean and the variance of p.",
            "For the variance of a mixture: E[x²] - E[x]², with E[x²] a weighted sum of std² + mean².",
        ),
        (),
        "4 Derive: what maximum likelihood measures",
    ),
    Task(
        "prediction",
        "Predict, then run: forward against reverse",
        "predict",
        4,
        PROBES["prediction"],
        (
            Criterion("forward KL: where q sits", 1, forward_mean),
            Criterion("forward KL: how wide q is", 1, forward_std),
            Criterion("reverse KL: where q sits", 1, reverse_mean),
            Criterion("reverse KL: how wide q is", 1, reverse_std),
        ),
        (
            "Which of the two pays when q is almost zero somewhere that p is not? That one has to cover.",
            "For the forward KL you have a formula from the task before.",
            "For the reverse KL: q sits on one bump. On which one, and how wide is that bump?",
        ),
        (),
        "5 Derive: the same divergence, backwards",
    ),
    Task(
        "two_ways",
        "Design data that a regressor cannot follow",
        "design",
        6,
        PROBES["two_ways"],
        (
            Criterion("x and y have the right form", 1, well_formed),
            Criterion("on the free road the average is a good answer", 1, free_road),
            Criterion("at the obstacle the average is like no target", 2, obstacle),
            Criterion("the data come from the generator", 1, from_generator),
        ),
        (
            "The squared loss is smallest at the average of y for each x. When is that unlike every value?",
            "Left or right with equal chance, and never straight on.",
            "Draw x with `torch.randint(0, 2, (n,), generator=generator)`, sides likewise; y is the side "
            "times x, plus a little noise.",
        ),
        (),
        "1 Derive: what squared error asks for",
    ),
]
