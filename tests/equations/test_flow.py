"""The equations of chapter 05_flow, each against something that does not come from dgm."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats
import torch
from torch import Tensor, nn

from dgm.data.toy2d import GaussianMixture
from dgm.flows import (
    Additive,
    Affine,
    Compose,
    Coupling,
    FlowModel,
    Halves,
    InvertibleConv,
    Knots,
    Line,
    Logit,
    SinhArcsinh,
    StandardNormal,
    UnitCube,
    VariationalNoise,
    dequantise,
    dequantised_log_prob,
    mixed_couplings,
    mlp_coupling,
    rational_quadratic,
    rational_quadratic_inverse,
    tightened,
    uniform_noise,
)
from dgm.nn import seeded
from dgm.tensor import bits_per_dim

F64 = torch.float64


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=rng(seed), dtype=F64)


@torch.no_grad()
def perturbed(build, scale: float = 0.3, seed: int = 1):
    """A module in float64 and eval mode whose parameters are away from their starts."""
    with seeded(seed):
        module = build().double().eval()
    for i, parameter in enumerate(module.parameters()):
        parameter.add_(scale * randn(*parameter.shape, seed=100 + i))
    return module


def z_score(draws: Tensor, exact: float) -> float:
    return abs(draws.mean().item() - exact) / (draws.std().item() / math.sqrt(draws.numel()))


def jacobian(flow, row: Tensor) -> Tensor:
    """The dense Jacobian (D, D) of a map of batches at one point (D,), by autograd."""
    return torch.autograd.functional.jacobian(lambda v: flow(v[None])[0][0], row)


# Change of variables


@pytest.mark.equation("flow-change-1d")
@pytest.mark.parametrize(("skew", "tail"), [(0.6, 0.8), (-0.4, 1.5)])
def test_density_on_the_line_is_the_slope_of_its_distribution_function(skew, tail):
    def cdf(x):  # P(X <= x) = P(Z <= f(x)), with scipy's normal distribution
        return scipy.stats.norm.cdf(np.sinh(tail * np.arcsinh(x) - skew))

    model = FlowModel(StandardNormal(1), SinhArcsinh(skew, tail)).double()
    x, h = np.linspace(-3, 3, 25), 1e-5
    density = (cdf(x + h) - cdf(x - h)) / (2 * h)  # off by h^2 and by rounding / h, both 1e-10 or so
    ours = model.log_prob(torch.tensor(x)[:, None]).exp().detach()
    # the parameters are float32's 0.6 and 0.8
    torch.testing.assert_close(ours, torch.tensor(density), rtol=1e-5, atol=1e-7)
    assert (ours - torch.tensor(scipy.stats.norm.pdf(x))).abs().max() > 0.05
    # A map that falls: the absolute value.
    falling = FlowModel(StandardNormal(1), InvertibleConv(1)).double()
    with torch.no_grad():
        falling.flow.sign.copy_(torch.tensor([-1.0]))
        falling.flow.log_diagonal.copy_(torch.tensor([0.7]))
        slope = falling.flow.weight().item()
        assert slope < 0
        exact = scipy.stats.norm.logpdf(x, scale=1 / abs(slope))
        torch.testing.assert_close(falling.log_prob(torch.tensor(x)[:, None]), torch.tensor(exact))


@pytest.mark.equation("flow-change")
def test_density_of_a_linear_map_is_the_gaussian_with_the_inverse_covariance():
    flow = perturbed(lambda: InvertibleConv(3))
    W = flow.weight().detach()
    exact = torch.distributions.MultivariateNormal(torch.zeros(3, dtype=F64), precision_matrix=W.T @ W)
    x = randn(6, 3)
    torch.testing.assert_close(FlowModel(StandardNormal(3).double(), flow).log_prob(x), exact.log_prob(x))
    assert abs(torch.linalg.slogdet(W).logabsdet) > 0.1


@pytest.mark.equation("flow-change")
def test_log_determinant_is_the_growth_of_small_areas():
    flow = perturbed(lambda: mixed_couplings(2, 3, hidden=(8,), activation="tanh").flow)
    x = randn(12, 2, seed=4)
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], dtype=F64)

    @torch.no_grad()
    def growth(h: float) -> Tensor:  # of a square of side h around each x, by the shoelace formula: (12,)
        square = x[:, None] + 0.5 * h * corners  # (12, 4, 2)
        u, v = flow(square.flatten(0, 1))[0].unflatten(0, (12, 4)).unbind(-1)
        return 0.5 * (u * v.roll(-1, 1) - v * u.roll(-1, 1)).sum(1).abs() / h**2

    logdet = flow(x)[1].detach()
    assert logdet.abs().max() > 0.3
    errors = [(growth(h).log() - logdet).abs().max().item() for h in (1e-2, 1e-3)]
    assert errors[1] < 1e-4
    assert errors[1] < errors[0] / 30  # second order in h around the middle


@pytest.mark.equation("flow-mle")
def test_mean_negative_log_density_is_entropy_plus_kl():
    # p = N((1, 0), 0.5^2 I); the model is N(-t e^-s, e^-2s) in either coordinate.
    s, t = 0.3, -0.4
    model = FlowModel(StandardNormal(2), Line(s, t)).double()
    with torch.no_grad():
        x = GaussianMixture([(1.0, 0.0)], [0.5]).sample(200_000, rng(), dtype=F64)
        nll = -model.log_prob(x)
    data = torch.distributions.Normal(torch.tensor([1.0, 0.0], dtype=F64), 0.5)
    fitted = torch.distributions.Normal(torch.full((2,), -t * math.exp(-s), dtype=F64), math.exp(-s))
    exact = (data.entropy() + torch.distributions.kl_divergence(data, fitted)).sum().item()
    assert z_score(nll, exact) < 4
    # The minimum over the parameters is the maximum-likelihood Gaussian of the sample.
    sample = 2.5 + 1.7 * randn(400, 1)
    line = FlowModel(StandardNormal(1), Line()).double()
    optimiser = torch.optim.LBFGS(line.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = -line.log_prob(sample).mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    std = sample.std(unbiased=False)
    torch.testing.assert_close(line.flow.log_scale.detach(), -std.log(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(line.flow.shift.detach(), -sample.mean() / std, rtol=1e-5, atol=1e-6)


@pytest.mark.equation("flow-compose")
def test_log_determinants_of_layers_add_at_the_points_the_layers_receive():
    flow = perturbed(
        lambda: Compose(
            mlp_coupling(Halves(4), Affine(), (6,)),
            InvertibleConv(4),
            SinhArcsinh(0.3, 0.8),
            mlp_coupling(Halves(4, swap=True), Affine(), (6,)),
        )
    )
    x = randn(5, 4)
    for go in (flow, flow.inverse):
        z, logdet = go(x)
        whole = torch.stack([jacobian(go, row) for row in x])
        torch.testing.assert_close(logdet, torch.linalg.slogdet(whole).logabsdet, rtol=1e-9, atol=1e-9)
        assert (z - x).abs().max() > 0.1
    # Taken at x instead, the parts do not add up.
    wrong = sum(part(x)[1] for part in flow)
    assert (wrong - flow(x)[1]).abs().max() > 0.05


# Coupling


class Parabola(nn.Module):
    """A conditioner with known functions in the place of a network: s = 0.5 sin x, t = x^2 - 1."""

    def __init__(self, params: int) -> None:
        super().__init__()
        self.params = params

    def forward(self, kept: Tensor) -> Tensor:
        both = torch.stack([0.5 * kept.sin(), kept.square() - 1], dim=1)  # (B, 2, 1)
        return both[:, -self.params :]


@pytest.mark.equation("flow-additive")
def test_additive_coupling_is_a_regression_with_unit_noise():
    model = FlowModel(StandardNormal(2), Coupling(Halves(2), Additive(), Parabola(1)))
    x = 1.5 * randn(8, 2)
    given = torch.distributions.Normal(1 - x[:, 0].square(), 1.0)
    exact = torch.distributions.Normal(0.0, 1.0).log_prob(x[:, 0]) + given.log_prob(x[:, 1])
    torch.testing.assert_close(model.log_prob(x), exact)
    z, logdet = model.flow(x)
    assert torch.equal(z[:, 0], x[:, 0])
    assert torch.equal(logdet, torch.zeros(8, dtype=F64))
    # The inverse, solved for numerically.
    root = scipy.optimize.brentq(lambda b: model.flow(torch.tensor([[0.7, b]]))[0][0, 1].item() - 0.2, -9, 9)
    back, _ = model.flow.inverse(torch.tensor([[0.7, 0.2]], dtype=F64))
    assert back[0].tolist() == pytest.approx([0.7, root], abs=1e-6)


@pytest.mark.equation("flow-affine")
def test_affine_coupling_is_a_regression_that_knows_its_spread():
    # A clip of 1e6 leaves s as it is.
    for swap in (False, True):
        model = FlowModel(StandardNormal(2), Coupling(Halves(2, swap), Affine(1e6), Parabola(2)))
        x = 1.5 * randn(8, 2)
        kept, changed = x.flip(1).T if swap else x.T
        scale = torch.exp(-0.5 * kept.sin())
        given = torch.distributions.Normal((1 - kept.square()) * scale, scale)
        exact = torch.distributions.Normal(0.0, 1.0).log_prob(kept) + given.log_prob(changed)
        torch.testing.assert_close(model.log_prob(x), exact)
        # Draws: the residual of the regression is standard normal, and so is what is kept.
        drawn = model.double().sample(40_000, rng(1)).double()
        kept, changed = drawn.flip(1).T if swap else drawn.T
        residual = (changed - (1 - kept.square()) * torch.exp(-0.5 * kept.sin())) * torch.exp(
            0.5 * kept.sin()
        )
        for values in (kept, residual):
            assert z_score(values, 0.0) < 4
            assert z_score(values.square(), 1.0) < 4


@pytest.mark.equation("flow-affine-logdet")
def test_affine_coupling_has_a_triangular_jacobian_and_the_sum_of_s_as_log_determinant():
    flow = perturbed(lambda: mlp_coupling(Halves(6), Affine(), (8,)))
    x = randn(4, 6)
    _, logdet = flow(x)
    for row, value in zip(x, logdet, strict=True):
        J = jacobian(flow, row)
        assert torch.equal(J[:3], torch.eye(6, dtype=F64)[:3])
        assert torch.equal(J[3:, 3:], J[3:, 3:].diag().diag())
        assert J[3:, :3].abs().min() > 0
        assert value.item() == pytest.approx(np.linalg.slogdet(J.numpy())[1], abs=1e-12)
        assert value.item() == pytest.approx(J.diag().log().sum().item(), abs=1e-12)
    assert logdet.abs().min() > 1e-3


# Splines

CORNERS = [  # x0, x1, y0, y1, d0, d1 of a bin
    (-1.0, 1.5, 0.2, 0.9, 0.3, 2.0),
    (0.0, 0.5, -1.0, 2.0, 4.0, 0.7),
    (0.0, 2.0, 0.0, 2.0, 3.0, 0.1),
]


def one_bin(corners, n: int) -> Knots:
    x0, x1, y0, y1, d0, d1 = corners
    return Knots(*(torch.tensor(pair, dtype=F64).expand(n, 2) for pair in ((x0, x1), (y0, y1), (d0, d1))))


@pytest.mark.equation("flow-spline")
@pytest.mark.parametrize("corners", CORNERS, ids=["flat", "steep", "bent"])
def test_spline_is_the_quotient_of_quadratics_that_meets_its_conditions(corners):
    x0, x1, y0, y1, d0, d1 = corners
    # P = a0 + a1 t + a2 t^2, Q = 1 + q1 t + q2 t^2 with t from 0 to 1; the conditions are linear in them:
    # P(0) = 0, P(1) = Q(1), P'(0) = k0 Q(0), Q(1) = 1, and P'(1) - Q'(1) = k1 since P(1) = Q(1) = 1.
    k0, k1 = (d * (x1 - x0) / (y1 - y0) for d in (d0, d1))
    conditions = np.array(
        [
            [1, 0, 0, 0, 0],
            [1, 1, 1, -1, -1],
            [0, 1, 0, 0, 0],
            [0, 0, 0, 1, 1],
            [0, 1, 2, -1, -2],
        ],
        dtype=float,
    )
    a0, a1, a2, q1, q2 = np.linalg.solve(conditions, [0, 1, k0, 0, k1])
    t = np.linspace(0, 1, 21)
    exact = y0 + (y1 - y0) * (a0 + a1 * t + a2 * t**2) / (1 + q1 * t + q2 * t**2)
    x = torch.tensor(x0 + (x1 - x0) * t)
    y, _ = rational_quadratic(x, one_bin(corners, 21))
    torch.testing.assert_close(y, torch.tensor(exact))
    straight = torch.tensor(y0 + (y1 - y0) * t)
    assert (y - straight).abs().max() > 0.05


@pytest.mark.equation("flow-spline")
def test_spline_with_reciprocal_slopes_is_a_moebius_map():
    # With d0 d1 = s^2 the quadratics share a factor: t -> k t / (1 + (k - 1) t), fixed by ends and slope.
    k = 3.0
    t = torch.linspace(0, 1, 31, dtype=F64)
    y, _ = rational_quadratic(2 * t - 1, one_bin((-1.0, 1.0, 0.0, 4.0, 2 * k, 2 / k), 31))
    torch.testing.assert_close(y, 4 * k * t / (1 + (k - 1) * t))


@pytest.mark.equation("flow-spline-slope")
@pytest.mark.parametrize("corners", CORNERS, ids=["flat", "steep", "bent"])
def test_slope_of_the_spline_is_its_derivative(corners):
    x = torch.linspace(corners[0], corners[1], 33, dtype=F64)[1:-1].requires_grad_()
    y, log_slope = rational_quadratic(x, one_bin(corners, 31))
    (derivative,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(log_slope.exp(), derivative)
    assert derivative.min() > 0
    # Without autograd: the slope's integral is the height of the bin, and at the ends it is what was given.
    ends, log_ends = rational_quadratic(torch.tensor(corners[:2], dtype=F64), one_bin(corners, 2))
    assert log_ends.exp().tolist() == pytest.approx(corners[4:])
    assert ends.tolist() == pytest.approx(corners[2:4])
    height = scipy.integrate.quad(
        lambda v: rational_quadratic(torch.tensor([v], dtype=F64), one_bin(corners, 1))[1].exp().item(),
        *corners[:2],
    )[0]
    assert height == pytest.approx(corners[3] - corners[2], abs=1e-8)


@pytest.mark.equation("flow-spline-inverse")
@pytest.mark.parametrize(
    "corners", [*CORNERS, (0.0, 1.0, 0.0, 1.0, 1.0, 1.0)], ids=["flat", "steep", "bent", "line"]
)
def test_inverse_of_the_spline_is_the_root(corners):
    x0, x1, y0, y1, *_ = corners
    y = torch.linspace(y0, y1, 9, dtype=F64)
    x, _ = rational_quadratic_inverse(y, one_bin(corners, 9))

    def miss(v: float, target: float) -> float:
        return rational_quadratic(torch.tensor([v], dtype=F64), one_bin(corners, 1))[0].item() - target

    for target, ours in zip(y[1:-1], x[1:-1], strict=True):
        root = scipy.optimize.brentq(miss, x0, x1, args=(target.item(),), xtol=1e-13)
        assert ours.item() == pytest.approx(root, abs=1e-11)
    assert [x[0].item(), x[-1].item()] == pytest.approx([x0, x1], abs=1e-12)


# Whole numbers. One pixel of four levels under a Gaussian on v = (x + u) / 4, where all is known.

LEVELS, MEAN, STD = 4, 0.45, 0.2


def gaussian_on_levels() -> FlowModel:
    return FlowModel(StandardNormal(1), Line(-math.log(STD), -MEAN / STD)).double()


def exact_levels() -> np.ndarray:
    edges = scipy.stats.norm.cdf(np.arange(LEVELS + 1) / LEVELS, MEAN, STD)
    return np.log(np.diff(edges))


def cell(k: int):
    """log p(k + u) of the Gaussian as a function of u, by scipy."""
    return lambda u: scipy.stats.norm.logpdf((k + u) / LEVELS, MEAN, STD) - math.log(LEVELS)


@torch.no_grad()
def terms(noise=uniform_noise, draws: int = 20_000) -> Tensor:  # (draws, LEVELS)
    x = torch.arange(LEVELS, dtype=F64)[:, None].repeat(draws // 4, 1)
    log_prob = gaussian_on_levels().log_prob
    four = dequantised_log_prob(log_prob, x, LEVELS, noise=noise, draws=4, generator=rng(3))
    return four.reshape(draws, LEVELS)


@pytest.mark.equation("flow-dequantise")
def test_mean_density_over_a_cell_is_its_probability():
    log_terms, exact = terms(), exact_levels()
    for k in range(LEVELS):
        assert z_score(log_terms[:, k].exp(), math.exp(exact[k])) < 4
    log_P = tightened(log_terms)
    torch.testing.assert_close(log_P, torch.tensor(exact), rtol=0, atol=0.05)
    # What they miss of one lies outside [0, L).
    inside = scipy.stats.norm.cdf(1, MEAN, STD) - scipy.stats.norm.cdf(0, MEAN, STD)
    assert log_P.exp().sum().item() == pytest.approx(inside, abs=0.01)


@pytest.mark.equation("flow-bound")
def test_uniform_bound_is_the_mean_log_density_and_lies_below():
    log_terms, exact = terms(), exact_levels()
    for k in range(LEVELS):
        bound = scipy.integrate.quad(cell(k), 0, 1)[0]
        assert z_score(log_terms[:, k], bound) < 4
        # The gap is KL(uniform, p(u | x)), by quadrature.
        gap = scipy.integrate.quad(lambda u, k=k: -(cell(k)(u) - exact[k]), 0, 1)[0]
        assert gap > 0.01
        assert bound + gap == pytest.approx(exact[k], abs=1e-9)


@pytest.mark.equation("flow-variational")
def test_variational_bound_misses_by_the_kl_from_noise_to_posterior():
    mu, s = 0.4, -0.2

    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.values = nn.Parameter(torch.tensor([mu, s], dtype=F64))

        def forward(self, x: Tensor) -> Tensor:
            return self.values[:, None].expand(len(x), 2, 1)

    def log_q(u: float) -> float:  # the logit of u is N(mu, e^2s): scipy's normal and the slope of the logit
        a = math.log(u / (1 - u))
        return scipy.stats.norm.logpdf(a, mu, math.exp(s)) - math.log(u * (1 - u))

    log_terms, exact = terms(VariationalNoise(Constant(), LEVELS)), exact_levels()
    total = scipy.integrate.quad(lambda u: math.exp(log_q(u)), 1e-12, 1 - 1e-12)[0]
    assert total == pytest.approx(1, abs=1e-6)
    for k in range(LEVELS):
        gap = scipy.integrate.quad(
            lambda u, k=k: math.exp(log_q(u)) * (log_q(u) - (cell(k)(u) - exact[k])), 1e-12, 1 - 1e-12
        )[0]
        assert gap > 0.01
        assert z_score(log_terms[:, k], exact[k] - gap) < 4


@pytest.mark.equation("flow-bpd")
@pytest.mark.parametrize("levels", [2, 17, 256])
def test_knowing_nothing_costs_the_bits_that_name_a_level(levels):
    x = torch.randint(levels, (5, 3), generator=rng())
    log_terms = dequantised_log_prob(UnitCube(3).double().log_prob, x.double(), levels, generator=rng())
    bits = bits_per_dim(-log_terms.mean().item(), 3)
    assert bits == pytest.approx(math.log2(levels), abs=1e-12)
    # The scaling's log-determinant, against autograd.
    u = torch.rand(3, generator=rng(1), dtype=F64)
    J = torch.autograd.functional.jacobian(lambda v: dequantise(x[:1].double(), v[None], levels)[0][0], u)
    _, logdet = dequantise(x[:1].double(), u[None], levels)
    assert logdet.item() == pytest.approx(torch.linalg.slogdet(J).logabsdet.item(), abs=1e-12)


@pytest.mark.equation("flow-logit")
@pytest.mark.parametrize("alpha", [0.0, 0.05])
def test_logit_is_the_quantile_function_of_the_logistic(alpha):
    # Uniform r = alpha + (1 - 2 alpha) v gives a logistic y, cut off where r ends.
    v = torch.rand(6, 3, generator=rng(), dtype=F64)
    y, logdet = Logit(alpha)(v)
    r = alpha + (1 - 2 * alpha) * v.numpy()
    np.testing.assert_allclose(y.numpy(), scipy.stats.logistic.ppf(r), rtol=1e-10, atol=1e-12)
    # log dy/dv = log(1 - 2 alpha) - log of the logistic density at y
    exact = (math.log(1 - 2 * alpha) - scipy.stats.logistic.logpdf(y.numpy())).sum(1)
    np.testing.assert_allclose(logdet.numpy(), exact, rtol=1e-10)
    back, logdet_back = Logit(alpha).inverse(y)
    torch.testing.assert_close(back, v)
    torch.testing.assert_close(logdet_back, -logdet)
