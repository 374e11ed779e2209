"""Probes of 03_gan: they try the answers on seeded inputs and write down what came out."""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from coursekit.exercises.probe import Plain, Probe, call, plain, slopes


def draw(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers, float64, of one seed."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# --- js ----------------------------------------------------------------------------------------------


def log_densities(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """log p and log q at six samples of p, and at four of q."""
    at_p, at_q = draw(seed, 2, 6), draw(seed + 1, 2, 4)
    return at_p[0] - 1.5, at_p[1] - 3, at_q[0] - 3, at_q[1] - 1.5


def run_js(js, *, seed: int) -> Plain:
    p_x, q_x, p_y, q_y = log_densities(seed)
    return {
        "random": call(js, p_x.clone(), q_x.clone(), p_y.clone(), q_y.clone()),
        "swapped": call(js, q_y.clone(), p_y.clone(), q_x.clone(), p_x.clone()),
        "equal": call(js, p_x.clone(), p_x.clone(), q_y.clone(), q_y.clone()),
        "apart": call(js, p_x - 2000, q_x - 5000, p_y - 5000, q_y - 2000),
    }


# --- losses ------------------------------------------------------------------------------------------


def logits(seed: int) -> tuple[Tensor, Tensor]:
    """Logits of five real and five forged samples."""
    real, fake = 2 * draw(seed, 2, 5)
    return real, fake


def run_losses(judge_loss, forger_loss, *, seed: int) -> Plain:
    real, fake = logits(seed)
    far = torch.full((5,), 1e4, dtype=torch.float64)
    return {
        "judge": call(judge_loss, real.clone(), fake.clone(), 1.0),
        "smooth": call(judge_loss, real.clone(), fake.clone(), 0.8),
        "forger": call(forger_loss, fake.clone()),
        "judge far": call(judge_loss, -far, far.clone(), 1.0),
        "judge half as far": call(judge_loss, -far / 2, far / 2, 1.0),
        "judge sure": call(judge_loss, far.clone(), -far, 1.0),
        "judge half as sure": call(judge_loss, far / 2, -far / 2, 1.0),
        "forger low": call(forger_loss, -far),
        "forger half as low": call(forger_loss, -far / 2),
        "forger high": call(forger_loss, far.clone()),
        "forger half as high": call(forger_loss, far / 2),
        "smooth far": call(judge_loss, far.clone(), far.clone(), 0.8),
        "judge slopes": slopes(judge_loss, lambda *at: (*at, 0.8), real, fake),
        "forger slopes": slopes(forger_loss, lambda *at: at, fake),
    }


# --- train_step --------------------------------------------------------------------------------------


class Judge(nn.Module):
    """(B, 3) -> (B,) logits."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.w = nn.Parameter(draw(seed, 3, 4) / 2)
        self.v = nn.Parameter(draw(seed + 1, 4))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.w).tanh() @ self.v


class Forger(nn.Module):
    """Noise (B, 2) -> (B, 3)."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.w = nn.Parameter(draw(seed + 2, 2, 3))
        self.b = nn.Parameter(draw(seed + 3, 3))

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.w + self.b).tanh()


RATE = 0.2  # of both players' gradient descent


def parameters(net: nn.Module) -> Tensor:
    """All of a network's parameters in one row."""
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def batches(seed: int) -> list[tuple[Tensor, Tensor]]:
    """Real samples (6, 3) and noise (6, 2) of two steps."""
    return [(draw(seed + 4 + i, 6, 3).tanh(), draw(seed + 6 + i, 6, 2)) for i in range(2)]


def two_steps(step: Callable[..., object], seed: int) -> list[Tensor]:
    """Both players' parameters at the start and after each of two steps: judge, forger, judge, forger, ..."""
    forger, judge = Forger(seed), Judge(seed)
    optimisers = [torch.optim.SGD(net.parameters(), lr=RATE) for net in (forger, judge)]
    path = [parameters(judge), parameters(forger)]
    for real, noise in batches(seed):
        step(forger, judge, *optimisers, real, noise)
        path += [parameters(judge), parameters(forger)]
    return path


def grey_levels() -> Tensor:
    """Two images of four pixels, in integers from 0 to 16."""
    return torch.tensor([[0, 16, 8, 1], [4, 12, 15, 16]])


BELIEFS = (0.1, 0.3, 0.5, 0.9)


def run_train_step(prepare, train_step, weight, *, seed: int) -> Plain:
    def path() -> list[Tensor]:
        return two_steps(train_step, seed)

    if callable(train_step):
        functools.update_wrapper(path, train_step, assigned=("__name__",), updated=())
    return {
        "range": call(prepare, grey_levels()),
        "path": call(path) if callable(train_step) else call(train_step),
        "weights": call(weight, torch.tensor(BELIEFS, dtype=torch.float64)),
    }


# --- left_out ----------------------------------------------------------------------------------------


def run_left_out(left_out, *, seed: int) -> Plain:
    return {"left_out": plain(left_out)}


# --- score -------------------------------------------------------------------------------------------

MODES, RADIUS, WIDTH = 8, 2.0, 0.1
HONEST = 10


def ring(n: int, g: torch.Generator, shares: tuple[float, ...] = (1.0,) * MODES) -> Tensor:
    """n points (n, 2) of a ring of Gaussians with these relative frequencies."""
    angle = torch.multinomial(torch.tensor(shares), n, replacement=True, generator=g) * (2 * math.pi / MODES)
    return around(angle.double(), g)


def around(angle: Tensor, g: torch.Generator) -> Tensor:
    """Points (n, 2) scattered about the ring at these angles (n,)."""
    centres = RADIUS * torch.stack([angle.cos(), angle.sin()], 1)
    return centres + WIDTH * torch.randn(len(angle), 2, dtype=torch.float64, generator=g)


def leaves_out(n: int, g: torch.Generator) -> Tensor:
    """Every second Gaussian is missing."""
    return ring(n, g, (1.0, 0.0) * (MODES // 2))


def repeats(n: int, g: torch.Generator) -> Tensor:
    """Five different points of each Gaussian, over and over."""
    few = around(torch.arange(5 * MODES).double() * (2 * math.pi / MODES), g)
    return few[torch.arange(n) % len(few)]


def strays(n: int, g: torch.Generator) -> Tensor:
    """One point of twenty lies halfway between two Gaussians."""
    x = ring(n, g)
    between = torch.randint(0, MODES, (n // 20,), generator=g).double() + 0.5
    x[: n // 20] = around(between * (2 * math.pi / MODES), g)
    return x


def lopsided(n: int, g: torch.Generator) -> Tensor:
    """One Gaussian is twenty times as frequent as each of the others."""
    return ring(n, g, (20.0,) + (1.0,) * (MODES - 1))


FORGERS: dict[str, Callable[[int, torch.Generator], Tensor]] = {
    "leaves out": leaves_out,
    "repeats": repeats,
    "strays": strays,
    "lopsided": lopsided,
}


def two_honest(seed: int) -> tuple[Tensor, Tensor]:
    """Two sets (600, 2) of nature's own."""
    g = torch.Generator().manual_seed(seed + 1000)
    return ring(600, g), ring(600, g)


def run_score(score, *, seed: int) -> Plain:
    g = torch.Generator().manual_seed(seed)

    def table(real: int, fake: int, names: tuple[str, ...]) -> Plain:
        x = ring(real, g)
        honest = [call(score, x.clone(), ring(fake, g)) for _ in range(HONEST)]
        return {"honest": honest} | {name: call(score, x.clone(), FORGERS[name](fake, g)) for name in names}

    full, other = table(600, 600, tuple(FORGERS)), table(500, 250, ("leaves out",))
    found = {f"honest {i}": reply for i, reply in enumerate(full.pop("honest"))} | full
    found |= {f"other {i}": reply for i, reply in enumerate(other["honest"])}
    found["other leaves out"] = other["leaves out"]
    return found | {f"again {i}": call(score, *two_honest(seed)) for i in range(2)}


# --- triangular --------------------------------------------------------------------------------------

SLOPES = (-2.9, -2.0, -0.5, 0.0, 0.4, 0.9, 0.999)
STEEP = (-3.0, -3.5, -10.0)


def log_ratios(seed: int) -> Tensor:
    return 2 * draw(seed, 7)


def run_triangular(conjugate, best_critic, least_loss, *, seed: int) -> Plain:
    ratios = log_ratios(seed)
    return {
        "conjugate": call(conjugate, torch.tensor(SLOPES, dtype=torch.float64)),
        "steep": call(conjugate, torch.tensor(STEEP, dtype=torch.float64)),
        "critic": call(best_critic, ratios.clone()),
        "far": call(best_critic, torch.tensor([-1000.0, 1000.0], dtype=torch.float64)),
        "loss": call(least_loss, torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)),
        "near the edge": call(conjugate, -3 + 1e-3 * draw(seed + 1, 6)),
    }


PROBES = {
    "js": Probe(("js",), run_js),
    "losses": Probe(("judge_loss", "forger_loss"), run_losses),
    "train_step": Probe(("prepare", "train_step", "weight"), run_train_step),
    "left_out": Probe(("left_out",), run_left_out),
    "score": Probe(("score",), run_score),
    "triangular": Probe(("conjugate", "best_critic", "least_loss"), run_triangular),
}
