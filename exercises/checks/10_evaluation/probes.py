# Generated from solutions/ by `python -m coursekit.authoring.generate`; do not edit.
"""Probes of 10_evaluation: they try the answers on seeded inputs and write down what came out."""

import torch
from torch import Tensor

from coursekit.exercises.probe import Plain, Probe, call, plain


def draw(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers, float64, of one seed."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# --- scores ------------------------------------------------------------------------------------------

SAMPLES, CLASSES = 7, 4


def verdicts(seed: int) -> Tensor:
    """Logits (7, 4), not centred."""
    return 1.5 * draw(seed, SAMPLES, CLASSES) + 3 * draw(seed + 1, SAMPLES, 1) + draw(seed + 2, CLASSES)


def extreme() -> Tensor:
    """Logits (4, 4) of a classifier that excludes all classes but one; the last class never occurs."""
    return 2000 * torch.eye(CLASSES, dtype=torch.float64)[[0, 1, 2, 0]] - 500


def run_scores(diversity, inception_score, *, seed: int) -> Plain:
    each = 30 * torch.eye(CLASSES, dtype=torch.float64)
    return {
        "diversity": call(diversity, verdicts(seed)),
        "score": call(inception_score, verdicts(seed)),
        "extreme diversity": call(diversity, extreme()),
        "extreme score": call(inception_score, extreme()),
        "all alike": call(inception_score, verdicts(seed)[:1].repeat(6, 1)),
        "one each": call(inception_score, each.repeat(3, 1)),
    }


# --- frechet -----------------------------------------------------------------------------------------

ROWS, DIMS = 6, 4
RANKS = (1, 2)  # of two covariances of low rank
THIN = 24  # so many pairs of them: rounding makes NaN of many, not of all


def cloud(seed: int) -> Tensor:
    """Features (6, 4), far from the origin."""
    return draw(seed, ROWS, DIMS) @ draw(seed + 1, DIMS, DIMS) + 3


def gaussians(seed: int, ranks: tuple[int, int]) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Mean (4,) and a factor (4, rank) of the covariance, of each of two Gaussians."""
    first, second = ((draw(seed + i, DIMS), draw(seed + i + 5, DIMS, r)) for i, r in enumerate(ranks))
    return first, second


def run_frechet(moments, frechet, *, seed: int) -> Plain:
    def tried(of: int, ranks: tuple[int, int]) -> Plain:
        (m, a), (n, b) = gaussians(seed + of, ranks)
        return call(frechet, m.clone(), a @ a.T, n.clone(), b @ b.T)

    (m, a), _ = gaussians(seed + 60, (1, DIMS))
    one = torch.ones(1, dtype=torch.float64)
    return {
        "moments": call(moments, cloud(seed)),
        "distance": tried(20, (DIMS + 2, DIMS + 2)),
        **{f"low rank {i}": tried(40 + 11 * i, RANKS) for i in range(THIN)},
        "equal": call(frechet, m.clone(), a @ a.T, m.clone(), a @ a.T),
        "line": call(frechet, -one, 0.25 * one[None], 2 * one, 1.5625 * one[None]),
    }


# --- kid ---------------------------------------------------------------------------------------------

SIZES, WIDTH = (6, 4), 3


def two_sets(seed: int) -> tuple[Tensor, Tensor]:
    """Features (6, 3) and (4, 3)."""
    return draw(seed, SIZES[0], WIDTH), 1.3 * draw(seed + 1, SIZES[1], WIDTH) + 0.4


def pairs_of_two(seed: int) -> tuple[Tensor, Tensor]:
    """The smallest sets there are: (2, 1) each."""
    return draw(seed + 2, 2, 1), draw(seed + 3, 2, 1)


def run_kid(kernel, kid, *, seed: int) -> Plain:
    x, y = two_sets(seed)
    return {
        "kernel": call(kernel, x.clone(), y.clone()),
        "kernel x": call(kernel, x.clone(), x.clone()),
        "kernel y": call(kernel, y.clone(), y.clone()),
        "kid": call(kid, x.clone(), y.clone()),
        "least": call(kid, *pairs_of_two(seed)),
    }


# --- balls -------------------------------------------------------------------------------------------

NEIGHBOUR = 2
REAL, FAKE = 14, 9


CLOUDS = (169, 477)  # seeds of clouds in which no mistake has the value of the right answer


def two_clouds(seed: int) -> tuple[Tensor, Tensor]:
    """Real points (14, 2) and samples (9, 2): one of two pictures, turned, resized and in any order."""
    which = CLOUDS[seed % len(CLOUDS)]
    real, fake = draw(which, REAL, 2), spread_out(which)
    turn = torch.linalg.qr(draw(seed + 2, 2, 2)).Q * draw(seed + 3, 1).exp()
    mixed = torch.Generator().manual_seed(seed)
    order, other = (torch.randperm(n, generator=mixed) for n in (REAL, FAKE))
    return real[order] @ turn, fake[other] @ turn


def spread_out(which: int) -> Tensor:
    """Samples (9, 2): three narrow, three wide, three in a clump that is nowhere near."""
    scale = torch.tensor([0.3, 0.3, 0.3, 1.5, 1.5, 1.5, 0.2, 0.2, 0.2], dtype=torch.float64)[:, None]
    shift = torch.tensor([0.5] * 6 + [4.0] * 3, dtype=torch.float64)[:, None]
    return scale * draw(which + 1, FAKE, 2) + shift


def run_balls(radii, report, *, seed: int) -> Plain:
    x, y = two_clouds(seed)
    return {
        "radii x": call(radii, x.clone(), NEIGHBOUR),
        "radii y": call(radii, y.clone(), NEIGHBOUR),
        "radii 4": call(radii, x.clone(), 4),
        "report": call(report, x.clone(), y.clone(), NEIGHBOUR),
        "same": call(report, x.clone(), x.clone(), 1),
        "apart": call(report, x.clone(), y[:5] + 100, 1),
    }


# --- unlike ------------------------------------------------------------------------------------------


def variances(seed: int, count: int = 5) -> Tensor:
    """Variances (count,) of features, unlike one another, some of them small."""
    return (0.8 * draw(seed, count) + torch.linspace(1, -3, count)).exp()


def readings(seed: int) -> tuple[float, int, float, int]:
    """Two distances of one model with their sizes."""
    c, d = (float(v) for v in draw(seed + 3, 2).exp())
    return d + 40 * c / 100, 100, d + 40 * c / 700 + 0.01, 700


def rivals(seed: int) -> tuple[float, float, float, float]:
    """limit_a, c_a, limit_b, c_b: a is the better one, and has the larger factor."""
    u, v, w, z = (float(t) for t in draw(seed + 4, 4).exp())
    return u, 30 + 10 * v + 20 * w, u + 0.2 + z, 30 + 10 * v


def run_unlike(bias_factor, limit, fair_size, *, seed: int) -> Plain:
    silent = torch.cat([variances(seed, 3), torch.zeros(2, dtype=torch.float64)])
    return {
        "factor": call(bias_factor, variances(seed)),
        "silent": call(bias_factor, silent),
        "limit": call(limit, *readings(seed)),
        "fair": call(fair_size, *rivals(seed)),
    }


# --- likely ------------------------------------------------------------------------------------------


def run_likely(prediction, *, seed: int) -> Plain:
    return {"prediction": plain(prediction)}


# --- bits --------------------------------------------------------------------------------------------

DRAWS, IMAGES, PIXELS = 6, 4, 20


def log_weights(seed: int) -> Tensor:
    """log w (6, 4), nats, small enough for exp."""
    return 1.5 * draw(seed, DRAWS, IMAGES) + 2 * draw(seed + 1, IMAGES) - 8


def run_bits(log_evidence, bits, *, seed: int) -> Plain:
    log_w = log_weights(seed)
    return {
        "evidence": call(log_evidence, log_w.clone()),
        "tiny": call(log_evidence, log_w - 2000),
        "bits": call(bits, log_w.clone(), PIXELS),
        "one draw": call(bits, log_w[:1].clone(), PIXELS),
        "one image": call(bits, log_w[:, :1] - 3000, PIXELS),
    }


# --- copies ------------------------------------------------------------------------------------------

SETS = (9, 6, 14)  # samples, held-out rows, training rows
CROWD, ODD_CROWD = 50, 31  # samples of the copier who hides: visible, and an odd number


def three_sets(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Samples (9, 3), four of which are nearly copies, held-out rows (6, 3), training rows (14, 3).

    Of the first twenty draws the one in which the counts that may be mistaken for each other differ most.
    """
    return max((_three_sets(seed + 100 * i) for i in range(20)), key=_unlike)


def _three_sets(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    samples, held_out, train = (1.2 * draw(seed + 5 * i, n, 3) for i, n in enumerate(SETS))
    samples[[1, 3, 4, 8]] = train[[2, 5, 6, 11]] + 1e-4 * draw(seed + 20, 4, 3)
    return samples, held_out, train


def _unlike(sets: tuple[Tensor, Tensor, Tensor]) -> int:
    samples, held_out, train = sets
    near, far = ((rows[:, None] - train).norm(dim=-1).min(1).values for rows in (samples, held_out))
    below = [int((near < edge).sum()) for edge in (far.min(), far.median(), far.max())]
    return min(below[1] - below[0] - 1, 2) + min(below[2] - below[1], 2) - 3 * int(below[0] > 5)


def levels(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same numbers of rows, on a grid: many samples are as far as held-out rows are."""
    samples, held_out, train = (draw(seed + 30 + 5 * i, n, 2).mul(1.4).round() for i, n in enumerate(SETS))
    samples[:2] = held_out[:2] = train[:2]
    return samples, held_out, train


def source(seed: int) -> tuple[Tensor, Tensor]:
    """Training rows (60, 3) and held-out rows (40, 3) of one distribution, in some unit of its own."""
    rows = (draw(seed + 50, 100, 3) + draw(seed + 52, 3)) * (draw(seed + 51, 1) + 8).exp()
    return rows[:60], rows[60:]


def run_copies(copying, hide, too_near, *, seed: int) -> Plain:
    def both(key: str, sets: tuple[Tensor, Tensor, Tensor]) -> Plain:
        samples, held_out, train = sets
        return {
            key: call(copying, samples.clone(), held_out.clone(), train.clone()),
            f"{key}, exchanged": call(copying, held_out.clone(), samples.clone(), train.clone()),
        }

    samples, held_out, train = three_sets(seed)
    rows, _ = source(seed)
    return {
        **both("score", three_sets(seed)),
        **both("levels", levels(seed)),
        "hide": call(hide, rows.clone(), CROWD),
        "hide odd": call(hide, rows.clone(), ODD_CROWD),
        "chance": call(too_near, samples.clone(), held_out.clone(), train.clone()),
        "chance of none": call(too_near, samples + 50, held_out.clone(), train.clone()),
        "chance of all": call(too_near, train[:5] + 1e-4, held_out.clone(), train.clone()),
    }


PROBES = {
    "scores": Probe(("diversity", "inception_score"), run_scores),
    "frechet": Probe(("moments", "frechet"), run_frechet),
    "kid": Probe(("kernel", "kid"), run_kid),
    "balls": Probe(("radii", "report"), run_balls),
    "unlike": Probe(("bias_factor", "limit", "fair_size"), run_unlike),
    "likely": Probe(("prediction",), run_likely),
    "bits": Probe(("log_evidence", "bits"), run_bits),
    "copies": Probe(("copying", "hide", "too_near"), run_copies),
}
