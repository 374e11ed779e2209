# Generated from solutions/ by `python -m coursekit.authoring.generate`; do not edit.
"""Visible checks of 06_glow: known values and properties, with the hint that fits what went wrong."""

import math
from collections.abc import Callable, Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Normal

from coursekit.exercises.judge import NotDone, Trouble, close, explain, number, returned, tensor
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion, Task

from .probes import (
    COUNT,
    DIMS,
    LEVELS,
    PROBES,
    SHAPE,
    SHIFT,
    TEMPERATURES,
    Map,
    batches,
    bend,
    factors,
    grey,
    images,
    pixels,
    scales,
)

EACH = "one number per image"
ANY_FLOAT = ("float32", "float64")


def part(
    data: Plain,
    key: str,
    index: int,
    shape: Sequence[int],
    meaning: str = "",
    dtype: str | tuple[str, ...] = "float64",
) -> Tensor:
    """One of the two tensors that a map returned: 0 the images, 1 the log-determinants; or Trouble."""
    value = returned(data, key)
    items, name = value.get("items"), value["name"]
    if value.get("type") != "list" or not isinstance(items, list) or len(items) != 2:
        raise Trouble(f"`{name}` should return a pair: the mapped images, and the log-determinants.")
    alone = {"kind": "returned", "name": name, "value": items[index]}
    return tensor({key: alone}, key, shape, meaning=meaning, dtype=dtype)


# --- squeeze -----------------------------------------------------------------------------------------


def board(data: Plain, seed: int, key: str = "even", height: int = 4, width: int = 6) -> str | None:
    got = tensor(data, key, (1, height, width), dtype="bool")
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    right = ((rows + columns) % 2 == 0)[None].double()
    return explain(
        got,
        right,
        {
            "The colours are the wrong way round: row 0, column 0 is True.": 1 - right,
            "These are stripes, one row and the next. Row and column count together.": (
                (rows % 2 == 0).expand(height, width)[None].double()
            ),
            "These are stripes, one column and the next. Row and column count together.": (
                (columns % 2 == 0).expand(height, width)[None].double()
            ),
            "Every second entry counted along the image: that gives stripes where the rows are of even "
            "length.": ((torch.arange(height * width).reshape(1, height, width) % 2 == 0).double()),
        },
        "Not a checkerboard: True where row + column is even, so that no two neighbours are equal.",
    )


def entries(data: Plain, seed: int, key: str = "squeezed", x: Tensor | None = None) -> str | None:
    x = images(seed) if x is None else x
    (b, c), (h, w) = x.shape[:2], x.shape[2:]
    blocks = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # (b, c, h/2, 2, w/2, 2)
    shape = (b, 4 * c, h // 2, w // 2)
    return explain(
        tensor(data, key, shape),
        F.pixel_unshuffle(x, 2),
        {
            "A plain reshape keeps the memory's order: it makes channels of bands, not of the pixels in a "
            "block. Give each block its own dimensions first.": x.reshape(shape),
            "Rows and columns within the block are swapped: channel 4c + 2i + j, with i for the row.": (
                blocks.permute(0, 1, 5, 3, 2, 4).reshape(shape)
            ),
            "The channels are in the order (2i + j) C + c. The four of one old channel should be neighbours: "
            "4c + 2i + j.": blocks.permute(0, 3, 5, 1, 2, 4).reshape(shape),
            "This cuts the image into quarters. A channel should take every second pixel of every second "
            "row.": x.reshape(b, c, 2, h // 2, 2, w // 2).permute(0, 1, 2, 4, 3, 5).reshape(shape),
        },
        "Not the squeeze. On an image whose pixels are 10 row + column, channel 0 holds 0, 2, 4, ... in its "
        "first row, channel 1 holds 1, 3, 5, ..., channel 2 holds 10, 12, ...",
    )


def squeezed_back(data: Plain, seed: int) -> str | None:
    x = images(seed)
    (b, c), (h, w) = x.shape[:2], x.shape[2:]
    tensor(data, "squeezed", (b, 4 * c, h // 2, w // 2))  # or there is nothing to undo
    z = F.pixel_unshuffle(x, 2)
    parts = z.reshape(b, c, 2, 2, h // 2, w // 2)
    return explain(
        tensor(data, "back", (b, c, h, w)),
        x,
        {
            "A plain reshape in `unsqueeze` puts the channels one after the other. Each pixel goes back to "
            "its block.": z.reshape(x.shape),
            "`unsqueeze` swaps rows and columns within the block.": parts.permute(0, 1, 4, 3, 5, 2).reshape(
                x.shape
            ),
            "`unsqueeze` sews quarters together. Rows of different blocks should alternate.": parts.permute(
                0, 1, 2, 4, 3, 5
            ).reshape(x.shape),
            "`unsqueeze` takes the channels in the order (2i + j) C + c.": z.reshape(
                b, 2, 2, c, h // 2, w // 2
            )
            .permute(0, 3, 4, 1, 5, 2)
            .reshape(x.shape),
        },
        "unsqueeze(squeeze(x)) is not x. Undo the steps of your squeeze, the last one first.",
    )


# --- actnorm -----------------------------------------------------------------------------------------

CHANNELS = (0, 2, 3)  # the dimensions over which a channel's values run


def per_channel(t: Tensor) -> Tensor:
    return t[:, None, None]


def started(data: Plain, seed: int) -> str | None:
    x, _ = batches(seed)
    z = part(data, "first", 0, tuple(x.shape))
    mean, std = x.mean(CHANNELS), x.std(CHANNELS, correction=0)
    off, var = z.mean(CHANNELS), z.var(CHANNELS, correction=0)
    slope = ((x - per_channel(mean)) * z).mean(CHANNELS) / std.square()
    rest = z - per_channel(off) - per_channel(slope) * (x - per_channel(mean))
    if float(rest.abs().max()) > 1e-6:
        if close(z.mean(0), torch.zeros(3, 4, 2), atol=1e-4):
            return (
                "Every pixel has a scale and a shift of its own. A channel has one of each, for all pixels."
            )
        if close(z.mean((2, 3)), torch.zeros(6, 3), atol=1e-4):
            return "Every image is normalised by itself. The batch counts as a whole."
        return "z should be e^s x + b with one s and one b for all values of a channel."
    if (
        float(off.abs().max()) < 1e-3 and float((var - 1).abs().max()) < 1.5 / 48
    ):  # either divisor, N or N - 1
        return None
    for hint, factor in (
        ("The layer does not start: z is x. Where is `started` asked for?", torch.ones(3)),
        ("You divide by the variance. Divide by the standard deviation.", 1 / std.square()),
        ("You multiply by the standard deviation. Divide by it.", std),
        (
            "You divide by the spread of all channels together. Each channel has its own.",
            1 / x.std().expand(3),
        ),
    ):
        if close(slope, factor, rtol=0.02):
            return hint
    if close(slope, 1 / std, rtol=0.02) and close(off, mean / std - mean, rtol=1e-3):
        return "The shift comes after the scaling, so it must be scaled too: b = -e^s mean."
    return "The first batch should leave with mean 0 and variance 1 in each channel."


def has_started(data: Plain, seed: int) -> None:
    """Trouble where the layer leaves its first batch as it is."""
    x, _ = batches(seed)
    if close(part(data, "first", 0, tuple(x.shape)), x):
        raise Trouble("The layer leaves its first batch as it is, so this says nothing yet.")


def only_once(data: Plain, seed: int) -> str | None:
    has_started(data, seed)
    shape = tuple(batches(seed)[0].shape)
    first, second = part(data, "first", 0, shape), part(data, "second", 0, shape)
    if close(first[0], second[0]):
        return None
    if close(second.mean(CHANNELS), torch.zeros(3), atol=1e-3):
        return (
            "The second batch is normalised by its own statistics: an image's density would depend on the "
            "other images. Remember that the layer has started."
        )
    return "An image that is in both batches should leave alike both times: s and b stay as they are."


def actnorm_logdet(data: Plain, seed: int) -> str | None:
    _, x = batches(seed)
    z = part(data, "second", 0, tuple(x.shape))
    got = part(data, "second", 1, (6,), EACH, dtype=ANY_FLOAT)
    has_started(data, seed)
    log_scales = ((z[1] - z[2]) / (x[1] - x[2])).abs().log()  # of each entry, from the answer's own map
    right = log_scales.sum().expand(6)
    return explain(
        got,
        right,
        {
            "This counts each channel once. It is scaled at each of its H W pixels.": right / 8,
            "The sign of the log-determinant is wrong: where z is narrower than x it is negative.": -right,
            "The sign is wrong, and each channel counts once only. It is scaled at each of its H W pixels.": (
                -right / 8
            ),
            "This is the log-determinant of the whole batch. Each image has its own.": 6 * right,
            "This is the mean over the entries. It is the sum.": right / 24,
            "These are the scales. Add up their logarithms.": log_scales.exp().sum().expand(6),
        },
        "Not the log-determinant of your map: every entry is scaled by e^s of its channel.",
        rtol=1e-5,
        atol=1e-6,
    )


# --- conv --------------------------------------------------------------------------------------------


def weights(seed: int) -> dict[str, Tensor]:
    """W, and what mistakes make of it; (3, 3) each."""
    p, low, up, d = factors(seed, 3)
    eye = torch.eye(3, dtype=torch.float64)
    lower, upper = eye + low, up + torch.diag(d.exp())
    return {
        "right": p @ lower @ upper,
        "transposed": (p @ lower @ upper).T,
        "no identity": p @ low @ upper,
        "no exp": p @ lower @ (up + torch.diag(d)),
        "P last": lower @ upper @ p,
        "P within": lower @ p @ upper,
        "P turned": p.T @ lower @ upper,
        "U first": p @ upper @ lower,
    }


def apply(weight: Tensor, x: Tensor) -> Tensor:
    return (weight @ x.flatten(2)).reshape(x.shape)


def conv_points(data: Plain, seed: int) -> str | None:
    x, w = pixels(seed), weights(seed)
    return explain(
        part(data, "forward", 0, tuple(x.shape)),
        apply(w["right"], x),
        {
            "The matrix is transposed: z_d is the sum over c of W_dc x_c.": apply(w["transposed"], x),
            "The ones on the diagonal of the lower factor are missing: it is I + L.": apply(
                w["no identity"], x
            ),
            "The diagonal is d. It is e^d, which is never zero.": apply(w["no exp"], x),
            "P comes last in the product here. It comes first: W = P (I + L) (U + diag e^d).": apply(
                w["P last"], x
            ),
            "P stands between the triangles here. It comes first.": apply(w["P within"], x),
            "This is the transpose of P.": apply(w["P turned"], x),
            "The triangles are in the wrong order: the lower one comes first in the product.": apply(
                w["U first"], x
            ),
        },
        "Not W x. Make W by three matrix products, and multiply every pixel's channels by it.",
    )


def by_basis(data: Plain, key: str) -> Tensor:
    """log |det| of a linear map's own matrix, from what it makes of the basis."""
    out = part(data, key, 0, (13, 3, 2, 2)).flatten(1)
    return torch.linalg.slogdet(out[1:] - out[0]).logabsdet


def stretches(data: Plain) -> None:
    """Trouble where the forward map changes no volume, as the identity: there every inverse looks right."""
    if abs(float(by_basis(data, "basis"))) < 1e-6:
        raise Trouble("Your forward map changes no volume, so this says nothing yet. Is e^d in it?")


def conv_logdet(data: Plain, seed: int) -> str | None:
    *_, d = factors(seed, 3)
    got, right = part(data, "forward", 1, (4,), EACH), 4 * d.sum().expand(4)
    stretches(data)
    # Right for the map that was asked for, or for the map that z shows.
    if close(got, right) or close(got, by_basis(data, "basis").expand(4), rtol=1e-6, atol=1e-6):
        return None
    return explain(
        got,
        right,
        {
            "This is log |det W|. W acts at each of the H W pixels, so the image is mapped by a matrix with "
            "H W such blocks.": right / 4,
            "The diagonal holds e^d, and its logarithm is d: no exp is left.": 4 * d.exp().sum().expand(4),
            "The sign of the log-determinant is wrong.": -right,
            "This is the log-determinant of the whole batch. Each image has its own.": 4 * right,
            "This counts the channels as well as the pixels: d is summed over the channels already.": (
                3 * right
            ),
        },
        "Not the log-determinant of your z. A triangular matrix has its diagonal's product as determinant.",
    )


def conv_back(data: Plain, seed: int) -> str | None:
    stretches(data)
    x, w = pixels(seed), weights(seed)["right"]
    z = apply(w, x)
    p, low, up, d = factors(seed, 3)
    lower, upper = torch.eye(3, dtype=torch.float64) + low, up + torch.diag(d.exp())
    inv = torch.linalg.inv
    return explain(
        part(data, "back", 0, tuple(x.shape)),
        x,
        {
            "This is Wᵀ z. The transpose is the inverse of a rotation only.": apply(w.T, z),
            "The factors come off in the wrong order. W = P (I + L) (U + diag e^d): P is the outermost, so "
            "Pᵀ comes first.": apply(p.T @ inv(lower) @ inv(upper), z),
            "The permutation is applied once more, not undone: its inverse is Pᵀ.": apply(
                inv(upper) @ inv(lower) @ p, z
            ),
            "The permutation is left in.": apply(inv(upper) @ inv(lower), z),
            "The triangles come off in the wrong order: the lower one first, then the upper.": apply(
                inv(lower) @ inv(upper) @ p.T, z
            ),
            "The lower factor is left in.": apply(inv(upper) @ p.T, z),
            "The diagonal of the upper factor is e^d; you solve with ones.": apply(
                inv(up + torch.eye(3, dtype=torch.float64)) @ inv(lower) @ p.T, z
            ),
        },
        "The inverse of your z is not x. Undo the three factors one after the other, the outermost first.",
        rtol=1e-6,
        atol=1e-7,
    )


def conv_back_logdet(data: Plain, seed: int) -> str | None:
    *_, d = factors(seed, 3)
    got, right = part(data, "inverse", 1, (4,), EACH), -4 * d.sum().expand(4)
    stretches(data)
    if close(got, right) or close(got, by_basis(data, "inverse basis").expand(4), rtol=1e-6, atol=1e-6):
        return None
    return explain(
        got,
        right,
        {
            "This is the forward map's log-determinant. Each direction returns its own.": -right,
            "The inverse acts at each of the H W pixels too.": right / 4,
            "The log-determinant of the inverse is not 0.": torch.zeros(4),
        },
        "Not the log-determinant of the inverse: it is minus the forward one.",
    )


# --- multiscale_log_prob ---------------------------------------------------------------------------------

ENTRIES = math.prod(SHAPE[1:])


def asked(data: Plain, key: str, shape: tuple[int, ...] = SHAPE) -> Tensor:
    """What the answer gave to the first flow, or Trouble."""
    value = returned(data, key)
    items, name = value.get("items"), value["name"]
    if not isinstance(items, list) or len(items) != 1:
        how = "never calls" if items == [] else "calls more than once"
        raise Trouble(f"`{name}` {how} the first flow. Run each flow once, on the whole batch.")
    alone = {"kind": "returned", "name": "the first flow's input", "value": items[0]}
    return tensor({key: alone}, key, shape, dtype=ANY_FLOAT)


def log_normal(h: Tensor) -> Tensor:
    return Normal(torch.zeros((), dtype=torch.float64), 1.0).log_prob(h).flatten(1).sum(1)


def pieces(h: Tensor, flows: Sequence[Map]) -> tuple[Tensor, Tensor]:
    """Log-density of what stays to the end, with all log-determinants, and of what leaves before: (B,)."""
    stays, leaves = torch.zeros(len(h)).double(), torch.zeros(len(h)).double()
    for i, flow in enumerate(flows):
        h, logdet = flow(h)
        stays = stays + logdet
        if i + 1 < len(flows):
            out, h = h.chunk(2, dim=1)
            leaves = leaves + log_normal(out)
    return stays + log_normal(h), leaves


def total_nats(data: Plain, key: str) -> Tensor:
    """The log-probability (B,) in nats that the answer returns."""
    return tensor(data, key, (SHAPE[0],), meaning=EACH, dtype=ANY_FLOAT)


def untouched(data: Plain, seed: int) -> None:
    """Raise NotDone where all three mistakes are still there."""
    h = asked(data, "noise")
    if float((h * LEVELS - grey(seed, LEVELS, SHAPE)).max()) < 0.51:
        gap = (total_nats(data, "two") - pieces(h, scales(seed, SHAPE, 2))[0]).abs().max()
        if float(gap) < 1e-3:
            raise NotDone("Not done yet: this still returns what the code that you were given returns.")


def whole_noise(data: Plain, seed: int) -> str | None:
    untouched(data, seed)
    h = asked(data, "noise")
    u = h * LEVELS - grey(seed, LEVELS, SHAPE)
    near = 1e-4
    if float(u.abs().max()) < near:
        return "There is no noise any more. Without it the figure is no bound."
    if float((h * (LEVELS - 1) - grey(seed, LEVELS, SHAPE) - 0.5).abs().max()) < 0.5 + near:
        return "The scaling by 1 / L was right: there are L cells in [0, 1)."
    if float(u.max() - u.min()) < 0.51:
        return "The noise fills half of each cell only. A density could hide in that half."
    if float(u.min()) < -near or float(u.max()) > 1 + near:
        return "The noise leaves [0, 1): such a pixel belongs to another grey level."
    if close(u, asked(data, "other noise") * LEVELS - grey(seed, LEVELS, SHAPE), atol=near):
        return "Every generator seed gives the same noise."
    spread = u.flatten().sort().values - torch.linspace(0, 1, u.numel(), dtype=torch.float64)
    if float(spread.abs().max()) > 2.5 / math.sqrt(u.numel()):  # Kolmogorov-Smirnov, 1 in 100,000
        return "The noise is not uniform on [0, 1)."
    return None


def leaving(data: Plain, seed: int) -> float:
    """How often the answer counts the log-density of what leaves: once is right."""
    h = asked(data, "noise")
    before, after = (pieces(h, scales(seed, SHAPE, 2, shift)) for shift in (0.0, SHIFT))
    change = total_nats(data, "shifted") - total_nats(data, "two")
    return float(change.mean() / (after[1] - before[1]).mean())


def leaves_count(data: Plain, seed: int) -> str | None:
    untouched(data, seed)
    return explain(
        leaving(data, seed),
        1.0,
        {
            "The channels that leave after the first scale cost nothing here: half of the latents are free. "
            "Their density under the base counts like that of the rest.": 0.0,
            "The channels that leave are counted twice.": 2.0,
            "The sign of the finished channels' log-density is wrong.": -1.0,
            "The unit changed, to bits per dimension: the result was and should be in nats for each image.": (
                -1 / (ENTRIES * math.log(2))
            ),
        },
        "The log-density of what leaves after the first scale should count once.",
        rtol=1e-3,
        atol=1e-3,
    )


def scaling_counts(data: Plain, seed: int) -> str | None:
    untouched(data, seed)
    stays, leaves = pieces(asked(data, "noise"), scales(seed, SHAPE, 2))
    rest = (total_nats(data, "two") - stays - leaving(data, seed) * leaves).mean()
    right = -ENTRIES * math.log(LEVELS)
    return explain(
        rest,
        right,
        {
            "Dividing by L is a layer too. Its log-determinant is missing.": 0.0,
            "The log-determinant of the scaling has the wrong sign: a map that shrinks has a negative one.": (
                -right
            ),
            "The scaling acts on each of the D entries; here it counts once.": right / ENTRIES,
            "The scaling counts for the entries that are left after the split only.": right / 2,
            "The scaling is counted once for each scale. The pixels are scaled once.": 2 * right,
            "This has the scaling in bits among nats.": right / math.log(2),
        },
        "The log-determinant of the scaling, h = (x + u) / L, is not in.",
        rtol=1e-4,
        atol=1e-3,
    )


def free(data: Plain, seed: int) -> str | None:
    got = torch.tensor([number(data, "free 8"), number(data, "free 256")], dtype=torch.float64)
    return explain(
        got,
        torch.tensor([3.0, 8.0]),
        {
            "That is in nats. It should be in bits: log2.": torch.tensor([8.0, 256.0]).double().log(),
            "The sign is the wrong way round: how much does the mistake take off?": torch.tensor(
                [-3.0, -8.0]
            ),
            "One bit is what noise on half of each cell can save, if the model makes use of it. Another "
            "mistake saves the same whatever the model.": torch.ones(2),
            "That is the number of levels. Its logarithm counts.": torch.tensor([8.0, 256.0]),
        },
        "Which of the three mistakes leaves out a constant? Divide it by D log 2.",
    )


# --- temperature -------------------------------------------------------------------------------------


def latents(data: Plain, key: str) -> Tensor:
    """The latents that the answer gave to `inverse`, (COUNT, DIMS); or Trouble."""
    value = returned(data, key)
    items, name = value.get("items"), value["name"]
    if not isinstance(items, list) or len(items) != 1:
        how = "never calls" if items == [] else "calls more than once"
        raise Trouble(f"`{name}` {how} `inverse`. Call it once, with all latents.")
    alone = {"kind": "returned", "name": "the argument of inverse", "value": items[0]}
    return tensor({key: alone}, key, (COUNT, DIMS), dtype=ANY_FLOAT)


def spread(data: Plain, seed: int) -> str | None:
    z = latents(data, "z")
    near = 5 / math.sqrt(2 * z.numel())  # five standard errors of a standard deviation
    std = float(z.std())
    for hint, value in (
        ("The temperature multiplies the variance here. T is a standard deviation.", math.sqrt(0.5)),
        ("The temperature is squared. T is a standard deviation itself.", 0.25),
        ("The latents that go into `inverse` have spread 1: T does not count there.", 1.0),
        ("The latents are divided by T.", 2.0),
        ("The noise is uniform. `torch.randn`, not `torch.rand`.", 0.5 / math.sqrt(12)),
    ):
        if abs(std / value - 1) < near:
            return hint
    if abs(std / 0.5 - 1) > near or abs(float(z.mean())) > near:
        return f"At T = 0.5 the latents should have mean 0 and standard deviation 0.5; yours have {std:.3f}."
    if bool((z.std(0) / 0.5 - 1).abs().max() > 5 / math.sqrt(2 * COUNT)):
        return "Every dimension of every latent should have noise of its own."
    return None


def through_inverse(data: Plain, seed: int) -> str | None:
    z = latents(data, "z")
    got = tensor(data, "x", (COUNT, DIMS), dtype=ANY_FLOAT)
    return explain(
        got,
        bend(z),
        {
            "The samples x are multiplied by T after the flow. The temperature belongs to z.": 0.5 * bend(z),
            "These are latents. The samples are what `inverse` makes of them.": z,
        },
        "The samples should be what `inverse` returns for your latents, as it is.",
        rtol=1e-5,
        atol=1e-5,
    )


@cache
def divergences(t: float) -> dict[str, float]:
    """Per dimension, by quadrature: KLs between N(0, T²) and N(0, 1), and means of log N(z; 0, 1)."""
    z = torch.linspace(-16, 16, 32_001, dtype=torch.float64)
    zero = torch.zeros((), dtype=torch.float64)
    cold, warm = Normal(zero, t).log_prob(z), Normal(zero, 1.0).log_prob(z)

    def mean(under: Tensor, values: Tensor) -> float:
        return float(torch.trapezoid(under.exp() * values, z))

    return {
        "kl": mean(cold, cold - warm),
        "backwards": mean(warm, warm - cold),
        "gain": mean(cold, warm) - mean(warm, warm),
        "own": mean(cold, cold) - mean(warm, warm),
    }


def at_temperatures(data: Plain, key: str) -> Tensor:
    return torch.tensor([number(data, f"{key} {t}") for t in TEMPERATURES], dtype=torch.float64)


def of_temperatures(f: Callable[[float], float]) -> Tensor:
    return torch.tensor([f(t) for t in TEMPERATURES], dtype=torch.float64)


def kl(data: Plain, seed: int) -> str | None:
    if abs(number(data, "kl at 1")) > 1e-9:
        return "At T = 1 the samples are the model's own: the KL is 0."
    right = of_temperatures(lambda t: 5 * divergences(t)["kl"])
    return explain(
        at_temperatures(data, "kl"),
        right,
        {
            "This is KL(p_1 || p_T). The samples come first.": of_temperatures(
                lambda t: 5 * divergences(t)["backwards"]
            ),
            "T is a standard deviation; you use it as a variance.": of_temperatures(
                lambda t: 5 * divergences(math.sqrt(t))["kl"]
            ),
            "This is the KL of one dimension. Those of all dimensions add up.": right / 5,
            "This is twice what it should be. Where is the ½?": 2 * right,
            "The sign is the wrong way round: a KL is never negative.": -right,
            "This is the change of entropy only. Where p_T has its samples p_1 has another density, too.": (
                of_temperatures(lambda t: 5 * divergences(t)["own"])
            ),
            "This is what the log-density of p_1 changes. The entropy of p_T changes too.": of_temperatures(
                lambda t: -5 * divergences(t)["gain"]
            ),
            "The logarithm counts half of what it should: log T² = 2 log T.": right
            + of_temperatures(lambda t: 2.5 * math.log(t)),
        },
        "Not the KL. The same map makes both distributions, so its Jacobian cancels. For D = 1, T = 0.5 it "
        "is 0.3181.",
    )


def gain(data: Plain, seed: int) -> str | None:
    right = of_temperatures(lambda t: 5 * divergences(t)["gain"])
    if abs(number(data, "gain at 1")) > 1e-9:
        return "Between T = 1 and T = 1 nothing is gained."
    return explain(
        at_temperatures(data, "gain"),
        right,
        {
            "This scores the samples by p_T, their own density. The model is p_1.": of_temperatures(
                lambda t: 5 * divergences(t)["own"]
            ),
            "T is a standard deviation; you use it as a variance.": of_temperatures(lambda t: 2.5 * (1 - t)),
            "The sign is the wrong way round: cold samples lie nearer to the mode.": -right,
            "This is the gain of one dimension. Those of all dimensions add up.": right / 5,
            "This is twice what it should be. Where is the ½?": 2 * right,
            "This is the KL, which measures something else.": of_temperatures(
                lambda t: 5 * divergences(t)["kl"]
            ),
        },
        "Not the gain. With a constant log-determinant only E[z²] counts: what is it at temperature T?",
    )


# --- sound -------------------------------------------------------------------------------------------


def verdict(data: Plain, key: str) -> bool:
    value = returned(data, key)
    if value.get("type") == "tensor" and value.get("dtype") == "bool" and value.get("values") in ([0], [1]):
        return bool(value["values"][0])
    if value.get("type") != "flag" or not isinstance(value.get("value"), bool):
        raise Trouble(f"`{value['name']}` should return True or False.")
    return bool(value["value"])


RIGHT = {
    "right: identity": "The identity is a flow like any other, with log-determinants of 0. Yours rejects it.",
    "right: coupling": (
        "A right affine coupling is rejected. Rounding is about 1e-15 times the numbers that occur: compare "
        "with a tolerance, as `torch.allclose` does."
    ),
    "right: two couplings": "A right flow of two couplings is rejected.",
    "right: reflection": (
        "A reflection is rejected: its determinant is negative, and log |det| is what counts. "
        "`torch.linalg.slogdet` returns sign and logarithm apart."
    ),
    "right: linear": "A right linear map is rejected.",
    "right: stretched": "A right map that is steep and no coupling, sinh(a x) entry by entry, is rejected.",
}
GETS_THROUGH = {
    "inverse: e^s": "This gets through: an inverse that multiplies by e^s instead of e^-s.",
    "inverse: order": "This gets through: an inverse that scales back before it shifts back.",
    "inverse: half": "This gets through: an inverse whose network reads the half that was changed.",
    "logdet: signs": (
        "This gets through: both log-determinants with the wrong sign. They cancel; compare one of them with "
        "something that is not the flow's own claim."
    ),
    "logdet: means": "This gets through: both log-determinants a mean over the entries instead of a sum.",
    "logdet: last": "This gets through: two couplings of which only one adds its log-determinant.",
    "logdet: small": (
        "This gets through: a scale of e^s + 0.001 with s for its logarithm. Can your tolerance be tighter?"
    ),
    "back: forward's": "This gets through: an inverse that returns the forward map's log-determinant.",
    "back: zero": "This gets through: an inverse that returns zeros for its log-determinant.",
}


def right_pass(data: Plain, seed: int) -> str | None:
    if not any([verdict(data, key) for key in RIGHT]):
        return "Every flow is rejected, the right ones too."
    for key, hint in RIGHT.items():
        if not verdict(data, key):
            return hint
    if all([verdict(data, key) for key in GETS_THROUGH]):
        raise Trouble("Everything gets through, broken or not. What could an inverse have wrong?")
    return None


def caught(data: Plain, kind: str) -> str | None:
    for key in RIGHT:
        if not verdict(data, key):
            return "While right flows are rejected, a rejection says nothing."
    faults = {key: hint for key, hint in GETS_THROUGH.items() if key.startswith(kind)}
    blind = [key for key in GETS_THROUGH if not key.startswith("inverse")]
    if kind != "inverse" and all([verdict(data, key) for key in blind]):
        return "No log-determinant is looked at, it seems: whatever is wrong with them gets through."
    if all([verdict(data, key) for key in faults]):
        return {
            "inverse": "No wrong inverse is found out. Is yours tried at points where s and t are not zero?",
            "logdet": (
                "No wrong log-determinant is found out. Compare it with log |det| of the Jacobian, by "
                "autograd, and not with the inverse's."
            ),
            "back": "The log-determinant that `inverse` returns is never looked at.",
        }[kind]
    for key, hint in faults.items():
        if verdict(data, key):
            return hint
    return None


def inverse_caught(data: Plain, seed: int) -> str | None:
    return caught(data, "inverse")


def logdet_caught(data: Plain, seed: int) -> str | None:
    return caught(data, "logdet")


def back_caught(data: Plain, seed: int) -> str | None:
    return caught(data, "back")


TASKS = [
    Task(
        "squeeze",
        "Checkerboards and squeezes",
        "implement",
        5,
        PROBES["squeeze"],
        (
            Criterion("the checkerboard", 1, board),
            Criterion("every entry of the squeeze", 2, entries),
            Criterion("unsqueeze undoes your squeeze", 1, squeezed_back),
        ),
        (
            "`torch.arange(height)[:, None] + torch.arange(width)` has the shape (H, W).",
            "Give the blocks dimensions of their own: `x.reshape(b, c, h // 2, 2, w // 2, 2)`. Which of them "
            "are i and j, and where must they go before you join dimensions?",
            "`.permute(0, 1, 3, 5, 2, 4)` brings it to (B, C, i, j, H/2, W/2); then join C, i and j. To go "
            "back, `.permute(0, 1, 4, 2, 5, 3)`.",
        ),
        (
            "torch.nn.functional.pixel_unshuffle",
            "torch.nn.functional.pixel_shuffle",
            "torch.pixel_unshuffle",
            "torch.pixel_shuffle",
            "torch.nn.PixelUnshuffle",
            "torch.nn.PixelShuffle",
        ),
        "2 Squeeze",
    ),
    Task(
        "actnorm",
        "ActNorm starts once",
        "implement",
        5,
        PROBES["actnorm"],
        (
            Criterion("the first batch: one scale and shift a channel, mean 0, variance 1", 2, started),
            Criterion("later batches change nothing", 1, only_once),
            Criterion("the log-determinant of your map", 1, actnorm_logdet),
        ),
        (
            "Over which dimensions do the values of a channel run? `x.mean(dim=(0, 2, 3))` has shape (C,).",
            "s = -log std and b = -mean / std, kept in `self`; `self.started` says whether that is done.",
            "`s[:, None, None]` has the shape (C, 1, 1), which fits an image. The log-determinant is H W "
            "times the sum of s, the same for every image.",
        ),
        (
            "torch.nn.BatchNorm2d",
            "torch.nn.InstanceNorm2d",
            "torch.nn.functional.batch_norm",
            "torch.nn.functional.instance_norm",
            "torch.batch_norm",
        ),
        "4 ActNorm",
    ),
    Task(
        "conv",
        "The 1x1 convolution by its factors",
        "implement",
        6,
        PROBES["conv"],
        (
            Criterion("the forward map", 1, conv_points),
            Criterion("the forward log-determinant", 1, conv_logdet),
            Criterion("the inverse undoes your forward map", 2, conv_back),
            Criterion("the inverse's own log-determinant", 1, conv_back_logdet),
        ),
        (
            '`torch.einsum("dc,bchw->bdhw", W, x)` multiplies the channels of every pixel by W.',
            "The determinant of a triangular matrix is the product of its diagonal, that of P is 1 or -1. "
            "How many pixels does W act on?",
            "Inverse: put the pixels side by side as columns (C, B H W); multiply by Pᵀ; solve with I + L "
            "(`upper=False, unitriangular=True`), then with U + diag e^d (`upper=True`); undo the reshape.",
        ),
        (
            "torch.linalg.inv",
            "torch.linalg.pinv",
            "torch.linalg.solve",
            "torch.linalg.det",
            "torch.linalg.slogdet",
            "torch.inverse",
            "torch.pinverse",
            "torch.det",
            "torch.slogdet",
            "torch.logdet",
        ),
        "5 The 1x1 convolution",
    ),
    Task(
        "multiscale_log_prob",
        "Find the bugs: bits that were never saved",
        "find the bug",
        6,
        PROBES["multiscale_log_prob"],
        (
            Criterion("the noise fills the cells", 1, whole_noise),
            Criterion("what leaves early counts", 2, leaves_count),
            Criterion("the scaling counts", 1, scaling_counts),
            Criterion("the bits that a mistake gives away", 1, free),
        ),
        (
            "Write log P(x) as a sum: base densities of everything that leaves or stays, log-determinants of "
            "every map on the way. Which of them are not in the code?",
            "Three places: the noise, the map x + u -> (x + u) / L, and the channels in `finished`.",
            "`u = torch.rand(...)` without the half; `nats` starts at -D log(levels), D entries; inside the "
            "`if`: `nats = nats + log_normal(finished)`.",
        ),
        ("torch.distributions",),
        "13 Break it: bits that were never saved",
    ),
    Task(
        "temperature",
        "What temperature does, whatever the flow",
        "derive",
        6,
        PROBES["temperature"],
        (
            Criterion("the latents have standard deviation T", 1, spread),
            Criterion("the samples are what the flow makes of them", 1, through_inverse),
            Criterion("the KL from the samples to the model", 2, kl),
            Criterion("the gain in log-likelihood", 1, gain),
        ),
        (
            "Both p_T and p_1 are made by the same map from latents. What becomes of its Jacobian in "
            "log p_T - log p_1?",
            "So the KL is that of the latents: D times KL(N(0, T²) || N(0, 1)).",
            "KL(N(0, T²) || N(0, 1)) = ½ (T² - 1 - log T²). For the gain: log p_1(x) is -½ |z|² plus a "
            "constant, and E[z²] = T².",
        ),
        ("torch.distributions",),
        "8 Temperature",
    ),
    Task(
        "sound",
        "Design a test that no broken flow passes",
        "design",
        6,
        PROBES["sound"],
        (
            Criterion("right flows pass", 1, right_pass),
            Criterion("wrong inverses are found out", 1, inverse_caught),
            Criterion("wrong log-determinants are found out", 2, logdet_caught),
            Criterion("wrong log-determinants of the inverse are found out", 1, back_caught),
        ),
        (
            "Four comparisons: inverse(forward(x)) with x; the log-determinant with the Jacobian's; the "
            "inverse's with minus that; a row alone with the same row in the batch.",
            "`torch.autograd.functional.jacobian(f, row)` is the (D, D) Jacobian of f at one point, with "
            "`f = lambda v: flow.forward(v[None])[0][0]`; `torch.linalg.slogdet` takes its determinant.",
            "Draw a few points with `torch.randn(8, dims, generator=generator, dtype=torch.float64)`, and "
            "compare with `torch.allclose(a, b, atol=1e-6)`.",
        ),
        (),
        "10 How exactly it inverts",
    ),
]
