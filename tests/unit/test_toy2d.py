"""Two-dimensional densities: they integrate to 1, describe their samples and have the right score.

The samplers and the densities are written apart, so comparing one with the other tests both.
"""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from dgm.data.toy2d import (
    Checkerboard,
    Density2D,
    GaussianMixture,
    Pinwheel,
    Rings,
    Spirals,
    TwoMoons,
    curves,
    lattice,
)

# An uneven mixture off the centre, so that no symmetry hides a mistake.
UNEVEN = GaussianMixture([(-1.0, 0.5), (1.5, 0.0), (0.5, -1.5)], [0.3, 0.5, 0.2], [0.5, 0.3, 0.2])
DENSITIES: list[Density2D] = [
    UNEVEN,
    GaussianMixture.ring(),
    GaussianMixture.grid(),
    TwoMoons(),
    TwoMoons(scale=1.2, std=0.3),
    Rings(),
    Rings(radii=(0.2, 1.5), std=0.25),
    Checkerboard(),
    Checkerboard(cells=6, half_width=1.5),
    Spirals(),
    Spirals(radius=2.0, turns=1.0, std=0.2),
    Pinwheel(),
    Pinwheel(arms=2),
    Pinwheel(arms=3, centre=0.5, radial_std=0.6, tangential_std=0.3, twist=-1.3),
]
IDS = [f"{density.name}-{k}" for k, density in enumerate(DENSITIES)]
SMOOTH = [density for density in DENSITIES if not isinstance(density, Checkerboard)]
SMOOTH_IDS = [f"{density.name}-{k}" for k, density in enumerate(SMOOTH)]
CELLS = 16  # along each axis; the boards of 4 and 6 squares have their edges on cell edges
NODES = 12  # Gauss-Legendre nodes along each axis of a cell


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cell_quadrature(density: Density2D) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points (CELLS, CELLS, NODES^2, 2) and their masses, by cell in x, cell in y and node."""
    x_min, x_max, y_min, y_max = density.bounds
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    middle, w = torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)
    ticks = torch.arange(CELLS, dtype=torch.float64)[:, None] + middle  # (CELLS, NODES)
    x = x_min + (x_max - x_min) / CELLS * ticks
    y = y_min + (y_max - y_min) / CELLS * ticks
    grid = torch.stack(
        [
            x[:, None, :, None].expand(CELLS, CELLS, NODES, NODES),
            y[None, :, None, :].expand(CELLS, CELLS, NODES, NODES),
        ],
        dim=-1,
    ).reshape(CELLS, CELLS, NODES**2, 2)
    area = (x_max - x_min) * (y_max - y_min) / CELLS**2
    p = density.log_prob(grid.reshape(-1, 2)).exp().reshape(CELLS, CELLS, NODES**2)
    return grid, p * area * (w[:, None] * w).flatten()


@pytest.mark.parametrize("density", DENSITIES, ids=IDS)
def test_integrates_to_one(density: Density2D) -> None:
    _, mass = cell_quadrature(density)
    assert mass.sum().item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("density", DENSITIES, ids=IDS)
def test_samples_have_the_moments_of_the_density(density: Density2D) -> None:
    grid, mass = cell_quadrature(density)
    n = 40_000
    x = density.sample(n, generator(1), dtype=torch.float64)

    def monomials(points: torch.Tensor) -> torch.Tensor:
        a, b = points[..., 0], points[..., 1]
        return torch.stack([a, b, a * a, a * b, b * b], dim=-1)

    exact = (monomials(grid) * mass[..., None]).sum(dim=(0, 1, 2))
    z = (monomials(x).mean(0) - exact) / (monomials(x).std(0) / math.sqrt(n))
    # Five z-scores for each of 13 densities: 4.5 is passed by chance less than once in 2,000 runs.
    assert z.abs().max() < 4.5


@pytest.mark.parametrize("density", DENSITIES, ids=IDS)
def test_sample_histogram_agrees_with_the_density(density: Density2D) -> None:
    n = 40_000
    expected = cell_quadrature(density)[1].sum(dim=2).flatten() * n
    x_min, x_max, y_min, y_max = density.bounds
    x = density.sample(n, generator(2), dtype=torch.float64)
    column = ((x[:, 0] - x_min) / (x_max - x_min) * CELLS).floor().long()
    row = ((x[:, 1] - y_min) / (y_max - y_min) * CELLS).floor().long()
    inside = (column >= 0) & (column < CELLS) & (row >= 0) & (row < CELLS)
    observed = torch.bincount((column * CELLS + row)[inside], minlength=CELLS**2).double()
    large = expected > 8  # Pearson's statistic needs a handful of points in a cell; the rest make one cell
    observed = torch.cat([observed[large], n - observed[large].sum()[None]])
    expected = torch.cat([expected[large], (n - expected[large].sum()).clamp_min(1e-9)[None]])
    if expected[-1] < 8:
        assert observed[-1] < 30
        observed, expected = observed[:-1], expected[:-1]
    assert large.sum() >= 40  # a test on few cells would see little
    chi2 = ((observed - expected) ** 2 / expected).sum().item()
    assert stats.chi2.sf(chi2, len(expected) - 1) > 1e-4


@pytest.mark.parametrize("density", SMOOTH, ids=SMOOTH_IDS)
def test_score_is_the_gradient_of_log_prob(density: TwoMoons) -> None:
    near = density.sample(200, generator(3), dtype=torch.float64)
    far = 2 * torch.randn(200, 2, generator=generator(4), dtype=torch.float64)
    x = torch.cat([near, far]).requires_grad_()
    (gradient,) = torch.autograd.grad(density.log_prob(x).sum(), x)
    torch.testing.assert_close(density.score(x.detach()), gradient, rtol=1e-9, atol=1e-9)
    # Central differences as well: a wrong custom formula could fool autograd of itself.
    step = 1e-5
    for axis in range(2):
        shift = torch.zeros(2, dtype=torch.float64)
        shift[axis] = step
        slope = (density.log_prob(near + shift) - density.log_prob(near - shift)) / (2 * step)
        torch.testing.assert_close(density.score(near)[:, axis], slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "density", [UNEVEN, TwoMoons(), Rings(), Spirals(), Pinwheel()], ids=lambda d: d.name
)
def test_expected_score_is_zero_and_stein_identity_holds(density: TwoMoons) -> None:
    # Integration by parts: E[score] = 0 and E[score_i x_j] = -1 if i = j else 0.
    grid, mass = cell_quadrature(density)
    score = density.score(grid.reshape(-1, 2)).reshape(grid.shape) * mass[..., None]
    assert score.sum(dim=(0, 1, 2)).abs().max() < 2e-4
    stein = torch.einsum("abni,abnj->ij", score, grid)
    torch.testing.assert_close(stein, -torch.eye(2, dtype=torch.float64), rtol=0, atol=2e-4)


@pytest.mark.parametrize("density", [Rings(), Pinwheel(), TwoMoons(), Spirals()], ids=lambda d: d.name)
def test_score_is_finite_at_the_origin(density: TwoMoons) -> None:
    origin = torch.zeros(1, 2, dtype=torch.float64)
    assert density.log_prob(origin).isfinite().all()
    assert density.score(origin).isfinite().all()


@pytest.mark.parametrize("density", [TwoMoons(), Spirals(), Spirals(turns=3.0, std=0.05)], ids=repr)
def test_quadrature_over_the_curve_is_as_fine_as_stated(
    density: TwoMoons | Spirals, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = lattice(density.bounds, 48).double()
    coarse = density.log_prob(x)
    monkeypatch.setattr(curves, "NODES_PER_STD", 4 * curves.NODES_PER_STD)
    fine = density.log_prob(x)
    assert (coarse - fine).abs().max() < 1e-5


@pytest.mark.parametrize("density", SMOOTH, ids=SMOOTH_IDS)
def test_float32_is_accurate(density: TwoMoons) -> None:
    x = density.sample(2_000, generator(5))
    assert x.dtype == torch.float32
    error = (density.log_prob(x).double() - density.log_prob(x.double())).abs()
    assert error.max() < 2e-4
    score_error = (density.score(x).double() - density.score(x.double())).abs()
    assert score_error.max() < 2e-3


def test_two_moons_are_the_usual_moons_moved_and_scaled() -> None:
    from sklearn.datasets import make_moons

    usual, _ = make_moons(n_samples=2_000, noise=None, shuffle=False)
    moved = torch.from_numpy((usual - [0.5, 0.25]) * 1.7)
    thin = TwoMoons(std=1e-6)
    x = thin.sample(500, generator(), dtype=torch.float64)
    # 1,000 points on each moon are 1.7 pi / 1,000 apart, so a sample is at most half that far.
    assert torch.cdist(x, moved).min(dim=1).values.max() < 1.7 * math.pi / 2_000 + 1e-4
    assert (
        torch.cdist(moved, thin.sample(20_000, generator(), dtype=torch.float64)).min(dim=1).values.max()
        < 0.01
    )


def test_rings_radius_is_rice_distributed() -> None:
    rings = Rings(radii=(1.5,), std=0.4)
    r = torch.linspace(0.05, 3, 50, dtype=torch.float64)
    x = torch.stack([r * math.cos(0.7), r * math.sin(0.7)], dim=1)
    radial = rings.log_prob(x).exp() * 2 * math.pi * r  # the polar Jacobian
    torch.testing.assert_close(radial, torch.from_numpy(stats.rice.pdf(r.numpy(), 1.5 / 0.4, scale=0.4)))


def test_bounds_of_moons_lie_five_deviations_beyond_their_tips() -> None:
    # The tip of a moon at t = pi: a radius, and half a radius that its centre is off.
    assert TwoMoons(scale=2.0, std=0.1).bounds == pytest.approx((-3.5, 3.5, -3.5, 3.5))


def test_bounds_of_rings_lie_five_deviations_beyond_the_largest() -> None:
    assert Rings(radii=(1.0, 2.0, 0.5), std=0.1).bounds == pytest.approx((-2.5, 2.5, -2.5, 2.5))


def test_rings_score_is_smooth_through_the_centre() -> None:
    # Below 1e-6 the Bessel functions are replaced by their limit: the slope of the score does not jump there.
    rings = Rings(radii=(0.2, 1.5), std=0.25)
    slopes = [(rings.score(torch.tensor([[r, 0.0]]).double())[0, 0] / r).item() for r in (1e-9, 1e-4)]
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-5)


def test_pinwheel_twist_keeps_areas() -> None:
    # Untwisted, the density is a plain Gaussian mixture; twisted, it has that value at the twisted point.
    straight, twisted = Pinwheel(arms=4, twist=0.0), Pinwheel(arms=4, twist=0.9)
    y = torch.randn(50, 2, generator=generator(), dtype=torch.float64)

    def turn(point: torch.Tensor) -> torch.Tensor:
        angle = 0.9 * point.square().sum().sqrt()
        matrix = torch.stack(
            [torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])]
        )
        return matrix @ point

    x = torch.stack([turn(point) for point in y])
    torch.testing.assert_close(twisted.log_prob(x), straight.log_prob(y))
    jacobians = torch.stack([torch.autograd.functional.jacobian(turn, point) for point in y])
    torch.testing.assert_close(jacobians.det(), torch.ones(50, dtype=torch.float64))
    assert (x - y).norm(dim=1).min() > 1e-3  # the map is not the identity
    covariance = torch.diag(torch.tensor([straight.radial_std, straight.tangential_std]).double() ** 2)
    arms = [
        torch.distributions.MultivariateNormal(turned @ torch.tensor([straight.centre, 0.0]).double(), cov)
        for turned in (torch.tensor([[0.0, -1.0], [1.0, 0.0]]).double().matrix_power(k) for k in range(4))
        for cov in [turned @ covariance @ turned.T]
    ]
    reference = torch.stack([arm.log_prob(y) for arm in arms]).logsumexp(0) - math.log(4)
    torch.testing.assert_close(straight.log_prob(y), reference)


def test_checkerboard_values_edges_and_missing_score() -> None:
    board = Checkerboard(cells=4, half_width=2.0)
    x = torch.tensor(
        [[-1.5, -1.5], [-0.5, -1.5], [-0.5, -0.5], [2.0, 2.0], [-2.0, -2.0], [1.9, 1.9], [3.0, 0.5]]
    )
    expected = math.log(1 / 8)  # half of an area of 16
    torch.testing.assert_close(
        board.log_prob(x),
        torch.tensor([expected, -math.inf, expected, -math.inf, expected, expected, -math.inf]),
    )
    with pytest.raises(NotImplementedError, match=r"has no score.*TwoMoons"):
        board.score(x)
    with pytest.raises(ValueError, match="cells must be even and at least 2, got 3; use 4"):
        Checkerboard(cells=3)


def test_the_smallest_checkerboard_is_two_squares_of_four() -> None:
    board = Checkerboard(cells=2, half_width=1.0)
    x = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]])
    assert board.log_prob(x).exp().tolist() == pytest.approx([0.5, 0, 0, 0.5])
    for cells in (0, -2):
        with pytest.raises(ValueError, match=f"cells must be even and at least 2, got {cells}; use 2"):
            Checkerboard(cells=cells)


def test_checkerboard_samples_never_leave_their_squares() -> None:
    for board in (Checkerboard(), Checkerboard(cells=6, half_width=1.7)):
        assert board.log_prob(board.sample(300_000, generator())).isfinite().all()
    for board in (Checkerboard(), Checkerboard(cells=6, half_width=1.7), Checkerboard(cells=16)):
        # The largest float32 below 1 would be rounded onto the edge.
        for cell in range(board.cells):
            u = torch.tensor([0.0, 1 - 2**-24])
            x = board._within(torch.tensor([cell, cell]), u)
            assert (((x + board.half_width) / board._side).floor() == cell).all()


def test_mixture_agrees_with_torch_distributions() -> None:
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.tensor(UNEVEN.weights).double()),
        torch.distributions.Independent(
            torch.distributions.Normal(
                torch.tensor(UNEVEN.means).double(), torch.tensor(UNEVEN.stds).double()[:, None].expand(3, 2)
            ),
            1,
        ),
    )
    x = 2 * torch.randn(100, 2, generator=generator(), dtype=torch.float64)
    torch.testing.assert_close(UNEVEN.log_prob(x), mixture.log_prob(x))


def test_mixture_posterior_counts_the_labels() -> None:
    mixture = UNEVEN.diffused(1.0, 0.7)  # the components overlap
    x, k = mixture.sample_labelled(40_000, generator(), dtype=torch.float64)
    posterior = mixture.posterior(x)
    assert posterior.shape == (40_000, 3)
    torch.testing.assert_close(posterior.sum(dim=1), torch.ones(40_000, dtype=torch.float64))
    # E[1{k = j} - p(j | x)] = 0, also among the points on one side of a line.
    hit = torch.nn.functional.one_hot(k, 3) - posterior
    for part in (x[:, 0] > -10, x[:, 0] > 0.5, x[:, 1] > 0):
        variance = (posterior * (1 - posterior))[part].sum(0)
        seen = variance > 20  # where a component is too rare, its count is not normal
        assert seen.sum() >= 2
        assert (hit[part].sum(0) / variance.sqrt())[seen].abs().max() < 4
    counts = torch.bincount(k, minlength=3).double() / 40_000
    torch.testing.assert_close(counts, torch.tensor(UNEVEN.weights).double(), rtol=0, atol=0.01)


def test_mixture_ring_and_grid_lie_where_they_should() -> None:
    ring = GaussianMixture.ring(n=6, radius=1.5, std=0.1)
    means = torch.tensor(ring.means)
    torch.testing.assert_close(means.norm(dim=1), torch.full((6,), 1.5))
    torch.testing.assert_close((means - means.roll(1, 0)).norm(dim=1), torch.full((6,), 1.5))  # a hexagon
    assert ring.stds == (0.1,) * 6
    grid = GaussianMixture.grid(side=3, spacing=0.5, std=0.05)
    assert sorted(grid.means) == [(x, y) for x in (-0.5, 0.0, 0.5) for y in (-0.5, 0.0, 0.5)]
    assert sum(grid.weights or ()) == pytest.approx(1)


@pytest.mark.parametrize(("alpha", "sigma"), [(0.7, 0.5), (1.0, 0.9), (0.2, 0.98), (0.0, 1.0)])
def test_diffused_mixture_is_the_convolution(alpha: float, sigma: float) -> None:
    # p_t(x) = E_{eps}[p((x - sigma eps) / alpha)] / alpha^2, by the trapezoidal rule over eps.
    diffused = UNEVEN.diffused(alpha, sigma)
    x = torch.randn(8, 2, generator=generator(), dtype=torch.float64)
    if alpha == 0:
        reference = torch.distributions.Normal(0, sigma).log_prob(x).sum(dim=1)
    else:
        lo, hi, count = -6.0, 6.0, 300
        eps1d = torch.linspace(lo, hi, count, dtype=torch.float64)
        eps = torch.cartesian_prod(eps1d, eps1d)
        weight = (
            torch.distributions.Normal(0.0, 1.0).log_prob(eps).sum(dim=1).exp()
            * ((hi - lo) / (count - 1)) ** 2
        )
        values = [UNEVEN.log_prob((point - sigma * eps) / alpha).exp() for point in x]
        reference = torch.stack([(weight * value).sum() for value in values]).log() - 2 * math.log(alpha)
    torch.testing.assert_close(diffused.log_prob(x), reference, rtol=1e-6, atol=1e-6)
    assert diffused.weights == UNEVEN.weights


def test_diffused_by_nothing_is_the_mixture_itself() -> None:
    assert UNEVEN.diffused(1.0, 0.0) == UNEVEN
    with pytest.raises(ValueError, match="sigma must be at least 0, got -1"):
        UNEVEN.diffused(1.0, -1)


@pytest.mark.parametrize("density", DENSITIES, ids=IDS)
def test_samples_depend_on_the_generator_alone(density: Density2D) -> None:
    state = torch.random.get_rng_state()
    first = density.sample(50, generator(7))
    assert torch.equal(first, density.sample(50, generator(7)))
    assert not torch.equal(first, density.sample(50, generator(8)))
    assert torch.equal(state, torch.random.get_rng_state())
    assert first.shape == (50, 2)
    assert first.dtype == torch.float32
    assert density.sample(3, generator(7), dtype=torch.float64).dtype == torch.float64
    assert density.sample(0, generator(7)).shape == (0, 2)
    density.sample(3)
    assert not torch.equal(state, torch.random.get_rng_state())  # without a generator torch's own is used


@pytest.mark.parametrize("density", DENSITIES, ids=IDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_prob_follows_dtype_and_checks_shape(density: Density2D, dtype: torch.dtype) -> None:
    x = density.sample(5, generator(), dtype=dtype)
    kept = x.clone()
    log_prob = density.log_prob(x)
    assert log_prob.shape == (5,)
    assert log_prob.dtype == dtype
    assert torch.equal(x, kept)
    assert density.log_prob(x[:0]).shape == (0,)
    torch.testing.assert_close(density.log_prob(x[2:3]), log_prob[2:3])
    with pytest.raises(ValueError, match=r"x must have shape \(B, 2\), got \(2,\); use x\[None\]"):
        density.log_prob(x[0])
    with pytest.raises(ValueError, match=r"x must be floating point, got torch.int64; use x.float\(\)"):
        density.log_prob(torch.zeros(3, 2, dtype=torch.int64))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("density", DENSITIES, ids=IDS)
def test_device_follows_the_generator_and_the_input(density: Density2D) -> None:
    x = density.sample(100, torch.Generator("cuda").manual_seed(0))
    assert x.is_cuda
    assert density.log_prob(x).is_cuda
    torch.testing.assert_close(density.log_prob(x).cpu(), density.log_prob(x.cpu()), rtol=1e-4, atol=1e-3)


def test_lattice_has_the_order_of_an_image() -> None:
    points = lattice((1.0, 5.0, 10.0, 12.0), 2)
    assert points.tolist() == [[2.0, 10.5], [4.0, 10.5], [2.0, 11.5], [4.0, 11.5]]


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match=r"weights must be .* sum 1, got sum 1.5"):
        GaussianMixture([(0, 0), (1, 1)], [1, 1], [1, 0.5])
    with pytest.raises(ValueError, match=r"one entry per component, got 2, 1 and 2; for equal stds"):
        GaussianMixture([(0, 0), (1, 1)], [1])
    with pytest.raises(ValueError, match=r"stds\[1\] must be positive and finite, got -1"):
        GaussianMixture([(0, 0), (1, 1)], [1, -1])
    for make in (TwoMoons, Spirals, Rings):
        with pytest.raises(ValueError, match="std must be positive and finite, got 0"):
            make(std=0)
    with pytest.raises(ValueError, match="tangential_std must be positive"):
        Pinwheel(tangential_std=0)


def test_densities_are_values() -> None:
    assert GaussianMixture.ring() == GaussianMixture.ring()
    assert hash(GaussianMixture.ring()) == hash(GaussianMixture.ring())
    assert TwoMoons() != TwoMoons(std=0.2)
    with pytest.raises(AttributeError):
        TwoMoons().std = 1.0  # type: ignore[misc]


def test_densities_of_nothing_are_refused():
    with pytest.raises(ValueError, match=r"means must name at least one component, got none"):
        GaussianMixture([], [])
    with pytest.raises(ValueError, match=r"radii must name at least one circle, got none"):
        Rings(())
