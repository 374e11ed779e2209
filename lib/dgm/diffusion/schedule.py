r"""Noise schedules: how much of the data and how much noise there is at each time.

$x_t = \alpha(t)\, x_0 + \sigma(t)\, \varepsilon$ for every schedule; t = 0 is the data, `t_max` the noise. In
the discrete form $\alpha_t = \sqrt{\bar\alpha_t}$ and $\sigma_t = \sqrt{1 - \bar\alpha_t}$, and its tables
have T + 1 entries, so that an index is the paper's t.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dgm.tensor import check_shape, draw_device, expand_to


class Schedule(ABC):
    r"""Two functions of time that fix a forward process: $x_t = \alpha(t)\, x_0 + \sigma(t)\, \varepsilon$.

    A subclass gives `alpha`, `sigma`, `t_max` and `times`; everything else follows from them.
    """

    @property
    @abstractmethod
    def t_max(self) -> float:
        """The time of the noise."""

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Factor of the data at times t (B,): (B,)."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Standard deviation of the noise at times t (B,): (B,), in units of x."""

    @abstractmethod
    def times(self, n: int) -> Tensor:
        """The times of a sampler of n network evaluations: (n + 1,), decreasing from t_max to exactly 0."""

    def log_snr(self, t: Tensor) -> Tensor:
        r"""Log of the signal-to-noise ratio, $\log \alpha^2(t) - \log \sigma^2(t)$: (B,), inf at t = 0."""
        return 2 * (self.alpha(t).log() - self.sigma(t).log())

    def snr(self, t: Tensor) -> Tensor:
        r"""Signal-to-noise ratio $\alpha^2(t) / \sigma^2(t)$: (B,), inf at t = 0.

        Equation: diff-snr
        Test: tests/equations/test_diffusion.py::test_snr_is_the_ratio_of_measured_variances
        """
        return (self.alpha(t) / self.sigma(t)).square()

    def coefficients(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma at times t (B,), to meet like (B, ...): each (B, 1, ..., 1), of like's dtype."""
        return _broadcast(self.alpha(exact(t)), like), _broadcast(self.sigma(exact(t)), like)


@dataclass(frozen=True, eq=False)
class DiscreteSchedule(Schedule):
    r"""T steps of noise: $\alpha_t = 1 - \beta_t$ (`alpha_step`), $\bar\alpha_t = \prod_{i \le t} \alpha_i$.

    All tables have shape (T + 1,) and float64; entry t belongs to the paper's step t, and entry 0 to the
    data: `beta[0]` = 0, `alpha_bar[0]` = 1. `posterior_var[t]` is the variance of q(x_{t-1} | x_t, x_0),
    $\tilde\beta_t = \beta_t (1 - \bar\alpha_{t-1}) / (1 - \bar\alpha_t)$, which is 0 at t = 1.

    Args:
        beta: (T + 1,) with beta[0] = 0 and all others in (0, 1].

    Raises:
        ValueError: on tables that are no such schedule.

    Source: Ho, Jain & Abbeel 2020, section 2.
    """

    beta: Tensor
    alpha_step: Tensor = field(init=False, repr=False)
    alpha_bar: Tensor = field(init=False, repr=False)
    posterior_var: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_shape("beta", self.beta, ("T + 1",))
        beta = self.beta.detach().to(torch.float64)
        if len(beta) < 2 or beta[0] != 0:
            raise ValueError(
                f"beta must have T + 1 >= 2 entries, the first of them 0, got {len(beta)} that start with "
                f"{beta[:1].tolist()}; put a 0 in front, so that beta[t] is the paper's beta_t"
            )
        if not bool(((beta[1:] > 0) & (beta[1:] <= 1)).all()):
            raise ValueError(
                f"beta_1 .. beta_T must lie in (0, 1], got {beta[1:].min().item():g} to "
                f"{beta[1:].max().item():g}"
            )
        alpha_bar = torch.cumprod(1 - beta, 0)
        posterior_var = torch.zeros_like(beta)
        posterior_var[1:] = beta[1:] * (1 - alpha_bar[:-1]) / (1 - alpha_bar[1:])
        tables = {
            "beta": beta,
            "alpha_step": 1 - beta,
            "alpha_bar": alpha_bar,
            "posterior_var": posterior_var,
        }
        for name, table in tables.items():
            object.__setattr__(self, name, table)

    @classmethod
    def from_alpha_bar(cls, alpha_bar: Tensor, max_beta: float = 0.999) -> "DiscreteSchedule":
        r"""The schedule with $\beta_t = \min(1 - \bar\alpha_t / \bar\alpha_{t-1}, \beta_{\max})$.

        Args:
            alpha_bar: (T + 1,), from exactly 1 down, never below 0.
            max_beta: where the betas are clipped; 1 for no clipping. A clipped schedule's own `alpha_bar`
                differs from the one given.
        """
        check_shape("alpha_bar", alpha_bar, ("T + 1",))
        alpha_bar = alpha_bar.to(torch.float64)
        falls = bool((alpha_bar[1:] < alpha_bar[:-1]).all()) and bool(alpha_bar[-1] >= 0)
        if alpha_bar[0] != 1 or not falls:
            raise ValueError(
                "alpha_bar must start at exactly 1 and fall at every step, not below 0, got values from "
                f"{alpha_bar[0].item():g} to {alpha_bar[-1].item():g}; "
                "divide by its first entry, so that alpha_bar[0] belongs to the data"
            )
        beta = (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=max_beta)
        return cls(torch.cat([beta.new_zeros(1), beta]))

    @property
    def T(self) -> int:
        """Number of steps."""
        return len(self.beta) - 1

    @property
    def t_max(self) -> float:
        """T."""
        return self.T

    def alpha(self, t: Tensor) -> Tensor:
        """sqrt(alpha_bar_t) for whole steps t (B,): (B,) float64."""
        return self._at(self.alpha_bar, t).sqrt()

    def sigma(self, t: Tensor) -> Tensor:
        """sqrt(1 - alpha_bar_t) for whole steps t (B,): (B,) float64."""
        return (1 - self._at(self.alpha_bar, t)).sqrt()

    def times(self, n: int) -> Tensor:
        """n + 1 steps, evenly spaced from T to 0 and rounded: int64. 1000, 950, ..., 50, 0 for n = 20."""
        _check_count(n, self.T)
        return torch.linspace(self.T, 0, n + 1, dtype=torch.float64).round().to(torch.int64)

    def _at(self, table: Tensor, t: Tensor) -> Tensor:
        check_steps(t, self.T)
        return table.to(t.device)[t]


def linear_schedule(T: int = 1000, beta_1: float = 1e-4, beta_T: float = 0.02) -> DiscreteSchedule:
    r"""Betas that grow evenly: $\beta_t = \beta_1 + \frac{t - 1}{T - 1} (\beta_T - \beta_1)$.

    The defaults belong together: with fewer steps and the same betas, x_T is not yet noise.

    Args:
        T: number of steps.
        beta_1: of the first step.
        beta_T: of the last.

    Returns:
        The schedule.

    Source: Ho, Jain & Abbeel 2020, section 4.
    Equation: diff-linear
    Test: tests/equations/test_diffusion.py::test_linear_betas_grow_evenly_and_end_in_noise
    """
    _check_T(T)
    return DiscreteSchedule(
        torch.cat(
            [torch.zeros(1, dtype=torch.float64), torch.linspace(beta_1, beta_T, T, dtype=torch.float64)]
        )
    )


def cosine_schedule(T: int = 1000, s: float = 0.008, max_beta: float = 0.999) -> DiscreteSchedule:
    r"""An alpha_bar that falls like a squared cosine, slowly at both ends.

    $\bar\alpha_t = f(t) / f(0), \quad f(t) = \cos^2 \Bigl( \frac{t/T + s}{1 + s} \cdot \frac{\pi}{2} \Bigr)$,
    and $\beta_t$ clipped at `max_beta`, since f(T) = 0.

    Args:
        T: number of steps.
        s: keeps beta_1 away from 0.
        max_beta: upper limit of the betas; it is reached at the last step, at most a few.

    Returns:
        The schedule; its `alpha_bar` is the product of the clipped steps.

    Source: Nichol & Dhariwal 2021, section 3.2.
    Equation: diff-cosine
    Test: tests/equations/test_diffusion.py::test_cosine_schedule_turns_an_angle_evenly
    """
    _check_T(T)
    u = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos((u + s) / (1 + s) * (math.pi / 2)).square()  # (T + 1,)
    return DiscreteSchedule.from_alpha_bar(f / f[0], max_beta)


@dataclass(frozen=True)
class CosineSchedule(Schedule):
    r"""The cosine schedule in continuous time: $\alpha(t) = \cos(\pi t / 2)$, $\sigma(t) = \sin(\pi t / 2)$.

    Its log-SNR is $-2 \log \tan(\pi t / 2)$. At t = 1 nothing is left of the data, so a noise prediction says
    nothing about x_0 there: predict v or x_0, or start samplers a little below 1.
    """

    @property
    def t_max(self) -> float:
        """1."""
        return 1.0

    def alpha(self, t: Tensor) -> Tensor:
        """cos(pi t / 2) for t (B,) in [0, 1]: (B,)."""
        _check_real(t, 1.0)
        # As a sine of the rest, which is exactly 0 at t = 1.
        return torch.sin((1 - t) * (math.pi / 2))

    def sigma(self, t: Tensor) -> Tensor:
        """sin(pi t / 2) for t (B,) in [0, 1]: (B,)."""
        _check_real(t, 1.0)
        return torch.sin(t * (math.pi / 2))

    def times(self, n: int) -> Tensor:
        """n + 1 times, evenly spaced from 1 to 0: float64."""
        _check_count(n)
        return torch.linspace(1, 0, n + 1, dtype=torch.float64)


@dataclass(frozen=True)
class EDMSchedule(Schedule):
    r"""Data that is never shrunk, and a time that is the noise level: $\alpha(t) = 1$, $\sigma(t) = t$.

    Args:
        sigma_min: the lowest noise level at which samplers evaluate the network, in units of x.
        sigma_max: the noise level at which they start; large beside the data's extent.
        rho: how much finer `times` is near the data; 1 is even.

    Raises:
        ValueError: unless 0 < sigma_min < sigma_max and rho > 0.

    Source: Karras et al. 2022, table 1, the column of their own method.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def __post_init__(self) -> None:
        if not (0 < self.sigma_min < self.sigma_max and self.rho > 0):
            raise ValueError(
                "0 < sigma_min < sigma_max and rho > 0 must hold, got "
                f"sigma_min {self.sigma_min}, sigma_max {self.sigma_max}, rho {self.rho}"
            )

    @property
    def t_max(self) -> float:
        """sigma_max."""
        return self.sigma_max

    def alpha(self, t: Tensor) -> Tensor:
        """1 for noise levels t (B,): (B,)."""
        _check_real(t, math.inf)
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        """The noise level t (B,) itself."""
        _check_real(t, math.inf)
        return t

    def times(self, n: int) -> Tensor:
        r"""n levels from sigma_max to sigma_min, evenly spaced in $\sigma^{1/\rho}$, then 0: (n + 1,)."""
        _check_count(n)
        root_max, root_min = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        levels = torch.linspace(root_max, root_min, n, dtype=torch.float64) ** self.rho
        levels[0] = self.sigma_max  # which the powers give up to rounding
        return torch.cat([levels, levels.new_zeros(1)])


def at_step(table: Tensor, t: Tensor, like: Tensor) -> Tensor:
    """Look one entry of a schedule's table up for each example, ready to meet a batch.

    Args:
        table: (T + 1,), such as `schedule.beta`.
        t: (B,) whole steps in 0..T.
        like: (B, ...), which the result is going to meet.

    Returns:
        (B, 1, ..., 1) table[t], in the dtype and on the device of `like`.

    Raises:
        ValueError: if t is not whole, out of range or not of shape (B,).
    """
    check_steps(t, len(table) - 1)
    return _broadcast(table.to(t.device)[t], like)


def draw_steps(n: int, schedule: DiscreteSchedule, generator: torch.Generator | None = None) -> Tensor:
    """Draw steps for a training batch, uniformly from 1..T; step 0, the data itself, is never drawn.

    Args:
        n: how many.
        schedule: gives T.
        generator: source of the draws.

    Returns:
        (n,) int64, on the generator's device.
    """
    return torch.randint(1, schedule.T + 1, (n,), generator=generator, device=draw_device(generator))


def check_steps(t: Tensor, T: int) -> None:
    """Raise unless t is a (B,) tensor of whole steps in 0..T."""
    check_shape("t", t, ("B",), "give one step per example")
    if t.is_floating_point() or t.dtype == torch.bool:
        raise ValueError(
            f"t must hold whole steps 0 .. {T} (int64) for a DiscreteSchedule, got {t.dtype}; "
            "use t.long(), or a continuous schedule for times in [0, 1]"
        )
    if t.numel() and not (int(t.min()) >= 0 and int(t.max()) <= T):
        raise ValueError(
            f"t must lie in 0 .. {T}, got {int(t.min())} to {int(t.max())}; "
            "step 1 is the first noisy one and step T the last"
        )


def exact(t: Tensor) -> Tensor:
    """Times in float64, in which coefficients are computed before they meet the data; steps as they are."""
    return t.double() if t.is_floating_point() else t


def _broadcast(values: Tensor, like: Tensor) -> Tensor:
    return expand_to(values.to(device=like.device, dtype=like.dtype), like)


def _check_real(t: Tensor, t_max: float) -> None:
    check_shape("t", t, ("B",), "give one time per example")
    if not t.is_floating_point():
        raise ValueError(f"t must hold real times for a continuous schedule, got {t.dtype}; use t / T")
    if t.numel() and not (float(t.min()) >= 0 and float(t.max()) <= t_max):
        raise ValueError(
            f"t must lie in [0, {t_max:g}], got {float(t.min()):g} to {float(t.max()):g}; divide steps by T"
        )


def _check_count(n: int, most: int | None = None) -> None:
    if n < 1 or (most is not None and n > most):
        limits = "at least 1" if most is None else f"in 1 .. T = {most}"
        raise ValueError(f"n, the number of network evaluations, must be {limits}, got {n}")


def _check_T(T: int) -> None:
    if T < 1:
        raise ValueError(f"T must be at least 1 step, got {T}")
