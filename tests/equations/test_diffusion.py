"""The equations of chapter 07_diffusion, each against something that does not come from dgm."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal, kl_divergence

from dgm.diffusion import (
    ExactMixture,
    VarianceDenoiser,
    ancestral,
    convert,
    cosine_schedule,
    draw_steps,
    eps_from_x0,
    forward_step,
    hybrid_loss,
    learned_logvar,
    linear_schedule,
    posterior,
    q_sample,
    reverse_moments,
    score_from_x0,
    simple_loss,
    step_kl,
    variational_bound,
    variational_weight,
    x0_from_score,
)
from vae_anchors import normal_quadrature, variance_z_score, z_score

F64 = torch.float64
SHORT, TINY = linear_schedule(20, 0.01, 0.4), linear_schedule(4, 0.1, 0.5)
BETA = np.concatenate([[0.0], np.linspace(0.01, 0.4, 20)])  # of SHORT, typed here
BAR = np.cumprod(1 - BETA)
STEPS = torch.tensor([2, 3, 12, 20])
GRID = torch.linspace(-8, 8, 20_001, dtype=F64)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=rng(seed), dtype=F64)


def full(t: int, n: int) -> Tensor:
    return torch.full((n,), t, dtype=torch.int64)


def close(actual: Tensor, expected: Tensor | float, rtol: float = 1e-8, atol: float = 1e-10) -> None:
    expected = torch.as_tensor(expected, dtype=actual.dtype)
    torch.testing.assert_close(actual, expected.expand_as(actual), rtol=rtol, atol=atol)


def guess(x: Tensor, t: Tensor) -> Tensor:  # some denoiser, neither good nor linear
    return torch.tanh(x) + 0.02 * t.to(x).view(-1, *[1] * (x.ndim - 1))


def conditioned(t: int, beta: np.ndarray = BETA) -> tuple[float, float, float]:
    """Of q(x_{t-1} | x_t, x0): factors of x_t and of x0, variance; the chain's joint Gaussian conditioned."""
    step = math.sqrt(1 - beta[t])
    mean, var = 1.0, 0.0  # x_{t-1} = mean x0 + noise of this variance, pushed along the chain
    for b in beta[1:t]:
        mean, var = math.sqrt(1 - b) * mean, (1 - b) * var + b
    gain = step * var / (step**2 * var + beta[t])  # Cov(x_{t-1}, x_t) / Var(x_t)
    return gain, mean - gain * step * mean, var - gain * step * var


def step_normals(x0: Tensor, eps: Tensor, variance: str) -> tuple[Tensor, Normal, Normal]:
    """x_t, q(x_{t-1} | x_t, x0) and the model's step with the denoiser `guess`, at STEPS."""
    bar = torch.from_numpy(BAR)[STEPS, None]
    x_t = bar.sqrt() * x0 + (1 - bar).sqrt() * eps
    of_noisy, of_data, var = torch.tensor([conditioned(int(t)) for t in STEPS], dtype=F64).T[:, :, None]
    model_var = var if variance == "small" else torch.from_numpy(BETA)[STEPS, None]
    true = Normal((of_noisy * x_t + of_data * x0), var.sqrt().expand_as(x0))
    model = Normal(of_noisy * x_t + of_data * guess(x_t, STEPS), model_var.sqrt().expand_as(x0))
    return x_t, true, model


X0, EPS = randn(4, 3, seed=1), randn(4, 3, seed=2)


@pytest.mark.equation("diff-step")
def test_one_step_shrinks_and_adds_noise():
    n, beta = 20_000, BETA[12]
    x = forward_step(torch.full((n, 1), 1.5, dtype=F64), full(12, n), randn(n, 1), SHORT)
    assert abs(float(z_score(x, 1.5 * math.sqrt(1 - beta)))) < 4
    assert abs(variance_z_score(x[:, 0], beta)) < 4
    kept = forward_step(randn(n, 1, seed=3), full(12, n), randn(n, 1, seed=4), SHORT)
    assert abs(variance_z_score(kept[:, 0], 1.0)) < 4  # a variance of one is kept


@pytest.mark.equation("diff-marginal")
def test_jump_has_the_moments_of_the_simulated_chain():
    n, generator = 20_000, rng()
    x0 = torch.full((n, 1), 1.5, dtype=F64)
    x = x0
    for t in range(1, 9):
        x = forward_step(x, full(t, n), torch.randn(n, 1, generator=generator, dtype=F64), SHORT)
    jump_mean = q_sample(x0[:1], full(8, 1), torch.zeros(1, 1, dtype=F64), SHORT).item()
    jump_std = q_sample(0 * x0[:1], full(8, 1), torch.ones(1, 1, dtype=F64), SHORT).item()
    assert abs(float(z_score(x, jump_mean))) < 4
    assert abs(variance_z_score(x[:, 0], jump_std**2)) < 4
    assert jump_mean == pytest.approx(1.5 * math.sqrt(BAR[8]))
    assert jump_std == pytest.approx(math.sqrt(1 - BAR[8]))


@pytest.mark.equation("diff-snr")
@pytest.mark.parametrize("t", [1, 8, 20])
def test_snr_is_the_ratio_of_measured_variances(t):
    """For data of variance one, signal and noise of x_t: measured by switching the other off."""
    n = 40_000
    signal = q_sample(randn(n, 1), full(t, n), torch.zeros(n, 1, dtype=F64), SHORT).var()
    noise = q_sample(torch.zeros(n, 1, dtype=F64), full(t, n), randn(n, 1, seed=1), SHORT).var()
    snr = float(SHORT.snr(full(t, 1)))
    assert float(signal / noise) == pytest.approx(snr, rel=4 * math.sqrt(4 / n))
    assert snr == pytest.approx(BAR[t] / (1 - BAR[t]))
    assert float(SHORT.log_snr(full(t, 1))) == pytest.approx(math.log(BAR[t] / (1 - BAR[t])))


@pytest.mark.equation("diff-linear")
def test_linear_betas_grow_evenly_and_end_in_noise():
    beta = linear_schedule().beta[1:]
    assert len(beta) == 1000
    assert (beta[0].item(), beta[-1].item()) == (pytest.approx(1e-4), pytest.approx(0.02))
    close(beta.diff(), (0.02 - 1e-4) / 999)
    assert linear_schedule().alpha_bar[-1].item() == pytest.approx(4e-5, rel=0.02)  # known of Ho et al.'s


@pytest.mark.equation("diff-cosine")
def test_cosine_schedule_turns_an_angle_evenly():
    schedule = cosine_schedule(1000)
    f_0 = math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    angle = torch.arccos((schedule.alpha_bar[:-1] * f_0).sqrt())
    close(angle[0], 0.008 / 1.008 * math.pi / 2)
    close(angle.diff(), math.pi / 2 / 1.008 / 1000, rtol=1e-6)
    assert schedule.beta[-1] == 0.999
    assert float(schedule.beta[:-1].max()) < 0.999


def bayes_by_quadrature(x_t: float, x0: float, t: int) -> tuple[float, float]:
    log_q = Normal(math.sqrt(1 - BETA[t]) * GRID, math.sqrt(BETA[t])).log_prob(torch.tensor(x_t, dtype=F64))
    before = torch.tensor(math.sqrt(BAR[t - 1]) * x0, dtype=F64)
    log_q = log_q + Normal(before, math.sqrt(1 - BAR[t - 1])).log_prob(GRID)
    weight = log_q.softmax(0)
    mean = float(weight @ GRID)
    return mean, float(weight @ (GRID - mean) ** 2)


@pytest.mark.equation("diff-posterior")
@pytest.mark.parametrize("t", STEPS.tolist())
def test_posterior_mean_is_bayes_rule(t):
    for x_t, x0 in ((0.4, -0.8), (-1.1, 0.9)):
        mean, _ = posterior(
            torch.tensor([[x_t]], dtype=F64), full(t, 1), torch.tensor([[x0]], dtype=F64), SHORT
        )
        assert mean.item() == pytest.approx(bayes_by_quadrature(x_t, x0, t)[0], abs=1e-9)


@pytest.mark.equation("diff-posterior-var")
@pytest.mark.parametrize("t", STEPS.tolist())
def test_posterior_variance_is_bayes_rule(t):
    expected = bayes_by_quadrature(0.4, -0.8, t)[1]
    x = torch.zeros(1, 1, dtype=F64)
    assert posterior(x, full(t, 1), x, SHORT)[1].item() == pytest.approx(expected, rel=1e-8)
    assert SHORT.posterior_var[t].item() == pytest.approx(expected, rel=1e-8)


@pytest.mark.equation("diff-bound")
@pytest.mark.parametrize("variance", ["small", "large"])
def test_bound_is_the_log_ratio_of_two_chains(variance):
    n, beta = 20_000, np.concatenate([[0.0], np.linspace(0.1, 0.5, 4)])
    x0 = torch.full((n, 1), 0.6, dtype=F64)
    generator, path, ratio = rng(), [x0], torch.zeros(n, 1, dtype=F64)
    for t in range(1, 5):
        q = Normal(math.sqrt(1 - beta[t]) * path[-1], math.sqrt(beta[t]))
        path.append(q.mean + q.stddev * torch.randn(n, 1, generator=generator, dtype=F64))
        ratio += q.log_prob(path[-1])
    ratio -= Normal(0.0, 1.0).log_prob(path[-1])
    last = torch.zeros(n, 1, dtype=F64)
    for t in range(1, 5):
        of_noisy, of_data, var = conditioned(t, beta)
        if variance == "large":
            var = beta[t]
        elif t == 1:
            var = conditioned(2, beta)[2]
        mean = of_noisy * path[t] + of_data * guess(path[t], full(t, n))
        step = Normal(mean, math.sqrt(var)).log_prob(path[t - 1])
        ratio -= step
        last = -step if t == 1 else last
    terms = variational_bound(guess, x0, TINY, variance=variance, generator=rng(1))
    total = terms.decoder + terms.kl.sum(1) + terms.prior
    error = math.sqrt(float(ratio.var() + total.var()) / n)
    assert abs(float(ratio.mean() - total.mean())) < 4 * error
    close(terms.total, total)
    # Each end of the chain by itself: what is left in x_T, and the last step onto the data.
    alpha_bar = float(np.prod(1 - beta[1:]))
    left = kl_divergence(Normal(math.sqrt(alpha_bar) * x0[:, 0], math.sqrt(1 - alpha_bar)), Normal(0.0, 1.0))
    close(terms.prior, left)
    assert abs(float(z_score(last, float(terms.decoder.mean())))) < 4 * math.sqrt(2)  # both are estimates


@pytest.mark.equation("diff-bound")
def test_bound_is_above_the_entropy_and_tight_where_each_step_is_exact():
    n = 20_000
    x = 0.4 + 0.7 * randn(n, 1)
    data = ExactMixture.isotropic([[0.4]], [0.7])
    bound = variational_bound(data.denoiser(TINY), x, TINY, variance="large", generator=rng(1)).total
    excess = bound + Normal(0.4, 0.7).log_prob(x)[:, 0]
    assert float(z_score(excess, 0.0)) > 4
    # For N(0, I) the reverse steps are Gaussians of variance beta_t: the chain is the data's, for every x.
    unit = ExactMixture.isotropic([[0.0]], [1.0]).denoiser(TINY)
    for value in (-0.3, 1.4):
        x = torch.full((n, 1), value, dtype=F64)
        bound = variational_bound(unit, x, TINY, variance="large", generator=rng(2)).total
        nll = -Normal(0.0, 1.0).log_prob(torch.tensor(value, dtype=F64))
        assert abs(float(z_score(bound, nll))) < 4


@pytest.mark.equation("diff-kl-mean")
@pytest.mark.parametrize("variance", ["small", "large"])
def test_kl_is_an_error_of_the_mean_and_a_constant(variance):
    _, true, model = step_normals(X0, EPS, variance)
    kl = step_kl(guess, X0, STEPS, EPS, SHORT, variance=variance)
    close(kl, kl_divergence(true, model).sum(1), rtol=1e-7)
    ratio = (true.variance / model.variance)[:, 0]
    weight = variational_weight(STEPS, SHORT, "mean", variance=variance)
    error = (true.mean - model.mean).square().sum(1)
    close(weight * error + 1.5 * (ratio - 1 - ratio.log()), kl, rtol=1e-7)
    assert bool((ratio < 1).all()) == (variance == "large")


@pytest.mark.equation("diff-kl-x0")
def test_kl_is_an_error_of_the_data():
    x_t, true, model = step_normals(X0, EPS, "small")
    kl = kl_divergence(true, model).sum(1)
    weight = variational_weight(STEPS, SHORT, "x0")
    close(step_kl(guess, X0, STEPS, EPS, SHORT), kl, rtol=1e-7)
    close(weight * (X0 - guess(x_t, STEPS)).square().sum(1), kl, rtol=1e-7)
    close(weight, (SHORT.snr(STEPS - 1) - SHORT.snr(STEPS)) / 2, rtol=1e-7)
    close(simple_loss(guess, X0, STEPS, EPS, SHORT, predicts="x0", weight=weight), kl, rtol=1e-7)


@pytest.mark.equation("diff-kl-eps")
@pytest.mark.parametrize("variance", ["small", "large"])
def test_kl_is_an_error_of_the_noise(variance):
    x_t, true, model = step_normals(X0, EPS, variance)
    same = Normal(model.mean, true.stddev)  # the part to learn: what a wrong mean costs
    constant = kl_divergence(true, Normal(true.mean, model.stddev)).sum(1)
    bar = torch.from_numpy(BAR)[STEPS, None]
    eps_hat = (x_t - bar.sqrt() * guess(x_t, STEPS)) / (1 - bar).sqrt()
    weight = variational_weight(STEPS, SHORT, "eps", variance=variance)
    kl = kl_divergence(true, model).sum(1)
    close(weight * (EPS - eps_hat).square().sum(1) + constant, kl, rtol=1e-7)
    close(step_kl(guess, X0, STEPS, EPS, SHORT, variance=variance), kl, rtol=1e-7)
    if variance == "small":
        close(kl_divergence(true, same).sum(1), kl, rtol=1e-7)


@pytest.mark.equation("diff-kl-v")
def test_kl_is_an_error_of_the_velocity():
    x_t, true, model = step_normals(X0, EPS, "small")
    alpha, sigma = (torch.from_numpy(np.sqrt(c))[STEPS, None] for c in (BAR, 1 - BAR))
    x0_hat = guess(x_t, STEPS)
    v_hat = alpha * (x_t - alpha * x0_hat) / sigma - sigma * x0_hat
    error = (alpha * EPS - sigma * X0 - v_hat).square().sum(1)
    kl = kl_divergence(true, model).sum(1)
    weight = variational_weight(STEPS, SHORT, "v")
    close(weight * error, kl, rtol=1e-7)
    close(simple_loss(lambda x, t: v_hat, X0, STEPS, EPS, SHORT, predicts="v", weight=weight), kl, rtol=1e-7)
    close(step_kl(guess, X0, STEPS, EPS, SHORT), kl, rtol=1e-7)


@pytest.mark.equation("diff-simple")
@pytest.mark.parametrize("t", [1, 8, 20])
def test_simple_loss_of_the_best_network_is_the_conditional_variance(t):
    """By quadrature over data N(0.4, 0.7^2) and noise, without any draw."""
    nodes, weights = normal_quadrature(40)
    x0, eps = 0.4 + 0.7 * nodes.repeat_interleave(40)[:, None], nodes.repeat(40)[:, None]
    weight, times = weights.repeat_interleave(40) * weights.repeat(40), full(t, 1600)
    data, noise = 0.49 * BAR[t], 1 - BAR[t]

    def best(x, t_):  # E[eps | x_t] of two Gaussians
        return math.sqrt(noise) / (data + noise) * (x - 0.4 * math.sqrt(BAR[t]))

    loss = weight @ simple_loss(best, x0, times, eps, SHORT)
    close(loss, 1 - noise / (data + noise))
    for wrong in (lambda x: 0 * x + 0.1, lambda x: -0.2 * x, torch.sin):
        worse = weight @ simple_loss(lambda x, t_, w=wrong: best(x, t_) + w(x), x0, times, eps, SHORT)
        x_t = math.sqrt(BAR[t]) * x0 + math.sqrt(noise) * eps
        close(worse - loss, weight @ wrong(x_t)[:, 0].square(), rtol=1e-6)
        assert worse > loss


@pytest.mark.equation("diff-simple")
def test_simple_loss_at_random_steps_is_their_mean():
    n, t = 40_000, draw_steps(40_000, SHORT, rng())
    assert (int(t.min()), int(t.max())) == (1, 20)
    best = ExactMixture.isotropic([[0.4]], [0.7]).denoiser(SHORT)
    x0 = 0.4 + 0.7 * randn(n, 1, seed=1)
    loss = simple_loss(lambda x, t: eps_from_x0(x, t, best(x, t), SHORT), x0, t, randn(n, 1, seed=2), SHORT)
    data, noise = 0.49 * BAR[1:], 1 - BAR[1:]
    assert abs(float(z_score(loss, float(np.mean(data / (data + noise)))))) < 4


@pytest.mark.equation("diff-tweedie")
@pytest.mark.parametrize("t", [1, 8, 20])
def test_score_of_the_noisy_density_gives_the_conditional_means(t):
    means, stds, weights = [-0.8, 0.9], [0.6, 0.4], [0.35, 0.65]
    tensors = [torch.tensor(v, dtype=F64) for v in (weights, means, stds)]
    log_prior = MixtureSameFamily(Categorical(tensors[0]), Normal(*tensors[1:])).log_prob(GRID)
    alpha, sigma = math.sqrt(BAR[t]), math.sqrt(1 - BAR[t])
    x = torch.tensor([[-1.3], [0.1], [0.8]], dtype=F64, requires_grad=True)
    joint = log_prior + Normal(alpha * GRID, sigma).log_prob(x)  # (3, n), x0 along the grid
    (score,) = torch.autograd.grad(joint.logsumexp(1).sum(), x)
    x, posterior_of = x.detach(), joint.detach().softmax(1)
    mean = posterior_of @ GRID[:, None]
    noise = (posterior_of * (x - alpha * GRID) / sigma).sum(1, keepdim=True)
    tweedie = x0_from_score(x, full(t, 3), score, SHORT)
    close(tweedie, mean, rtol=1e-7, atol=1e-8)
    close(eps_from_x0(x, full(t, 3), tweedie, SHORT), noise, rtol=1e-7, atol=1e-8)
    close(convert(score, x, full(t, 3), SHORT, "score", "eps"), noise, rtol=1e-7, atol=1e-8)
    close(score_from_x0(x, full(t, 3), mean, SHORT), score, rtol=1e-6, atol=1e-7)
    exact = ExactMixture.isotropic([[m] for m in means], stds, weights)
    close(exact.denoiser(SHORT)(x, full(t, 3)), mean, rtol=1e-7, atol=1e-8)


@pytest.mark.equation("diff-variance")
@pytest.mark.parametrize(("variance", "of_data"), [("small", 0.0), ("large", 1.0)])
@pytest.mark.parametrize("t", STEPS.tolist())
def test_two_variances_are_those_of_a_point_and_of_the_unit_gaussian(variance, of_data, t):
    """The true Var(x_{t-1} | x_t): the chain as a matrix acting on x0 and t noises, conditioned."""
    rows = [np.eye(t + 1)[0] * math.sqrt(of_data)]
    for step in range(1, t + 1):
        rows.append(math.sqrt(1 - BETA[step]) * rows[-1] + math.sqrt(BETA[step]) * np.eye(t + 1)[step])
    joint = np.array(rows[-2:]) @ np.array(rows[-2:]).T
    expected = 1 / np.linalg.inv(joint)[0, 0]  # a conditional variance is one over the precision
    x = torch.zeros(1, 1, dtype=F64)
    _, logvar = reverse_moments(guess, x, full(t, 1), SHORT, variance=variance)
    close(logvar.exp(), expected, rtol=1e-7)


@pytest.mark.equation("diff-learned-variance")
@pytest.mark.parametrize("t", STEPS.tolist())
def test_learned_variance_is_geometric_between_the_two(t):
    low, high = conditioned(t)[2], BETA[t]
    fraction = torch.tensor([[0.0, 0.5, 1.0]], dtype=F64)
    expected = torch.tensor([[low, math.sqrt(low * high), high]], dtype=F64)
    close(learned_logvar(fraction, full(t, 1), SHORT).exp(), expected, rtol=1e-7)
    raw = torch.cat([torch.zeros(1, 3, dtype=F64), 2 * fraction - 1], 1)  # a network's outputs
    denoiser = VarianceDenoiser(lambda x, t: raw, SHORT)
    logvar = reverse_moments(denoiser, randn(1, 3), full(t, 1), SHORT, variance="learned")[1]
    close(logvar.exp(), expected, rtol=1e-7)


@pytest.mark.equation("diff-hybrid")
@pytest.mark.parametrize("vlb_weight", [0.001, 0.5])
def test_hybrid_loss_teaches_the_mean_by_the_simple_part_alone(vlb_weight):
    t = torch.tensor([1, 3, 12, 20])
    out = randn(4, 6, seed=5).requires_grad_()
    loss = hybrid_loss(lambda x, t: out, X0, t, EPS, SHORT, vlb_weight=vlb_weight)
    (grad,) = torch.autograd.grad(loss.sum(), out)

    raw = out.detach()[:, 3:].requires_grad_()
    eps_hat, vlb = out.detach()[:, :3], []
    for i, step in enumerate(t.tolist()):
        x_t = math.sqrt(BAR[step]) * X0[i] + math.sqrt(1 - BAR[step]) * EPS[i]
        x0_hat = (x_t - math.sqrt(1 - BAR[step]) * eps_hat[i]) / math.sqrt(BAR[step])
        of_noisy, of_data, var = conditioned(step)
        low = conditioned(max(step, 2))[2]
        nu = (raw[i] + 1) / 2
        model = Normal(of_noisy * x_t + of_data * x0_hat, (BETA[step] ** nu * low ** (1 - nu)).sqrt())
        if step == 1:
            vlb.append(-model.log_prob(X0[i]).sum())
        else:
            true = Normal(of_noisy * x_t + of_data * X0[i], math.sqrt(var))
            vlb.append(kl_divergence(true, model).sum())
    vlb = 20 * torch.stack(vlb)
    close(loss, (EPS - eps_hat).square().sum(1) + vlb_weight * vlb.detach(), rtol=1e-7)
    close(grad[:, :3], 2 * (eps_hat - EPS))  # of the simple loss alone
    (of_fraction,) = torch.autograd.grad(vlb_weight * vlb.sum(), raw)
    close(grad[:, 3:], of_fraction, rtol=1e-6)
    assert float(of_fraction.abs().min()) > 0


@pytest.mark.equation("diff-hybrid")
def test_hybrid_loss_weighs_the_bound_by_a_thousandth():
    t, out = STEPS, randn(4, 6, seed=5)
    losses = [hybrid_loss(lambda x, t: out, X0, t, EPS, SHORT, vlb_weight=w) for w in (0.0, 1.0)]
    close(hybrid_loss(lambda x, t: out, X0, t, EPS, SHORT), losses[0] + 0.001 * (losses[1] - losses[0]))


@pytest.mark.equation("diff-ancestral")
@pytest.mark.parametrize("variance", ["small", "large"])
def test_ancestral_step_has_the_models_moments(variance):
    n, t = 20_000, 12
    x = torch.full((n, 1), 0.8, dtype=F64)
    chain = ancestral(guess, x, SHORT, torch.arange(t, -1, -1), variance=variance, generator=rng())
    next(chain)
    drawn = next(chain).x_t
    of_noisy, of_data, var = conditioned(t)
    x0_hat = math.tanh(0.8) + 0.02 * t
    assert abs(float(z_score(drawn, of_noisy * 0.8 + of_data * x0_hat))) < 4
    assert abs(variance_z_score(drawn[:, 0], var if variance == "small" else BETA[t])) < 4


@pytest.mark.equation("diff-ancestral")
@pytest.mark.parametrize("variance", ["small", "large"])
def test_last_ancestral_step_adds_no_noise(variance):
    generator, x = rng(3), randn(5, 2)
    before = generator.get_state()
    *_, last = ancestral(guess, x, SHORT, torch.tensor([1, 0]), variance=variance, generator=generator)
    assert torch.equal(generator.get_state(), before)
    close(last.x_t, torch.tanh(x) + 0.02)
