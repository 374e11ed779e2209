"""The equations of chapter 06_glow, each against something that does not come from dgm."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.stats
import torch
from torch import Tensor, nn
from torch.distributions.transforms import AffineTransform
from torch.func import jacrev
from torch.nn import functional as F

from dgm.data.toy2d import GaussianMixture
from dgm.flows import (
    ActNorm,
    Affine,
    Compose,
    ConvConditioner,
    Flow,
    FlowModel,
    InvertibleConv,
    Line,
    MaskedCoupling,
    MultiScale,
    SinhArcsinh,
    Squeeze,
    StandardNormal,
    checkerboard_mask,
    glow_images,
    glow_step,
    squeeze,
    unsqueeze,
)
from dgm.nn import seeded

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


def dense_jacobian(flow: Flow, x: Tensor) -> Tensor:
    """dz/dx at one x (1, ...), by autograd: (D, D)."""
    return jacrev(lambda one: flow(one[None])[0].flatten())(x[0]).reshape(x.numel(), x.numel())


# Masks


class Recorded(nn.Module):
    """A conditioner that keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = ConvConditioner(1, 1, 2, 4)

    def forward(self, kept: Tensor) -> Tensor:
        self.seen = kept.detach()
        return self.inner(kept)


@pytest.mark.equation("glow-masked")
def test_masked_coupling_is_the_equation_entry_by_entry():
    coupling = perturbed(lambda: MaskedCoupling(checkerboard_mask(3, 4), Affine(clip=50.0), Recorded()))
    x = randn(1, 1, 3, 4)
    z, logdet = coupling(x)
    seen = coupling.conditioner.seen.clone()
    s, t = coupling.conditioner.inner(seen).detach()[
        0, :, 0
    ]  # each (3, 4); a clip of 50 leaves s nearly free
    expected, total = np.zeros((3, 4)), 0.0
    for h in range(3):
        for w in range(4):
            kept = (h + w) % 2 == 0
            assert seen[0, 0, h, w] == (x[0, 0, h, w] if kept else 0)
            log_scale = 50 * math.tanh(s[h, w].item() / 50)
            change = x[0, 0, h, w].item() * math.exp(log_scale) + t[h, w].item()
            expected[h, w] = x[0, 0, h, w] if kept else change
            total += 0.0 if kept else log_scale
    np.testing.assert_allclose(z[0, 0].detach(), expected, rtol=1e-12)
    assert logdet.item() == pytest.approx(total, rel=1e-12)
    # The kept entries first, the Jacobian is triangular, and its determinant the one that is claimed.
    kept = checkerboard_mask(3, 4).flatten()
    order = torch.cat([kept.nonzero()[:, 0], (~kept).nonzero()[:, 0]])
    jacobian = dense_jacobian(coupling, x).detach()[order][:, order]
    assert torch.equal(jacobian, jacobian.tril())
    assert torch.equal(jacobian[:6, :6], torch.eye(6, dtype=F64))
    assert jacobian[6:, :6].abs().max() > 0.01
    assert logdet.item() == pytest.approx(np.linalg.slogdet(jacobian.numpy())[1], rel=1e-9)
    # And back, though s and t are computed from z.
    torch.testing.assert_close(coupling.inverse(z)[0], x, rtol=1e-12, atol=1e-12)


@pytest.mark.equation("glow-checkerboard")
def test_checkerboard_keeps_all_neighbours_of_a_changed_pixel():
    height, width = 5, 6
    mask = checkerboard_mask(height, width)[0].numpy()
    rows, columns = np.indices((height, width))
    assert np.array_equal(mask, (rows + columns) % 2 == 0)
    assert mask[0, 0]
    for h, w in zip(*np.nonzero(~mask), strict=True):
        near = [(h - 1, w), (h + 1, w), (h, w - 1), (h, w + 1)]
        assert all(mask[a, b] for a, b in near if 0 <= a < height and 0 <= b < width)
    assert np.array_equal(checkerboard_mask(height, width, swap=True)[0].numpy(), ~mask)


# Squeeze and scales


@pytest.mark.equation("glow-squeeze")
def test_squeeze_puts_every_pixel_where_the_equation_says():
    x = randn(2, 3, 4, 6)
    z = squeeze(x)
    assert z.shape == (2, 12, 2, 3)
    for c in range(3):
        for i in range(2):
            for j in range(2):
                for h in range(2):
                    for w in range(3):
                        assert torch.equal(z[:, 4 * c + 2 * i + j, h, w], x[:, c, 2 * h + i, 2 * w + j])
    assert torch.equal(unsqueeze(z), x)
    jacobian = dense_jacobian(Squeeze(), x[:1]).numpy()
    assert np.array_equal(np.sort(jacobian, axis=1)[:, -1], np.ones(72))  # one 1 in each row
    assert jacobian.sum() == 72
    assert abs(np.linalg.det(jacobian)) == pytest.approx(1)
    assert Squeeze()(x)[1].tolist() == [0, 0]


def two_levels() -> MultiScale:
    """Two levels of Glow steps on a 1x4x4 image, away from their start."""
    return perturbed(lambda: glow_images((1, 4, 4), 2, 2, 4)).flow


@pytest.mark.equation("glow-multiscale")
def test_first_half_of_the_channels_leaves_after_each_level():
    flow, x = two_levels(), randn(5, 1, 4, 4)
    z, _ = flow(x)
    first, second = flow.levels
    passed = first(x)[0].detach().numpy()  # (5, 4, 2, 2)
    left, stays = passed[:, :2], passed[:, 2:]
    np.testing.assert_allclose(z[:, :8].detach(), left.reshape(5, 8), rtol=1e-12)
    np.testing.assert_allclose(
        z[:, 8:].detach(), second(torch.as_tensor(stays))[0].detach().reshape(5, 8), rtol=1e-12
    )
    # What has left does not know the second level; what stays does.
    before = z.detach().clone()
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.add_(0.1)
    after = flow(x)[0].detach()
    assert torch.equal(after[:, :8], before[:, :8])
    assert (after[:, 8:] - before[:, 8:]).abs().amin(0).min() > 0
    torch.testing.assert_close(flow.inverse(after)[0], x, rtol=1e-9, atol=1e-9)


@pytest.mark.equation("glow-multiscale-logprob")
def test_log_likelihood_is_a_sum_over_scales():
    flow, x = two_levels(), randn(1, 1, 4, 4)
    model = FlowModel(StandardNormal(16), flow).double()
    first, second = flow.levels
    h = first(x)[0].detach()
    z1, stays = h.chunk(2, dim=1)
    z2 = second(stays)[0].detach()
    scales = 0.0
    for z, level, entered in ((z1, first, x), (z2, second, stays)):
        scales += scipy.stats.norm.logpdf(z.numpy()).sum()
        scales += np.linalg.slogdet(dense_jacobian(level, entered).detach().numpy())[1]
    assert model.log_prob(x).item() == pytest.approx(scales, rel=1e-9)


@pytest.mark.equation("glow-multiscale-logprob")
def test_with_linear_levels_the_likelihood_is_a_gaussian():
    # ActNorm and 1x1 convolutions alone: z = A x + b, hence x ~ N(-A^-1 b, (A^T A)^-1).
    def level(channels: int) -> Flow:
        return Compose(Squeeze(), ActNorm(channels), InvertibleConv(channels))

    flow = perturbed(lambda: MultiScale((1, 4, 4), [level(4), level(8)]))
    model = FlowModel(StandardNormal(16), flow).double()
    with torch.no_grad():
        offset = flow(torch.zeros(1, 1, 4, 4, dtype=F64))[0][0].numpy()
        matrix = flow(torch.eye(16, dtype=F64).reshape(16, 1, 4, 4))[0].numpy().T - offset[:, None]
        x = randn(6, 1, 4, 4)
        log_p = model.log_prob(x).numpy()
    mean = -np.linalg.solve(matrix, offset)
    exact = scipy.stats.multivariate_normal(mean, np.linalg.inv(matrix.T @ matrix)).logpdf(x.flatten(1))
    np.testing.assert_allclose(log_p, exact, rtol=1e-9)


# ActNorm


@pytest.mark.equation("glow-actnorm")
def test_actnorm_is_an_affine_map_per_channel():
    norm, x = perturbed(lambda: ActNorm(3)), randn(4, 3, 2, 5)
    z, logdet = norm(x)
    scale, shift = norm.log_scale.exp()[:, None, None], norm.shift[:, None, None]
    transform = AffineTransform(shift.expand(3, 2, 5), scale.expand(3, 2, 5), event_dim=3)
    torch.testing.assert_close(z, transform(x))
    torch.testing.assert_close(logdet, transform.log_abs_det_jacobian(x, z).expand(4))
    dense = np.linalg.slogdet(dense_jacobian(norm, x[:1]).detach().numpy())[1]
    assert abs(dense) > 0.1
    assert logdet[0].item() == pytest.approx(dense, rel=1e-9)


@pytest.mark.equation("glow-actnorm-start")
def test_actnorm_starts_from_mean_and_standard_deviation_of_the_first_batch():
    first = torch.tensor([3.0, 0.2, 40.0], dtype=F64)[:, None, None] * randn(6, 3, 4, 2) + 5
    later = randn(6, 3, 4, 2, seed=1)
    norm = ActNorm(3).double().train()
    z = norm(first)[0].detach()
    for c in range(3):
        scores = scipy.stats.zscore(first[:, c].numpy(), axis=None, ddof=0)
        np.testing.assert_allclose(z[:, c], scores, rtol=1e-9, atol=1e-12)
        mean, std = np.mean(first[:, c].numpy()), np.std(first[:, c].numpy())
        assert norm.log_scale[c].item() == pytest.approx(-math.log(std), rel=1e-9)
        assert norm.shift[c].item() == pytest.approx(-mean / std, rel=1e-9)
        # A later batch passes the same map; it does not start anything.
        np.testing.assert_allclose(norm(later)[0].detach()[:, c], (later[:, c] - mean) / std, rtol=1e-9)


@pytest.mark.equation("glow-actnorm-start")
def test_a_started_flow_does_not_know_the_unit_of_its_data():
    x = randn(50, 1, 4, 4) + 2
    values = []
    for unit in (1.0, 0.01, 300.0):
        with seeded(0):
            model = glow_images((1, 4, 4), 2, 2, 4).double().train()
        values.append(model.log_prob(unit * x).detach() + 16 * math.log(unit))
    torch.testing.assert_close(values[1], values[0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(values[2], values[0], rtol=1e-9, atol=1e-9)


# The 1x1 convolution


@pytest.mark.equation("glow-conv")
def test_1x1_convolution_counts_its_determinant_once_for_every_pixel():
    conv, x = perturbed(lambda: InvertibleConv(3)), randn(2, 3, 2, 4)
    z, logdet = conv(x)
    weight = conv.weight().detach()
    torch.testing.assert_close(z, F.conv2d(x, weight[:, :, None, None]))
    for h in range(2):
        for w in range(4):
            np.testing.assert_allclose(z[0, :, h, w].detach(), weight.numpy() @ x[0, :, h, w].numpy())
    of_weight = np.linalg.slogdet(weight.numpy())[1]
    of_layer = np.linalg.slogdet(dense_jacobian(conv, x[:1]).detach().numpy())[1]
    assert abs(of_weight) > 0.01
    assert of_layer == pytest.approx(2 * 4 * of_weight, rel=1e-9)
    np.testing.assert_allclose(logdet.detach(), [of_layer] * 2, rtol=1e-9)


@pytest.mark.equation("glow-lu")
def test_weight_is_the_product_of_its_factors():
    # A fresh convolution holds scipy's factors of its weight; a perturbed one those of Gaussian elimination.
    with seeded(2):
        fresh = InvertibleConv(5).double()
    permutation, lower, upper = scipy.linalg.lu(fresh.weight().detach().numpy())
    ours = [factor.detach().numpy() for factor in fresh.factors()]
    np.testing.assert_allclose(fresh.permutation.numpy(), permutation)
    np.testing.assert_allclose(ours[0], lower, atol=1e-6)  # built in float32
    np.testing.assert_allclose(ours[1], upper, atol=1e-6)

    conv = perturbed(lambda: InvertibleConv(5))
    rest = conv.permutation.numpy().T @ conv.weight().detach().numpy()  # L (U + diag)
    minors = [np.linalg.det(rest[:k, :k]) for k in range(6)]
    pivots = [minors[k + 1] / minors[k] for k in range(5)]  # of elimination without exchanges
    np.testing.assert_allclose(conv.sign * conv.log_diagonal.detach().exp(), pivots, rtol=1e-9)
    eliminated = rest.copy()
    for k in range(5):
        for row in range(k + 1, 5):
            factor = eliminated[row, k] / eliminated[k, k]
            assert factor == pytest.approx(conv.factors()[0][row, k].item(), rel=1e-9)
            eliminated[row] -= factor * eliminated[k]
    np.testing.assert_allclose(np.triu(eliminated), conv.factors()[1].detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.equation("glow-lu-logdet")
@pytest.mark.parametrize("channels", [1, 2, 6, 24])
def test_log_determinant_is_a_sum_of_the_diagonal(channels):
    conv = perturbed(lambda: InvertibleConv(channels), 0.1)
    weight = conv.weight().detach().numpy()
    _, claimed = conv(torch.zeros(1, channels, dtype=F64))  # a vector: one pixel
    assert claimed.item() == pytest.approx(np.linalg.slogdet(weight)[1], rel=1e-8, abs=1e-10)
    assert claimed.item() == pytest.approx(conv.log_diagonal.sum().item(), rel=1e-12)
    assert abs(claimed.item()) > 1e-3
    assert abs(np.linalg.det(conv.permutation.numpy())) == pytest.approx(1)
    (slope,) = torch.autograd.grad(claimed.sum(), conv.log_diagonal)
    assert torch.equal(slope, torch.ones_like(slope))


# Temperature and mixtures


def tempered_log_prob(model: FlowModel, x: Tensor, temperature: float) -> Tensor:
    """Equation (glow-temperature) from what the model says: (B,) nats."""
    z, _ = model.flow(x)
    dims = z[0].numel()
    shift = 0.5 * (1 - temperature**-2) * z.square().flatten(1).sum(1) - dims * math.log(temperature)
    return model.log_prob(x) + shift


@torch.no_grad()
@pytest.mark.equation("glow-temperature")
@pytest.mark.parametrize("temperature", [0.6, 1.3])
def test_samples_at_a_temperature_have_the_density_of_the_equation(temperature):
    flow = perturbed(lambda: Compose(Line(0.3, 0.5), SinhArcsinh(0.5, 0.8)), 0.0)  # not constant slope
    model = FlowModel(StandardNormal(1), flow).double()

    def density(x: float) -> float:
        return tempered_log_prob(model, torch.tensor([[x]], dtype=F64), temperature).exp().item()

    total = scipy.integrate.quad(density, -40, 40, limit=400, points=[-2, 0, 2])[0]
    assert total == pytest.approx(1, abs=1e-6)
    draws = model.sample(40_000, rng(4), temperature).numpy()[:, 0]
    for edge in (-1.5, -0.5, 0.2, 1.0):
        share = scipy.integrate.quad(density, -40, edge, limit=400)[0]
        error = math.sqrt(share * (1 - share) / len(draws))
        assert abs((draws < edge).mean() - share) < 4 * error


@torch.no_grad()
@pytest.mark.equation("glow-temperature")
def test_cooling_a_flow_of_constant_determinant_sharpens_its_density():
    temperature = 0.7
    model = FlowModel(StandardNormal(1), Line(0.4, -0.7)).double()  # x ~ N(0.7 e^-0.4, e^-0.8)
    grid = np.linspace(-6, 8, 4001)
    x = torch.as_tensor(grid)[:, None]
    powered = scipy.stats.norm.pdf(grid, 0.7 * math.exp(-0.4), math.exp(-0.4)) ** (1 / temperature**2)
    powered /= scipy.integrate.trapezoid(powered, grid)
    inside = powered > 1e-12
    tempered = tempered_log_prob(model, x, temperature).exp().numpy()
    np.testing.assert_allclose(tempered[inside], powered[inside], rtol=1e-6)
    draws = model.sample(20_000, rng(5), temperature).numpy()[:, 0]
    cooled = scipy.stats.norm(0.7 * math.exp(-0.4), temperature * math.exp(-0.4))
    assert scipy.stats.kstest(draws, cooled.cdf).pvalue > 1e-3
    # Not so where the determinant varies.
    bent = FlowModel(StandardNormal(1), SinhArcsinh(0.5, 0.6)).double()
    excess = tempered_log_prob(bent, x, temperature) - bent.log_prob(x) / temperature**2
    assert (excess.max() - excess.min()) > 0.1


@pytest.mark.equation("glow-mixture")
def test_noise_in_a_mixture_costs_at_most_the_log_of_its_share():
    share, parts = 0.01, [(0.0, 0.0), (0.5, 0.3)]
    alone = GaussianMixture(parts[:1], [0.4])
    draws = alone.sample(2000, rng(6)).double()
    for far in (0.0, 2.0, 100.0):  # how far the noise lies from the model
        noise = (0.5 + far, 0.3)
        mixed = GaussianMixture([parts[0], noise], [0.4, 1.5], [share, 1 - share])
        loss = alone.log_prob(draws) - mixed.log_prob(draws)  # (2000,) nats
        assert loss.max() <= math.log(1 / share) + 1e-9
        if far == 100.0:  # noise that never looks like the data costs all of it
            torch.testing.assert_close(loss, torch.full_like(loss, math.log(100)))
        elif far == 0.0:
            assert loss.mean() < math.log(1 / share) - 0.5  # and noise near the data less


@torch.no_grad()
@pytest.mark.equation("glow-mixture")
def test_the_bound_holds_for_a_flow_and_its_mixture_is_a_density():
    share = 0.01
    model = perturbed(lambda: FlowModel(StandardNormal(16), Compose(Squeeze(), glow_step(4, 4), Flat())), 0.2)
    x = model.sample(200, rng(7))
    good = model.log_prob(x).numpy()
    noise = scipy.stats.uniform(-20, 40).logpdf(x.flatten(1).numpy()).sum(1)
    mixed = np.log(share * np.exp(good) + (1 - share) * np.exp(noise))
    assert np.isfinite(mixed).all()
    assert (mixed >= good - math.log(100) - 1e-9).all()
    assert (mixed - good).mean() == pytest.approx(-math.log(100), abs=1e-3)  # 40^-16 is next to nothing


class Flat(Flow):
    """(B, 4, 2, 2) as vectors (B, 16)."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.flatten(1), x.new_zeros(len(x))

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z.reshape(len(z), 4, 2, 2), z.new_zeros(len(z))
