"""Probes of 05_flow: they try the answers on seeded inputs and write down what came out."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from coursekit.exercises.probe import Plain, Probe, call, plain, slopes

Net = Callable[[Tensor], tuple[Tensor, Tensor]]


def draw(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers, float64, of one seed."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# --- pushed_log_prob ---------------------------------------------------------------------------------


def map_weights(seed: int) -> Tensor:
    """Four numbers of a rising map: three between .5 and 1, and a shift."""
    raw = draw(seed, 4)
    return torch.cat([0.5 + 0.5 * raw[:3].sigmoid(), raw[3:]])


def line_map(w: Tensor) -> Callable[[Tensor], Tensor]:
    """x -> w0 x + w1 tanh(w2 x) + w3, entry by entry."""
    return lambda x: w[0] * x + w[1] * torch.tanh(w[2] * x) + w[3]


def points(seed: int) -> Tensor:
    """Where the density is asked for, (7,)."""
    return 1.5 * draw(seed + 1, 7)


GRID = torch.linspace(-40, 40, 2001, dtype=torch.float64)


def run_pushed_log_prob(pushed_log_prob, *, seed: int) -> Plain:
    w, x = map_weights(seed), points(seed)
    rising, inner = line_map(w), line_map(map_weights(seed + 2))
    return {
        "rising": call(pushed_log_prob, rising, x.clone()),
        "falling": call(pushed_log_prob, lambda v: -rising(v), x.clone()),
        "another": call(pushed_log_prob, lambda v: 0.8 * v, x.clone()),
        "slopes": slopes(pushed_log_prob, lambda v: (line_map(v), x.clone()), w),
        "grid": call(pushed_log_prob, lambda v: rising(-inner(v)), GRID.clone()),
    }


# --- coupling ----------------------------------------------------------------------------------------


def network(seed: int, half: int, size: float = 0.7) -> Net:
    """Some network from (B, half) to s and t, (B, half) each."""
    first, bias = draw(seed, half, 5), draw(seed + 100, 5)
    second = size * draw(seed + 200, 5, 2 * half)

    def net(kept: Tensor) -> tuple[Tensor, Tensor]:
        if not isinstance(kept, Tensor) or kept.ndim != 2 or kept.shape[1] != half:
            got = tuple(kept.shape) if isinstance(kept, Tensor) else type(kept).__name__
            raise ValueError(f"net takes one half of the entries, shape (B, {half}); got {got}")
        s, t = ((kept @ first + bias).tanh() @ second).chunk(2, dim=1)
        return s, t

    return net


def rows(seed: int, dims: int = 4) -> Tensor:
    """Points (3, D)."""
    return draw(seed + 300, 3, dims)


STEP = 1e-4


def around(x: Tensor) -> Tensor:
    """Points (B 2 D, D): each row of x with each entry moved up, then down, by STEP."""
    moves = STEP * torch.eye(x.shape[1], dtype=x.dtype)
    return (x[:, None, None] + torch.stack([moves, -moves])).flatten(0, 2)


def mapped(fn: Any, *args: Any) -> Tensor | None:
    """The points that a map returns, where it returns any."""
    try:
        found = fn(*args)[0].detach()
    except Exception:
        return None
    return found if isinstance(found, Tensor) and found.shape == args[0].shape else None


def run_coupling(coupling, coupling_inverse, *, seed: int) -> Plain:
    x, net = rows(seed), network(seed, 2)
    z = mapped(coupling, x.clone(), net)
    wide, strong = 2 * rows(seed, 6), network(seed + 1, 3, size=1.5)
    z_wide = mapped(coupling, wide.clone(), strong)
    return {
        "forward": call(coupling, x.clone(), net),
        "around x": call(coupling, around(x), net),
        "inverse": call(coupling_inverse, x.clone(), net),
        "around z": call(coupling_inverse, around(x), net),
        "back": call(coupling, x.clone(), net) if z is None else call(coupling_inverse, z, net),
        "wide": call(coupling, wide.clone(), strong),
        "wide back": (
            call(coupling, wide.clone(), strong) if z_wide is None else call(coupling_inverse, z_wide, strong)
        ),
    }


# --- stack_log_prob ----------------------------------------------------------------------------------


def networks(seed: int, number: int, half: int) -> list[Net]:
    return [network(seed + 1000 * (i + 1), half) for i in range(number)]


def half_of_data(seed: int) -> tuple[Tensor, Tensor]:
    """Means and standard deviations of the first half of the data, each (3,)."""
    mean, raw = draw(seed + 400, 2, 3)
    return mean, (0.7 * raw).exp()


def run_stack_log_prob(stack_log_prob, kl_floor, *, seed: int) -> Plain:
    x, wide = rows(seed), rows(seed + 1, 6)
    mean, std = half_of_data(seed)
    return {
        "two": call(stack_log_prob, x.clone(), networks(seed, 2, 2)),
        "three": call(stack_log_prob, x.clone(), networks(seed, 3, 2)),
        "five": call(stack_log_prob, wide.clone(), networks(seed, 5, 3)),
        "floor": call(kl_floor, mean.clone(), std.clone()),
        "no floor": call(kl_floor, torch.zeros_like(mean), torch.ones_like(std)),
    }


# --- bits_per_dim ------------------------------------------------------------------------------------

LEVELS = 16
SHAPE = (20, 2, 8, 8)
FEW_LEVELS, FEW_SHAPE = 2, (1, 3, 4, 12)  # a batch of one


def grey(seed: int, levels: int, shape: tuple[int, ...]) -> Tensor:
    """Whole grey levels, int64."""
    return torch.randint(0, levels, shape, generator=torch.Generator().manual_seed(seed))


NATS = 50.0  # what a model adds to every log-density, to see what becomes of it


def squares(v: Tensor) -> Tensor:
    """Some log-density, not a normalised one: (B,)."""
    return -3 * v.square().flatten(1).sum(1)


def run_bits_per_dim(bits_per_dim, *, seed: int) -> Plain:
    def tried(
        model: Callable[[Tensor], Tensor],
        of: int = 0,
        levels: int = LEVELS,
        shape: tuple[int, ...] = SHAPE,
    ) -> tuple[Plain, Plain]:
        """What the answer returns, and the points at which it asks the model."""
        x, asked = grey(seed, levels, shape), []

        def log_prob(v: Tensor) -> Tensor:
            if not isinstance(v, Tensor) or v.shape != x.shape:
                got = tuple(v.shape) if isinstance(v, Tensor) else type(v).__name__
                raise ValueError(f"log_prob takes points of the shape of x, {tuple(x.shape)}; got {got}")
            if not v.is_floating_point():
                raise TypeError(f"log_prob takes real numbers in [0, 1); got {v.dtype}")
            asked.append(plain(v))
            return model(v)

        outcome = call(bits_per_dim, log_prob, x, levels, torch.Generator().manual_seed(seed + of))
        if outcome["kind"] != "returned":
            return outcome, outcome
        return outcome, {**outcome, "value": {"type": "list", "items": asked[:2]}}

    uniform, noise = tried(lambda v: 0 * v.flatten(1).sum(1))
    _, again = tried(lambda v: 0 * v.flatten(1).sum(1))
    _, other = tried(lambda v: 0 * v.flatten(1).sum(1), of=1)
    raised, _ = tried(lambda v: 0 * v.flatten(1).sum(1) + NATS)
    few, few_noise = tried(squares, levels=FEW_LEVELS, shape=FEW_SHAPE)
    return {
        "uniform": uniform,
        "noise": noise,
        "again": again,
        "other": other,
        "raised": raised,
        "few": few,
        "few noise": few_noise,
    }


# --- bridge ------------------------------------------------------------------------------------------


def run_bridge(prediction, *, seed: int) -> Plain:
    return {"prediction": plain(prediction)}


# --- uniform_gap -------------------------------------------------------------------------------------

LARGE = (60.0, 900.0, 2000.0)


def rates_and_tilts(seed: int) -> tuple[Tensor, Tensor]:
    """Rates of the density and tilts of the noise, each (6,), between .05 and about 8."""
    rate, tilt = 0.05 + 8 * draw(seed + 500, 2, 6).sigmoid()
    return rate, tilt


def run_uniform_gap(uniform_gap, tilted_gap, *, seed: int) -> Plain:
    rate, tilt = rates_and_tilts(seed)
    large = torch.tensor(LARGE, dtype=torch.float64)
    return {
        "uniform": call(uniform_gap, rate.clone()),
        "tilted": call(tilted_gap, rate.clone(), tilt.clone()),
        "equal": call(tilted_gap, rate.clone(), rate.clone()),
        "large": call(uniform_gap, large.clone()),
        "large tilted": call(tilted_gap, large.clone(), large / 2),
    }


PROBES = {
    "pushed_log_prob": Probe(("pushed_log_prob",), run_pushed_log_prob),
    "coupling": Probe(("coupling", "coupling_inverse"), run_coupling),
    "stack_log_prob": Probe(("stack_log_prob", "kl_floor"), run_stack_log_prob),
    "bits_per_dim": Probe(("bits_per_dim",), run_bits_per_dim),
    "bridge": Probe(("prediction",), run_bridge),
    "uniform_gap": Probe(("uniform_gap", "tilted_gap"), run_uniform_gap),
}
