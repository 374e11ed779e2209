# Generated from solutions/ by `python -m coursekit.authoring.generate`; do not edit.
"""Visible checks of 10_evaluation: known values and properties, with the hint that fits what went wrong."""

import math
from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor

from coursekit.exercises.judge import (
    NotDone,
    Trouble,
    close,
    entry,
    explain,
    number,
    numbers,
    returned,
    table,
    tensor,
    tensors,
)
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion, Task

from .probes import (
    CLASSES,
    CROWD,
    DIMS,
    DRAWS,
    FAKE,
    IMAGES,
    NEIGHBOUR,
    PIXELS,
    PROBES,
    RANKS,
    REAL,
    SETS,
    SIZES,
    THIN,
    cloud,
    gaussians,
    log_weights,
    readings,
    rivals,
    source,
    three_sets,
    two_clouds,
    two_sets,
    variances,
    verdicts,
)

# --- scores ------------------------------------------------------------------------------------------


def entropy(p: Tensor) -> Tensor:
    """Along the last dimension, nats."""
    return torch.special.entr(p).sum(-1)


def probabilities(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Class probabilities (N, K), and their geometric mean, made to sum to 1 again (K,)."""
    p = (logits - logits.max(1, keepdim=True).values).exp()
    p = p / p.sum(1, keepdim=True)
    geometric = p.log().mean(0).exp()
    return p, geometric / geometric.sum()


def entropy_of_the_mean(data: Plain, seed: int) -> str | None:
    p, geometric = probabilities(verdicts(seed))
    right = float(entropy(p.mean(0)))
    votes = torch.bincount(p.argmax(1), minlength=CLASSES) / len(p)
    logits = verdicts(seed)
    return explain(
        number(data, "diversity"),
        right,
        {
            "This is the mean of the entropies: the doubt. Average the distributions first.": float(
                entropy(p).mean()
            ),
            "This is the entropy of the mean log-probabilities, a geometric mean. Average p.": float(
                entropy(geometric)
            ),
            "The mean of log p is no distribution's logarithm: it does not sum to 1. Average p.": float(
                entropy(p.log().mean(0).exp())
            ),
            "This is in bits. Leave it in nats.": right / math.log(2),
            "This is a number of classes, exp of the entropy. The diversity is the entropy.": math.exp(right),
            "The sign is the wrong way round: an entropy is not negative.": -right,
            "This counts the most likely classes. The samples' whole distributions are averaged.": float(
                entropy(votes.double())
            ),
            "This is divided by the number of classes. An entropy is a sum over the classes.": right
            / CLASSES,
            "The softmax runs over the samples. Each sample has a distribution over the classes, dim=1.": (
                float(entropy(logits.softmax(0).mean(0)))
            ),
        },
        "Not the entropy of the mean distribution: -sum of p log p over classes, p averaged over samples.",
    )


def score(data: Plain, seed: int) -> str | None:
    p, geometric = probabilities(verdicts(seed))
    spread, doubt = float(entropy(p.mean(0))), float(entropy(p).mean())
    right = math.exp(spread - doubt)
    vague = float(-(p.mean(0) * geometric.log()).sum())
    return explain(
        number(data, "score"),
        right,
        {
            "This is exp of the diversity alone. A sample of no clear class costs: take the doubt off.": (
                math.exp(spread)
            ),
            "This is exp of the doubt alone.": math.exp(doubt),
            "This is its inverse: the exponent is diversity minus doubt, and is not negative.": 1 / right,
            "This is the mutual information. The score is its exponential.": spread - doubt,
            "The information is in nats, so its exponential is to base e, not 2.": 2 ** (spread - doubt),
            "The entropies are in bits and the exponential is to base e. One base for both.": math.exp(
                (spread - doubt) / math.log(2)
            ),
            "The two are added. The doubt comes off.": math.exp(spread + doubt),
            "Your average distribution is the mean of log p. Average the probabilities.": math.exp(
                float(entropy(geometric)) - doubt
            ),
            "Your mean KL is to the mean of log p. Average the probabilities, then take the logarithm.": (
                math.exp(vague - doubt)
            ),
            "You compare with equal classes, log K. The score takes the samples' own average.": CLASSES
            / math.exp(doubt),
            "This sums over the samples. The doubt is a mean over them.": math.exp(len(p) * (spread - doubt)),
            "The exponential is taken sample by sample. It comes after the mean over the samples.": float(
                ((p * (p / p.mean(0)).log()).sum(1)).exp().mean()
            ),
            "This is divided by the number of classes: p (log p - log average) is summed over them.": (
                math.exp((spread - doubt) / CLASSES)
            ),
            "The softmax runs over the samples. It belongs over the classes, dim=1.": float(
                (entropy(verdicts(seed).softmax(0).mean(0)) - entropy(verdicts(seed).softmax(0)).mean()).exp()
            ),
        },
        "Not the score: exp of the diversity minus the mean entropy of the single verdicts.",
    )


def no_nan(data: Plain, seed: int) -> str | None:
    for key in ("extreme diversity", "extreme score"):
        value = returned(data, key)
        found = value.get("values", [value.get("value")]) if value.get("type") == "tensor" else None
        got = found[0] if found else value.get("value")
        if not isinstance(got, (int, float, str)):
            number(data, key)  # says what is odd about it
        if isinstance(got, str) or not math.isfinite(got):
            return (
                f"`{value['name']}` returns {got} where a probability is exactly 0. The term p log p is 0 "
                "there: think of torch.xlogy, or of log_softmax with logits that are not infinite."
            )
    return None


# --- frechet -----------------------------------------------------------------------------------------


def estimated(data: Plain, seed: int) -> str | None:
    x = cloud(seed)
    right = torch.cov(x.T)
    mean, cov = tensors(data, "moments", [(DIMS,), (DIMS, DIMS)], meaning="the mean and the covariance")
    if not close(mean, x.mean(0)):
        return "The mean is that of each feature over the rows, (D,)."
    return explain(
        cov,
        right,
        {
            "Divide by N - 1: the deviations are from a mean that has been fitted to the same rows.": right
            * (len(x) - 1)
            / len(x),
            "These are second moments. Take the mean off first.": x.T @ x / len(x),
            "These are second moments, and N - 1 does not help. Take the mean off first.": x.T
            @ x
            / (len(x) - 1),
            "Nothing is divided: this is the sum over the rows.": right * (len(x) - 1),
            "These are the variances alone. The features are correlated.": right.diagonal().diag(),
            "These are correlations. The covariance keeps the units.": torch.corrcoef(x.T),
        },
        "Not the covariance: the mean of products of deviations, with N - 1 below.",
    )


def nuclear(a: Tensor, b: Tensor) -> float:
    """Trace of the root of (a a^T)^.5 b b^T (a a^T)^.5."""
    return float(torch.linalg.svdvals(a.T @ b).sum())


def root_of(cov: Tensor) -> Tensor:
    """The symmetric root."""
    u, s, _ = torch.linalg.svd(cov)
    return (u * s.sqrt()) @ u.T


def distance(data: Plain, seed: int) -> str | None:
    (m, a), (n, b) = gaussians(seed + 20, (DIMS + 2, DIMS + 2))
    p, q = a @ a.T, b @ b.T
    apart, traces = float((m - n).square().sum()), float(p.trace() + q.trace())
    right = apart + traces - 2 * nuclear(a, b)
    product = p @ q

    def less(overlap: Tensor | float) -> float:
        return apart + traces - 2 * float(overlap)

    return explain(
        number(data, "distance"),
        right,
        {
            "The distance of the means is to be squared.": right - apart + math.sqrt(apart),
            "The means do not occur. Add their squared distance.": right - apart,
            "The means' squared distance is averaged over the features. It is a sum.": right
            - apart
            + apart / DIMS,
            "The factor 2 in front of the last trace is missing.": less(nuclear(a, b) / 2),
            "The last trace is added. The overlap of the two comes off.": less(-nuclear(a, b)),
            "This is the root of every entry. The root of a matrix is one of its eigenvalues.": less(
                product.abs().sqrt().trace()
            ),
            "You take the roots of the product's diagonal. Take those of its eigenvalues.": less(
                product.diagonal().clamp_min(0).sqrt().sum()
            ),
            "This uses the variances alone, as if nothing were correlated.": less(
                (p.diagonal() * q.diagonal()).sqrt().sum()
            ),
            "The roots are taken one by one: tr S1^½ S2^½. That is right only if the two commute.": less(
                (root_of(p) @ root_of(q)).trace()
            ),
            "The root is missing: this is the trace of the product.": less(product.trace()),
            "This is the root of the trace. The trace is taken of the root.": less(product.trace().sqrt()),
            "This is the root of the distance. The task asks for its square.": math.sqrt(right),
            "These are the singular values of the product. Its eigenvalues are others, it isn't symmetric.": (
                less(torch.linalg.svdvals(product).sqrt().sum())
            ),
            "eigvalsh reads one triangle only, and the product is not symmetric.": less(
                torch.linalg.eigvalsh(product).clamp_min(0).sqrt().sum()
            ),
        },
        "Not the distance. For one dimension it is (m1 - m2)² + (s1 - s2)², with deviations s.",
        rtol=1e-6,
        atol=1e-6,
    )


def of_low_rank(data: Plain, seed: int) -> str | None:
    for i in range(THIN):
        (m, a), (n, b) = gaussians(seed + 40 + 11 * i, RANKS)
        value = returned(data, f"low rank {i}")
        got = value.get("value", (value.get("values") or [None])[0])
        if isinstance(got, str):
            return (
                f"For covariances of low rank `{value['name']}` returns {got}. Eigenvalues that should be 0 "
                "come out at -1e-17: clamp before the root."
            )
        found = number(data, f"low rank {i}")
        largest = float((a @ a.T + b @ b.T).trace() + (m - n).square().sum())
        if close(found, largest, rtol=1e-6):
            return "For covariances of low rank the overlap comes out as 0. Part of it is left."
    return None


# --- kid ---------------------------------------------------------------------------------------------


def cubic(data: Plain, seed: int) -> str | None:
    x, y = two_sets(seed)
    dots = torch.einsum("id,jd->ij", x, y)
    width = x.shape[1]
    base = dots / width + 1
    return explain(
        tensor(data, "kernel", SIZES, meaning="a row for each of a, a column for each of b"),
        base.pow(3),
        {
            "The 1 is missing: without it means and covariances are not compared.": (dots / width).pow(3),
            "The division by the number of features is missing.": (dots + 1).pow(3),
            "The cube is missing.": base,
            "This is a square. The kernel is the cube.": base.square(),
            "The 1 is divided by D as well.": ((dots + 1) / width).pow(3),
            "You divide by the root of D, as attention does. Here it is D.": (
                dots / math.sqrt(width) + 1
            ).pow(3),
            "You divide by the number of rows. D is the number of features.": (dots / SIZES[0] + 1).pow(3),
            "The 1 is added after the cube.": (dots / width).pow(3) + 1,
        },
        "Not the kernel: (a_i · b_j / D + 1)³.",
    )


def own_kernels(data: Plain, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """What the answer's own kernel makes of x with x, y with y, x with y; the right one where unread."""
    (n, m), (x, y) = SIZES, two_sets(seed)
    try:
        within_x, within_y = tensor(data, "kernel x", (n, n)), tensor(data, "kernel y", (m, m))
        return within_x, within_y, tensor(data, "kernel", (n, m))
    except NotDone:
        raise
    except Trouble:
        within, other, across = (((a @ b.mT).div(3) + 1).pow(3) for a, b in ((x, x), (y, y), (x, y)))
        return within, other, across


def combine(parts: tuple[Tensor, Tensor, Tensor]) -> dict[str, float]:
    """The estimate and its mistakes."""
    of_x, of_y, across = parts
    n, m = across.shape
    a, b = (float(k.sum() - k.diagonal().sum()) for k in (of_x, of_y))
    between = float(across.sum()) / (n * m)
    whole = float(of_x.mean() + of_y.mean())
    a1, b1 = a / n / (n - 1), b / m / (m - 1)
    return {
        "right": a1 + b1 - 2 * between,
        "diagonal": whole - 2 * between,
        "diagonal out of the sum only": a / n**2 + b / m**2 - 2 * between,
        "diagonal out of the count only": float(of_x.sum()) / n / (n - 1)
        + float(of_y.sum()) / m / (m - 1)
        - 2 * between,
        "once": a1 + b1 - between,
        "added": a1 + b1 + 2 * between,
        "one side": a1 + float(of_y.mean()) - 2 * between,
        "paired": a1 + b1 - 2 * float(across.diagonal().mean()),
        "root": math.sqrt(abs(a1 + b1 - 2 * between)),
        "clamped": max(0.0, a1 + b1 - 2 * between),
        "diagonal between": a1 + b1 - 2 * float(across.sum() - across.diagonal().sum()) / (n * m - min(n, m)),
        "half of the pairs": a1 / 2 + b1 / 2 - 2 * between,
        "same count": a / n / (n - 1) + b / n / (n - 1) - 2 * between,
        "sum": a + b - 2 * float(across.sum()),
    }


def unbiased(data: Plain, seed: int) -> str | None:
    found = combine(own_kernels(data, seed))
    hints = {
        "diagonal": "The diagonals are still in: a sample makes no pair with itself.",
        "diagonal out of the sum only": "The diagonals are out of the sum, but N² still counts them: "
        "N (N - 1) pairs are left.",
        "diagonal out of the count only": "The diagonals are out of the count, but still in the sum.",
        "once": "The term between the sets counts twice: x with y, and y with x.",
        "added": "The term between the sets is added. Alike sets must give 0.",
        "one side": "The diagonal is left out for x only. The same holds for y.",
        "paired": "Between the sets all N M pairs count, not only those of the same row.",
        "root": "This is a root. The estimate is of the square, and may be negative.",
        "diagonal between": "Between the sets there is no diagonal: row i of x and row i of y are two draws.",
        "half of the pairs": "Each pair within a set is counted once and divided by N (N - 1). There are "
        "half as many.",
        "same count": "The pairs within y are divided by the count of x: M (M - 1).",
        "sum": "These are sums. Divide each by its number of pairs.",
        "clamped": "Negative values are cut off at 0. That is the bias back: let them be.",
    }
    return explain(
        number(data, "kid"),
        found["right"],
        {text: found[name] for name, text in hints.items()},
        "Not the estimate: mean kernel within x and within y, without diagonals, less twice that between.",
    )


# --- balls -------------------------------------------------------------------------------------------


def reach(points: Tensor, rank: int) -> Tensor:
    """Distance of each point to the one of this rank, 0 being itself."""
    return (points[:, None] - points).square().sum(-1).sqrt().sort(1).values[:, rank]


def own_radii(data: Plain, seed: int) -> tuple[Tensor, Tensor]:
    """The answer's own radii around x and y; the right ones where they cannot be read."""
    x, y = two_clouds(seed)
    try:
        return tensor(data, "radii x", (REAL,)), tensor(data, "radii y", (FAKE,))
    except NotDone:
        raise
    except Trouble:
        return reach(x, NEIGHBOUR), reach(y, NEIGHBOUR)


def shares(seed: int, r_x: Tensor, r_y: Tensor) -> dict[str, float]:
    """What is right with these radii, and what is mistaken for it."""
    x, y = two_clouds(seed)
    gap = (x[:, None] - y).square().sum(-1).sqrt()
    real, fake = gap - r_x[:, None] <= 0, gap - r_y <= 0
    found = {
        "samples in real balls": real.any(0),
        "real points in samples' balls": fake.any(1),
        "real balls with a sample": real.any(1),
        "samples whose ball holds a real point": fake.any(0),
        "pairs in real balls": real,
        "pairs in samples' balls": fake,
    }
    return {name: float(share.double().mean()) for name, share in found.items()}


def untouched(data: Plain, seed: int) -> None:
    """Raise NotDone where nothing has been repaired."""
    x, y = two_clouds(seed)
    given = reach(x, NEIGHBOUR - 1), reach(y, NEIGHBOUR - 1)
    own = own_radii(data, seed)
    s = shares(seed, *given)
    values = (
        s["samples whose ball holds a real point"],
        s["real balls with a sample"],
        s["pairs in real balls"],
    )
    if (
        close(own[0], given[0])
        and close(own[1], given[1])
        and close(three_shares(data), torch.tensor(values))
    ):
        raise NotDone("Not done yet: this still returns what the code that you were given returns.")


def three_shares(data: Plain, key: str = "report") -> Tensor:
    """Precision, recall and coverage as the answer has them."""
    return torch.tensor(numbers(data, key, 3, meaning="precision, recall, coverage"), dtype=torch.float64)


def radii_right(data: Plain, seed: int) -> str | None:
    untouched(data, seed)
    x, _ = two_clouds(seed)
    return explain(
        tensor(data, "radii x", (REAL,), meaning="one radius for each point"),
        reach(x, NEIGHBOUR),
        {
            "The point itself is counted as its nearest neighbour: rank k + 1 is that of the k-th other.": (
                reach(x, NEIGHBOUR - 1)
            ),
            "One too far: the point itself takes one rank only.": reach(x, NEIGHBOUR + 1),
            "These are squared distances, while `report` compares with distances.": reach(
                x, NEIGHBOUR
            ).square(),
            "This is one radius for all, the mean. Each point has its own ball.": reach(x, NEIGHBOUR)
            .mean()
            .expand(REAL),
            "This is the mean distance to the k nearest. The ball reaches to the k-th.": torch.stack(
                [reach(x, i + 1) for i in range(NEIGHBOUR)]
            ).mean(0),
            "This is the distance to the farthest, not to the k-th nearest.": reach(x, REAL - 1),
            "These are the k-th largest distances.": reach(x, REAL - NEIGHBOUR),
        },
        "Not the distances to the k-th nearest other point.",
    )


def share(
    data: Plain, seed: int, index: int, right: str, wrong: Mapping[str, str], otherwise: str
) -> str | None:
    untouched(data, seed)
    x, y = two_clouds(seed)
    got = float(three_shares(data)[index])
    true = shares(seed, reach(x, NEIGHBOUR), reach(y, NEIGHBOUR))
    own = shares(seed, *own_radii(data, seed))
    if close(got, own[right]) or close(got, true[right]):
        return None
    for hint, name in wrong.items():
        if close(got, own[name]):
            return hint
    if close(got, 1 - own[right]):
        return "This is the share that is outside. Which way round is the comparison?"
    return otherwise


def precise(data: Plain, seed: int) -> str | None:
    return share(
        data,
        seed,
        0,
        "samples in real balls",
        {
            "Precision asks the samples' own balls. The balls stand around the real points.": (
                "samples whose ball holds a real point"
            ),
            "This is the recall: precision and recall are exchanged.": "real points in samples' balls",
            "This counts real balls. Precision is a share of the samples: `any` over the real points.": (
                "real balls with a sample"
            ),
            "Precision is no share of pairs. One ball that holds the sample is enough.": (
                "pairs in real balls"
            ),
        },
        "Not the precision: the share of the samples that lie in at least one ball around a real point.",
    )


def recalled(data: Plain, seed: int) -> str | None:
    return share(
        data,
        seed,
        1,
        "real points in samples' balls",
        {
            "Recall asks the real points' balls, and is the coverage then. Its balls stand around samples.": (
                "real balls with a sample"
            ),
            "This is the precision: precision and recall are exchanged.": "samples in real balls",
            "This counts samples' balls. Recall is a share of the real points: `any` over the samples.": (
                "samples whose ball holds a real point"
            ),
            "Recall is no share of pairs. One ball that holds the real point is enough.": (
                "pairs in samples' balls"
            ),
        },
        "Not the recall: the share of the real points that lie in at least one ball around a sample.",
    )


def covered(data: Plain, seed: int) -> str | None:
    return share(
        data,
        seed,
        2,
        "real balls with a sample",
        {
            "This is the share of all pairs. A real ball is covered as soon as one sample is in it.": (
                "pairs in real balls"
            ),
            "This is the precision: a share of the samples. Coverage is one of the real balls.": (
                "samples in real balls"
            ),
            "This is the recall. Coverage takes the balls around the real points.": (
                "real points in samples' balls"
            ),
            "These are samples' balls. Coverage trusts those around real points only.": (
                "samples whose ball holds a real point"
            ),
        },
        "Not the coverage: the share of the balls around real points that hold at least one sample.",
    )


# --- unlike ------------------------------------------------------------------------------------------


def factor(data: Plain, seed: int) -> str | None:
    v = variances(seed)
    count = len(v)
    harmonic = 1 / (1 / v[:, None] + 1 / v)
    pairs, own = float(harmonic.sum()), float(v.sum()) / 2
    means = float(v.sum())
    right = means + (pairs + own) / 2
    alike = means + means * (count + 1) / 4
    return explain(
        number(data, "factor"),
        right,
        {
            "That is what the mean adds. The covariances add more.": means,
            "That is what the covariances add. The mean adds the trace.": right - means,
            "On the diagonal E_ii² has twice the expectation: it averages fourth powers.": means + pairs / 2,
            "The ½ in front of the sum over i and j is missing.": means + pairs + own,
            "Each pair i, j occurs twice in the sum, as i, j and as j, i. You count it once.": (
                means + (pairs - own) / 4 + own
            ),
            "You count the diagonal only. The covariances between features err, too.": means + own,
            "This is the chapter's factor times the mean variance. The variances are unlike.": alike,
            "This is the chapter's factor, for variances of one.": count + count * (count + 1) / 4,
            "Both sides would have to be samples for that. The reference is exact.": 2 * right,
            "`var` holds variances. You use them as standard deviations.": float(
                (v**2).sum() + (1 / (1 / v[:, None] ** 2 + 1 / v**2)).sum() / 2 + (v**2).sum() / 4
            ),
            "E_ij² has the expectation λ_i λ_j / N. The product does not occur.": float(
                v.sum() + (1 / (v[:, None] + v)).sum() / 2 + (1 / v).sum() / 4
            ),
            "The covariances err by λ_i λ_j / N on average, squared. You do not divide by λ_i + λ_j.": float(
                v.sum() + torch.outer(v, v).sum() / 2 + v.square().sum() / 2
            ),
        },
        "Not c: the trace for the mean, and ½ times the sum of N E[E_ij²] / (λ_i + λ_j). For one feature: "
        "1.5 λ.",
    )


def extrapolated(data: Plain, seed: int) -> str | None:
    d1, n1, d2, n2 = readings(seed)
    slope = (d1 - d2) / (1 / n1 - 1 / n2)
    return explain(
        number(data, "limit"),
        d2 - slope / n2,
        {
            "The larger sample counts more. (This is where a line in N, not in 1 / N, meets 0.)": (
                n1 * d2 - n2 * d1
            )
            / (n1 - n2),
            "That is a mean of the two. The truth lies below both.": (d1 + d2) / 2,
            "That is a mean of the two with weights. The truth lies below both.": (n1 * d1 + n2 * d2)
            / (n1 + n2),
            "That is the slope c. Where does the line meet 1 / N = 0?": slope,
            "That is a line in 1 / N². The leading error is c / N.": d2
            - (d1 - d2) / (n1**-2 - n2**-2) / n2**2,
            "That is a line in the root of 1 / N. The mean's error falls as 1 / N.": d2
            - (d1 - d2) / (n1**-0.5 - n2**-0.5) * n2**-0.5,
            "The correction is added. A sample reads too much, never too little.": d2 + slope / n2,
        },
        "Not the limit. Solve d_1 = d + c / n_1 and d_2 = d + c / n_2 for d.",
    )


def fair(data: Plain, seed: int) -> str | None:
    a, c_a, b, c_b = rivals(seed)
    right = (c_b - c_a) / (a - b)
    return explain(
        number(data, "fair"),
        right,
        {
            "The sign is the wrong way round.": -right,
            "That is 1 / N.": 1 / right,
            "The two factors are added. What counts is how much more bias a has.": (c_a + c_b) / (b - a),
            "The bias of b is left out: it errs too.": c_a / (b - a),
            "The limits are added. What counts is their difference.": (c_a - c_b) / (a + b),
            "The task asks for N, not rounded.": float(math.ceil(right)),
            "That is where the square roots would be equal. The distance itself errs by c / N.": (
                math.sqrt(right)
            ),
        },
        "Not the N at which limit_a + c_a / N = limit_b + c_b / N.",
    )


# --- likely ------------------------------------------------------------------------------------------

KEYS = ("bits", "frechet", "share", "width")
PARTS, SPACE, LOUD = 10.0, 64, 100.0  # one of so many draws is good; dimensions; the noise's variance


@cache
def worked_out() -> dict[str, float]:
    """The four numbers, by running it: sums over the directions, and a search for the width."""
    variance = (1 + (PARTS - 1) * LOUD) / PARTS
    widths = torch.linspace(0.5, 4, 35_001, dtype=torch.float64)
    cost = 144 / widths.square() + 128 * widths.log()
    return {
        "bits": math.log(PARTS, 2) / SPACE,
        "frechet": sum((math.sqrt(variance) - 1) ** 2 for _ in range(SPACE)),
        "share": 30.72 * math.log(2) / math.log(10),
        "width": float(widths[cost.argmin()]),
    }


def guess(data: Plain, key: str, within: float, known: Mapping[str, float], otherwise: str) -> str | None:
    got = entry(table(data, "prediction", KEYS), key)
    right = worked_out()[key]
    if abs(got - right) <= within:
        return None
    for hint, value in known.items():
        if abs(got - value) <= max(0.004 * abs(value), min(within, 0.004)):
            return hint
    return otherwise


def lost(data: Plain, seed: int) -> str | None:
    right = worked_out()["bits"]
    return guess(
        data,
        "bits",
        0.01 * right,
        {
            "That is per image, in nats. Per dimension, in bits.": math.log(10),
            "That is per image. Divide by the dimensions.": math.log2(10),
            "That is in nats. A nat is 1 / log 2 bits.": math.log(10) / SPACE,
            "That is multiplied by log 2. Divide by it: a nat is more than a bit.": math.log(10)
            * math.log(2)
            / SPACE,
            "That is what a share of 0.9 costs. The good share is 0.1.": -math.log2(0.9) / SPACE,
            "That is a logarithm to base 10.": 1 / SPACE,
        },
        "Drop the noise's term from the mixture's density: a tenth of p(x) is left. What is its logarithm?",
    )


def moved(data: Plain, seed: int) -> str | None:
    right = worked_out()["frechet"]
    return guess(
        data,
        "frechet",
        0.003 * right,
        {
            "That is the distance of the noise alone. A tenth of the draws is good.": SPACE * 81.0,
            "That is the mean of the two distances. Mix first: the mixture has one covariance.": SPACE
            * 81
            * 0.9,
            "That is the distance in one direction. There are 64.": right / SPACE,
            "That mixes the standard deviations. Mix the variances.": SPACE * 8.1**2,
            "That compares the variances. The distance compares standard deviations.": SPACE * 89.1**2,
            "That is the sum of the differences of the variances, without roots.": SPACE * 89.1,
            "That is a root. The Fréchet distance of this course is the squared one.": math.sqrt(right),
            "The good share and that of the noise are exchanged.": SPACE * (math.sqrt(10.9) - 1) ** 2,
        },
        "The means agree. Which variance has the mixture in each direction? Then 64 (s - 1)².",
    )


def least_share(data: Plain, seed: int) -> str | None:
    right = worked_out()["share"]
    return guess(
        data,
        "share",
        0.1,
        {
            "That is the power of 2. The question is for one of 10.": 30.72,
            "That is in nats: λ is e to the minus this.": 30.72 * math.log(2),
            "λ = 10^-r with a positive r.": -right,
            "That takes 0.01 nats per dimension. They are bits.": 30.72 / math.log(10),
            "That is for 64 dimensions. There are 3072.": 0.64 * math.log10(2),
            "That is λ. The question is for r.": 2**-30.72,
        },
        "0.01 bits times 3072 dimensions may be lost per image: log2 of 1 / λ.",
    )


def widest(data: Plain, seed: int) -> str | None:
    return guess(
        data,
        "width",
        0.02 * worked_out()["width"],
        {
            "That is the variance. The width is its root.": 2.25,
            "That is the whole distance. It is shared by 64 pixels.": 12.0,
            "You divide by the number of pixels. Divide the square by it.": 12 / 64,
            "The 2 is lost on the way: the derivative of d² / 2 s² is -d² / s³.": 1.5 / math.sqrt(2),
            "Too large by a root of 2: the derivative of D log s is D / s.": 1.5 * math.sqrt(2),
            "The smaller, the sharper, but no: a width of 0 gives held-out images no likelihood.": 0.0,
        },
        "Minimise d² / (2 s²) + D log s: set the derivative in s to zero.",
    )


# --- bits --------------------------------------------------------------------------------------------


def given_bits(log_w: Tensor, log_p: Tensor) -> float:
    """What the given `bits` makes of some evidence."""
    return float(log_p.exp().mean().log()) / PIXELS * -math.log(2)


def fresh(data: Plain, seed: int) -> None:
    """Raise NotDone where nothing has been repaired."""
    log_w = log_weights(seed)
    summed = log_w.exp().sum(0).log()
    same = close(tensor(data, "evidence", (IMAGES,), finite=False), summed)
    unbounded = bool(tensor(data, "tiny", (IMAGES,), finite=False).isinf().all())
    if same and unbounded and close(number(data, "bits"), given_bits(log_w, summed)):
        raise NotDone("Not done yet: this still returns what the code that you were given returns.")


def evidence(data: Plain, seed: int) -> str | None:
    fresh(data, seed)
    log_w = log_weights(seed)
    w = log_w.exp()
    mean = w.mean(0)
    return explain(
        tensor(data, "evidence", (IMAGES,), meaning="one number for each image"),
        mean.log(),
        {
            "This is the log of the sum of the weights. p(x) is estimated by their mean.": w.sum(0).log(),
            "This is the mean of log w: the ELBO. The importance-weighted bound takes log of the mean.": (
                log_w.mean(0)
            ),
            "You divide by the number of images. There are K weights for each image.": (
                w.sum(0) / IMAGES
            ).log(),
            "log K is added. Dividing the sum by K takes log K off.": w.sum(0).log() + math.log(DRAWS),
            "The logarithm is divided by K. Divide the sum, inside it.": w.sum(0).log() / DRAWS,
            "K itself comes off. Take off its logarithm.": w.sum(0).log() - DRAWS,
            "This is the largest weight alone.": log_w.max(0).values,
            "This is p(x). Take its logarithm.": mean,
            "This is minus the bound. The sign changes in `bits`.": -mean.log(),
        },
        "Not the log of the mean of the K weights of each image.",
    )


def as_small(data: Plain, seed: int) -> str | None:
    fresh(data, seed)
    got = tensor(data, "tiny", (IMAGES,), finite=False)
    if bool(got.isfinite().all()):
        return None
    return (
        "With log w near -2000 the result is not finite: exp gives 0, and log 0 is minus infinity. Take the "
        "largest out first, as `logsumexp` does."
    )


def own_evidence(data: Plain, seed: int) -> Tensor:
    """The answer's own evidence; the right one where it cannot be read."""
    try:
        return tensor(data, "evidence", (IMAGES,))
    except NotDone:
        raise
    except Trouble:
        return log_weights(seed).exp().mean(0).log()


def in_bits(data: Plain, seed: int) -> str | None:
    fresh(data, seed)
    true = float(log_weights(seed).exp().mean(0).log().mean()) / PIXELS / -math.log(2)
    own = own_evidence(data, seed)
    nats = -float(own.mean())
    best = -float(own.exp().mean().log())
    unit = PIXELS * math.log(2)
    got = number(data, "bits")
    if close(got, true):
        return None
    return explain(
        got,
        nats / unit,
        {
            "The mean is inside the logarithm, and dimensions are multiplied by log 2: two slips are left.": (
                best / PIXELS * math.log(2)
            ),
            "The mean over images is inside the logarithm. A test set's log-likelihood is a sum of logs.": (
                best / unit
            ),
            "log 2 is above the line. A nat is 1 / log 2 bits, so the figure in bits is larger.": nats
            / PIXELS
            * math.log(2),
            "This is in nats per dimension.": nats / PIXELS,
            "This is in bits per image. Divide by the dimensions.": nats / math.log(2),
            "The sign is the wrong way round: bits are minus the logarithm.": -nats / unit,
            "This adds up the images. Take their mean.": nats / unit * IMAGES,
            "This is divided by the number of images twice.": nats / unit / IMAGES,
        },
        "Not the mean of -log_evidence, over dims and log 2.",
    )


# --- copies ------------------------------------------------------------------------------------------

PAIRS_VAR = math.prod(SETS[:2]) * (sum(SETS[:2]) + 1) / 12  # of the count of pairs


def gap(rows: Tensor, others: Tensor) -> Tensor:
    """Distance of each row to the nearest of the others."""
    return (rows[:, None] - others).square().sum(-1).amin(1).sqrt()


def rank_score(a: Tensor, b: Tensor) -> float:
    """z of the distances a (N,) of samples and b (M,) of held-out rows, by the sum of the samples' ranks."""
    both = torch.cat([a, b])
    ranks = (both[:, None] > both).double().sum(1) + ((both[:, None] == both).double().sum(1) + 1) / 2
    n, m = a.numel(), b.numel()
    mean = n * (n + m + 1) / 2
    return (float(ranks[:n].sum()) - mean) / math.sqrt(n * m * (n + m + 1) / 12)


def pair_score(data: Plain, seed: int) -> str | None:
    samples, held_out, train = three_sets(seed)
    n, m, _ = SETS
    a, b = gap(samples, train), gap(held_out, train)
    right = rank_score(a, b)
    off = right * math.sqrt(PAIRS_VAR)  # U less its mean
    means = ((rows[:, None] - train).norm(dim=-1).mean(1) for rows in (samples, held_out))
    welch = float(a.mean() - b.mean()) / math.sqrt(float(a.var()) / n + float(b.var()) / m)
    pool = ((n - 1) * float(a.var()) + (m - 1) * float(b.var())) / (n + m - 2)
    return explain(
        number(data, "score"),
        right,
        {
            "The sign is the wrong way round: U counts the pairs in which the sample is the farther one.": (
                -right
            ),
            "This is U less its mean. Divide by its standard deviation.": off,
            "This is U itself: count, less what is expected, over the standard deviation.": off + n * m / 2,
            "This is the share of the pairs. The score is in standard deviations.": off / n / m + 0.5,
            "You divide by the variance. Take its root.": off / PAIRS_VAR,
            "The variance has N + M + 1 in it.": off * math.sqrt(12 / (n * m * (n + m))),
            "Two pairs with a common member are not independent. The variance is more than N M / 4.": off
            / math.sqrt(n * m / 4),
            "The half of N M is not taken off.": (off + n * m / 2) / math.sqrt(PAIRS_VAR),
            "All N M pairs are taken off. Half of them are expected.": (off - n * m / 2)
            / math.sqrt(PAIRS_VAR),
            "These are mean distances to all training rows. A copy is near to one.": rank_score(*means),
            "The samples' distances are those to the held-out rows. Both kinds are compared with train.": (
                rank_score(gap(samples, held_out), b)
            ),
            "You compare the two sets with each other. Both kinds are to be compared with train.": rank_score(
                gap(samples, held_out), gap(held_out, samples)
            ),
            "These are distances from the training rows to the others. Each sample has one distance.": (
                rank_score(gap(train, samples), gap(train, held_out))
            ),
            "This compares means of distances. The score counts pairs, whatever the distances are.": welch,
            "This is a t-test of the distances. The score counts pairs, whatever the distances are.": float(
                a.mean() - b.mean()
            )
            / math.sqrt(pool * (1 / n + 1 / m)),
        },
        "Not the score: the pairs with the sample farther, less N M / 2, over the root of "
        "N M (N + M + 1) / 12.",
    )


def half_a_pair(data: Plain, seed: int) -> str | None:
    there, back = number(data, "score"), number(data, "score, exchanged")
    tied, tied_back = number(data, "levels"), number(data, "levels, exchanged")
    more = tied + tied_back - there - back
    if close(more, 0.0):
        return None
    # With samples and held-out rows exchanged the farther one is the nearer one; what is equal stays.
    if (more > 0) == (there > rank_score(*(gap(t, three_sets(seed)[2]) for t in three_sets(seed)[:2])) - 1):
        return "A pair that is equally far counts one half. You count it as a whole: >= where > is meant?"
    return "A pair that is equally far counts one half. You leave it out."


def hidden_copies(data: Plain, seed: int, key: str = "hide", n: int = CROWD) -> str | None:
    train, held_out = source(seed)
    got = tensor(data, key, (n, 3), meaning="n samples like the rows of train")
    copied = float((got[:, None] == train).all(-1).any(1).double().mean())
    z = rank_score(gap(got, train), gap(held_out, train))
    if copied == 0 and bool((gap(got, train) < 0.1 * gap(held_out, train).min()).any()):
        return "Rows come near to those of `train`, but none is one. Copy them unchanged."
    if copied < 0.4:
        return f"{copied:.0%} are rows of `train`. It should be 40 % or more. (The score is {z:.1f}.)"
    if abs(z) <= 1:
        return None
    if copied == 1:
        return f"All of them are copies, and the score is {z:.1f}. Which samples would outweigh a copy?"
    if z < 0:
        return (
            f"The score is {z:.1f}: the copies outweigh the rest. A copy is the nearer one in all its pairs. "
            "What must another sample be to make up for it, and how many of those does it take?"
        )
    return f"The score is {z:.1f}: now the others outweigh the copies."


def chance_of_so_many(data: Plain, seed: int) -> str | None:
    samples, held_out, train = three_sets(seed)
    n, m, _ = SETS
    a, b = gap(samples, train), gap(held_out, train)

    def chance(c: int, n: int = n, m: int = m) -> float:
        """That the c nearest of n + m are samples: the m held-out rows stand among the others."""
        return math.comb(n + m - c, m) / math.comb(n + m, m)

    c = int((a < b.min()).sum())
    right = chance(c)
    median = float(b.median())
    return explain(
        number(data, "chance"),
        right,
        {
            "This is the count. What is the chance of it, or of more?": c,
            "That is 1 minus the probability.": 1 - right,
            "That is the probability of this count exactly. Take more into account, too.": right
            - chance(c + 1),
            "That is the probability of more than there are. This count belongs to it.": chance(c + 1),
            "You put each sample back. The next one is drawn from one fewer, and so are all.": (
                (n / (n + m)) ** c
            ),
            "That is the chance of c samples chosen beforehand. Any c of the N may be the nearest.": (
                1 / math.comb(m + c, c)
            ),
            "The samples are not independent: they have the nearest held-out row in common.": (1 / (m + 1))
            ** c,
            "That is a binomial tail. The samples have the nearest held-out row in common.": sum(
                math.comb(n, k) * m ** (n - k) / (m + 1) ** n for k in range(c, n + 1)
            ),
            "Samples and held-out rows are exchanged in it.": chance(min(c, m), m, n),
            "You count samples nearer than the farthest held-out row. It is the nearest one.": chance(
                int((a < b.max()).sum())
            ),
            "You count samples nearer than the median held-out row. It is the nearest one.": chance(
                int((a < median).sum())
            ),
            "You count the held-out rows that are nearer than every sample.": chance(
                int((b < a.min()).sum()), m, n
            )
            if bool((b < a.min()).any())
            else math.nan,
            "That is the share of the samples. What is the chance of so many?": c / n,
        },
        "Not the probability. The smallest of the N + M distances is a sample's with N / (N + M). And the "
        "next?",
    )


TASKS = [
    Task(
        "scores",
        "A score from logits",
        "implement",
        5,
        PROBES["scores"],
        (
            Criterion("the entropy of the mean", 1, entropy_of_the_mean),
            Criterion("the score", 2, score),
            Criterion("probabilities of zero", 1, no_nan),
        ),
        (
            "Two entropies: of the average distribution, and of each sample's, averaged. The score is exp of "
            "the first minus the second.",
            "`logits.softmax(dim=1)` has a row for each sample. Average the rows before the logarithm.",
            "`torch.xlogy(p, p)` is p log p, and 0 where p is 0.",
        ),
        (),
        "1 Derive: a score from a classifier",
    ),
    Task(
        "frechet",
        "Two Gaussians of any rank",
        "implement",
        7,
        PROBES["frechet"],
        (
            Criterion("the moments", 1, estimated),
            Criterion("the distance", 3, distance),
            Criterion("covariances of low rank", 2, of_low_rank),
        ),
        (
            "The trace of a root is the sum of the roots of the eigenvalues. Which symmetric matrix has the "
            "eigenvalues of the product of the two?",
            "Any R with R Rᵀ = cov_1 will do: Rᵀ cov_2 R is symmetric, with the eigenvalues of cov_1 cov_2.",
            "`torch.linalg.eigh` gives R: the eigenvectors, each times the root of its eigenvalue. Clamp at "
            "0 before both roots.",
        ),
        ("torch.distributions",),
        "2 Derive: how far are two Gaussians apart?",
    ),
    Task(
        "kid",
        "A distance whose mean is right",
        "implement",
        5,
        PROBES["kid"],
        (
            Criterion("the kernel", 2, cubic),
            Criterion("the estimate", 2, unbiased),
        ),
        (
            "Three averages of kernel values: within x, within y, and between. Which pairs count in each?",
            "Within a set i and j are different: N (N - 1) pairs. Between the sets all N M count, twice.",
            "The sum of a matrix less its trace is the sum off the diagonal.",
        ),
        (),
        "4 Derive: a distance without bias",
    ),
    Task(
        "balls",
        "Find the bugs: balls around the wrong points",
        "find the bug",
        5,
        PROBES["balls"],
        (
            Criterion("the radii", 1, radii_right),
            Criterion("precision", 1, precise),
            Criterion("recall", 1, recalled),
            Criterion("coverage", 1, covered),
        ),
        (
            "For each figure: around whose points do the balls stand, and of whose points is it the share?",
            "`near` has a row for each real point: `radii(x, k)[:, None]` fits the rows, `radii(y, k)` the "
            "columns. Precision: real balls, share of the columns.",
            "Coverage counts a real ball once, however many samples it holds. And what is the smallest entry "
            "in each row of `torch.cdist(points, points)`?",
        ),
        (),
        "5 Derive: quality and coverage apart",
    ),
    Task(
        "unlike",
        "Features that are unlike",
        "derive",
        7,
        PROBES["unlike"],
        (
            Criterion("the factor of the bias", 3, factor),
            Criterion("the limit", 1, extrapolated),
            Criterion("the size of a fair comparison", 2, fair),
        ),
        (
            "Two parts: the mean errs by the trace over N. For the covariance look up the variance of a "
            "product of two independent normals, and that of a square.",
            "E_ij averages N products with variance λ_i λ_j, and E_ii squares with variance 2 λ_i². Put it "
            "into the sum of the task, and set λ = 1 to compare with the chapter.",
            "Limit and fair size: write d = limit + c / N once for each reading, and solve.",
        ),
        (),
        "3 Derive: what a finite sample adds",
    ),
    Task(
        "likely",
        "Predict, then run: likely, and of no use",
        "predict",
        5,
        PROBES["likely"],
        (
            Criterion("the bits that are lost", 1, lost),
            Criterion("the Fréchet distance", 2, moved),
            Criterion("the least share", 1, least_share),
            Criterion("the width of a memory", 1, widest),
        ),
        (
            "The spoilt density is at least a tenth of the good one, everywhere.",
            "The Fréchet distance knows the mixture's mean and covariance only: variances mix in proportion.",
            "A memory: minus the log-likelihood is d² / (2 s²) + D log s and a constant.",
        ),
        (),
        "8 Likelihood and samples may disagree",
    ),
    Task(
        "bits",
        "Find the bugs: a report of bits per dimension",
        "find the bug",
        6,
        PROBES["bits"],
        (
            Criterion("the weights of an image are averaged", 2, evidence),
            Criterion("weights as small as an image's", 1, as_small),
            Criterion("the report", 2, in_bits),
        ),
        (
            "Put in one image and K equal weights w: the evidence must be log w, whatever K is.",
            "Over the draws of one image the mean is inside the logarithm, over images it is outside.",
            "How many bits is a nat, more than one or less? And what is `torch.tensor(-2000.0).exp()`?",
        ),
        (),
        "7 Likelihood: exact, bound, importance-weighted",
    ),
    Task(
        "copies",
        "Design: a copier who hides",
        "design",
        8,
        PROBES["copies"],
        (
            Criterion("the score", 2, pair_score),
            Criterion("a tie is half a pair", 1, half_a_pair),
            Criterion("copies that the score does not see", 1, hidden_copies),
            Criterion("the chance of so many", 2, chance_of_so_many),
        ),
        (
            "One distance for each sample and for each held-out row: to the nearest row of `train`. "
            "`a[:, None] > b` is the table of all pairs.",
            "A copy loses all its M pairs. Which sample wins all of them? And how many of each make N M / 2?",
            "The smallest of the N + M distances is a sample's with probability N / (N + M). Given that, how "
            "many samples are left, of how many? Multiply, once for each sample counted.",
        ),
        (),
        "6 Derive: told apart, or copied?",
    ),
]
