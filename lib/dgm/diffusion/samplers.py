r"""From noise to data: samplers with one signature, each a generator of the steps it takes.

`sampler(denoiser, x_T, schedule, times, ...)` yields one `Step` per time: its state, and the estimate of the
data there. The first holds x_T, the last the sample. `times` runs from the noise to exactly 0, so that no
sampler stops short of x_0, and at the last step none adds noise.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dgm.bar import Bar
from dgm.diffusion.predictions import Denoiser
from dgm.diffusion.process import posterior, posterior_coefficients
from dgm.diffusion.reverse import predict, step_logvar
from dgm.diffusion.schedule import DiscreteSchedule, Schedule
from dgm.tensor import draw_device, randn_like


class Step(NamedTuple):
    """Where a sampler is."""

    t: float  # time of x_t: a whole step of a discrete schedule; the last one's is 0
    x_t: Tensor  # (B, ...) the state at time t; at t = 0 the sample
    x0_hat: Tensor  # (B, ...) the denoiser's estimate of the data from x_t; at t = 0 the sample itself


Times = Tensor | int | None


@torch.no_grad()
def ancestral(
    denoiser: Denoiser,
    x_T: Tensor,
    schedule: Schedule,
    times: Times = None,
    *,
    variance: str = "small",
    generator: torch.Generator | None = None,
) -> Iterator[Step]:
    r"""Sample the reverse chain, DDPM's way: a draw from p(x_s | x_t) at each step.

    $x_s = \tilde\mu(x_t, \hat x_0) + \sigma z, \quad z \sim \mathcal{N}(0, I)$, and $x_0 = \hat x_0$ without
    noise at the last step.

    Args:
        denoiser: (x_t, t) -> x0_hat; a `VarianceDenoiser` for the learned variance.
        x_T: (B, ...) noise: `initial_noise`.
        schedule: of the noise.
        times: an int n for `schedule.times(n)`, or a decreasing tensor (n + 1,) that ends in 0; None for all
            T.
        variance: of each step: "small" (the posterior's), "large" (the forward step's) or "learned".
        generator: source of the noise.

    Yields:
        n + 1 `Step`s, the last at t = 0.

    Raises:
        ValueError: on times that do not fit, or another variance.

    Source: Ho, Jain & Abbeel 2020, algorithm 2; fewer steps: Nichol & Dhariwal 2021, section 4.
    Equation: diff-ancestral
    Test: tests/equations/test_diffusion.py::test_ancestral_step_has_the_models_moments
    """
    x = x_T
    for t, s in pairwise(_times(times, schedule)):
        batch_t, batch_s = _full(t, x), _full(s, x)
        x0_hat, fraction = predict(denoiser, x, batch_t, variance)
        yield Step(t.item(), x, x0_hat)
        mean = posterior(x, batch_t, x0_hat, schedule, batch_s)[0]
        if s > 0:
            logvar = step_logvar(fraction, batch_t, batch_s, x, schedule, variance)
            mean = mean + torch.exp(0.5 * logvar) * randn_like(x, generator)
        x = mean
    yield Step(0, x, x)


@torch.no_grad()
def ddim(
    denoiser: Denoiser,
    x_T: Tensor,
    schedule: Schedule,
    times: Times = None,
    *,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
) -> Iterator[Step]:
    r"""Sample a process with the same marginals and less noise, DDIM; deterministic at eta = 0.

    $x_s = \alpha_s \hat x_0 + \sqrt{\sigma_s^2 - \tilde\sigma^2}\, \hat\varepsilon + \tilde\sigma z$ with
    $\hat\varepsilon = (x_t - \alpha_t \hat x_0) / \sigma_t$ and $\tilde\sigma$ = eta times the posterior's
    standard deviation. eta = 1 is `ancestral` with the small variance.

    Args:
        denoiser: (x_t, t) -> x0_hat.
        x_T: (B, ...) noise: `initial_noise`.
        schedule: of the noise.
        times: an int n for `schedule.times(n)`, or a decreasing tensor (n + 1,) that ends in 0; None for all
            T.
        eta: how much of the posterior's noise is added, in [0, 1].
        generator: source of the noise; nothing is drawn at eta = 0.

    Yields:
        n + 1 `Step`s, the last at t = 0.

    Raises:
        ValueError: on times that do not fit, or an eta outside [0, 1].

    Source: Song, Meng & Ermon 2021, section 4.1.
    Equation: guide-family, guide-marginals, guide-ddim, guide-eta, guide-deterministic
    Test: tests/equations/test_guidance.py::test_a_step_puts_data_old_noise_and_fresh_noise_together
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must lie in [0, 1], got {eta}; 0 is deterministic, 1 is DDPM")
    x = x_T
    for t, s in pairwise(_times(times, schedule)):
        alpha_s, sigma_s = _at(s, schedule)
        x0_hat, eps_hat = _estimates(denoiser, x, t, schedule)
        yield Step(t.item(), x, x0_hat)
        noise_var = eta**2 * posterior_coefficients(t[None], s[None], schedule)[2].item()  # 0 at s = 0
        x = alpha_s * x0_hat + max(sigma_s**2 - noise_var, 0.0) ** 0.5 * eps_hat
        if noise_var > 0:
            x = x + noise_var**0.5 * randn_like(x, generator)
    yield Step(0, x, x)


@torch.no_grad()
def heun(
    denoiser: Denoiser,
    x_T: Tensor,
    schedule: Schedule,
    times: Times = None,
) -> Iterator[Step]:
    r"""Follow the same path as DDIM, with steps of second order: 2n - 1 evaluations for n steps.

    In $y = x / \alpha$ and $r = \sigma / \alpha$ the path of every schedule is $dy/dr = \hat\varepsilon$. A
    step goes from r_t to r_s along the slope at t (that is DDIM), looks at the slope there, and goes again
    along the mean of the two. The last step, to r = 0, is DDIM's.

    Args:
        denoiser: (x_t, t) -> x0_hat.
        x_T: (B, ...) noise: `initial_noise`.
        schedule: of the noise; `EDMSchedule` makes this the sampler of its paper.
        times: an int n for `schedule.times(n)`, or a decreasing tensor (n + 1,) that ends in 0; None for all
            T.

    Yields:
        n + 1 `Step`s, the last at t = 0; x0_hat is that of the first of a step's two evaluations.

    Raises:
        ValueError: on times that do not fit, or a first time at which nothing of the data is left.

    Source: Karras et al. 2022, algorithm 1.
    """
    x = x_T
    for t, s in pairwise(_times(times, schedule)):
        (alpha_t, sigma_t), (alpha_s, sigma_s) = _at(t, schedule), _at(s, schedule)
        if alpha_t == 0:
            raise ValueError(f"alpha is 0 at t = {t.item():g}: x / alpha has no value; start below it")
        x0_hat, slope = _estimates(denoiser, x, t, schedule)
        yield Step(t.item(), x, x0_hat)
        if s == 0:
            x = x0_hat
            break
        y, dr = x / alpha_t, sigma_s / alpha_s - sigma_t / alpha_t
        _, slope_there = _estimates(denoiser, alpha_s * (y + dr * slope), s, schedule)
        x = alpha_s * (y + dr * (slope + slope_there) / 2)
    yield Step(0, x, x)


@torch.no_grad()
def ddim_invert(
    denoiser: Denoiser,
    x0: Tensor,
    schedule: Schedule,
    times: Times = None,
    *,
    iterations: int = 1,
) -> Iterator[Step]:
    r"""Run DDIM (eta = 0) backwards, from the data to the noise that it comes from.

    DDIM's step from t to s, solved for x_t:
    $x_t = \frac{\alpha_t}{\alpha_s} x_s + \bigl( \sigma_t - \frac{\alpha_t}{\alpha_s} \sigma_s \bigr)
    \hat\varepsilon(x_t, t)$. The right side needs x_t itself. The first iteration takes
    $\hat\varepsilon(x_s, s)$ in its stead, which is right for small steps (at s = 0, where a point has no
    noise to estimate, $\hat\varepsilon$ at time t of the shrunk point); each further one puts the last result
    in.

    Args:
        denoiser: (x_t, t) -> x0_hat.
        x0: (B, ...) data.
        schedule: of the noise.
        times: the sampler's: an int n, or a decreasing tensor (n + 1,) that ends in 0; None for all T. They
            are run through upwards.
        iterations: network evaluations per step.

    Yields:
        n + 1 `Step`s, the first at t = 0, the last at the first of the times, whose x_t is the code; x0_hat
        is the estimate by which x_t was reached.

    Raises:
        ValueError: on times that do not fit, or fewer than one iteration.

    Source: Song, Meng & Ermon 2021, section 4.3; iterated: Pan et al. 2023.
    Equation: guide-inversion
    Test: tests/equations/test_guidance.py::test_inversion_solves_each_steps_equation
    """
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, got {iterations}")
    x = x0
    yield Step(0, x, x)
    for s, t in pairwise(_times(times, schedule).flip(0)):
        (alpha_t, sigma_t), (alpha_s, sigma_s) = _at(t, schedule), _at(s, schedule)
        shrunk, factor = alpha_t / alpha_s * x, sigma_t - alpha_t / alpha_s * sigma_s
        x0_hat, eps_hat = _estimates(denoiser, *((x, s) if s > 0 else (shrunk, t)), schedule)
        for _ in range(iterations - 1):
            x0_hat, eps_hat = _estimates(denoiser, shrunk + factor * eps_hat, t, schedule)
        x = shrunk + factor * eps_hat
        yield Step(t.item(), x, x0_hat)


def initial_noise(
    shape: tuple[int, ...],
    schedule: Schedule,
    generator: torch.Generator | None = None,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    r"""Draw the x_T that samplers start from: $\sigma(t_{\max})\, \varepsilon$.

    Args:
        shape: (B, ...).
        schedule: of the noise.
        generator: source of the noise.
        dtype: torch's default dtype when None.
        device: that of the generator when None.

    Returns:
        (B, ...).
    """
    eps = torch.randn(shape, generator=generator, dtype=dtype, device=draw_device(generator)).to(device)
    _, sigma = _at(_times(1, schedule)[0], schedule)
    return sigma * eps


def sample(
    sampler: Callable[..., Iterator[Step]],
    denoiser: Denoiser,
    x_T: Tensor,
    schedule: Schedule,
    times: Times = None,
    *,
    progress: bool = True,
    **options: Any,
) -> Tensor:
    """Run a sampler to its end, with a progress bar: `sample(ddim, denoiser, x_T, schedule, 20, eta=0.5)`.

    Args:
        sampler: `ancestral`, `ddim`, `heun`, or any generator of steps with their signature.
        denoiser: (x_t, t) -> x0_hat.
        x_T: (B, ...) noise: `initial_noise`.
        schedule: of the noise.
        times: an int n, a decreasing tensor (n + 1,) that ends in 0, or None for all T.
        progress: show the bar.
        **options: the sampler's own, such as `eta` and `generator`.

    Returns:
        (B, ...) the last step's x_t: the sample.
    """
    times = _times(times, schedule)
    with Bar(len(times) - 1, enabled=progress) as bar:
        for done, step in enumerate(sampler(denoiser, x_T, schedule, times, **options)):
            if bar.due or done == bar.total:
                bar.show(done, f"t = {step.t:.4g}")
    return step.x_t


def _times(times: Times, schedule: Schedule) -> Tensor:
    """The times (n + 1,) that are meant, decreasing and with 0 at their end."""
    if times is None:
        if not isinstance(schedule, DiscreteSchedule):
            raise ValueError(f"times must be given for a {type(schedule).__name__}; 20 is a good start")
        return schedule.times(schedule.T)
    if isinstance(times, int):
        return schedule.times(times)
    if times.ndim != 1 or len(times) < 2 or not bool((times.diff() < 0).all()):
        raise ValueError(
            f"times must be a decreasing tensor (n + 1,), got {times.tolist()!r:.60}; "
            "an int n gives schedule.times(n)"
        )
    if times[-1] != 0:
        raise ValueError(
            f"times must end in 0, the data, got {times[-1].item():g} last: a sampler that stops there "
            "returns a noisy x_t; append a 0"
        )
    return times.cpu()


def _estimates(denoiser: Denoiser, x: Tensor, t: Tensor, schedule: Schedule) -> tuple[Tensor, Tensor]:
    """x0_hat and the eps_hat that goes with it, at one time (0-d) above 0."""
    alpha, sigma = _at(t, schedule)
    x0_hat = denoiser(x, _full(t, x))
    return x0_hat, (x - alpha * x0_hat) / sigma


def _full(t: Tensor, x: Tensor) -> Tensor:
    """One time (0-d) for every example of a batch: (B,), real times in the dtype of x."""
    return torch.full(
        (len(x),), t.item(), dtype=x.dtype if t.is_floating_point() else t.dtype, device=x.device
    )


def _at(t: Tensor, schedule: Schedule) -> tuple[float, float]:
    """alpha and sigma at one time (0-d)."""
    t = (t.double() if t.is_floating_point() else t)[None]
    return schedule.alpha(t).item(), schedule.sigma(t).item()
