# Generated from solutions/ by `python -m coursekit.authoring.generate`; do not edit.
"""Probes of 08_guidance: they try the answers on seeded inputs and write down what came out."""

import math
from typing import Any

import torch
from torch import Tensor

from coursekit.exercises.probe import Plain, Probe, call, plain


def draw(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers, float64, of one seed."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# --- ddim_step ---------------------------------------------------------------------------------------

ETA = 0.7


def one_step(seed: int) -> dict[str, Tensor]:
    """x_t, eps_hat and z (5, 3), and alpha_bar at t and at s, of shape ()."""
    x_t, eps_hat, z = draw(seed, 3, 5, 3)
    a_s = 0.3 + 0.3 * draw(seed + 1, 1).sigmoid()[0]
    a_t = a_s * (0.2 + 0.5 * draw(seed + 2, 1).sigmoid()[0])
    return {"x_t": x_t, "eps_hat": eps_hat, "z": z, "a_t": a_t, "a_s": a_s}


def run_ddim_step(ddim_step, *, seed: int) -> Plain:
    s = one_step(seed)
    nothing = torch.zeros_like(s["z"])

    def tried(eta: float, z: Tensor, *, x_t: Tensor = s["x_t"], eps: Tensor = s["eps_hat"]) -> Plain:
        return call(ddim_step, x_t.clone(), eps.clone(), s["a_t"].clone(), s["a_s"].clone(), eta, z.clone())

    last = [s["x_t"].clone(), s["eps_hat"].clone(), s["a_t"].clone(), torch.ones(()).double()]
    return {
        "plain": tried(0.0, s["z"]),
        "noise alone": tried(ETA, s["z"], x_t=nothing, eps=nothing),
        "all noise alone": tried(1.0, s["z"], x_t=nothing, eps=nothing),
        "old noise": tried(ETA, nothing, x_t=nothing),
        "no old noise": tried(0.0, nothing, x_t=nothing),
        "last": call(ddim_step, *last, ETA, s["z"].clone()),
        "last plain": call(ddim_step, *last, 0.0, s["z"].clone()),
    }


# --- guided ------------------------------------------------------------------------------------------

NONE = 10
SCALES = (0.0, 1.0, 3.5)
LABELS = 4000
SHARE = 0.2


def labelled(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """x_t (6, 2), t (6,) and labels (6,)."""
    t = torch.randint(1, 9, (6,), generator=torch.Generator().manual_seed(seed + 1))
    y = torch.randint(0, 10, (6,), generator=torch.Generator().manual_seed(seed + 2))
    return draw(seed, 6, 2), t, y


def with_label(x: Tensor, t: Tensor, y: Tensor) -> Tensor:
    """What the network predicts; it takes the label NONE as it takes any other."""
    if not isinstance(y, Tensor) or y.shape != x.shape[:1] or y.dtype != torch.int64:
        got = f"{y.dtype} {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(f"network takes a label for each row, int64 ({len(x)},); got {got}")
    if not isinstance(t, Tensor) or t.shape != x.shape[:1]:
        got = tuple(t.shape) if isinstance(t, Tensor) else type(t).__name__
        raise ValueError(f"network takes a step for each row, ({len(x)},); got {got}")
    return torch.tanh(x * (1 + y[:, None]) + t[:, None]) - 0.3 * y[:, None]


def many_labels(seed: int) -> Tensor:
    return torch.randint(0, NONE, (LABELS,), generator=torch.Generator().manual_seed(seed + 3))


def run_guided(guided, drop, from_paper, *, seed: int) -> Plain:
    x, t, y = labelled(seed)
    data = {f"scale {w}": call(guided, with_label, x.clone(), t.clone(), y.clone(), NONE, w) for w in SCALES}
    for name, share, of in (
        ("dropped", SHARE, 0),
        ("again", SHARE, 0),
        ("other", SHARE, 1),
        ("kept", 0.0, 0),
        ("all", 1.0, 0),
    ):
        g = torch.Generator().manual_seed(seed + of)
        data[name] = call(drop, many_labels(seed), share, NONE, g)
    return data | {"paper 0": call(from_paper, 0.0), "paper 6.5": call(from_paper, 6.5)}


# --- invert ------------------------------------------------------------------------------------------

CODE_TIMES = [0, 1, 3, 6]
ITERATIONS = (1, 3, 60)
CODE_SHARE = 0.3


def code_table(seed: int) -> Tensor:
    """alpha_bar (7,), from 1 down."""
    drops = 0.55 + 0.4 * draw(seed, 6).sigmoid()
    return torch.cat([torch.ones(1, dtype=torch.float64), drops.cumprod(0)])


def slope_of(seed: int, t: Tensor) -> Tensor:
    """The network's prediction is this number times x."""
    table = code_table(seed)[t]
    return (1 - table).sqrt() / (0.3 * table + 1 - table)


def originals(seed: int) -> Tensor:
    """(4, 3)."""
    return draw(seed + 1, 4, 3)


def ends(seed: int, *shape: int) -> tuple[Tensor, Tensor]:
    """Two batches of codes; the rows of the second are nearer to those of the first by and by."""
    a, b = draw(seed + 2, 2, *shape)
    share = torch.linspace(0, 0.9, shape[0], dtype=torch.float64).reshape(-1, *[1] * (len(shape) - 1))
    return a, share * a + (1 - share) * b


def run_invert(invert, between, *, seed: int) -> Plain:
    x0, table = originals(seed), code_table(seed)

    def tried(iterations: int, times: list[int]) -> tuple[Plain, Plain]:
        told: list[Plain] = []

        def network(x: Tensor, t: Tensor) -> Tensor:
            if not isinstance(x, Tensor) or x.shape != x0.shape:
                got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
                raise ValueError(f"network takes x of shape {tuple(x0.shape)}; got {got}")
            if not isinstance(t, Tensor) or t.shape != x0.shape[:1]:
                got = tuple(t.shape) if isinstance(t, Tensor) else type(t).__name__
                raise ValueError(f"network takes a step for each row, ({len(x0)},); got {got}")
            told.append(plain(t.double().mean()))
            return slope_of(seed, t.long())[:, None] * x

        outcome = call(invert, network, x0.clone(), list(times), table.clone(), iterations)
        if outcome["kind"] != "returned":
            return outcome, outcome
        return outcome, {**outcome, "value": {"type": "list", "items": told[:40]}}

    data = {}
    for k in ITERATIONS:
        data[f"code {k}"], data[f"told {k}"] = tried(k, CODE_TIMES)
    a, b = ends(seed, 5, 3)
    pictures = ends(seed + 5, 4, 1, 2, 3)
    return data | {
        "single": tried(1, [0, 4])[0],
        "arc": call(between, a.clone(), b.clone(), CODE_SHARE),
        "start": call(between, a.clone(), b.clone(), 0.0),
        "end": call(between, a.clone(), b.clone(), 1.0),
        "pictures": call(between, pictures[0].clone(), pictures[1].clone(), CODE_SHARE),
        "same": call(between, a.clone(), a.clone(), CODE_SHARE),
    }


# --- few_steps ---------------------------------------------------------------------------------------


def run_few_steps(prediction, *, seed: int) -> Plain:
    return {"prediction": plain(prediction)}


# --- guided_sample -----------------------------------------------------------------------------------

PATH = [9, 6, 3, 0]
COUNT, DIMS = 1200, 2
SCALE = 1.7
ETAS = (0.0, 0.6, 1.0)


def path_table(seed: int) -> Tensor:
    """alpha_bar (10,)."""
    drops = 0.68 + 0.12 * draw(seed, 9).sigmoid()
    return torch.cat([torch.ones(1, dtype=torch.float64), drops.cumprod(0)])


def run_guided_sample(guided_sample, *, seed: int) -> Plain:
    table = path_table(seed)

    def tried(
        eta: float, *, noise: float = 0.0, slope: float = 0.0, shift: float = 0.0, times: list[int] = PATH
    ) -> tuple[Plain, Plain, Plain]:
        """The samples, every x at which the network is asked, and the steps that it is told.

        The network answers `noise` everywhere, and log_prob has the same slope everywhere; all of x_T is
        moved by `shift`.
        """
        asked: list[Plain] = []
        told: list[Plain] = []

        def seen(name: str, x: Any, t: Any) -> None:
            if not isinstance(x, Tensor) or x.shape != (COUNT, DIMS):
                got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
                raise ValueError(f"{name} takes x of shape ({COUNT}, {DIMS}); got {got}")
            if not isinstance(t, Tensor) or t.shape != (COUNT,):
                got = tuple(t.shape) if isinstance(t, Tensor) else type(t).__name__
                raise ValueError(f"{name} takes a step for each row, shape ({COUNT},); got {got}")

        def network(x: Tensor, t: Tensor) -> Tensor:
            seen("network", x, t)
            asked.append(plain(x))
            told.append(plain(t.double().mean()))
            return torch.full_like(x, noise)

        def log_prob(x: Tensor, t: Tensor) -> Tensor:
            seen("log_prob", x, t)
            return slope * x.sum(1)

        start = draw(seed + 1, COUNT, DIMS) + shift
        generator = torch.Generator().manual_seed(seed)
        outcome = call(
            guided_sample, network, log_prob, start, list(times), table.clone(), SCALE, eta, generator
        )
        if outcome["kind"] != "returned":
            return outcome, outcome, outcome
        both = [
            {**outcome, "value": {"type": "list", "items": list(items[: len(PATH)])}}
            for items in (asked, told)
        ]
        return outcome, both[0], both[1]

    data = {}
    for eta in ETAS:
        data[f"x0 {eta}"], data[f"path {eta}"], data[f"steps {eta}"] = tried(eta)
    for name, kinds in (
        ("shifted", {"shift": 1.0}),
        ("pushed", {"noise": 1.0}),
        ("pulled", {"slope": 1.0}),
    ):
        data[f"x0 {name}"], data[f"path {name}"], _ = tried(ETAS[1], **kinds)
    data["x0 again"], _, _ = tried(ETAS[2])
    data["x0 short"], _, _ = tried(ETAS[2], slope=0.5, times=[4, 0])
    return data


# --- wrong_factor ------------------------------------------------------------------------------------

FACTORS = ("root", "none", "variance")
NUMBERS = (1, 2, 3, 7, 40)


def run_wrong_factor(after, limit, *, seed: int) -> Plain:
    extra = 4 + seed % 5
    data = {f"{f} {n}": call(after, f, n) for f in FACTORS for n in (*NUMBERS, extra)}
    return data | {f"{f} limit": call(limit, f) for f in FACTORS}


# --- choose_times ------------------------------------------------------------------------------------

STEPS = 20


def tables() -> dict[str, Tensor]:
    """alpha_bar of three schedules with 1000 steps and of one with 60."""
    one = torch.ones(1, dtype=torch.float64)
    linear = (1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)).cumprod(0)
    even = torch.linspace(9, -9, 1000, dtype=torch.float64).sigmoid()
    u = torch.arange(1001, dtype=torch.float64) / 1000
    curve = ((u + 0.008) / 1.008 * math.pi / 2).cos().square()
    beta = (1 - curve[1:] / curve[:-1]).clamp_max(0.999)
    short = torch.linspace(9, -9, 60, dtype=torch.float64).sigmoid()
    return {
        "linear": torch.cat([one, linear]),
        "even": torch.cat([one, even]),
        "cosine": torch.cat([one, (1 - beta).cumprod(0)]),
        "short": torch.cat([one, short]),
    }


def run_choose_times(choose_times, *, seed: int) -> Plain:
    data = {name: call(choose_times, table.clone(), STEPS) for name, table in tables().items()}
    linear = tables()["linear"]
    return data | {
        "eight": call(choose_times, linear.clone(), 8),
        "all": call(choose_times, linear[:21].clone(), 20),
        "crowded": call(choose_times, linear[:61].clone(), 45),
        "nearly all": call(choose_times, tables()["short"].clone(), 55),
    }


PROBES = {
    "ddim_step": Probe(("ddim_step",), run_ddim_step),
    "guided": Probe(("guided", "drop", "from_paper"), run_guided),
    "invert": Probe(("invert", "between"), run_invert),
    "few_steps": Probe(("prediction",), run_few_steps),
    "guided_sample": Probe(("guided_sample",), run_guided_sample),
    "wrong_factor": Probe(("after", "limit"), run_wrong_factor),
    "choose_times": Probe(("choose_times",), run_choose_times),
}
