"""dgm.flows: every log-determinant against autograd's Jacobian, densities that integrate to one, bounds."""

import math

import pytest
import torch
from torch import Tensor
from torch.func import jacrev, vmap
from torch.nn import functional as F

from dgm.flows import (
    ActNorm,
    Additive,
    Affine,
    Compose,
    ConvConditioner,
    Coupling,
    Elementwise,
    Flatten,
    Flow,
    FlowModel,
    Halves,
    Inverse,
    InvertibleConv,
    Line,
    Logit,
    MaskedCoupling,
    MLPConditioner,
    MultiScale,
    PiecewiseLinear,
    RationalQuadratic,
    RealNVP,
    Reverse,
    Rotation,
    SinhArcsinh,
    Squeeze,
    StandardNormal,
    Subset,
    UnitCube,
    VariationalNoise,
    bin_flow,
    channel_mask,
    checkerboard_mask,
    dequantise,
    dequantised_log_prob,
    glow_images,
    halving_masks,
    mixed_couplings,
    mlp_coupling,
    piecewise_linear,
    piecewise_linear_inverse,
    quantise,
    rational_quadratic,
    rational_quadratic_inverse,
    realnvp_images,
    scattered_masks,
    soft_clip,
    spline_knots,
    squeeze,
    tightened,
    uniform_noise,
    unsqueeze,
)
from dgm.nn import seeded

F64 = torch.float64


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=rng(seed), dtype=F64)


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=rng(seed), dtype=F64)


@torch.no_grad()
def perturbed(build, scale: float = 0.3, seed: int = 1):
    """A module in float64 and eval mode whose parameters are away from their starts."""
    with seeded(seed):
        module = build().double().eval()
    for i, parameter in enumerate(module.parameters()):
        parameter.add_(scale * randn(*parameter.shape, seed=100 + i))
    return module


def conv_coupling(mask: Tensor, channels: int = 2) -> MaskedCoupling:
    return MaskedCoupling(mask, Affine(), ConvConditioner(channels, channels, 2, 5))


PATTERN = torch.tensor([True, False, False, True, False])
# name: (builder, points)
FLOWS = {
    "additive": (lambda: mlp_coupling(Halves(5), Additive(), (6,)), randn(4, 5)),
    "affine": (lambda: mlp_coupling(Halves(5), Affine(), (6,)), randn(4, 5)),
    "affine, swapped": (lambda: mlp_coupling(Halves(5, swap=True), Affine(), (6,)), randn(4, 5)),
    "affine on a subset": (lambda: mlp_coupling(Subset(PATTERN), Affine(), (6,)), randn(4, 5)),
    "channels of an image": (
        lambda: Coupling(Halves(3), Affine(), ConvConditioner(1, 2, 2, 5)),
        randn(3, 3, 2, 2),
    ),
    "checkerboard": (lambda: conv_coupling(checkerboard_mask(3, 4)), randn(3, 2, 3, 4)),
    "channel mask": (lambda: conv_coupling(channel_mask(2)), randn(3, 2, 3, 4)),
    "spline": (
        lambda: mlp_coupling(Halves(4), RationalQuadratic(5, 2.0), (6,), start=3.0),
        1.5 * randn(8, 4),
    ),
    "spline, no network": (lambda: Elementwise(3, RationalQuadratic(4, 2.0), 1.0), 1.5 * randn(8, 3)),
    "bins": (lambda: mlp_coupling(Halves(4), PiecewiseLinear(5), (6,), start=3.0), rand(8, 4)),
    "bins of images": (
        lambda: MaskedCoupling(checkerboard_mask(2, 3), PiecewiseLinear(4), ConvConditioner(2, 2, 4, 5)),
        rand(3, 2, 2, 3),
    ),
    "bin flow": (lambda: bin_flow((1, 2, 4), 3, (6,)).flow, rand(4, 1, 2, 4)),
    "ActNorm": (lambda: ActNorm(3), randn(4, 3)),
    "ActNorm of images": (lambda: ActNorm(2), randn(4, 2, 3, 2)),
    "1x1 convolution of vectors": (lambda: InvertibleConv(4), randn(4, 4)),
    "1x1 convolution": (lambda: InvertibleConv(3), randn(4, 3, 2, 3)),
    "rotation": (lambda: Rotation(2), randn(4, 2)),
    "rotation in 4-D": (lambda: Rotation(4), randn(4, 4)),
    "rotation of images": (lambda: Rotation(3), randn(4, 3, 2, 1)),
    "reverse": (Reverse, randn(4, 3)),
    "squeeze": (Squeeze, randn(3, 1, 4, 2)),
    "flatten": (lambda: Flatten((1, 2, 3)), randn(4, 1, 2, 3)),
    "logit": (lambda: Logit(0.05), rand(4, 3)),
    "line": (lambda: Line(0.4, -0.7), randn(5, 1)),
    "sinh-arcsinh": (lambda: SinhArcsinh(0.5, 0.7), 3 * randn(7, 1)),
    "inverse": (lambda: Inverse(RealNVP(4, 2, (6,))), randn(4, 4)),
    "RealNVP": (lambda: RealNVP(4, 4, (6,)), randn(4, 4)),
    "RealNVP, odd": (lambda: RealNVP(5, 3, (6,)), randn(4, 5)),
    "RealNVP of splines": (
        lambda: RealNVP(4, 3, (6,), transform=RationalQuadratic(4, 2.0)),
        randn(4, 4),
    ),
    "mixed couplings": (lambda: mixed_couplings(3, 3, hidden=(6,)).flow, randn(4, 3)),
    "RealNVP of images": (lambda: realnvp_images((1, 4, 4), 5).flow, randn(3, 1, 4, 4)),
    "Glow": (lambda: glow_images((1, 4, 4), 2, 2, 5).flow, randn(3, 1, 4, 4)),
}
KEEPS_ENTRIES = {"squeeze", "flatten", "reverse"}  # move entries at most


@pytest.fixture(params=FLOWS, ids=lambda name: name.replace(" ", "-"))
def case(request) -> tuple[str, Flow, Tensor]:
    build, x = FLOWS[request.param]
    return request.param, perturbed(build), x


def dense_logdet(function, x: Tensor) -> Tensor:
    """log |det| of the Jacobian of a map of batches, by autograd, one matrix per example: (B,)."""
    jacobian = vmap(jacrev(lambda one: function(one[None])[0].flatten()))(x)  # (B, D, *shape)
    return torch.linalg.slogdet(jacobian.flatten(2)).logabsdet


def test_log_determinants_are_those_of_the_jacobian(case):
    name, flow, x = case
    z, logdet = flow(x)
    assert logdet.shape == (len(x),)
    assert z.numel() == x.numel()
    if name not in KEEPS_ENTRIES:
        assert (z.flatten(1) - x.flatten(1)).abs().max() > 0.05  # the identity would prove nothing
        assert name in ("additive",) or "rotation" in name or logdet.abs().min() > 1e-3
    torch.testing.assert_close(logdet, dense_logdet(flow, x), rtol=1e-9, atol=1e-9)
    # The inverse, at points of its own, not at images of x.
    z = z[torch.randperm(len(z), generator=rng(3))] * 0.9 + (0.02 if name.startswith("bin") else 0)
    back, inverse_logdet = flow.inverse(z)
    assert back.shape == x.shape
    assert inverse_logdet.shape == (len(x),)
    torch.testing.assert_close(inverse_logdet, dense_logdet(flow.inverse, z), rtol=1e-8, atol=1e-8)


def test_inverse_goes_back(case):
    _, flow, x = case
    z, logdet = flow(x)
    back, inverse_logdet = flow.inverse(z)
    torch.testing.assert_close(back, x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(inverse_logdet, -logdet, rtol=1e-8, atol=1e-8)


def test_examples_do_not_mix_and_arguments_are_not_changed(case):
    _, flow, x = case
    before = x.clone()
    z, logdet = flow(x)
    flow.inverse(z)
    assert torch.equal(x, before)
    for i in range(len(x)):
        z_i, logdet_i = flow(x[i : i + 1])
        torch.testing.assert_close(z_i[0], z[i], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(logdet_i[0], logdet[i], rtol=1e-10, atol=1e-10)


def test_every_parameter_gets_a_gradient(case):
    _, flow, x = case
    flow.train()
    flow(x)  # starts ActNorm
    z, logdet = flow(x + 0.01 * x.square())
    if not list(flow.parameters()):
        return
    weights = randn(*z.shape, seed=5)
    ((weights * z).sum() + logdet.sum()).backward()
    for name, parameter in flow.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_a_fresh_coupling_is_the_identity_and_still_learns():
    flow, x = RealNVP(4, 4, (6,)).double(), randn(5, 4)
    z, logdet = flow(x)
    torch.testing.assert_close(z, x)
    assert logdet.abs().max() == 0
    z.square().sum().backward()
    # A zero last layer passes nothing down at the first step; it itself moves.
    last = [c.conditioner.layers[-1] for c in flow.couplings]
    assert all(layer.weight.grad.abs().max() > 0 for layer in last)


# Densities


def grid_mass(model: FlowModel, reach: float, side: int) -> float:
    axis = torch.linspace(-reach, reach, side, dtype=F64)
    points = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        density = torch.cat([model.log_prob(part).exp() for part in points.split(40_000)])
    return density.sum().item() * (2 * reach / (side - 1)) ** 2


@pytest.mark.parametrize(
    "build",
    [
        lambda: mixed_couplings(2, 3, hidden=(8,)),
        lambda: mixed_couplings(2, 2, RationalQuadratic(6, 3.0), (8,)),
        lambda: FlowModel(StandardNormal(2), RealNVP(2, 4, (8,), activation="tanh")),
        lambda: FlowModel(StandardNormal(2), Compose(InvertibleConv(2), ActNorm(2))),
    ],
    ids=["affine", "spline", "RealNVP", "linear"],
)
def test_density_in_the_plane_integrates_to_one(build):
    model = perturbed(build, 0.2)
    assert (model.flow(randn(50, 2))[1]).abs().max() > 0.05
    # 1000 points a side: the spline's kinks leave 4e-4 at 500, 5e-5 here
    assert grid_mass(model, 12.0, 1000) == pytest.approx(1, abs=2e-4)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Line(0.4, 0.3),
        lambda: SinhArcsinh(0.5, 0.8),
        lambda: Elementwise(1, RationalQuadratic(6, 3.0), 1.0),
        lambda: Compose(
            Line(0.2, 0.1), Elementwise(1, RationalQuadratic(6, 3.0), 1.0), SinhArcsinh(-0.3, 0.9)
        ),
    ],
    ids=["line", "sinh-arcsinh", "spline", "all"],
)
def test_density_on_the_line_integrates_to_one_and_is_the_one_of_its_samples(build):
    model = FlowModel(StandardNormal(1), perturbed(build, 0.1)).double()
    x = torch.linspace(-60, 60, 120_001, dtype=F64)[:, None]
    density = model.log_prob(x).exp().detach()
    assert density.sum().item() * 1e-3 == pytest.approx(1, abs=1e-4)
    draws = model.sample(40_000, rng(2))
    mean = (density * x[:, 0]).sum() * 1e-3
    share = density[x[:, 0] > mean + 0.3].sum() * 1e-3  # of mass to the right of a point
    deviation = ((draws > mean + 0.3).double().mean() - share) / (share * (1 - share) / 40_000).sqrt()
    assert abs(deviation) < 4
    assert abs((draws.mean() - mean) / (draws.std() / 200)) < 4


def test_line_is_a_gaussian():
    model = FlowModel(StandardNormal(1), Line(0.4, -0.7)).double()
    x = randn(6, 1)
    exact = torch.distributions.Normal(0.7 * math.exp(-0.4), math.exp(-0.4)).log_prob(x)[:, 0]
    torch.testing.assert_close(model.log_prob(x), exact, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(model(x), model.log_prob(x))


def test_sinh_arcsinh_leans_and_has_tails_as_said():
    right = FlowModel(StandardNormal(1), SinhArcsinh(0.6, 1.0)).double().sample(20_000, rng(0))
    assert (right - right.mean()).pow(3).mean() > 0.5
    heavy = FlowModel(StandardNormal(1), SinhArcsinh(0.0, 0.6)).double().sample(20_000, rng(0))
    assert ((heavy / heavy.std()) ** 4).mean() > 4  # 3 for a Gaussian
    with pytest.raises(ValueError, match="tail must be positive, got 0"):
        SinhArcsinh(0.0, 0.0)


def test_bases():
    normal, cube = StandardNormal(2, 3).double(), UnitCube(4).double()
    z = randn(5, 2, 3)
    exact = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum((1, 2))
    torch.testing.assert_close(normal.log_prob(z), exact)
    assert normal.sample(7, rng()).shape == (7, 2, 3)
    torch.testing.assert_close(normal.sample(7, rng(), 0.5), 0.5 * normal.sample(7, rng()))
    assert torch.equal(normal.sample(3, rng(1)), normal.sample(3, rng(1)))
    assert cube.sample(7, rng()).shape == (7, 4)
    inside, outside = rand(2, 4), torch.tensor([[0.5, 1.2, 0.1, 0.3], [-0.1, 0.2, 0.3, 0.4]], dtype=F64)
    assert torch.equal(cube.log_prob(inside), torch.zeros(2, dtype=F64))
    assert torch.equal(cube.log_prob(outside), torch.full((2,), -math.inf, dtype=F64))
    corners = torch.tensor([[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.5, 0.0]], dtype=F64)
    assert torch.equal(cube.log_prob(corners), torch.zeros(2, dtype=F64))  # grey level 0 lies on the border
    assert not normal.state_dict()  # a base has nothing to be stored beside what the flow has learnt
    assert not cube.state_dict()
    middle = cube.sample(100, rng(), 0.2)
    assert 0.4 <= middle.min() <= middle.max() <= 0.6
    with torch.no_grad():
        flow = perturbed(lambda: RealNVP(2, 2, (4,)))
        model = FlowModel(StandardNormal(2).double(), flow)
        torch.testing.assert_close(
            model.sample(2, rng(), temperature=0.0), flow.inverse(torch.zeros(2, 2, dtype=F64))[0]
        )


def test_compose_applies_in_order_and_shows_its_steps():
    flow = perturbed(lambda: Compose(Line(0.3, 1.0), SinhArcsinh(0.2, 0.8), Line(-0.4, 0.1)))
    x = randn(4, 1)
    by_hand = x
    for part in flow:
        by_hand, _ = part(by_hand)
    z, _ = flow(x)
    torch.testing.assert_close(z, by_hand)
    path = list(flow.forward_path(x))
    assert len(path) == len(flow) + 1 == 4
    assert torch.equal(path[0], x)
    assert torch.equal(path[-1], z)
    back = list(flow.inverse_path(z))
    for there, here in zip(path, reversed(back), strict=True):
        torch.testing.assert_close(there, here)


def test_a_flow_must_define_both_directions():
    with pytest.raises(NotImplementedError, match=r"Flow must define forward\(x\)"):
        Flow()(randn(2, 2))
    with pytest.raises(NotImplementedError, match=r"Flow must define inverse\(z\)"):
        Flow().inverse(randn(2, 2))


# Couplings


def test_realnvp_is_its_couplings_one_after_another():
    for layers, features in ((4, 6), (3, 5)):
        fast = perturbed(lambda layers=layers, features=features: RealNVP(features, layers, (6,)))
        plain, x = Compose(*fast.couplings), randn(5, features)
        for a, b in zip((*fast(x), *fast.inverse(x)), (*plain(x), *plain.inverse(x)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
        assert (fast(x)[0] - x).abs().amin(0).max() > 1e-3  # both halves move
        assert (fast(x)[0] - x).abs().amax(0).min() > 1e-3


def test_without_alternation_one_half_never_changes():
    flow = perturbed(lambda: Compose(*(mlp_coupling(Halves(4), Affine(), (6,)) for _ in range(3))))
    z, _ = flow(randn(5, 4))
    assert torch.equal(z[:, :2], randn(5, 4)[:, :2])


def test_affine_and_additive_by_hand():
    x, params = torch.tensor([[2.0, -1.0]]), torch.tensor([[[0.5, 9.0], [3.0, 0.0]]])
    z, s = Affine(clip=2.0).forward(x, params)
    expected = [2 * math.tanh(0.25), 2 * math.tanh(4.5)]
    torch.testing.assert_close(s, torch.tensor([expected]))
    torch.testing.assert_close(z, torch.tensor([[2 * math.exp(expected[0]) + 3, -math.exp(expected[1])]]))
    z, s = Additive().forward(x, params[:, 1:])
    assert z.tolist() == [[5.0, -1.0]]
    assert s.tolist() == [[0.0, 0.0]]


def test_soft_clip_is_the_identity_near_zero_and_bounded():
    s = torch.tensor([0.0, 0.01, -0.01, 50.0, -50.0], dtype=F64)
    torch.testing.assert_close(soft_clip(s, 2.0)[:3], s[:3], rtol=1e-4, atol=0)
    torch.testing.assert_close(soft_clip(s, 2.0)[3:], torch.tensor([2.0, -2.0], dtype=F64))


def test_masks_by_hand():
    t, f = True, False
    assert checkerboard_mask(3, 4).tolist() == [[[t, f, t, f], [f, t, f, t], [t, f, t, f]]]
    assert checkerboard_mask(2, 2, swap=True).tolist() == [[[f, t], [t, f]]]
    assert channel_mask(4).flatten().tolist() == [t, t, f, f]
    assert channel_mask(3, swap=True).flatten().tolist() == [f, t, t]
    assert channel_mask(4).shape == (4, 1, 1)
    assert halving_masks(4, 1)[2].flatten().tolist() == [t, f, t, f]
    assert not Subset(PATTERN).state_dict()  # the mask says it all
    six = halving_masks(2, 4)
    assert [m.int().flatten().tolist() for m in six] == [
        [1, 0, 1, 0, 0, 1, 0, 1],
        [0, 1, 0, 1, 1, 0, 1, 0],
        [1, 1, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 1, 1, 1],
        [1, 0, 1, 0, 1, 0, 1, 0],
        [0, 1, 0, 1, 0, 1, 0, 1],
    ]


def test_scattered_masks_change_every_pixel_once_from_fine_to_coarse():
    masks = scattered_masks(4, 4, 16)
    changed = [tuple((~m[0]).nonzero()[0].tolist()) for m in masks]
    assert changed[-4:] == [(2, 0), (0, 2), (2, 2), (0, 0)]  # the last ones: a grid of every second pixel
    for height, width, groups in ((8, 8, 8), (5, 6, 4), (4, 8, 2), (4, 5, 4), (5, 4, 4)):
        masks = scattered_masks(height, width, groups)
        assert len(masks) == groups
        assert torch.stack([~m for m in masks]).sum(0).tolist() == [[[1] * width] * height]
        for mask in masks[: groups // 2]:  # all four neighbours are kept
            rows, columns = (~mask[0]).nonzero().T
            for row, column in ((rows + 1, columns), (rows, columns + 1)):
                inside = (row < height) & (column < width)
                assert mask[0, row[inside], column[inside]].all()
    assert torch.equal(scattered_masks(8, 8, 2)[0], checkerboard_mask(8, 8))
    with pytest.raises(ValueError, match=r"got 3 groups of 8 x 8 pixels; halving_masks takes any size"):
        scattered_masks(8, 8, 3)
    with seeded(0):
        model = bin_flow((1, 4, 4), 3, (5,), masks=scattered_masks(4, 4, 4))
    x = torch.rand(3, 1, 4, 4, generator=rng())
    torch.testing.assert_close(model.flow.inverse(model.flow(x)[0])[0], x)
    assert len(list(model.flow)) == 5


def test_kept_entries_are_kept_and_the_others_are_not():
    mask = checkerboard_mask(4, 4)
    x = randn(6, 2, 4, 4)
    z, _ = perturbed(lambda: conv_coupling(mask))(x)
    same = (z == x).all(0)  # (C, H, W)
    assert torch.equal(same, mask.expand(2, 4, 4))
    x = randn(6, 5)
    z, _ = perturbed(lambda: mlp_coupling(Subset(PATTERN), Affine(), (6,)))(x)
    assert torch.equal((z == x).all(0), PATTERN)
    for swap in (False, True):
        z, _ = perturbed(lambda swap=swap: mlp_coupling(Halves(5, swap), Affine(), (6,)))(x)
        assert (z == x).all(0).tolist() == [not swap, not swap, swap, swap, swap]


def test_conditioners_write_parameter_by_parameter():
    mlp = perturbed(lambda: MLPConditioner(3, 4, 2, (5,)))
    x = randn(6, 3)
    raw = mlp.layers(x)  # (B, P outputs)
    torch.testing.assert_close(mlp(x)[:, 1], raw[:, 4:])
    conv = perturbed(lambda: ConvConditioner(3, 4, 2, 5, dropout=0.1))
    x = randn(6, 3, 4, 2)
    torch.testing.assert_close(conv(x)[:, 1], conv.layers(x)[:, 4:])
    assert conv(x).shape == (6, 2, 4, 4, 2)


def test_dropout_of_a_conditioner_keeps_the_mean_and_the_share():
    with seeded(0):
        conditioner = MLPConditioner(1, 1, 1, (4000,), dropout=0.4, start=1.0)
        with torch.no_grad():  # every hidden unit is 3, every weight behind it 1
            conditioner.layers[0].weight.zero_()
            conditioner.layers[0].bias.fill_(3)
            conditioner.layers[-1].weight.fill_(1)
            conditioner.layers[-1].bias.zero_()
        total = conditioner.train()(torch.zeros(200, 1)).detach().flatten()
    kept = total / 3 * 0.6 / 4000  # the share of units that are left
    assert abs(kept.mean() - 0.6) < 4 * math.sqrt(0.24 / 800_000)
    assert kept.std().item() * math.sqrt(4000 / 0.24) == pytest.approx(1, abs=0.2)  # each unit by itself
    assert torch.equal(conditioner.eval()(torch.zeros(2, 1)).flatten(), torch.full((2,), 12_000.0))


def test_frequency_widens_the_first_layer_of_sines_only():
    def first(**options) -> Tensor:
        with seeded(0):
            return MLPConditioner(3, 2, 2, (5, 5), **options).layers[0].weight

    torch.testing.assert_close(first(activation="sine", frequency=4.0), 4 * first(activation="relu"))
    torch.testing.assert_close(first(activation="sine"), 2 * first(activation="relu"))
    assert torch.equal(first(activation="relu", frequency=4.0), first(activation="relu"))
    with seeded(0):
        deep = mixed_couplings(2, 2, frequency=3.0)
    with seeded(0):
        plain = mixed_couplings(2, 2, frequency=1.0)
    for a, b in zip(deep.parameters(), plain.parameters(), strict=True):
        if a.shape == (64, 1):
            torch.testing.assert_close(a, 3 * b)
        else:
            assert torch.equal(a, b)


def test_phases_of_a_first_layer_of_sines_cover_the_circle_once():
    with seeded(0):
        layer = MLPConditioner(1, 1, 2, (2000,), activation="sine").layers[0]
    phases = torch.cat([torch.tensor([-math.pi]), layer.bias.detach().sort().values, torch.tensor([math.pi])])
    assert phases.diff().min() >= 0  # none beyond half a turn to either side
    assert phases.diff().max() < 0.15  # and no gap of more than a fortieth of the circle


def test_wrong_shapes_and_masks_are_named():
    with pytest.raises(ValueError, match=r"x must have shape \(B, 4, ...\), got \(3, 5\)"):
        mlp_coupling(Halves(4), Affine())(torch.zeros(3, 5))
    with pytest.raises(ValueError, match=r"x must have shape \(B, 5\), got \(3, 4\)"):
        Subset(PATTERN)(torch.zeros(3, 4))
    with pytest.raises(ValueError, match="features must be at least 2, got 1"):
        Halves(1)
    with pytest.raises(ValueError, match=r"mask must be bool .* 4 of 4 entries True"):
        Subset(torch.ones(4, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"mask must be bool .* got torch.float32"):
        MaskedCoupling(torch.ones(4), Affine(), ConvConditioner(1, 1, 2))
    with pytest.raises(ValueError, match="layers must be at least 2, got 1"):
        RealNVP(4, 1)
    with pytest.raises(ValueError, match=r"x must have shape \(B, 3, ...\), got \(2, 4\)"):
        ActNorm(3)(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="channels must be at least 2, got 1"):
        Rotation(1)
    with pytest.raises(ValueError, match=r"x must have shape \(B, 1, 2, 2\), got \(3, 4\)"):
        Flatten((1, 2, 2))(torch.zeros(3, 4))
    with pytest.raises(ValueError, match="bins must lie between 2 and 999, got 1"):
        RationalQuadratic(1)
    with pytest.raises(ValueError, match=r"alpha must lie in \[0, 0.5\), got 0.5"):
        Logit(0.5)


# Splines and bins


def random_knots():
    return spline_knots(2 * randn(5, seed=1), 2 * randn(5, seed=2), 2 * randn(4, seed=3), 3.0)


def test_spline_passes_through_its_knots_with_their_slopes():
    knots = random_knots()
    assert knots.x[0] == knots.y[0] == -3
    assert knots.x[-1] == knots.y[-1] == 3
    assert knots.x.diff().min() > 0
    assert knots.y.diff().min() > 0
    assert knots.slope.min() > 0
    assert (knots.slope - 1).abs().max() > 0.3
    each = [k.expand(6, 6) for k in knots]
    y, log_slope = rational_quadratic(knots.x, type(knots)(*each))
    torch.testing.assert_close(y, knots.y)
    torch.testing.assert_close(log_slope, knots.slope.log())
    # From below too: the slope is continuous across bins.
    below = knots.x[1:] - 1e-9
    y, log_slope = rational_quadratic(below, type(knots)(*(k.expand(5, 6) for k in knots)))
    torch.testing.assert_close(y, knots.y[1:], rtol=0, atol=1e-7)
    torch.testing.assert_close(log_slope, knots.slope[1:].log(), rtol=0, atol=1e-6)


def test_spline_is_a_ratio_of_quadratics_and_its_inverse_undoes_it():
    knots = random_knots()
    x = torch.linspace(-4, 4, 801, dtype=F64)
    each = type(knots)(*(k.expand(801, 6) for k in knots))
    y, log_slope = rational_quadratic(x, each)
    assert (y - x).abs().max() > 0.3
    assert y.diff().min() > 0
    assert torch.equal(y[x.abs() > 3], x[x.abs() > 3])
    back, inverse_log_slope = rational_quadratic_inverse(y, each)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-10)
    torch.testing.assert_close(inverse_log_slope, -log_slope, rtol=0, atol=1e-9)
    # Within a bin y (c0 + c1 x + x^2) = a0 + a1 x + a2 x^2 for some numbers: five fix a sixth. Bin 2:
    inside = (knots.x[2] + (knots.x[3] - knots.x[2]) * torch.linspace(0.02, 0.98, 9, dtype=F64)).clone()
    y, _ = rational_quadratic(inside, type(knots)(*(k.expand(9, 6) for k in knots)))
    u = inside - inside.mean()
    columns = [torch.ones_like(u), u, u.square(), -y, -y * u, -y * u.square()]
    singular = torch.linalg.svdvals(torch.stack([c / c.norm() for c in columns], dim=1))
    assert singular[-1] < 1e-12 * singular[0]


@pytest.mark.parametrize("right", [1e-3, 0.1, 1.0, 10.0, 1e3])
@pytest.mark.parametrize("left", [1e-3, 1.0, 1e3])
def test_inverse_of_the_spline_keeps_its_digits_in_float32(left, right):
    ends = torch.tensor([[0.0, 1.0], [0.0, 1.0], [left, right]])
    single = type(random_knots())(*ends[:, None].expand(3, 500, 2))
    double = type(single)(*(k.double() for k in single))
    y = rational_quadratic(rand(500), double)[0].float()  # points that both precisions can hold
    exact, exact_log_slope = rational_quadratic_inverse(y.double(), double)
    ours, log_slope = rational_quadratic_inverse(y, single)
    # What one rounding of y, or of x, does to x; the other form of the root is off 500 times as much.
    rounding = 6e-8 * (y * exact_log_slope.exp()).clamp_min(1).max().item()
    assert (ours - exact).abs().max() < 4 * rounding
    assert (log_slope - exact_log_slope).abs().max() < 0.05


def test_inverse_of_a_straight_spline_has_a_gradient():
    y = torch.linspace(0, 1, 5, dtype=F64, requires_grad=True)
    straight = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 1.0]], dtype=F64)[:, None].expand(3, 5, 2)
    x, log_slope = rational_quadratic_inverse(y, type(random_knots())(*straight))
    (gradient,) = torch.autograd.grad((x + log_slope).sum(), y)
    torch.testing.assert_close(gradient, torch.ones(5, dtype=F64))


def test_inverse_of_a_nearly_flat_spline_is_finite_in_float32():
    # A wide, low bin that runs out flat: close to its end b^2 - 4ac is all rounding, at two points negative.
    ends = torch.tensor([[0.0, 6.0], [0.0, 0.006], [7.0, 0.001]])
    y = 0.006 * torch.linspace(0.98, 1, 4001)
    x, log_slope = rational_quadratic_inverse(y, type(random_knots())(*ends[:, None].expand(3, 4001, 2)))
    assert x.isfinite().all()
    assert log_slope.isfinite().all()
    assert x.min() > 0
    assert x.max() < 6.2  # the end is 6; the root of 1e-7 of b^2 is 3e-4 of it, times b / 2a = 40


def test_elementwise_starts_with_the_stated_deviation():
    with seeded(0):
        assert not Elementwise(3, RationalQuadratic(4)).raw.any()
        spread = Elementwise(500, RationalQuadratic(4), start=0.1).raw.std().item()
    assert spread == pytest.approx(0.1, rel=4 / math.sqrt(2 * 5500))  # four standard errors


def test_zero_parameters_give_the_identity():
    x = torch.linspace(-4, 4, 81, dtype=F64)
    z, log_slope = RationalQuadratic(7, 3.0).forward(x, torch.zeros(81, 20, dtype=F64))
    torch.testing.assert_close(z, x)
    torch.testing.assert_close(log_slope, torch.zeros_like(x), rtol=0, atol=1e-12)
    u = torch.linspace(0, 1, 11, dtype=F64)
    z, log_slope = piecewise_linear(u, torch.zeros(11, 4, dtype=F64))
    torch.testing.assert_close(z, u)
    torch.testing.assert_close(log_slope, torch.zeros_like(u))


def test_bins_give_each_bin_its_mass():
    p = torch.tensor([0.1, 0.2, 0.6, 0.1], dtype=F64)
    x = torch.tensor([0.0, 0.125, 0.25, 0.5, 0.625, 0.75, 1.0], dtype=F64)
    z, log_slope = piecewise_linear(x, p.log().expand(7, 4))
    torch.testing.assert_close(z, torch.tensor([0.0, 0.05, 0.1, 0.3, 0.6, 0.9, 1.0], dtype=F64))
    densities = torch.tensor([0.4, 0.4, 0.8, 2.4, 2.4, 0.4, 0.4], dtype=F64)
    torch.testing.assert_close(log_slope.exp(), densities)
    back, inverse_log_slope = piecewise_linear_inverse(z, p.log().expand(7, 4))
    torch.testing.assert_close(back, x)
    torch.testing.assert_close(inverse_log_slope, -log_slope)


def test_inverse_of_the_bins_stays_inside_where_the_last_one_is_almost_empty():
    # The other masses add up to 1 but for a rounding, which is thousands of times the last bin's mass.
    logits = torch.cat([randn(2000, 15).float(), torch.full((2000, 1), -25.0)], dim=1)
    x, log_slope = piecewise_linear_inverse(torch.ones(2000), logits)
    assert 0.93 < x.min() <= x.max() <= 1
    assert log_slope.isfinite().all()


def test_slope_of_the_bins_is_the_right_hand_one_at_an_edge():
    logits = randn(1, 4).requires_grad_()
    x = torch.tensor([0.1, 0.25, 0.3, 0.5, 0.75, 0.9], dtype=F64, requires_grad=True)  # edges and others
    z, log_slope = piecewise_linear(x, logits.expand(6, 4))
    (slope,) = torch.autograd.grad(z.sum(), x)
    torch.testing.assert_close(slope, log_slope.exp())


# Linear flows


@pytest.mark.parametrize("channels", [1, 2, 5, 16])
def test_lu_agrees_with_the_dense_matrix(channels):
    conv = perturbed(lambda: InvertibleConv(channels), 0.2)
    x = randn(3, channels, 4, 2)
    z, logdet = conv(x)
    weight = conv.weight()
    torch.testing.assert_close(z, F.conv2d(x, weight[:, :, None, None]))
    dense = torch.linalg.slogdet(weight).logabsdet
    assert abs(dense) > 1e-3
    torch.testing.assert_close(logdet, (8 * dense).expand(3))
    back, _ = conv.inverse(x)
    torch.testing.assert_close(back, F.conv2d(x, torch.linalg.inv(weight)[:, :, None, None]))


def test_lu_starts_at_a_rotation_and_ignores_the_other_triangles():
    with seeded(3):
        conv = InvertibleConv(6).double()
    weight = conv.weight().detach()
    torch.testing.assert_close(weight @ weight.T, torch.eye(6, dtype=F64), rtol=0, atol=1e-5)
    assert (weight - torch.eye(6)).abs().max() > 0.3
    with torch.no_grad():
        conv.lower.add_(torch.ones(6, 6).triu())
        conv.upper.add_(torch.ones(6, 6).tril())
    assert torch.equal(conv.weight(), weight)


@pytest.mark.parametrize("channels", [2, 3, 5])
def test_rotation_is_orthogonal_with_determinant_one(channels):
    weight = perturbed(lambda: Rotation(channels)).weight().detach()
    torch.testing.assert_close(weight @ weight.T, torch.eye(channels, dtype=F64))
    assert torch.linalg.det(weight).item() == pytest.approx(1)
    assert (weight - torch.eye(channels)).abs().max() > 0.1


def test_rotation_starts_at_any_angle():
    with seeded(0):
        angles = Rotation(64).angles.detach()
    assert angles.shape == (64 * 63 // 2,)
    assert abs(angles.mean()) < 4 * math.pi / math.sqrt(
        3 * len(angles)
    )  # pi / sqrt 3: deviation on (-pi, pi)
    assert -math.pi <= angles.min() < -3.1
    assert 3.1 < angles.max() <= math.pi


def test_rotation_by_no_angle_is_the_identity():
    flow = Rotation(4).double()
    torch.nn.init.zeros_(flow.angles)
    torch.testing.assert_close(flow.weight().detach(), torch.eye(4, dtype=F64))


def test_rotation_of_the_plane_is_the_exponential():
    flow = perturbed(lambda: Rotation(2))
    angle = flow.angles.item()
    exponential = torch.linalg.matrix_exp(torch.tensor([[0.0, -angle], [angle, 0.0]], dtype=F64))
    torch.testing.assert_close(flow.weight().detach(), exponential)


def test_actnorm_starts_from_the_first_training_batch_once():
    norm = ActNorm(3).double()
    first = torch.tensor([2.0, 0.1, 30.0], dtype=F64)[:, None, None] * randn(20, 3, 4, 4) + 5
    norm.eval()
    assert torch.equal(norm(first)[0], first)  # not started, and not by looking
    norm.train()
    z, _ = norm(first)
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(3, dtype=F64), rtol=0, atol=1e-9)
    torch.testing.assert_close(z.var((0, 2, 3), unbiased=False), torch.ones(3, dtype=F64))
    before = {k: v.clone() for k, v in norm.state_dict().items()}
    norm(first + 100)
    assert all(torch.equal(v, before[k]) for k, v in norm.state_dict().items())
    again = ActNorm(3).double()
    again.load_state_dict(before)
    again.train()(first + 100)
    assert all(torch.equal(v, before[k]) for k, v in again.state_dict().items())


def test_actnorm_of_degenerate_batches():
    with pytest.raises(ValueError, match=r"needs more than one value per channel, got x of shape \(1, 3\)"):
        ActNorm(3)(torch.zeros(1, 3))
    z, logdet = ActNorm(2)(torch.full((8, 2), 4.0))
    assert torch.equal(z, torch.zeros(8, 2))
    assert logdet.isfinite().all()


# Scales


def test_squeeze_by_hand():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert squeeze(x)[0].tolist() == [
        [[0, 2], [8, 10]],
        [[1, 3], [9, 11]],
        [[4, 6], [12, 14]],
        [[5, 7], [13, 15]],
    ]
    assert torch.equal(unsqueeze(squeeze(x)), x)
    with pytest.raises(ValueError, match=r"even H and W, got \(1, 1, 3, 4\)"):
        squeeze(torch.zeros(1, 1, 3, 4))


def test_multiscale_sends_the_first_half_of_the_channels_away_first():
    flow = MultiScale((1, 4, 4), [Squeeze(), Squeeze()])
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    z, _ = flow(x)
    assert z[0].tolist() == [0, 2, 8, 10, 1, 3, 9, 11, 4, 6, 12, 14, 5, 7, 13, 15]
    assert torch.equal(flow.inverse(z)[0], x)
    with pytest.raises(ValueError, match=r"x must have shape \(B, 1, 4, 4\), got \(1, 1, 2, 2\)"):
        flow(torch.zeros(1, 1, 2, 2))
    with pytest.raises(ValueError, match="level 0 gives 1 channels, which cannot be halved; squeeze first"):
        MultiScale((1, 4, 4), [Line(), Squeeze()])


def test_last_level_of_a_multiscale_flow_is_not_halved():
    flow = MultiScale((2, 1, 3), [Compose(), Compose()])  # one channel reaches the last level
    x = torch.arange(6.0).reshape(1, 2, 1, 3)
    assert flow(x)[0].tolist() == [[0, 1, 2, 3, 4, 5]]
    assert torch.equal(flow.inverse(flow(x)[0])[0], x)
    three = MultiScale((4, 1, 1), [Compose(), Compose(), Compose()])
    x = torch.arange(4.0).reshape(1, 4, 1, 1)
    assert three(x)[0].tolist() == [[0, 1, 2, 3]]
    assert torch.equal(three.inverse(three(x)[0])[0], x)


def test_building_a_multiscale_flow_starts_no_actnorm():
    model = glow_images((1, 4, 4), 2, 2, 5)
    norms = [m for m in model.modules() if isinstance(m, ActNorm)]
    assert len(norms) == 4
    assert not any(n.started for n in norms)
    assert all(n.training for n in norms)
    model.log_prob(torch.randn(8, 1, 4, 4, generator=rng()))
    assert all(n.started for n in norms)


@pytest.mark.parametrize("build", [realnvp_images, glow_images, bin_flow], ids=lambda b: b.__name__)
def test_models_of_images_sample_and_rate_images(build):
    with seeded(0):
        model = build()
    x = model.sample(5, rng())
    assert x.shape == (5, 1, 8, 8)
    assert model.eval().log_prob(x.clamp(0, 1)).shape == (5,)


def test_realnvp_of_images_has_the_papers_layers():
    model = perturbed(lambda: realnvp_images((2, 4, 6), 3))
    kinds = [type(m).__name__ for m in model.modules() if isinstance(m, Coupling | MaskedCoupling | Squeeze)]
    first = 3 * ["MaskedCoupling"] + ["Squeeze"] + 3 * ["Coupling"]
    assert kinds == first + 4 * ["MaskedCoupling"]  # Dinh et al. 2017, section 3.6
    swaps = [m.split.swap for m in model.modules() if isinstance(m, Coupling)]
    assert swaps == [False, True, False]
    x = randn(5, 2, 4, 6)  # of two colours, neither square nor a power of two
    assert model.sample(3, rng()).shape == (3, 2, 4, 6)
    with torch.no_grad():
        torch.testing.assert_close(model.flow.inverse(model.flow(x)[0])[0], x)


# Grey levels


def two_pixel_model(seed: int = 3) -> FlowModel:
    """A density on [0, 1]^2 that no cell of the grid holds constant."""
    flow = perturbed(
        lambda: Compose(Logit(0.1), mixed_couplings(2, 2, RationalQuadratic(4, 3.0), (6,)).flow, Line(0.1)),
        0.4,
        seed,
    )
    # The logit maps [0, 1] to an interval; what lies outside is cut off by rescaling in `exact_levels`.
    return FlowModel(StandardNormal(2).double(), flow)


LEVELS = 3
PAIRS = torch.cartesian_prod(torch.arange(LEVELS), torch.arange(LEVELS))  # all nine images of two pixels


def exact_levels(log_prob, side: int = 120) -> Tensor:
    """log P of each of the nine images, by the midpoint rule over its square: (9,)."""
    axis = (torch.arange(side, dtype=F64) + 0.5) / side
    u = torch.cartesian_prod(axis, axis)
    points = (PAIRS[:, None] + u) / LEVELS  # (9, side^2, 2)
    log_density = log_prob(points.reshape(-1, 2)).reshape(9, -1)
    return torch.logsumexp(log_density, 1) - math.log(side**2) - 2 * math.log(LEVELS)


@torch.no_grad()
def test_dequantised_likelihood_is_a_lower_bound_on_the_exact_one():
    model = two_pixel_model()
    exact = exact_levels(model.log_prob)
    assert 0.5 < exact.exp().sum() < 1  # the rest of the mass lies beyond the ends of the logit's interval
    terms = dequantised_log_prob(model.log_prob, PAIRS.double(), LEVELS, draws=4000, generator=rng())
    assert terms.shape == (4000, 9)
    error = terms.std(0) / 4000**0.5
    gap = exact - terms.mean(0)
    assert (gap > -4 * error).all()
    assert gap.max() > 20 * error.max()  # it is a bound, and not an equality
    # As an average in real space it is the probability itself.
    ratio = (terms - exact).exp()
    assert ((ratio.mean(0) - 1) / (ratio.std(0) / 4000**0.5)).abs().max() < 4
    torch.testing.assert_close(tightened(terms), terms.exp().mean(0).log())
    few = terms.reshape(400, 10, 9).transpose(0, 1).reshape(10, -1)
    assert (tightened(few).reshape(400, 9).mean(0) > terms.mean(0) - 1e-9).all()


def test_bound_is_tight_where_the_density_is_constant_on_cells():
    flow = perturbed(lambda: Elementwise(2, PiecewiseLinear(LEVELS), 1.0))
    model = FlowModel(UnitCube(2).double(), flow)
    exact = exact_levels(model.log_prob, 4)
    assert exact.exp().sum().item() == pytest.approx(1)
    terms = dequantised_log_prob(model.log_prob, PAIRS.double(), LEVELS, draws=3, generator=rng())
    torch.testing.assert_close(terms, exact.expand(3, 9))


def test_variational_noise_has_its_density_and_keeps_the_bound():
    noise = perturbed(lambda: VariationalNoise(MLPConditioner(2, 2, 2, (5,)), LEVELS), 0.5)
    with torch.no_grad():
        x = PAIRS.double()
        u, log_q = noise(x.repeat(20_000, 1), rng(1))
        assert 0 <= u.min() <= u.max() < 1
        inverse = torch.exp(-log_q).reshape(20_000, 9)
        # E_q[1 / q] is the volume of [0, 1)^2, as long as the tails are light enough for its variance.
        assert ((inverse.mean(0) - 1) / (inverse.std(0) / 20_000**0.5)).abs().max() < 4
        model = two_pixel_model()
        exact = exact_levels(model.log_prob)
        terms = dequantised_log_prob(model.log_prob, x, LEVELS, noise=noise, draws=2_000, generator=rng(2))
        ratio = (terms - exact).exp()
        assert ((ratio.mean(0) - 1) / (ratio.std(0) / 2_000**0.5)).abs().max() < 4
        assert (exact - terms.mean(0) > 0).all()


def test_network_of_the_noise_sees_levels_between_minus_one_and_one():
    seen = []

    class Network(torch.nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return torch.zeros(len(x), 2, *x.shape[1:], dtype=x.dtype)

    VariationalNoise(Network(1, 1), 17)(torch.tensor([[0, 8, 16]]), rng())
    assert seen[0].tolist() == [[-1, 0, 1]]


def test_fitted_noise_tightens_the_bound():
    model = two_pixel_model().requires_grad_(False)
    with seeded(0):
        noise = VariationalNoise(MLPConditioner(2, 2, 2, (16,)), LEVELS).double()
    x, g = PAIRS.double(), rng()
    optimiser = torch.optim.Adam(noise.parameters(), 0.03)

    def gap(kind) -> float:
        with torch.no_grad():
            terms = dequantised_log_prob(model.log_prob, x, LEVELS, noise=kind, draws=1000, generator=rng(9))
        return (exact_levels(model.log_prob) - terms.mean(0)).mean().item()

    start = gap(noise)
    for _ in range(150):
        loss = -dequantised_log_prob(model.log_prob, x.repeat(8, 1), LEVELS, noise=noise, generator=g).mean()
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in noise.parameters())
        optimiser.step()
    # Gaussian noise cannot follow every bend of this density inside a cell; a third of the gap is far beyond
    # the error of 1000 common draws.
    assert 0 < gap(noise) < 0.67 * start
    assert gap(uniform_noise) > 0


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("levels", [2, 17, 256])
def test_levels_survive_noise_at_both_ends(dtype, levels):
    x = torch.arange(levels)[:, None]
    for value in (0.0, 0.5, 1 - torch.finfo(dtype).eps / 2):
        v, logdet = dequantise(x, torch.full(x.shape, value, dtype=dtype), levels)
        assert v.dtype == dtype
        assert 0 <= v.min() <= v.max() < 1
        assert torch.equal(quantise(v, levels), x.to(torch.uint8))
        torch.testing.assert_close(logdet, torch.full((levels,), -math.log(levels), dtype=dtype))


def test_quantise_clips_what_a_model_draws_beyond_the_ends():
    v = torch.tensor([-1e9, -0.3, -1e-9, 0.0, 0.9999, 1.0, 1.2, 1e9], dtype=F64)
    assert quantise(v, 17).tolist() == [0, 0, 0, 0, 16, 16, 16, 16]
    assert quantise(v, 256).tolist() == [0, 0, 0, 0, 255, 255, 255, 255]


def test_dequantise_by_hand_and_its_errors():
    x, u = torch.tensor([[3, 0], [1, 16]]), torch.tensor([[0.5, 0.0], [0.25, 0.5]])
    v, logdet = dequantise(x, u, 17)
    torch.testing.assert_close(v, torch.tensor([[3.5, 0.0], [1.25, 16.5]]) / 17)
    torch.testing.assert_close(logdet, torch.full((2,), -2 * math.log(17)))
    with pytest.raises(ValueError, match=r"u must have the shape of x, \(2, 2\), got \(2,\)"):
        dequantise(x, u[0], 17)
    with pytest.raises(ValueError, match=r"grey levels 0 .. 15, got 0 to 16; pass the integers"):
        dequantise(x, u, 16)
    u, log_q = uniform_noise(torch.zeros(4000, 2, dtype=torch.uint8), rng())
    assert 0 <= u.min() < 0.01
    assert 0.99 < u.max() < 1  # the whole range, not half of it
    assert torch.equal(log_q, torch.zeros(4000))


def test_uniform_noise_is_drawn_on_the_generators_device_and_goes_to_the_images():
    expected = rng()
    torch.rand(5, generator=expected)
    for draw in (
        lambda generator: uniform_noise(torch.zeros(5, device="meta"), generator)[0],
        lambda generator: UnitCube(1).to("meta").sample(5, generator),
    ):
        drawn = rng()
        assert draw(drawn).is_meta
        assert torch.equal(drawn.get_state(), expected.get_state())


# Many layers, and learning


def test_hundred_layers_in_float32():
    deep = perturbed(lambda: RealNVP(8, 100, (16,)), 0.05)
    x = randn(64, 8)
    _, exact_logdet = deep(x)
    assert exact_logdet.abs().mean() > 1
    single = deep.float()
    z, logdet = single(x.float())
    assert z.isfinite().all()
    scale = exact_logdet.abs().max()
    assert ((logdet - exact_logdet) / scale).abs().max() < 1e-5
    back, inverse_logdet = single.inverse(z)
    assert (back - x).abs().max() < 1e-3
    assert ((inverse_logdet + logdet) / scale).abs().max() < 1e-5


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_state_dict_restores_a_model_and_dropout_is_off_in_eval(dropout):
    with seeded(0):
        model = realnvp_images((1, 4, 4), 6, dropout=dropout)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    other = realnvp_images((1, 4, 4), 6, dropout=dropout)
    other.load_state_dict(model.state_dict())
    x = torch.randn(4, 1, 4, 4, generator=rng())
    assert torch.equal(model.eval().log_prob(x), other.eval().log_prob(x))
    model.train()
    assert torch.equal(model.log_prob(x), model.log_prob(x)) == (dropout == 0)


def test_a_flow_learns_a_known_density():
    # x1 ~ N(0, 1), x2 = x1^2 / 2 + 0.3 eps: entropy log(2 pi e) + log 0.3.
    g = rng(0)
    with seeded(0):
        model = mixed_couplings(2, 4, hidden=(24, 24))
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)

    def draw(n: int, generator: torch.Generator) -> Tensor:
        eps = torch.randn(n, 2, generator=generator)
        return torch.stack([eps[:, 0], eps[:, 0].square() / 2 + 0.3 * eps[:, 1]], dim=1)

    for _ in range(300):
        loss = -model.log_prob(draw(256, g)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x = draw(20_000, rng(1))
    entropy = math.log(2 * math.pi * math.e) + math.log(0.3)
    with torch.no_grad():
        kl = -model.eval().log_prob(x).mean().item() - entropy
    # the mean over 20,000 draws has a standard error of .007
    assert -0.03 < kl < 0.08
