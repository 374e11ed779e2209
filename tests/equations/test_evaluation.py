"""The equations of chapter 10_evaluation, each against something that does not come from dgm."""

import itertools
import math
import statistics

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.optimize
import scipy.stats
import torch
from torch import Tensor

from dgm.data.toy2d import GaussianMixture
from dgm.gan import optimal_transport
from dgm.metrics import (
    class_entropy,
    class_information,
    class_shares,
    copying_z,
    density_coverage,
    extrapolated_frechet,
    gaussian_frechet,
    inception_score,
    kernel_distance,
    nearest_distances,
    neighbour_test,
    precision_recall,
)
from dgm.vae import iwae_bound

F64 = torch.float64


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=rng(seed), dtype=F64)


def covariance(d: int, seed: int) -> Tensor:
    """A random covariance with eigenvalues that differ."""
    a = normal(d, d, seed=seed)
    return a @ a.T / d + 0.1 * torch.eye(d, dtype=F64)


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the rows themselves, with N below."""
    return x.mean(0), torch.cov(x.T, correction=0)


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=F64)[:, None]


def z_score(read: list[float], truth: float) -> float:
    return (statistics.fmean(read) - truth) / (statistics.stdev(read) / math.sqrt(len(read)))


# 1 A score from a classifier


@pytest.mark.equation("eval-information")
def test_information_is_the_tables_divergence_from_independence():
    logits = 2 * normal(40, 6)
    joint = logits.softmax(1).numpy() / 40  # (40, 6): probability of the n-th sample and the c-th class
    product = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    expected = scipy.stats.entropy(joint.ravel(), product.ravel())
    assert class_information(logits) == pytest.approx(expected, rel=1e-12)
    doubt = np.mean([scipy.stats.entropy(row) for row in 40 * joint])
    assert class_information(logits) == pytest.approx(scipy.stats.entropy(joint.sum(0)) - doubt, rel=1e-10)
    assert inception_score(logits) == pytest.approx(math.exp(expected), rel=1e-12)


@pytest.mark.equation("eval-information")
def test_one_sure_picture_of_each_class_reaches_the_maximum_and_diversity_alone_its_logarithm():
    sure = 60 * torch.eye(10, dtype=F64)
    assert inception_score(sure.repeat(45, 1)) == pytest.approx(10)
    assert class_entropy(class_shares(sure[[0, 0, 0, 1]])) == pytest.approx(scipy.stats.entropy([0.75, 0.25]))
    assert inception_score(sure[[0, 0, 0, 1]]) == pytest.approx(math.exp(scipy.stats.entropy([0.75, 0.25])))


# 2 How far two Gaussians are apart


@pytest.mark.equation("eval-w2")
@pytest.mark.equation("eval-frechet")
def test_in_one_dimension_it_is_the_cost_of_matching_quantiles():
    # On the line the best plan for squared costs joins equal quantiles: integrate their squared difference.
    for m1, s1, m2, s2 in ((-1.0, 0.5, 2.0, 1.25), (0.3, 2.0, 0.3, 0.1)):
        cost = scipy.integrate.quad(
            lambda u, a=(m1, s1), b=(m2, s2): (
                (scipy.stats.norm.ppf(u, *a) - scipy.stats.norm.ppf(u, *b)) ** 2
            ),
            0,
            1,
        )[0]
        read = gaussian_frechet(column(m1)[0], column(s1**2), column(m2)[0], column(s2**2))
        assert read == pytest.approx(cost, rel=1e-5)
        assert read == pytest.approx((m1 - m2) ** 2 + (s1 - s2) ** 2, rel=1e-12)


@pytest.mark.equation("eval-w2")
def test_between_equal_samples_the_cheapest_plan_is_an_assignment():
    x, y = normal(7, 3, seed=1), 1.5 * normal(7, 3, seed=2) + 0.4
    cost = torch.cdist(x, y) ** 2
    rows, columns = scipy.optimize.linear_sum_assignment(cost.numpy())
    weights = torch.full((7,), 1 / 7, dtype=F64)
    plan = optimal_transport(cost, weights, weights)
    assert plan.value == pytest.approx(cost.numpy()[rows, columns].mean(), rel=1e-9)


def best_cross_covariance(c1: Tensor, c2: Tensor) -> Tensor:
    """The C of the chapter's second step, by scipy."""
    r1, r2 = (np.real(scipy.linalg.sqrtm(c.numpy())) for c in (c1, c2))
    u, _, vt = np.linalg.svd(r2 @ r1)
    return torch.from_numpy(r1 @ vt.T @ u.T @ r2)


@pytest.mark.equation("eval-cross")
def test_the_cost_of_a_plan_depends_on_the_trace_of_its_cross_covariance():
    d, n = 4, 100_000
    c1, c2, m1, m2 = covariance(d, 1), covariance(d, 2), normal(d, seed=3), normal(d, seed=4)
    base = (m1 - m2).square().sum() + c1.trace() + c2.trace()
    best = best_cross_covariance(c1, c2)
    for share in (1.0, 0.4, -0.7):  # shares of an allowed C are allowed
        pair = torch.cat([torch.cat([c1, share * best], 1), torch.cat([share * best.T, c2], 1)])
        factor = torch.linalg.cholesky(pair + 1e-9 * torch.eye(2 * d))
        u, v = (normal(n, 2 * d, seed=9) @ factor.T).split(d, dim=1)
        cost = (m1 + u - m2 - v).square().sum(1)
        expected = (base - 2 * share * best.trace()).item()
        assert abs(cost.mean().item() - expected) < 4 * cost.std().item() / math.sqrt(n)
        least = gaussian_frechet(m1, c1, m2, c2)
        if share == 1.0:
            assert least == pytest.approx(expected, rel=1e-9)
        else:
            assert least < expected - 0.1


@pytest.mark.equation("eval-cross")
def test_no_allowed_cross_covariance_has_a_larger_trace():
    c1, c2 = covariance(3, 5), covariance(3, 6)
    zero = torch.zeros(3, dtype=F64)
    bound = (c1.trace() + c2.trace() - gaussian_frechet(zero, c1, zero, c2)).item() / 2  # tr C at the best
    r1, r2 = (np.real(scipy.linalg.sqrtm(c.numpy())) for c in (c1, c2))
    for seed in range(200):
        k = normal(3, 3, seed=seed).numpy()
        k /= np.linalg.norm(k, 2)  # lengthens no vector
        assert np.trace(r1 @ k @ r2) <= bound + 1e-9
    assert np.trace(best_cross_covariance(c1, c2).numpy()) == pytest.approx(bound, rel=1e-9)


@pytest.mark.equation("eval-frechet")
@pytest.mark.parametrize("d", [2, 7, 40])
def test_frechet_is_the_square_root_form(d: int):
    c1, c2, m1, m2 = covariance(d, 1), covariance(d, 2), normal(d, seed=3), normal(d, seed=4)
    r1 = scipy.linalg.sqrtm(c1.numpy())
    root = scipy.linalg.sqrtm(r1 @ c2.numpy() @ r1)
    printed = scipy.linalg.sqrtm(c1.numpy() @ c2.numpy())  # the form that papers print
    for trace in (np.trace(root).real, np.trace(printed).real):
        expected = (m1 - m2).square().sum().item() + c1.trace().item() + c2.trace().item() - 2 * trace
        assert gaussian_frechet(m1, c1, m2, c2) == pytest.approx(expected, rel=1e-7)


@pytest.mark.equation("eval-gelbrich")
def test_no_plan_between_two_clouds_costs_less_than_their_gaussians():
    weights = torch.full((30,), 1 / 30, dtype=F64)
    for seed in range(6):
        x = normal(30, 2, seed=seed)
        x = torch.stack([x[:, 0], x[:, 1] + x[:, 0] ** 2], 1)
        y = torch.rand(30, 2, generator=rng(100 + seed), dtype=F64) * 3
        cost = optimal_transport(torch.cdist(x, y) ** 2, weights, weights).value
        assert cost >= gaussian_frechet(*moments(x), *moments(y)) - 1e-9
    # Equality where y is a positive map of x, whatever the shape of x.
    positive = covariance(2, 9)
    y = x @ positive + torch.tensor([0.5, -1.0])
    cost = optimal_transport(torch.cdist(x, y) ** 2, weights, weights).value
    assert cost == pytest.approx(gaussian_frechet(*moments(x), *moments(y)), rel=1e-6)
    assert cost == pytest.approx((x - y).square().sum(1).mean().item(), rel=1e-6)


# 3 What a finite sample adds


def to_gaussian(x: Tensor, mean: Tensor, cov: Tensor) -> float:
    return gaussian_frechet(x.mean(0), torch.cov(x.T).reshape(len(mean), len(mean)), mean, cov)


@pytest.mark.equation("eval-jensen")
def test_in_one_dimension_the_expected_distance_is_known():
    # E of a sample's standard deviation is c4 sigma, with c4 from the chi distribution.
    n, m, s, m2, s2 = 5, 0.4, 1.5, -0.2, 0.9
    c4 = scipy.stats.chi(n - 1).mean() / math.sqrt(n - 1)
    truth = (m - m2) ** 2 + s**2 / n + s**2 + s2**2 - 2 * s * s2 * c4
    draws = m + s * normal(1500, n, 1, seed=1)
    read = [to_gaussian(x, column(m2)[0], column(s2**2)) for x in draws]
    assert abs(z_score(read, truth)) < 4
    assert truth > (m - m2) ** 2 + (s - s2) ** 2 + s**2 / n  # the inequality, in closed form


@pytest.mark.equation("eval-jensen")
def test_the_bias_is_above_the_trace_over_n():
    d, n = 5, 12
    c1, c2, mean = covariance(d, 1), covariance(d, 2), normal(d, seed=3)
    factor = torch.linalg.cholesky(c1)
    read = [to_gaussian(mean + normal(n, d, seed=s) @ factor.T, mean, c2) for s in range(400)]
    least = gaussian_frechet(mean, c1, mean, c2) + c1.trace().item() / n
    assert z_score(read, least) > 4


@pytest.mark.equation("eval-bias")
@pytest.mark.parametrize(("d", "n"), [(8, 200), (32, 1200)])
def test_a_gaussian_against_itself_reads_its_bias(d: int, n: int):
    origin, identity = torch.zeros(d, dtype=F64), torch.eye(d, dtype=F64)
    read = [to_gaussian(normal(n, d, seed=s), origin, identity) for s in range(60)]
    expected = d / n + d * (d + 1) / (4 * (n - 1))
    # four standard errors, and the next order: about D/N of the value
    error = statistics.stdev(read) / math.sqrt(len(read))
    assert abs(statistics.fmean(read) - expected) < 4 * error + expected * d / n


@pytest.mark.equation("eval-extrapolate")
@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_the_line_has_the_models_own_slope_and_ends_at_the_truth(scale: float):
    # The expansion of the chapter's section 12: d2_inf = D (1 - s)^2, c = s^2 D + s D (D + 1) / 4.
    d, n = 6, 1500
    origin, identity = torch.zeros(d, dtype=F64), torch.eye(d, dtype=F64)
    lines = [
        extrapolated_frechet(
            scale * normal(n, d, seed=s),
            normal(2, d),
            points=8,
            smallest=100,
            generator=rng(s),
            distance=lambda x, _: to_gaussian(x, origin, identity),
        )
        for s in range(40)
    ]
    assert abs(z_score([line.limit for line in lines], d * (1 - scale) ** 2)) < 4
    slope = scale**2 * d + scale * d * (d + 1) / 4
    error = statistics.stdev(line.slope for line in lines) / math.sqrt(len(lines))
    assert abs(statistics.fmean(line.slope for line in lines) - slope) < 4 * error + 0.1 * slope


# 4 A distance without bias

SUPPORT = torch.tensor([[0.0, 1.0], [1.5, -0.5], [-1.0, 0.3]], dtype=F64)
P, Q = (0.2, 0.5, 0.3), (0.6, 0.1, 0.3)


def monomials(x: Tensor) -> Tensor:
    """Every product of up to three of (x1/sqrt 2, x2/sqrt 2, 1), 27 in all: the cubic kernel's list."""
    lifted = torch.cat([x / math.sqrt(2), torch.ones(len(x), 1, dtype=F64)], 1)
    return torch.einsum("na,nb,nc->nabc", lifted, lifted, lifted).flatten(1)


def expected_over_draws(statistic, n: int, m: int) -> float:
    """The expectation over all samples of n points of P and m of Q, by enumeration."""
    total = 0.0
    for rows in itertools.product(range(3), repeat=n + m):
        chance = math.prod((P if i < n else Q)[r] for i, r in enumerate(rows))
        points = SUPPORT[list(rows)]
        total += chance * statistic(points[:n], points[n:])
    return total


def squared_mean_difference() -> float:
    phi = monomials(SUPPORT)
    difference = torch.tensor(P, dtype=F64) @ phi - torch.tensor(Q, dtype=F64) @ phi
    return difference.square().sum().item()


@pytest.mark.equation("eval-mmd")
@pytest.mark.equation("eval-kid")
@pytest.mark.parametrize(("n", "m"), [(2, 2), (3, 2)])
def test_the_estimate_has_the_squared_gap_of_mean_lists_as_its_mean(n: int, m: int):
    assert expected_over_draws(kernel_distance, n, m) == pytest.approx(squared_mean_difference(), rel=1e-10)


@pytest.mark.equation("eval-mmd")
def test_third_moments_are_seen_and_equal_distributions_are_at_zero():
    skew = column(-1, -1, -1, -1, 4) / 2  # mean 0, variance 1, third moment 1.5
    sides = column(-1, 1).repeat(5, 1)  # mean 0, variance 1, third moment 0
    many = 400  # repeats bring the estimate to the value between the two discrete distributions
    read = kernel_distance(skew.repeat(many, 1), sides.repeat(many, 1))
    assert read == pytest.approx(1.5**2, rel=0.02)  # (xy + 1)^3 weighs the third moments by one
    assert abs(kernel_distance(skew.repeat(many, 1), skew.repeat(many, 1))) < 0.05


def with_diagonal(x: Tensor, y: Tensor) -> float:
    """The estimate with N^2 and M^2 pairs, out of kernel_distance alone.

    Repeat every row r times: pairs of a row with itself come in, and the estimate is
    V + a/(rN - 1) + b/(rM - 1). Three values of r give V, that of r to infinity.
    """
    repeats, n, m = (2, 3, 5), len(x), len(y)
    read = [kernel_distance(x.repeat(r, 1), y.repeat(r, 1)) for r in repeats]
    return float(np.linalg.solve([[1, 1 / (r * n - 1), 1 / (r * m - 1)] for r in repeats], read)[0])


@pytest.mark.equation("eval-kid-diagonal")
def test_repeats_bring_the_diagonal_back_and_with_it_the_stated_bias():
    n, m = 3, 2
    phi = monomials(SUPPORT)
    bias = 0.0
    for weights, size in ((P, n), (Q, m)):
        w = torch.tensor(weights, dtype=F64)
        bias += (w @ phi.square().sum(1) - (w @ phi).square().sum()).item() / size
    read = expected_over_draws(with_diagonal, n, m)
    assert read == pytest.approx(squared_mean_difference() + bias, rel=1e-8)
    assert bias > 0.1


# 5 Quality and coverage apart


@pytest.mark.equation("eval-precision-recall")
def test_precision_and_recall_by_hand():
    real, fake = column(0, 1, 3, 7), column(1.5, 2, 20)
    # k = 1: balls 0 +- 1, 1 +- 1, 3 +- 2, 7 +- 4; 1.5 and 2 are inside some, 20 is not.
    # The samples' balls: 1.5 +- 0.5, 2 +- 0.5, 20 +- 18; they hold 1, 3 and 7, not 0.
    assert precision_recall(real, fake, 1) == (pytest.approx(2 / 3), pytest.approx(3 / 4))
    # k = 2: 0 +- 3, 1 +- 2, 3 +- 3, 7 +- 6; and 1.5 +- 18.5, 2 +- 18, 20 +- 18.5
    assert precision_recall(real, fake, 2) == (pytest.approx(2 / 3), pytest.approx(1.0))


@pytest.mark.equation("eval-density-coverage")
def test_density_and_coverage_by_hand():
    real, fake = column(0, 1, 3, 7), column(1.5, 2, 20)
    # k = 1: 1.5 is in the balls of 1 and 3, 2 in those of 1 and 3; only these two balls hold a sample.
    assert density_coverage(real, fake, 1) == (pytest.approx(4 / 3), pytest.approx(2 / 4))
    # k = 2: 1.5 and 2 are in all four balls: 8 of k M = 6
    assert density_coverage(real, fake, 2) == (pytest.approx(8 / 6), pytest.approx(1.0))


@pytest.mark.equation("eval-density-coverage")
def test_one_outlier_among_the_real_makes_precision_jump_and_density_hardly():
    real, junk = normal(60, 2), 0.2 * normal(20, 2, seed=1) + torch.tensor([9.0, 0.0])
    with_outlier = torch.cat([real, torch.tensor([[13.0, 0.0]], dtype=F64)])
    assert precision_recall(real, junk, 3).precision == 0.0
    assert precision_recall(with_outlier, junk, 3).precision == 1.0
    assert density_coverage(with_outlier, junk, 3).density == pytest.approx(1 / 3)


@pytest.mark.equation("eval-expected")
@pytest.mark.parametrize(("n", "m", "k"), [(3, 2, 1), (4, 3, 2), (5, 4, 3)])
def test_density_and_coverage_of_one_distribution_over_all_labellings(n: int, m: int, k: int):
    # Which of N + M points are called real is pure chance when both come from one distribution: try all ways.
    points = normal(n + m, 2, seed=n)
    read = []
    for rows in itertools.combinations(range(n + m), n):
        others = [i for i in range(n + m) if i not in rows]
        read.append(density_coverage(points[list(rows)], points[others], k))
    assert statistics.fmean(r.density for r in read) == pytest.approx(1.0)
    empty = math.comb(n - 1, k) / math.comb(n + m - 1, k)  # the k nearest neighbours are all real
    assert statistics.fmean(r.coverage for r in read) == pytest.approx(1 - empty)


@pytest.mark.equation("eval-expected")
def test_coverage_of_one_distribution_tends_to_one_minus_two_to_the_minus_k():
    k, n = 3, 1500
    read = [density_coverage(normal(n, 2, seed=s), normal(n, 2, seed=50 + s), k).coverage for s in range(5)]
    assert abs(z_score(read, 1 - 2.0**-k)) < 5


# 6 Told apart, or copied?


@pytest.mark.equation("eval-neighbour")
@pytest.mark.parametrize("shift", [0.0, 0.8, 2.0])
def test_accuracy_of_the_nearest_neighbour_tends_to_its_integral(shift: float):
    p, q = scipy.stats.norm(0, 1).pdf, scipy.stats.norm(shift, 1.3).pdf

    def integrand(x: float) -> float:
        return 0.5 * (p(x) ** 2 + q(x) ** 2) / (p(x) + q(x))

    limit = scipy.integrate.quad(integrand, -9, 11, points=[0, shift], limit=200)[0]
    read = []
    for seed in range(12):
        real, fake = normal(1500, 1, seed=seed), shift + 1.3 * normal(1500, 1, seed=100 + seed)
        read.append(neighbour_test(real, fake).accuracy)
    error = statistics.stdev(read) / math.sqrt(len(read))
    assert abs(statistics.fmean(read) - limit) < 4 * error + 1 / 1500  # one fewer of one's own kind
    if shift == 0.0:
        assert limit > 0.5 + 0.005  # the widths differ


@pytest.mark.equation("eval-neighbour")
def test_accuracy_at_its_ends():
    x = normal(400, 3)
    assert neighbour_test(x, x + 100).accuracy == 1.0
    halves = [neighbour_test(normal(300, 1, seed=s), normal(300, 1, seed=90 + s)).accuracy for s in range(30)]
    assert abs(z_score(halves, 299 / 599)) < 4


@pytest.mark.equation("eval-copying")
def test_over_all_orders_the_copying_score_has_mean_0_and_variance_1():
    # One training image, at the origin: the distances are the values. All ways to call 3 of 7 the samples.
    values, origin = column(0.3, 0.7, 1.1, 1.9, 2.4, 3.3, 5.0), column(0.0)
    scores = []
    for rows in itertools.combinations(range(7), 3):
        held_out = values[[i for i in range(7) if i not in rows]]
        scores.append(copying_z(values[list(rows)], held_out, origin))
    assert statistics.fmean(scores) == pytest.approx(0, abs=1e-12)
    assert statistics.pvariance(scores) == pytest.approx(1)
    assert min(scores) == copying_z(values[:3], values[3:], origin)  # the three nearest: copies


@pytest.mark.equation("eval-copying")
def test_the_copying_count_is_scipys():
    train, fake, held_out = normal(50, 3), 0.8 * normal(20, 3, seed=1), normal(30, 3, seed=2)
    a, b = (nearest_distances(x, train).numpy() for x in (fake, held_out))
    u = scipy.stats.mannwhitneyu(a, b).statistic  # counts a > b
    expected = (u - 300) / math.sqrt(20 * 30 * 51 / 12)
    assert copying_z(fake, held_out, train) == pytest.approx(expected)


# 7 Likelihood


@pytest.mark.equation("eval-iw")
def test_the_importance_weighted_bound_falls_short_by_the_variance_over_two_k():
    # Weights are 2 with chance 0.3, else 4/7: mean 1, so log p = 0. The sum over K draws is binomial.
    chance, high, low = 0.3, math.log(2), math.log((1 - 0.6) / 0.7)
    variance = chance * 4 + 0.7 * (0.4 / 0.7) ** 2 - 1

    def shortfall(k: int) -> float:
        total = 0.0
        for successes in range(k + 1):
            log_w = torch.tensor([high] * successes + [low] * (k - successes), dtype=F64)[:, None]
            total -= scipy.stats.binom.pmf(successes, k, chance) * iwae_bound(log_w).item()
        return total

    for k in (50, 100, 200):
        assert shortfall(k) == pytest.approx(variance / (2 * k), rel=2 / k)  # the next order is 1/K of it
    assert abs(2 * 200 * shortfall(200) - variance) < 0.6 * abs(2 * 100 * shortfall(100) - variance)


# 8 Likelihood and samples may disagree


@pytest.mark.equation("eval-mixture")
@pytest.mark.parametrize("share", [0.5, 0.01])
def test_noise_costs_at_most_the_log_of_the_models_share(share: float):
    model = GaussianMixture([(0.0, 0.0), (2.0, 1.0)], [0.3, 0.5])
    x = model.sample(3000, rng(1)).double()
    for far in (0.0, 50.0):
        parts = GaussianMixture(
            [(0.0, 0.0), (2.0, 1.0), (far, 0.0)], [0.3, 0.5, 2.0], [share / 2, share / 2, 1 - share]
        )
        loss = model.log_prob(x) - parts.log_prob(x)
        assert loss.max().item() <= math.log(1 / share) + 1e-9
        if far == 50.0:  # noise that never looks like the data costs all of it
            assert loss.mean().item() == pytest.approx(math.log(1 / share), abs=1e-6)
        else:
            assert loss.mean().item() < math.log(1 / share) - 0.1


@pytest.mark.equation("eval-lookup")
def test_a_memory_is_at_most_as_likely_as_the_nearest_image_allows():
    remembered, x = normal(40, 2, seed=1), normal(300, 2, seed=2)
    d = nearest_distances(x, remembered)
    for s in (1.0, 0.1, 0.01):
        memory = GaussianMixture(remembered.tolist(), [s] * 40)
        nll = -memory.log_prob(x)
        least = d**2 / (2 * s**2) + math.log(2 * math.pi * s**2)
        assert (nll >= least - 1e-9).all()
        # The mean over 40 is at least the largest term over 40: the bound is off by at most log 40.
        assert (nll <= least + math.log(40) + 1e-9).all()
    alone = GaussianMixture([(0.0, 0.0)], [0.2]).log_prob(x)  # one remembered image: equality
    torch.testing.assert_close(-alone, x.square().sum(1) / 0.08 + math.log(2 * math.pi * 0.04))
