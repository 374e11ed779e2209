# Generated from solutions/ by `python -m coursekit.authoring.generate`; do not edit.
"""Probes of 07_diffusion: they try the answers on seeded inputs and write down what came out."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from coursekit.exercises.probe import Plain, Probe, call, plain

Network = Callable[[Tensor, Tensor], Tensor]


def draw(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers, float64, of one seed."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def falling(seed: int, count: int) -> Tensor:
    """Numbers (count,) between 0 and 1, from large to small."""
    return draw(seed, count).sigmoid().sort(descending=True).values


# --- jump --------------------------------------------------------------------------------------------

STEPS = 7


def betas(seed: int) -> Tensor:
    """beta_1, ..., beta_7."""
    return 0.02 + 0.4 * draw(seed, STEPS).sigmoid()


def table_of(seed: int) -> Tensor:
    """Some alpha_bar (8,), with 1 for t = 0."""
    return torch.cat([torch.ones(1, dtype=torch.float64), falling(seed + 1, STEPS)])


def batch(seed: int, *shape: int) -> tuple[Tensor, Tensor, Tensor]:
    """x0 and eps of this shape, and a step for each row."""
    t = torch.randint(1, STEPS + 1, shape[:1], generator=torch.Generator().manual_seed(seed + 2))
    return 2 * draw(seed + 3, *shape), t, draw(seed + 4, *shape)


def run_jump(alpha_bars, jump, log_snr, *, seed: int) -> Plain:
    table = table_of(seed)
    x0, t, eps = batch(seed, 5, 3)
    images, t_images, eps_images = batch(seed + 10, 4, 1, 4, 4)
    return {
        "table": call(alpha_bars, betas(seed)),
        "points": call(jump, x0.clone(), t.clone(), eps.clone(), table.clone()),
        "images": call(jump, images.clone(), t_images.clone(), eps_images.clone(), table.clone()),
        "snr": call(log_snr, t.clone(), table.clone()),
    }


# --- convert -----------------------------------------------------------------------------------------

KINDS = ("eps", "v", "score")
WIDE = 1e12  # variance of data that could be anywhere


def predicted(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Some prediction, x_t (6, 3), and alpha_bar_t (6, 1)."""
    return draw(seed, 6, 3), 1.5 * draw(seed + 1, 6, 3), 0.1 + 0.8 * draw(seed + 2, 6, 1).sigmoid()


def gaussian(seed: int) -> tuple[Tensor, float]:
    """Mean (3,) and variance of the data."""
    return 2 * draw(seed + 3, 3), float((0.8 * draw(seed + 4, 1)).exp() + 0.3)


def returned_by(fn: Any, *args: Any) -> Tensor | None:
    """The tensor that a function returns, where it returns any."""
    try:
        found = fn(*args)
    except Exception:
        return None
    return found.detach().clone() if isinstance(found, Tensor) else None


def run_convert(to_x0, from_x0, best_x0, *, seed: int) -> Plain:
    value, x_t, a = predicted(seed)
    mean, var = gaussian(seed)
    data = {}
    for kind in KINDS:
        there = call(to_x0, kind, value.clone(), x_t.clone(), a.clone())
        x0 = returned_by(to_x0, kind, value.clone(), x_t.clone(), a.clone())
        data[kind] = there
        data[f"{kind} back"] = there if x0 is None else call(from_x0, kind, x0, x_t.clone(), a.clone())
    return data | {
        "best": call(best_x0, x_t.clone(), a.clone(), mean.clone(), var),
        "point": call(best_x0, x_t.clone(), a.clone(), mean.clone(), 0.0),
        "anywhere": call(best_x0, x_t.clone(), a.clone(), mean.clone(), WIDE),
    }


# --- step_back ---------------------------------------------------------------------------------------


def two_times(seed: int) -> tuple[Tensor, Tensor]:
    """alpha_bar_t and a larger alpha_bar_s, each (6,)."""
    share = 0.15 + 0.7 * draw(seed + 1, 6).sigmoid()
    a_s = 0.2 + 0.75 * draw(seed, 6).sigmoid()
    return a_s * share, a_s


def run_step_back(posterior, eps_weight, *, seed: int) -> Plain:
    a_t, a_s = two_times(seed)
    faint = torch.full_like(a_t, 1e-9)
    return {
        "posterior": call(posterior, a_t.clone(), a_s.clone()),
        "to the data": call(posterior, a_t.clone(), torch.ones_like(a_s)),
        "from noise": call(posterior, faint.clone(), a_s.clone()),
        "weight": call(eps_weight, a_t.clone(), a_s.clone()),
        "weight from noise": call(eps_weight, faint.clone(), a_s.clone()),
    }


# --- loss_of -----------------------------------------------------------------------------------------

LOSS_TABLE = (1.0, 0.9, 0.6, 0.3, 0.08)  # alpha_bar, T = 4
ROWS = 5000
POINT = 1.7  # the only data point there is
IMAGES = (40, 2, 3, 5)
TARGETS = ("whole", "permuted", "last")


def data_of_the_loss(seed: int) -> list[tuple[float, float, int, float]]:
    """alpha_bar_t, beta_t, dims and variance of the data, four of each."""
    u = draw(seed + 5, 4, 3).sigmoid().tolist()
    return [(0.1 + 0.8 * p, 0.02 + 0.08 * q, 2 + i, 0.3 + 2 * r) for i, (p, q, r) in enumerate(u)]


def run_loss_of(loss_of, least_loss, *, seed: int) -> Plain:
    table = torch.tensor(LOSS_TABLE, dtype=torch.float64)

    def tried(network: Network, x0: Tensor, of: int = 0) -> tuple[Plain, Plain, Plain]:
        """What the answer returns, and the images and the steps at which it asks the network."""
        images: list[Plain] = []
        steps: list[Plain] = []

        def spy(x: Tensor, t: Tensor) -> Tensor:
            if not isinstance(x, Tensor) or x.shape != x0.shape:
                got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
                raise ValueError(f"network takes x_t of the shape of x0, {tuple(x0.shape)}; got {got}")
            if not isinstance(t, Tensor) or t.shape != x0.shape[:1]:
                got = tuple(t.shape) if isinstance(t, Tensor) else type(t).__name__
                raise ValueError(f"network takes a step for each row, shape ({len(x0)},); got {got}")
            images.append(plain(x))
            steps.append(plain(t))
            return network(x, t)

        generator = torch.Generator().manual_seed(seed + of)
        outcome = call(loss_of, spy, x0.clone(), table.clone(), generator)
        if outcome["kind"] != "returned":
            return outcome, outcome, outcome
        seen = [{**outcome, "value": {"type": "list", "items": list(items[:2])}} for items in (images, steps)]
        return outcome, seen[0], seen[1]

    def knows(x: Tensor, t: Tensor) -> Tensor:
        """The noise, for one who knows the only data point."""
        a = table[t].reshape(-1, *[1] * (x.ndim - 1))
        return (x - a.sqrt() * POINT) / (1 - a).clamp_min(1e-12).sqrt()

    def zeros(x: Tensor, t: Tensor) -> Tensor:
        return torch.zeros_like(x)

    origin = torch.zeros(ROWS, 2, dtype=torch.float64)
    loss, x_t, t = tried(zeros, origin)
    again, *_ = tried(zeros, origin)
    _, placed, t_placed = tried(zeros, origin + POINT, of=1)
    known, *_ = tried(knows, torch.full(IMAGES, POINT, dtype=torch.float64), of=2)
    data = {"loss": loss, "x_t": x_t, "t": t, "again": again, "placed": placed, "t placed": t_placed}
    for target in TARGETS:
        for i, (a, beta, dims, var) in enumerate(data_of_the_loss(seed)):
            data[f"{target} {i}"] = call(least_loss, target, a, beta, dims, var)
    return data | {"known": known}


# --- ancestral ---------------------------------------------------------------------------------------

TABLE = (1.0, 0.85, 0.5, 0.2, 0.04)  # alpha_bar, T = 4
COUNT, DIMS = 2000, 2
NUS = (0.0, 0.5, 1.0)


def run_ancestral(ancestral, *, seed: int) -> Plain:
    table = torch.tensor(TABLE, dtype=torch.float64)

    def tried(nu: float, *, noise: float = 0.0, shift: float = 0.0) -> tuple[Plain, Plain, Plain]:
        """The samples, every x_t at which the network is asked, and the steps that it is told.

        The network answers `noise` everywhere; all of x_T is moved by `shift`.
        """
        asked: list[Plain] = []
        told: list[Plain] = []

        def network(x: Tensor, t: Tensor) -> Tensor:
            if not isinstance(x, Tensor) or x.shape != (COUNT, DIMS):
                got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
                raise ValueError(f"network takes x_t of shape ({COUNT}, {DIMS}); got {got}")
            if not isinstance(t, Tensor) or t.shape != (COUNT,):
                got = tuple(t.shape) if isinstance(t, Tensor) else type(t).__name__
                raise ValueError(f"network takes a step for each row, shape ({COUNT},); got {got}")
            asked.append(plain(x))
            told.append(plain(t[:1]) if bool((t == t[0]).all()) else plain(t.double().std()))
            return torch.full_like(x, noise)

        x_end = draw(seed, COUNT, DIMS) + shift
        generator = torch.Generator().manual_seed(seed)
        outcome = call(ancestral, network, x_end, table.clone(), nu, generator)
        if outcome["kind"] != "returned":
            return outcome, outcome, outcome
        seen = [
            {**outcome, "value": {"type": "list", "items": list(items[: len(TABLE) + 1])}}
            for items in (asked, told)
        ]
        return outcome, seen[0], seen[1]

    data = {}
    for nu in NUS:
        data[f"x0 {nu}"], data[f"path {nu}"], data[f"steps {nu}"] = tried(nu)
    data["x0 shifted"], data["path shifted"], _ = tried(0.0, shift=1.0)
    data["x0 pushed"], data["path pushed"], _ = tried(0.0, noise=1.0)
    data["x0 again"], _, _ = tried(1.0)
    return data


# --- who_pays ----------------------------------------------------------------------------------------


def run_who_pays(prediction, *, seed: int) -> Plain:
    return {"prediction": plain(prediction)}


# --- unet --------------------------------------------------------------------------------------------

EMBED_WIDTH, NET_WIDTH = 6, 4


def network_weights(seed: int) -> dict[str, Tensor]:
    """Weights and biases of the U-Net's layers, by name."""
    w = NET_WIDTH
    shapes = {
        "first.weight": (w, 1, 3, 3),
        "first.bias": (w,),
        "time.weight": (w, 16),
        "time.bias": (w,),
        "bottom.weight": (2 * w, w, 3, 3),
        "bottom.bias": (2 * w,),
        "last.weight": (1, 3 * w, 3, 3),
        "last.bias": (1,),
    }
    return {name: 0.4 * draw(seed + i, *shape) for i, (name, shape) in enumerate(shapes.items())}


def pictures(seed: int, height: int, width: int) -> Tensor:
    """(3, 1, height, width)."""
    return draw(seed + 20, 3, 1, height, width)


def run_unet(embed, SmallUNet, *, seed: int) -> Plain:
    steps = torch.tensor([3, 40, 7])

    def tried(x: Tensor, t: Tensor, *silent: str) -> Plain:
        """What the network makes of x with the weights of the seed; the layers in `silent` have zeros."""
        made = call(SmallUNet, NET_WIDTH)
        if made["kind"] != "returned":
            return made
        net = SmallUNet(NET_WIDTH).double()
        with torch.no_grad():
            for name, weight in network_weights(seed).items():
                net.get_parameter(name).copy_(weight * (name.split(".")[0] not in silent))
        return call(net, x.clone(), t.clone())

    x, odd = pictures(seed, 6, 8), pictures(seed + 1, 7, 5)
    return {
        "embedded": call(embed, torch.tensor([1, 5, 60, 3]), EMBED_WIDTH),
        "skip": tried(x, steps, "time", "bottom"),
        "both": tried(x, steps, "time"),
        "odd": tried(odd, steps, "time"),
        "batch": tried(x, steps),
        "others": tried(x, steps + 11),
        **{f"alone {i}": tried(x[i : i + 1], steps[i : i + 1]) for i in range(3)},
    }


PROBES = {
    "jump": Probe(("alpha_bars", "jump", "log_snr"), run_jump),
    "convert": Probe(("to_x0", "from_x0", "best_x0"), run_convert),
    "step_back": Probe(("posterior", "eps_weight"), run_step_back),
    "loss_of": Probe(("loss_of", "least_loss"), run_loss_of),
    "ancestral": Probe(("ancestral",), run_ancestral),
    "who_pays": Probe(("prediction",), run_who_pays),
    "unet": Probe(("embed", "SmallUNet"), run_unet),
}
