r"""What a network may predict, and the maps between these: x0, eps, v and the score say the same.

At a given $x_t = \alpha x_0 + \sigma \varepsilon$ each fixes the others:
$\varepsilon = (x_t - \alpha x_0) / \sigma$, $v = \alpha \varepsilon - \sigma x_0$,
$\nabla \log p_t(x_t) = -\varepsilon / \sigma$, where for the network x_0 and eps are conditional means.

A `Denoiser` is any callable `(x_t, t) -> x0_hat`. Samplers and guidance know nothing else of a model.
"""

from collections.abc import Callable

from torch import Tensor

from dgm.diffusion.schedule import Schedule
from dgm.tensor import check_same_shape

Denoiser = Callable[[Tensor, Tensor], Tensor]  # (x_t (B, ...), t (B,)) -> x0_hat (B, ...)

KINDS = ("x0", "eps", "v", "score")


def x0_from_eps(x_t: Tensor, t: Tensor, eps: Tensor, schedule: Schedule) -> Tensor:
    r"""The data that a noise implies: $x_0 = (x_t - \sigma \varepsilon) / \alpha$.

    An error in eps comes out sigma / alpha times as large: 200 times at the end of the linear schedule, more
    at the cosine's. Hence `clipped`.

    Args:
        x_t: (B, ...) noisy points.
        t: (B,) times.
        eps: (B, ...) noise.
        schedule: of the noise.

    Returns:
        (B, ...) x0.

    Source: Ho, Jain & Abbeel 2020, section 4.3.
    """
    check_same_shape("eps", eps, "x_t", x_t)
    alpha, sigma = schedule.coefficients(t, x_t)
    return (x_t - sigma * eps) / alpha


def x0_from_v(x_t: Tensor, t: Tensor, v: Tensor, schedule: Schedule) -> Tensor:
    r"""The data that a velocity implies: $x_0 = (\alpha x_t - \sigma v) / (\alpha^2 + \sigma^2)$.

    The denominator is 1 where the schedule preserves variance. Nothing is divided by a small number at any t.

    Args:
        x_t: (B, ...) noisy points.
        t: (B,) times.
        v: (B, ...) velocity.
        schedule: of the noise.

    Returns:
        (B, ...) x0.

    Source: Salimans & Ho 2022, appendix D.
    """
    check_same_shape("v", v, "x_t", x_t)
    alpha, sigma = schedule.coefficients(t, x_t)
    return (alpha * x_t - sigma * v) / (alpha.square() + sigma.square())


def x0_from_score(x_t: Tensor, t: Tensor, score: Tensor, schedule: Schedule) -> Tensor:
    r"""Tweedie's formula, the mean of the data given a noisy point from the score there.

    $\mathbb{E}[x_0 \mid x_t] = \bigl( x_t + \sigma^2 \nabla \log p_t(x_t) \bigr) / \alpha$

    Args:
        x_t: (B, ...) noisy points.
        t: (B,) times.
        score: (B, ...) gradient of log p_t at x_t, one over units of x.
        schedule: of the noise.

    Returns:
        (B, ...) x0_hat.

    Source: Efron 2011.
    Equation: diff-tweedie
    Test: tests/equations/test_diffusion.py::test_score_of_the_noisy_density_gives_the_conditional_means
    """
    check_same_shape("score", score, "x_t", x_t)
    alpha, sigma = schedule.coefficients(t, x_t)
    return (x_t + sigma.square() * score) / alpha


def eps_from_x0(x_t: Tensor, t: Tensor, x0: Tensor, schedule: Schedule) -> Tensor:
    r"""The noise that an estimate of the data leaves: $\varepsilon = (x_t - \alpha x_0) / \sigma$.

    Args:
        x_t: (B, ...) noisy points.
        t: (B,) times, above 0.
        x0: (B, ...) data.
        schedule: of the noise.

    Returns:
        (B, ...) eps.

    Source: Ho, Jain & Abbeel 2020, section 3.2.
    """
    check_same_shape("x0", x0, "x_t", x_t)
    alpha, sigma = schedule.coefficients(t, x_t)
    return (x_t - alpha * x0) / sigma


def v_from_x0(x_t: Tensor, t: Tensor, x0: Tensor, schedule: Schedule) -> Tensor:
    r"""The velocity at an estimate of the data: $v = \alpha \varepsilon - \sigma x_0$.

    Args:
        x_t: (B, ...) noisy points.
        t: (B,) times, above 0.
        x0: (B, ...) data.
        schedule: of the noise.

    Returns:
        (B, ...) v.

    Source: Salimans & Ho 2022, section 4.
    """
    alpha, sigma = schedule.coefficients(t, x_t)
    return alpha * eps_from_x0(x_t, t, x0, schedule) - sigma * x0


def score_from_x0(x_t: Tensor, t: Tensor, x0: Tensor, schedule: Schedule) -> Tensor:
    r"""The score that a conditional mean of the data implies.

    $\nabla \log p_t(x_t) = (\alpha\, \mathbb{E}[x_0 \mid x_t] - x_t) / \sigma^2$

    Args:
        x_t: (B, ...) noisy points.
        t: (B,) times, above 0.
        x0: (B, ...) the mean of the data given x_t.
        schedule: of the noise.

    Returns:
        (B, ...) score.

    Source: Efron 2011.
    Equation: diff-tweedie
    Test: tests/equations/test_diffusion.py::test_score_of_the_noisy_density_gives_the_conditional_means
    """
    check_same_shape("x0", x0, "x_t", x_t)
    alpha, sigma = schedule.coefficients(t, x_t)
    return (alpha * x0 - x_t) / sigma.square()


def convert(
    prediction: Tensor, x_t: Tensor, t: Tensor, schedule: Schedule, source: str, target: str
) -> Tensor:
    """Turn a prediction of one kind into another kind, at the same x_t.

    Args:
        prediction: (B, ...) of the kind `source`.
        x_t: (B, ...) the noisy points it was made at.
        t: (B,) times.
        schedule: of the noise.
        source: "x0", "eps", "v" or "score".
        target: likewise.

    Returns:
        (B, ...) of the kind `target`.

    Raises:
        ValueError: on another kind, or shapes that do not fit.
    """
    check_kind("source", source)
    check_kind("target", target)
    check_same_shape("prediction", prediction, "x_t", x_t)
    if source == target:
        return prediction
    alpha, sigma = schedule.coefficients(t, x_t)
    if target == "x0":
        return _to_x0(prediction, x_t, t, schedule, source)
    eps = _to_eps(prediction, x_t, alpha, sigma, source)
    if target == "eps":
        return eps
    if target == "score":
        return -eps / sigma
    return alpha * eps - sigma * _to_x0(prediction, x_t, t, schedule, source)


def training_target(kind: str, x0: Tensor, t: Tensor, eps: Tensor, schedule: Schedule) -> Tensor:
    r"""What a network that predicts `kind` is trained towards, from the data and the noise that was drawn.

    x0: $x_0$; eps: $\varepsilon$, the whole noise between x_0 and x_t; v: $\alpha \varepsilon - \sigma x_0$;
    score: $-\varepsilon / \sigma$, the score of q(x_t | x_0).

    Args:
        kind: "x0", "eps", "v" or "score".
        x0: (B, ...) data.
        t: (B,) times.
        eps: (B, ...) the noise that made x_t.
        schedule: of the noise.

    Returns:
        (B, ...).

    Raises:
        ValueError: on another kind, or shapes that differ.
    """
    check_kind("kind", kind)
    check_same_shape("eps", eps, "x0", x0)
    if kind == "x0":
        return x0
    if kind == "eps":
        return eps
    alpha, sigma = schedule.coefficients(t, x0)
    return alpha * eps - sigma * x0 if kind == "v" else -eps / sigma


def make_denoiser(
    network: Callable[..., Tensor], schedule: Schedule, predicts: str = "eps", *, y: Tensor | None = None
) -> Denoiser:
    """Turn a network that predicts x0, eps, v or the score into a denoiser.

    Args:
        network: (x_t (B, ...), t (B,)) -> prediction (B, ...), or (x_t, t, y) where `y` is given.
        schedule: of the noise.
        predicts: "x0", "eps", "v" or "score".
        y: (B,) labels, handed to the network as its third argument.

    Returns:
        (x_t, t) -> x0_hat.

    Raises:
        ValueError: on another kind.
    """
    check_kind("predicts", predicts)

    def denoiser(x_t: Tensor, t: Tensor) -> Tensor:
        prediction = network(x_t, t) if y is None else network(x_t, t, y)
        return convert(prediction, x_t, t, schedule, predicts, "x0")

    return denoiser


def clipped(denoiser: Denoiser, low: float = -1.0, high: float = 1.0) -> Denoiser:
    """Keep a denoiser's estimates where the data can be.

    A noise prediction's x0_hat is off by sigma / alpha times its error; early in sampling that is far outside
    the range of any image. Around guidance, not inside it: guided estimates overshoot as well.

    Args:
        denoiser: (x_t, t) -> x0_hat.
        low: the smallest value that an entry of the data takes.
        high: the largest.

    Returns:
        (x_t, t) -> x0_hat, clamped.

    Raises:
        ValueError: if low is not below high.

    Source: Ho, Jain & Abbeel 2020, their code.
    """
    if not low < high:
        raise ValueError(f"low must be below high, got {low} and {high}")

    def inside(x_t: Tensor, t: Tensor) -> Tensor:
        return denoiser(x_t, t).clamp(low, high)

    return inside


def check_kind(name: str, kind: str) -> None:
    """Raise unless `kind` is one of the four."""
    if kind not in KINDS:
        raise ValueError(f"{name} must be one of {', '.join(KINDS)}, got {kind!r}")


def _to_x0(prediction: Tensor, x_t: Tensor, t: Tensor, schedule: Schedule, source: str) -> Tensor:
    if source == "x0":
        return prediction
    maps = {"eps": x0_from_eps, "v": x0_from_v, "score": x0_from_score}
    return maps[source](x_t, t, prediction, schedule)


def _to_eps(prediction: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor, source: str) -> Tensor:
    """Not by way of x0, which a noise does not fix where alpha is 0."""
    if source == "eps":
        return prediction
    if source == "score":
        return -sigma * prediction
    if source == "v":
        return (sigma * x_t + alpha * prediction) / (alpha.square() + sigma.square())
    return (x_t - alpha * prediction) / sigma
