"""The equations of chapter 08_guidance, each against something that does not come from dgm."""

import math
from itertools import pairwise

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal, kl_divergence

from dgm.diffusion import (
    ExactMixture,
    ancestral,
    classifier_free,
    classifier_guided,
    cosine_schedule,
    ddim,
    ddim_invert,
    eps_from_x0,
    linear_schedule,
    sample,
    score_from_x0,
    variational_weight,
)
from vae_anchors import variance_z_score, z_score

F64 = torch.float64
SHORT = linear_schedule(20, 0.01, 0.4)
FINE = cosine_schedule(1000)
BAR = np.cumprod(1 - SHORT.beta.numpy())  # alpha_bar_t of the short chain, with 1 in front
JUMP = torch.tensor([12, 7, 0])  # a step that is not from t to t - 1, and the last one

MEANS, STDS, WEIGHTS = [-0.8, 0.9], [0.6, 0.4], [0.35, 0.65]  # two classes on the line
LINE = ExactMixture.isotropic([[m] for m in MEANS], STDS, WEIGHTS)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=rng(seed), dtype=F64)


def full(t: int, n: int) -> Tensor:
    return torch.full((n,), t, dtype=torch.int64)


def close(actual: Tensor, expected: Tensor | float, rtol: float = 1e-8, atol: float = 1e-10) -> None:
    expected = torch.as_tensor(expected, dtype=actual.dtype)
    torch.testing.assert_close(actual, expected.expand_as(actual), rtol=rtol, atol=atol)


def constant(value: float):  # a denoiser that knows x0
    return lambda x, t: torch.full_like(x, value)


def step_of(x_t: float, x0: float, eta: float, seed: int = 0) -> float:
    """One of dgm's steps from t = 12 to s = 7, told x0."""
    x = torch.tensor([[x_t]], dtype=F64)
    return list(ddim(constant(x0), x, SHORT, JUMP, eta=eta, generator=rng(seed)))[1].x_t.item()


def parts_of_a_step(eta: float) -> tuple[float, float, float]:
    """Its factors of x_t, of x0 and of the fresh noise: differences of a map linear in all three."""
    base = step_of(0.0, 0.0, eta)
    z = torch.randn(1, 1, generator=rng(), dtype=F64).item()
    return step_of(1.0, 0.0, eta) - base, step_of(0.0, 1.0, eta) - base, base / z


def conditioned(t: int, s: int) -> tuple[float, float, float]:
    """Of q(x_s | x_t, x0) in the chain: factors of x_t and x0, variance; a joint Gaussian conditioned."""
    covariance = math.sqrt(BAR[t] / BAR[s]) * (1 - BAR[s])  # of x_s and x_t given x0: noise of x_s, shrunk
    of_noisy = covariance / (1 - BAR[t])
    variance = (1 - BAR[s]) - covariance**2 / (1 - BAR[t])
    return of_noisy, math.sqrt(BAR[s]) - of_noisy * math.sqrt(BAR[t]), variance


def mixture_at(t: int, schedule, classes=(0, 1)) -> MixtureSameFamily:
    """The density of noisy points of some of the classes of LINE, by torch."""
    bar = schedule.alpha_bar[t].item()
    m = torch.tensor([MEANS[k] for k in classes], dtype=F64) * math.sqrt(bar)
    v = bar * torch.tensor([STDS[k] for k in classes], dtype=F64) ** 2 + 1 - bar
    weights = torch.tensor([WEIGHTS[k] for k in classes], dtype=F64)
    return MixtureSameFamily(Categorical(weights), Normal(m, v.sqrt()))


def log_class(x: Tensor, t: int, schedule) -> Tensor:
    """log p_t(y = 1 | x_t) for LINE, by torch."""
    joint = math.log(WEIGHTS[1]) + mixture_at(t, schedule, (1,)).log_prob(x)
    return joint - mixture_at(t, schedule).log_prob(x)


def gradient(function, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(function(x).sum(), x)[0]


def guided_both_ways(w: float, schedule, n: int):
    """By dgm: with the exact classifier, and without one."""
    y = torch.ones(n, dtype=torch.int64)
    plain, knowing = LINE.denoiser(schedule), LINE.denoiser(schedule, y)
    return classifier_guided(plain, LINE.classifier(schedule), y, schedule, w), classifier_free(
        knowing, plain, w
    )


@pytest.mark.equation("guide-family")
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_a_step_is_the_only_linear_one_with_the_right_marginal(eta):
    a, b, fresh = parts_of_a_step(eta)
    assert a * math.sqrt(BAR[12]) + b == pytest.approx(math.sqrt(BAR[7]))  # the factor of x0
    assert a**2 * (1 - BAR[12]) + fresh**2 == pytest.approx(1 - BAR[7])  # the variance
    assert a > 0
    of_noisy, of_data, variance = conditioned(12, 7)
    if eta == 1:  # DDPM's posterior is a member
        assert (a, b, abs(fresh)) == pytest.approx((of_noisy, of_data, math.sqrt(variance)))
    else:
        assert a > of_noisy + 1e-3  # and the others keep more of the old noise


@pytest.mark.equation("guide-marginals")
@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_marginals_stay_all_the_way_down(eta):
    n, x0 = 20_000, 1.3
    x_T = math.sqrt(BAR[20]) * x0 + math.sqrt(1 - BAR[20]) * randn(n, 1)
    times = torch.tensor([20, 16, 9, 3, 1, 0])
    for step in ddim(constant(x0), x_T, SHORT, times, eta=eta, generator=rng(1)):
        bar = BAR[int(step.t)]
        if step.t == 0:
            close(step.x_t, x0)
        else:
            assert abs(float(z_score(step.x_t, math.sqrt(bar) * x0))) < 4
            assert abs(variance_z_score(step.x_t[:, 0], 1 - bar)) < 4


@pytest.mark.equation("guide-loss")
@pytest.mark.parametrize("eta", [0.3, 0.8, 1.0])
def test_every_members_kl_is_a_weight_times_one_error(eta):
    x_t, x0, x0_hat = 0.4, 1.1, -0.2
    a, b, fresh = parts_of_a_step(eta)
    true, model = (Normal(torch.tensor(a * x_t + b * x, dtype=F64), abs(fresh)) for x in (x0, x0_hat))
    eps, eps_hat = ((x_t - math.sqrt(BAR[12]) * x) / math.sqrt(1 - BAR[12]) for x in (x0, x0_hat))
    ratio = math.sqrt((1 - BAR[12]) / BAR[12])
    weight = (math.sqrt(BAR[7]) * ratio - math.sqrt(1 - BAR[7] - fresh**2)) ** 2 / (2 * fresh**2)
    assert kl_divergence(true, model).item() == pytest.approx(weight * (eps - eps_hat) ** 2)


@pytest.mark.equation("guide-loss")
def test_ddpms_member_has_the_bounds_weight():
    for t in (2, 9, 20):
        variance = conditioned(t, t - 1)[2]
        root = math.sqrt(BAR[t - 1]) * math.sqrt((1 - BAR[t]) / BAR[t]) - math.sqrt(1 - BAR[t - 1] - variance)
        assert variational_weight(full(t, 1), SHORT, "eps").item() == pytest.approx(root**2 / (2 * variance))


@pytest.mark.equation("guide-ddim")
@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_a_step_puts_data_old_noise_and_fresh_noise_together(eta):
    x = randn(6, 2)
    denoiser = ExactMixture.isotropic([[1.0, 0.0], [-1.0, 0.5]], [0.5, 0.7]).denoiser(SHORT)
    first, second, last = ddim(denoiser, x, SHORT, JUMP, eta=eta, generator=rng(3))
    x0_hat = denoiser(x, full(12, 6))
    eps_hat = (x - math.sqrt(BAR[12]) * x0_hat) / math.sqrt(1 - BAR[12])
    fresh = eta * math.sqrt(conditioned(12, 7)[2])
    z = torch.randn(6, 2, generator=rng(3), dtype=F64)
    close(second.x_t, math.sqrt(BAR[7]) * x0_hat + math.sqrt(1 - BAR[7] - fresh**2) * eps_hat + fresh * z)
    close(first.x0_hat, x0_hat)
    close(last.x_t, denoiser(second.x_t, full(7, 6)))  # the last step lands on the guess


@pytest.mark.equation("guide-eta")
def test_eta_scales_the_posteriors_deviation():
    exact = math.sqrt(conditioned(12, 7)[2])
    for eta in (0.0, 0.25, 1.0):
        assert abs(parts_of_a_step(eta)[2]) == pytest.approx(eta * exact, abs=1e-12)
    bar_t, bar_s = BAR[12], BAR[7]
    assert exact == pytest.approx(math.sqrt((1 - bar_s) / (1 - bar_t)) * math.sqrt(1 - bar_t / bar_s))
    for t in range(2, 21):  # steps of one: the table of chapter 07, from conditioning
        assert SHORT.posterior_var[t].item() == pytest.approx(conditioned(t, t - 1)[2])
    for one, other in zip(
        ddim(LINE.denoiser(SHORT), randn(5, 1), SHORT, eta=1.0, generator=rng(2)),
        ancestral(LINE.denoiser(SHORT), randn(5, 1), SHORT, generator=rng(2)),
        strict=True,
    ):
        close(one.x_t, other.x_t)


def slope_by_torch(y: np.ndarray, r: float) -> np.ndarray:
    """eps_hat of LINE at x = y / sqrt(1 + r^2), alpha_bar = 1 / (1 + r^2), from torch's density of y."""
    x = torch.from_numpy(y)
    law = MixtureSameFamily(
        Categorical(torch.tensor(WEIGHTS, dtype=F64)),
        Normal(torch.tensor(MEANS, dtype=F64), (torch.tensor(STDS, dtype=F64) ** 2 + r**2).sqrt()),
    )
    return -r * gradient(law.log_prob, x).numpy()  # in y the noise has deviation r, so eps_hat = -r score


@pytest.mark.equation("guide-deterministic")
def test_ddim_solves_the_differential_equation():
    x_T = torch.tensor([[-1.5], [-0.3], [0.2], [1.1]], dtype=F64)
    top = 980
    r_top = math.sqrt((1 - FINE.alpha_bar[top]) / FINE.alpha_bar[top])
    start = (x_T * math.sqrt(1 + r_top**2))[:, 0].numpy()
    solved = scipy.integrate.solve_ivp(
        lambda r, y: slope_by_torch(y, r), (r_top, 0.0), start, rtol=1e-9, atol=1e-10
    ).y[:, -1]
    errors = []
    for stride in (20, 10, 5):
        times = torch.arange(top, -1, -stride)
        end = sample(ddim, LINE.denoiser(FINE), x_T, FINE, times, progress=False)[:, 0]
        errors.append(np.abs(end.numpy() - solved).max())
    assert errors[-1] < 0.02
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.2)  # first order
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.2)


@pytest.mark.equation("guide-deterministic")
def test_one_step_is_eulers():
    x = randn(5, 1)
    _, second, _ = ddim(LINE.denoiser(SHORT), x, SHORT, JUMP)
    r_t, r_s = (math.sqrt((1 - BAR[u]) / BAR[u]) for u in (12, 7))
    y = x / math.sqrt(BAR[12])
    euler = y[:, 0].numpy() + (r_s - r_t) * slope_by_torch(y[:, 0].numpy(), r_t)
    close(second.x_t[:, 0] / math.sqrt(BAR[7]), torch.from_numpy(euler))


@pytest.mark.equation("guide-inversion")
def test_inversion_solves_each_steps_equation():
    denoiser = LINE.denoiser(SHORT)
    x0 = torch.tensor([[-1.0], [0.3], [1.4]], dtype=F64)
    states = [step.x_t for step in ddim_invert(denoiser, x0, SHORT, 20, iterations=60)]
    times = SHORT.times(20).flip(0).tolist()
    for (s, t), (x_s, x_t) in zip(pairwise(times), pairwise(states), strict=True):
        wanted = x_s[:, 0].numpy()

        def off(x, s=s, t=t, wanted=wanted):  # DDIM's step from t to s in plain numbers, less x_s
            slope = slope_by_torch(x / math.sqrt(BAR[t]), math.sqrt((1 - BAR[t]) / BAR[t]))
            data = (x - math.sqrt(1 - BAR[t]) * slope) / math.sqrt(BAR[t])
            return math.sqrt(BAR[s]) * data + math.sqrt(1 - BAR[s]) * slope - wanted

        found = scipy.optimize.root(off, wanted, tol=1e-12).x
        close(x_t[:, 0], torch.from_numpy(found), rtol=1e-6, atol=1e-7)


@pytest.mark.equation("guide-inversion")
def test_the_explicit_step_takes_the_slope_of_the_point_it_is_at():
    x0, times = torch.tensor([[0.7], [-0.4]], dtype=F64), torch.tensor([12, 7, 0])
    _, first, second = ddim_invert(LINE.denoiser(SHORT), x0, SHORT, times)
    x = first.x_t[:, 0].numpy()
    slope = slope_by_torch(x / math.sqrt(BAR[7]), math.sqrt((1 - BAR[7]) / BAR[7]))
    shrink = math.sqrt(BAR[12] / BAR[7])
    expected = shrink * x + (math.sqrt(1 - BAR[12]) - shrink * math.sqrt(1 - BAR[7])) * slope
    close(second.x_t[:, 0], torch.from_numpy(expected))


@pytest.mark.equation("guide-bayes")
@pytest.mark.parametrize("t", [1, 200, 700, 990])
def test_scores_add_up_to_the_score_of_the_class(t):
    x = 2 * randn(7, 1)
    of_class = gradient(lambda u: mixture_at(t, FINE, (1,)).log_prob(u), x)
    of_judge = gradient(lambda u: LINE.classifier(FINE)(u, full(t, 7))[:, 1], x)
    close(LINE.score(x, full(t, 7), FINE) + of_judge, of_class, rtol=1e-6, atol=1e-8)


@pytest.mark.equation("guide-classifier")
@pytest.mark.parametrize("t", [30, 400, 900])
@pytest.mark.parametrize("w", [0.5, 1.0, 3.0])
def test_a_classifier_changes_the_noise_by_its_gradient_and_the_root(t, w):
    x = 2 * randn(7, 1)
    bar = FINE.alpha_bar[t].item()
    guided, _ = guided_both_ways(w, FINE, 7)
    got = eps_from_x0(x, full(t, 7), guided(x, full(t, 7)), FINE)
    noise = -math.sqrt(1 - bar) * gradient(mixture_at(t, FINE).log_prob, x)
    steered = noise - w * math.sqrt(1 - bar) * gradient(lambda u: log_class(u, t, FINE), x)
    close(got, steered, rtol=1e-6, atol=1e-8)
    if w == 1:  # Bayes' rule: the noise of the class itself
        of_class = gradient(lambda u: mixture_at(t, FINE, (1,)).log_prob(u), x)
        close(got, -math.sqrt(1 - bar) * of_class, rtol=1e-6, atol=1e-8)


@pytest.mark.equation("guide-cfg")
@pytest.mark.parametrize("w", [0.0, 0.5, 1.0, 4.0])
def test_without_a_classifier_the_difference_of_two_noises_is_scaled(w):
    t, x = 400, 2 * randn(7, 1)
    root = math.sqrt(1 - FINE.alpha_bar[t].item())
    _, guided = guided_both_ways(w, FINE, 7)
    got = eps_from_x0(x, full(t, 7), guided(x, full(t, 7)), FINE)
    without = -root * gradient(mixture_at(t, FINE).log_prob, x)
    knowing = -root * gradient(lambda u: mixture_at(t, FINE, (1,)).log_prob(u), x)
    close(got, without + w * (knowing - without), rtol=1e-6, atol=1e-8)


@pytest.mark.equation("guide-power")
@pytest.mark.parametrize("w", [0.0, 1.0, 2.5, 8.0])
def test_the_guided_score_is_that_of_the_sharpened_product(w):
    for t in (30, 400, 900):
        x = 2 * randn(7, 1, seed=t)
        product = gradient(lambda u, t=t: mixture_at(t, FINE).log_prob(u) + w * log_class(u, t, FINE), x)
        for guided in guided_both_ways(w, FINE, 7):
            x0_hat = guided(x, full(t, 7))
            close(score_from_x0(x, full(t, 7), x0_hat, FINE), product, rtol=1e-6, atol=1e-8)


GRID = torch.linspace(-7, 7, 28_001, dtype=F64)


def data_given(x_t: float, t: int) -> tuple[Tensor, Tensor]:
    """log p(x0) q(x_t | x0) on the grid, and p(y = 1 | x0) there; by torch."""
    bar = FINE.alpha_bar[t].item()
    noisy = Normal(math.sqrt(bar) * GRID, math.sqrt(1 - bar)).log_prob(torch.tensor(x_t, dtype=F64))
    return mixture_at(0, FINE).log_prob(GRID) + noisy, log_class(GRID, 0, FINE).exp()


@pytest.mark.equation("guide-jensen")
@pytest.mark.parametrize("t", [150, 500, 800])
def test_a_noisy_classifier_is_a_mean_its_power_no_mean_of_powers(t):
    for x_t in (-0.9, 0.1, 0.8):
        log_joint, of_class = data_given(x_t, t)
        weight = log_joint.softmax(0)
        at = torch.tensor([[x_t]], dtype=F64)
        judged = LINE.classifier(FINE)(at, full(t, 1))[0, 1].exp().item()
        mean, cube, root = ((weight * of_class**w).sum().item() for w in (1, 3, 0.5))
        assert judged == pytest.approx(mean, rel=1e-6)
        assert cube > judged**3 * (1 + 1e-5)  # Jensen; the quadrature errs by far less
        assert root < judged**0.5 * (1 - 1e-5)


@pytest.mark.equation("guide-jensen")
@pytest.mark.parametrize("w", [0.0, 1.0, 3.0])
def test_what_guidance_follows_is_the_noisy_tilt_for_scales_0_and_1_only(w):
    t, h = 500, 1e-4

    def log_tilted(x_t: float) -> float:  # log of the integral of p(x0) p(y | x0)^w q(x_t | x0)
        log_joint, of_class = data_given(x_t, t)
        return (log_joint + w * of_class.log()).logsumexp(0).item()

    x = torch.tensor([[-0.6], [0.1], [0.9]], dtype=F64)
    score = torch.tensor([[(log_tilted(u + h) - log_tilted(u - h)) / (2 * h)] for u in x[:, 0].tolist()])
    for guided in guided_both_ways(w, FINE, 3):
        got = score_from_x0(x, full(t, 3), guided(x, full(t, 3)), FINE)
        if w in (0, 1):
            close(got, score.to(F64), rtol=1e-5, atol=1e-6)
        else:
            assert bool((got > score + 0.05).all())  # guidance pushes harder to the class


@pytest.mark.equation("guide-price")
@pytest.mark.parametrize("w", [0.0, 1.0, 2.0, 4.0])
def test_the_spread_of_guided_samples_falls_geometrically(w):
    s_u, s_c, schedule = 1.2, 0.8, linear_schedule(4000, 2.5e-5, 0.005)
    whole, part = ExactMixture.isotropic([[0.0]], [s_u]), ExactMixture.isotropic([[0.0]], [s_c])
    guided = classifier_free(part.denoiser(schedule), whole.denoiser(schedule), w)
    x_T = torch.tensor([[1.0], [-2.0]], dtype=F64)
    end = sample(ddim, guided, x_T, schedule, 1000, progress=False)
    close(end / x_T, s_c * (s_c / s_u) ** (w - 1), rtol=0.01)  # linear: the factor is the deviation
    tilt = Normal(0.0, s_u).log_prob(GRID) * (1 - w) + w * Normal(0.0, s_c).log_prob(GRID)
    deviation = ((tilt.softmax(0) * GRID**2).sum()).sqrt().item()
    assert deviation == pytest.approx((w / s_c**2 - (w - 1) / s_u**2) ** -0.5, rel=1e-6)
    assert w < 2 or float(end[0]) < 0.95 * deviation
