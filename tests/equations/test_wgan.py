"""The equations of chapter 04_wgan, each against something that does not come from dgm."""

import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats
import torch
from torch import Tensor, nn

from dgm.gan import (
    MLPDiscriminator,
    add_spectral_norm,
    clip_weights,
    game_value,
    gradient_penalty,
    input_gradients,
    jensen_shannon,
    lipschitz_bound,
    lipschitz_dual,
    optimal_transport,
    power_iteration,
    saturating_generator_loss,
    spectral_norm,
    wasserstein_1d,
    wgan_critic_loss,
    wgan_generator_loss,
)
from dgm.nn import seeded

F64 = torch.float64


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=rng(seed), dtype=F64)


def equal(n: int) -> Tensor:
    return torch.full((n,), 1 / n, dtype=F64)


def cheapest_matching(x: Tensor, y: Tensor) -> float:
    """W1 between two sets of N points of equal weight, by trying all N! ways."""
    return min(
        sum(math.dist(x[i].tolist(), y[j].tolist()) for i, j in enumerate(order)) / len(x)
        for order in itertools.permutations(range(len(x)))
    )


def cone_critic(centres: Tensor, heights: Tensor):
    """A 1-Lipschitz function of points (B, D): the lowest of cones of slope 1, a_k + |x - c_k|."""

    def critic(x: Tensor) -> Tensor:
        return (torch.linalg.vector_norm(x[:, None] - centres, dim=-1) + heights).min(1).values

    return critic


@pytest.mark.equation("wgan-js-disjoint")
@pytest.mark.parametrize("column", [1, 2, 7])
def test_js_of_lines_that_do_not_meet_is_log_2_and_has_no_gradient(column):
    def line(k: int) -> Tensor:
        cells = torch.zeros(8, 5, dtype=F64)
        cells[k] = 1 / 5
        return cells.flatten()

    p, q = line(0), line(column)
    assert abs(jensen_shannon(p, q).item() - math.log(2)) < 1e-12
    assert jensen_shannon(p, p).item() == pytest.approx(0, abs=1e-12)
    assert game_value(p, q, 200 * (p - q)).item() == pytest.approx(0, abs=1e-12)  # a judge never wrong
    # A judge of steepness s between lines at 0 and theta: by hand d/dtheta log(1 - D) = s D(theta).
    pulls = []
    for steepness in (2.0, 20.0, 100.0):
        theta = torch.tensor([float(column)], dtype=F64, requires_grad=True)
        saturating_generator_loss(steepness * (column / 2 - theta)).sum().backward()
        by_hand = steepness / (1 + math.exp(steepness * column / 2))
        assert theta.grad.item() == pytest.approx(by_hand, rel=1e-9)
        pulls.append(theta.grad.item())
    assert pulls[0] > 10 * pulls[1] > 100 * pulls[2]


@pytest.mark.equation("wgan-primal")
@pytest.mark.parametrize("dims", [1, 2, 5])
def test_transport_is_the_cheapest_of_all_plans(dims):
    x, y = randn(6, dims), randn(6, dims, seed=1) + 0.5
    found = optimal_transport(torch.cdist(x, y), equal(6), equal(6))
    assert found.value == pytest.approx(cheapest_matching(x, y), abs=1e-9)
    torch.testing.assert_close(found.plan.sum(1), equal(6))  # it is a coupling
    torch.testing.assert_close(found.plan.sum(0), equal(6))
    assert found.plan.min() > -1e-12
    assert (found.plan * torch.cdist(x, y)).sum().item() == pytest.approx(found.value, abs=1e-9)


@pytest.mark.equation("wgan-primal")
def test_transport_of_unequal_heaps_and_of_two_lines_is_as_by_hand():
    holes, heaps = torch.tensor([[0.0], [2.0]], dtype=F64), torch.tensor([[1.0], [3.0]], dtype=F64)
    p, q = torch.tensor([0.5, 0.5], dtype=F64), torch.tensor([0.25, 0.75], dtype=F64)
    assert optimal_transport(torch.cdist(holes, heaps), p, q).value == pytest.approx(1.5, abs=1e-9)
    heights = torch.linspace(0, 2, 9, dtype=F64)
    for theta in (0.0, 0.3, 4.0):
        cost = torch.hypot(torch.tensor(theta, dtype=F64), heights[:, None] - heights)
        assert optimal_transport(cost, equal(9), equal(9)).value == pytest.approx(theta, abs=1e-9)


@pytest.mark.equation("wgan-weak-duality")
@pytest.mark.parametrize("seed", range(5))
def test_every_lipschitz_critic_is_below_every_plan(seed):
    x, y = randn(5, 3, seed=seed), randn(5, 3, seed=seed + 100) + 1
    critic = cone_critic(randn(8, 3, seed=seed + 200), randn(8, seed=seed + 300))
    gain = -wgan_critic_loss(critic(x), critic(y)).mean().item()
    plans = [torch.full((5, 5), 1 / 25, dtype=F64)]  # everyone to everyone, and random matchings
    plans += [torch.eye(5, dtype=F64)[torch.randperm(5, generator=rng(k))] / 5 for k in range(10)]
    plans.append(optimal_transport(torch.cdist(x, y), equal(5), equal(5)).plan)
    costs = [(plan * torch.cdist(x, y)).sum().item() for plan in plans]
    assert gain <= min(costs) + 1e-9
    assert min(costs) == pytest.approx(cheapest_matching(x, y), abs=1e-9)
    # It can be tight, so a critic a little steeper than allowed exceeds the best plan.
    best = optimal_transport(torch.cdist(x, y), equal(5), equal(5))
    tight = cone_critic(y, -best.potential_q)
    reached = -wgan_critic_loss(tight(x), tight(y)).mean().item()
    assert reached == pytest.approx(min(costs), abs=1e-8)
    assert -wgan_critic_loss(1.01 * tight(x), 1.01 * tight(y)).mean().item() > min(costs)


@pytest.mark.equation("wgan-dual")
@pytest.mark.parametrize("dims", [1, 3])
def test_best_lipschitz_critic_reaches_the_cheapest_matching(dims):
    x, y = randn(6, dims), randn(6, dims, seed=1) + 0.5
    both = torch.cat([x, y])
    p, q = torch.cat([equal(6), torch.zeros(6)]), torch.cat([torch.zeros(6), equal(6)])
    value, f = lipschitz_dual(torch.cdist(both, both), p, q)
    exact = cheapest_matching(x, y)
    assert value == pytest.approx(exact, abs=1e-8)
    assert (f[:6].mean() - f[6:].mean()).item() == pytest.approx(exact, abs=1e-8)
    assert ((f[:, None] - f).abs() <= torch.cdist(both, both) + 1e-9).all()
    # The prices of the primal make a critic, too: 1-Lipschitz everywhere, as its autograd slopes say.
    potentials = optimal_transport(torch.cdist(x, y), equal(6), equal(6)).potential_q
    critic = cone_critic(y, -potentials)
    assert -wgan_critic_loss(critic(x), critic(y)).mean().item() == pytest.approx(exact, abs=1e-8)
    anywhere = (3 * randn(200, dims, seed=2)).requires_grad_()
    slopes = torch.linalg.vector_norm(input_gradients(critic(anywhere), anywhere), dim=1)
    torch.testing.assert_close(slopes, torch.ones(200, dtype=F64))  # a cone has slope 1 everywhere


@pytest.mark.equation("wgan-1d")
def test_wasserstein_on_the_line_is_both_integrals():
    # Both integrals by quadrature of scipy's distribution and quantile functions, N(0, 1) and N(1, 2).
    first, second = scipy.stats.norm(0, 1), scipy.stats.norm(1, 2)
    area = scipy.integrate.quad(lambda x: abs(first.cdf(x) - second.cdf(x)), -14, 16, points=[-1], limit=300)[
        0
    ]
    strips = scipy.integrate.quad(lambda s: abs(first.ppf(s) - second.ppf(s)), 0, 1, limit=300)[0]
    assert area == pytest.approx(strips, rel=1e-6)
    levels = (np.arange(40_000) + 0.5) / 40_000
    x, y = (torch.tensor(d.ppf(levels)) for d in (first, second))
    assert wasserstein_1d(x, y).item() == pytest.approx(area, rel=1e-3)  # tails beyond the last level
    # Weighted points: the area between the staircases, from scipy.
    a, b, u, v = randn(7), randn(4, seed=1), randn(7, seed=2).abs(), randn(4, seed=3).abs()
    exact = scipy.stats.wasserstein_distance(a.numpy(), b.numpy(), u.numpy(), v.numpy())
    assert wasserstein_1d(a, b, x_weights=u, y_weights=v).item() == pytest.approx(exact, rel=1e-9)


@pytest.mark.equation("wgan-critic")
@pytest.mark.parametrize("theta", [0.3, 1.0, 2.2])
def test_losses_of_critic_and_generator_are_w1_and_its_gradient(theta):
    # p = N(0, 1.3^2), G_theta(z) = 0.5 + theta z. The distribution functions cross once, at x0; so the best
    # critic is |x - x0| where p is the wider one, and -|x - x0| where it is not. W1 by quadrature.
    def w1(t: float) -> float:
        p, q = scipy.stats.norm(0, 1.3), scipy.stats.norm(0.5, t)
        crossing = 0.5 / (1 - t / 1.3)
        return scipy.integrate.quad(
            lambda x: abs(p.cdf(x) - q.cdf(x)), -25, 25, points=[crossing, 0.5], limit=400, epsabs=1e-12
        )[0]

    x0, sign = 0.5 / (1 - theta / 1.3), math.copysign(1, 1.3 - theta)

    def critic(x: Tensor) -> Tensor:
        return sign * (x - x0).abs()

    levels = (np.arange(40_000) + 0.5) / 40_000  # midpoints: the sum's error is far below 1e-3
    z = torch.tensor(scipy.stats.norm.ppf(levels))
    at = torch.tensor(theta, dtype=F64, requires_grad=True)
    fake = 0.5 + at * z
    value = -wgan_critic_loss(critic(1.3 * z), critic(fake)).mean()
    assert value.item() == pytest.approx(w1(theta), abs=1e-3)
    (slope,) = torch.autograd.grad(wgan_generator_loss(critic(fake)).mean(), at)
    assert slope.item() == pytest.approx((w1(theta + 1e-4) - w1(theta - 1e-4)) / 2e-4, abs=1e-3)
    assert abs(slope.item()) > 0.1


class Linear(nn.Module):
    """f(x) = w . x over all axes of a sample."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, x: Tensor) -> Tensor:
        return (self.w * x).flatten(1).sum(1)


@pytest.mark.equation("wgan-clipping")
def test_a_clipped_linear_critic_ends_in_the_corner_of_the_box():
    x, y = randn(40, 6) + torch.tensor([1.0, -2.0, 0.5, 3.0, -0.7, -1.0]), randn(40, 6, seed=1)
    critic, limit = Linear(randn(6, seed=2)), 0.03
    optimiser = torch.optim.SGD(critic.parameters(), lr=0.1)
    for _ in range(30):
        optimiser.zero_grad()
        wgan_critic_loss(critic(x), critic(y)).mean().backward()
        optimiser.step()
        before = critic.w.detach().numpy().copy()
        clip_weights(critic, limit)
        np.testing.assert_array_equal(critic.w.detach().numpy(), np.clip(before, -limit, limit))
    # By a general solver instead of the sign: the largest gain in the box.
    gain = (x.mean(0) - y.mean(0)).numpy()
    solved = scipy.optimize.linprog(-gain, bounds=[(-limit, limit)] * 6)
    np.testing.assert_allclose(critic.w.detach().numpy(), solved.x, atol=1e-12)


@pytest.mark.equation("wgan-clipping-bound")
@pytest.mark.parametrize("limit", [0.02, 0.3])
def test_clipped_weights_bound_the_slope(limit):
    widths = (5, 16, 9, 1)
    bound = math.prod(limit * math.sqrt(a * b) for a, b in itertools.pairwise(widths))
    for seed in range(4):
        with seeded(seed):
            critic = MLPDiscriminator((5,), (16, 9)).double()
        clip_weights(critic, limit)
        x = (5 * randn(100, 5, seed=seed)).requires_grad_()
        slopes = torch.linalg.vector_norm(input_gradients(critic(x), x), dim=1)
        assert slopes.max().item() <= lipschitz_bound(critic) + 1e-12
        assert lipschitz_bound(critic) <= bound + 1e-12
    # It is reached: all weights far above the limit, hence all equal to it, at positive points.
    for parameter in critic.parameters():
        nn.init.constant_(parameter, 10.0)
    clip_weights(critic, limit)
    x = randn(20, 5).abs().requires_grad_()
    slopes = torch.linalg.vector_norm(input_gradients(critic(x), x), dim=1)
    torch.testing.assert_close(slopes, torch.full((20,), bound, dtype=F64))
    assert lipschitz_bound(critic) == pytest.approx(bound, rel=1e-9)


@pytest.mark.equation("wgan-slope-one")
@pytest.mark.parametrize("dims", [2, 4])
def test_best_critic_climbs_straight_from_fake_to_real_with_slope_one(dims):
    x, y = randn(12, dims) + 1.5, randn(12, dims, seed=1)
    solved = optimal_transport(torch.cdist(x, y), equal(12), equal(12))
    critic = cone_critic(y, -solved.potential_q)
    pairs = (solved.plan > 1e-9).nonzero()
    assert len(pairs) >= 12
    for i, j in pairs.tolist():
        for eps in (0.1, 0.5, 0.9):
            at = (eps * x[i] + (1 - eps) * y[j])[None].requires_grad_()
            gradient = input_gradients(critic(at), at)[0].detach().numpy()
            towards = (x[i] - y[j]).numpy() / math.dist(x[i].tolist(), y[j].tolist())
            np.testing.assert_allclose(gradient, towards, atol=1e-6)
    # Between points that are not coupled it isn't so: somewhere the direction differs.
    at = (0.5 * x + 0.5 * y[solved.plan.argmax(1).roll(1)]).requires_grad_()
    across = torch.nn.functional.normalize(x - y[solved.plan.argmax(1).roll(1)], dim=1)
    assert (input_gradients(critic(at), at) - across).abs().max() > 0.1


@pytest.mark.equation("wgan-gradient-penalty")
@pytest.mark.parametrize("one_sided", [False, True])
def test_penalty_is_the_expectation_over_straight_lines(one_sided):
    # f(x) = |x|^2 / 2 over two pixels in two channels has the gradient x, so the penalty is a function of the
    # line's points alone: for one pair, an integral over epsilon in [0, 1], by quadrature.
    x = torch.tensor([2.0, 0.1, 1.0, -0.3], dtype=F64).reshape(1, 2, 2, 1)
    y = torch.tensor([-0.2, 1.8, 0.0, 1.0], dtype=F64).reshape(1, 2, 2, 1)

    def integrand(eps: float, power: int) -> float:
        excess = np.linalg.norm((eps * x + (1 - eps) * y).numpy()) - 1
        return (max(excess, 0) if one_sided else excess) ** (2 * power)

    mean, second = (scipy.integrate.quad(integrand, 0, 1, args=(k,), epsabs=1e-12)[0] for k in (1, 2))
    n = 40_000
    drawn = gradient_penalty(
        lambda v: v.square().flatten(1).sum(1) / 2,
        x.expand(n, 2, 2, 1),
        y.expand(n, 2, 2, 1),
        generator=rng(),
        one_sided=one_sided,
    )
    assert drawn.shape == (n,)
    deviation = math.sqrt(second - mean**2)
    assert abs(drawn.mean().item() - mean) < 4 * deviation / math.sqrt(n)
    assert deviation > 0.05  # the slope does change along the line
    # One number per pixel would have another mean, far outside that margin.
    eps = torch.rand(n, 2, 2, 1, generator=rng(), dtype=F64)
    excess = torch.linalg.vector_norm((eps * x + (1 - eps) * y).flatten(1), dim=1) - 1
    wrong = (excess.clamp(min=0) if one_sided else excess).square().mean().item()
    assert abs(wrong - mean) > 20 * deviation / math.sqrt(n)


@pytest.mark.equation("wgan-penalty-bias")
@pytest.mark.parametrize("one_sided", [False, True])
@pytest.mark.parametrize(("distance", "weight"), [(0.5, 10.0), (3.0, 10.0), (3.0, 1.0)])
def test_penalised_critic_overshoots_as_predicted(distance, weight, one_sided):
    # Two parallel lines at a distance; the best critic is linear. Minimise dgm's losses over its slope.
    heights = torch.linspace(0, 2, 11, dtype=F64)
    real = torch.stack([torch.full_like(heights, distance), heights], 1)
    fake = torch.stack([torch.zeros_like(heights), heights], 1)

    def loss(slope: float) -> float:
        critic = Linear(torch.tensor([slope, 0.0], dtype=F64))
        penalty = gradient_penalty(critic, real, fake, generator=rng(), one_sided=one_sided)
        return (wgan_critic_loss(critic(real), critic(fake)).mean() + weight * penalty.mean()).item()

    best = scipy.optimize.minimize_scalar(loss, bounds=(0, 20), method="bounded", options={"xatol": 1e-9}).x
    w1 = optimal_transport(torch.cdist(real, fake), equal(11), equal(11)).value
    assert w1 == pytest.approx(distance, abs=1e-9)
    assert best == pytest.approx(1 + w1 / (2 * weight), abs=1e-5)
    estimate = best * w1
    assert weight * (math.sqrt(1 + 2 * estimate / weight) - 1) == pytest.approx(w1, abs=1e-4)  # solved for W1


@pytest.mark.equation("wgan-spectral-norm")
def test_slope_is_at_most_the_product_of_norms_and_one_when_normalised():
    with seeded(0):
        critic = MLPDiscriminator((6,), (20, 12)).double()
    layers = (critic.net[1], critic.net[3], critic.head)
    with torch.no_grad():
        for k, layer in enumerate(layers):
            layer.weight.mul_(2 + k)
    x = (4 * randn(400, 6)).requires_grad_()

    def steepest() -> float:
        return torch.linalg.vector_norm(input_gradients(critic(x), x), dim=1).max().item()

    norms = [np.linalg.norm(layer.weight.detach().numpy(), 2) for layer in layers]  # LAPACK's, not torch's
    for layer, norm in zip(layers, norms, strict=True):
        assert spectral_norm(layer.weight, steps=500, generator=rng()).item() == pytest.approx(norm, rel=1e-9)
    assert lipschitz_bound(critic) == pytest.approx(math.prod(norms), rel=1e-9)
    before = steepest()
    assert 1 < before <= math.prod(norms)
    add_spectral_norm(critic, steps=200)
    critic(x)  # a forward pass in training mode runs the power iteration
    critic.eval()
    assert lipschitz_bound(critic) == pytest.approx(1, rel=1e-6)
    # Each layer divided by its norm: up to the biases, which the kinks depend on, the slopes shrink alike.
    assert steepest() <= 1
    # A chain whose layers stretch the same direction reaches the product.
    with seeded(1):
        aligned = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)).double()
    with torch.no_grad():
        aligned[1].weight.copy_(aligned[0].weight.T)
    _, _, v = np.linalg.svd(aligned[0].weight.detach().numpy())
    stretched = aligned(torch.tensor(v[:1])).norm().item()
    assert stretched == pytest.approx(lipschitz_bound(aligned), rel=1e-9)


@pytest.mark.equation("wgan-power-iteration")
def test_power_iteration_contracts_at_the_predicted_rate():
    # A matrix of known singular values and vectors.
    values = np.array([3.0, 2.4, 1.0, 0.3])
    left, right = (np.linalg.qr(randn(4, 4, seed=k).numpy())[0] for k in (7, 8))
    weight = torch.tensor(left @ np.diag(values) @ right.T)

    def tangent(u: Tensor) -> float:  # of the angle between u and the first left singular vector
        parts = left.T @ u.numpy()
        return np.linalg.norm(parts[1:]) / abs(parts[0])

    # In the plane of the first two singular vectors the tangent shrinks by exactly the ratio's square.
    u = torch.tensor(0.3 * left[:, 0] + 0.95 * left[:, 1])
    for rounds in (1, 2, 5):
        sigma, turned, v = power_iteration(weight, u / u.norm(), rounds)
        assert tangent(turned) == pytest.approx(0.95 / 0.3 * (2.4 / 3) ** (2 * rounds), rel=1e-9)
        assert sigma.item() < 3
        assert sigma.item() == pytest.approx(np.linalg.norm(weight.numpy() @ v.numpy()), rel=1e-12)
        assert (turned.norm().item(), v.norm().item()) == pytest.approx((1, 1))
    # From anywhere: at least that fast, and the error of sigma in the end by the fourth power.
    u = randn(4, seed=9)
    errors = []
    for _ in range(25):
        before = tangent(u)
        sigma, u, _ = power_iteration(weight, u, 1)
        assert tangent(u) <= before * (2.4 / 3) ** 2 + 1e-12
        errors.append(3 - sigma.item())
    assert min(errors) > 0
    assert errors[20] / errors[19] == pytest.approx((2.4 / 3) ** 4, rel=0.01)
