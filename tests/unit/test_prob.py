"""dgm.prob: shapes, errors, precision at the extremes, and the discrete divergences.

The formulas themselves are tested in tests/equations/test_vae.py.
"""

import math
from collections.abc import Callable
from decimal import Decimal, localcontext

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import Normal

from dgm.prob import (
    bernoulli_log_prob,
    beta_binomial_log_prob,
    binomial_log_prob,
    categorical_log_prob,
    discretised_gaussian_log_prob,
    discretised_logistic_log_prob,
    entropy,
    gaussian_log_prob,
    kl_categorical,
    kl_gaussian_standard,
    kl_gaussian_standard_per_dim,
    kl_gaussians,
    kl_on_grid,
    optimal_gaussian_variance,
    reparameterise,
    standard_normal_log_prob,
)

F64 = torch.float64
LEVELS = 17

# name: (log_prob(params (N, 1, P), x (N, 1)), P), for one pixel at a time.
DISCRETE: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], int]] = {
    "binomial": (lambda p, x: binomial_log_prob(p[..., 0], x, LEVELS - 1), 1),
    "beta_binomial": (lambda p, x: beta_binomial_log_prob(p[..., 0], p[..., 1], x, LEVELS - 1), 2),
    "categorical": (lambda p, x: categorical_log_prob(p, x), LEVELS),
    "discretised_logistic": (
        lambda p, x: discretised_logistic_log_prob(p[..., 0], p[..., 1], x, LEVELS),
        2,
    ),
    "discretised_gaussian": (
        lambda p, x: discretised_gaussian_log_prob(p[..., 0], p[..., 1], x, LEVELS),
        2,
    ),
}


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


# Likelihoods


@pytest.mark.parametrize("name", DISCRETE)
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 3e-5), (F64, 1e-11)])
@pytest.mark.parametrize("reach", [1.0, 5.0, 14.0])
def test_levels_sum_to_one_and_gradients_are_finite_at_extreme_parameters(name, dtype, atol, reach):
    log_prob, width = DISCRETE[name]
    corners = torch.cartesian_prod(*[torch.tensor([-reach, 0.0, reach], dtype=dtype)] * min(width, 2))
    corners = corners.reshape(-1, min(width, 2))
    params = torch.zeros(len(corners), 1, width, dtype=dtype)
    params[:, 0, : corners.shape[1]] = corners
    params.requires_grad_()
    log_p = torch.stack(
        [log_prob(params, torch.full((len(corners), 1), v)) for v in range(LEVELS)], dim=1
    )  # (N, L)
    assert log_p.dtype == dtype
    assert torch.isfinite(log_p).all()
    assert (log_p <= 1e-5).all()
    torch.testing.assert_close(
        log_p.exp().sum(1), torch.ones(len(corners), dtype=dtype), rtol=0, atol=atol, check_dtype=False
    )
    (grad,) = torch.autograd.grad(log_p.sum(), params)
    assert torch.isfinite(grad).all()


@pytest.mark.parametrize("name", DISCRETE)
def test_float32_agrees_with_float64(name):
    log_prob, width = DISCRETE[name]
    params = 4 * randn(40, 3, width)
    x = torch.randint(0, LEVELS, (40, 3), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        log_prob(params.float(), x).double(), log_prob(params.float().double(), x), rtol=2e-5, atol=1e-3
    )


@pytest.mark.parametrize("name", DISCRETE)
def test_gradients_match_finite_differences(name):
    log_prob, width = DISCRETE[name]
    params = randn(4, 2, width).requires_grad_()
    x = torch.tensor([[0, 16], [3, 8], [15, 1], [16, 0]])
    assert torch.autograd.gradcheck(lambda p: log_prob(p, x), (params,))


@pytest.mark.parametrize("name", DISCRETE)
def test_sums_over_every_axis_but_the_batch(name):
    log_prob, width = DISCRETE[name]
    params = randn(5, 2, 3, 4, width)
    x = torch.randint(0, LEVELS, (5, 2, 3, 4), generator=torch.Generator().manual_seed(2))
    out = log_prob(params, x)
    assert out.shape == (5,)
    torch.testing.assert_close(out, log_prob(params.reshape(5, 24, width), x.reshape(5, 24)))
    single = log_prob(params.reshape(120, 1, width), x.reshape(120, 1)).reshape(5, 24).sum(1)
    torch.testing.assert_close(out, single)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32, F64])
@pytest.mark.parametrize("name", DISCRETE)
def test_levels_may_come_in_any_dtype(name, dtype):
    log_prob, width = DISCRETE[name]
    params = randn(3, 2, width)
    x = torch.tensor([[0, 16], [3, 8], [15, 1]])
    torch.testing.assert_close(log_prob(params, x.to(dtype)), log_prob(params, x))


@pytest.mark.parametrize("name", DISCRETE)
@pytest.mark.parametrize(("bad", "text"), [(0.5, "with fractions"), (17, "from 0 to 17"), (-1, "from -1 to")])
def test_refuses_what_is_not_a_level(name, bad, text):
    log_prob, width = DISCRETE[name]
    x = torch.tensor([[0, bad]])
    with pytest.raises(ValueError, match=rf"whole numbers from 0 to 16, got .*{text}.*integer grey levels"):
        log_prob(torch.zeros(1, 2, width), x)


def test_bernoulli_keeps_its_digits_and_its_gradient():
    logits = torch.tensor([[20.0], [-20.0], [200.0], [-200.0]], requires_grad=True)
    x = torch.tensor([[1], [1], [0], [0]], dtype=torch.uint8)
    log_p = bernoulli_log_prob(logits, x)
    expected = torch.tensor([-math.log1p(math.exp(-20)), -20 - math.log1p(math.exp(-20)), -200.0, 0.0])
    torch.testing.assert_close(log_p, expected, rtol=1e-6, atol=0)
    (grad,) = torch.autograd.grad(log_p.sum(), logits)
    torch.testing.assert_close(grad[:, 0], x[:, 0] - torch.sigmoid(logits[:, 0]))
    torch.testing.assert_close(bernoulli_log_prob(logits, x.bool()), log_p)


def test_discretised_logistic_is_exact_far_in_the_tails():
    # A narrow logistic far from the level: the naive difference of sigmoids is 0 there.
    mu, log_scale = torch.tensor([[-0.9]], dtype=F64), torch.tensor([[-6.0]], dtype=F64)
    x = torch.tensor([[14]])
    scale, h = math.exp(-6.0), 1 / 16
    u = ((14 / 8 - 1) - h + 0.9) / scale  # left edge of the bin: the mass is exp(-u) (1 - exp(-2 h / s))
    expected = -u + math.log1p(-math.exp(-2 * h / scale))
    assert discretised_logistic_log_prob(mu, log_scale, x, 17).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("log_scale", [-3.0, 0.0, 2.0])
def test_discretised_gaussian_matches_scipy(levels, log_scale):
    mu = torch.tensor([-1.3, -0.2, 0.51], dtype=F64).repeat_interleave(levels)[:, None]
    x = torch.arange(levels).repeat(3)[:, None]
    edges = (np.arange(levels - 1) + 0.5) * 2 / (levels - 1) - 1
    edges = np.concatenate([[-np.inf], edges, [np.inf]])
    law = scipy.stats.norm(mu.numpy()[::levels], math.exp(log_scale))
    mass = np.diff(law.cdf(edges)).flatten()
    got = discretised_gaussian_log_prob(mu, torch.full_like(mu, log_scale), x, levels).exp()
    torch.testing.assert_close(got, torch.from_numpy(mass), rtol=1e-8, atol=1e-15)


def test_discretised_gaussian_is_exact_far_in_the_tails_and_in_narrow_bins():
    import mpmath

    for mu, scale, x, levels in (
        (-0.9, math.exp(-6), 14, 17),
        (0.9, math.exp(-4), 3, 17),
        (0.1, 1e4, 100, 256),
        (-6.0, 1.0, 100, 256),
    ):
        with mpmath.workdps(60):
            centre, half = mpmath.mpf(2 * x) / (levels - 1) - 1 - mpmath.mpf(mu), mpmath.mpf(1) / (levels - 1)
            tail = [
                mpmath.erfc(abs(centre + side * half) / mpmath.mpf(scale) / mpmath.sqrt(2)) / 2
                for side in (-1, 1)
            ]
            expected = float(mpmath.log(abs(tail[0] - tail[1])))
        arguments = (torch.tensor([[v]], dtype=F64) for v in (mu, math.log(scale)))
        got = discretised_gaussian_log_prob(*arguments, torch.tensor([[x]]), levels)
        assert got.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("u", [-35.5, -36.0, -40.0, -60.0])
def test_gaussian_tail_keeps_twelve_digits_after_the_point_where_its_series_takes_over(u):
    import mpmath

    with mpmath.workdps(60):
        expected = float(mpmath.log(mpmath.erfc(-u / mpmath.sqrt(2)) / 2))
    # the lowest of three levels is all that lies below -1/2: log Phi((-1/2 - mu) / 1)
    mu = torch.tensor([[-0.5 - u]], dtype=F64)
    got = discretised_gaussian_log_prob(mu, torch.zeros_like(mu), torch.zeros(1, 1), 3)
    assert got.item() == pytest.approx(expected, rel=0, abs=2e-12)


def test_likelihood_shape_errors_name_both_shapes():
    x = torch.zeros(4, 3)
    with pytest.raises(ValueError, match=r"logits must have the shape of x, \(4, 3\), got \(4, 1\)"):
        bernoulli_log_prob(torch.zeros(4, 1), x)
    with pytest.raises(ValueError, match=r"logits must have the shape of x, \(4, 3\), got \(3,\)"):
        binomial_log_prob(torch.zeros(3), x, 16)
    with pytest.raises(ValueError, match=r"log_b must have the shape of x"):
        beta_binomial_log_prob(torch.zeros(4, 3), torch.zeros(()), x, 16)
    with pytest.raises(ValueError, match=r"log_a must have the shape of x"):
        beta_binomial_log_prob(torch.zeros(()), torch.zeros(4, 3), x, 16)
    with pytest.raises(ValueError, match=r"got \(4, 17, 3\); put the levels last"):
        categorical_log_prob(torch.zeros(4, 17, 3), x)
    with pytest.raises(ValueError, match=r"log_scale must have the shape of x"):
        discretised_logistic_log_prob(torch.zeros(4, 3), torch.zeros(4, 1), x, 17)
    with pytest.raises(ValueError, match=r"levels must be at least 2, got 1"):
        discretised_logistic_log_prob(torch.zeros(4, 3), torch.zeros(4, 3), x, 1)
    with pytest.raises(ValueError, match=r"mu must have the shape of x"):
        discretised_gaussian_log_prob(torch.zeros(4, 1), torch.zeros(4, 3), x, 17)
    with pytest.raises(ValueError, match=r"levels must be at least 2, got 1"):
        discretised_gaussian_log_prob(torch.zeros(4, 3), torch.zeros(4, 3), x, 1)


# Gaussians


def test_gaussian_shares_parameters_only_where_it_is_said():
    x = randn(4, 3)
    shared = gaussian_log_prob(x, torch.zeros(1, 3, dtype=F64), torch.tensor(0.2, dtype=F64))
    full = gaussian_log_prob(x, torch.zeros(4, 3, dtype=F64), torch.full((4, 3), 0.2, dtype=F64))
    torch.testing.assert_close(shared, full)
    assert gaussian_log_prob(randn(4, 1, 8, 8), randn(4, 1, 8, 8), torch.zeros((), dtype=F64)).shape == (4,)
    with pytest.raises(ValueError, match=r"mu must have the shape of x, \(6, 4, 3\).*got \(4, 3\); flatten"):
        gaussian_log_prob(randn(6, 4, 3), randn(4, 3), torch.zeros((), dtype=F64))
    with pytest.raises(ValueError, match=r"logvar must have the shape of x.*got \(3,\).*logvar\[None\]"):
        gaussian_log_prob(x, x, torch.zeros(3, dtype=F64))
    with pytest.raises(ValueError, match=r"mu_p must have the shape of mu_q"):
        kl_gaussians(x, x, x[0], x)
    with pytest.raises(ValueError, match=r"logvar must have the shape of mu"):
        kl_gaussian_standard(x, x[:, 0])
    with pytest.raises(ValueError, match=r"logvar must have the shape of mu.*expand_as"):
        reparameterise(x, x[:1])
    with pytest.raises(ValueError, match=r"mu must have the shape of x, \(4, 3\), got \(4, 1\)"):
        optimal_gaussian_variance(x, x[:, :1])


def test_standard_normal_matches_torch():
    z = randn(5, 3)
    torch.testing.assert_close(standard_normal_log_prob(z), Normal(0.0, 1.0).log_prob(z).sum(1))


def test_kl_keeps_its_digits_near_the_prior():
    # KL(N(0, e^l) || N(0, 1)) = l^2 / 4 + l^3 / 12 + ...: in float32 exp(l) - l - 1 would be rounding noise.
    logvar = torch.tensor([[1e-4], [-1e-4]])
    per_dim = kl_gaussian_standard_per_dim(torch.zeros(2, 1), logvar)
    torch.testing.assert_close(per_dim, logvar.square() / 4, rtol=2e-3, atol=0)
    assert (per_dim >= 0).all()


def test_gaussian_gradients_are_finite_at_extremes():
    mu = torch.tensor([[100.0, -100.0, 0.0]], requires_grad=True)
    logvar = torch.tensor([[-30.0, 30.0, 0.0]], requires_grad=True)
    x = torch.zeros(1, 3)
    for value in (
        gaussian_log_prob(x, mu, logvar),
        kl_gaussian_standard(mu, logvar),
        kl_gaussians(x, x, mu, logvar),
        reparameterise(mu, logvar, torch.Generator().manual_seed(0)).sum(1),
    ):
        assert torch.isfinite(value).all()
        for grad in torch.autograd.grad(value.sum(), (mu, logvar)):
            assert torch.isfinite(grad).all()


def test_reparameterise_draws_from_its_generator_alone():
    mu, logvar = torch.zeros(3, 2), torch.zeros(3, 2)
    before = torch.random.get_rng_state()
    first = reparameterise(mu, logvar, torch.Generator().manual_seed(5))
    torch.testing.assert_close(first, reparameterise(mu, logvar, torch.Generator().manual_seed(5)))
    assert not torch.equal(first, reparameterise(mu, logvar, torch.Generator().manual_seed(6)))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(mu, torch.zeros(3, 2))


# Divergences


def test_entropy_and_kl_match_scipy():
    p, q = randn(4, 6).softmax(-1), randn(4, 6, seed=1).softmax(-1)
    np.testing.assert_allclose(entropy(p.log()), scipy.stats.entropy(p, axis=-1))
    np.testing.assert_allclose(kl_categorical(p.log(), q.log()), scipy.stats.entropy(p, q, axis=-1))


def test_zero_probabilities_count_nothing_and_leave_gradients_finite():
    log_p = torch.tensor([0.5, 0.5, 0.0], dtype=F64).log()
    log_q = torch.tensor([0.25, 0.5, 0.25], dtype=F64).log()
    assert entropy(log_p).item() == pytest.approx(math.log(2))
    assert kl_categorical(log_p, log_q).item() == pytest.approx(0.5 * math.log(2))
    assert kl_categorical(log_q, log_p).item() == math.inf
    assert kl_categorical(log_p, log_p).item() == 0.0
    logits = log_q.clone().requires_grad_()
    (grad,) = torch.autograd.grad(kl_categorical(log_p, logits.log_softmax(-1)), logits)
    torch.testing.assert_close(grad, log_q.exp() - log_p.exp())


def test_kl_on_grid_matches_the_gaussian_closed_form_in_both_directions():
    grid = torch.linspace(-15, 15, 3001, dtype=F64)
    cell = float(grid[1] - grid[0])
    p, q = Normal(torch.tensor(0.5, dtype=F64), 1.2), Normal(torch.tensor(-0.3, dtype=F64), 0.8)
    log_p, log_q = p.log_prob(grid), q.log_prob(grid)
    forward = torch.distributions.kl_divergence(p, q).item()
    reverse = torch.distributions.kl_divergence(q, p).item()
    assert abs(forward - reverse) > 0.1
    assert kl_on_grid(log_p, log_q, cell).item() == pytest.approx(forward, abs=1e-9)
    assert kl_on_grid(log_q, log_p, cell).item() == pytest.approx(reverse, abs=1e-9)
    # Two dimensions: independent coordinates add their divergences.
    axis = grid[::20]
    two = [(d.log_prob(axis)[:, None] + d.log_prob(axis)[None, :]) for d in (p, q)]
    assert kl_on_grid(*two, float(axis[1] - axis[0]) ** 2).item() == pytest.approx(2 * forward, abs=1e-6)


def test_kl_on_grid_says_when_the_grid_misses_the_mass():
    grid = torch.linspace(0, 5, 501, dtype=F64)
    log_p = Normal(0.0, 1.0).log_prob(grid)
    with pytest.raises(ValueError, match=r"must sum to 1 over the grid, got 0.50.*widen or refine"):
        kl_on_grid(log_p, log_p, 0.01)
    with pytest.raises(ValueError, match=r"log_q must have the shape of log_p, \(501,\), got \(500,\)"):
        kl_on_grid(log_p, log_p[1:], 0.01)


def test_reparameterised_draws_have_the_standard_deviation_of_logvar():
    logvar = torch.tensor([[-2.0, 0.0, 3.0]], dtype=torch.float64)
    g, same = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    z = reparameterise(torch.full_like(logvar, 5.0), logvar, g)
    eps = torch.randn(1, 3, generator=same, dtype=torch.float64)
    torch.testing.assert_close((z - 5) / eps, logvar.div(2).exp())


def test_numbers_and_integers_are_named():
    x = torch.zeros(4, 3)
    with pytest.raises(
        TypeError, match=r"logvar must be a tensor, got 0.0 of type float; .*torch.tensor\(0.0\)"
    ):
        gaussian_log_prob(x, x, 0.0)
    with pytest.raises(ValueError, match=r"mu must hold real numbers, got torch.int64; use mu.float\(\)"):
        reparameterise(x.long(), x.long())


def test_beta_binomial_in_float32_where_exp_overflows_or_underflows():
    log_a = torch.tensor([[100.0, 100.0, -120.0, 39.9, 40.1, 300.0]], requires_grad=True)
    log_b = torch.tensor([[-5.0, 99.0, 2.0, 38.0, 38.2, 299.0]], requires_grad=True)
    for x in (0, 3, 16):
        count = torch.full((1, 6), x)
        got = beta_binomial_log_prob(log_a, log_b, count, 16)
        exact = beta_binomial_log_prob(log_a.double(), log_b.double(), count, 16)
        # Against big floats, by the product formula.
        terms = 0.0
        for a, b in zip(log_a[0].tolist(), log_b[0].tolist(), strict=True):
            with localcontext() as context:
                context.prec = 200
                a, b = Decimal(a).exp(), Decimal(b).exp()
                p = Decimal(math.comb(16, x))
                for i in range(x):
                    p *= a + i
                for i in range(16 - x):
                    p *= b + i
                for i in range(16):
                    p /= a + b + i
                terms += float(p.ln())
        assert exact.item() == pytest.approx(terms, rel=1e-9, abs=1e-9)
        assert got.item() == pytest.approx(terms, rel=1e-5, abs=1e-4)
        grads = torch.autograd.grad(got.sum(), (log_a, log_b))
        assert all(bool(grad.isfinite().all()) for grad in grads)
