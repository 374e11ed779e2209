"""dgm.diffusion: every formula against an independent anchor, on data whose diffusion is known exactly."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal, kl_divergence

from dgm.data.toy2d import GaussianMixture
from dgm.diffusion import (
    CosineSchedule,
    DiscreteSchedule,
    EDMSchedule,
    ExactMixture,
    MLPNetwork,
    Step,
    VarianceDenoiser,
    ancestral,
    at_step,
    classifier_free,
    classifier_guided,
    clipped,
    convert,
    cosine_schedule,
    ddim,
    ddim_invert,
    decoder_nll,
    draw_sigma,
    draw_steps,
    drop_labels,
    edm_coefficients,
    edm_denoiser,
    edm_loss,
    eps_from_x0,
    forward_step,
    heun,
    hybrid_loss,
    initial_noise,
    learned_logvar,
    linear_schedule,
    make_denoiser,
    min_snr_weight,
    posterior,
    prior_kl,
    q_sample,
    reverse_moments,
    sample,
    score_from_x0,
    simple_loss,
    step_kl,
    training_target,
    transition,
    v_from_x0,
    variational_bound,
    variational_weight,
    x0_from_eps,
    x0_from_score,
    x0_from_v,
)
from dgm.diffusion.bound import decoder_log_prob
from dgm.nn import seeded
from dgm.prob import discretised_gaussian_log_prob
from dgm.tensor import to_pm1
from vae_anchors import normal_quadrature, variance_z_score, z_score

F64 = torch.float64
KINDS = ("x0", "eps", "v", "score")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=rng(seed), dtype=F64)


def full(t: float, n: int) -> Tensor:
    return torch.full((n,), t, dtype=torch.int64 if isinstance(t, int) else F64)


def close(actual: Tensor, expected: Tensor | float, rtol: float = 1e-9, atol: float = 1e-12) -> None:
    expected = torch.as_tensor(expected, dtype=actual.dtype)
    torch.testing.assert_close(actual, expected.expand_as(actual), rtol=rtol, atol=atol)


# One schedule of each kind, with times from almost clean to almost noise.
SHORT = linear_schedule(20, 0.01, 0.4)
SCHEDULES = {
    "linear": (linear_schedule(), torch.tensor([1, 2, 300, 700, 1000])),
    "cosine": (cosine_schedule(), torch.tensor([1, 2, 300, 700, 990])),
    "continuous": (CosineSchedule(), torch.tensor([0.01, 0.2, 0.5, 0.8, 0.99], dtype=F64)),
    "edm": (EDMSchedule(), torch.tensor([0.002, 0.1, 0.5, 3.0, 80.0], dtype=F64)),
}
every_schedule = pytest.mark.parametrize(("schedule", "t"), SCHEDULES.values(), ids=SCHEDULES)

MIXTURE = ExactMixture(
    torch.tensor([[1.5, 0.0], [-1.0, 1.0], [0.0, -1.5]], dtype=F64),
    torch.tensor([[[0.3, 0.1], [0.1, 0.2]], [[0.1, -0.05], [-0.05, 0.4]], [[0.05, 0], [0, 0.05]]], dtype=F64),
    torch.tensor([0.5, 0.3, 0.2], dtype=F64),
)
LINE = ExactMixture.isotropic([[0.4]], [0.7])  # one Gaussian on the line


# Schedules


@pytest.mark.parametrize(
    "schedule", [linear_schedule(7, 0.01, 0.3), cosine_schedule(9)], ids=["linear", "cosine"]
)
def test_an_index_of_a_table_is_the_papers_index(schedule):
    T = schedule.T
    assert all(len(table) == T + 1 for table in (schedule.beta, schedule.alpha_step, schedule.alpha_bar))
    assert schedule.beta[0] == 0
    assert schedule.alpha_bar[0] == 1
    product = 1.0
    for t in range(1, T + 1):
        before, product = product, product * (1 - float(schedule.beta[t]))
        assert float(schedule.alpha_step[t]) == pytest.approx(1 - float(schedule.beta[t]))
        assert float(schedule.alpha_bar[t]) == pytest.approx(product)
        assert float(schedule.posterior_var[t]) == pytest.approx(
            float(schedule.beta[t]) * (1 - before) / (1 - product), abs=1e-15
        )
    assert schedule.posterior_var[1] == 0
    steps = torch.arange(T + 1)
    close(schedule.alpha(steps), schedule.alpha_bar.sqrt())
    close(schedule.alpha(steps).square() + schedule.sigma(steps).square(), 1.0)


def test_linear_schedule_is_that_of_the_paper():
    schedule = linear_schedule()
    assert schedule.T == schedule.t_max == 1000
    close(schedule.beta[1:], torch.from_numpy(np.linspace(1e-4, 0.02, 1000)))
    # Ho et al. 2020, section 4: what is left at T is about 1e-5 bits per dimension, for images in [-1, 1].
    x0 = 2 * torch.rand(64, 3072, generator=rng(), dtype=F64) - 1
    bits = float(prior_kl(x0, schedule).mean()) / (3072 * math.log(2))
    assert bits == pytest.approx(1e-5, rel=0.1)


def test_cosine_schedule_is_that_of_the_paper():
    schedule = cosine_schedule()
    u = np.arange(1001) / 1000
    f = np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
    close(schedule.alpha_bar[:-1], torch.from_numpy(f / f[0])[:-1], rtol=1e-8)
    assert float(schedule.beta[-1]) == 0.999  # clipped, so alpha_bar_T is not the formula's 0
    assert float(schedule.alpha_bar[-1]) == pytest.approx(float(schedule.alpha_bar[-2]) * 0.001)
    # Nichol & Dhariwal 2021, section 3.2: sqrt(beta_1) is slightly below a pixel's bin, 1 / 127.5.
    assert 0.75 / 127.5 < math.sqrt(schedule.beta[1]) < 1 / 127.5


@every_schedule
def test_snr_falls_and_its_logarithm_fits(schedule, t):
    snr = schedule.snr(t)
    assert bool((snr.diff() < 0).all())
    close(schedule.log_snr(t), snr.log(), rtol=1e-7)
    close(snr, (schedule.alpha(t) / schedule.sigma(t)) ** 2)


def test_continuous_cosine_is_the_limit_of_the_discrete_one():
    t = torch.tensor([100, 500, 900])
    discrete = cosine_schedule(1000, s=0.0)
    close(CosineSchedule().alpha(t / 1000), discrete.alpha(t).float(), rtol=1e-6)
    log_snr = CosineSchedule().log_snr(t.double() / 1000)
    close(log_snr, -2 * torch.log(torch.tan(math.pi / 2 * t.double() / 1000)))
    ends = torch.tensor([0.0, 1.0])
    assert CosineSchedule().alpha(ends).tolist() == [1, 0]
    assert CosineSchedule().sigma(ends).tolist() == [0, 1]


def test_edm_levels_are_even_in_their_seventh_root():
    levels = EDMSchedule(0.002, 80.0, 7.0).times(18)
    assert levels[0] == 80
    assert levels[-1] == 0
    assert float(levels[-2]) == pytest.approx(0.002)
    roots = levels[:-1] ** (1 / 7)
    close(roots.diff(), float(roots.diff()[0]))
    assert EDMSchedule().times(1).tolist() == [80, 0]


@pytest.mark.parametrize(
    ("schedule", "n", "expected"),
    [
        (linear_schedule(), 20, [*range(1000, -1, -50)]),
        (linear_schedule(), 1000, [*range(1000, -1, -1)]),
        (linear_schedule(10), 1, [10, 0]),
        (linear_schedule(10), 4, [10, 8, 5, 2, 0]),
        (CosineSchedule(), 4, [1.0, 0.75, 0.5, 0.25, 0.0]),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, int) else str(value),
)
def test_times_run_from_the_noise_to_the_data(schedule, n, expected):
    assert schedule.times(n).tolist() == expected


def test_coefficients_take_the_dtype_and_the_axes_of_the_data():
    x = torch.zeros(3, 1, 4, 4)
    alpha, sigma = linear_schedule().coefficients(torch.tensor([0, 500, 1000]), x)
    assert alpha.shape == sigma.shape == (3, 1, 1, 1)
    assert alpha.dtype == torch.float32
    assert (alpha[0].item(), sigma[0].item()) == (1, 0)
    # float16 times would round: coefficients are computed in float64 before they meet the data
    alpha, _ = CosineSchedule().coefficients(torch.tensor([0.3], dtype=torch.float16), x[:1].double())
    close(alpha.flatten(), math.cos(math.pi / 2 * float(torch.tensor(0.3, dtype=torch.float16))))


def test_at_step_looks_up_one_entry_per_example():
    schedule = linear_schedule(10)
    got = at_step(schedule.beta, torch.tensor([0, 3]), torch.zeros(2, 5))
    assert got.shape == (2, 1)
    assert got.dtype == torch.float32
    close(got.double().flatten(), schedule.beta[[0, 3]], rtol=1e-7)


def test_drawn_steps_are_uniform_and_never_0():
    steps = draw_steps(60_000, linear_schedule(6), rng())
    assert set(steps.tolist()) == {1, 2, 3, 4, 5, 6}
    assert stats.chisquare(torch.bincount(steps)[1:].numpy()).pvalue > 1e-3


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: DiscreteSchedule(torch.tensor([0.1, 0.2])), r"first of them 0, got 2 .*put a 0 in"),
        (lambda: DiscreteSchedule(torch.tensor([0.0, 1.2])), r"must lie in \(0, 1\], got 1.2 to 1.2"),
        (lambda: DiscreteSchedule(torch.zeros(3, 3)), r"beta must have shape \(T \+ 1,\), got \(3, 3\)"),
        (lambda: DiscreteSchedule.from_alpha_bar(torch.tensor([0.9, 0.5])), "start at exactly 1 and fall"),
        (lambda: DiscreteSchedule.from_alpha_bar(torch.tensor([1.0, 0.5, -0.1])), "not below 0, got .* -0.1"),
        (lambda: DiscreteSchedule.from_alpha_bar(torch.tensor([1.0, 0.5, 0.7])), "fall at every step"),
        (lambda: linear_schedule(0), "T must be at least 1 step, got 0"),
        (lambda: linear_schedule(10).times(11), r"must be in 1 .. T = 10, got 11"),
        (lambda: linear_schedule(10).times(0), "got 0"),
        (lambda: EDMSchedule(1.0, 0.5), "0 < sigma_min < sigma_max"),
        (lambda: linear_schedule(10).alpha(torch.tensor([0.5])), r"whole steps 0 .. 10 .*use t.long\(\)"),
        (lambda: linear_schedule(10).alpha(torch.tensor([11])), r"t must lie in 0 .. 10, got 11 to 11"),
        (lambda: linear_schedule(10).alpha(torch.tensor([-1])), r"t must lie in 0 .. 10, got -1 to -1"),
        (lambda: linear_schedule(10).alpha(torch.tensor([[1]])), r"t must have shape \(B,\), got \(1, 1\)"),
        (lambda: CosineSchedule().alpha(torch.tensor([500])), r"real times .*use t / T"),
        (lambda: CosineSchedule().alpha(torch.tensor([500.0])), r"must lie in \[0, 1\], got 500"),
    ],
)  # fmt: skip
def test_schedules_say_what_is_wrong(build, message):
    with pytest.raises(ValueError, match=message):
        build()


# The forward process


def test_closed_form_is_the_chain():
    """The chain is linear: its factors of x0 and of each noise are found by switching the others off."""
    T = SHORT.T
    noises = torch.cat([torch.zeros(1, T, dtype=F64), torch.eye(T, dtype=F64)])  # row 0: no noise at all
    x = torch.zeros(T + 1, 1, dtype=F64)
    x[0] = 1.0
    for t in range(1, T + 1):
        x = forward_step(x, full(t, T + 1), noises[:, t - 1 : t], SHORT)
        alpha, sigma = SHORT.coefficients(full(t, 1), x[:1])
        close(x[0], alpha[0])
        close(x[1:].square().sum(), sigma.square().sum())  # independent noises: variances add
    x0, eps = randn(4, 2, 3), randn(4, 2, 3, seed=1)
    t = torch.tensor([0, 1, 9, 20])
    expected = (
        SHORT.alpha_bar[t].sqrt()[:, None, None] * x0 + (1 - SHORT.alpha_bar[t]).sqrt()[:, None, None] * eps
    )
    close(q_sample(x0, t, eps, SHORT), expected)
    assert torch.equal(q_sample(x0, full(0, 4), eps, SHORT), x0)


def test_the_chain_by_simulation():
    x0 = torch.tensor([1.5, -0.5], dtype=F64)
    x, generator = x0.expand(20_000, 2), rng()
    for t in range(1, SHORT.T + 1):
        eps = torch.randn(x.shape, generator=generator, dtype=F64)
        x = forward_step(x, full(t, len(x)), eps, SHORT)
    alpha, sigma = (float(c) for c in SHORT.coefficients(full(SHORT.T, 1), x[:1]))
    assert z_score(x, alpha * x0).abs().max() < 4
    assert abs(variance_z_score(x[:, 0], sigma**2)) < 4


@every_schedule
def test_two_jumps_are_one(schedule, t):
    r, s, t = t[:1], t[2:3], t[4:5]
    (f_ts, v_ts), (f_sr, v_sr), (f_tr, v_tr) = (
        transition(*pair, schedule) for pair in ((t, s), (s, r), (t, r))
    )
    close(f_ts * f_sr, f_tr)
    close(v_ts + f_ts**2 * v_sr, v_tr)


def test_one_step_from_the_data_is_the_closed_form_with_the_same_noise():
    x0, eps, t = randn(3, 2), randn(3, 2, seed=1), full(1, 3)
    close(forward_step(x0, t, eps, SHORT), q_sample(x0, t, eps, SHORT))


def test_one_step_jump_is_the_step():
    t = torch.arange(1, 1001)
    factor, var = transition(t, t - 1, linear_schedule())
    close(factor.square(), linear_schedule().alpha_step[1:])
    close(var, linear_schedule().beta[1:], rtol=1e-8)


@every_schedule
@pytest.mark.parametrize("gap", [1, 3])
def test_posterior_is_bayes_rule(schedule, t, gap):
    """log q(x_s | x_t, x_0) = log q(x_t | x_s) + log q(x_s | x_0) - log q(x_t | x_0) at every x_s."""
    s, t = t[:-gap], t[gap:]
    x0, x_t = randn(len(t)), randn(len(t), seed=1)
    mean, var = posterior(x_t, t, x0, schedule, s)
    alpha_s, sigma_s, alpha_t, sigma_t = (f(u) for u in (s, t) for f in (schedule.alpha, schedule.sigma))
    factor = alpha_t / alpha_s
    noise = (sigma_t**2 - factor**2 * sigma_s**2).sqrt()
    for x_s in (mean + 0.7 * var.sqrt(), mean - 1.3 * var.sqrt(), mean):
        bayes = (
            Normal(factor * x_s, noise).log_prob(x_t)
            + Normal(alpha_s * x0, sigma_s).log_prob(x_s)
            - Normal(alpha_t * x0, sigma_t).log_prob(x_t)
        )
        close(Normal(mean, var.sqrt()).log_prob(x_s), bayes, rtol=1e-6, atol=1e-6)


def test_posterior_in_the_papers_letters():
    schedule = linear_schedule()
    t = torch.tensor([1, 2, 500, 1000])
    x0, x_t = randn(4, 3), randn(4, 3, seed=1)
    beta, bar, before = (
        v[:, None] for v in (schedule.beta[t], schedule.alpha_bar[t], schedule.alpha_bar[t - 1])
    )
    mean, var = posterior(x_t, t, x0, schedule)
    printed = (before.sqrt() * beta * x0 + (1 - beta).sqrt() * (1 - before) * x_t) / (1 - bar)
    close(mean, printed, rtol=1e-8)
    close(var, schedule.posterior_var[t], rtol=1e-8)
    assert torch.equal(posterior(x_t, full(1, 4), x0, schedule)[1], torch.zeros(4, dtype=F64))
    close(posterior(x_t, full(1, 4), x0, schedule)[0], x0)  # before step 1 there was the data


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: q_sample(x, full(1, 2), x[:1], SHORT), "eps must have the shape of x0"),
        (lambda x: q_sample(x, full(1, 3), x, SHORT), r"t must have shape \(B,\) = \(2,\), got \(3,\)"),
        (lambda x: q_sample(x, torch.tensor(1), x, SHORT), r"t must have shape \(B,\), got \(\)"),
        (lambda x: posterior(x, full(0, 2), x, SHORT), "t must be at least 1: nothing comes before the data"),
        (lambda x: posterior(x, full(0.5, 2), x, CosineSchedule()), "s must be given for a CosineSchedule"),
        (lambda x: posterior(x, full(3, 2), x, SHORT, full(4, 2)), "s must not be later than t"),
        (lambda x: posterior(x, full(0, 2), x, SHORT, full(0, 2)), "t must be above 0"),
        (lambda x: forward_step(x, full(21, 2), x, SHORT), r"t must lie in 0 .. 20, got 21"),
    ],
)
def test_the_process_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call(randn(2, 3))


# Predictions


@every_schedule
@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_predictions_convert_into_each_other(schedule, t, source, target):
    x0, eps = randn(5, 2), randn(5, 2, seed=1)
    x_t = q_sample(x0, t, eps, schedule)
    truth = {kind: training_target(kind, x0, t, eps, schedule) for kind in KINDS}
    got = convert(truth[source], x_t, t, schedule, source, target)
    close(got, truth[target], rtol=1e-6, atol=1e-8)
    assert source != target or got is truth[source]


@every_schedule
def test_training_targets_are_what_their_names_say(schedule, t):
    x0, eps = randn(5, 2), randn(5, 2, seed=1)
    alpha, sigma = schedule.alpha(t)[:, None], schedule.sigma(t)[:, None]
    assert torch.equal(training_target("eps", x0, t, eps, schedule), eps)
    assert torch.equal(training_target("x0", x0, t, eps, schedule), x0)
    x_t = q_sample(x0, t, eps, schedule).requires_grad_()
    (score,) = torch.autograd.grad(Normal(alpha * x0, sigma).log_prob(x_t).sum(), x_t)
    close(training_target("score", x0, t, eps, schedule), score, rtol=1e-8)
    # v is the velocity along the circle: d x_t / d angle at alpha = cos, sigma = sin
    angle = torch.tensor(0.7, dtype=F64, requires_grad=True)
    one = CosineSchedule()
    v = training_target("v", x0, full(0.7 / (math.pi / 2), 5), eps, one)
    for i, j in ((0, 0), (4, 1)):
        (slope,) = torch.autograd.grad(angle.cos() * x0[i, j] + angle.sin() * eps[i, j], angle)
        close(v[i, j], slope)


def test_named_conversions_are_those_of_convert():
    schedule, t = SCHEDULES["linear"]
    x0, eps = randn(5, 2), randn(5, 2, seed=1)
    x_t = q_sample(x0, t, eps, schedule)
    score, v = (training_target(kind, x0, t, eps, schedule) for kind in ("score", "v"))
    for got, expected in (
        (x0_from_eps(x_t, t, eps, schedule), x0),
        (x0_from_v(x_t, t, v, schedule), x0),
        (x0_from_score(x_t, t, score, schedule), x0),
        (eps_from_x0(x_t, t, x0, schedule), eps),
        (v_from_x0(x_t, t, x0, schedule), v),
        (score_from_x0(x_t, t, x0, schedule), score),
    ):
        close(got, expected, rtol=1e-6, atol=1e-9)


def test_nothing_is_divided_by_zero_where_no_data_is_left():
    t, one = full(1.0, 3), CosineSchedule()
    x0, eps = randn(3, 2), randn(3, 2, seed=1)
    close(q_sample(x0, t, eps, one), eps)
    close(convert(-x0, eps, t, one, "v", "x0"), x0)
    close(convert(-x0, eps, t, one, "v", "eps"), eps)
    close(convert(eps, eps, t, one, "eps", "score"), -eps)
    close(convert(x0, eps, t, one, "x0", "v"), -x0)


@every_schedule
def test_tweedies_formula_gives_the_conditional_mean(schedule, t):
    """The score by autograd of the density by torch, the mean by quadrature: neither is dgm's."""
    means, std, weights = torch.tensor([-1.0, 0.5], dtype=F64), 0.3, torch.tensor([0.3, 0.7], dtype=F64)
    nodes, mass = normal_quadrature(200)
    for time in t:
        alpha, sigma = schedule.alpha(time[None]), schedule.sigma(time[None])
        law = MixtureSameFamily(
            Categorical(weights), Normal(alpha * means, ((alpha * std) ** 2 + sigma**2).sqrt())
        )
        x_t = (
            alpha * 0.2 + (sigma + 0.3 * alpha) * torch.tensor([-1.1, 0.3, 0.8], dtype=F64)
        ).requires_grad_()
        (score,) = torch.autograd.grad(law.log_prob(x_t).sum(), x_t)
        x_t = x_t.detach()
        # E[x0 | x_t] by integrating over x0 = m_k + std z against p(x_t | x0); where p(x_t | x0) is narrow,
        # over x0 = (x_t - sigma z) / alpha against p(x0)
        if float(sigma / alpha) > std:
            x0 = (means[:, None] + std * nodes).flatten()  # (2 N,)
            prior = (weights[:, None] * mass).flatten()
            like = Normal(alpha * x0, sigma).log_prob(x_t[:, None]).exp()
        else:
            x0 = (x_t[:, None] - sigma * nodes) / alpha  # (3, N)
            prior = mass
            like = MixtureSameFamily(Categorical(weights), Normal(means, std)).log_prob(x0).exp()
        mean = (prior * like * x0).sum(-1) / (prior * like).sum(-1)
        got = x0_from_score(x_t[:, None], time.expand(3), score[:, None], schedule)
        close(got[:, 0], mean, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("predicts", KINDS)
def test_a_network_of_any_kind_becomes_the_same_denoiser(predicts):
    schedule, t = SCHEDULES["linear"]
    best = MIXTURE.denoiser(schedule)
    network = {
        "x0": best,
        "eps": lambda x, t: eps_from_x0(x, t, best(x, t), schedule),
        "v": lambda x, t: v_from_x0(x, t, best(x, t), schedule),
        "score": lambda x, t: MIXTURE.score(x, t, schedule),
    }[predicts]
    x_t = randn(5, 2)
    close(make_denoiser(network, schedule, predicts)(x_t, t), best(x_t, t), rtol=1e-6, atol=1e-8)


def test_labels_reach_the_network_and_estimates_are_clipped():
    y, x_t, t = torch.tensor([3, 4]), randn(2, 3), full(1, 2)
    seen = []
    denoiser = make_denoiser(lambda *args: seen.append(args) or args[0], SHORT, "x0", y=y)
    assert denoiser(x_t, t) is x_t
    assert len(seen[0]) == 3
    assert seen[0][2] is y
    big = torch.tensor([[-3.0, 0.2, 5.0]])
    assert clipped(lambda x, t: 10 * x)(big, t).tolist() == [[-1, 1, 1]]
    assert clipped(lambda x, t: x, -4, 0.1)(big, t)[0].tolist() == pytest.approx([-3, 0.1, 0.1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x, t: convert(x, x, t, SHORT, "noise", "x0"),
            "source must be one of x0, eps, v, score, got 'noise'",
        ),
        (lambda x, t: convert(x, x, t, SHORT, "x0", "data"), "target must be one of"),
        (lambda x, t: convert(x[:1], x, t, SHORT, "x0", "eps"), "prediction must have the shape of x_t"),
        (lambda x, t: make_denoiser(lambda x, t: x, SHORT, "epsilon"), "predicts must be one of .*'epsilon'"),
        (lambda x, t: training_target("eps", x, t, x[:1], SHORT), "eps must have the shape of x0"),
        (lambda x, t: clipped(lambda x, t: x, 1, -1), "low must be below high"),
    ],
)
def test_predictions_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call(randn(2, 3), full(1, 2))


# Exact mixtures


def torch_mixture(alpha: float, sigma: float) -> MixtureSameFamily:
    covs = alpha**2 * MIXTURE.covs + sigma**2 * torch.eye(2, dtype=F64)
    return MixtureSameFamily(Categorical(MIXTURE.weights), MultivariateNormal(alpha * MIXTURE.means, covs))


@every_schedule
def test_exact_density_score_and_classifier(schedule, t):
    x = randn(6, 2)
    for time in t:
        at = time.expand(6)
        law = torch_mixture(float(schedule.alpha(time[None])), float(schedule.sigma(time[None])))
        x_t = (float(schedule.alpha(time[None])) * x).requires_grad_()
        log_p = law.log_prob(x_t)
        close(MIXTURE.diffused_log_prob(x_t.detach(), at, schedule), log_p.detach())
        (score,) = torch.autograd.grad(log_p.sum(), x_t)
        close(MIXTURE.score(x_t.detach(), at, schedule), score, rtol=1e-7)
        joint = law.component_distribution.log_prob(x_t.detach()[:, None]) + MIXTURE.weights.log()
        close(MIXTURE.component_log_prob(x_t.detach(), at, schedule), joint.log_softmax(1), atol=1e-9)
        tweedie = x0_from_score(x_t.detach(), at, score, schedule)
        close(MIXTURE.denoiser(schedule)(x_t.detach(), at), tweedie, rtol=1e-5, atol=1e-7)


def test_exact_posterior_mean_given_the_component_is_gaussian_conditioning():
    schedule, t = SCHEDULES["linear"]
    x_t, y = randn(5, 2), torch.tensor([0, 1, 2, 0, 1])
    got = MIXTURE.denoiser(schedule, y)(x_t, t)
    for i, k in enumerate(y.tolist()):
        alpha, sigma = float(schedule.alpha(t[i : i + 1])), float(schedule.sigma(t[i : i + 1]))
        cov = alpha**2 * MIXTURE.covs[k] + sigma**2 * torch.eye(2, dtype=F64)
        gain = alpha * MIXTURE.covs[k] @ torch.linalg.inv(cov)
        close(got[i], MIXTURE.means[k] + gain @ (x_t[i] - alpha * MIXTURE.means[k]), rtol=1e-7)
        alone = MIXTURE.component(k).denoiser(schedule)(x_t[i : i + 1], t[i : i + 1])
        close(got[i : i + 1], alone)


@every_schedule
def test_exact_posterior_covariance_is_the_slope_of_the_mean(schedule, t):
    r"""$\mathrm{Cov}(x_0 | x_t) = \frac{\sigma^2}{\alpha} \nabla \mathbb{E}[x_0 | x_t]$, by autograd."""
    for time in t:
        alpha, sigma = float(schedule.alpha(time[None])), float(schedule.sigma(time[None]))
        x_t = alpha * MIXTURE.sample(6, rng(), dtype=F64)[0] + sigma * randn(6, 2)
        got = MIXTURE.posterior_cov(x_t, time.expand(6), schedule)
        for i in range(6):
            slope = torch.autograd.functional.jacobian(
                lambda x, time=time: MIXTURE.posterior_mean(x[None], time[None], schedule)[0], x_t[i]
            )
            close(got[i], sigma**2 / alpha * slope, rtol=1e-6, atol=1e-9)
    at_rest = ExactMixture.isotropic([[0.0, 1.0]], [0.0])
    assert not at_rest.posterior_cov(randn(3, 2), t[:1].expand(3), schedule).any()


def test_exact_mixture_is_that_of_toy2d():
    toy = GaussianMixture.ring(5, std=0.3)
    ours = ExactMixture.isotropic(toy.means, toy.stds, toy.weights)
    schedule, x_t = linear_schedule(), randn(4, 2)
    noised = toy.diffused(float(schedule.alpha(full(400, 1))), float(schedule.sigma(full(400, 1))))
    close(ours.diffused_log_prob(x_t, full(400, 4), schedule), noised.log_prob(x_t))
    close(ours.score(x_t, full(400, 4), schedule), noised.score(x_t))


def test_exact_draws_have_the_mixtures_moments():
    x0, y = MIXTURE.sample(40_000, rng(), dtype=F64)
    assert stats.chisquare(torch.bincount(y), 40_000 * MIXTURE.weights).pvalue > 1e-3
    for k in range(3):
        of_k = x0[y == k]
        assert z_score(of_k, MIXTURE.means[k]).abs().max() < 4
        centred = of_k - MIXTURE.means[k]
        assert z_score(centred[:, :, None] * centred[:, None], MIXTURE.covs[k]).abs().max() < 4
    assert MIXTURE.sample(2, rng())[0].dtype == torch.float32


def test_exact_draws_have_their_covariance_in_three_dimensions():
    """In two, the matrix of eigenvectors may be its own transpose."""
    root = randn(3, 3, seed=4)
    data = ExactMixture.gaussian(torch.zeros(3, dtype=F64), root @ root.T)
    x0 = data.sample(40_000, rng(), dtype=F64)[0]
    assert z_score(x0[:, :, None] * x0[:, None], root @ root.T).abs().max() < 4


def test_a_variance_that_rounding_left_below_zero_is_none():
    flat = ExactMixture.gaussian(torch.zeros(2), torch.tensor([[1.0, 0.0], [0.0, -1e-12]], dtype=F64))
    x0 = flat.sample(9, rng(), dtype=F64)[0]
    assert x0[:, 1].tolist() == [0] * 9
    assert x0[:, 0].abs().min() > 0


def test_points_are_a_mixture_and_their_denoiser_finds_them():
    points = randn(6, 2)
    data = ExactMixture.isotropic(points, torch.zeros(6))
    schedule = linear_schedule()
    close(data.denoiser(schedule)(points * 0.9999, full(1, 6)), points)
    close(data.denoiser(schedule)(randn(6, 2), full(1000, 6)), points.mean(0), atol=0.05)
    assert torch.equal(data.sample(9, rng(), dtype=F64)[0], points[data.sample(9, rng())[1]])


def test_a_point_without_noise_is_itself_whatever_is_asked_about():
    points = randn(3, 2)
    data, y = ExactMixture.isotropic(points, torch.zeros(3)), torch.tensor([2, 0, 1])
    close(data.posterior_mean(randn(3, 2, seed=1), full(0, 3), linear_schedule(), y), points[y])


def test_exact_results_have_the_dtype_of_the_data():
    x, t = torch.zeros(3, 2), full(5, 3)
    for got in (MIXTURE.denoiser(SHORT)(x, t), MIXTURE.score(x, t, SHORT), MIXTURE.classifier(SHORT)(x, t)):
        assert got.dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(2), torch.eye(2)[None], torch.ones(1)), "means must have shape"),
        ((torch.zeros(1, 2), torch.eye(3)[None], torch.ones(1)), r"covs must have shape \(1, 2, 2\)"),
        ((torch.zeros(1, 2), torch.eye(2)[None], torch.ones(1) / 2), "must sum to 1, got sum 0.5"),
        ((torch.zeros(1, 2), -torch.eye(2)[None], torch.ones(1)), "no eigenvalue below 0"),
        ((torch.zeros(1, 2), torch.tensor([[[1.0, 0.5], [0.0, 1.0]]]), torch.ones(1)), "symmetric"),
    ],
)
def test_exact_mixture_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        ExactMixture(*arguments)


# Losses


@pytest.mark.parametrize("predicts", KINDS)
def test_simple_loss_is_the_squared_error_of_the_whole_noise(predicts):
    schedule, t = SCHEDULES["linear"]
    x0, eps = randn(5, 1, 2, 2), randn(5, 1, 2, 2, seed=1)
    calls = []

    def network(x_t, t, y=None):
        calls.append((x_t, t, y))
        return 0.3 * x_t

    loss = simple_loss(network, x0, t, eps, schedule, predicts=predicts)
    (x_t, seen, y), *_ = calls
    close(x_t, q_sample(x0, t, eps, schedule))
    assert seen is t
    assert y is None
    error = training_target(predicts, x0, t, eps, schedule) - 0.3 * x_t
    close(loss, torch.stack([e.norm() ** 2 for e in error]))
    weight = torch.tensor([1.0, 2.0, 0.0, 0.5, 3.0])
    close(
        simple_loss(network, x0, t, eps, schedule, predicts=predicts, weight=weight), weight.double() * loss
    )
    labels = torch.arange(5)
    simple_loss(network, x0, t, eps, schedule, predicts=predicts, y=labels)
    assert calls[-1][2] is labels


@pytest.mark.parametrize("predicts", KINDS)
def test_the_exact_denoiser_minimises_the_simple_loss(predicts):
    """The loss is quadratic: at its minimum the error is orthogonal to every function of x_t, at every t."""
    schedule = linear_schedule()
    n, generator = 40_000, rng(3)
    x0 = MIXTURE.sample(n, generator, dtype=F64)[0]
    eps = torch.randn((n, 2), generator=generator, dtype=F64)
    best = MIXTURE.denoiser(schedule)

    def network(x, t):
        return convert(best(x, t), x, t, schedule, "x0", predicts)

    for time in (20, 200, 700):
        t = full(time, n)
        for direction in (lambda x: x, lambda x: torch.sin(3 * x), lambda x: x.flip(1) ** 2):
            up, down = (
                simple_loss(
                    lambda x, t, d=d, direction=direction: network(x, t) + 1e-3 * d * direction(x),
                    x0, t, eps, schedule, predicts=predicts,
                )
                for d in (1, -1)
            )  # fmt: skip
            assert abs(float(z_score(up - down, 0.0))) < 4
        off = simple_loss(lambda x, t: network(x, t) + 0.2, x0, t, eps, schedule, predicts=predicts)
        assert float(off.mean()) > float(simple_loss(network, x0, t, eps, schedule, predicts=predicts).mean())


FORMS = {
    "mean": lambda x, x_t, t, s: posterior(x_t, t, x, s)[0],
    "x0": lambda x, x_t, t, s: x,
    "eps": lambda x, x_t, t, s: eps_from_x0(x_t, t, x, s),
    "v": lambda x, x_t, t, s: v_from_x0(x_t, t, x, s),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("schedule", [linear_schedule(), cosine_schedule()], ids=["linear", "cosine"])
def test_each_term_of_the_bound_is_a_weighted_squared_error(form, variance, schedule):
    t = torch.tensor([2, 3, 250, 700, 999])
    x0, x_t, x0_hat = randn(5, 3), randn(5, 3, seed=1), randn(5, 3, seed=2)
    std_q = schedule.posterior_var[t].sqrt()[:, None]
    std_p = std_q if variance == "small" else schedule.beta[t].sqrt()[:, None]
    true_mean, mean = (posterior(x_t, t, x, schedule)[0] for x in (x0, x0_hat))
    kl = kl_divergence(Normal(true_mean, std_q), Normal(mean, std_p)).sum(1)
    constant = kl_divergence(Normal(true_mean, std_q), Normal(true_mean, std_p)).sum(1)  # 0 for "small"
    error = FORMS[form](x0, x_t, t, schedule) - FORMS[form](x0_hat, x_t, t, schedule)
    weight = variational_weight(t, schedule, form, variance=variance)
    close(weight * error.square().sum(1) + constant, kl, rtol=1e-6)


def test_variational_weights_in_the_papers_letters():
    schedule, t = linear_schedule(), torch.tensor([2, 500, 1000])
    beta, bar, alpha = schedule.beta[t], schedule.alpha_bar[t], schedule.alpha_step[t]
    close(variational_weight(t, schedule, "eps", variance="large"), beta / (2 * alpha * (1 - bar)), rtol=1e-8)
    close(
        variational_weight(t, schedule, "x0"),
        0.5 * (schedule.snr(t - 1) - schedule.snr(t)),
        rtol=1e-6,
    )
    assert variational_weight(full(1, 1), schedule, "x0").isinf().all()
    assert variational_weight(full(1, 1), schedule, "eps", variance="large").isfinite().all()


def test_weights_of_one_loss_are_the_same_in_every_form():
    """w_x0 |x0 error|^2 = w_eps |eps error|^2 = w_v |v error|^2, for any two estimates at one x_t."""
    schedule, t = SCHEDULES["linear"]
    x_t, one, two = randn(5, 3), randn(5, 3, seed=1), randn(5, 3, seed=2)
    losses = []
    for form in ("x0", "eps", "v"):
        error = FORMS[form](one, x_t, t, schedule) - FORMS[form](two, x_t, t, schedule)
        losses.append(min_snr_weight(t, schedule, form) * error.square().sum(1))
    close(losses[1], losses[0], rtol=1e-6)
    close(losses[2], losses[0], rtol=1e-6)
    close(min_snr_weight(t, schedule, "x0", 2.0), torch.minimum(schedule.snr(t), torch.tensor(2.0)))
    snr = schedule.snr(t)
    close(min_snr_weight(t, schedule, "v", 2.0), torch.minimum(snr, torch.tensor(2.0)) / (snr + 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x, t: simple_loss(lambda x, t: x[:, :1], x, t, x, SHORT),
            r"must return the shape of x_t, \(2, 3\)",
        ),
        (
            lambda x, t: simple_loss(lambda x, t: x, x, t, x, SHORT, weight=torch.ones(3)),
            r"weight must have shape",
        ),
        (lambda x, t: simple_loss(lambda x, t: x, x, t, x, SHORT, predicts="mean"), "kind must be one of"),
        (
            lambda x, t: variational_weight(t, SHORT, "noise"),
            "form must be one of mean, x0, eps, v, got 'noise'",
        ),
        (lambda x, t: variational_weight(t, SHORT, "eps", variance="learned"), 'must be "small" or "large"'),
        (lambda x, t: variational_weight(t - 5, SHORT, "eps"), "t must be at least 1"),
        (lambda x, t: min_snr_weight(t, SHORT, "eps", 0.0), "gamma must be positive"),
        (lambda x, t: min_snr_weight(t, SHORT, "mean"), "form must be one of x0, eps, v"),
        (
            lambda x, t: hybrid_loss(lambda x, t: x, x, t, x, SHORT),
            r"must return shape .* = \(2, 6\).*outputs=2",
        ),
    ],
)
def test_losses_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call(randn(2, 3), full(5, 2))


# The reverse step and the learned variance


def test_reverse_moments_put_the_estimate_in_the_place_of_the_data():
    schedule, t = linear_schedule(), torch.tensor([2, 500, 1000])
    x_t, x0_hat = randn(3, 2), randn(3, 2, seed=1)
    for variance, table in (("small", schedule.posterior_var), ("large", schedule.beta)):
        mean, logvar = reverse_moments(lambda x, t: x0_hat, x_t, t, schedule, variance=variance)
        close(mean, posterior(x_t, t, x0_hat, schedule)[0])
        close(logvar, table[t].log()[:, None].expand(3, 1), rtol=1e-8)
    logvar = reverse_moments(lambda x, t: x0_hat, x_t, full(1, 3), schedule)[1]
    close(logvar.exp().flatten(), schedule.posterior_var[2], rtol=1e-8)  # its own would be 0
    two = linear_schedule(2)
    logvar = reverse_moments(lambda x, t: x0_hat, x_t, full(1, 3), two)[1]
    close(logvar.exp().flatten(), two.posterior_var[2], rtol=1e-8)


def test_learned_variance_runs_from_the_small_to_the_large_one():
    schedule, t = linear_schedule(), torch.tensor([2, 500, 1000])
    low, high = schedule.posterior_var[t].log()[:, None], schedule.beta[t].log()[:, None]
    for nu in (0.0, 0.25, 1.0):
        got = learned_logvar(torch.full((3, 2), nu, dtype=F64), t, schedule)
        close(got, (nu * high + (1 - nu) * low).expand(3, 2), rtol=1e-8)
    x_t = randn(3, 1, 2)
    raw = torch.tensor([-1.0, 0.0, 1.0], dtype=F64)[:, None, None].expand(3, 1, 2)
    denoiser = VarianceDenoiser(lambda x, t: torch.cat([5 * x, raw], 1), schedule, "x0", clip=(-1, 1))
    x0_hat, fraction = denoiser.with_variance(x_t, t)
    close(x0_hat, (5 * x_t).clamp(-1, 1))
    assert torch.equal(denoiser(x_t, t), x0_hat)
    assert fraction[:, 0, 0].tolist() == [0, 0.5, 1]
    logvar = reverse_moments(denoiser, x_t, t, schedule, variance="learned")[1]
    close(logvar[2].flatten(), high[2].expand(2), rtol=1e-8)
    with pytest.raises(ValueError, match=r"needs a denoiser that predicts one; build it by VarianceDenoiser"):
        reverse_moments(lambda x, t: x, x_t, t, schedule, variance="learned")
    with pytest.raises(ValueError, match="variance must be one of small, large, learned, got 'fixed'"):
        reverse_moments(lambda x, t: x, x_t, t, schedule, variance="fixed")


def test_hybrid_loss_is_the_simple_one_and_a_little_of_the_bound():
    schedule, t = linear_schedule(100, 1e-3, 0.2), torch.tensor([1, 2, 60])
    x0, eps = randn(3, 1, 4), randn(3, 1, 4, seed=1)
    factor = torch.tensor(0.4, dtype=F64, requires_grad=True)
    raw = torch.tensor(-0.2, dtype=F64, requires_grad=True)

    def network(x, t):
        return torch.cat([factor * x, raw.expand_as(x)], 1)

    loss = hybrid_loss(network, x0, t, eps, schedule, vlb_weight=0.01)
    simple = simple_loss(lambda x, t: factor * x, x0, t, eps, schedule)
    x_t = q_sample(x0, t, eps, schedule)
    x0_hat = x0_from_eps(x_t, t, 0.4 * x_t, schedule)
    low = schedule.posterior_var[t].clamp(min=float(schedule.posterior_var[2])).log()
    std = (0.5 * (0.4 * schedule.beta[t].log() + 0.6 * low)).exp()[:, None, None]
    mean, true_mean = (posterior(x_t, t, x, schedule)[0] for x in (x0_hat, x0))
    true_std = schedule.posterior_var[t].sqrt().clamp(min=1e-9)[:, None, None]
    terms = kl_divergence(Normal(true_mean, true_std), Normal(mean, std)).sum((1, 2))
    terms[0] = -Normal(mean, std).log_prob(x0)[0].sum()
    close(loss, simple + 0.01 * 100 * terms, rtol=1e-8)
    # The bound's gradient goes to the variance alone, the simple loss's to the mean alone.
    of_loss = torch.autograd.grad(loss.sum(), (factor, raw))
    (of_simple,) = torch.autograd.grad(simple.sum(), factor)
    close(of_loss[0], of_simple)
    assert float(of_loss[1].abs()) > 1e-3


def test_hybrid_loss_gives_the_network_its_labels_after_the_time():
    seen, t, y = [], torch.tensor([3, 4]), torch.tensor([8, 9])

    def network(x, *conditions):
        seen.extend(conditions)
        return torch.cat([x, x], 1)

    hybrid_loss(network, randn(2, 1, 2), t, randn(2, 1, 2), linear_schedule(10), y=y)
    assert seen[0] is t
    assert seen[1] is y


def test_hybrid_loss_counts_grey_levels():
    schedule, x0, eps = (
        linear_schedule(100, 1e-3, 0.2),
        torch.tensor([[[-1.0, 0.5, 1.0]]]),
        randn(1, 1, 3).float(),
    )

    def network(x, t):
        return torch.cat([torch.full_like(x, 0.3), torch.zeros_like(x)], 1)

    got = hybrid_loss(network, x0, full(1, 1), eps, schedule, levels=17, vlb_weight=1.0, predicts="x0")
    denoiser = VarianceDenoiser(network, schedule, "x0")
    levels = ((x0 + 1) * 8).long()
    term = decoder_nll(denoiser, levels, eps, schedule, levels=17, variance="learned")
    close(got, (x0 - 0.3).square().sum() + 100 * term, rtol=1e-5)


# The bound


def test_prior_kl_and_step_kl_are_those_of_torch():
    schedule = linear_schedule(100, 1e-3, 0.1)
    x0, eps = randn(4, 2, 3), randn(4, 2, 3, seed=1)
    law = Normal(schedule.alpha_bar[-1].sqrt() * x0, (1 - schedule.alpha_bar[-1]).sqrt())
    close(prior_kl(x0, schedule), kl_divergence(law, Normal(0.0, 1.0)).sum((1, 2)), rtol=1e-7)
    t = torch.tensor([2, 10, 50, 100])
    x_t = q_sample(x0, t, eps, schedule)
    for variance, table in (("small", schedule.posterior_var), ("large", schedule.beta)):
        q = Normal(posterior(x_t, t, x0, schedule)[0], schedule.posterior_var[t].sqrt()[:, None, None])
        p = Normal(posterior(x_t, t, 0.5 * x_t, schedule)[0], table[t].sqrt()[:, None, None])
        got = step_kl(lambda x, t: 0.5 * x, x0, t, eps, schedule, variance=variance)
        close(got, kl_divergence(q, p).sum((1, 2)), rtol=1e-6)


@pytest.mark.parametrize("variance", ["small", "large"])
def test_decoder_is_a_distribution_over_the_levels(variance):
    schedule = linear_schedule(100, 0.01, 0.1)
    levels, eps = 17, randn(17, 1)
    eps = eps[:1].expand(17, 1)
    x = torch.arange(17)[:, None]

    def denoiser(x_t, t):
        return torch.full_like(x_t, 0.33)

    nll = decoder_nll(denoiser, x, eps, schedule, levels=levels, variance=variance)
    close((-nll).exp().sum(), 1.0)
    std = math.sqrt(schedule.posterior_var[2] if variance == "small" else schedule.beta[1])
    edges = np.concatenate([[-np.inf], (np.arange(16) + 0.5) / 8 - 1, [np.inf]])
    close((-nll).exp(), torch.from_numpy(np.diff(stats.norm(0.33, std).cdf(edges))), rtol=1e-6, atol=1e-12)
    real = decoder_nll(denoiser, randn(4, 2), randn(4, 2, seed=1), schedule, variance=variance)
    close(real, -Normal(torch.tensor(0.33, dtype=F64), std).log_prob(randn(4, 2)).sum(1), rtol=1e-8)


def test_the_decoder_counts_all_levels_of_single_precision():
    x = torch.arange(256).reshape(1, 16, 16)
    x0 = to_pm1(x, 256)  # scaled back they are whole but for rounding
    mean, logvar = 0.9 * x0, torch.full_like(x0, -9)
    expected = discretised_gaussian_log_prob(mean, 0.5 * logvar, x, 256)
    close(decoder_log_prob(x0, mean, logvar, 256), expected, rtol=1e-6)


def gaussian_reverse_chain(schedule: DiscreteSchedule, mean: float, var: float, variance: str) -> Normal:
    """Law of the x0 that the reverse chain with the exact denoiser of N(mean, var) ends at, by recursion.

    With the estimate mean + g (x - alpha mean) every step is affine, so every law is Gaussian.
    """
    beta, bar = schedule.beta.numpy(), schedule.alpha_bar.numpy()
    m, v = 0.0, 1.0
    for t in range(schedule.T, 0, -1):
        gain = math.sqrt(bar[t]) * var / (bar[t] * var + 1 - bar[t])
        of_noisy = math.sqrt(1 - beta[t]) * (1 - bar[t - 1]) / (1 - bar[t])
        of_data = math.sqrt(bar[t - 1]) * beta[t] / (1 - bar[t])
        slope = of_noisy + of_data * gain
        m = slope * m + of_data * (mean - gain * math.sqrt(bar[t]) * mean)
        small = float(schedule.posterior_var[max(t, 2)])
        v = slope**2 * v + (small if variance == "small" else beta[t])
    return Normal(torch.tensor(m, dtype=F64), math.sqrt(v))


@pytest.mark.parametrize("variance", ["small", "large"])
def test_the_bound_is_above_the_exact_nll_of_a_gaussian(variance):
    """Against the model's own marginal likelihood, which is Gaussian, and against the data's entropy."""
    mean, std, n = 0.4, 0.3, 4000
    data = ExactMixture.isotropic([[mean]], [std])
    excess = []
    for T in (10, 40, 160):
        schedule = linear_schedule(T, 1 - math.exp(-8 / T), 1 - math.exp(-8 / T))
        x = data.sample(n, rng(T), dtype=F64)[0]
        nll = -gaussian_reverse_chain(schedule, mean, std**2, variance).log_prob(x)[:, 0]
        bound = variational_bound(data.denoiser(schedule), x, schedule, variance=variance, generator=rng(1))
        close(bound.total, bound.decoder + bound.prior + bound.kl.sum(1))
        assert float(z_score(bound.total - nll, 0.0)) > (2 if T == 10 else -3)  # never significantly below
        entropy = -Normal(mean, std).log_prob(x)[:, 0]
        excess.append(float((bound.total - entropy).mean()))
    assert 0 < excess[2] < 0.3 * excess[0]  # and close to the data's own where the steps are small


def test_a_few_steps_estimate_the_bound_without_bias():
    schedule = linear_schedule(30, 0.01, 0.3)
    x = torch.full((4000, 1), 0.9, dtype=F64)
    denoiser = LINE.denoiser(schedule)
    whole = variational_bound(denoiser, x, schedule, generator=rng())
    assert whole.t[0].tolist() == list(range(2, 31))
    assert whole.weights.tolist() == [1] * 29
    some = variational_bound(denoiser, x, schedule, steps=4, generator=rng(1))
    assert some.kl.shape == some.t.shape == (4000, 4)
    assert float(some.weights.sum()) == 29
    assert set(some.t.flatten().tolist()) == set(range(2, 31))  # no step is out of reach
    assert bool((some.t.diff(dim=1) > 0).all())
    difference = some.total.mean() - whole.total.mean()
    error = (some.total.var() / 4000 + whole.total.var() / 4000).sqrt()
    assert abs(float(difference / error)) < 4


def test_the_bound_of_grey_levels():
    schedule = linear_schedule(50, 1e-3, 0.3)
    x = torch.tensor([[0, 16], [8, 3]])
    points = ExactMixture.isotropic(x / 8 - 1.0, [0.0, 0.0])
    bound = variational_bound(
        points.denoiser(schedule), x.repeat(1000, 1), schedule, levels=17, generator=rng()
    )
    assert bound.total.dtype == torch.float32
    # Two equally likely images: log 2 at the least, and the best of all denoisers is not far above.
    assert float(z_score(bound.total, math.log(2))) > -3
    assert float(bound.total.mean()) < math.log(2) + 0.2


def test_one_step_has_a_bound_too():
    schedule = linear_schedule(1, 0.5, 0.5)
    bound = variational_bound(LINE.denoiser(schedule), randn(3, 1), schedule)
    assert bound.kl.shape == (3, 0)
    assert bound.total.isfinite().all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d, x: variational_bound(d, x, SHORT, steps=20), r"steps must be in 1 .. T - 1 = 19, got 20"),
        (lambda d, x: variational_bound(d, x.long(), SHORT), "x must hold real numbers.*give levels="),
        (lambda d, x: variational_bound(d, 20 * x.abs() + 17, SHORT, levels=17), r"x must lie in 0 .. 16"),
        (lambda d, x: step_kl(d, x, full(1, 3), x, SHORT), "t must be at least 2, got 1; .*decoder_nll"),
    ],
)
def test_the_bound_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call(lambda x, t: x, randn(3, 1))


# Samplers

EVERY_SAMPLER = {
    "ancestral": (ancestral, {}),
    "ancestral-large": (ancestral, {"variance": "large"}),
    "ddim": (ddim, {}),
    "ddim-eta": (ddim, {"eta": 0.6}),
    "heun": (heun, {}),
}
every_sampler = pytest.mark.parametrize(("sampler", "options"), EVERY_SAMPLER.values(), ids=EVERY_SAMPLER)


def with_generator(sampler, options, seed=0):
    return options if sampler is heun else options | {"generator": rng(seed)}


@every_sampler
@pytest.mark.parametrize(
    ("schedule", "times"),
    [(SHORT, None), (SHORT, 7), (SHORT, torch.tensor([19, 4, 1, 0])), (EDMSchedule(), 5)],
    ids=["all", "seven", "own", "edm"],
)
def test_samplers_yield_their_way_from_the_noise_to_the_data(sampler, options, schedule, times):
    calls = []

    def denoiser(x, t):
        calls.append((x, t))
        return MIXTURE.denoiser(schedule)(x, t)

    x_T = initial_noise((5, 2), schedule, rng(), dtype=F64)
    steps = list(sampler(denoiser, x_T, schedule, times, **with_generator(sampler, options)))
    expected = times if isinstance(times, Tensor) else schedule.times(times or schedule.T)
    assert [step.t for step in steps] == expected.tolist()
    assert steps[0].x_t is x_T
    n = len(steps) - 1
    assert len(calls) == (2 * n - 1 if sampler is heun else n)
    for step in steps[:-1]:
        close(step.x0_hat, MIXTURE.denoiser(schedule)(step.x_t, full(step.t, 5)))
        assert bool(step.x_t.isfinite().all())
    # Nothing is added at the last step: the sample is the last estimate, and nobody drew.
    assert steps[-1].t == 0
    assert steps[-1].x0_hat is steps[-1].x_t
    close(steps[-1].x_t, steps[-2].x0_hat, rtol=1e-6)
    assert all(t.shape == (5,) for _, t in calls)


@every_sampler
def test_the_last_step_draws_no_noise(sampler, options):
    if sampler is heun:
        pytest.skip("it never draws")
    x_T, generator = randn(5, 2), rng()
    steps = sampler(MIXTURE.denoiser(SHORT), x_T, SHORT, 3, **options, generator=generator)
    states = [generator.get_state() for _ in steps]  # before step 1, 2, 3, and at the end
    drew = [not torch.equal(a, b) for a, b in pairwise(states)]
    assert drew == [options.get("eta") is not None or sampler is ancestral] * 2 + [False]


@every_sampler
def test_samplers_leave_no_graph_and_obey_their_generator(sampler, options):
    with seeded(0):
        network = MLPNetwork((2,), 8, 1).double()
        nn.init.normal_(network.last.weight, std=0.3)
    denoiser = make_denoiser(network, SHORT)
    x_T = randn(4, 2)
    one, two, other = (
        sample(sampler, denoiser, x_T, SHORT, 5, progress=False, **with_generator(sampler, options, seed))
        for seed in (0, 0, 1)
    )
    assert not one.requires_grad
    assert torch.equal(one, two)
    assert torch.equal(one, other) == (sampler is heun or not (options or sampler is ancestral))
    assert torch.equal(x_T, randn(4, 2))


@pytest.mark.parametrize("times", [None, 6, torch.tensor([20, 11, 3, 2, 0])], ids=["all", "six", "own"])
@pytest.mark.parametrize("schedule", [SHORT, cosine_schedule(20)], ids=["linear", "cosine"])
def test_ddim_at_eta_1_is_ddpm(times, schedule):
    x_T = randn(5, 2)
    ours = ddim(MIXTURE.denoiser(schedule), x_T, schedule, times, eta=1.0, generator=rng(4))
    theirs = ancestral(MIXTURE.denoiser(schedule), x_T, schedule, times, generator=rng(4))
    for one, other in zip(ours, theirs, strict=True):
        assert one.t == other.t
        close(one.x_t, other.x_t, rtol=1e-6, atol=1e-9)


def test_one_ancestral_step_is_a_draw_from_the_reverse_step():
    x_T, t = randn(1, 1).expand(40_000, 1), full(20, 40_000)
    denoiser = LINE.denoiser(SHORT)
    for variance in ("small", "large"):
        _, step, *_ = ancestral(denoiser, x_T, SHORT, variance=variance, generator=rng())
        mean, logvar = reverse_moments(denoiser, x_T, t, SHORT, variance=variance)
        assert abs(float(z_score(step.x_t, mean[0]))) < 4
        assert abs(variance_z_score(step.x_t[:, 0], float(logvar[0].exp()))) < 4


def test_learned_variance_is_sampled_with():
    def constant(raw):
        def network(x, t):
            return torch.cat([LINE.denoiser(SHORT)(x, t), torch.full_like(x, raw)], 1)

        return VarianceDenoiser(network, SHORT, "x0")

    x_T = randn(6, 1)
    for raw, variance in ((1.0, "large"), (-1.0, "small")):
        one = ancestral(constant(raw), x_T, SHORT, 7, variance="learned", generator=rng())
        other = ancestral(LINE.denoiser(SHORT), x_T, SHORT, 7, variance=variance, generator=rng())
        for a, b in zip(one, other, strict=True):
            close(a.x_t, b.x_t, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("variance", ["small", "large"])
def test_ancestral_samples_have_the_moments_that_theory_gives(variance):
    schedule = linear_schedule(50, 0.001, 0.25)
    law = gaussian_reverse_chain(schedule, 0.4, 0.7**2, variance)
    x_T = initial_noise((20_000, 1), schedule, rng(), dtype=F64)
    x = sample(
        ancestral, LINE.denoiser(schedule), x_T, schedule, progress=False, variance=variance, generator=rng(1)
    )
    # The recursion adds the decoder's noise at t = 1, which a sampler leaves out.
    var = float(law.variance) - float(schedule.posterior_var[2] if variance == "small" else schedule.beta[1])
    assert abs(float(z_score(x, float(law.mean)))) < 4
    assert abs(variance_z_score(x[:, 0], var)) < 4


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_keeps_the_marginals_at_every_eta(eta):
    schedule = linear_schedule()
    x0 = LINE.sample(4000, rng(), dtype=F64)[0]
    x_T = q_sample(x0, full(1000, 4000), randn(4000, 1, seed=1), schedule)
    for step in ddim(LINE.denoiser(schedule), x_T, schedule, 500, eta=eta, generator=rng(2)):
        if step.t in (800, 500, 200, 0):
            alpha, sigma = (float(c) for c in schedule.coefficients(full(int(step.t), 1), x0[:1]))
            assert abs(float(z_score(step.x_t, 0.4 * alpha))) < 4
            var = (0.7 * alpha) ** 2 + sigma**2
            assert float(step.x_t.var()) == pytest.approx(var, rel=4 * math.sqrt(2 / 4000) + 0.01)


def test_a_ddim_step_in_the_papers_letters():
    """Song et al. 2021: the deviation of the noise is eta times the posterior's."""
    x_T, eta, t, s = randn(5, 2), 0.3, 20, 11
    _, step, *_ = ddim(
        MIXTURE.denoiser(SHORT), x_T, SHORT, torch.tensor([t, s, 0]), eta=eta, generator=rng(3)
    )
    bar_t, bar_s = (float(SHORT.alpha_bar[i]) for i in (t, s))
    deviation = eta * math.sqrt((1 - bar_s) / (1 - bar_t)) * math.sqrt(1 - bar_t / bar_s)
    x0_hat = MIXTURE.denoiser(SHORT)(x_T, full(t, 5))
    eps_hat = (x_T - math.sqrt(bar_t) * x0_hat) / math.sqrt(1 - bar_t)
    towards = math.sqrt(1 - bar_s - deviation**2) * eps_hat
    close(step.x_t, math.sqrt(bar_s) * x0_hat + towards + deviation * randn(5, 2, seed=3), rtol=1e-7)


def gaussian_path(x_T: Tensor, schedule, start: float) -> Tensor:
    """Where the probability flow of N(.4, .7^2) takes x_T: it keeps a point's number of deviations."""
    alpha, sigma = (f(torch.tensor([start], dtype=F64)).item() for f in (schedule.alpha, schedule.sigma))
    return 0.4 + 0.7 / math.hypot(0.7 * alpha, sigma) * (x_T - alpha * 0.4)


@pytest.mark.parametrize(("sampler", "order"), [(ddim, 1), (heun, 2)], ids=["ddim", "heun"])
@pytest.mark.parametrize(
    ("schedule", "start"),
    [(CosineSchedule(), 0.98), (EDMSchedule(sigma_min=1e-6, sigma_max=20.0, rho=2.0), 20.0)],
    ids=["cosine", "edm"],
)
def test_sampler_errors_shrink_with_the_order_of_the_method(sampler, order, schedule, start):
    x_T = torch.tensor([[-1.0], [0.3], [2.0]], dtype=F64) * (start if start > 1 else 1)
    exact = gaussian_path(x_T, schedule, start)
    errors = []
    for n in (40, 80, 160, 320):
        times = schedule.times(n) * (start / schedule.t_max)
        x = sample(sampler, LINE.denoiser(schedule), x_T, schedule, times, progress=False)
        errors.append(float((x - exact).abs().max()))
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders[-1] == pytest.approx(order, abs=0.15)
    assert errors[-1] < (0.03 if order == 1 else 1e-3)


def test_heun_with_edms_levels_is_the_papers_algorithm():
    """Algorithm 1 of Karras et al. 2022 with s(t) = 1 and sigma(t) = t, in its own letters."""
    schedule, denoise = EDMSchedule(sigma_max=10.0), MIXTURE.denoiser(EDMSchedule())
    x_T = 10 * randn(5, 2)
    levels = schedule.times(6).tolist()
    x = x_T
    for now, after in pairwise(levels):
        d = (x - denoise(x, full(now, 5))) / now
        euler = x + (after - now) * d
        if after > 0:
            d_after = (euler - denoise(euler, full(after, 5))) / after
            euler = x + (after - now) * (d + d_after) / 2
        x = euler
    close(sample(heun, denoise, x_T, schedule, 6, progress=False), x, rtol=1e-7)


def test_ddims_path_is_the_same_in_every_schedule():
    """x / alpha as a function of sigma / alpha does not know the schedule."""
    vp, ve = CosineSchedule(), EDMSchedule()
    times = torch.tensor([0.95, 0.6, 0.3, 0.1, 0.0], dtype=F64)
    ratios = vp.sigma(times) / vp.alpha(times)
    y = 3 * randn(4, 2)
    for sampler in (ddim, heun):
        one = sampler(MIXTURE.denoiser(vp), y * vp.alpha(times[:1]), vp, times)
        other = sampler(MIXTURE.denoiser(ve), y, ve, ratios)
        for a, b, alpha in zip(one, other, vp.alpha(times), strict=True):
            close(a.x_t / alpha, b.x_t, rtol=1e-6)


@pytest.mark.parametrize("schedule", [linear_schedule(), EDMSchedule(0.01, 20.0)], ids=["linear", "edm"])
def test_inversion_is_undone_by_ddim(schedule):
    x0 = MIXTURE.sample(100, rng(), dtype=F64)[0]
    denoiser = MIXTURE.denoiser(schedule)
    errors = []
    for n, iterations in ((20, 1), (80, 1), (80, 2), (80, 20)):
        steps = list(ddim_invert(denoiser, x0, schedule, n, iterations=iterations))
        assert [step.t for step in steps] == schedule.times(n).tolist()[::-1]
        assert steps[0].x_t is x0
        back = sample(ddim, denoiser, steps[-1].x_t, schedule, n, progress=False)
        errors.append(float((back - x0).norm(dim=1).mean()))
    assert errors[1] < 0.4 * errors[0]  # explicit: of first order
    assert errors[2] < 0.2 * errors[1]
    assert errors[3] < 1e-7  # each step's equation solved: exact on the same grid
    code = steps[-1].x_t
    assert code.shape == x0.shape
    close(code.std(), float(schedule.sigma(schedule.times(1)[:1])), rtol=0.3)


def test_initial_noise_has_the_schedules_largest_deviation():
    for schedule, std in (
        (linear_schedule(), 1.0),
        (EDMSchedule(sigma_max=80.0), 80.0),
        (CosineSchedule(), 1.0),
    ):
        x = initial_noise((20_000, 1), schedule, rng(), dtype=F64)
        assert float(x.std()) == pytest.approx(std, rel=0.02)
        assert torch.equal(x, initial_noise((20_000, 1), schedule, rng(), dtype=F64))
    assert initial_noise((2, 1, 3), SHORT).dtype == torch.float32


def test_sample_is_the_last_step(capfd):
    x_T = randn(3, 2)
    *_, last = ancestral(MIXTURE.denoiser(SHORT), x_T, SHORT, 6, generator=rng(), variance="large")
    assert isinstance(last, Step)
    got = sample(
        ancestral, MIXTURE.denoiser(SHORT), x_T, SHORT, 6, progress=False, generator=rng(), variance="large"
    )
    assert torch.equal(got, last.x_t)
    sample(ddim, MIXTURE.denoiser(SHORT), x_T, SHORT, 6)
    assert capfd.readouterr().out == ""


def denoise(x, t):
    return x


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ddim(denoise, x, SHORT, torch.tensor([20, 10, 1])), "end in 0, the data, got 1 .*append"),
        (lambda x: ancestral(denoise, x, SHORT, torch.tensor([0, 10, 20])), r"decreasing tensor \(n \+ 1,\)"),
        (lambda x: ancestral(denoise, x, SHORT, torch.tensor([5])), r"decreasing tensor \(n \+ 1,\)"),
        (lambda x: heun(denoise, x, CosineSchedule()), "times must be given for a CosineSchedule"),
        (lambda x: heun(denoise, x, CosineSchedule(), 5), "alpha is 0 at t = 1: .*start below it"),
        (lambda x: ddim(denoise, x, SHORT, 5, eta=1.5), r"eta must lie in \[0, 1\], got 1.5"),
        (lambda x: ancestral(denoise, x, SHORT, 5, variance="big"), "must be one of small, large"),
        (lambda x: ancestral(denoise, x, SHORT, torch.tensor([20.0, 0.0])), "t must hold whole steps"),
        (lambda x: ddim(denoise, x, SHORT, torch.tensor([21, 0])), "t must lie in 0 .. 20, got 21"),
        (lambda x: ddim_invert(denoise, x, SHORT, 5, iterations=0), "iterations must be at least 1, got 0"),
    ],
)  # fmt: skip
def test_samplers_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        list(call(randn(2, 3)))


# Guidance


@every_schedule
def test_classifier_guidance_by_the_exact_classifier_is_the_exact_conditional(schedule, t):
    """Bayes' rule: with the factor sqrt(1 - alpha_bar) right, scale 1 leaves nothing to wish for."""
    y = torch.tensor([0, 1, 2, 0, 1])
    x_t = q_sample(randn(5, 2), t, randn(5, 2, seed=1), schedule)
    guided = classifier_guided(MIXTURE.denoiser(schedule), MIXTURE.classifier(schedule), y, schedule)
    close(guided(x_t, t), MIXTURE.denoiser(schedule, y)(x_t, t), rtol=1e-5, atol=1e-6)
    with torch.no_grad():  # as inside a sampler
        assert not guided(x_t, t).requires_grad
    assert not x_t.requires_grad


def test_classifier_guidance_in_the_papers_letters():
    schedule, t = SCHEDULES["linear"]
    y, x_t = torch.tensor([2, 0, 1, 1, 2]), randn(5, 1, 2)
    weight = randn(3, 2, seed=5)

    def classifier(x, t):  # logits, not log-probabilities
        return x.flatten(1).square() @ weight.T

    x_in = x_t.clone().requires_grad_()
    log_p = classifier(x_in, t).log_softmax(1)[torch.arange(5), y].sum()
    (gradient,) = torch.autograd.grad(log_p, x_in)
    eps_hat = randn(5, 1, 2, seed=6)
    denoiser = make_denoiser(lambda x, t: eps_hat, schedule)
    guided = classifier_guided(denoiser, classifier, y, schedule, scale=2.5)
    expected = eps_hat - 2.5 * (1 - schedule.alpha_bar[t]).sqrt()[:, None, None] * gradient
    close(eps_from_x0(x_t, t, guided(x_t, t), schedule), expected, rtol=1e-6, atol=1e-8)
    off = classifier_guided(denoiser, lambda x, t: 1 / 0, y, schedule, scale=0.0)
    assert torch.equal(off(x_t, t), denoiser(x_t, t))


def test_classifier_free_guidance_is_each_model_to_the_bit_and_beyond():
    schedule, t = SCHEDULES["linear"]
    x_t, y = randn(5, 2), torch.tensor([0, 1, 2, 0, 1])
    calls = []
    conditional, unconditional = MIXTURE.denoiser(schedule, y), MIXTURE.denoiser(schedule)

    def counted(name, denoiser):
        return lambda x, t: calls.append(name) or denoiser(x, t)

    def guided(scale):
        calls.clear()
        return classifier_free(counted("c", conditional), counted("u", unconditional), scale)(x_t, t)

    assert torch.equal(guided(1), conditional(x_t, t))
    assert calls == ["c"]
    assert torch.equal(guided(1.0), conditional(x_t, t))
    assert torch.equal(guided(0), unconditional(x_t, t))
    assert calls == ["u"]
    close(guided(0.5), (conditional(x_t, t) + unconditional(x_t, t)) / 2)
    # Scale 3 is the score of p(x_t) p(y | x_t)^3, here by autograd.
    x_in = x_t.clone().requires_grad_()
    log_py = MIXTURE.component_log_prob(x_in, t, schedule)[torch.arange(5), y]
    tilted = MIXTURE.diffused_log_prob(x_in, t, schedule) + 3 * log_py
    (score,) = torch.autograd.grad(tilted.sum(), x_in)
    close(guided(3.0), x0_from_score(x_t, t, score, schedule), rtol=1e-5, atol=1e-7)


def test_guided_samples_go_where_they_are_told():
    y = torch.arange(3).repeat(200)
    schedule = linear_schedule()
    x_T = initial_noise((600, 2), schedule, rng(), dtype=F64)
    hits = []
    for scale in (0.0, 1.0, 4.0):
        guided = classifier_free(MIXTURE.denoiser(schedule, y), MIXTURE.denoiser(schedule), scale)
        x = sample(ddim, guided, x_T, schedule, 40, progress=False)
        hits.append(
            float((MIXTURE.component_log_prob(x, full(0, 600), schedule).argmax(1) == y).double().mean())
        )
    assert hits[0] < 0.45 < 0.95 < hits[1] <= hits[2]


def test_dropped_labels_are_a_share_of_all():
    y = torch.arange(10).repeat(2000)
    before = y.clone()
    dropped = drop_labels(y, 0.1, 10, rng())
    assert torch.equal(y, before)
    assert dropped.dtype == y.dtype
    gone = dropped == 10
    assert torch.equal(dropped[~gone], y[~gone])
    assert abs(float(gone.double().mean()) - 0.1) < 4 * math.sqrt(0.09 / 20_000)
    assert stats.chisquare(torch.bincount(y[gone])).pvalue > 1e-3
    assert torch.equal(drop_labels(y, 0.0, 10), y)
    assert bool((drop_labels(y, 1.0, 10) == 10).all())
    with pytest.raises(ValueError, match=r"probability must lie in \[0, 1\], got 1.5"):
        drop_labels(y, 1.5, 10)


def test_labels_are_dropped_by_draws_on_the_generators_device():
    drawn, expected = rng(), rng()
    dropped = drop_labels(torch.zeros(5, dtype=torch.int64, device="meta"), 0.5, 10, drawn)
    assert dropped.is_meta
    torch.rand(5, generator=expected)
    assert torch.equal(drawn.get_state(), expected.get_state())


def test_guidance_says_what_is_wrong():
    guided = classifier_guided(MIXTURE.denoiser(SHORT), MIXTURE.classifier(SHORT), torch.tensor([1]), SHORT)
    with pytest.raises(ValueError, match=r"y must have shape \(2,\), got \(1,\); give one class per example"):
        guided(randn(2, 2), full(3, 2))


# EDM


def test_edm_preconditioning_has_unit_variances_and_the_best_skip():
    """For data N(0, s^2): inputs and targets of variance 1, and c_skip where c_out is least (autograd)."""
    s, sigma = 0.7, torch.tensor([0.01, 0.5, 0.7, 3.0, 80.0], dtype=F64)
    c = edm_coefficients(sigma, s)
    close(c.c_in**2 * (s**2 + sigma**2), 1.0)
    # The target F = (x0 - c_skip (x0 + sigma eps)) / c_out
    of_data, of_noise = (1 - c.c_skip) / c.c_out, -c.c_skip * sigma / c.c_out
    close((of_data * s) ** 2 + of_noise**2, 1.0)
    skip = c.c_skip.clone().requires_grad_()
    (slope,) = torch.autograd.grad((((1 - skip) * s) ** 2 + (skip * sigma) ** 2).sum(), skip)
    close(slope, 0.0, atol=1e-9)
    close(c.c_noise, torch.from_numpy(np.log(sigma.numpy()) / 4))


def test_edm_denoiser_is_exact_for_a_gaussian_whose_network_is_silent():
    data = ExactMixture.isotropic([[0.0, 0.0]], [0.7])
    t, x_t = SCHEDULES["edm"][1], 2 * randn(5, 2)
    silent = edm_denoiser(lambda x, c: 0 * x, 0.7)
    close(silent(x_t, t), data.denoiser(EDMSchedule())(x_t, t))
    seen = []
    labels = torch.arange(5)
    loud = edm_denoiser(lambda *args: seen.append(args) or torch.ones_like(x_t), 0.7, y=labels)
    c = edm_coefficients(t, 0.7)
    close(loud(x_t, t), c.c_skip[:, None] * x_t + c.c_out[:, None])
    close(seen[0][0], c.c_in[:, None] * x_t)
    close(seen[0][1], c.c_noise)
    assert seen[0][2] is labels


def test_edm_loss_counts_every_level_alike_at_the_start():
    n, D = 20_000, 3
    x0, eps = 0.7 * randn(n, D), randn(n, D, seed=1)
    for sigma in (0.01, 0.7, 40.0):
        loss = edm_loss(lambda x, c: 0 * x, x0, full(sigma, n), eps, 0.7)
        assert abs(float(z_score(loss, float(D)))) < 4
    c = edm_coefficients(full(0.3, 1), 0.7)
    x0_hat = c.c_skip * (x0[:1] + 0.3 * eps[:1]) + c.c_out * 0.5
    expected = (x0_hat - x0[:1]).square().sum() * (0.3**2 + 0.7**2) / (0.3 * 0.7) ** 2
    close(edm_loss(lambda x, c: 0 * x + 0.5, x0[:1], full(0.3, 1), eps[:1], 0.7)[0], expected)


def test_drawn_noise_levels_are_log_normal():
    sigma = draw_sigma(20_000, rng(), p_mean=-0.8, p_std=1.1).double()
    assert stats.kstest(sigma.log().numpy(), stats.norm(-0.8, 1.1).cdf).pvalue > 1e-3
    assert float(draw_sigma(20_000, rng()).log().mean()) == pytest.approx(-1.2, abs=0.04)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: edm_coefficients(torch.ones(2), 0.0), "sigma_data must be positive, got 0.0"),
        (lambda: draw_sigma(2, p_std=-1.0), "p_std must not be negative"),
        (
            lambda: edm_loss(lambda x, c: x, randn(2, 3), full(1.0, 2), randn(3), 1.0),
            "eps must have the shape of x0",
        ),
    ],
)
def test_edm_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# The MLP


def test_mlp_network_is_silent_at_first_and_learns_with_every_weight():
    with seeded(0):
        network = MLPNetwork((1, 3, 2), 16, 2, classes=4).double()
    x, t, y = randn(5, 1, 3, 2), torch.arange(5), torch.tensor([0, 1, 2, 3, 4])
    assert torch.equal(network(x, t, y), torch.zeros_like(x))
    nn.init.normal_(network.last.weight)
    network(x, t, y).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0, name


def test_mlp_blocks_add_to_what_they_are_given():
    with seeded(0):
        network = MLPNetwork((2,), 16, 2).double()
    h, condition = randn(3, 16), randn(3, 16, seed=1)
    for block in network.blocks:
        moved = block(h, condition) - h
        nn.init.zeros_(block.linear_out.weight)
        close(block(h, condition), h + block.linear_out.bias)
        assert float(moved.detach().abs().sum()) > 0


def test_mlp_network_hears_time_and_label():
    with seeded(0):
        network = MLPNetwork((2,), 16, 2, classes=4).double()
        nn.init.normal_(network.last.weight)
    x, t = randn(3, 2), torch.tensor([1, 500, 1000])
    none = network(x, t)
    assert torch.equal(none, network(x, t, full(4, 3)))
    assert not torch.allclose(none, network(x, t, full(0, 3)))
    assert not torch.allclose(none, network(x, t - 1))
    scaled = MLPNetwork((2,), 16, 2, classes=4, time_scale=1000.0).double()
    scaled.load_state_dict(network.state_dict())
    close(scaled(x, t / 1000), none, rtol=1e-5, atol=1e-5)
    assert MLPNetwork((3, 2, 2), 8, 1, outputs=2)(torch.zeros(4, 3, 2, 2), torch.ones(4)).shape == (
        4,
        6,
        2,
        2,
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n: n(randn(2, 3).float(), full(1, 2)), r"x must have shape \(B, 2\), got \(2, 3\)"),
        (lambda n: n(randn(2, 2).float(), full(1, 1)), r"t must have shape \(2,\), got \(1,\)"),
        (lambda n: n(randn(2, 2).float(), full(1, 2), full(1, 3)), r"y must have shape \(2,\), got \(3,\)"),
        (lambda n: n(randn(2, 2).float(), full(1, 2), full(6, 2)), "whole labels 0 .. 5, where 5 means none"),
        (
            lambda n: MLPNetwork((2,), 8, 1)(randn(2, 2).float(), full(1, 2), full(0, 2)),
            "without classes; build it",
        ),
    ],
)
def test_mlp_network_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call(MLPNetwork((2,), 8, 1, classes=5))


@pytest.mark.slow
def test_a_trained_network_comes_close_to_the_exact_denoiser():
    schedule = linear_schedule()
    with seeded(0):
        network = MLPNetwork((2,), 64, 2)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    generator = rng()
    for _ in range(600):
        x0 = MIXTURE.sample(256, generator)[0]
        t = draw_steps(256, schedule, generator)
        eps = torch.randn(x0.shape, generator=generator)
        loss = simple_loss(network, x0, t, eps, schedule).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x0, t = MIXTURE.sample(4000, generator)[0], draw_steps(4000, schedule, generator)
    eps = torch.randn(x0.shape, generator=generator)
    best = MIXTURE.denoiser(schedule)
    with torch.no_grad():
        ours = simple_loss(network, x0, t, eps, schedule)
        exact = simple_loss(lambda x, t: eps_from_x0(x, t, best(x, t), schedule), x0, t, eps, schedule)
    excess = float((ours - exact).mean())
    assert -4 * float((ours - exact).std()) / math.sqrt(4000) < excess < 0.05
