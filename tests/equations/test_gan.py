"""The equations of chapter 03_gan, each against something that does not come from dgm."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.spatial.distance
import scipy.stats
import torch
from torch import Tensor, nn

from dgm.gan import (
    F_DIVERGENCES,
    MinibatchDiscrimination,
    discriminator_loss,
    f_bound,
    f_critic_loss,
    f_divergence,
    feature_matching_loss,
    game_value,
    jensen_shannon,
    non_saturating_generator_loss,
    optimal_discriminator,
    optimal_logit,
    saturating_generator_loss,
    unrolled_parameters,
)

F64 = torch.float64
P_PARTS, Q_PARTS = ((0.6, -1.5, 0.5), (0.4, 1.5, 0.7)), ((1.0, 0.3, 1.4),)  # weight, mean, std on the line


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def density(parts, x):
    return sum(w * scipy.stats.norm.pdf(x, m, s) for w, m, s in parts)


def integral(function) -> float:
    return scipy.integrate.quad(function, -9, 9, points=[-1.5, 0, 1.5], limit=400, epsabs=1e-12)[0]


def kl(a, b) -> float:
    return integral(lambda x: density(a, x) * math.log(density(a, x) / density(b, x)))


def js() -> float:
    mixture = tuple((w / 2, m, s) for w, m, s in (*P_PARTS, *Q_PARTS))
    return 0.5 * kl(P_PARTS, mixture) + 0.5 * kl(Q_PARTS, mixture)


def on_grid() -> tuple[Tensor, Tensor]:
    """Probabilities of 6001 cells under p and q; the sum's error is far below 1e-6 for smooth densities."""
    x = np.linspace(-9, 9, 6001)
    return tuple(torch.tensor(density(parts, x) * (x[1] - x[0]), dtype=F64) for parts in (P_PARTS, Q_PARTS))


ANCHORS = {  # the divergence that each row is called after, by quadrature
    "kl": lambda: kl(P_PARTS, Q_PARTS),
    "reverse_kl": lambda: kl(Q_PARTS, P_PARTS),
    "pearson": lambda: integral(
        lambda x: (density(P_PARTS, x) - density(Q_PARTS, x)) ** 2 / density(Q_PARTS, x)
    ),
    "gan": lambda: 2 * js() - math.log(4),
}


@pytest.mark.equation("gan-minimax")
def test_loss_is_minus_the_value_of_the_game():
    # p = N(0, 1), q = N(1, 1), and a judge that is not the best: D = sigmoid(0.7 - 0.4 x).
    def belief(x):
        return 1 / (1 + math.exp(-(0.7 - 0.4 * x)))

    exact = integral(lambda x: scipy.stats.norm.pdf(x) * math.log(belief(x))) + integral(
        lambda x: scipy.stats.norm.pdf(x, 1) * math.log(1 - belief(x))
    )
    n, g = 200_000, rng()
    real, z = torch.randn(n, generator=g, dtype=F64), torch.randn(n, generator=g, dtype=F64)
    loss = discriminator_loss(0.7 - 0.4 * real, 0.7 - 0.4 * (1 + z))
    assert abs(loss.mean().item() + exact) < 4 * loss.std().item() / math.sqrt(n)
    # The generator's side is the second term alone.
    second = integral(lambda x: scipy.stats.norm.pdf(x, 1) * math.log(1 - belief(x)))
    theirs = saturating_generator_loss(0.7 - 0.4 * (1 + z))
    assert abs(theirs.mean().item() - second) < 4 * theirs.std().item() / math.sqrt(n)
    # A judge who knows nothing scores -log 4.
    nothing = discriminator_loss(torch.zeros(3, dtype=F64), torch.zeros(3, dtype=F64))
    torch.testing.assert_close(nothing, torch.full((3,), math.log(4), dtype=F64))


@pytest.mark.equation("gan-optimal-discriminator")
@pytest.mark.parametrize("x", [-3.0, -1.5, 0.0, 0.8, 2.5])
def test_optimal_discriminator_maximises_the_integrand(x):
    p, q = density(P_PARTS, x), density(Q_PARTS, x)
    found = scipy.optimize.minimize_scalar(
        lambda y: -(p * math.log(y) + q * math.log(1 - y)) / (p + q),
        bounds=(1e-9, 1 - 1e-9),
        method="bounded",
        options={"xatol": 1e-10},
    ).x
    log_p, log_q = (torch.tensor([math.log(v)], dtype=F64) for v in (p, q))
    assert abs(optimal_discriminator(log_p, log_q).item() - found) < 1e-5  # a flat maximum: sqrt of rounding
    assert abs(optimal_discriminator(log_p, log_q).item() - p / (p + q)) < 1e-12


@pytest.mark.equation("gan-value-js")
def test_value_at_the_best_judge_is_two_js_minus_log_4():
    p, q = on_grid()
    best = optimal_logit(p.log(), q.log())
    assert abs(game_value(p, q, best).item() - (2 * js() - math.log(4))) < 1e-6
    assert abs(jensen_shannon(p, q).item() - js()) < 1e-6
    wobble = 0.3 * torch.randn(len(p), generator=rng(), dtype=F64)
    assert game_value(p, q, best + wobble) < game_value(p, q, best) - 1e-3
    # The global optimum, and the other end: disjoint supports.
    assert abs(game_value(p, p, torch.zeros_like(p)).item() + math.log(4)) < 1e-6
    left, right = torch.tensor([0.5, 0.5, 0, 0], dtype=F64), torch.tensor([0, 0, 0.1, 0.9], dtype=F64)
    assert abs(jensen_shannon(left, right).item() - math.log(2)) < 1e-12


@pytest.mark.equation("gan-saturating-gradient")
@pytest.mark.parametrize("logit", [-8.0, -1.0, 0.0, 2.0])
def test_gradients_by_the_logit_are_minus_d_and_minus_one_minus_d(logit):
    belief, step = 1 / (1 + math.exp(-logit)), 1e-5

    def difference(function):  # of the textbook's formula, in plain floats
        return (function(logit + step) - function(logit - step)) / (2 * step)

    def sigmoid(u):
        return 1 / (1 + math.exp(-u))

    for loss, formula, gradient in (
        (saturating_generator_loss, lambda u: math.log(1 - sigmoid(u)), -belief),
        (non_saturating_generator_loss, lambda u: -math.log(sigmoid(u)), -(1 - belief)),
    ):
        at = torch.tensor([logit], dtype=F64, requires_grad=True)
        loss(at).sum().backward()
        assert abs(at.grad.item() - difference(formula)) < 1e-7
        assert abs(at.grad.item() - gradient) < 1e-12


@pytest.mark.equation("gan-saturating-gradient")
@pytest.mark.equation("gan-non-saturating")
@pytest.mark.parametrize("theta", [0.4, 1.5, 3.0])
def test_generator_gradients_are_those_of_two_js_and_of_reverse_kl_minus_two_js(theta):
    # p = N(0, 1), q = N(theta, 1): KL(q || p) = theta^2 / 2. JS by quadrature, its slope by differences.
    def two_js(t):
        def integrand(x):
            p, q = scipy.stats.norm.pdf(x), scipy.stats.norm.pdf(x, t)
            m = (p + q) / 2
            return p * math.log(p / m) + q * math.log(q / m)

        return scipy.integrate.quad(integrand, -12, 15, points=[0, t], limit=400, epsabs=1e-13)[0]

    slope = (two_js(theta + 1e-3) - two_js(theta - 1e-3)) / 2e-3
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    z, w = torch.tensor(nodes), torch.tensor(weights / math.sqrt(2 * math.pi))
    for loss, expected in (
        (saturating_generator_loss, slope),
        (non_saturating_generator_loss, theta - slope),
    ):
        at = torch.tensor(theta, dtype=F64, requires_grad=True)
        x = at + z  # the generator; the judge below is held fixed at theta
        judge = optimal_logit(-0.5 * x**2, -0.5 * (x - theta) ** 2)
        (w * loss(judge)).sum().backward()
        assert abs(at.grad.item() - expected) < 1e-4


@pytest.mark.equation("gan-f-divergence")
@pytest.mark.parametrize("name", list(ANCHORS))
def test_f_divergences_are_the_named_ones(name):
    row = F_DIVERGENCES[name]
    p, q = on_grid()
    exact = ANCHORS[name]()
    assert abs(f_divergence(row, p, q).item() - exact) < 1e-5 * (1 + abs(exact))
    at_equality = row.f(torch.ones(1, dtype=F64)).item()
    assert abs(f_divergence(row, p, p).item() - at_equality) < 1e-6  # f(1), the least there is
    assert exact > at_equality + 0.05


@pytest.mark.equation("gan-conjugate")
@pytest.mark.parametrize("name", list(ANCHORS))
def test_conjugate_is_the_supremum_attained_at_the_slope(name):
    row = F_DIVERGENCES[name]
    for u0 in (0.2, 0.9, 1.7, 4.0):
        t = row.optimal_critic(torch.tensor(u0, dtype=F64).log()).item()  # should be f'(u0)

        def brace(u, t=t):
            return t * u - row.f(torch.tensor(u, dtype=F64)).item()

        best = scipy.optimize.minimize_scalar(
            lambda u: -brace(u), bounds=(1e-6, 40), method="bounded", options={"xatol": 1e-9}
        )
        assert abs(row.conjugate(torch.tensor(t, dtype=F64)).item() + best.fun) < 1e-8
        assert abs(best.x - u0) < 1e-4  # where the slope of f is t
        slope = (row.f(torch.tensor(u0 + 1e-5, dtype=F64)) - row.f(torch.tensor(u0 - 1e-5, dtype=F64))) / 2e-5
        assert abs(slope.item() - t) < 1e-6


@pytest.mark.equation("gan-f-bound")
@pytest.mark.parametrize("name", list(ANCHORS))
def test_bound_is_tight_at_the_best_critic_and_below_elsewhere(name):
    row = F_DIVERGENCES[name]
    p, q = on_grid()
    exact = ANCHORS[name]()
    best = row.optimal_critic(p.log() - q.log())
    assert abs(f_bound(row, best, best, weights_p=p, weights_q=q).item() - exact) < 1e-5 * (1 + abs(exact))
    x = torch.linspace(-9, 9, 6001, dtype=F64)
    for seed in range(5):
        a, b, c = torch.randn(3, generator=rng(seed), dtype=F64)
        t = row.activation(a + b * torch.cos(c + 2 * x))
        assert f_bound(row, t, t, weights_p=p, weights_q=q).item() < exact - 1e-3
        # The loss on a network's plain outputs is minus the bound, and the two averages may differ in size.
        v = a + b * torch.randn(50, generator=rng(seed), dtype=F64)
        real, fake = v[:25], v[25:]
        by_hand = row.activation(real).mean() - row.conjugate(row.activation(fake)).mean()
        assert abs(f_critic_loss(row, real, fake).mean().item() + by_hand.item()) < 1e-10


@pytest.mark.equation("gan-label-smoothing")
@pytest.mark.parametrize("ratio", [0.05, 1.0, 30.0])
def test_smoothing_caps_the_best_judge(ratio):
    # Minimise dgm's own loss over the logit, p and q as weights, and compare with a p / (p + q).
    p, q, a = ratio / (1 + ratio), 1 / (1 + ratio), 0.9

    def loss(logit):
        at, zero = torch.tensor([logit], dtype=F64), torch.zeros(1, dtype=F64)
        half = math.log(2)  # what the other term costs at logit 0, subtracted
        real = discriminator_loss(at, zero, real_target=a).item() - half
        fake = discriminator_loss(zero, at, real_target=a).item() - half
        return p * real + q * fake

    found = scipy.optimize.minimize_scalar(loss, bounds=(-15, 15), method="bounded").x
    assert abs(1 / (1 + math.exp(-found)) - a * p / (p + q)) < 1e-5
    assert found < math.log(a / (1 - a)) + 1e-4


@pytest.mark.equation("gan-feature-matching")
def test_feature_matching_is_the_squared_distance_of_the_means():
    g = rng()
    real, fake = torch.randn(7, 4, generator=g, dtype=F64), torch.randn(7, 4, generator=g, dtype=F64)
    by_hand = sum(
        (sum(real[b, j].item() for b in range(7)) / 7 - sum(fake[b, j].item() for b in range(7)) / 7) ** 2
        for j in range(4)
    )
    assert abs(feature_matching_loss(real, fake).item() - by_hand) < 1e-12
    assert (
        feature_matching_loss(real, real[torch.randperm(7, generator=g)]).item() < 1e-24
    )  # order is nothing


@pytest.mark.equation("gan-minibatch")
def test_minibatch_discrimination_is_its_sum_and_counts_copies():
    g = rng()
    layer = MinibatchDiscrimination(5, kernels=3, dims=2).double()
    h = torch.randn(6, 5, generator=g, dtype=F64)
    rows = (h @ layer.project.weight.detach().T).reshape(6, 3, 2).numpy()
    appended = layer(h)[:, 5:].detach().numpy()
    for k in range(3):
        apart = scipy.spatial.distance.cdist(rows[:, k], rows[:, k], metric="cityblock")
        np.testing.assert_allclose(appended[:, k], np.exp(-apart).sum(1), rtol=1e-10)
    assert (appended > 1).all()
    assert (appended < 6).all()
    copies = layer(h[:1].expand(6, -1))[:, 5:]
    torch.testing.assert_close(copies, torch.full((6, 3), 6.0, dtype=F64))


class Scalar(nn.Module):
    """A judge with one parameter: omega times its input."""

    def __init__(self, omega: float) -> None:
        super().__init__()
        self.omega = nn.Parameter(torch.tensor(omega, dtype=F64))

    def forward(self, x: Tensor) -> Tensor:
        return self.omega * x


@pytest.mark.equation("gan-unrolled")
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_unrolling_a_quadratic_has_its_closed_form(steps):
    # L_D = omega^2 / 2 - theta omega has the descent omega^K = theta + (1 - eta)^K (omega - theta).
    omega, rate = 0.8, 0.3
    theta = torch.tensor(2.0, dtype=F64, requires_grad=True)
    one = torch.ones((), dtype=F64)
    judge = Scalar(omega)
    ahead = unrolled_parameters(judge, lambda at: at(one) ** 2 / 2 - theta * at(one), steps=steps, rate=rate)[
        "omega"
    ]
    decay = (1 - rate) ** steps
    assert abs(ahead.item() - (2.0 + decay * (omega - 2.0))) < 1e-12
    # The gradient through all steps: d omega^K / d theta = 1 - (1 - eta)^K; without it, zero.
    (gradient,) = torch.autograd.grad(ahead + 0 * theta, theta)
    assert abs(gradient.item() - (1 - decay)) < 1e-12
    assert judge.omega.item() == omega
