# Generated from solutions/ by `python -m coursekit.authoring.generate`; do not edit.
"""Probes of 06_glow: they try the answers on seeded inputs and write down what came out."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from coursekit.exercises.probe import Plain, Probe, call, plain

Mapped = tuple[Tensor, Tensor]


def draw(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers, float64, of one seed."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def mapped(fn: Any, *args: Any) -> Tensor | None:
    """The images that a map returns, alone or first of a pair, where it returns any."""
    try:
        found = fn(*args)
        found = found[0] if isinstance(found, (tuple, list)) else found
        return found.detach().clone() if isinstance(found, Tensor) else None
    except Exception:
        return None


# --- squeeze -----------------------------------------------------------------------------------------


def images(seed: int) -> Tensor:
    """(2, 3, 4, 6)."""
    return draw(seed, 2, 3, 4, 6)


def run_squeeze(checkerboard, squeeze, unsqueeze, *, seed: int) -> Plain:
    x, wide = images(seed), draw(seed + 1, 1, 2, 8, 2)
    z, z_wide = mapped(squeeze, x.clone()), mapped(squeeze, wide.clone())
    return {
        "even": call(checkerboard, 4, 6),
        "odd": call(checkerboard, 3, 5),
        "squeezed": call(squeeze, x.clone()),
        "back": call(squeeze, x.clone()) if z is None else call(unsqueeze, z),
        "wide": call(squeeze, wide.clone()),
        "wide back": call(squeeze, wide.clone()) if z_wide is None else call(unsqueeze, z_wide),
    }


# --- actnorm -----------------------------------------------------------------------------------------


def batches(seed: int) -> tuple[Tensor, Tensor]:
    """Two batches of images (6, 3, 4, 2) of different scale and place; they share their first image."""
    scale, place = (0.8 * draw(seed, 3)).exp(), 2 * draw(seed + 1, 3)
    scale[seed % 3] *= 0.03  # nearly constant is not constant
    first, second = draw(seed + 2, 2, 6, 3, 4, 2)
    first = first * scale[:, None, None] + place[:, None, None]
    second = 3 * second * scale[:, None, None] - place[:, None, None]
    second[0] = first[0]
    return first, second


def with_constant(seed: int) -> Tensor:
    """The first batch with its second channel all the same."""
    x, _ = batches(seed)
    x[:, 1] = 0.25
    return x


def run_actnorm(ActNorm, *, seed: int) -> Plain:
    first, second = batches(seed)
    constant = with_constant(seed)
    built = call(ActNorm, 3)
    if built["kind"] != "returned":
        return dict.fromkeys(("first", "second", "constant"), built)
    layer, other = ActNorm(3), ActNorm(3)
    return {
        "first": call(layer, first.clone()),
        "second": call(layer, second.clone()),
        "constant": call(other, constant.clone()),
    }


# --- conv --------------------------------------------------------------------------------------------

Factors = tuple[Tensor, Tensor, Tensor, Tensor]


def factors(seed: int, channels: int, size: float = 0.4) -> Factors:
    """P, L, U (C, C) and d (C,): a permutation that is not its own inverse, and triangles."""
    order = torch.arange(channels).roll(1)
    p = torch.eye(channels, dtype=torch.float64)[order]
    lower, upper = draw(seed, channels, channels).tril(-1), draw(seed + 1, channels, channels).triu(1)
    return p, lower, upper, size * draw(seed + 2, channels) + size / 2


def pixels(seed: int) -> Tensor:
    """Images (4, 3, 2, 2)."""
    return draw(seed + 3, 4, 3, 2, 2)


def basis(x: Tensor) -> Tensor:
    """The zero image and the images with a single one: (C H W + 1, C, H, W)."""
    return torch.cat(
        [torch.zeros_like(x[:1]), torch.eye(x[0].numel(), dtype=x.dtype).reshape(-1, *x.shape[1:])]
    )


def run_conv(conv, conv_inverse, *, seed: int) -> Plain:
    x, small = pixels(seed), factors(seed, 3)
    wide, far = draw(seed + 4, 2, 5, 3, 1), factors(seed + 5, 5, size=3.0)
    z, z_wide = mapped(conv, x.clone(), *small), mapped(conv, wide.clone(), *far)
    return {
        "forward": call(conv, x.clone(), *small),
        "basis": call(conv, basis(x), *small),
        "inverse": call(conv_inverse, x.clone(), *small),
        "inverse basis": call(conv_inverse, basis(x), *small),
        "back": call(conv, x.clone(), *small) if z is None else call(conv_inverse, z, *small),
        "wide": call(conv, wide.clone(), *far),
        "wide back": (call(conv, wide.clone(), *far) if z_wide is None else call(conv_inverse, z_wide, *far)),
    }


# --- multiscale_log_prob ---------------------------------------------------------------------------------

LEVELS = 8
SHAPE = (40, 4, 2, 4)
FEW_LEVELS, FEW_SHAPE = 3, (1, 16, 3, 5)  # a batch of one
SHIFT = 1.5  # of what leaves, in the second run

Map = Callable[[Tensor], Mapped]


def grey(seed: int, levels: int, shape: tuple[int, ...]) -> Tensor:
    """Whole grey levels, int64."""
    return torch.randint(0, levels, shape, generator=torch.Generator().manual_seed(seed))


def scales(seed: int, shape: tuple[int, ...], number: int, shift: float = 0.0) -> list[Map]:
    """A flow for each scale, a scaling and shift of each entry; `shift` is added to what leaves first."""
    made: list[Map] = []
    channels = shape[1]
    for i in range(number):
        s, t = 0.5 * draw(seed + 10 * i, 2, channels, *shape[2:])
        if i == 0 and number > 1:
            t[: channels // 2] += shift

        def flow(h: Tensor, s: Tensor = s, t: Tensor = t) -> Mapped:
            if not isinstance(h, Tensor) or h.shape[1:] != s.shape:
                got = tuple(h.shape) if isinstance(h, Tensor) else type(h).__name__
                raise ValueError(
                    f"this flow takes images of shape (B, {', '.join(map(str, s.shape))}); got {got}"
                )
            return h * s.exp().to(h) + t.to(h), s.sum().to(h).expand(len(h))

        made.append(flow)
        channels //= 2
    return made


def run_multiscale_log_prob(multiscale_log_prob, free_bits, *, seed: int) -> Plain:
    def tried(
        flows: list[Map], of: int = 0, levels: int = LEVELS, shape: tuple[int, ...] = SHAPE
    ) -> tuple[Plain, Plain]:
        """What the answer returns, and what it gives to the first flow."""
        asked: list[Plain] = []

        def first(h: Tensor) -> Mapped:
            out = flows[0](h)
            asked.append(plain(h))
            return out

        x, g = grey(seed, levels, shape), torch.Generator().manual_seed(seed + of)
        outcome = call(multiscale_log_prob, x, levels, [first, *flows[1:]], g)
        if outcome["kind"] != "returned":
            return outcome, outcome
        return outcome, {**outcome, "value": {"type": "list", "items": asked[:2]}}

    two, noise = tried(scales(seed, SHAPE, 2))
    shifted, _ = tried(scales(seed, SHAPE, 2, SHIFT))
    _, other = tried(scales(seed, SHAPE, 2), of=1)
    three, three_noise = tried(scales(seed + 1, FEW_SHAPE, 3), levels=FEW_LEVELS, shape=FEW_SHAPE)
    return {
        "two": two,
        "noise": noise,
        "other noise": other,
        "shifted": shifted,
        "three": three,
        "three noise": three_noise,
        "free 8": call(free_bits, 8),
        "free 256": call(free_bits, 256),
    }


# --- temperature -------------------------------------------------------------------------------------

COUNT, DIMS = 3000, 3
TEMPERATURES = (0.4, 0.7, 1.3)


def bend(z: Tensor) -> Tensor:
    """The inverse of some flow, entry by entry."""
    return 2 * z + torch.tanh(z) + 1


def run_temperature(sample_at, temperature_kl, likelihood_gain, *, seed: int) -> Plain:
    def tried(temperature: float, of: int = 0) -> tuple[Plain, Plain]:
        asked: list[Plain] = []

        def inverse(z: Tensor) -> Tensor:
            if not isinstance(z, Tensor) or z.shape != (COUNT, DIMS):
                got = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
                raise ValueError(f"inverse takes latents of shape (n, D) = ({COUNT}, {DIMS}); got {got}")
            asked.append(plain(z))
            return bend(z)

        g = torch.Generator().manual_seed(seed + of)
        outcome = call(sample_at, inverse, COUNT, DIMS, temperature, g)
        if outcome["kind"] != "returned":
            return outcome, outcome
        return outcome, {**outcome, "value": {"type": "list", "items": asked[:2]}}

    x, z = tried(0.5)
    _, again = tried(0.5)
    _, other = tried(0.5, of=1)
    frozen, _ = tried(0.0)
    data = {"x": x, "z": z, "again": again, "other": other, "frozen": frozen}
    for t in TEMPERATURES:
        data[f"kl {t}"] = call(temperature_kl, 5, t)
        data[f"gain {t}"] = call(likelihood_gain, 5, t)
    return data | {"kl at 1": call(temperature_kl, 64, 1.0), "gain at 1": call(likelihood_gain, 64, 1.0)}


# --- sound -------------------------------------------------------------------------------------------


class Made:
    """A flow of two functions."""

    def __init__(self, forward: Callable[[Tensor], Mapped], inverse: Callable[[Tensor], Mapped]) -> None:
        self.forward, self.inverse = forward, inverse

    def __call__(self, x: Tensor) -> Mapped:
        return self.forward(x)


def network(seed: int) -> Callable[[Tensor], Mapped]:
    """s and t, each (B, 2), of a kept half (B, 2); both vanish where the kept half does."""
    first, second = draw(seed, 2, 6), 0.4 * draw(seed + 1, 6, 4)

    def net(kept: Tensor) -> Mapped:
        s, t = ((kept @ first).tanh() @ second).chunk(2, dim=1)
        return s, t

    return net


def coupled(
    seed: int,
    *,
    undo: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda b, s, t: (b - t) * (-s).exp(),
    ask: Callable[[Tensor, Tensor], Tensor] = lambda a, b: a,
    seen: Callable[[Tensor], Tensor] = lambda a: a,
    extra: float = 0.0,
    logdet: Callable[[Tensor], Tensor] = lambda s: s.sum(1),
    back: Callable[[Tensor], Tensor] = lambda s: -s.sum(1),
) -> Made:
    """An affine coupling of four entries, with places where it can be broken."""
    net = network(seed)

    def forward(x: Tensor) -> Mapped:
        a, b = x.chunk(2, 1)
        s, t = net(seen(a))
        return torch.cat([a, b * (s.exp() + extra) + t], 1), logdet(s)

    def inverse(z: Tensor) -> Mapped:
        a, b = z.chunk(2, dim=1)
        s, t = net(seen(ask(a, b)))
        s_used = (s.exp() + extra).log()
        return torch.cat([a, undo(b, s_used, t)], 1), back(s)

    return Made(forward, inverse)


def linear(seed: int, sign: float = 1.0) -> Made:
    """x -> W x with determinant of this sign."""
    w = torch.linalg.qr(draw(seed, 4, 4)).Q * (0.5 + draw(seed + 1, 4).abs())
    w = w * torch.where(torch.arange(4) == 0, sign * torch.linalg.det(w).sign(), 1.0)
    size = torch.linalg.slogdet(w).logabsdet
    return Made(
        lambda x: (x @ w.T, size.expand(len(x))),
        lambda z: (torch.linalg.solve(w, z.T).T, -size.expand(len(z))),
    )


def stretched(seed: int) -> Made:
    """x -> sinh of a x, entry by entry: steep, and no coupling."""
    a = 0.5 + 0.5 * draw(seed, 4).sigmoid()

    def forward(x: Tensor) -> Mapped:
        return (a * x).sinh(), (a.log() + (a * x).cosh().log()).sum(1)

    def inverse(z: Tensor) -> Mapped:
        return z.asinh() / a, -(a.log() + 0.5 * torch.log1p(z.square())).sum(1)

    return Made(forward, inverse)


def composed(first: Made, second: Made, *, forgetful: bool = False) -> Made:
    """Two flows; a forgetful one returns the log-determinant of its last step only."""

    def forward(x: Tensor) -> Mapped:
        h, one = first.forward(x)
        z, two = second.forward(h.flip(1))
        return z, two if forgetful else one + two

    def inverse(z: Tensor) -> Mapped:
        h, two = second.inverse(z)
        x, one = first.inverse(h.flip(1))
        return x, two if forgetful else one + two

    return Made(forward, inverse)


def flows_to_test(seed: int) -> dict[str, Made]:
    """Right flows and broken ones; the names say which."""
    s = 1000 * seed
    return {
        "right: identity": Made(lambda x: (x, 0 * x.sum(1)), lambda z: (z, 0 * z.sum(1))),
        "right: coupling": coupled(s + 1),
        "right: two couplings": composed(coupled(s + 2), coupled(s + 3)),
        "right: reflection": linear(s + 4, -1.0),
        "right: linear": linear(s + 5),
        "right: stretched": stretched(s + 6),
        "inverse: e^s": coupled(s + 7, undo=lambda b, s, t: (b - t) * s.exp()),
        "inverse: order": coupled(s + 8, undo=lambda b, s, t: b * (-s).exp() - t),
        "inverse: half": coupled(s + 9, ask=lambda a, b: b),
        "logdet: signs": coupled(s + 10, logdet=lambda s: -s.sum(1), back=lambda s: s.sum(1)),
        "logdet: means": coupled(s + 11, logdet=lambda s: s.mean(1), back=lambda s: -s.mean(1)),
        "logdet: last": composed(coupled(s + 12), coupled(s + 13), forgetful=True),
        "logdet: small": coupled(s + 14, extra=1e-3),
        "back: forward's": coupled(s + 15, back=lambda s: s.sum(1)),
        "back: zero": coupled(s + 16, back=lambda s: 0 * s.sum(1)),
        "rows": coupled(s + 17, seen=lambda a: a.mean(0, keepdim=True).expand_as(a)),
    }


def run_sound(sound, *, seed: int) -> Plain:
    return {
        name: call(sound, flow, 4, torch.Generator().manual_seed(seed))
        for name, flow in flows_to_test(seed).items()
    }


PROBES = {
    "squeeze": Probe(("checkerboard", "squeeze", "unsqueeze"), run_squeeze),
    "actnorm": Probe(("ActNorm",), run_actnorm),
    "conv": Probe(("conv", "conv_inverse"), run_conv),
    "multiscale_log_prob": Probe(("multiscale_log_prob", "free_bits"), run_multiscale_log_prob),
    "temperature": Probe(("sample_at", "temperature_kl", "likelihood_gain"), run_temperature),
    "sound": Probe(("sound",), run_sound),
}
