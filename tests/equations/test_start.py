"""Every labelled equation of chapters/00_start.py against something independent of it."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal, kl_divergence

from dgm.data.toy2d import GaussianMixture
from dgm.prob import gaussian_log_prob, kl_categorical, kl_gaussians, kl_on_grid

F64 = torch.float64
WEIGHTS, MEANS, STDS = (0.4, 0.6), (-1.3, 2.1), (0.7, 0.9)
GRID = torch.linspace(-14, 14, 5601, dtype=F64)
CELL = 28 / 5600


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_table(rows: int, columns: int, seed: int = 0) -> Tensor:
    """A joint distribution of two discrete variables, (rows, columns), without zeros."""
    table = torch.rand(rows, columns, dtype=F64, generator=generator(seed)) + 0.1
    return table / table.sum()


def mixture(x: Tensor) -> Tensor:
    """log p of the two-component mixture in one dimension, by scipy."""
    density = sum(w * stats.norm.pdf(x.numpy(), m, s) for w, m, s in zip(WEIGHTS, MEANS, STDS, strict=True))
    return torch.as_tensor(density).log()


def log_normal(x: Tensor, m: float | Tensor, s: float | Tensor) -> Tensor:
    return Normal(torch.as_tensor(m, dtype=F64), torch.as_tensor(s, dtype=F64)).log_prob(x)


@pytest.mark.equation("start-squared-error")
def test_squared_error_splits_into_variance_and_distance_from_the_conditional_mean() -> None:
    p = random_table(5, 7)  # p(s, a)
    a = torch.randn(7, dtype=F64, generator=generator(1))
    f = torch.randn(5, 1, dtype=F64, generator=generator(2))
    left = (p * (a - f).square()).sum()
    p_s = p.sum(1, keepdim=True)  # (5, 1)
    mean = (p @ a)[:, None] / p_s
    variance = (p / p_s * a.square()).sum(1, keepdim=True) - mean.square()  # E a^2 - (E a)^2
    assert left.item() == pytest.approx((p_s * (variance + (mean - f).square())).sum().item(), abs=1e-12)
    assert (mean - f).abs().max() > 0.5  # the second term is really there


@pytest.mark.equation("start-conditional-mean")
def test_minimising_squared_error_ends_at_the_conditional_mean() -> None:
    p = random_table(5, 7)
    a = torch.randn(7, dtype=F64, generator=generator(1))

    def loss(f: np.ndarray) -> float:
        return (p * (a - torch.as_tensor(f)[:, None]).square()).sum().item()

    best = optimize.minimize(loss, np.zeros(5), tol=1e-10).x
    expected = torch.stack([(row * a).sum() / row.sum() for row in p])
    torch.testing.assert_close(torch.as_tensor(best), expected, atol=1e-5, rtol=0)


@pytest.mark.equation("start-junction-mean")
@pytest.mark.parametrize("s", [-0.9, -0.3, 0.0, 0.5, 1.0])
def test_mean_action_at_the_junction_by_quadrature(s: float) -> None:
    left = 1 / (1 + math.exp(3 * s))

    def density(a: float) -> float:
        return left * stats.norm.pdf(a, -1, 0.12) + (1 - left) * stats.norm.pdf(a, 1, 0.12)

    mean = integrate.quad(lambda a: a * density(a), -3, 3, points=[-1, 1])[0]
    assert math.tanh(1.5 * s) == pytest.approx(mean, abs=1e-9)


@pytest.mark.equation("start-mixture")
def test_mixture_density_matches_torch_and_integrates_to_one() -> None:
    x = torch.randn(50, 2, dtype=F64, generator=generator())
    centres, stds = [(0.3, -1.0), (1.2, 0.4), (-0.7, 0.9)], [0.5, 0.8, 0.3]
    ours = GaussianMixture(centres, stds, [0.2, 0.5, 0.3]).log_prob(x)
    components = MultivariateNormal(
        torch.tensor(centres, dtype=F64),
        torch.diag_embed(torch.tensor(stds, dtype=F64)[:, None].expand(3, 2) ** 2),
    )
    theirs = MixtureSameFamily(Categorical(torch.tensor([0.2, 0.5, 0.3], dtype=F64)), components).log_prob(x)
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=0)

    def one_dimensional(a: float) -> float:  # the equation as it stands, D = 1
        terms = zip(WEIGHTS, MEANS, STDS, strict=True)
        return sum(
            w * math.exp(-0.5 * ((a - m) / s) ** 2) / (s * math.sqrt(2 * math.pi)) for w, m, s in terms
        )

    assert integrate.quad(one_dimensional, -14, 14, points=MEANS)[0] == pytest.approx(1, abs=1e-9)
    assert math.log(one_dimensional(0.4)) == pytest.approx(mixture(torch.tensor([0.4], dtype=F64)).item())


@pytest.mark.equation("start-nll")
def test_nll_is_the_log_of_the_probability_of_independent_data() -> None:
    probabilities = torch.tensor([0.2, 0.5, 0.3], dtype=F64)
    data = torch.tensor([2, 0, 1, 1, 2])
    nll = -Categorical(probabilities).log_prob(data).mean()
    product = 0.3 * 0.2 * 0.5 * 0.5 * 0.3
    assert math.exp(-5 * nll.item()) == pytest.approx(product, rel=1e-12)


@pytest.mark.equation("start-gaussian-nll")
@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5])
def test_squared_error_is_a_gaussian_likelihood_up_to_a_constant(sigma: float) -> None:
    a, f = torch.randn(2, 9, 1, dtype=F64, generator=generator())
    formula = (a - f).square()[:, 0] / (2 * sigma**2) + 0.5 * math.log(2 * math.pi * sigma**2)
    library = gaussian_log_prob(a, f, torch.tensor(2 * math.log(sigma), dtype=F64))
    scipys = torch.as_tensor(stats.norm.logpdf(a.numpy(), f.numpy(), sigma))[:, 0]
    torch.testing.assert_close(formula, -library, atol=1e-12, rtol=0)
    torch.testing.assert_close(formula, -scipys, atol=1e-12, rtol=0)


@pytest.mark.equation("start-kl")
def test_kl_by_grid_by_closed_form_and_for_categories() -> None:
    q, p = (0.3, 0.8), (-0.5, 1.4)
    closed = kl_divergence(Normal(*q), Normal(*p)).item()
    grid = kl_on_grid(log_normal(GRID, *q), log_normal(GRID, *p), CELL).item()
    assert grid == pytest.approx(closed, abs=1e-7)
    terms = [torch.tensor([[v]], dtype=F64) for v in (q[0], 2 * math.log(q[1]), p[0], 2 * math.log(p[1]))]
    assert kl_gaussians(*terms).item() == pytest.approx(closed, abs=1e-7)

    a, b = random_table(4, 6, 1), random_table(4, 6, 2)
    a, b = a / a.sum(1, keepdim=True), b / b.sum(1, keepdim=True)
    expected = kl_divergence(Categorical(a), Categorical(b))
    torch.testing.assert_close(kl_categorical(a.log(), b.log()), expected, atol=1e-12, rtol=0)


@pytest.mark.equation("start-gibbs")
def test_each_step_of_the_proof_that_kl_is_not_negative() -> None:
    p, q = random_table(100, 6, 1), random_table(100, 6, 2)
    p, q = p / p.sum(1, keepdim=True), q / q.sum(1, keepdim=True)
    p[:, 0] = 0  # q has mass where p has none
    p = p / p.sum(1, keepdim=True)
    minus_kl = -kl_categorical(p.log(), q.log())
    middle = (p * (q / p - 1)).nan_to_num(0).sum(1)  # E_p[q/p - 1]; 0 * inf where p = 0
    supported = q[:, 1:].sum(1) - 1
    assert (minus_kl < middle).all()
    torch.testing.assert_close(middle, supported, atol=1e-12, rtol=0)
    assert (supported < 0).all()
    assert kl_categorical(p.log(), p.log()).abs().max() < 1e-14


@pytest.mark.equation("start-mle-kl")
def test_expected_nll_is_entropy_plus_kl() -> None:
    q = (0.4, 1.7)
    nll = integrate.quad(
        lambda x: -math.exp(mixture(torch.tensor([x], dtype=F64)).item()) * stats.norm.logpdf(x, *q),
        *(-14, 14),
        points=MEANS,
    )[0]
    log_p = mixture(GRID)
    entropy = -(log_p.exp() * log_p).sum().item() * CELL
    assert nll == pytest.approx(entropy + kl_on_grid(log_p, log_normal(GRID, *q), CELL).item(), abs=1e-6)
    # and by sampling, within four standard errors
    g = generator()
    n = 100_000
    k = (torch.rand(n, generator=g, dtype=F64) > WEIGHTS[0]).long()
    x = torch.tensor(MEANS, dtype=F64)[k] + torch.tensor(STDS, dtype=F64)[k] * torch.randn(
        n, generator=g, dtype=F64
    )
    log_q = log_normal(x, *q)
    assert abs(-log_q.mean().item() - nll) < 4 * log_q.std().item() / math.sqrt(n)


@pytest.mark.equation("start-reverse-kl")
def test_reverse_kl_is_minus_entropy_minus_expected_log_density() -> None:
    m, s = 0.8, 0.6
    log_q = log_normal(GRID, m, s)
    reverse = kl_on_grid(log_q, mixture(GRID), CELL).item()
    entropy = 0.5 * math.log(2 * math.pi * math.e * s**2)
    expected = integrate.quad(
        lambda x: stats.norm.pdf(x, m, s) * mixture(torch.tensor([x], dtype=F64)).item(),
        m - 10 * s,
        m + 10 * s,
    )[0]
    assert reverse == pytest.approx(-entropy - expected, abs=1e-6)
    assert (
        abs(reverse - kl_on_grid(mixture(GRID), log_q, CELL).item()) > 0.1
    )  # the other direction is another number


def mixture_moments() -> tuple[float, float]:
    """Mean and variance of the mixture by quadrature."""

    def moment(power: int) -> float:
        return (mixture(GRID).exp() * GRID**power).sum().item() * CELL

    return moment(1), moment(2) - moment(1) ** 2


@pytest.mark.equation("start-cross-entropy")
@pytest.mark.parametrize(("m", "v"), [(0.0, 1.0), (-2.0, 0.5), (1.5, 4.0)])
def test_cross_entropy_with_a_gaussian_needs_two_moments_only(m: float, v: float) -> None:
    mean, variance = mixture_moments()
    formula = 0.5 * math.log(2 * math.pi * v) + (variance + (mean - m) ** 2) / (2 * v)
    quadrature = -(mixture(GRID).exp() * log_normal(GRID, m, math.sqrt(v))).sum().item() * CELL
    assert formula == pytest.approx(quadrature, abs=1e-8)


@pytest.mark.equation("start-moments")
def test_minimising_forward_kl_ends_at_the_moments() -> None:
    mean, variance = mixture_moments()
    log_p = mixture(GRID)
    result = optimize.minimize(
        lambda t: kl_on_grid(log_p, log_normal(GRID, t[0], math.exp(t[1])), CELL).item(),
        [1.0, 0.0],
        tol=1e-10,
    )
    assert result.x[0] == pytest.approx(mean, abs=1e-4)
    assert math.exp(2 * result.x[1]) == pytest.approx(variance, abs=1e-3)
    # the moments themselves, by what is known of mixtures
    assert mean == pytest.approx(sum(w * m for w, m in zip(WEIGHTS, MEANS, strict=True)), abs=1e-8)
    within = sum(w * s**2 for w, s in zip(WEIGHTS, STDS, strict=True))
    between = WEIGHTS[0] * WEIGHTS[1] * (MEANS[1] - MEANS[0]) ** 2
    assert variance == pytest.approx(within + between, abs=1e-8)


@pytest.mark.equation("start-choose")
@pytest.mark.parametrize("k", [0, 1])
def test_choosing_one_component_costs_at_most_minus_log_of_its_weight(k: int) -> None:
    costs = []
    for distance in (0.0, 1.0, 2.0, 4.0, 9.0):
        components = [log_normal(GRID, side * distance / 2, 0.7) for side in (-1, 1)]
        log_p = torch.logaddexp(components[0] + math.log(0.4), components[1] + math.log(0.6))
        costs.append(kl_on_grid(components[k], log_p, CELL).item())
    bound = -math.log((0.4, 0.6)[k])
    assert all(cost <= bound + 1e-9 for cost in costs)
    assert costs == sorted(costs)
    assert costs[0] == pytest.approx(0, abs=1e-9)
    assert costs[-1] == pytest.approx(bound, abs=1e-6)


@pytest.mark.equation("start-joint")
def test_both_orders_of_the_chain_rule_give_the_joint() -> None:
    joint = random_table(6, 3)  # p(x, y)
    p_x, p_y = joint.sum(1, keepdim=True), joint.sum(0, keepdim=True)
    y_given_x, x_given_y = Categorical(joint).probs, Categorical(joint.T).probs.T  # rows normalised by torch
    torch.testing.assert_close(y_given_x * p_x, joint, atol=1e-12, rtol=0)
    torch.testing.assert_close(x_given_y * p_y, joint, atol=1e-12, rtol=0)
    assert (y_given_x - x_given_y).abs().max() > 0.1


@pytest.mark.equation("start-bayes")
def test_posterior_of_a_mixture_is_bayes_rule() -> None:
    centres, stds, prior = [(0.3, -1.0), (1.2, 0.4)], [0.5, 0.8], [0.3, 0.7]
    x = torch.randn(20, 2, dtype=F64, generator=generator())
    kinds = [
        MultivariateNormal(torch.tensor(c, dtype=F64), s**2 * torch.eye(2, dtype=F64))
        for c, s in zip(centres, stds, strict=True)
    ]
    joint = torch.stack([p * kind.log_prob(x).exp() for p, kind in zip(prior, kinds, strict=True)], dim=1)
    model = GaussianMixture(centres, stds, prior)
    torch.testing.assert_close(model.posterior(x), joint / joint.sum(1, keepdim=True), atol=1e-10, rtol=0)
    torch.testing.assert_close(model.log_prob(x), joint.sum(1).log(), atol=1e-10, rtol=0)


@pytest.mark.equation("start-logit")
def test_gaussian_kinds_with_one_covariance_have_a_linear_logit() -> None:
    a = torch.randn(3, 3, dtype=F64, generator=generator())
    sigma = a @ a.T + 0.5 * torch.eye(3, dtype=F64)
    mu0, mu1 = torch.randn(2, 3, dtype=F64, generator=generator(1))
    x = 3 * torch.randn(40, 3, dtype=F64, generator=generator(2))
    ratio = (
        MultivariateNormal(mu1, sigma).log_prob(x)
        - MultivariateNormal(mu0, sigma).log_prob(x)
        + math.log(0.8 / 0.2)
    )
    w = torch.linalg.solve(sigma, mu1 - mu0)
    b = -0.5 * (mu1 + mu0) @ w + math.log(0.8 / 0.2)
    torch.testing.assert_close(x @ w + b, ratio, atol=1e-9, rtol=0)
