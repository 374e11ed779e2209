"""Visible checks of 04_wgan: known values and properties, with the hint that fits what went wrong."""

import functools
import math
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import wasserstein_distance
from torch import Tensor, nn
from torch.distributions import Normal

from coursekit.exercises.judge import (
    CONSTANT,
    WHOLE,
    NotDone,
    Trouble,
    close,
    entry,
    explain,
    number,
    passages,
    returned,
    table,
    tensor,
    tensors,
)
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion, Task

from .probes import (
    BATCH,
    IMAGE,
    LIMIT,
    PROBES,
    RATE,
    SIGMAS,
    WIDE,
    WIDER,
    Critic,
    Pair,
    SmallCritic,
    clouds,
    critic_batches,
    critic_of,
    critic_weights,
    critics,
    images,
    layer,
    line,
    on_the_line,
    parameters,
    shifted,
    two_gaussians,
    two_steps,
)

EACH = "one number per sample"

# --- w1 ----------------------------------------------------------------------------------------------


def exact(x: Tensor, y: Tensor) -> float:
    """The distance between two samples on the line, by scipy, from the two distribution functions."""
    return float(wasserstein_distance(x.numpy(), y.numpy()))


def levels(x: Tensor, count: int) -> Tensor:
    """Quantiles by straight lines between the points in order."""
    return torch.quantile(x, torch.linspace(0, 1, count, dtype=x.dtype))


def w1_equal(data: Plain, seed: int) -> str | None:
    x, y = on_the_line(seed, 7, 7)
    right = exact(x, y)
    every = (x[:, None] - y).abs()
    paired = (x.sort().values - y.sort().values).abs()
    return explain(
        number(data, "equal"),
        right,
        {
            "The points are paired in the order in which they come. The cheapest plan pairs them in order of "
            "size.": (x - y).abs().mean(),
            "This is the distance between the means. It is less than W1 as soon as the two distribution "
            "functions cross.": (x.mean() - y.mean()).abs(),
            "This is W2, the root of the mean squared distance. W1 has no squares.": paired.square()
            .mean()
            .sqrt(),
            "This is the mean squared distance, the square of W2. W1 has no squares.": paired.square().mean(),
            "This is the sum of the distances. Each point carries the weight 1/N.": 7 * right,
            "This is the mean distance of all pairs: the plan that sends every point everywhere. It "
            "is a plan, not the cheapest one.": every.mean(),
            "Each point goes to its nearest one here, and some points are never reached.": every.min(
                1
            ).values.mean(),
            "The signs cancel: take the distance of each pair before you average.": (x.mean() - y.mean()),
            "This is the largest distance in the plan. W1 is the mean.": paired.max(),
        },
        "Not the mean distance of the points paired in order. Between (0, 1) and (3, 1) it is 1.5.",
    )


def w1_other(data: Plain, seed: int) -> str | None:
    x, y = on_the_line(seed + 2, 6, 4)
    right = exact(x, y)
    in_order, other = x.sort().values, y.sort().values
    mistakes: dict[str, Tensor | float] = {
        "The longer sample is cut to the length of the shorter: its largest points are lost.": (
            (in_order[:4] - other).abs().mean()
        ),
        "The longer sample is cut to the length of the shorter before it is sorted: two points are lost.": (
            (x[:4].sort().values - other).abs().mean()
        ),
        "Quantiles are joined by straight lines here. A sample's quantile function is a staircase: level "
        "s has the first point with at least s of the sample at or below it.": (
            (levels(x, 6) - levels(y, 6)).abs().mean()
        ),
        "This is the distance between the means.": (x.mean() - y.mean()).abs(),
        "The repeated points have lost their weights: every step between two levels counts by its width.": (
            staircase(x, y, weigh=False)
        ),
    }
    return explain(
        number(data, "other"),
        right,
        mistakes,
        "Wrong for six points against four. Each of the six carries 1/6, each of the four 1/4; between two "
        "neighbouring levels of either staircase both quantiles are constant. Between (0, 0, 3) and (0, 1) "
        "it is 5/6.",
    )


def staircase(x: Tensor, y: Tensor, *, weigh: bool) -> float:
    """The integral of the distance of the quantiles over the levels, or its plain mean over the steps."""
    ends = sorted({i / len(x) for i in range(len(x) + 1)} | {j / len(y) for j in range(len(y) + 1)})
    total = 0.0
    for low, high in pairwise(ends):
        middle = (low + high) / 2
        at = [t.sort().values[int(middle * len(t))] for t in (x, y)]
        total += abs(float(at[0] - at[1])) * (high - low if weigh else 1 / (len(ends) - 1))
    return total


# --- penalty -----------------------------------------------------------------------------------------


def looked_at(data: Plain, seed: int, key: str = "images") -> tuple[Tensor, Tensor]:
    """The penalties (40,) and the points (40, 2, 3, 3) at which the critic was asked last."""
    value, points = tensors(data, key, [(BATCH,), (BATCH, *IMAGE)], meaning=EACH)
    return value, points


def points_of(data: Plain, seed: int, key: str = "images") -> Tensor:
    """The points alone, whatever shape the penalty has."""
    value = returned(data, key)
    items = value.get("items")
    if value.get("type") != "list" or not isinstance(items, list) or len(items) != 2:
        raise Trouble(f"`{value['name']}` could not be read. Run the cell with your answer again.")
    return tensor({"points": {"kind": "returned", **value, "value": items[1]}}, "points", (BATCH, *IMAGE))


def on_the_way(data: Plain, seed: int) -> str | None:
    real, fake = images(seed)
    share = (points_of(data, seed) - fake) / (real - fake)  # (40, 2, 3, 3): epsilon, if it is one
    each = share.flatten(1)
    if not close(each, each[:, :1].expand_as(each), rtol=1e-6, atol=1e-6):
        if float(each.min()) > -1e-6 and float(each.max()) < 1 + 1e-6:
            return (
                "Every pixel has an epsilon of its own. Those points fill the whole box between the two "
                "images; the straight line between them needs one number per sample."
            )
        return "The points do not lie on the straight lines between real and forged samples."
    if close(each[:, 0], torch.ones(BATCH)) or close(each[:, 0], torch.zeros(BATCH)):
        return "The slope is taken at the samples themselves. It should be taken on the way between them."
    if float(each[:, 0].std()) < 1e-6:
        return "All samples of the batch have the same epsilon. Draw one for each."
    if float(each.min()) < -1e-6 or float(each.max()) > 1 + 1e-6:
        return (
            "Some points lie beyond the two samples. Epsilon is uniform between 0 and 1: `rand`, not `randn`."
        )
    if abs(float(each[:, 0].mean()) - 0.5) > 0.23 or not 0.18 < float(each[:, 0].std()) < 0.4:
        return "Epsilon should be uniform between 0 and 1."  # five standard errors of 40 draws
    return None


def slope_of_the_sample(data: Plain, seed: int) -> str | None:
    value, points = looked_at(data, seed)
    points = points.requires_grad_()
    (slope,) = torch.autograd.grad(critic_of(critic_weights(seed))(points).sum(), points)
    length = slope.flatten(1).norm(dim=1)
    per_pixel, per_row = slope.norm(dim=1), slope.norm(dim=3)
    return explain(
        value,
        (length - 1).square(),
        {
            "The norm runs over the channels only: each pixel gets a slope of its own, and each is pulled to "
            "1. The slope of a sample is the norm over all of its numbers.": (
                (per_pixel - 1).square().mean((1, 2))
            ),
            "The norm runs over the channels only, and the slopes of the pixels are averaged. The slope of a "
            "sample is the norm over all of its numbers.": (per_pixel.mean((1, 2)) - 1).square(),
            "The norm runs over the last dimension only. The slope of a sample is the norm over all of its "
            "numbers.": (per_row - 1).square().mean((1, 2)),
            "The squared slope is compared with 1. Take the root first.": (length.square() - 1).square(),
            "The square is missing: a slope of 0.5 would pay less than one of 1.": length - 1,
            "This is the absolute difference. Square it.": (length - 1).abs(),
            "This pulls the slope to 0. The target is 1.": length.square(),
            "This charges slopes above 1 only: the one-sided penalty. Charge those below 1 too.": (
                (length - 1).clamp_min(0).square()
            ),
            "The gradient is that of the critic's mean over the batch: each sample's slope is divided by the "
            "size of the batch. Take the gradient of the sum.": (length / BATCH - 1).square(),
            "This is the sum of the slope's entries. Take the norm.": (slope.flatten(1).sum(1) - 1).square(),
        },
        "Not (|gradient| - 1)² at the points where you asked the critic, with the norm over channels, "
        "rows and columns together.",
        rtol=1e-5,
    )


def reaches_the_critic(data: Plain, seed: int) -> str | None:
    (passage,) = passages(data, "slopes", 1)
    if passage == WHOLE:
        return None
    if passage == CONSTANT:
        return "The penalty does not depend on the critic's weights."
    return (
        "Only a part of the gradient reaches the critic's weights, so they learn something else than the "
        "penalty. The slope needs a graph of its own: `create_graph=True`."
    )


# --- critic_step -------------------------------------------------------------------------------------


def one_step(
    critic: nn.Module,
    optimiser: torch.optim.Optimizer,
    real: Tensor,
    fake: Tensor,
    limit: float,
    *,
    clip: str = "after",
    squash: bool = False,
) -> float:
    """A step of the critic, right by default; the student was given clip="before", squash=True."""

    def clamp(when: str) -> None:
        with torch.no_grad():
            for parameter in critic.parameters():
                if when == clip:
                    parameter.clamp_(-limit, limit)

    clamp("before")
    loss = critic_cost(critic, real, fake, squash=squash)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    clamp("after")
    return -loss.item()


def critic_cost(critic: nn.Module, real: Tensor, fake: Tensor, *, squash: bool = False) -> Tensor:
    values = [critic(x).sigmoid() if squash else critic(x) for x in (fake, real)]
    return values[0].mean() - values[1].mean()


@cache
def known_path(seed: int, limit: float, clip: str, squash: bool) -> list[Tensor]:
    return two_steps(functools.partial(one_step, clip=clip, squash=squash), seed, limit)[:3]


def steps(data: Plain, seed: int, key: str) -> list[Tensor]:
    """The critic's parameters at the start and after each of two steps."""
    size = parameters(SmallCritic(seed)).shape
    return tensors(data, key, [size] * 3 + [()] * 2, finite=False)[:3]


def largest(seed: int) -> tuple[float, float]:
    """The largest singular value of the layer, and the root of the sum of the squares of all."""
    values = torch.linalg.svdvals(layer(seed)[0])
    return float(values[0]), float(values.norm())


def mended(data: Plain, seed: int) -> None:
    """NotDone where neither function does anything but what the given code does."""
    try:
        found = steps(data, seed, "wide") + steps(data, seed, "narrow")
        sigma = number_of(data, "stretch")
    except NotDone:
        raise
    except Trouble:
        return
    given = known_path(seed, WIDE, "before", True) + known_path(seed, LIMIT, "before", True)
    same = all(close(a, b) for a, b in zip(found, given, strict=True))
    if same and close(sigma, largest(seed)[0] ** 2, rtol=1e-4):
        raise NotDone("Not done yet: this still does what the code that you were given does.")


def number_of(data: Plain, key: str) -> float:
    """sigma of a `stretch`, which returns the pair sigma and u."""
    sigma, _ = tensors(data, key, [(), (5,)], meaning="sigma and u")
    return float(sigma)


def narrow_path(data: Plain, seed: int) -> list[Tensor]:
    mended(data, seed)
    return steps(data, seed, "narrow")


def in_the_box(data: Plain, seed: int) -> str | None:
    path = narrow_path(data, seed)
    if close(path[0], path[1]):
        return "The critic does not move at all."
    far = float(torch.stack(path[1:]).abs().max())
    if far <= LIMIT * (1 + 1e-6):
        return None
    parts = path[1].split([p.numel() for p in SmallCritic(seed).parameters()])
    outside = [bool(part.abs().max() > LIMIT * (1 + 1e-6)) for part in parts]
    if any(outside[1:]) and not outside[0] and bool((parts[0].abs() > LIMIT * (1 - 1e-6)).any()):
        return "Only matrices are clipped. The box holds every parameter, those with one dimension too."
    if any(close(path[2], known_path(seed, LIMIT, "never", squash)[2]) for squash in (False, True)):
        return (
            "Nothing clips the parameters. `clamp` returns a new tensor and leaves its argument as it was; "
            "`clamp_` changes it."
        )
    if any(close(path[2], known_path(seed, LIMIT, "before", squash)[2]) for squash in (False, True)):
        return (
            "The optimiser's step takes the parameters out of the box again, after they were clipped. "
            "Whoever uses the critic next meets one that is too steep."
        )
    return f"After your steps a parameter of size {far:.3g} lies outside the box of {LIMIT}."


def own_estimate(data: Plain, seed: int) -> str | None:
    mended(data, seed)
    path = steps(data, seed, "wide")
    moved, own, squashed, only_real, first = [], [], [], [], []
    for i, (real, fake) in enumerate(critic_batches(seed)):
        critic = loaded(seed, path[i])
        moved.append((path[i] - path[i + 1]) / RATE)
        own.append(gradient_of(critic_cost(critic, real, fake), critic))
        squashed.append(gradient_of(critic_cost(critic, real, fake, squash=True), critic))
        only_real.append(gradient_of(-critic(real).mean(), critic))
        first.append(own[0] if i else torch.zeros_like(own[0]))
    right = torch.stack(own)
    return explain(
        torch.stack(moved),
        right,
        {
            "The critic does not move.": torch.zeros_like(right),
            "The critic still ends in a sigmoid. That belongs to a belief; a critic's value is any "
            "number, and "
            "its estimate would never exceed 1.": torch.stack(squashed),
            "The sign is the wrong way round: the critic learns to value forgeries.": -right,
            "Only the real samples count. E_q f(x) comes off.": torch.stack(only_real),
            "The means have become sums. An average over the batch is an estimate, a sum is 8 of them.": 8
            * right,
            "The gradients of the first step are still there in the second: clear them.": right
            + torch.stack(first),
            "The gradients are clipped. It is the parameters that belong into the box.": right.clamp(
                -LIMIT, LIMIT
            ),
        },
        "The critic should take one step up its estimate, mean f(real) - mean f(fake).",
        rtol=1e-5,
    )


def loaded(seed: int, values: Tensor) -> SmallCritic:
    """The critic with these parameters."""
    critic, start = SmallCritic(seed), 0
    for parameter in critic.parameters():
        parameter.data = values[start : start + parameter.numel()].reshape(parameter.shape).clone()
        start += parameter.numel()
    return critic


def gradient_of(cost: Tensor, net: nn.Module) -> Tensor:
    found = torch.autograd.grad(cost, list(net.parameters()))
    return torch.cat([g.reshape(-1) for g in found])


def stretches(data: Plain, seed: int) -> str | None:
    mended(data, seed)
    sigma, frobenius = largest(seed)
    got = number_of(data, "stretch")
    weight, start = layer(seed)
    return explain(
        got,
        sigma,
        {
            "This is the square of the largest singular value: u has the length of W v where it should have "
            "length one.": sigma**2,
            "This is the root of the sum of all squares, as if the layer were one long row.": frobenius,
            "This is 1: normalised on both sides.": 1.0,
            "This is the root of it. Which length does W v have, if v has length one?": sigma**0.5,
            "This is what the start vector is stretched by. The iteration does not take its own result "
            "up.": float((weight.T @ start).norm() / start.norm()),
        },
        "Not the largest singular value, after 60 steps.",
        rtol=1e-5,
    )


def what_is_left(data: Plain, seed: int) -> str | None:
    sigma = torch.tensor(SIGMAS, dtype=torch.float64)
    return explain(
        tensor(data, "left over", (len(SIGMAS),), meaning="that of sigma"),
        1 / sigma,
        {
            "The right function would leave 1. The one that you were given does not return sigma.": (
                torch.ones_like(sigma)
            ),
            "That is what the function returns. The weight is divided by it; what does the rest stretch "
            "by?": (sigma.square()),
            "The weight stretches by sigma before it is divided. What is left?": sigma,
            "The weight is divided by sigma² once, not twice.": sigma**-3,
            "1 / sigma² is what the weight is multiplied by. The weight itself stretches by sigma.": sigma
            ** -2,
        },
        "W stretches by at most sigma. Divide W by what the given function returns for it.",
    )


# --- slide -------------------------------------------------------------------------------------------

KEYS = ("js_at_3", "js_slope_at_3", "w1_at_3", "w1_slope_at_3", "best_place")
NEAR = {"js_at_3": 0.03, "js_slope_at_3": 0.03, "w1_at_3": 0.1, "w1_slope_at_3": 0.1, "best_place": 0.1}


@cache
def grid() -> tuple[Tensor, Tensor]:
    """Points on the line, and nature's density there."""
    x = torch.linspace(-3, 9, 24_001, dtype=torch.float64)
    return x, 0.75 * lump(x, 0.0) + 0.25 * lump(x, 6.0)


def lump(x: Tensor, place: float) -> Tensor:
    return Normal(torch.tensor(place, dtype=torch.float64), 0.05).log_prob(x).exp().clamp_min(1e-290)


def both_at(place: float) -> tuple[float, float]:
    """JS and W1 between nature and a forger at this place, by quadrature."""
    x, p = grid()
    step = float(x[1] - x[0])
    q = lump(x, place)
    m = (p + q) / 2
    js = 0.5 * (torch.xlogy(p, p) - torch.xlogy(p, m) + torch.xlogy(q, q) - torch.xlogy(q, m)).sum() * step
    return float(js), float((p - q).cumsum(0).abs().sum() * step**2)


@cache
def on_the_slide() -> dict[str, float]:
    js, w1 = both_at(3.0)
    (js_up, w1_up), (js_down, w1_down) = both_at(3.05), both_at(2.95)
    places_tried = torch.arange(-1.0, 7.0, 0.02).tolist()
    return {
        "js_at_3": js,
        "js_slope_at_3": (js_up - js_down) / 0.1,
        "w1_at_3": w1,
        "w1_slope_at_3": (w1_up - w1_down) / 0.1,
        "best_place": min(places_tried, key=lambda a: both_at(a)[1]),
    }


def predicted(key: str, known: dict[float, str], otherwise: str, data: Plain) -> str | None:
    got = entry(table(data, "slide", KEYS), key)
    if abs(got - on_the_slide()[key]) <= NEAR[key]:
        return None
    near = [hint for value, hint in known.items() if abs(got - value) <= NEAR[key]]
    return near[0] if near else otherwise


def js_at(data: Plain, seed: int) -> str | None:
    known = {
        1.0: "1 is log 2 in bits. In nats it is less.",
        0.0: "0 would mean that the two are equal.",
        math.log(
            4
        ): "That is 2 JS. Each of the two KLs from the mixture is log 2, and JS takes half of each.",
        0.75 * math.log(2): "No part of nature is where the forger is: shares don't come into it.",
    }
    return predicted("js_at_3", known, "At 3 the forger overlaps with nothing. What is JS then?", data)


def js_slope(data: Plain, seed: int) -> str | None:
    known = {0.5: "That would be a distance. JS doesn't know how far away the lumps are."}
    return predicted(
        "js_slope_at_3", known, "Move the forger from 3 to 3.1: which of the densities meet now?", data
    )


def w1_at(data: Plain, seed: int) -> str | None:
    known = {
        1.5: "That is the distance of the means, 1.5 and 3. What goes left doesn't cancel what goes right: "
        "every load is carried.",
        6.0: "Each part of the earth is counted as if it were everything. Three quarters go one way, one "
        "quarter the other.",
        0.75: "Only the quarter is carried here. Three quarters of the earth go to 0.",
        2.25: "Only the three quarters are carried here. A quarter of the earth goes to 6.",
    }
    return predicted(
        "w1_at_3", known, "Three quarters of the forger's earth go to 0, a quarter goes to 6.", data
    )


def w1_slope(data: Plain, seed: int) -> str | None:
    known = {
        -0.5: "The sign: from 3 to 3.1 the way of the three quarters gets longer.",
        1.0: "A step away from 0 is a step towards 6 as well, and that saves something for a quarter.",
        0.75: "A step away from 0 is a step towards 6 as well, and that saves something.",
        0.0: "Both ways are 3 long, but they don't carry the same.",
        0.25: "Three quarters have a longer way, one quarter has a shorter one. What is the difference?",
    }
    return predicted(
        "w1_slope_at_3", known, "Move the forger by 0.1. What does each part of the earth pay?", data
    )


def best_place(data: Plain, seed: int) -> str | None:
    known = {
        1.5: "The mean is best for squared distances. Here a step costs the same however long the way "
        "is already.",
        3.0: "Halfway is as good as any place only if both lumps weigh the same.",
        6.0: "That is the lighter lump.",
    }
    return predicted(
        "best_place", known, "Look at the slope between the lumps: it does not change its sign.", data
    )


# --- certified ---------------------------------------------------------------------------------------


@cache
def transport(seed: int, n: int = 12, m: int = 12) -> float:
    """W1 between the clouds: every point repeated until there are as many on both sides, then assigned."""
    real, fake = clouds(seed) if n == m else clouds(seed, n, m)
    return assigned(real, fake)


def assigned(real: Tensor, fake: Tensor) -> float:
    size = math.lcm(len(real), len(fake))
    x, y = (t.repeat_interleave(size // len(t), dim=0) for t in (real, fake))
    cost = torch.cdist(x, y).numpy()
    rows, columns = linear_sum_assignment(cost)
    return float(np.mean(cost[rows, columns]))


def bounds(critic: Critic, real: Tensor, fake: Tensor) -> tuple[float, float]:
    """What follows from a critic by rescaling: with the slopes of all pairs, and of those that carry "
    "earth."""
    gain = float(critic(real).mean() - critic(fake).mean())
    every = torch.cat([real, fake])
    values, distance = critic(every), torch.cdist(every, every)
    apart = distance > 0
    steepest = float(((values[:, None] - values).abs()[apart] / distance[apart]).max())
    sign = 1.0 if gain >= 0 else -1.0
    across = sign * (critic(real)[:, None] - critic(fake)) / torch.cdist(real, fake)
    return abs(gain) / steepest, abs(gain) / float(across.max())


def never_above(data: Plain, seed: int) -> str | None:
    limit = transport(seed)
    found = {name: number(data, name) for name in critics(seed)}
    above = {name: value for name, value in found.items() if value > limit * (1 + 1e-9)}
    if not above:
        return None
    real, fake = clouds(seed)
    raw = {name: float(critic(real).mean() - critic(fake).mean()) for name, critic in critics(seed).items()}
    if all(close(found[name], value) or close(found[name], abs(value)) for name, value in raw.items()):
        return (
            "This is the critic's own estimate. It is a bound only for a critic of slope at most 1, and "
            "nobody promised you that."
        )
    name, value = max(above.items(), key=lambda pair: pair[1])
    more = ""
    if name in ("a step", "a memory of the real points"):
        more = " It is flat almost everywhere, and no gradient at a point sees the rise: compare values."
    return f"Too large: for {name} you certify {value:.4g}, and W1 is {limit:.4g}.{more}"


def reaches(data: Plain, seed: int) -> str | None:
    *_, shift = shifted(seed)
    got, right = number(data, "best"), float(shift.norm())
    if close(got, right):
        return None
    if got > right:
        return f"Too large: {got:.4g}, where all points are moved by {right:.4g}."
    if abs(got) < 1e-9:
        return "Zero is always safe, and says nothing. For a best critic the bound should be W1 itself."
    return (
        f"For a best critic you certify {got:.4g}, and W1 is {right:.4g}: the critic is held back by more "
        "than its steepest rise between two of the points."
    )


def any_scale(data: Plain, seed: int) -> str | None:
    ways = [number(data, name) for name in critics(seed)] + [number(data, "best")]
    turned = [number(data, f"{name}, down") for name in critics(seed)] + [number(data, "best, steep")]
    if close(torch.tensor(ways).double(), torch.tensor(turned).double(), rtol=1e-6):
        return None
    if any(value < -1e-9 for value in ways + turned):
        return (
            "Negative where the critic is upside down. -f has the slopes of f: which of the two is the "
            "better critic?"
        )
    return "The number changes where f is replaced by 7 - 2.5 f. Only the shape of a critic should count."


def from_the_critic(data: Plain, seed: int) -> str | None:
    real, fake = clouds(seed)
    limit = transport(seed)
    found = {name: number(data, name) for name in critics(seed)}
    if all(close(value, limit, rtol=1e-4) for value in found.values()):
        return "This is W1 itself, whatever the critic is. The number should be what this critic proves."
    for name, critic in critics(seed).items():
        least, most = bounds(critic, real, fake)
        if found[name] > most * (1 + 1e-6):
            return (
                f"For {name} you certify {found[name]:.4g}. What this critic proves, whichever way it is "
                f"rescaled, is at most {most:.4g}."
            )
        if abs(found[name]) < least * (1 - 1e-6):
            return (
                f"For {name} you certify {found[name]:.4g}, but already with its steepest rise between "
                f"any two of the points this critic proves {least:.4g}."
            )
    return None


# --- gaussians ---------------------------------------------------------------------------------------


def between(pair: Pair) -> Tensor:
    """W1 of each pair: the distance of the distribution functions, by quadrature."""
    x = torch.linspace(-30, 30, 60_001, dtype=torch.float64)
    m1, s1, m2, s2 = (t[:, None] for t in pair)
    return (Normal(m1, s1).cdf(x) - Normal(m2, s2).cdf(x)).abs().sum(1) * 60 / 60_000


W2 = "This is W2, the root of the squared differences: another distance."


def closed(
    data: Plain, key: str, pair: Pair, mistakes: dict[str, Tensor | float], otherwise: str
) -> str | None:
    got = tensor(data, key, (6,), meaning="one number per pair")
    return explain(got, between(pair), mistakes, otherwise, rtol=1e-5, atol=1e-6)


def same_width(data: Plain, seed: int) -> str | None:
    m1, s1, m2, _ = two_gaussians(seed)
    return closed(
        data,
        "same width",
        (m1, s1, m2, s1),
        {
            "The sign: a distance is never negative.": m1 - m2,
            "This is the squared distance of the means.": (m1 - m2).square(),
        },
        "Two Gaussians of equal width are one shifted: every quantile moves by m1 - m2.",
    )


def same_place(data: Plain, seed: int) -> str | None:
    m1, s1, m2, s2 = two_gaussians(seed)
    wide = (s1 - s2).abs()
    squares = ((m1 - m2).square() + wide.square()).sqrt()
    is_w2 = close(tensor(data, "random", (6,), meaning="one number per pair", finite=False), squares)
    return closed(
        data,
        "same place",
        (m1, s1, m1, s2),
        {
            W2 if is_w2 else "The mean of |Z| for a standard Gaussian Z is √(2/π), not 1.": wide,
            "The standard deviations do not count.": 0.0 * wide,
            "This lacks a factor: the mean of |Z| is √(2/π).": wide / math.sqrt(2 * math.pi),
            "Those are variances. s is a standard deviation.": (s1**2 - s2**2).abs() * math.sqrt(2 / math.pi),
        },
        "With equal means the quantiles differ by (s1 - s2) z. What is the mean of its absolute value?",
    )


def both_differ(data: Plain, seed: int) -> str | None:
    m1, s1, m2, s2 = pair = two_gaussians(seed)
    far, wide = (m1 - m2).abs(), (s1 - s2).abs()
    return closed(
        data,
        "random",
        pair,
        {
            W2: (far**2 + wide**2).sqrt(),
            "The standard deviations do not count.": far,
            "The means do not count.": wide * math.sqrt(2 / math.pi),
            "A sum of both effects is too much: where the distribution functions cross, they trade off.": (
                far + wide * math.sqrt(2 / math.pi)
            ),
            "This is the sum of both differences.": far + wide,
            "The distances of the quantiles are added with their signs: that is the distance of the means.": (
                m1 - m2
            ),
            "Only the levels where the first quantile is larger count.": (between(pair) + (m1 - m2)) / 2,
        },
        "Not the mean of |(m1 - m2) + (s1 - s2) Z| for a standard Gaussian Z. For a difference of 1 in both "
        "it is 1.1666.",
    )


def reached(values: Tensor, pair: tuple[float, float, float, float]) -> tuple[float, float]:
    """The estimate E_p f - E_q f of a critic given on the line, and its steepest slope."""
    x = line()
    m1, s1, m2, s2 = (torch.tensor(t, dtype=torch.float64) for t in pair)
    weights = (Normal(m1, s1).log_prob(x).exp() - Normal(m2, s2).log_prob(x).exp()) * 0.01
    return float((values * weights).sum()), float(values.diff().abs().max()) / 0.01


def critic_of_two(data: Plain, key: str, pair: tuple[float, float, float, float]) -> str | None:
    values = tensor(data, key, (3001,), meaning="one number per point")
    estimate, steepest = reached(values, pair)
    right = float(between(tuple(torch.tensor([t], dtype=torch.float64) for t in pair))[0])  # type: ignore[arg-type]
    if steepest > 1 + 1e-6:
        return (
            f"The slope reaches {steepest:.4g}. Without a limit on the slope there is no best critic; the "
            "limit is 1."
        )
    return explain(
        estimate,
        right,
        {
            "Upside down: this critic is high where the second Gaussian has more. The first one is "
            "real.": -right,
            "This critic never turns, and reaches the distance of the means only.": abs(pair[0] - pair[2]),
            "This one turns, but upside down and never mind where: flat critics reach 0.": 0.0,
        },
        f"With real N({pair[0]}, {pair[1]}²) and forged N({pair[2]}, {pair[3]}²) this critic reaches "
        f"{estimate:.4f}, and W1 is {right:.4f}. It should rise with slope 1 where the second distribution "
        "function is the larger one, and fall where it is not: where do they cross?",
        rtol=2e-4,
    )


def best_critic_wide(data: Plain, seed: int) -> str | None:
    return critic_of_two(data, "wide", WIDER)


TASKS = [
    Task(
        "w1",
        "The distance on a line",
        "implement",
        5,
        PROBES["w1"],
        (
            Criterion("as many points on both sides", 2, w1_equal),
            Criterion("six points against four", 2, w1_other),
        ),
        (
            "On a line the cheapest plan never crosses: the first goes to the first, the last to the last.",
            "With different sizes the quantile functions are staircases with steps at i/N and at j/M. Put "
            "all these levels into one sorted list: between two neighbours both quantiles are constant.",
            "Or go along the points: between two neighbouring points of both samples together, F and G are "
            "constant, and |F - G| times the gap adds up to the distance. `torch.searchsorted` counts.",
        ),
        ("scipy",),
        "4 Derive: on a line, sort",
    ),
    Task(
        "penalty",
        "The gradient penalty",
        "implement",
        6,
        PROBES["penalty"],
        (
            Criterion("one point on each line from real to forged", 2, on_the_way),
            Criterion("the slope of the whole sample, against 1", 2, slope_of_the_sample),
            Criterion("its gradient reaches the critic", 1, reaches_the_critic),
        ),
        (
            "Epsilon has shape (B, 1, 1, 1) for images: as many ones as the samples have dimensions.",
            "Sample b influences value b only, so the gradient of the values' sum holds each sample's own "
            "gradient.",
            "`torch.autograd.grad(critic(x).sum(), x, create_graph=True)`, then `flatten(1).norm(dim=1)`.",
        ),
        (),
        "8 Derive: slope one on the way",
    ),
    Task(
        "critic_step",
        "Find the bugs in the critic's step",
        "find the bug",
        6,
        PROBES["critic_step"],
        (
            Criterion("the critic is in the box after the step", 1, in_the_box),
            Criterion("the critic climbs its own estimate", 2, own_estimate),
            Criterion("the largest stretch of a layer", 1, stretches),
            Criterion("what the wrong stretch leaves", 1, what_is_left),
        ),
        (
            "Read `critic_step` as its caller does: in which state is the critic when it returns?",
            "The estimate is a difference of two means of values. What does a sigmoid do to a difference "
            "of 5?",
            "Run `stretch` on a diagonal matrix by hand, until u stays the same. How long is u then?",
        ),
        ("torch.linalg", "torch.nn.utils"),
        "7 Weight clipping, and what it does",
    ),
    Task(
        "slide",
        "Predict, then run: where does the forger go?",
        "predict",
        5,
        PROBES["slide"],
        (
            Criterion("JS, between the lumps", 1, js_at),
            Criterion("the slope of JS there", 1, js_slope),
            Criterion("W1, between the lumps", 1, w1_at),
            Criterion("the slope of W1 there", 1, w1_slope),
            Criterion("the best place by W1", 1, best_place),
        ),
        (
            "JS looks at each point by itself: which densities are there?",
            "W1: nature is fixed, so three quarters of the forger's earth have to go to 0 and a quarter "
            "to 6.",
            "W1 as a function of the place is 3/4 of one distance plus 1/4 of another. Draw both.",
        ),
        (),
        "2 Derive: the cost of moving earth",
    ),
    Task(
        "certified",
        "Design a bound that no critic can break",
        "design",
        6,
        PROBES["certified"],
        (
            Criterion("never above W1, whatever the critic", 2, never_above),
            Criterion("W1 itself for a best critic", 1, reaches),
            Criterion("the critic's scale, shift and sign do not count", 1, any_scale),
            Criterion("what the critic proves, no more and no less", 1, from_the_critic),
        ),
        (
            "Divide f by a number K that makes it good enough for weak duality. Between which points is its "
            "slope needed there?",
            "The proof uses f(x) - f(y) <= |x - y| for points that a plan couples: x real, y forged. Nothing "
            "in between, and no derivative.",
            "`torch.cdist` holds all distances and `f[:, None] - f` all differences. K is the largest ratio; "
            "two equal points say nothing.",
        ),
        ("scipy",),
        "3 Derive: prices instead of plans",
    ),
    Task(
        "gaussians",
        "Two Gaussians on a line, and their critic",
        "derive",
        6,
        PROBES["gaussians"],
        (
            Criterion("equal widths", 1, same_width),
            Criterion("equal means", 1, same_place),
            Criterion("both differ", 2, both_differ),
            Criterion("the best critic", 1, best_critic_wide),
        ),
        (
            "The quantile of N(m, s²) at level s is m + s z with the standard Gaussian's quantile z. So "
            "W1 is the mean of |a + b Z|.",
            "Split the mean of |a + b Z| at its zero, z = -a/b. The integral of z times the density is "
            "minus the density.",
            "|b| √(2/π) exp(-a² / (2 b²)) + a erf(a / (|b| √2)). The critic turns where (x - m1)/s1 = "
            "(x - m2)/s2.",
        ),
        ("torch.distributions", "scipy"),
        "4 Derive: on a line, sort",
    ),
]
