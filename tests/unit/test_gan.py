"""dgm.gan and dgm.metrics.coverage, against closed forms, finite differences, scipy and torch."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize
import scipy.spatial.distance
import scipy.stats
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from dgm.gan import (
    F_DIVERGENCES,
    DCGANDiscriminator,
    DCGANGenerator,
    MinibatchDiscrimination,
    MinibatchStd,
    MLPDiscriminator,
    MLPGenerator,
    Players,
    add_spectral_norm,
    clip_weights,
    discriminator_loss,
    f_bound,
    f_critic_loss,
    f_divergence,
    feature_matching_loss,
    frozen,
    game_value,
    gan_step,
    generator_update,
    gradient_penalty,
    hinge_discriminator_loss,
    input_gradients,
    interpolate,
    jensen_shannon,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
    lipschitz_bound,
    lipschitz_dual,
    non_saturating_generator_loss,
    optimal_discriminator,
    optimal_logit,
    optimal_transport,
    power_iteration,
    r1_from_logits,
    r1_penalty,
    sample,
    saturating_generator_loss,
    spectral_norm,
    standing_statistics,
    unrolled_parameters,
    wasserstein_1d,
    wgan_critic_loss,
    wgan_generator_loss,
    wgan_step,
)
from dgm.metrics import class_entropy, class_shares, classes_covered, nearest_distances
from dgm.nn import EMA, MLP, seeded

F64 = torch.float64


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=rng(seed), dtype=F64)


def probabilities(k: int, seed: int = 0) -> Tensor:
    return randn(k, seed=seed).softmax(0)


# Losses

PAIR_LOSSES = [
    discriminator_loss,
    least_squares_discriminator_loss,
    hinge_discriminator_loss,
    wgan_critic_loss,
]
SINGLE_LOSSES = [
    saturating_generator_loss,
    non_saturating_generator_loss,
    least_squares_generator_loss,
    wgan_generator_loss,
]


@pytest.mark.parametrize("target", [1.0, 0.9, 0.3])
def test_discriminator_loss_is_binary_cross_entropy(target):
    real, fake = 3 * randn(50), 3 * randn(50, seed=1)
    expected = F.binary_cross_entropy(
        real.sigmoid(), torch.full_like(real, target), reduction="none"
    ) + F.binary_cross_entropy(fake.sigmoid(), torch.zeros_like(fake), reduction="none")
    torch.testing.assert_close(discriminator_loss(real, fake, real_target=target), expected)


def test_a_discriminator_that_is_certain_and_right_loses_nothing():
    certain = torch.tensor([math.inf])
    assert discriminator_loss(certain, -certain).tolist() == [0.0]


def test_generator_losses_have_the_derivatives_that_name_them():
    logits = torch.tensor([-12.0, -1.0, 0.0, 2.0], dtype=F64, requires_grad=True)
    d = logits.detach().sigmoid()
    (saturating,) = torch.autograd.grad(saturating_generator_loss(logits).sum(), logits)
    torch.testing.assert_close(saturating, -d)
    (non_saturating,) = torch.autograd.grad(non_saturating_generator_loss(logits).sum(), logits)
    torch.testing.assert_close(non_saturating, -(1 - d))
    assert abs(saturating[0]) < 1e-5  # where the fake is found out
    assert abs(non_saturating[0]) > 0.99
    # and the values, by the logarithms that the functions avoid
    torch.testing.assert_close(saturating_generator_loss(logits.detach()), torch.log(1 - d))
    torch.testing.assert_close(non_saturating_generator_loss(logits.detach()), -torch.log(d))


def test_margin_and_square_losses_at_hand_computed_points():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.5])
    assert hinge_discriminator_loss(real, fake).tolist() == [0.0, 2.0]
    assert wgan_critic_loss(real, fake).tolist() == [-5.0, 0.0]
    assert wgan_generator_loss(fake).tolist() == [3.0, -0.5]
    assert least_squares_discriminator_loss(real, fake).tolist() == [5.0, 0.25]
    assert least_squares_generator_loss(fake).tolist() == [8.0, 0.125]


@pytest.mark.parametrize("size", [1e4, -1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_losses_and_gradients_are_finite_at_large_logits(size, dtype):
    for loss in [*PAIR_LOSSES, lambda a, b: discriminator_loss(a, b, real_target=0.9)]:
        for sign in (1, -1):
            a = torch.full((3,), size, dtype=dtype, requires_grad=True)
            b = torch.full((3,), sign * size, dtype=dtype, requires_grad=True)
            value = loss(a, b)
            assert value.shape == (3,)
            assert value.dtype == dtype
            assert value.isfinite().all()
            assert all(g.isfinite().all() for g in torch.autograd.grad(value.sum(), (a, b)))
    for loss in SINGLE_LOSSES:
        a = torch.full((3,), size, dtype=dtype, requires_grad=True)
        value = loss(a)
        assert value.shape == (3,)
        assert value.isfinite().all()
        assert torch.autograd.grad(value.sum(), a)[0].isfinite().all()
    gan = F_DIVERGENCES["gan"]
    value = f_critic_loss(gan, torch.full((3,), size, dtype=dtype), torch.full((3,), size, dtype=dtype))
    assert value.isfinite().all()


@pytest.mark.parametrize("loss", PAIR_LOSSES)
def test_pair_losses_refuse_columns_and_unequal_batches(loss):
    with pytest.raises(ValueError, match=r"must have shape \(B,\), got \(4, 1\); use \w+\[:, 0\]"):
        loss(torch.zeros(4, 1), torch.zeros(4))
    with pytest.raises(ValueError, match=r"must have the shape of \w+, \(4,\), got \(5,\); give as many"):
        loss(torch.zeros(4), torch.zeros(5))


@pytest.mark.parametrize("loss", SINGLE_LOSSES)
def test_single_losses_refuse_maps(loss):
    with pytest.raises(ValueError, match=r"must have shape \(B,\), got \(4, 2, 2\); use .*flatten\(\)"):
        loss(torch.zeros(4, 2, 2))


def test_smoothing_refuses_targets_that_are_none():
    with pytest.raises(ValueError, match=r"real_target must lie in \(0, 1\], got 1.1"):
        discriminator_loss(torch.zeros(2), torch.zeros(2), real_target=1.1)


# The game and the f-divergences


def test_optimal_discriminator_beats_every_other_and_reaches_two_js_minus_log_4():
    p, q = probabilities(7), probabilities(7, seed=1)
    best = optimal_logit(p.log(), q.log())
    torch.testing.assert_close(optimal_discriminator(p.log(), q.log()), p / (p + q))
    value = game_value(p, q, best)
    js = scipy.spatial.distance.jensenshannon(p.numpy(), q.numpy()) ** 2
    assert value.item() == pytest.approx(2 * js - math.log(4), abs=1e-12)
    for seed in range(20):
        other = best + 0.1 * randn(7, seed=seed)
        assert game_value(p, q, other) < value
    # minus the value is the discriminator's loss, point by point
    expected = (p * F.softplus(-best) + q * F.softplus(best)).sum()
    assert value.item() == pytest.approx(-expected.item())


def test_optimal_discriminator_is_finite_where_densities_are_not():
    d = optimal_discriminator(torch.tensor([-2000.0, -5.0]), torch.tensor([-5.0, -2000.0]))
    assert d.tolist() == [0.0, 1.0]


def test_label_smoothing_scales_the_optimal_discriminator():
    p, q = probabilities(5), probabilities(5, seed=1)
    logits = torch.zeros(5, dtype=F64, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-14)

    def closure():
        optimiser.zero_grad()
        # the loss adds a real and a fake term: p and q weigh them by one softplus each
        zero = torch.full_like(logits, -60.0)  # a fake that costs nothing
        real = discriminator_loss(logits, zero, real_target=0.8)
        fake = discriminator_loss(-zero, logits)
        loss = (p * real + q * fake).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    torch.testing.assert_close(logits.detach().sigmoid(), 0.8 * p / (p + q), rtol=0, atol=1e-6)


def test_jensen_shannon_is_scipys_and_log_2_when_disjoint():
    p, q = probabilities(9), probabilities(9, seed=1)
    expected = scipy.spatial.distance.jensenshannon(p.numpy(), q.numpy()) ** 2
    assert jensen_shannon(p, q).item() == pytest.approx(expected, abs=1e-12)
    left = torch.tensor([0.3, 0.7, 0.0, 0.0], dtype=F64, requires_grad=True)
    right = torch.tensor([0.0, 0.0, 0.5, 0.5], dtype=F64)
    assert jensen_shannon(left, right).item() == pytest.approx(math.log(2), abs=1e-15)
    assert jensen_shannon(p, p).item() == pytest.approx(0, abs=1e-15)


def test_f_divergences_are_what_they_are_called():
    p, q = probabilities(6), probabilities(6, seed=1)
    expected = {
        "kl": scipy.stats.entropy(p.numpy(), q.numpy()),
        "reverse_kl": scipy.stats.entropy(q.numpy(), p.numpy()),
        "pearson": ((p - q) ** 2 / q).sum().item(),
        "gan": 2 * scipy.spatial.distance.jensenshannon(p.numpy(), q.numpy()) ** 2 - math.log(4),
    }
    assert set(expected) == set(F_DIVERGENCES)
    for name, value in expected.items():
        assert f_divergence(F_DIVERGENCES[name], p, q).item() == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("row", F_DIVERGENCES.values(), ids=F_DIVERGENCES)
def test_conjugates_are_the_supremum(row):
    for v in (-1.5, -0.2, 0.4, 1.0):
        t = row.activation(torch.tensor(v, dtype=F64))

        def negative(log_u, t=t):
            u = torch.tensor(math.exp(log_u), dtype=F64)
            return -(u * t - row.f(u)).item()

        if row.name == "pearson":  # its supremum over u > 0 is at u = 1 + t / 2
            assert t > -2
        found = scipy.optimize.minimize_scalar(negative, bounds=(-15, 15), options={"xatol": 1e-10})
        assert row.conjugate(t).item() == pytest.approx(-found.fun, abs=1e-7)
        torch.testing.assert_close(row.conjugate_at(torch.tensor(v, dtype=F64)), row.conjugate(t))


@pytest.mark.parametrize("row", F_DIVERGENCES.values(), ids=F_DIVERGENCES)
def test_optimal_critic_is_the_derivative_of_f(row):
    u = torch.tensor([0.05, 0.4, 1.0, 2.5, 9.0], dtype=F64, requires_grad=True)
    (slope,) = torch.autograd.grad(row.f(u).sum(), u)
    torch.testing.assert_close(row.optimal_critic(u.detach().log()), slope)


@pytest.mark.parametrize("row", F_DIVERGENCES.values(), ids=F_DIVERGENCES)
def test_bound_is_tight_at_the_optimal_critic_and_below_elsewhere(row):
    p, q = probabilities(6), probabilities(6, seed=1)
    exact = f_divergence(row, p, q)
    best = row.optimal_critic(p.log() - q.log())
    tight = f_bound(row, best, best, weights_p=p, weights_q=q)
    assert tight.item() == pytest.approx(exact.item(), abs=1e-12)
    for seed in range(20):
        # other critics of the domain: through the activation, or near the best one
        for critic in (row.activation(randn(6, seed=seed)), best * (1 + 0.1 * randn(6, seed=seed).tanh())):
            assert f_bound(row, critic, critic, weights_p=p, weights_q=q) < exact


def test_bound_from_samples_and_critic_loss_agree():
    v_p, v_q = randn(40), randn(40, seed=1)
    for row in F_DIVERGENCES.values():
        bound = f_bound(row, row.activation(v_p), row.activation(v_q))
        torch.testing.assert_close(-f_critic_loss(row, v_p, v_q).mean(), bound)
    torch.testing.assert_close(f_critic_loss(F_DIVERGENCES["gan"], v_p, v_q), discriminator_loss(v_p, v_q))


def test_divergences_say_what_they_want():
    kl, p = F_DIVERGENCES["kl"], torch.tensor([0.5, 0.5])
    with pytest.raises(ValueError, match=r"q must be positive everywhere, got a zero"):
        f_divergence(kl, p, torch.tensor([1.0, 0.0]))
    with pytest.raises(ValueError, match=r"q must have the shape of p, \(2,\), got \(3,\); flatten"):
        jensen_shannon(p, torch.ones(3) / 3)
    with pytest.raises(ValueError, match=r"logits must have the shape of p, \(2,\), got \(1,\)"):
        game_value(p, p, torch.zeros(1))
    with pytest.raises(ValueError, match=r"critic_q must have shape \(N,\), got \(4, 1\)"):
        f_bound(kl, torch.zeros(4), torch.zeros(4, 1))
    with pytest.raises(ValueError, match=r"weights_p must have the shape of critic_p, \(4,\), got \(3,\)"):
        f_bound(kl, torch.zeros(4), torch.zeros(4), weights_p=torch.zeros(3))
    with pytest.raises(ValueError, match=r"real_values must have shape \(B,\), got \(4, 1\)"):
        f_critic_loss(kl, torch.zeros(4, 1), torch.zeros(4))


# Penalties


class Linear(nn.Module):
    """f(x) = w . x, summed over all axes of a sample."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, x: Tensor) -> Tensor:
        return (self.w * x).flatten(1).sum(1)


@pytest.mark.parametrize("shape", [(5,), (3, 4, 4)])
def test_penalty_of_a_linear_critic_is_exact(shape):
    critic = Linear(randn(*shape, seed=3))
    real, fake = randn(6, *shape), randn(6, *shape, seed=1)
    norm = critic.w.detach().square().sum().sqrt()
    penalty = gradient_penalty(critic, real, fake, generator=rng())
    torch.testing.assert_close(penalty.detach(), ((norm - 1) ** 2).expand(6))
    torch.testing.assert_close(r1_penalty(critic, real).detach(), (norm**2 / 2).expand(6))
    assert not real.requires_grad  # what came in is left as it was
    assert not fake.requires_grad
    # the gradient reaches the parameters: d/dw (|w| - 1)^2 = 2 (|w| - 1) w / |w|
    (slope,) = torch.autograd.grad(penalty.mean(), critic.w)
    torch.testing.assert_close(slope, (2 * (norm - 1) / norm * critic.w).detach())
    steep = gradient_penalty(critic, real, fake, target=2 * norm.item(), one_sided=True)
    assert steep.tolist() == [0.0] * 6


def test_penalty_reaches_every_layer_and_neither_player_samples():
    with seeded(0):
        critic = MLP([4, 8, 8, 1], activation="tanh").double()
    real, fake = randn(6, 4).requires_grad_(), randn(6, 4, seed=1).requires_grad_()
    gradient_penalty(lambda x: critic(x)[:, 0], real, fake, generator=rng()).sum().backward()
    weights = [p for name, p in critic.named_parameters() if name.endswith("weight")]
    assert all(w.grad is not None and w.grad.abs().max() > 1e-6 for w in weights)
    assert real.grad is None
    assert fake.grad is None


def test_penalty_gradient_is_that_of_finite_differences():
    with seeded(0):
        critic = MLP([3, 5, 1], activation="tanh").double()
    real, fake = randn(4, 3), randn(4, 3, seed=1)

    def penalty(weight):
        f = lambda x: functional_call(critic, {"layers.0.weight": weight}, (x,))[:, 0]  # noqa: E731
        return gradient_penalty(f, real, fake, generator=rng()).mean()

    assert torch.autograd.gradcheck(penalty, critic.layers[0].weight.detach().requires_grad_())


def test_penalty_of_a_flat_critic_has_finite_gradients():
    critic = Linear(torch.zeros(3, dtype=F64))
    penalty = gradient_penalty(critic, randn(4, 3), randn(4, 3, seed=1), generator=rng())
    assert penalty.tolist() == [1.0] * 4
    assert torch.autograd.grad(penalty.sum(), critic.w)[0].isfinite().all()


def test_interpolation_is_one_number_per_sample():
    real, fake = randn(200, 3, 4, 4), randn(200, 3, 4, 4, seed=1)
    eps = ((interpolate(real, fake, rng()) - fake) / (real - fake)).flatten(1)  # (B, 48)
    torch.testing.assert_close(eps, eps[:, :1].expand_as(eps), rtol=0, atol=1e-9)
    assert scipy.stats.kstest(eps[:, 0].numpy(), "uniform").pvalue > 0.01
    assert eps[:, 0].unique().numel() == 200
    with pytest.raises(ValueError, match=r"fake must have the shape of real, \(4, 2\), got \(5, 2\)"):
        interpolate(torch.zeros(4, 2), torch.zeros(5, 2))


def test_penalty_works_where_gradients_are_switched_off():
    critic = Linear(randn(3))
    with torch.no_grad():
        assert gradient_penalty(critic, randn(4, 3), randn(4, 3, seed=1)).shape == (4,)


def test_penalties_say_what_they_want():
    x = torch.zeros(4, 3)
    with pytest.raises(
        ValueError, match=r"critic's output must have shape \(4,\), got \(4, 1\); use values\[:, 0\]"
    ):
        gradient_penalty(lambda x: x[:, :1], x, x)
    with pytest.raises(ValueError, match=r"x must require gradients before it goes into the critic"):
        input_gradients(x.sum(1), x)
    with pytest.raises(ValueError, match=r"limit must be positive, got 0"):
        clip_weights(nn.Linear(2, 2), 0)


def test_r1_from_logits_is_r1():
    critic = Linear(randn(3))
    x = randn(4, 3).requires_grad_()
    torch.testing.assert_close(r1_from_logits(critic(x).square(), x), r1_penalty(lambda x: critic(x) ** 2, x))


def test_clipping_bounds_weights_and_biases():
    with seeded(0):
        critic = MLP([4, 8, 1])
    before = [p.detach().clone() for p in critic.parameters()]
    clip_weights(critic, 0.05)
    for old, new in zip(before, critic.parameters(), strict=True):
        torch.testing.assert_close(new.detach(), old.clamp(-0.05, 0.05))
    assert max(p.abs().max() for p in before) > 0.1


# Spectral norm


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (6, 3, 3, 3)])
def test_power_iteration_finds_the_largest_singular_value(shape):
    weight = randn(*shape, seed=2)
    exact = torch.linalg.svdvals(weight.flatten(1))
    found = spectral_norm(weight, steps=200, generator=rng())
    torch.testing.assert_close(found, exact[0])
    sigma, u, v = power_iteration(weight.flatten(1), randn(shape[0]), steps=200)
    torch.testing.assert_close(weight.flatten(1) @ v, sigma * u)
    # after one step: below, and better with every step
    errors = [exact[0] - power_iteration(weight.flatten(1), randn(shape[0]), steps=k)[0] for k in (1, 3, 9)]
    assert errors[0] > errors[1] > errors[2] > 0


def test_spectral_norm_has_the_gradient_of_the_singular_value():
    weight = randn(5, 3).requires_grad_()
    (ours,) = torch.autograd.grad(spectral_norm(weight, steps=500, generator=rng()), weight)
    (exact,) = torch.autograd.grad(torch.linalg.svdvals(weight)[0], weight)
    torch.testing.assert_close(ours, exact)


def test_normalised_layers_have_norm_one():
    with seeded(0):
        net = MLPDiscriminator((1, 8, 8), (32, 32)).double()
        add_spectral_norm(net)
        for _ in range(300):  # each pass in training mode takes one step
            net(randn(2, 1, 8, 8))
    layers = [m for m in net.modules() if isinstance(m, nn.Linear)]
    assert len(layers) == 3
    for layer in layers:
        assert torch.linalg.svdvals(layer.weight)[0].item() == pytest.approx(1, abs=1e-4)
    assert lipschitz_bound(net) == pytest.approx(1, abs=5e-4)
    x, y = randn(500, 1, 8, 8), randn(500, 1, 8, 8, seed=1)
    slopes = (net(x) - net(y)).abs() / (x - y).flatten(1).norm(dim=1)
    assert slopes.max() <= 1.001
    before = layers[0].weight.detach().clone()
    net.eval()(x)
    assert torch.equal(net.net[1].weight, net.eval().net[1].weight)
    assert before.shape == layers[0].weight.shape


def test_lipschitz_bound_is_the_product_of_the_norms():
    with seeded(1):
        net = MLP([3, 5, 1], activation="relu").double()
    norms = [np.linalg.norm(net.layers[i].weight.detach().numpy(), 2) for i in (0, 2)]
    assert lipschitz_bound(net) == pytest.approx(norms[0] * norms[1])
    with pytest.raises(ValueError, match=r"linear layers only, got a convolution"):
        lipschitz_bound(DCGANDiscriminator(8))
    with pytest.raises(ValueError, match=r"has no nn.Linear"):
        lipschitz_bound(nn.ReLU())
    with pytest.raises(ValueError, match=r"u must have shape \(2,\), got \(3,\)"):
        power_iteration(torch.zeros(2, 3), torch.zeros(3))
    with pytest.raises(ValueError, match=r"steps must be at least 1, got 0"):
        power_iteration(torch.zeros(2, 3), torch.zeros(2), 0)
    with pytest.raises(ValueError, match=r"weight must have shape \(M, N, ...\), got \(3,\)"):
        spectral_norm(torch.zeros(3))


# Wasserstein


def test_wasserstein_1d_is_scipys():
    for n, m in [(1, 1), (5, 5), (7, 4), (40, 33)]:
        x, y = randn(n), 0.5 + 2 * randn(m, seed=1)
        expected = scipy.stats.wasserstein_distance(x.numpy(), y.numpy())
        assert wasserstein_1d(x, y).item() == pytest.approx(expected, abs=1e-12)
        p, q = probabilities(n, seed=2), 3 * probabilities(m, seed=3)  # q is scaled to 1
        expected = scipy.stats.wasserstein_distance(x.numpy(), y.numpy(), p.numpy(), q.numpy())
        assert wasserstein_1d(x, y, x_weights=p, y_weights=q).item() == pytest.approx(expected, abs=1e-12)
    x, y = randn(50), 3 + randn(50, seed=1)
    torch.testing.assert_close(wasserstein_1d(x, y), (x.sort().values - y.sort().values).abs().mean())
    gap = torch.tensor([0.7], dtype=F64, requires_grad=True)
    (slope,) = torch.autograd.grad(wasserstein_1d(x * 0 + gap, x * 0), gap)
    assert slope.item() == pytest.approx(1)  # two points: W1 is their distance
    zeros = wasserstein_1d(x, y, x_weights=torch.eye(50, dtype=F64)[3])
    assert zeros.item() == pytest.approx((x[3] - y).abs().mean().item())


def test_linear_programme_plan_and_potentials_prove_each_other():
    x, y = randn(6, 2), randn(4, 2, seed=1) + 1
    p, q = probabilities(6, seed=2), probabilities(4, seed=3)
    cost = torch.cdist(x, y)
    value, plan, phi, psi = optimal_transport(cost, p, q)
    torch.testing.assert_close(plan.sum(1), p, rtol=0, atol=1e-9)
    torch.testing.assert_close(plan.sum(0), q, rtol=0, atol=1e-9)
    assert plan.min() >= 0
    assert value == pytest.approx((plan * cost).sum().item())
    assert (cost - phi[:, None] - psi).min() > -1e-9  # the prices are admissible ...
    assert (p @ phi + q @ psi).item() == pytest.approx(value)  # ... and reach the value: both are optimal
    assert value < (p[:, None] * q * cost).sum()  # the independent coupling costs more


def test_linear_programme_takes_probabilities_that_rounding_has_moved():
    p, q = probabilities(6, seed=2), probabilities(4, seed=3)
    cost = torch.cdist(randn(6, 2), randn(4, 2, seed=1) + 1)
    exact = optimal_transport(cost, p, q)
    moved = optimal_transport(cost, p * (1 + 9e-7), q * (1 - 9e-7))
    torch.testing.assert_close(moved.plan, exact.plan, rtol=1e-9, atol=1e-12)
    assert moved.value == pytest.approx(exact.value, rel=1e-9)


def test_linear_programme_equals_assignment_and_quantiles():
    x, y = randn(7, 2), randn(7, 2, seed=1)
    cost, even = torch.cdist(x, y), torch.full((7,), 1 / 7, dtype=F64)
    row, column = scipy.optimize.linear_sum_assignment(cost.numpy())
    assert optimal_transport(cost, even, even).value == pytest.approx(cost[row, column].mean().item())
    line = optimal_transport((x[:, :1] - y[:, 0]).abs(), even, even).value
    assert line == pytest.approx(wasserstein_1d(x[:, 0], y[:, 0]).item())


def test_lipschitz_dual_equals_the_primal():
    points = randn(8, 2)
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    p, q = probabilities(8, seed=2), probabilities(8, seed=3)
    value, f = lipschitz_dual(distance, p, q)
    assert value == pytest.approx(optimal_transport(distance, p, q).value)
    assert f[0] == 0
    assert ((f[:, None] - f) <= distance + 1e-9).all()
    assert ((p - q) @ f).item() == pytest.approx(value)
    # two points, more of the data on the first: the critic is 0 there and falls at slope 1
    value, f = lipschitz_dual(
        torch.tensor([[0.0, 3.0], [3.0, 0.0]]), torch.tensor([0.75, 0.25]), torch.ones(2) / 2
    )
    assert value == pytest.approx(0.75)
    assert f.tolist() == pytest.approx([0, -3])


def test_wasserstein_says_what_it_wants():
    p, cost = torch.tensor([0.5, 0.5]), torch.zeros(2, 2)
    with pytest.raises(ValueError, match=r"cost must have shape \(2, 2\), got \(2, 3\); use torch.cdist"):
        optimal_transport(torch.zeros(2, 3), p, p)
    with pytest.raises(
        ValueError, match=r"q must be probabilities with sum 1, got sum 2 .*divide by the sum"
    ):
        optimal_transport(cost, p, torch.ones(2))
    with pytest.raises(ValueError, match=r"distance must be \(K, K\), got \(2, 3\)"):
        lipschitz_dual(torch.zeros(2, 3), p, torch.ones(3) / 3)
    with pytest.raises(ValueError, match=r"x must have shape \(N,\) with N at least 1, got \(2, 1\)"):
        wasserstein_1d(torch.zeros(2, 1), p)
    with pytest.raises(ValueError, match=r"y_weights must have the shape of y, \(2,\), got \(3,\)"):
        wasserstein_1d(p, p, y_weights=torch.ones(3))
    with pytest.raises(ValueError, match=r"x_weights must not be negative nor all zero"):
        wasserstein_1d(p, p, x_weights=torch.tensor([-1.0, 2.0]))


# Cures


def test_feature_matching_compares_means_only():
    real = torch.tensor([[0.0, 1.0], [2.0, 3.0]], dtype=F64, requires_grad=True)
    fake = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], dtype=F64, requires_grad=True)
    loss = feature_matching_loss(real, fake)  # means (1, 2) and (1, 1)
    assert loss.item() == pytest.approx(1.0)
    loss.backward()
    assert real.grad is None
    torch.testing.assert_close(fake.grad, torch.tensor([[0.0, -2 / 3]] * 3, dtype=F64))
    with pytest.raises(ValueError, match=r"fake_features must have shape \(B, 3\), got \(2, 4\)"):
        feature_matching_loss(torch.zeros(2, 3), torch.zeros(2, 4))


def test_minibatch_std_is_the_mean_deviation():
    h = randn(9, 5)
    out = MinibatchStd()(h)
    assert torch.equal(out[:, :5], h)
    expected = np.std(h.numpy(), axis=0).mean()
    np.testing.assert_allclose(out[:, 5].numpy(), np.full(9, expected), rtol=1e-6)
    image = randn(9, 3, 4, 4)
    out = MinibatchStd()(image)
    assert out.shape == (9, 4, 4, 4)
    np.testing.assert_allclose(out[:, 3].numpy(), np.std(image.numpy(), axis=0).mean(), rtol=1e-6)
    same = torch.ones(4, 3, requires_grad=True)
    MinibatchStd()(same).sum().backward()
    assert same.grad.isfinite().all()


def test_minibatch_discrimination_counts_neighbours():
    with seeded(0):
        layer = MinibatchDiscrimination(5, kernels=3, dims=2).double()
    h = randn(4, 5)
    m = (h @ layer.project.weight.detach().T).reshape(4, 3, 2)
    expected = torch.zeros(4, 3, dtype=F64)
    for i in range(4):
        for j in range(4):
            for k in range(3):
                expected[i, k] += math.exp(-(m[i, k] - m[j, k]).abs().sum().item())
    out = layer(h)
    assert torch.equal(out[:, :5], h)
    torch.testing.assert_close(out[:, 5:].detach(), expected)
    collapsed = layer(h[:1].repeat(4, 1))
    torch.testing.assert_close(collapsed[:, 5:].detach(), torch.full((4, 3), 4.0, dtype=F64))


def test_unrolled_parameters_are_those_of_gradient_descent():
    with seeded(0):
        d = MLP([2, 6, 1], activation="tanh").double()
    real, fake = randn(8, 2), randn(8, 2, seed=1)
    before = {name: p.detach().clone() for name, p in d.named_parameters()}
    found = unrolled_parameters(
        d, lambda f: discriminator_loss(f(real)[:, 0], f(fake)[:, 0]).mean(), steps=3, rate=0.5
    )
    assert all(torch.equal(before[name], p) for name, p in d.named_parameters())
    assert all(p.grad is None for p in d.parameters())
    sgd = torch.optim.SGD(d.parameters(), lr=0.5)
    for _ in range(3):
        sgd.zero_grad()
        discriminator_loss(d(real)[:, 0], d(fake)[:, 0]).mean().backward()
        sgd.step()
    for name, p in d.named_parameters():
        torch.testing.assert_close(found[name], p)


def test_unrolled_gradient_is_that_of_finite_differences():
    with seeded(0):
        d = MLP([2, 4, 1], activation="tanh").double()
    real, noise = randn(6, 2), randn(6, 2, seed=1)

    def loss(theta, steps):
        fake = noise + theta
        ahead = unrolled_parameters(
            d, lambda f: discriminator_loss(f(real)[:, 0], f(fake)[:, 0]).mean(), steps=steps, rate=0.7
        )
        return non_saturating_generator_loss(functional_call(d, ahead, (fake,))[:, 0]).mean()

    theta = torch.tensor([1.0, -0.5], dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: loss(t, 3), theta)
    gradients = [torch.autograd.grad(loss(theta, k), theta)[0] for k in (0, 3)]
    assert (gradients[0] - gradients[1]).norm() > 0.01  # looking ahead changes the answer
    with pytest.raises(ValueError, match=r"steps must not be negative and rate positive, got -1 and 1"):
        unrolled_parameters(d, lambda f: f(real).sum(), steps=-1, rate=1)


# Networks


@pytest.mark.parametrize("side", [8, 28, 32, 64])
def test_dcgan_shapes_range_and_gradients(side):
    with seeded(0):
        g = DCGANGenerator(side, latents=10, channels=2, width=4)
        d = DCGANDiscriminator(side, channels=2, width=4)
    x = g(torch.randn(3, 10, generator=rng()))
    assert x.shape == (3, 2, side, side)
    assert x.abs().max() <= 1
    logits = d(x)
    assert logits.shape == (3,)
    assert d.features(x).shape[0] == 3
    logits.sum().backward()
    for name, p in [*g.named_parameters(), *d.named_parameters()]:
        assert p.grad is not None, name
        assert p.grad.isfinite().all()
    assert g.net[1].weight.grad.abs().max() > 0
    with torch.no_grad():
        next(p for p in reversed(list(g.parameters())) if p.ndim == 4).mul_(1000)
    assert 0.99 < g(torch.randn(3, 10, generator=rng())).abs().max() <= 1  # bounded whatever the weights
    assert not any(
        isinstance(m, nn.BatchNorm2d) for m in DCGANDiscriminator(side, batch_norm=False).modules()
    )


def test_dcgan_is_the_published_one_at_64_pixels():
    d = DCGANDiscriminator(64, channels=3, width=64)
    convolutions = [m for m in d.modules() if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [64, 128, 256, 512, 1]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in d.modules()) == 3
    g = DCGANGenerator(64, latents=100, channels=3, width=64)
    transposed = [m for m in g.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [c.out_channels for c in transposed] == [512, 256, 128, 64, 3]
    with seeded(0):
        first = DCGANGenerator(64, latents=100).net[1].weight
    assert first.std().item() == pytest.approx(0.02, rel=0.02)


def test_samples_do_not_meet_in_discriminators_for_penalties():
    with seeded(0):
        nets = [DCGANDiscriminator(8, batch_norm=False), MLPDiscriminator((1, 8, 8))]
    x = torch.randn(4, 1, 8, 8, generator=rng())
    for net in nets:
        torch.testing.assert_close(net(x)[:1], net(x[:1]), rtol=1e-4, atol=1e-6)


def test_projection_discriminator_is_its_formula():
    with seeded(0):
        d = MLPDiscriminator((1, 8, 8), (16, 12), classes=5, minibatch_std=True).double()
    x, y = randn(6, 1, 8, 8), torch.tensor([0, 1, 2, 3, 4, 0])
    h = d.features(x)
    std = np.std(h.detach().numpy(), axis=0).mean()
    expected = h @ d.head.weight[0, :12] + std * d.head.weight[0, 12] + d.head.bias
    expected = expected + (d.embedding.weight[y] * h).sum(1)
    torch.testing.assert_close(d(x, y), expected, rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match=r"has 5 classes and needs labels y \(B,\), got none"):
        d(x)
    with pytest.raises(ValueError, match=r"y must have shape \(B,\), got \(6, 1\)"):
        d(x, y[:, None])


def test_generator_reads_its_label():
    with seeded(0):
        g = MLPGenerator(3, (2,), (8,), classes=4, bounded=False).double().eval()
    z = randn(1, 3).repeat(4, 1)
    out = g(z, torch.arange(4))
    assert torch.pdist(out).min() > 1e-3
    with pytest.raises(ValueError, match=r"z must have shape \(B, 3\), got \(4, 2\)"):
        g(z[:, :2], torch.arange(4))
    with pytest.raises(ValueError, match=r"side must be one of 8, 28, 32, 64 pixels, got 16"):
        DCGANGenerator(16)
    with pytest.raises(ValueError, match=r"x must have shape \(B, 1, 8, 8\), got \(2, 1, 4, 4\)"):
        DCGANDiscriminator(8)(torch.zeros(2, 1, 4, 4))


@pytest.mark.parametrize("build", [lambda: MLPGenerator(4, (1, 8, 8)), lambda: DCGANGenerator(8, latents=4)])
def test_batch_norm_in_eval_treats_samples_apart_and_keeps_its_statistics(build):
    with seeded(0):
        g = build()
    z = torch.randn(16, 4, generator=rng())
    for _ in range(5):
        g(z)  # statistics move in training mode
    g.eval()
    before = {name: b.clone() for name, b in g.named_buffers()}
    together, alone = g(z), torch.cat([g(z[i : i + 1]) for i in range(16)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(before[name], b) for name, b in g.named_buffers())
    g.train()
    assert not torch.allclose(g(z), together, atol=1e-3)
    assert any(not torch.equal(before[name], b) for name, b in g.named_buffers())


# Steps


def players(**changes) -> Players:
    with seeded(0):
        g, d = MLPGenerator(3, (4,), (8,), bounded=False), MLPDiscriminator((4,), (8,))
    rate = {"lr": 0.05}
    two = Players(
        g, d, torch.optim.SGD(g.parameters(), **rate), torch.optim.SGD(d.parameters(), **rate), EMA(g, 0.5)
    )
    return replace(two, **changes)


def snapshot(module: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in module.parameters()]


def moved(before: list[Tensor], module: nn.Module) -> bool:
    return any(not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


class Recording(torch.optim.SGD):
    """Notes, at each of its steps, which of two networks have gradients."""

    def __init__(self, parameters, other, **options):
        super().__init__(parameters, **options)
        self.other, self.norms = list(other), []

    def zero_grad(self, set_to_none=True):
        super().zero_grad(set_to_none)
        self.before = [None if p.grad is None else p.grad.clone() for p in self.other]

    def step(self, closure=None):
        after = [None if p.grad is None else p.grad.clone() for p in self.other]
        for a, b in zip(self.before, after, strict=True):
            assert (a is None) == (b is None)
            assert a is None or torch.equal(a, b)
        self.norms.append(sum(p.grad.norm().item() for g in self.param_groups for p in g["params"]))
        return super().step(closure)


@pytest.mark.parametrize(
    "step",
    [
        lambda p, x: gan_step(p, x, r1=0.5, rng=rng(5)),
        lambda p, x: wgan_step(p, x, penalty=1.0, critic_steps=2, rng=rng(5)),
        lambda p, x: wgan_step(p, x, clip=0.1, rng=rng(5)),
    ],
)
def test_updates_leave_no_gradient_in_the_other_player(step):
    two = players()
    two = replace(
        two,
        optimiser_g=Recording(two.generator.parameters(), two.discriminator.parameters(), lr=0.05),
        optimiser_d=Recording(two.discriminator.parameters(), two.generator.parameters(), lr=0.05),
    )
    x = torch.randn(16, 4, generator=rng(1))
    old_g, old_d = snapshot(two.generator), snapshot(two.discriminator)
    scalars = step(two, x)
    step(two, x)
    assert all(torch.isfinite(v) and not v.requires_grad for v in scalars.values())
    assert moved(old_g, two.generator)
    assert moved(old_d, two.discriminator)
    assert all(n > 0 for n in two.optimiser_g.norms + two.optimiser_d.norms)
    assert all(p.requires_grad for p in two.discriminator.parameters())
    assert x.requires_grad is False
    assert x.grad is None


def test_gan_step_is_the_plain_algorithm():
    two, x = players(), torch.randn(16, 4, generator=rng(1))
    plain = players()
    g, d, draws = plain.generator, plain.discriminator, rng(5)
    scalars = gan_step(two, x, rng=rng(5))
    fake = g(torch.randn(16, 3, generator=draws)).detach()
    bce = F.binary_cross_entropy_with_logits
    loss_d = bce(d(x), torch.ones(16)) + bce(d(fake), torch.zeros(16))
    plain.optimiser_d.zero_grad()
    loss_d.backward()
    plain.optimiser_d.step()
    loss_g = bce(d(g(torch.randn(16, 3, generator=draws))), torch.ones(16))
    plain.optimiser_g.zero_grad()
    loss_g.backward()
    plain.optimiser_g.step()
    assert scalars["d_loss"].item() == pytest.approx(loss_d.item(), rel=1e-5)
    assert scalars["g_loss"].item() == pytest.approx(loss_g.item(), rel=1e-5)
    for ours, theirs in zip(
        [*two.generator.parameters(), *two.discriminator.parameters()],
        [*g.parameters(), *d.parameters()],
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_gan_step_adds_r1_with_its_weight():
    two, x = players(), torch.randn(16, 4, generator=rng(1))
    judge = Linear(torch.tensor([0.3, 0.0, 0.0, 0.4]))
    two = replace(two, discriminator=judge, optimiser_d=torch.optim.SGD(judge.parameters(), lr=0.1))
    w = judge.w.detach().clone()
    fake = two.generator(torch.randn(16, 3, generator=rng(5))).detach()
    # d/dw of -log D(x) - log(1 - D(fake)) is -(1 - D) x + D fake; of |w|^2 / 2 it is w
    entropy = (-(-x @ w).sigmoid()[:, None] * x + (fake @ w).sigmoid()[:, None] * fake).mean(0)
    scalars = gan_step(two, x, r1=3.0, rng=rng(5))
    torch.testing.assert_close(judge.w.detach(), w - 0.1 * (entropy + 3.0 * w))
    assert scalars["penalty"].item() == pytest.approx(0.125, rel=1e-5)  # |w|^2 / 2


def test_wgan_step_clips_after_the_step_and_penalises_with_its_weight():
    two, x = players(), torch.randn(16, 4, generator=rng(1))
    wgan_step(two, x, clip=0.02, rng=rng(5))
    assert max(p.abs().max().item() for p in two.discriminator.parameters()) <= 0.02 + 1e-7
    # a linear critic on one batch: the gradient of the loss is known
    two = players()
    critic = Linear(torch.tensor([3.0, 0.0, 0.0, 4.0]))
    two = replace(two, discriminator=critic, optimiser_d=torch.optim.SGD(critic.parameters(), lr=0.1))
    w = critic.w.detach().clone()
    draws = rng(5)
    fake = two.generator(torch.randn(16, 3, generator=draws)).detach()
    expected = fake.mean(0) - x.mean(0) + 2.0 * 2 * (5 - 1) * w / 5
    scalars = wgan_step(two, x, penalty=2.0, rng=rng(5))
    torch.testing.assert_close(critic.w.detach(), w - 0.1 * expected)
    assert scalars["penalty"].item() == pytest.approx(16, rel=1e-5)
    assert scalars["wasserstein"].item() == pytest.approx(((x - fake).mean(0) @ w).item(), rel=1e-4)
    with pytest.raises(ValueError, match=r"divide into critic_steps parts, got 16 samples for 3"):
        wgan_step(two, x, critic_steps=3)


@pytest.mark.parametrize("critic_steps", [2, 4])
def test_wgan_step_reports_the_mean_over_its_updates(critic_steps):
    # a linear critic that does not learn: the mean of equal parts is that of the whole batch
    two, x = players(), torch.randn(16, 4, generator=rng(1))
    critic = Linear(torch.tensor([3.0, -1.0, 0.5, 4.0]))
    two = replace(two, discriminator=critic, optimiser_d=torch.optim.SGD(critic.parameters(), lr=0.0))
    draws, part = rng(5), 16 // critic_steps
    fake = torch.cat([two.generator(torch.randn(part, 3, generator=draws)) for _ in range(critic_steps)])
    expected = (critic(x) - critic(fake)).mean().item()
    scalars = wgan_step(two, x, critic_steps=critic_steps, rng=rng(5))
    assert scalars["wasserstein"].item() == pytest.approx(expected, rel=1e-5)


def test_labels_reach_both_players_and_the_penalty():
    with seeded(0):
        g, d = MLPGenerator(3, (4,), (8,), classes=3), MLPDiscriminator((4,), (8,), classes=3)
    two = Players(g, d, torch.optim.SGD(g.parameters(), lr=0.1), torch.optim.SGD(d.parameters(), lr=0.1))
    x, y = torch.randn(6, 4, generator=rng(1)), torch.tensor([0, 1, 2, 0, 1, 2])
    for step in (
        lambda: gan_step(two, x, y, r1=0.1, rng=rng()),
        lambda: wgan_step(two, x, y, penalty=1.0, critic_steps=2, rng=rng()),
        lambda: wgan_step(two, x, y, penalty=1.0, rng=rng()),
    ):
        old_label, old_embedding = (
            g.net[0].weight[:, 3:].detach().clone(),
            d.embedding.weight.detach().clone(),
        )
        step()
        assert not torch.equal(old_label, g.net[0].weight[:, 3:])
        assert not torch.equal(old_embedding, d.embedding.weight)
    assert sample(g, 6, y, rng=rng()).shape == (6, 4)


def test_ema_follows_and_states_are_named():
    two = players()
    old = snapshot(two.generator)
    generator_update(two, 8, rng=rng())
    for before, now, average in zip(
        old, two.generator.parameters(), two.best_generator.parameters(), strict=True
    ):
        torch.testing.assert_close(average, (before + now) / 2)
    assert set(two.state()) == {"generator", "discriminator", "optimiser_g", "optimiser_d", "ema"}
    alone = replace(two, ema=None)
    assert set(alone.state()) == {"generator", "discriminator", "optimiser_g", "optimiser_d"}
    assert alone.best_generator is two.generator


@pytest.mark.parametrize("classes", [0, 3])
def test_standing_statistics_are_means_over_batches(classes):
    with seeded(0):
        g = MLPGenerator(3, (2,), (5, 4), classes=classes).double().eval()
    y = torch.tensor([0, 2, 2, 2]) if classes else None
    weights = {name: p.clone() for name, p in g.named_parameters()}
    assert standing_statistics(g, 8, y, batches=300, rng=rng()) is g
    assert not g.training
    assert g.net[1].momentum == 0.1
    torch.testing.assert_close(dict(g.named_parameters()), weights, rtol=0, atol=0)
    # The first layer's inputs are independent, so its statistics are known without drawing.
    share = torch.tensor([0.25, 0.0, 0.75], dtype=F64) if classes else torch.zeros(0, dtype=F64)
    mean = torch.cat([torch.zeros(3, dtype=F64), share])
    covariance = torch.block_diag(torch.eye(3, dtype=F64), torch.diag(share) - torch.outer(share, share))
    w = g.net[0].weight.detach()
    variance = (w @ covariance @ w.T).diagonal()
    norm = g.net[1]
    z_mean = (norm.running_mean - w @ mean) / (variance / 2400).sqrt()
    assert z_mean.abs().max() < 4
    # 300 unbiased variances of 8 draws each scatter by sqrt(2 / (7 * 300)) = .03 of their mean, if normal
    torch.testing.assert_close(norm.running_var, variance, rtol=0.13, atol=0)
    assert norm.num_batches_tracked == 300
    with pytest.raises(ValueError, match=r"n of at least 2 and batches of at least 1, got 1 and 5"):
        standing_statistics(g, 1, batches=5)


def test_standing_statistics_make_eval_mode_what_training_mode_is():
    """With one large batch they are nearly those of any other, so both modes give nearly the same samples."""
    with seeded(0):
        g = MLPGenerator(3, (2,), (16,)).double()
    z = randn(4000, 3)
    standing_statistics(g, 4000, batches=1, rng=rng())
    in_training = g(z.detach())
    torch.testing.assert_close(g.eval()(z.detach()), in_training, rtol=0, atol=0.1)


def test_sample_is_in_eval_mode_and_puts_the_mode_back():
    g = players().generator
    generator_state = [b.clone() for b in g.buffers()]
    x = sample(g, 5, rng=rng(3))
    assert g.training
    assert not x.requires_grad
    assert all(torch.equal(a, b) for a, b in zip(generator_state, g.buffers(), strict=True))
    torch.testing.assert_close(x, g.eval()(torch.randn(5, 3, generator=rng(3))).detach())


def test_frozen_lets_gradients_through_and_thaws_after_an_error():
    layer = nn.Linear(2, 1)
    layer.bias.requires_grad_(False)
    x = torch.ones(1, 2, requires_grad=True)

    def fail():
        with frozen(layer):
            layer(x).sum().backward()
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert layer.weight.grad is None
    assert x.grad is not None
    assert layer.weight.requires_grad
    assert not layer.bias.requires_grad


# Coverage


def test_coverage_of_a_collapsed_set():
    logits = F.one_hot(torch.tensor([0] * 50 + [1] * 46 + [2] * 4), 4).float()
    shares = class_shares(logits)
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.46, 0.04, 0.0]))
    assert classes_covered(shares) == 2  # above 4 %, not at it
    assert classes_covered(shares, 0.03) == 3
    assert class_entropy(shares) == pytest.approx(scipy.stats.entropy([0.5, 0.46, 0.04]), abs=1e-6)
    assert class_entropy(torch.full((10,), 0.1)) == pytest.approx(math.log(10), abs=1e-6)
    with pytest.raises(ValueError, match=r"logits must have shape \(N, K\) with N at least 1, got \(3,\)"):
        class_shares(torch.zeros(3))


def test_nearest_distances_are_scipys():
    x, others = randn(7, 1, 2, 2), randn(5, 1, 2, 2, seed=1)
    full = scipy.spatial.distance.cdist(x.flatten(1).numpy(), others.flatten(1).numpy())
    np.testing.assert_allclose(nearest_distances(x, others).numpy(), full.min(1))
    within = scipy.spatial.distance.cdist(x.flatten(1).numpy(), x.flatten(1).numpy())
    np.fill_diagonal(within, np.inf)
    np.testing.assert_allclose(nearest_distances(x).numpy(), within.min(1))
    with pytest.raises(ValueError, match=r"at least 2 samples to have neighbours, got 1"):
        nearest_distances(x[:1])
    with pytest.raises(ValueError, match=r"agree in all axes but the first"):
        nearest_distances(x, torch.zeros(3, 5))
