"""The forward process: its closed form, one step of its chain, and its posterior given both ends."""

from torch import Tensor

from dgm.diffusion.schedule import DiscreteSchedule, Schedule, at_step, exact
from dgm.tensor import check_same_shape, expand_to


def q_sample(x0: Tensor, t: Tensor, eps: Tensor, schedule: Schedule) -> Tensor:
    r"""Jump from the data to time t: a draw from q(x_t | x_0), given its noise.

    $x_t = \alpha_t x_0 + \sigma_t \varepsilon$, in the discrete form
    $\sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \varepsilon$.

    Args:
        x0: (B, ...) data.
        t: (B,) times.
        eps: (B, ...) draws from N(0, I).
        schedule: of the noise.

    Returns:
        (B, ...) x_t.

    Raises:
        ValueError: if the shapes do not fit or t is out of range.

    Source: Ho, Jain & Abbeel 2020, section 2.
    Equation: diff-marginal
    Test: tests/equations/test_diffusion.py::test_jump_has_the_moments_of_the_simulated_chain
    """
    check_same_shape("eps", eps, "x0", x0, "draw one eps for each entry of x0: randn_like(x0)")
    alpha, sigma = schedule.coefficients(t, x0)
    return alpha * x0 + sigma * eps


def forward_step(x_prev: Tensor, t: Tensor, eps: Tensor, schedule: DiscreteSchedule) -> Tensor:
    r"""Take one step of the chain: a draw from q(x_t | x_{t-1}), given its noise.

    $x_t = \sqrt{1 - \beta_t}\, x_{t-1} + \sqrt{\beta_t}\, \varepsilon$

    Args:
        x_prev: (B, ...) x_{t-1}.
        t: (B,) steps that are taken, in 1..T.
        eps: (B, ...) draws from N(0, I), fresh ones for each step.
        schedule: of the noise.

    Returns:
        (B, ...) x_t.

    Raises:
        ValueError: if the shapes do not fit or t is out of range.

    Source: Ho, Jain & Abbeel 2020, section 2.
    Equation: diff-step
    Test: tests/equations/test_diffusion.py::test_one_step_shrinks_and_adds_noise
    """
    check_same_shape("eps", eps, "x_prev", x_prev)
    beta = at_step(schedule.beta, t, x_prev)
    return (1 - beta).sqrt() * x_prev + beta.sqrt() * eps


def transition(t: Tensor, s: Tensor, schedule: Schedule) -> tuple[Tensor, Tensor]:
    r"""Factor and variance of q(x_t | x_s), the jump from one noisy time to a later one.

    $q(x_t \mid x_s) = \mathcal{N}(\alpha_{t|s} x_s, \sigma^2_{t|s} I), \quad
    \alpha_{t|s} = \alpha_t / \alpha_s, \quad \sigma^2_{t|s} = \sigma_t^2 - \alpha_{t|s}^2 \sigma_s^2$;
    for s = t - 1 these are $\sqrt{1 - \beta_t}$ and $\beta_t$.

    Args:
        t: (B,) times.
        s: (B,) earlier times, s <= t.
        schedule: of the noise.

    Returns:
        The factor (B,) and the variance (B,), in float64.

    Raises:
        ValueError: if a time s is later than its t.

    Source: Kingma et al. 2021, appendix A.
    """
    check_same_shape("s", s, "t", t)
    if not bool((s <= t).all()):
        raise ValueError("s must not be later than t: time runs from the data at 0 to the noise; swap them")
    t, s = exact(t), exact(s)
    factor = schedule.alpha(t) / schedule.alpha(s)
    # What rounding leaves below 0 where s = t is 0.
    var = (schedule.sigma(t).square() - factor.square() * schedule.sigma(s).square()).clamp(min=0)
    return factor, var


def posterior(
    x_t: Tensor, t: Tensor, x0: Tensor, schedule: Schedule, s: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    r"""Mean and variance of q(x_s | x_t, x_0): where a noisy point came from, for one who knows the data.

    $\tilde\mu = \frac{\alpha_{t|s} \sigma_s^2}{\sigma_t^2} x_t + \frac{\alpha_s \sigma_{t|s}^2}{\sigma_t^2}
    x_0, \quad \tilde\sigma^2 = \frac{\sigma_{t|s}^2 \sigma_s^2}{\sigma_t^2}$; for s = t - 1
    $\tilde\mu_t = \frac{\sqrt{\alpha_t} (1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t} x_t
    + \frac{\sqrt{\bar\alpha_{t-1}} \beta_t}{1 - \bar\alpha_t} x_0$ and
    $\tilde\beta_t = \frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t} \beta_t$.

    Args:
        x_t: (B, ...) points at time t.
        t: (B,) times, above 0.
        x0: (B, ...) the data, or an estimate of it.
        schedule: of the noise.
        s: (B,) earlier times; t - 1 when None.

    Returns:
        posterior_mean (B, ...) and posterior_var (B,), the same for all entries of an example; 0 at s = 0.

    Raises:
        ValueError: if the shapes do not fit, t is 0, or s is missing for a continuous schedule.

    Source: Ho, Jain & Abbeel 2020, section 2; for any s, Kingma et al. 2021, appendix A.
    Equation: diff-posterior, diff-posterior-var
    Test: tests/equations/test_diffusion.py::test_posterior_mean_is_bayes_rule
    """
    check_same_shape("x0", x0, "x_t", x_t)
    s = step_before(t, schedule) if s is None else s
    from_noisy, from_data, var = posterior_coefficients(t, s, schedule)
    mean = _like(from_noisy, x_t) * x_t + _like(from_data, x_t) * x0
    return mean, var.to(device=x_t.device, dtype=x_t.dtype)


def posterior_coefficients(t: Tensor, s: Tensor, schedule: Schedule) -> tuple[Tensor, Tensor, Tensor]:
    """The factor of x_t, the factor of x_0 and the variance of q(x_s | x_t, x_0), each (B,) in float64."""
    factor, var = transition(t, s, schedule)
    var_t, var_s = schedule.sigma(exact(t)).square(), schedule.sigma(exact(s)).square()
    if not bool((var_t > 0).all()):
        raise ValueError("t must be above 0: nothing comes before the data")
    return factor * var_s / var_t, schedule.alpha(exact(s)) * var / var_t, var * var_s / var_t


def step_before(t: Tensor, schedule: Schedule) -> Tensor:
    """t - 1, for a schedule that has steps."""
    if not isinstance(schedule, DiscreteSchedule):
        raise ValueError(f"s must be given for a {type(schedule).__name__}, whose time has no steps")
    if t.numel() and int(t.min()) < 1:
        raise ValueError(f"t must be at least 1: nothing comes before the data, got {int(t.min())}")
    return t - 1


def _like(values: Tensor, like: Tensor) -> Tensor:
    return expand_to(values.to(device=like.device, dtype=like.dtype), like)
