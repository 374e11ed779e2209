"""Probes of 04_wgan: they try the answers on seeded inputs and write down what came out."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.exercises.probe import Plain, Probe, call, plain, slopes

Critic = Callable[[Tensor], Tensor]


def draw(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers, float64, of one seed."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def spread(fn: Any, run: Callable[[], Any]) -> Plain:
    """Call `run`, which calls the student's `fn`, and write down what happened under that function's name."""
    if not callable(fn):
        return call(fn)
    return call(functools.update_wrapper(run, fn, assigned=("__name__",), updated=()))


# --- w1 ----------------------------------------------------------------------------------------------


def on_the_line(seed: int, n: int, m: int) -> tuple[Tensor, Tensor]:
    """Two samples (n,) and (m,) whose distribution functions cross; their means are 0.3 apart."""
    x, y = draw(seed, n), 3 * draw(seed + 1, m)
    return x, y - y.mean() + x.mean() + 0.3


def coarse(seed: int) -> tuple[Tensor, Tensor]:
    """Samples (9,) and (5,) of whole numbers."""
    x, y = on_the_line(seed + 4, 9, 5)
    return x.round(), y.round()


def run_w1(w1, *, seed: int) -> Plain:
    equal, other = on_the_line(seed, 7, 7), on_the_line(seed + 2, 6, 4)
    return {
        "equal": call(w1, *(t.clone() for t in equal)),
        "other": call(w1, *(t.clone() for t in other)),
        "multiple": call(w1, equal[0].clone(), equal[1].repeat(2)),
        "coarse": call(w1, *coarse(seed)),
        "alone": call(w1, equal[0].clone(), equal[1][:1].clone()),
    }


# --- penalty -----------------------------------------------------------------------------------------

BATCH, IMAGE = 40, (2, 3, 3)


def images(seed: int) -> tuple[Tensor, Tensor]:
    """Real and forged images, each (40, 2, 3, 3)."""
    return draw(seed, BATCH, *IMAGE), 2 + draw(seed + 1, BATCH, *IMAGE)


def critic_weights(seed: int) -> Tensor:
    """Of the critic below, (18, 5): 18 pixels to five units."""
    return draw(seed + 2, 18, 5) / 24


def critic_of(weights: Tensor, seen: list[Tensor] | None = None) -> Critic:
    """A critic (B, 2, 3, 3) -> (B,) with these weights, which notes down what it was shown."""

    def critic(x: Tensor) -> Tensor:
        if seen is not None:
            seen.append(x.detach().clone())
        hidden = x.flatten(1) @ weights
        return (hidden + 0.5 * (8 * hidden).sin()).sum(1)

    return critic


def run_penalty(penalty, *, seed: int) -> Plain:
    real, fake = images(seed)
    weights = critic_weights(seed)

    def generator(of: int = seed) -> torch.Generator:
        return torch.Generator().manual_seed(of)

    def seen(of: int) -> Plain:
        looked: list[Tensor] = []

        def run() -> list[Tensor]:
            value = penalty(critic_of(weights, looked), real.clone(), fake.clone(), generator(of))
            return [value, looked[-1] if looked else torch.zeros_like(real)]

        return spread(penalty, run)

    rows = draw(seed + 3, 2, 6, 4)
    return {
        "images": seen(seed),
        "again": seen(seed),
        "other": seen(seed + 1),
        "slopes": slopes(
            penalty,
            lambda nudge: (critic_of(weights + nudge / 1000), real.clone(), fake.clone(), generator()),
            torch.zeros_like(weights),
        ),
        "linear": call(penalty, lambda x: x @ draw(seed + 4, 4), *rows, generator()),
    }


# --- critic_step -------------------------------------------------------------------------------------

RATE, LIMIT, WIDE = 0.3, 0.05, 1e9


class SmallCritic(nn.Module):
    """(B, 3) -> (B,), with parameters inside the box of LIMIT."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.w = nn.Parameter(LIMIT * draw(seed, 3, 4).tanh())
        self.b = nn.Parameter(LIMIT * draw(seed + 1, 4).tanh())
        self.v = nn.Parameter(LIMIT * draw(seed + 2, 4).tanh())

    def forward(self, x: Tensor) -> Tensor:
        hidden = x @ self.w + self.b
        return (hidden + 20 * hidden.square()) @ self.v


def parameters(net: nn.Module) -> Tensor:
    """All of a network's parameters in one row."""
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def critic_batches(seed: int) -> list[tuple[Tensor, Tensor]]:
    """Real and forged samples (8, 3) of two steps."""
    return [(2 + draw(seed + 3 + i, 8, 3), draw(seed + 5 + i, 8, 3) - 2) for i in range(2)]


def two_steps(step: Callable[..., Any], seed: int, limit: float) -> list[Any]:
    """The critic's parameters at the start and after each of two steps, and what the steps returned."""
    critic = SmallCritic(seed)
    optimiser = torch.optim.SGD(critic.parameters(), lr=RATE)
    path: list[Any] = [parameters(critic)]
    estimates = []
    for real, fake in critic_batches(seed):
        estimates.append(step(critic, optimiser, real, fake, limit))
        path.append(parameters(critic))
    return path + [as_number(value) for value in estimates]


def as_number(value: Any) -> Tensor:
    """A number or a tensor with one value as a tensor (); NaN for anything else."""
    if isinstance(value, int | float) or (isinstance(value, Tensor) and value.numel() == 1):
        return torch.tensor(float(value), dtype=torch.float64)
    return torch.tensor(float("nan"), dtype=torch.float64)


def layer(seed: int) -> tuple[Tensor, Tensor]:
    """A weight (5, 7) with one singular value well above the rest, and a start (5,) for the iteration."""
    weight = draw(seed + 7, 5, 7)
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    return left * torch.cat([1.6 * values[:1], values[1:]]) @ right, draw(seed + 8, 5)


SIGMAS = (0.5, 1.0, 4.0)


def run_critic_step(critic_step, stretch, left_over, *, seed: int) -> Plain:
    def path(limit: float) -> Plain:
        return spread(critic_step, lambda: two_steps(critic_step, seed, limit))

    return {
        "wide": path(WIDE),
        "narrow": path(LIMIT),
        "stretch": call(stretch, *layer(seed), 60),
        "one step": call(stretch, *layer(seed), 1),
        "left over": call(left_over, torch.tensor(SIGMAS, dtype=torch.float64)),
    }


# --- slide -------------------------------------------------------------------------------------------


def run_slide(slide, *, seed: int) -> Plain:
    return {"slide": plain(slide)}


# --- certified ---------------------------------------------------------------------------------------


def clouds(seed: int, n: int = 12, m: int = 12) -> tuple[Tensor, Tensor]:
    """Real (n, 2) and forged (m, 2) points."""
    return draw(seed, n, 2), 1.2 * draw(seed + 1, m, 2) + torch.tensor([1.0, -0.5], dtype=torch.float64)


def shifted(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Real points (12, 2), the same points shifted and in another order, and the shift (2,)."""
    real, shift = draw(seed, 12, 2), 1 + draw(seed + 2, 2).abs()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    return real, (real + shift)[order], shift


def critics(seed: int) -> dict[str, Critic]:
    """Critics (n, 2) -> (n,) of every kind, none of them the best."""
    w, v, (real, _) = 2 * draw(seed + 4, 2, 6), draw(seed + 5, 6), clouds(seed)
    return {
        "a steep plane": lambda x: 40 * (x[:, 1] - 2 * x[:, 0]),
        "a wave": lambda x: (4 * x).sin().sum(1) - 0.5 * x[:, 0],
        "a step": lambda x: (x[:, 0] < 0.5).to(x),
        "a memory of the real points": lambda x: (torch.cdist(x, real).min(1).values < 1e-6).to(x),
        "a bowl": lambda x: -x.square().sum(1),
        "a network": lambda x: 10 * (x @ w).tanh() @ v,
        "a gentle network": lambda x: 0.01 * (x @ w).tanh() @ v,
    }


def down(critic: Critic) -> Critic:
    """The same critic upside down, scaled and shifted."""
    return lambda x: 7 - 2.5 * critic(x)


def run_certified(certified, *, seed: int) -> Plain:
    real, fake = clouds(seed)
    same, moved, shift = shifted(seed)
    few, many = clouds(seed + 6, 4, 6)

    def best(x: Tensor) -> Tensor:  # straight against the shift
        return -x @ (shift / shift.norm())

    replies = {}
    for name, critic in critics(seed).items():
        replies[name] = call(certified, critic, real.clone(), fake.clone())
        replies[f"{name}, down"] = call(certified, down(critic), real.clone(), fake.clone())
        replies[f"{name}, other sizes"] = call(certified, critic, few.clone(), many.clone())
    return replies | {
        "best": call(certified, best, same.clone(), moved.clone()),
        "best, steep": call(certified, lambda x: 30 * best(x) + 4, same.clone(), moved.clone()),
        "constant": call(certified, lambda x: torch.ones_like(x[:, 0]), real.clone(), fake.clone()),
        "shared point": call(certified, best, torch.cat([same, few[:1]]), torch.cat([moved, few[:1]])),
    }


# --- gaussians ---------------------------------------------------------------------------------------

Pair = tuple[Tensor, Tensor, Tensor, Tensor]


def two_gaussians(seed: int) -> Pair:
    """Means and standard deviations m1, s1, m2, s2 of six pairs of Gaussians, each (6,)."""
    m1, m2, a, b = draw(seed, 4, 6)
    return m1, (0.5 * a).exp(), m2, (0.5 * b).exp()


WIDER, NARROWER = (0.3, 1.7, -0.5, 0.8), (0.3, 0.8, -0.5, 1.7)  # m1, s1, m2, s2


def line() -> Tensor:
    """Points (3001,), a hundredth apart."""
    return torch.linspace(-15, 15, 3001, dtype=torch.float64)


def run_gaussians(w1_gaussians, best_critic, *, seed: int) -> Plain:
    m1, s1, m2, s2 = two_gaussians(seed)

    def critic(*pair: float) -> Plain:
        return call(best_critic, line(), *(torch.tensor(t, dtype=torch.float64) for t in pair))

    return {
        "random": call(w1_gaussians, m1.clone(), s1.clone(), m2.clone(), s2.clone()),
        "same width": call(w1_gaussians, m1.clone(), s1.clone(), m2.clone(), s1.clone()),
        "same place": call(w1_gaussians, m1.clone(), s1.clone(), m1.clone(), s2.clone()),
        "equal": call(w1_gaussians, m1.clone(), s1.clone(), m1.clone(), s1.clone()),
        "nearly": call(w1_gaussians, m1.clone(), s1.clone(), m2.clone(), s1 + 1e-9),
        "wide": critic(*WIDER),
        "narrow": critic(*NARROWER),
    }


PROBES = {
    "w1": Probe(("w1",), run_w1),
    "penalty": Probe(("penalty",), run_penalty),
    "critic_step": Probe(("critic_step", "stretch", "left_over"), run_critic_step),
    "slide": Probe(("slide",), run_slide),
    "certified": Probe(("certified",), run_certified),
    "gaussians": Probe(("w1_gaussians", "best_critic"), run_gaussians),
}
