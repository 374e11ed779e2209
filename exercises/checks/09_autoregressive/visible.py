# Generated from solutions/ by `python -m coursekit.authoring.generate`; do not edit.
"""Visible checks of 09_autoregressive: known values and properties, with a hint for what went wrong."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from coursekit.exercises.judge import NotDone, close, entry, explain, returned, table, tensor, tensors
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion, Task

from .probes import (
    COLOUR_KERNELS,
    COUNT,
    DIMS,
    GREYS,
    IMAGES,
    KERNELS,
    KNOWN,
    LABELS,
    LEVELS,
    PIXELS,
    PROBES,
    ROWS,
    START,
    TEMPERATURES,
    TOKENS,
    bets_on_images,
    causal_logits,
    deaf,
    given_pixels,
    questions,
    told,
    uniform,
    whole,
)

# --- bits --------------------------------------------------------------------------------------------


def paid(logits: Tensor, x: Tensor) -> Tensor:
    """-log p of each pixel (B, D), in nats."""
    best = logits.amax(-1)
    norm = best + (logits - best[..., None]).exp().sum(-1).log()
    own = torch.stack([torch.where(x == k, logits[..., k], 0.0) for k in range(logits.shape[-1])]).sum(0)
    return (norm - own).reshape(len(x), -1)


def dims_of_bits(data: Plain, seed: int) -> str | None:
    logits, x = bets_on_images(seed)
    nats = paid(logits, x)
    right = nats.sum(1) / math.log(2) / nats.shape[1]
    crossed = torch.stack([logits[..., k] for k in range(LEVELS)], -1) - logits.logsumexp(1, keepdim=True)
    channels = -torch.stack([torch.where(x == k, crossed[..., k], 0.0) for k in range(LEVELS)]).sum(0)
    later = paid(logits.reshape(len(x), -1, LEVELS)[:, :-1], x.reshape(len(x), -1)[:, 1:])
    return explain(
        tensor(data, "usual bits", IMAGES[:1], meaning="one number per image"),
        right,
        {
            "These are nats. A bit is log 2 of a nat.": right * math.log(2),
            "Nats become bits when they are divided by log 2, and you multiply.": right * math.log(2) ** 2,
            "These are the bits of the whole image. Per dimension is a mean.": nats.sum(1) / math.log(2),
            "The sign: bits are paid, so they are positive.": -right,
            "The logarithm has the base L, so a gambler who knows nothing pays 1. Bits have the base 2.": (
                nats.mean(1) / math.log(LEVELS)
            ),
            "The softmax runs over the channels. The levels are in the last dimension.": (
                channels.reshape(len(x), -1).mean(1) / math.log(2)
            ),
            "The logits are compared with the next pixel. Here they stand at their own pixel already.": (
                later.mean(1) / math.log(2)
            ),
            "The logits are compared with the next pixel, and one pixel is missing in the sum.": (
                later.sum(1) / math.log(2) / nats.shape[1]
            ),
            "This is the logarithm of a mean of probabilities. An image has the product of its pixels'.": (
                -(-nats).exp().mean(1).log2()
            ),
            "You divide by H W. Each channel is a dimension, too.": right * IMAGES[1],
            "The logits are used as they are. They become log-probabilities by a log-softmax.": (
                (paid(logits, x) - logits.logsumexp(-1).reshape(len(x), -1)).mean(1) / math.log(2)
            ),
        },
        "Not the bits: -log2 of the probability of the level that is there, averaged over C, H and W.",
    )


def digits_of_code(data: Plain, seed: int) -> str | None:
    each = paid(*bets_on_images(seed)) / math.log(2)
    total = each.sum(1)
    wrong = explain(
        tensor(data, "usual length", IMAGES[:1], meaning="one number per image", dtype=None),
        total.ceil() + 1,
        {
            "One digit is missing: the digits must name an interval in the piece, no point.": total.ceil(),
            "Each pixel is rounded up on its own. Arithmetic coding rounds once, at the end.": (
                each.ceil().sum(1) + 1
            ),
            "Each pixel is rounded up and gets a spare digit. An image is one message.": (
                (each.ceil() + 1).sum(1)
            ),
            "Each pixel is rounded up, as by a code with whole digits for each symbol.": each.ceil().sum(1),
            "One digit too many.": total.ceil() + 2,
            "This is not whole: a file has no part of a digit.": total + 1,
            "Whole, but not rounded: the exact number of bits is no number of digits.": total,
            "This is the code of one dimension. The image has C H W of them.": each.mean(1).ceil() + 1,
            "The logarithm is natural. Binary digits count in bits.": (total * math.log(2)).ceil() + 1,
        },
        "Not the length: -log2 p(x), rounded up, and one more.",
    )
    kind = returned(data, "usual length")["dtype"]
    if wrong or kind == "int64":
        return wrong
    return f"The numbers are right, but {kind}. Digits are counted in int64: `.long()`."


# --- mask --------------------------------------------------------------------------------------------


def seen(kind: str, rows: int, columns: int) -> Tensor:
    """The mask, entry by entry."""
    r, c = rows // 2, columns // 2
    entries = [
        [float(i < r or (i == r and j < c) or (kind == "B" and (i, j) == (r, c))) for j in range(columns)]
        for i in range(rows)
    ]
    return torch.tensor(entries, dtype=torch.float64)


def judged_mask(data: Plain, kind: str) -> str | None:
    rows, columns = KERNELS[0]
    right, other = seen(kind, rows, columns), seen("AB"["BA".index(kind)], rows, columns)
    r, c = rows // 2, columns // 2
    above, left, corner = (torch.zeros_like(right) for _ in range(3))
    above[:r] = 1
    left[r, :c] = 1
    corner[: r + 1, : c + 1] = 1
    corner[r, c] = right[r, c]
    own = torch.zeros_like(right)
    own[r, c] = right[r, c]
    plus = above + left
    plus[r, c + 1] = 1
    return explain(
        tensor(data, f"{kind} {rows}x{columns}", (rows, columns), dtype=None),
        right,
        {
            {
                "A": "This is kind B: the pixel at the centre would see itself. In a first layer it may not.",
                "B": "This is kind A. In later layers the centre is a feature of earlier pixels: allowed.",
            }[kind]: other,
            f"Kind {kind} goes down the columns. In raster order the rows come first.": right.T,
            f"Kind {kind} has the later half: cross-correlation does not turn the kernel round.": (
                right.flip(0, 1)
            ),
            f"Kind {kind} sees the rows above only. The own row, to the left, comes before as well.": (
                above + own
            ),
            f"Kind {kind} sees the upper left corner only. Above on the right comes before, too.": corner,
            f"Kind {kind} sees only the own row.": left + own,
            f"Kind {kind} reads one entry too far: the right neighbour is drawn later.": (
                plus + (1 if kind == "B" else 0) * own
            ),
            f"Kind {kind} is the wrong way round: 1 where the kernel may look.": 1 - right,
        },
        f"Not the mask of kind {kind}: 1 for all entries before the centre in raster order"
        + ("." if kind == "A" else ", and at the centre."),
    )


def kind_a(data: Plain, seed: int) -> str | None:
    return judged_mask(data, "A")


def kind_b(data: Plain, seed: int) -> str | None:
    return judged_mask(data, "B")


def in_colour(kind: str, rows: int, columns: int, colours: int) -> Tensor:
    """The colour mask, entry by entry."""
    result = seen("A", rows, columns).repeat(colours, colours, 1, 1)
    for pair in range(colours**2):
        o, i = divmod(pair, colours)
        result[o, i, rows // 2, columns // 2] = float(i < o or (i == o and kind == "B"))
    return result


def colours(data: Plain, seed: int) -> str | None:
    rows, columns, n = COLOUR_KERNELS[0]
    got = {
        kind: tensor(data, f"{kind} {rows}x{columns} in {n}", (n, n, rows, columns), dtype=None)
        for kind in "AB"
    }
    right = {kind: in_colour(kind, rows, columns, n) for kind in "AB"}
    both, want = torch.stack([got["A"], got["B"]]), torch.stack([right["A"], right["B"]])
    r, c = rows // 2, columns // 2

    def centre(a: Tensor, b: Tensor) -> Tensor:
        found = want.clone()
        found[0, :, :, r, c], found[1, :, :, r, c] = a, b
        return found

    ones = torch.ones(n, n, dtype=torch.float64)
    below, half = ones.tril(-1), ones.tril()
    cut = want * half[:, :, None, None]
    return explain(
        both,
        want,
        {
            "Input and output are swapped: red looks at blue, which is drawn later.": want.transpose(1, 2),
            "At the centre no colour sees another. Earlier colours of the same pixel are known.": centre(
                0 * ones, torch.eye(n, dtype=torch.float64)
            ),
            "At the centre kind B sees all colours, or none with kind A. Which of them are drawn before?": (
                centre(0 * ones, ones)
            ),
            "Kinds A and B are exchanged in colour.": centre(half, below),
            "Kind A sees its own colour at the centre.": centre(half, half),
            "Kind B does not see its own colour at the centre.": centre(below, below),
            "At earlier pixels all colours are known. The order among colours holds at the centre only.": cut,
            "The order of the colours is turned round: colour 0 is drawn first.": want.flip(1, 2),
        },
        "Not the masks: everything at earlier pixels; at the centre the colours before, for kind B the own.",
    )


# --- price -------------------------------------------------------------------------------------------

KEYS = ("whole", "two_back", "leak", "saved", "cached")


def coin(p: float) -> float:
    """Entropy in bits."""
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def guess(
    data: Plain, key: str, right: float, within: float, known: Mapping[str, float], otherwise: str
) -> str | None:
    got = entry(table(data, "prediction", KEYS), key)
    if abs(got - right) <= within:
        return None
    for hint, value in known.items():
        if abs(got - value) <= max(within, 0.005 * abs(value)):
            return hint
    return otherwise


def sees_all(data: Plain, seed: int) -> str | None:
    return guess(
        data,
        "whole",
        (1 + 63 * coin(0.9)) / 64,
        0.003,
        {
            "The first pixel has no neighbour to look at. It costs a whole bit.": coin(0.9),
            "That is in nats.": (1 + 63 * coin(0.9)) / 64 * math.log(2),
            "That is what a copy costs. One pixel in ten is none, and costs much more.": -math.log2(0.9),
            "That is the whole image. Divide by the number of pixels.": 1 + 63 * coin(0.9),
            "The neighbour tells something: each pixel alone is fair, but not given its neighbour.": 1.0,
        },
        "The mean of -log2 p over copies and changes, for 63 pixels; and the first.",
    )


def sees_two_back(data: Plain, seed: int) -> str | None:
    return guess(
        data,
        "two_back",
        (2 + 62 * coin(0.82)) / 64,
        0.003,
        {
            "Two changes cancel: the pixel two back is the same with probability 0.81 + 0.01.": (
                (2 + 62 * coin(0.81)) / 64
            ),
            "That is the price with all pixels in sight. This gambler does not see the neighbour.": (
                (1 + 63 * coin(0.9)) / 64
            ),
            "Two pixels have nobody to look at. They cost a bit each.": coin(0.82),
            "That is twice the entropy of a step. Two steps are less of a surprise than that.": 2 * coin(0.9),
            "That is in nats.": (2 + 62 * coin(0.82)) / 64 * math.log(2),
            "The pixel two back tells something. It is the same more often than not.": 1.0,
        },
        "With which probability are x_i and x_(i-2) the same?",
    )


def leaking(data: Plain, seed: int) -> str | None:
    return guess(
        data,
        "leak",
        1.98**8,
        2.0,
        {
            "It would be 1 for an honest model. This one gives 0.99^8 to each of 256 images.": 1.0,
            "It would be 256 if it gave 1 to all of them. It gives a little less, eight times.": 256.0,
            "Each image has eight factors of 0.99.": 256 * 0.99,
            "That is a sum over pixels. An image's probability is a product.": 8 * 1.98,
        },
        "How large is the product for one image, and how many images are there?",
    )


def one_message(data: Plain, seed: int) -> str | None:
    return guess(
        data,
        "saved",
        149.0,
        0.5,
        {
            "Nothing? Each code of its own is rounded up and has a digit to spare.": 0.0,
            "The long message has a digit to spare as well.": 150.0,
            "That is the spare digits alone. Each image of its own is rounded up, too.": 99.0,
            "That is a digit for each image. How much is lost by rounding 30.5 up?": 100.0,
            "That is the rounding alone. Each code has a digit to spare, too.": 50.0,
            "Two digits an image are the most that it could be. Count those of 30.5 bits.": 200.0,
        },
        "ceil(30.5) + 1 digits each, against ceil(3050) + 1.",
    )


def counted(data: Plain, seed: int) -> str | None:
    w, n = 64, 100
    tokens, pairs = 12 * w**2, 2 * w
    kept = sum(tokens + pairs * i for i in range(1, n + 1))
    return guess(
        data,
        "cached",
        n * (tokens * n + pairs * n**2) / kept,
        2.0,
        {
            "That counts the tokens. The pairs of positions cost something as well.": float(n),
            "That is the gain for the pairs alone, or a power of N too many.": float(n**2),
            "Without a cache all N tokens go through the network for every draw, drawn or not.": (
                sum(tokens * i + pairs * i**2 for i in range(1, n + 1)) / kept
            ),
            "That is upside down.": kept / (n * (tokens * n + pairs * n**2)),
        },
        "Equation (ar-cost), with N = 100 and w = 64.",
    )


# --- decoder -----------------------------------------------------------------------------------------


def as_given(data: Plain, seed: int) -> None:
    """Raise NotDone where all mistakes of the given code are still there."""
    q, k = questions(seed)
    late = (torch.einsum("id,jd->ij", q, k) / q.shape[1]).softmax(-1)
    late = late * (torch.arange(TOKENS)[:, None] + 1 >= torch.arange(TOKENS))
    x = whole(seed + 5, START, 4, TOKENS)
    if (
        close(tensor(data, "weights", (TOKENS, TOKENS), finite=False), late)
        and close(tensor(data, "log_p", (4,), finite=False), scored(x, x, seed).sum(1))
    ):  # fmt: skip
        raise NotDone("Not done yet: both functions still return what the code that you were given returns.")


def weights_of(data: Plain, seed: int) -> Tensor:
    as_given(data, seed)
    return tensor(data, "weights", (TOKENS, TOKENS), finite=False)


def scored(tokens: Tensor, x: Tensor, seed: int) -> Tensor:
    """log p (B, N) of the levels x where the network reads these tokens."""
    logits = causal_logits(tokens, seed)
    return -torch.stack([paid(a, b) for a, b in zip(logits, x, strict=True)]).squeeze(-1)


def scale(data: Plain, seed: int) -> str | None:
    q, k = questions(seed)
    last = weights_of(data, seed)[-1, :-1]  # of those before it, whatever the mask does
    if not bool((last > 0).all()):
        return "The last position may ask all those before it, and some of its weights are 0."
    scores = (q[-1] * k[:-1]).sum(1)
    d = q.shape[1]
    return explain(
        last.log() - last.log()[0],
        (scores - scores[0]) / math.sqrt(d),
        {
            "The scores are divided by d. Their standard deviation is the root of d.": (scores - scores[0])
            / d,
            "The scores are not divided at all. A sum of d products has variance d.": scores - scores[0],
            "The scores are divided by the root of the number of positions. d is the width.": (
                (scores - scores[0]) / math.sqrt(TOKENS)
            ),
            "The scores are multiplied by the root of d.": (scores - scores[0]) * math.sqrt(d),
            "Queries and keys are exchanged: row i belongs to the query of position i.": (
                ((q[:-1] - q[0]) @ k[-1]) / math.sqrt(d)
            ),
        },
        "The weights of the last position are not those of the scores over the root of d.",
    )


def who_answers(data: Plain, seed: int) -> str | None:
    weights = weights_of(data, seed)
    place = torch.arange(TOKENS)
    found = (weights != 0).double()  # NaN counts as an answer

    def band(diagonal: int) -> Tensor:
        return (place[:, None] + diagonal >= place).double()

    if bool(weights[0].isnan().all()) or close(found, band(-1)):
        return "Position i does not answer itself, and the first one has nobody to ask: NaN, or nothing."
    if close(found, band(0)):
        return None
    later = weights[0, 1:]
    if close(found, band(TOKENS)) and close(later, later[:1].expand(TOKENS - 1)):
        return "Later positions have the score 0, and e^0 is not 0. They need minus infinity."
    if close(found, band(TOKENS)):
        return "Every position asks all, the later ones as well. Where is the mask?"
    if close(found, band(0).T):
        return "The mask is turned round: every position asks itself and the later ones."
    if close(found, band(1)):
        return "One position too many answers: i + 1 comes after i. Look at the diagonal."
    return "The wrong positions answer: for i it should be those up to and including i."


def a_mean(data: Plain, seed: int) -> str | None:
    weights = weights_of(data, seed)
    rows = weights[1:].sum(1)  # the first row is empty where nobody may answer it
    if close(rows, torch.ones(TOKENS - 1)):
        return None
    if close(rows[-1], 1.0):
        return (
            "The weights of all rows but the last sum to less than one: the denominator has seen the later "
            "keys. Mask before the softmax."
        )
    columns = weights.nan_to_num().sum(0)
    if close(columns, torch.ones(TOKENS)):
        return "The softmax runs over the queries. For each query the weights of the keys sum to one."
    return "The weights of a position should sum to one."


def likelihood_of_tokens(data: Plain, seed: int) -> str | None:
    as_given(data, seed)
    x = whole(seed + 5, START, 4, TOKENS)
    first = torch.full((4, 1), START)
    tokens = torch.cat([first, x[:, :-1]], 1)
    right = scored(tokens, x, seed)
    unshifted = scored(x, x, seed)
    return explain(
        tensor(data, "log_p", (4,), meaning="one number per sequence"),
        right.sum(1),
        {
            "The tokens are not shifted: position i reads the pixel that it bets on.": unshifted.sum(1),
            "The last pixel stands in front, where the start token belongs.": (
                scored(x.roll(1, 1), x, seed).sum(1)
            ),
            "The first pixel is left out. With the start token in front it has a bet as well.": (
                scored(x, x.roll(-1, 1), seed)[:, :-1].sum(1)
            ),
            "The first pixel is left out of the sum.": right[:, 1:].sum(1),
            "The tokens are shifted the other way: the next pixel is shown.": (
                scored(torch.cat([x[:, 1:], first], 1), x, seed).sum(1)
            ),
            "This is the mean over positions. The logarithm of a product is the sum.": right.mean(1),
            "The sign: log p is negative.": -right.sum(1),
            "The start token is level 0. It has a number of its own, `start`.": (
                scored(torch.cat([0 * first, x[:, :-1]], 1), x, seed).sum(1)
            ),
        },
        "Not log p(x): what does the network read at position i, and whose logarithm is added?",
    )


# --- mixture -----------------------------------------------------------------------------------------


def joint(log_cond: Tensor, log_prior: Tensor) -> Tensor:
    """log p(k, x_1 .. x_i), (K, B, D + 1)."""
    parts = [log_prior[:, None].expand(log_cond.shape[:2])]
    for told_by in log_cond.unbind(2):
        parts.append(parts[-1] + told_by)
    return torch.stack(parts, dim=2)


def summed(data: Plain, seed: int) -> str | None:
    log_cond, log_prior = told(seed)
    prior, per_image = log_prior.exp()[:, None], log_cond.sum(2)
    right = joint(log_cond, log_prior)[:, :, -1].exp().sum(0).log()
    return explain(
        tensor(data, "short likelihood", (COUNT,), meaning="one number per image"),
        right,
        {
            "This is the average of the K log-likelihoods. Probabilities are averaged, not logarithms.": (
                (prior * per_image).sum(0)
            ),
            "The average of the K log-likelihoods, all labels alike. Average probabilities, by the prior.": (
                per_image.mean(0)
            ),
            "The sum over labels is inside the product: each pixel gets a new label. There is one for all.": (
                (prior[:, :, None] * log_cond.exp()).sum(0).log().sum(1)
            ),
            "The prior is left out: p(x | k) is summed over k without its weight.": per_image.exp()
            .sum(0)
            .log(),
            "All labels have the same weight here. Theirs is pi_k.": per_image.exp().mean(0).log(),
            "This is the best label alone. The others count as well.": (
                (per_image + log_prior[:, None]).max(0).values
            ),
            "The prior counts at each pixel. The label is drawn once.": (
                (log_cond + log_prior[:, None, None]).sum(2).exp().sum(0).log()
            ),
            "The sign: log p(x) is negative.": -right,
            "This is p(x), not its logarithm.": right.exp(),
            "The prior's logarithm is a factor here. Probabilities multiply, logarithms add.": (
                (per_image.exp() * log_prior[:, None]).sum(0).abs().log()
            ),
        },
        "Not log p(x): for each label, the prior times the product of all pixels; then the sum over labels.",
    )


def shares(log_p: Tensor, dim: int = 0) -> Tensor:
    p = log_p.exp()
    return (p / p.sum(dim, keepdim=True)).permute(1, 2, 0)


def believed(data: Plain, seed: int) -> str | None:
    log_cond, log_prior = told(seed)
    full = joint(log_cond, log_prior)
    flat = log_prior.reshape(-1, 1, 1)
    one = torch.cat([flat.expand(LABELS, COUNT, 1), log_cond + flat], dim=2)
    return explain(
        tensor(data, "short belief", (COUNT, DIMS + 1, LABELS), meaning="B, D + 1, K"),
        shares(full),
        {
            "Only the last pixel is weighed. The belief collects all of them, by a product.": shares(one),
            "The prior is left out. Before the first pixel the belief is pi.": shares(full - flat),
            "The prior is counted anew at each pixel. It enters once.": shares(
                joint(log_cond + flat, log_prior)
            ),
            "The belief is one pixel late: entry i should know x_1 .. x_i.": shares(
                torch.cat([full[:, :, :1], full[:, :, :-1]], 2)
            ),
            "These are the joint probabilities. Divide by their sum over the labels.": full.exp().permute(
                1, 2, 0
            ),
            "This is normalised over the images or pixels. It should sum to one over the labels.": shares(
                full, 2
            ),
            "This is the logarithm of the belief.": shares(full).log(),
            "The beliefs go from the last pixel to the first.": shares(full.flip(2)),
        },
        "Not the belief: pi_k times the product of the pixels so far, divided by the sum over k.",
    )


def bets_of_mixture(data: Plain, seed: int) -> str | None:
    log_cond, log_prior = told(seed)
    full = joint(log_cond, log_prior)
    weights = shares(full).permute(2, 0, 1)
    p = log_cond.exp()
    right = (weights[:, :, :-1] * p).sum(0).log()
    flat = log_prior.reshape(-1, 1, 1)
    return explain(
        tensor(data, "short bets", (COUNT, DIMS), meaning="one bet per pixel"),
        right,
        {
            "The weights are the prior's at every pixel. They should know the pixels before.": (
                (flat.exp() * p).sum(0).log()
            ),
            "The weights know the pixel itself: it votes on its own bet. Use the belief before it.": (
                (weights[:, :, 1:] * p).sum(0).log()
            ),
            "The belief averages logarithms. The mixture's bet is the mean of the probabilities.": (
                (weights[:, :, :-1] * log_cond).sum(0)
            ),
            "This is the bet of the most probable label alone.": log_cond.gather(
                0, weights[:, :, :-1].argmax(0, keepdim=True)
            )[0],
            "These are probabilities. Return their logarithms.": right.exp(),
            "All labels have the same weight at every pixel.": p.mean(0).log(),
            "This is log p of all pixels so far. The bet is the ratio of two neighbours.": (
                full[:, :, 1:].exp().sum(0).log()
            ),
        },
        "Not the bets: p(x_i | x_<i) is p(x_1 .. x_i) over p(x_1 .. x_(i-1)).",
    )


# --- complete ----------------------------------------------------------------------------------------


def drawn(data: Plain, key: str) -> Tensor:
    return tensor(data, key, (ROWS, PIXELS), meaning="all pixels", dtype="int64")


def chosen(cumulative: Tensor, u: Tensor) -> Tensor:
    """How many entries of the cumulative sums (B, D, L) lie at or below u (B, D)."""
    return torch.stack([(part <= u).double() for part in cumulative.unbind(-1)]).sum(0)


def in_turn(data: Plain, seed: int) -> str | None:
    x = drawn(data, "heard").double()
    asked = returned(data, "asked")["items"]
    places = [int(item["value"]) for item in asked]
    right = list(range(KNOWN, PIXELS))
    if places != right:
        if places == right[::-1]:
            return "The pixels are drawn from the last to the first. Logits of pixel i need those before it."
        if sorted(places) == list(range(PIXELS)):
            return "The known pixels are drawn as well. Begin with pixel `known`."
        if places == [i + 1 for i in right] or places == [i - 1 for i in right]:
            return "The index is off by one: for pixel i ask `logits_of(x, i)`."
        return (
            f"logits_of should be asked once for each of the pixels {right}, in this order; it is {places}."
        )
    pictures = tensors(data, "pictures", [(ROWS, PIXELS)] * len(right), dtype="int64")
    start = given_pixels(seed).double()
    for place, seen_then in zip(right, pictures, strict=True):
        if not close(seen_then[:, :place], x[:, :place]):
            if all(close(picture, start) for picture in pictures):
                return "All pixels are drawn from the image as it was given. Put each in before you ask on."
            return f"At pixel {place} the network does not see the pixels that you drew before it."
    return None


def inverse_cdf(data: Plain, seed: int) -> str | None:
    p = deaf(seed).softmax(-1)
    u = uniform(seed)
    up_to = torch.stack([p[..., : k + 1].sum(-1) for k in range(GREYS)], -1)
    right = chosen(up_to[..., :-1], u)
    got = drawn(data, "plain").double()
    if not close(got, drawn(data, "again").double()):
        return "Two calls with the same u differ. All randomness comes from `u`."
    first = u[:, :1].expand_as(u)
    return explain(
        got,
        right,
        {
            "The cumulative sum lacks the level itself: level 0 never comes, and 1 is too often drawn.": (
                chosen(up_to - p, u).clamp_max(GREYS - 1)
            ),
            "One level too low: count the F_k that are at most u.": (right - 1).clamp_min(0),
            "This takes the largest logit always. That is temperature 0.": p.argmax(-1).double(),
            "All pixels use the same u. Pixel i has its own, u[:, i].": chosen(up_to[..., :-1], first),
            "The levels are summed from the top down. F_k adds up from level 0.": (
                GREYS - 1 - chosen(p.flip(-1).cumsum(-1)[..., :-1], u)
            ),
            "Here u is cut into equal parts. The parts are as wide as the probabilities.": (
                u * GREYS
            ).floor(),
            "The pixels use their u in reverse.": chosen(up_to[..., :-1], u.flip(1)),
        },
        "Not the level that u picks: the smallest k with u < p_0 + ... + p_k.",
    )


def heat(data: Plain, seed: int) -> str | None:
    if not close(drawn(data, "plain").double(), drawn(data, "again").double()):
        return "Two calls with the same u differ, so temperatures cannot be compared."
    t = TEMPERATURES
    # By the answer's own draws: at temperature T those of logits / T at temperature 1.
    got, right, turned = (
        torch.stack([drawn(data, f"{name} {s}") for s in t]).double()
        for name in ("at", "divided", "multiplied")
    )
    p = deaf(seed).softmax(-1)
    thinned = torch.stack([chosen((p / s).cumsum(-1), uniform(seed)) for s in t])
    return explain(
        got,
        right,
        {
            "The temperature changes nothing. Dividing probabilities and normalising again does not.": (
                drawn(data, "plain").double().expand_as(got)
            ),
            "Hot and cold are exchanged: divide the logits by the temperature.": turned,
            "The probabilities are divided by the temperature. It belongs to the logits.": thinned,
            "The probabilities are divided by the temperature. It belongs to the logits, before softmax.": (
                thinned.clamp_max(GREYS - 1)
            ),
        },
        "At temperature T the draws should be those from the logits over T.",
    )


def kept(data: Plain, seed: int) -> str | None:
    got, start = drawn(data, "known").double()[:, :KNOWN], given_pixels(seed).double()[:, :KNOWN]
    if close(got, start):
        return None
    if close(got, 0 * got):
        return "The known pixels are lost: you start from zeros."
    return "The known pixels have changed."


TASKS = [
    Task(
        "bits",
        "Bits, and whole bits",
        "implement",
        5,
        PROBES["bits"],
        (
            Criterion("bits per dimension", 2, dims_of_bits),
            Criterion("the length of the code", 2, digits_of_code),
        ),
        (
            "`log_softmax` over the last dimension makes log-probabilities; `gather` with `x[..., None]` "
            "picks that of the level that is there.",
            "Bits per dimension: the mean over C, H and W, negative, over log 2. For the code you need the "
            "sum over the image, not the mean.",
            "The interval of the image is p(x) wide. How many digits are enough for any interval of that "
            "width? Equation (ar-code).",
        ),
        ("torch.nn.functional.cross_entropy", "torch.distributions"),
        "2 Derive: what you pay is the probability",
    ),
    Task(
        "mask",
        "A mask for any kernel, and for colours",
        "implement",
        5,
        PROBES["mask"],
        (
            Criterion("kind A", 1, kind_a),
            Criterion("kind B", 1, kind_b),
            Criterion("three colours", 2, colours),
        ),
        (
            "Number the kernel's entries in raster order. Which number has the centre?",
            "`torch.arange(rows * columns)` compared with the centre's number, reshaped.",
            "Colours: but for the centre, all pairs have kind A's mask. At the centre output o sees "
            "input i if i < o, for kind B also if i = o: a triangle.",
        ),
        (),
        "5 Derive: masked convolutions and their blind spot",
    ),
    Task(
        "price",
        "Predict, then run: what is paid",
        "predict",
        5,
        PROBES["price"],
        (
            Criterion("all pixels in sight", 1, sees_all),
            Criterion("one pixel, two back", 1, sees_two_back),
            Criterion("the sum of a leaking model", 1, leaking),
            Criterion("one message for all", 1, one_message),
            Criterion("with a cache", 1, counted),
        ),
        (
            "A coin that shows one side with probability p costs -p log2 p - (1 - p) log2 (1 - p) bits. Who "
            "has nothing to look at pays one bit here.",
            "Two steps: the same after two copies or two changes. The leak: all images get the same product.",
            "The code has the bits rounded up, and one digit more. The multiplications: equation (ar-cost).",
        ),
        (),
        "3 Derive: the price of not looking",
    ),
    Task(
        "decoder",
        "Find the bugs: a decoder that knows too much",
        "find the bug",
        6,
        PROBES["decoder"],
        (
            Criterion("the scale of the scores", 1, scale),
            Criterion("who may answer", 1, who_answers),
            Criterion("the weights sum to one", 1, a_mean),
            Criterion("the likelihood", 2, likelihood_of_tokens),
        ),
        (
            "Put an identity matrix in place of `v`: back come the weights. Print them, and the sum of "
            "each row.",
            "Three bugs in `attend`: the divisor of the scores, the place of the mask, and its diagonal.",
            "The fourth: at position i the network may read x_1 .. x_(i-1) only, and it reads its tokens up "
            "to position i.",
        ),
        ("torch.nn.functional.scaled_dot_product_attention",),
        "7 Derive: causal attention",
    ),
    Task(
        "mixture",
        "A label that nobody tells",
        "derive",
        6,
        PROBES["mixture"],
        (
            Criterion("the likelihood", 1, summed),
            Criterion("the belief", 2, believed),
            Criterion("the mixture's bets", 2, bets_of_mixture),
        ),
        (
            "The logarithm of p(k, x_1 .. x_i) is log pi_k plus a cumulative sum. Write it for i = 0 to D.",
            "Everything follows from this one tensor: its `logsumexp` over k, its `softmax` over k.",
            "p(x_i | x_<i) = p(x_1 .. x_i) / p(x_1 .. x_(i-1)): a difference of two neighbours in the "
            "logarithm.",
        ),
        ("torch.distributions",),
        "8 Derive: a hidden label, summed",
    ),
    Task(
        "complete",
        "Uncover the rest",
        "implement",
        7,
        PROBES["complete"],
        (
            Criterion("each pixel in its turn", 2, in_turn),
            Criterion("the level that u picks", 2, inverse_cdf),
            Criterion("the temperature", 1, heat),
            Criterion("known pixels stay", 1, kept),
        ),
        (
            "Copy `x`, then go through the pixels from `known` on: ask, draw, write the level into the copy.",
            "`softmax`, then `cumsum`. The level is the number of cumulative sums that u has reached.",
            "Divide the logits by the temperature before the softmax; for temperature 0 use `argmax`.",
        ),
        ("torch.multinomial", "torch.distributions"),
        "11 Run: pixel by pixel",
    ),
]
