"""Probes of 09_autoregressive: they try the answers on seeded inputs and write down what came out."""

import torch
from torch import Tensor

from coursekit.exercises.probe import Plain, Probe, call, plain


def draw(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers, float64, of one seed."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def whole(seed: int, below: int, *shape: int) -> Tensor:
    """Whole numbers 0, ..., below - 1, int64, of one seed."""
    return torch.randint(below, shape, generator=torch.Generator().manual_seed(seed))


# --- bits --------------------------------------------------------------------------------------------

IMAGES = (5, 2, 3, 4)  # B, C, H, W
LEVELS = 6


def bets_on_images(seed: int, size: float = 2.0) -> tuple[Tensor, Tensor]:
    """Logits (B, C, H, W, L) of this size, and levels (B, C, H, W)."""
    return size * draw(seed, *IMAGES, LEVELS), whole(seed + 1, LEVELS, *IMAGES)


def run_bits(bits, code_length, *, seed: int) -> Plain:
    data = {}
    for name, size in (("usual", 2.0), ("sure", 2000.0)):
        logits, x = bets_on_images(seed, size)
        data[f"{name} bits"] = call(bits, logits.clone(), x.clone())
        data[f"{name} length"] = call(code_length, logits.clone(), x.clone())
    return data | {"single length": call(code_length, logits[:1] / size, x[:1].clone())}


# --- mask --------------------------------------------------------------------------------------------

KERNELS = ((5, 5), (3, 7), (7, 3), (1, 1))  # the first is judged here, the others as well
COLOUR_KERNELS = ((3, 3, 3), (5, 7, 2))  # rows, columns, colours


def run_mask(raster_mask, colour_mask, *, seed: int) -> Plain:
    data = {}
    for kind in "AB":
        for rows, columns in KERNELS:
            data[f"{kind} {rows}x{columns}"] = call(raster_mask, kind, rows, columns)
        for rows, columns, colours in COLOUR_KERNELS:
            data[f"{kind} {rows}x{columns} in {colours}"] = call(colour_mask, kind, rows, columns, colours)
    return data


# --- price -------------------------------------------------------------------------------------------


def run_price(prediction, *, seed: int) -> Plain:
    return {"prediction": plain(prediction)}


# --- decoder -----------------------------------------------------------------------------------------

TOKENS, WIDTH = 6, 4  # N and d
START = 5  # levels 0, ..., 4


def questions(seed: int, *lead: int) -> tuple[Tensor, Tensor]:
    """Queries and keys (..., N, d)."""
    return 1.5 * draw(seed, *lead, TOKENS, WIDTH), 1.5 * draw(seed + 1, *lead, TOKENS, WIDTH)


def causal_logits(tokens: Tensor, seed: int) -> Tensor:
    """Logits (B, N, L) that depend on the tokens up to and including each position."""
    table, past = draw(seed + 2, START + 1, START), draw(seed + 3, START + 1, START)
    place = draw(seed + 4, tokens.shape[1], START)
    return place + 2 * table[tokens] + 0.7 * past[tokens].cumsum(dim=1)


def run_decoder(attend, log_prob, *, seed: int) -> Plain:
    x = whole(seed + 5, START, 4, TOKENS)

    def network(tokens: Tensor) -> Tensor:
        if not isinstance(tokens, Tensor) or tokens.shape != x.shape or tokens.dtype != torch.int64:
            got = f"{tokens.dtype}, {tuple(tokens.shape)}" if isinstance(tokens, Tensor) else type(tokens)
            raise ValueError(f"network takes tokens, int64, of shape {tuple(x.shape)}; got {got}")
        return causal_logits(tokens, seed)

    q, k = questions(seed)
    heads = questions(seed + 10, 2, 3)
    values = draw(seed + 12, 2, 3, TOKENS, 5)
    return {
        "weights": call(attend, q.clone(), k.clone(), torch.eye(TOKENS, dtype=torch.float64)),
        "heads": call(attend, *(t.clone() for t in heads), values.clone()),
        "log_p": call(log_prob, network, x.clone(), START),
    }


# --- mixture -----------------------------------------------------------------------------------------

LABELS, COUNT, DIMS = 3, 4, 5
LONG = 3000


def told(seed: int, dims: int = DIMS) -> tuple[Tensor, Tensor]:
    """log p(x_i | x_<i, k), (K, B, D), and log pi_k, (K,)."""
    shift = 0.0 if dims == DIMS else 2.0
    return (
        draw(seed, LABELS, COUNT, dims).sigmoid().log() - shift,
        draw(seed + 1, LABELS).log_softmax(0),
    )


def run_mixture(log_likelihood, belief, bets, *, seed: int) -> Plain:
    data = {}
    for name, dims in (("short", DIMS), ("long", LONG)):
        for what, answer in (("likelihood", log_likelihood), ("belief", belief), ("bets", bets)):
            if (name, what) != ("long", "belief"):  # too many numbers to write down
                log_cond, log_prior = told(seed, dims)
                data[f"{name} {what}"] = call(answer, log_cond, log_prior)
    return data


# --- complete ----------------------------------------------------------------------------------------

ROWS, PIXELS, GREYS = 60, 5, 4
KNOWN = 2
TEMPERATURES = (0.4, 2.5)


def deaf(seed: int) -> Tensor:
    """Logits (B, D, L) of a network that listens to no pixel."""
    return 1.5 * draw(seed, ROWS, PIXELS, GREYS)


def uniform(seed: int) -> Tensor:
    """Uniform numbers (B, D)."""
    return torch.rand(ROWS, PIXELS, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 1))


def given_pixels(seed: int) -> Tensor:
    """Pixels (B, D), of which the first two are known."""
    return whole(seed + 2, GREYS, ROWS, PIXELS)


def run_complete(complete, *, seed: int) -> Plain:
    logits, listens = deaf(seed), 1.5 * draw(seed + 3, GREYS, GREYS)

    def tried(scale: float, temperature: float, known: int = 0) -> Plain:
        return call(
            complete,
            lambda x, i: scale * logits[:, int(i)],
            given_pixels(seed),
            known,
            uniform(seed),
            temperature,
        )

    pictures: list[Plain] = []
    asked: list[Plain] = []

    def network(x: Tensor, i: int) -> Tensor:
        if not isinstance(x, Tensor) or x.shape != (ROWS, PIXELS):
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"logits_of takes all pixels, shape ({ROWS}, {PIXELS}); got {got}")
        pictures.append(plain(x.clone()))
        asked.append(plain(float(i)))
        return logits[:, int(i)] + listens[x[:, : int(i)]].sum(dim=1)

    heard = call(complete, network, given_pixels(seed), KNOWN, uniform(seed), 1.0)
    seen = [dict(heard), dict(heard)]
    if heard["kind"] == "returned":
        for mine, items in zip(seen, (pictures, asked), strict=True):
            mine["value"] = {"type": "list", "items": items[: 2 * PIXELS]}
    data = {"heard": heard, "pictures": seen[0], "asked": seen[1]}
    data["plain"], data["again"], data["zero"] = tried(1.0, 1.0), tried(1.0, 1.0), tried(1.0, 0.0)
    data["known"] = tried(1.0, 1.0, KNOWN)
    quarters = uniform(seed).mul(GREYS).floor() / GREYS  # u on the steps of four levels alike
    data["steps"] = call(
        complete, lambda x, i: torch.zeros_like(logits[:, 0]), given_pixels(seed), 0, quarters, 1.0
    )
    for t in TEMPERATURES:
        data[f"at {t}"] = tried(1.0, t)
        data[f"divided {t}"] = tried(1 / t, 1.0)
        data[f"multiplied {t}"] = tried(t, 1.0)
    return data


PROBES = {
    "bits": Probe(("bits", "code_length"), run_bits),
    "mask": Probe(("raster_mask", "colour_mask"), run_mask),
    "price": Probe(("prediction",), run_price),
    "decoder": Probe(("attend", "log_prob"), run_decoder),
    "mixture": Probe(("log_likelihood", "belief", "bets"), run_mixture),
    "complete": Probe(("complete",), run_complete),
}
