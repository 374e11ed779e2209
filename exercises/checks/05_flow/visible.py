# Generated from solutions/ by `python -m coursekit.authoring.generate`; do not edit.
"""Visible checks of 05_flow: known values and properties, with the hint that fits what went wrong."""

import math
from collections.abc import Sequence
from functools import cache

import torch
from numpy.polynomial.legendre import leggauss
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from coursekit.exercises.judge import (
    CONSTANT,
    WHOLE,
    Trouble,
    close,
    entry,
    explain,
    number,
    passages,
    returned,
    table,
    tensor,
)
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion, Task

from .probes import (
    LEVELS,
    NATS,
    PROBES,
    SHAPE,
    STEP,
    Net,
    grey,
    half_of_data,
    line_map,
    map_weights,
    network,
    networks,
    points,
    rates_and_tilts,
    rows,
)

EACH = "one number per row"
BASE = Normal(torch.zeros((), dtype=torch.float64), 1.0)


# --- pushed_log_prob ---------------------------------------------------------------------------------


def slope_of(w: Tensor, x: Tensor) -> Tensor:
    """Derivative of `line_map(w)` at x, by hand."""
    return w[0] + w[1] * w[2] / torch.cosh(w[2] * x).square()


def rising(data: Plain, seed: int) -> str | None:
    w, x = map_weights(seed), points(seed)
    z, slope = line_map(w)(x), slope_of(w, x)
    base, logdet = BASE.log_prob(z), slope.log()
    return explain(
        tensor(data, "rising", (7,), meaning="one number per point"),
        base + logdet,
        {
            "The sign of the log-determinant is wrong. Where f is steep, few x are spread over many z: the "
            "density of x is high there.": base - logdet,
            "This is the density of z at f(x). The slope of f is missing.": base,
            "The slope enters as it is. Its logarithm belongs to a log-density.": base + slope,
            "The constant of the standard normal is missing: -½ log 2π.": base + logdet + 0.9189385332046727,
            "This is the density. The task asks for its logarithm.": (base + logdet).exp(),
            "The derivative is taken at z. It belongs to the point x that the map receives.": (
                base + slope_of(w, z).log()
            ),
            "The base is asked about x. It is the density of z = f(x).": BASE.log_prob(x) + logdet,
            "The slopes of the whole batch are added up. Entry b of x moves entry b of z only.": (
                base + slope.sum().log()
            ),
        },
        "Not log p(x). For f(x) = 2 x at x = 0 it is log 2 - ½ log 2π = -0.2258.",
    )


def falling(data: Plain, seed: int) -> str | None:
    up = tensor(data, "rising", (7,), meaning="one number per point", finite=False)
    down = tensor(data, "falling", (7,), meaning="one number per point", finite=False)
    if close(up, tensor(data, "another", (7,), meaning="one number per point", finite=False)):
        raise Trouble("Two different maps leave the same density behind: the result does not depend on f.")
    if close(up, down):
        return None
    if bool(down.isnan().any()):
        return "The slope of a falling map is negative, and its logarithm NaN. Only its size counts."
    return (
        "The maps f and -f leave the same density behind, since the standard normal is symmetric. Yours "
        "differ: take the absolute value of the slope."
    )


def trainable(data: Plain, seed: int) -> str | None:
    (passage,) = passages(data, "slopes", 1)
    if passage == WHOLE:
        return None
    if passage == CONSTANT:
        return "The result does not depend on the parameters of f."
    return (
        "The gradient that reaches the parameters of f is not that of the values you return: the slope's "
        "part is cut off. Ask for a graph of the derivative: `create_graph=True`."
    )


# --- coupling ----------------------------------------------------------------------------------------


def part(data: Plain, key: str, index: int, shape: Sequence[int], meaning: str = "") -> Tensor:
    """One of the two tensors that a map returned: 0 the points, 1 the log-determinants; or Trouble."""
    value = returned(data, key)
    items, name = value.get("items"), value["name"]
    if value.get("type") != "list" or not isinstance(items, list) or len(items) != 2:
        raise Trouble(f"`{name}` should return a pair: the mapped points, and the log-determinants.")
    alone = {"kind": "returned", "name": name, "value": items[index]}
    return tensor({key: alone}, key, shape, meaning=meaning)


def logdet_by_differences(data: Plain, key: str) -> Tensor:
    """log |det| (3,) of a map's own Jacobian, from what it made of the points around each row."""
    up, down = part(data, key, 0, (24, 4)).reshape(3, 2, 4, 4).unbind(1)
    jacobian = (up - down) / (2 * STEP)
    return torch.linalg.slogdet(jacobian).logabsdet


def stretches(data: Plain) -> None:
    """Trouble where the forward map changes no volume, as the identity: there every inverse looks right."""
    if float(logdet_by_differences(data, "around x").abs().max()) < 1e-6:
        raise Trouble("Your forward map changes no volume, so this says nothing yet. Is e^s in it?")


def kept_and_net(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both halves of the rows, and s and t of the first."""
    first, second = rows(seed).chunk(2, dim=1)
    return first, second, *network(seed, 2)(first)


def forward_points(data: Plain, seed: int) -> str | None:
    a, b, s, t = kept_and_net(seed)
    s_b, t_b = network(seed, 2)(b)
    return explain(
        part(data, "forward", 0, (3, 4)),
        torch.cat([a, b * s.exp() + t], 1),
        {
            "The scale is s itself. It is e^s, which is never zero or negative.": torch.cat(
                [a, b * s + t], 1
            ),
            "The second half is kept and the first changed. Here it is the other way round.": torch.cat(
                [a * s_b.exp() + t_b, b], 1
            ),
            "The network reads the half that is changed. No inverse could ask it again.": torch.cat(
                [a, b * s_b.exp() + t_b], 1
            ),
            "The halves of z have changed places. Put each back to where it came from.": torch.cat(
                [b * s.exp() + t, a], 1
            ),
            "The sign of s is the wrong way round in z.": torch.cat([a, b * (-s).exp() + t], 1),
            "The shift is scaled too: first times e^s, then plus t.": torch.cat([a, (b + t) * s.exp()], 1),
            "The first half should leave as it came.": torch.cat([a * s.exp() + t, b * s.exp() + t], 1),
        },
        "Not the affine coupling: the first half as it is, the second times e^s plus t.",
    )


def forward_logdet(data: Plain, seed: int) -> str | None:
    *_, s, _ = kept_and_net(seed)
    got = part(data, "forward", 1, (3,), EACH)
    stretches(data)
    # Right for the map that was asked for, or for the map that z shows.
    if close(got, s.sum(1)) or close(got, logdet_by_differences(data, "around x"), rtol=1e-5, atol=1e-5):
        return None
    return explain(
        got,
        s.sum(1),
        {
            "The sign of the log-determinant is wrong: for s > 0 the map stretches, and its determinant is "
            "larger than one.": -s.sum(1),
            "This is the mean of s over the entries. The determinant is a product, its logarithm a sum.": (
                s.mean(1)
            ),
            "The diagonal of the Jacobian holds e^s, and its logarithm is s: no exp is left.": s.exp().sum(1),
            "This is the determinant. Return its logarithm.": s.exp().prod(1),
            "This adds t as well. A shift changes no volume.": s.sum(1)
            + network(seed, 2)(rows(seed)[:, :2])[1].sum(1),
            "Half of the entries pass unchanged and add log 1 = 0.": 2 * s.sum(1),
        },
        "Not the log-determinant of your z. The Jacobian is triangular: what stands on its diagonal?",
    )


def round_trip(data: Plain, seed: int) -> str | None:
    stretches(data)
    a, b, s, t = kept_and_net(seed)
    x, z_b = rows(seed), b * s.exp() + t
    s_z, t_z = network(seed, 2)(z_b)
    return explain(
        part(data, "back", 0, (3, 4)),
        x,
        {
            "The inverse scales by e^s once more: right where s = 0 only. Undo it with e^-s.": torch.cat(
                [a, (z_b - t) * s.exp()], 1
            ),
            "The inverse scales back before it shifts back: right where t = 0 or s = 0 only. Undo the last "
            "step first.": torch.cat([a, z_b * (-s).exp() - t], 1),
            "The inverse asks the network about the changed half. The kept half knows s and t: it is the "
            "same on both sides.": torch.cat([a, (z_b - t_z) * (-s_z).exp()], 1),
            "The shift is added in the inverse. Take it off.": torch.cat([a, (z_b + t) * (-s).exp()], 1),
            "This is z, unchanged.": torch.cat([a, z_b], 1),
            "The inverse returns the halves in the wrong places.": torch.cat([b, a], 1),
        },
        "The inverse of your z is not x. Follow one row: coupling, then coupling_inverse.",
    )


def inverse_logdet(data: Plain, seed: int) -> str | None:
    *_, s, _ = kept_and_net(seed)
    got = part(data, "inverse", 1, (3,), EACH)
    stretches(data)
    if close(got, -s.sum(1)) or close(got, logdet_by_differences(data, "around z"), rtol=1e-5, atol=1e-5):
        return None
    return explain(
        got,
        -s.sum(1),
        {
            "This is the forward map's log-determinant. Each direction returns its own: the inverse shrinks "
            "what the map stretches.": s.sum(1),
            "The mean of s over the entries again. It is a sum.": -s.mean(1),
            "The inverse's log-determinant is not 0: it scales too.": torch.zeros(3),
        },
        "Not the log-determinant of your inverse. At corresponding points it is minus the forward one's.",
    )


# --- stack_log_prob ----------------------------------------------------------------------------------


def stacked(x: Tensor, nets: Sequence[Net], reads_second: Sequence[bool]) -> tuple[Tensor, Tensor]:
    """Affine couplings in place: log-density of z (B,), and the log-determinant of each layer (layers, B).

    `reads_second` says of each which half it reads.
    """
    halves = list(x.chunk(2, 1))
    logdets = []
    for net, read in zip(nets, map(int, reads_second), strict=True):
        s, t = net(halves[read])
        halves[1 - read] = halves[1 - read] * s.exp() + t
        logdets.append(s.sum(1))
    return BASE.log_prob(torch.cat(halves, 1)).sum(1), torch.stack(logdets)


def density(x: Tensor, nets: Sequence[Net], reads_second: Sequence[bool]) -> Tensor:
    base, logdets = stacked(x, nets, reads_second)
    return base + logdets.sum(0)


def flipped(x: Tensor, nets: Sequence[Net]) -> Tensor:
    """log p(x) where the order of all entries is turned round after each coupling."""
    total = torch.zeros_like(x[:, 0])
    for reads in nets:
        left, right = x.chunk(2, 1)
        s, t = reads(left)
        x, total = torch.cat([left, right * s.exp() + t], 1).flip(1), total + s.sum(1)
    return BASE.log_prob(x).sum(1) + total


def changing_what_it_read(x: Tensor, nets: Sequence[Net]) -> Tensor:
    """The number that comes out where every second network changes the half that it reads."""
    halves = list(x.chunk(2, 1))
    total = torch.zeros_like(x[:, 0])
    for at, reads in enumerate(nets):
        s, t = reads(halves[0])
        changed = 0 if at % 2 else 1
        halves[changed] = halves[changed] * s.exp() + t
        total = total + s.sum(1)
    return BASE.log_prob(torch.cat(halves, 1)).sum(1) + total


def given_stack(x: Tensor, nets: Sequence[Net]) -> Tensor:
    """What the code returns that the student was given."""
    return density(x, nets, [False] * len(nets))


def stack_of(data: Plain, seed: int, key: str, number_of: int, half: int) -> str | None:
    x = rows(seed if half == 2 else seed + 1, 2 * half)
    nets = networks(seed, number_of, half)
    turns = [i % 2 == 1 for i in range(number_of)]
    base, logdets = stacked(x, nets, turns)
    mistakes = {
        "Network 0 should read the first half: yours starts with the second. Where do you swap?": density(
            x, nets, [not t for t in turns]
        ),
        "flip turns the order within the halves too, so each network reads its half backwards. Swap the "
        "halves as they are.": flipped(x, nets),
        "Every second network changes the half that it reads itself: such a map has no inverse. Swap both "
        "names, kept and changed.": changing_what_it_read(x, nets),
        "The sign of the log-determinant is wrong now. It was right before.": base - logdets.sum(0),
        "This has the log-determinant of the last layer only: those of all layers add up.": base
        + logdets[-1],
        "The halves are swapped once and then stay so. They must swap after every layer.": density(
            x, nets, [i > 0 for i in range(number_of)]
        ),
        "All networks read the second half now. They should take turns.": density(
            x, nets, [True] * number_of
        ),
    }
    return explain(
        tensor(data, key, (3,), meaning=EACH),
        base + logdets.sum(0),
        mistakes,
        "Not the log-density of couplings that take turns. Write on paper what each network reads.",
        given=given_stack(x, nets),
    )


def two_layers(data: Plain, seed: int) -> str | None:
    return stack_of(data, seed, "two", 2, 2)


def three_layers(data: Plain, seed: int) -> str | None:
    return stack_of(data, seed, "three", 3, 2)


def floor(data: Plain, seed: int) -> str | None:
    mean, std = half_of_data(seed)
    if abs(number(data, "no floor")) > 1e-9:
        return "Where the first half is standard normal already, the bug costs nothing there: the floor is 0."
    right = kl_divergence(Normal(mean, std), BASE).sum()
    return explain(
        number(data, "floor"),
        right,
        {
            "There is a floor: the model says N(0, I) of the first half, whatever the data are.": 0.0,
            "This is KL(model || data). The data come first.": kl_divergence(
                Normal(torch.zeros(3).double(), 1.0), Normal(mean, std)
            ).sum(),
            "This is twice what it should be. Where is the ½?": 2 * right,
            "This is the mean over the entries. The KL of independent entries is the sum of theirs.": (
                right / 3
            ),
            "`std` is a standard deviation; you use it as a variance.": kl_divergence(
                Normal(mean, std.sqrt()), BASE
            ).sum(),
            "The sign is the wrong way round: a KL is never negative.": -right,
            "The means are left out, or count for nothing.": kl_divergence(Normal(0 * mean, std), BASE).sum(),
            "The widths are left out, or count for nothing.": mean.square().sum() / 2,
            "This is the mean of -log N(x; 0, I), the cross-entropy. Take the entropy of the data off.": (
                right + Normal(mean, std).entropy().sum()
            ),
        },
        "Not the floor. The model says N(0, I) of the first half: how far is that from the data's Gaussian?",
    )


# --- bits_per_dim ------------------------------------------------------------------------------------

ANY_FLOAT = ("float32", "float64")
DIMS = math.prod(SHAPE[1:])


def bits(data: Plain, key: str, number_of: int = SHAPE[0]) -> Tensor:
    return tensor(data, key, (number_of,), meaning="one number per image", dtype=ANY_FLOAT)


def asked(data: Plain, key: str, shape: tuple[int, ...] = SHAPE) -> Tensor:
    """The points at which the answer asked the model, in the shape of the images; or Trouble."""
    value = returned(data, key)
    items, name = value.get("items"), value["name"]
    if not isinstance(items, list) or len(items) != 1:
        how = "never asks" if items == [] else "asks more than once"
        raise Trouble(f"`{name}` {how} the model, `log_prob`. Ask once, about all images.")
    alone = {"kind": "returned", "name": "log_prob", "value": items[0]}
    return tensor({key: alone}, key, shape, dtype=ANY_FLOAT)


def noise_of(data: Plain, key: str, seed: int) -> Tensor:
    """The noise that the points hold where they were made by (x + u) / L."""
    return asked(data, key) * LEVELS - grey(seed, LEVELS, SHAPE)


def noise_fills(data: Plain, seed: int) -> str | None:
    v = asked(data, "noise")
    u = v * LEVELS - grey(seed, LEVELS, SHAPE)
    near = 1e-4
    if float(u.abs().max()) < near:
        return "There is no noise. On whole levels a density can be as high as it likes, and P(x) is unknown."
    if float((v * (LEVELS - 1) - grey(seed, LEVELS, SHAPE) - 0.5).abs().max()) < 0.5 + near:
        return "You divide by L - 1. With noise there are L cells of width 1/L in [0, 1): divide by L."
    if float(v.max()) > 2:
        return "log_prob is asked about points beyond 1. Divide by the number of levels."
    if float(u.max() - u.min()) < 0.51:
        return (
            "The noise fills half of each cell. The model can hide its density in that half and gain a bit "
            "per dimension. Uniform noise on [0, 1) has the whole width."
        )
    if float(u.min()) < -near and float(u.max()) < 0.5 + near and abs(float(u.mean())) < 0.05:
        return "The noise is centred, from -½ to ½. Then black pixels leave [0, 1). It lies on [0, 1)."
    if float(u.min()) < -near or float(u.max()) > 1 + near:
        return "The noise leaves [0, 1): a point would belong to another grey level."
    if close(u, u[:1].expand_as(u), atol=near) or close(u, u[..., :1, :1].expand_as(u), atol=near):
        return "Several pixels share their noise. Draw it in the full shape of x."
    spread = u.flatten().sort().values - torch.linspace(0, 1, u.numel(), dtype=torch.float64)
    if float(spread.abs().max()) > 2.5 / math.sqrt(u.numel()):  # Kolmogorov-Smirnov, 1 in 100,000
        return "The noise is not uniform on [0, 1)."
    return None


def from_generator(data: Plain, seed: int) -> str | None:
    first, again, other = (noise_of(data, key, seed) for key in ("noise", "again", "other"))
    if not close(first, again):
        return "The same generator seed gives other noise. Pass `generator=generator` where you draw."
    return "Every generator seed gives the same noise." if close(first, other) else None


def uniform_model(data: Plain, seed: int) -> str | None:
    """The model's log-density is 0 everywhere; what is left is the scaling, in the answer's own unit."""
    unit = nats_to_bits(data)
    ln = math.log(LEVELS)
    ask = "A model that is uniform on [0, 1) knows nothing of L = 16 levels: it must score log2 16 = 4 bits."
    return explain(
        (bits(data, "uniform") / unit).mean(),
        DIMS * ln,
        {
            f"{ask} Yours scores 0: dividing by L is a layer too, and its log-determinant is missing.": 0.0,
            f"{ask} Yours scores -4: the log-determinant of the scaling has the wrong sign.": -DIMS * ln,
            f"{ask} Yours counts the scaling once for each image; it acts on each of the D entries.": ln,
            f"{ask} Yours has log(L - 1) in place of log L.": DIMS * math.log(LEVELS - 1),
            f"{ask} Yours counts the scaling for the pixels of one channel only.": DIMS / SHAPE[1] * ln,
            f"{ask} Yours has log2 L among nats: take all in nats, convert at the end.": DIMS
            * math.log2(LEVELS),
        },
        ask,
        rtol=1e-4,
        atol=1e-4,
    )


def nats_to_bits(data: Plain) -> float:
    """Bits per dimension that one nat of the model's is worth, in this answer; or Trouble."""
    change = bits(data, "raised") - bits(data, "uniform")
    unit = -float(change.mean()) / NATS
    if abs(unit) < 1e-9:
        raise Trouble("The result does not depend on what `log_prob` returns.")
    return unit


def conversion(data: Plain, seed: int) -> str | None:
    right = 1 / (DIMS * math.log(2))
    pixels = math.prod(SHAPE[2:])
    return explain(
        nats_to_bits(data),
        right,
        {
            "A higher density gives more bits here. Bits are a cost: minus the log-probability.": -right,
            "This is nats per dimension. Divide by log 2 for bits.": 1 / DIMS,
            "This is bits per image. Divide by the number of dimensions.": DIMS * right,
            "You divide by H W. Every channel of a pixel is a dimension too.": right * DIMS / pixels,
            "You multiply by log 2. A bit is worth log 2 = 0.69 nats, so there are more bits than nats: "
            "divide.": math.log(2) / DIMS,
            "Divide by the dimensions of one image, not by all entries of the batch.": right / SHAPE[0],
        },
        "One nat less of log-density should cost 1 / (D log 2) bits per dimension, D = C H W.",
        rtol=1e-4,
    )


# --- bridge ------------------------------------------------------------------------------------------

KEYS = ("log_slope", "layers", "bridge")


@cache
def islands() -> tuple[float, float, float]:
    """log g'(0) of the exact map, from its own distribution function; share of data on the bridge; and the
    share that a slope of e² leaves there."""
    x = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    cdf = (BASE.cdf((x + 2) / 0.5) + BASE.cdf((x - 2) / 0.5)) / 2
    z = BASE.icdf(cdf)
    log_slope = float(((x[1001] - x[999]) / (z[1001] - z[999])).log())
    edge = torch.tensor(math.exp(-2), dtype=torch.float64)
    return log_slope, float(cdf[-1] - cdf[0]), float(BASE.cdf(edge) - BASE.cdf(-edge))


def predicted(
    data: Plain, key: str, right: float, within: float, known: dict[str, float], otherwise: str
) -> str | None:
    got = entry(table(data, "prediction", KEYS), key)
    if abs(got - right) <= within:
        return None
    near = [hint for hint, value in known.items() if abs(got - value) <= within]
    return near[0] if near else otherwise


def log_slope(data: Plain, seed: int) -> str | None:
    right = islands()[0]
    known = {
        "The sign is the wrong way round: g leads from z to x, and it must be steep where there are no "
        "data.": -right,
        "This is the slope. The task asks for its logarithm.": math.exp(right),
        "8 is the squared distance over 2 · 0.5². The widths of the two densities count too, 0.5 against 1, "
        "and at 0 both bumps are there.": 8,
        "The variance is 0.5² = 0.25, not 0.5.": 4 + math.log(0.5) / 2,
    }
    return predicted(
        data, "log_slope", right, 0.1, known, "p_Z(z) dz = p(x) dx, so g' = dx/dz is p_Z(0) / p(0) at 0."
    )


def layers(data: Plain, seed: int) -> str | None:
    got = entry(table(data, "prediction", KEYS), "layers")
    exact = islands()[0] / 2
    if got == math.ceil(exact):
        return None
    if abs(got - exact) < 0.1:
        return "There is no part of a layer. Round up."
    if got == math.floor(exact):
        return "One short: three layers multiply the slope by at most e⁶."
    if got == math.ceil(islands()[0]):
        return (
            "Each layer adds up to 2 to the log-slope, not 1; and on the line every layer acts, nothing has "
            "to take turns."
        )
    return "The slopes of layers multiply, so their logarithms add. How often does 2 fit?"


def bridge(data: Plain, seed: int) -> str | None:
    _, share, right = islands()
    edge = math.exp(-2)
    known = {
        "This is the share of the data. The flow cannot follow them there.": share,
        "This is one side of 0 only.": right / 2,
        "This is e^-2, the largest |z| that must stay on the bridge. What share of a standard normal is "
        "that?": edge,
        "Here |z| < e^-2 is taken for a share as if z were uniform. It is standard normal.": 2 * edge,
        "This is the data's share and the bridge together. The bridge alone is the least share.": right
        + share,
        "This is the density of z at 0 times e^-2: the width is twice that.": edge / math.sqrt(2 * math.pi),
    }
    return predicted(
        data,
        "bridge",
        right,
        0.005,
        known,
        "g(0) = 0 and g' ≤ e²: which z cannot get further from 0 than 1? How frequent are they?",
    )


# --- uniform_gap -------------------------------------------------------------------------------------


@cache
def unit_interval() -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss-Legendre quadrature on [0, 1]: exact to rounding for these densities."""
    nodes, weights = (torch.from_numpy(t) for t in leggauss(80))
    return (nodes + 1) / 2, weights / 2


def mean_of(values: Tensor) -> Tensor:
    """Integral over [0, 1] of values (B, N) at the nodes: (B,)."""
    return (values * unit_interval()[1]).sum(1)


def gap_by_quadrature(rate: Tensor, log_q: Tensor, x: float = 3.0) -> dict[str, Tensor]:
    """The gap, and what mistakes give, for any log-density of the noise at the nodes: (B, N)."""
    u, _ = unit_interval()
    log_p = rate.log()[:, None] - rate[:, None] * (x + u)
    log_mass = mean_of(log_p.exp()).log()
    q = log_q.exp()
    posterior = log_p - log_mass[:, None]
    return {
        "gap": log_mass - mean_of(q * (log_p - log_q)),
        "no entropy": log_mass - mean_of(q * log_p),
        "backwards": mean_of(posterior.exp() * (posterior - log_q)),
        "the bound at 0": mean_of(q * (log_p - log_q)) + rate * x,
        "log mass at 0": log_mass + rate * x,
        "density for mass": rate.log() - rate * x - mean_of(q * (log_p - log_q)),
    }


def uniform_noise(data: Plain, seed: int) -> str | None:
    rate, _ = rates_and_tilts(seed)
    u, _ = unit_interval()
    known = gap_by_quadrature(rate, torch.zeros(len(rate), len(u), dtype=torch.float64))
    right = known["gap"]
    return explain(
        tensor(data, "uniform", (6,), meaning="one number per rate"),
        right,
        {
            "The sign is the wrong way round: the bound is never above log P(x).": -right,
            "This is the gap in bits. Leave it in nats.": right / math.log(2),
            "P(x) is taken for the density at x. It is the integral over the cell, from x to x + 1.": known[
                "density for mass"
            ],
            "This is KL(p(u|x) || q). The expectation in the gap is under q.": known["backwards"],
            "This is log P(0). Take the bound off it.": known["log mass at 0"],
            "This is the bound at x = 0. Take it off log P(0).": known["the bound at 0"],
            "The noise is counted as if it were always 0. Its mean is ½.": right - rate / 2,
            "The noise is counted as if it were always 1. Its mean is ½.": right + rate / 2,
            "The factor λ of the density is missing in one of the two terms; it should cancel.": (
                right - rate.log()
            ),
            "The factor 1/λ of the integral over e^-λu is missing.": right + rate.log(),
        },
        "Not the gap. For λ = 1 it is 0.0413 nats, for λ = 4 it is 0.5952.",
    )


def tilted(rate: Tensor, tilt: Tensor) -> dict[str, Tensor]:
    u, _ = unit_interval()
    raw = -tilt[:, None] * u
    return gap_by_quadrature(rate, raw - mean_of(raw.exp()).log()[:, None])


def tilted_noise(data: Plain, seed: int) -> str | None:
    rate, tilt = rates_and_tilts(seed)
    u, _ = unit_interval()
    known = tilted(rate, tilt)
    right = known["gap"]
    flat = gap_by_quadrature(rate, torch.zeros(len(rate), len(u), dtype=torch.float64))["gap"]
    log_mass = mean_of((-tilt[:, None] * u).exp()).log()
    mean = mean_of((-tilt[:, None] * u).exp() * u) / log_mass.exp()
    return explain(
        tensor(data, "tilted", (6,), meaning="one number per pair"),
        right,
        {
            "The sign is the wrong way round: the bound is never above log P(x).": -right,
            "log q(u) is missing: take it off inside the expectation.": known["no entropy"],
            "log q(u) is added. It comes off.": known["no entropy"] + (known["no entropy"] - known["gap"]),
            "This is KL(p(u|x) || q). The expectation in the gap is under q.": known["backwards"],
            "This is the gap of uniform noise: the tilt does not count.": flat,
            "1/κ is the mean of an exponential that goes on for ever. The noise stops at 1: its mean is "
            "1/κ - 1/(e^κ - 1).": right + (rate - tilt) * (1 / tilt - mean),
            "κ e^-κu is not a density on [0, 1): its integral is 1 - e^-κ. Divide by that.": (
                right + log_mass + tilt.log()
            ),
            "The noise has the mean ½ here. Noise that leans to 0 has a smaller one.": right
            + (rate - tilt) * (0.5 - mean),
            "e^-κu is used without the constant that makes it a density.": right + log_mass,
        },
        "Not the gap. For λ = 4 and κ = 2 it is 0.1207 nats.",
    )


def no_gap(data: Plain, seed: int) -> str | None:
    got = tensor(data, "equal", (6,), meaning="one number per pair")
    if bool((tensor(data, "tilted", (6,), meaning="one number per pair").abs() < 1e-9).any()):
        raise Trouble("The gap is 0 where κ is not λ, too.")
    if bool((got.abs() < 1e-9).all()):
        return None
    return "With κ = λ the noise is distributed as the model says, p(u|x), and the bound is exact: no gap."


TASKS = [
    Task(
        "pushed_log_prob",
        "The density that a map leaves behind",
        "implement",
        5,
        PROBES["pushed_log_prob"],
        (
            Criterion("the density of a rising map", 2, rising),
            Criterion("a falling map gives a density too", 1, falling),
            Criterion("gradients reach the map's parameters", 1, trainable),
        ),
        (
            "p(x) |dx| = p_Z(z) |dz|. Take logarithms: which two terms are there?",
            "log p(x) = log N(f(x); 0, 1) + log |f'(x)|.",
            "`torch.autograd.grad(z.sum(), x, create_graph=True)` returns a tuple with all slopes at once; x "
            "must require gradients: `x.detach().requires_grad_()`.",
        ),
        ("torch.distributions",),
        "1 Derive: a thin slab of probability",
    ),
    Task(
        "coupling",
        "An affine coupling, both ways",
        "implement",
        6,
        PROBES["coupling"],
        (
            Criterion("the forward map", 1, forward_points),
            Criterion("the forward log-determinant", 1, forward_logdet),
            Criterion("the inverse undoes your forward map", 2, round_trip),
            Criterion("the inverse's own log-determinant", 1, inverse_logdet),
        ),
        (
            "`x.chunk(2, dim=1)` cuts a batch in halves, `torch.cat([a, b], dim=1)` joins them.",
            "The Jacobian is triangular with ones and e^s on its diagonal: the log-determinant sums s.",
            "Inverse: the same s and t from the kept half; first subtract t, then multiply by e^-s. Its "
            "log-determinant is minus the sum of s.",
        ),
        (),
        "6 Derive: coupling",
    ),
    Task(
        "stack_log_prob",
        "Find the bug: half of it never moves",
        "find the bug",
        6,
        PROBES["stack_log_prob"],
        (
            Criterion("two layers", 2, two_layers),
            Criterion("three layers", 1, three_layers),
            Criterion("the floor of the KL", 2, floor),
        ),
        (
            "Follow `kept` through the loop. Which entries of x does it hold in the second layer?",
            "After each layer the two halves change their roles: `kept, changed = changed, kept`.",
            "For the floor: what does the flow with the bug say about the first half? The KL of independent "
            "Gaussians from N(0, I) is ½ Σ (m² + σ² - 1 - log σ²).",
        ),
        ("torch.distributions",),
        "8 Break it: halves that never swap",
    ),
    Task(
        "bits_per_dim",
        "From grey levels to bits per dimension",
        "implement",
        6,
        PROBES["bits_per_dim"],
        (
            Criterion("the noise fills the cells", 1, noise_fills),
            Criterion("the noise comes from the generator", 1, from_generator),
            Criterion("the scaling counts", 2, uniform_model),
            Criterion("from nats to bits per dimension", 1, conversion),
        ),
        (
            "Four steps: noise, scaling, the model's nats with the log-determinant of the scaling, the unit.",
            "v = (x + u) / L with u uniform on [0, 1). This map has the log-determinant -D log L.",
            "bits/dim = -(log_prob(v) - D log L) / (D log 2), with D = `x[0].numel()`.",
        ),
        ("torch.distributions",),
        "15 Derive: the uniform bound",
    ),
    Task(
        "bridge",
        "Predict, then run: the bridge between two islands",
        "predict",
        5,
        PROBES["bridge"],
        (
            Criterion("how steep the exact map is", 2, log_slope),
            Criterion("how many layers that takes", 1, layers),
            Criterion("what one layer leaves on the bridge", 2, bridge),
        ),
        (
            "g'(0) = p_Z(0) / p(0). Put both bumps into p(0).",
            "log g'(0) = 2² / (2 · 0.5²) + log 0.5. Each layer adds at most 2 to it.",
            "With slope at most e² and g(0) = 0, every z with |z| < e^-2 stays between -1 and 1. Their share "
            "is 2 Φ(e^-2) - 1 = `math.erf(math.exp(-2) / math.sqrt(2))`.",
        ),
        (),
        "13 Break it: two islands and a bridge",
    ),
    Task(
        "uniform_gap",
        "What the noise costs",
        "derive",
        6,
        PROBES["uniform_gap"],
        (
            Criterion("uniform noise", 2, uniform_noise),
            Criterion("tilted noise", 2, tilted_noise),
            Criterion("no gap where the noise is the model's own", 1, no_gap),
        ),
        (
            "Integrate first: P(x) = e^-λx (1 - e^-λ). What is E[log p(x + u)] when E[u] = ½?",
            "The factor e^-λx and the λ of the density cancel: the uniform gap is log((1 - e^-λ) / λ) + λ/2.",
            "With Z(k) = (1 - e^-k) / k the tilted gap is log Z(λ) - log Z(κ) + (λ - κ) E[u], and "
            "E[u] = 1/κ - 1/(e^κ - 1). For large values of k let `torch.exp(-k)` underflow, not `exp(k)` "
            "overflow.",
        ),
        ("torch.distributions",),
        "17 Derive: noise that looks at the image",
    ),
]
