"""The Fréchet distance against closed forms and scipy's sqrtm; the shipped classifier against its record."""

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch
from torch import Tensor

from dgm.data import load_digits, to_pm1
from dgm.metrics import (
    DigitsClassifier,
    arrays,
    class_information,
    copying_z,
    density_coverage,
    digits_classifier_metadata,
    digits_features,
    extrapolated_frechet,
    features,
    frechet_distance,
    gaussian_frechet,
    inception_score,
    kernel_distance,
    neighbour_radii,
    neighbour_test,
    precision_recall,
)

F64 = torch.float64


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=F64)


def covariance(d: int, seed: int = 0, rank: int | None = None) -> Tensor:
    root = normal(d, rank or d, seed=seed)
    return root @ root.T / d


def orthogonal(d: int, seed: int = 0) -> Tensor:
    q: Tensor = torch.linalg.qr(normal(d, d, seed=seed)).Q
    return q


def by_sqrtm(mu1: Tensor, cov1: Tensor, mu2: Tensor, cov2: Tensor) -> float:
    """The formula as printed, with a general matrix square root."""
    root = scipy.linalg.sqrtm(cov1.numpy() @ cov2.numpy())
    return float((mu1 - mu2).square().sum() + cov1.trace() + cov2.trace() - 2 * np.trace(root).real)


# The distance between Gaussians


def test_gaussian_frechet_in_one_dimension() -> None:
    # (m1 - m2)^2 + (s1 - s2)^2
    d2 = gaussian_frechet(
        torch.tensor([1.5]), torch.tensor([[4.0]]), torch.tensor([-0.5]), torch.tensor([[9.0]])
    )
    assert d2 == pytest.approx(4 + 1, rel=1e-12)


def test_gaussian_frechet_of_commuting_covariances() -> None:
    # One set of eigenvectors, so the matrix roots are those of the eigenvalues: ‖m1-m2‖² + sum (s1 - s2)².
    q = orthogonal(7)
    v1, v2 = normal(7, seed=1).exp(), normal(7, seed=2).exp()
    mu1, mu2 = normal(7, seed=3), normal(7, seed=4)
    d2 = gaussian_frechet(mu1, q @ v1.diag() @ q.T, mu2, q @ v2.diag() @ q.T)
    expected = (mu1 - mu2).square().sum() + (v1.sqrt() - v2.sqrt()).square().sum()
    assert d2 == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("d", [2, 5, 64])
def test_gaussian_frechet_equals_the_sqrtm_form(d: int) -> None:
    mu1, cov1, mu2, cov2 = normal(d), covariance(d, 1), normal(d, seed=2), covariance(d, 3)
    assert not torch.allclose(cov1 @ cov2, cov2 @ cov1)
    assert gaussian_frechet(mu1, cov1, mu2, cov2) == pytest.approx(by_sqrtm(mu1, cov1, mu2, cov2), rel=1e-8)


def test_gaussian_frechet_is_the_least_mean_squared_distance_of_a_coupling() -> None:
    """Two-dimensional, so every Gaussian coupling can be tried: the cross-covariance is F1 K F2ᵀ, ‖K‖ ≤ 1."""
    cov1, cov2 = covariance(2, 1), covariance(2, 2)
    d2 = gaussian_frechet(torch.zeros(2), cov1, torch.zeros(2), cov2)
    f1, f2 = torch.linalg.cholesky(cov1), torch.linalg.cholesky(cov2)
    angle = torch.linspace(0, 2 * math.pi, 3601, dtype=F64)
    c, s = angle.cos(), angle.sin()
    turns = torch.stack([c, -s, s, c], -1).reshape(-1, 2, 2)
    mirrors = torch.stack([c, s, s, -c], -1).reshape(-1, 2, 2)
    cross = f1 @ torch.cat([turns, mirrors]) @ f2.T  # E[x yᵀ] under each extreme coupling
    costs = cov1.trace() + cov2.trace() - 2 * cross.diagonal(dim1=-2, dim2=-1).sum(-1)
    # A cosine in the angle: the grid misses its minimum by at most amplitude * (half a step)² / 2.
    slack = float(costs.max() - costs.min()) / 2 * (math.pi / 3600) ** 2 / 2
    assert 0 <= float(costs.min()) - d2 <= slack + 1e-12


def test_gaussian_frechet_of_rank_deficient_covariances() -> None:
    # Rank one each: the root's trace is |a·b|.
    a, b = normal(6, seed=1), normal(6, seed=2)
    mu = torch.zeros(6)
    d2 = gaussian_frechet(mu, torch.outer(a, a), mu, torch.outer(b, b))
    assert d2 == pytest.approx((a @ a + b @ b - 2 * (a @ b).abs()).item(), rel=1e-10)
    zero = torch.zeros(6, 6)
    assert gaussian_frechet(mu, zero, mu, torch.outer(b, b)) == pytest.approx((b @ b).item(), rel=1e-12)
    assert gaussian_frechet(mu, zero, mu + 1, zero) == pytest.approx(6.0, rel=1e-12)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_equal_gaussians_are_at_distance_zero(rank: int) -> None:
    mu, cov = normal(8), covariance(8, 1, rank)
    assert 0 <= gaussian_frechet(mu, cov, mu, cov) < 1e-13 * cov.trace()


def test_gaussian_frechet_is_symmetric_and_invariant_under_rotation() -> None:
    mu1, cov1, mu2, cov2 = normal(5), covariance(5, 1), normal(5, seed=2), covariance(5, 3, rank=3)
    d2 = gaussian_frechet(mu1, cov1, mu2, cov2)
    assert gaussian_frechet(mu2, cov2, mu1, cov1) == pytest.approx(d2, rel=1e-12)
    q = orthogonal(5, 4)
    turned = gaussian_frechet(q @ mu1, q @ cov1 @ q.T, q @ mu2, q @ cov2 @ q.T)
    # An eigenvalue that is 0 comes out as 1e-16, and its root as 1e-8: that is the accuracy at rank 3 of 5.
    assert turned == pytest.approx(d2, rel=1e-8)


def test_gaussian_frechet_accepts_float32_covariances_of_low_rank() -> None:
    x = normal(5, 40).float()  # rank 4: rounding makes some eigenvalues negative
    cov = torch.cov(x.T)
    assert torch.linalg.eigvalsh(cov.double())[0] < 0
    assert gaussian_frechet(x.mean(0), cov, x.mean(0), cov) < 1e-5 * cov.trace()


# The distance between sets of features


def test_frechet_distance_is_the_distance_of_the_fitted_gaussians() -> None:
    x, y = normal(50, 6, seed=1), 0.5 * normal(40, 6, seed=2) @ normal(6, 6, seed=3) + 1
    d2 = gaussian_frechet(x.mean(0), torch.cov(x.T), y.mean(0), torch.cov(y.T))
    assert frechet_distance(x, y) == pytest.approx(d2, rel=1e-10)
    assert frechet_distance(y, x) == pytest.approx(d2, rel=1e-10)
    assert d2 == pytest.approx(by_sqrtm(x.mean(0), torch.cov(x.T), y.mean(0), torch.cov(y.T)), rel=1e-8)


def test_frechet_distance_of_two_points_each() -> None:
    # Means 0 and 3, variances (N - 1 below) 2 and 8: 9 + (sqrt 2 - sqrt 8)² = 11.
    x, y = torch.tensor([[-1.0], [1.0]]), torch.tensor([[1.0], [5.0]])
    assert frechet_distance(x, y) == pytest.approx(11.0, rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(5, 7), (5, 100), (100, 5), (64, 64), (2, 2)])
def test_frechet_distance_with_fewer_samples_than_features(n: int, m: int) -> None:
    x, y = normal(n, 64, seed=1), normal(m, 64, seed=2) + 0.3
    expected = gaussian_frechet(x.mean(0), torch.cov(x.T), y.mean(0), torch.cov(y.T))
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("n", [5, 200])
def test_equal_features_are_at_distance_zero(n: int) -> None:
    x = 100 * normal(n, 32)
    total_variance = x.var(0).sum().item()
    assert 0 <= frechet_distance(x, x[torch.randperm(n, generator=generator())]) < 1e-12 * total_variance
    constant = torch.ones(n, 32)
    assert frechet_distance(constant, constant) == 0.0


def test_frechet_distance_is_invariant_under_orthogonal_maps_and_translations() -> None:
    x, y = normal(60, 8, seed=1), normal(50, 8, seed=2).exp()
    q = orthogonal(8, 3)
    d2 = frechet_distance(x, y)
    assert frechet_distance(x @ q + 5, y @ q + 5) == pytest.approx(d2, rel=1e-10)
    assert frechet_distance(3 * x, 3 * y) == pytest.approx(9 * d2, rel=1e-12)


def test_frechet_distance_converges_to_that_of_the_gaussians() -> None:
    """Its error at N = M = 20,000 is of the order d / N upward, and a random part of order d / sqrt(N)."""
    mu1, cov1, mu2, cov2 = normal(3), covariance(3, 1), normal(3, seed=2), covariance(3, 3)
    x = mu1 + normal(20_000, 3, seed=4) @ torch.linalg.cholesky(cov1).T
    y = mu2 + normal(20_000, 3, seed=5) @ torch.linalg.cholesky(cov2).T
    assert frechet_distance(x, y) == pytest.approx(gaussian_frechet(mu1, cov1, mu2, cov2), rel=0.03)


def test_frechet_distance_takes_float32_and_leaves_its_arguments_alone() -> None:
    x, y = normal(30, 4, seed=1).float().requires_grad_(), normal(30, 4, seed=2).float()
    before = x.detach().clone()
    d2 = frechet_distance(x, y)
    assert isinstance(d2, float)
    assert d2 == pytest.approx(frechet_distance(before.double(), y.double()), rel=1e-12)
    assert torch.equal(x.detach(), before)


# Errors


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (
            torch.zeros(3, 1, 8, 8),
            torch.zeros(3, 64),
            r"features_x must have shape \(N, D\), .* features_x.flatten",
        ),
        (torch.zeros(3, 64), torch.zeros(64), r"features_y must have shape \(N, D\)"),
        (torch.zeros(3, 64), torch.zeros(3, 32), "as many columns, got 64 and 32"),
        (torch.zeros(1, 4), torch.zeros(3, 4), "features_x must hold at least 2 samples .* got 1"),
        (torch.zeros(3, 4), torch.full((3, 4), torch.nan), "features_y must be finite, got 12 NaN"),
        (torch.tensor([[0.0], [math.inf]]), torch.zeros(2, 1), "features_x must be finite, got 1 NaN"),
    ],
)
def test_frechet_distance_refuses(x: Tensor, y: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frechet_distance(x, y)


@pytest.mark.parametrize(
    ("mu", "cov", "message"),
    [
        (torch.zeros(2, 1), torch.eye(2), r"mu1 must have shape \(D,\), got \(2, 1\)"),
        (torch.zeros(2), torch.eye(3), r"cov1 must have shape \(D, D\) = \(2, 2\), got \(3, 3\)"),
        (torch.zeros(2), torch.ones(2), r"cov1 must have shape"),
        (torch.zeros(2), torch.tensor([[1.0, 0.5], [0.0, 1.0]]), "cov1 must be symmetric"),
        (torch.zeros(2), torch.diag(torch.tensor([1.0, -0.1])), "cov1 must be positive semi-definite"),
        (torch.zeros(2), torch.full((2, 2), torch.nan), "cov1 must be finite"),
        (torch.tensor([0.0, torch.nan]), torch.eye(2), "mu1 must be finite"),
        (torch.zeros(3), torch.eye(3), "mu1 and mu2 must have one shape"),
    ],
)
def test_gaussian_frechet_refuses(mu: Tensor, cov: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gaussian_frechet(mu, cov, torch.zeros(2), torch.eye(2))


# The shipped classifier


def digits_pm1(split: str) -> Tensor:
    images = load_digits(split)
    return to_pm1(images.x, images.levels, dtype=torch.float32)


def test_shipped_classifier_records_how_it_was_made() -> None:
    record = digits_classifier_metadata()
    assert record["command"] == f"{features.COMMAND} --seed {record['seed']}"
    assert record["valid_accuracy"] >= 0.98
    assert record["test_accuracy"] >= 0.96
    assert features.DIGITS_CLASSIFIER.stat().st_size < 250_000


@pytest.mark.parametrize("split", ["valid", "test"])
def test_shipped_classifier_has_the_accuracy_on_record(split: str) -> None:
    logits = digits_features().logits(digits_pm1(split))
    accuracy = (logits.argmax(1) == load_digits(split).y).double().mean().item()
    # One image is 0.003: another machine's rounding may turn one of them.
    assert accuracy == pytest.approx(digits_classifier_metadata()[f"{split}_accuracy"], abs=0.0035)


def test_features_have_the_documented_total_variance() -> None:
    f = digits_features().features(digits_pm1("train"))
    assert f.shape == (1000, 64)
    assert f.var(0).sum().item() == pytest.approx(features.TOTAL_VARIANCE, rel=1e-4)
    # Hence the mean image's features, again and again, are this far away: the trace, with nothing to pair.
    at_the_mean = f.mean(0).expand(1000, 64)
    assert frechet_distance(at_the_mean, f) == pytest.approx(features.TOTAL_VARIANCE, rel=1e-4)


def test_the_metric_ranks_real_warped_one_class_and_noise() -> None:
    classifier = digits_features()
    train = load_digits("train")
    real = classifier.features(digits_pm1("train"))
    held_out = classifier.features(torch.cat([digits_pm1("valid"), digits_pm1("test")]))
    noise = classifier.features(2 * torch.rand(1000, 1, 8, 8, generator=generator()) - 1)
    order = torch.randperm(1000, generator=generator())
    halves = frechet_distance(real[order[:500]], real[order[500:]])
    without_seven = frechet_distance(real[order[:500]], real[order[500:]][train.y[order[500:]] != 7])
    assert halves < 20 < frechet_distance(real, held_out) < 60
    assert without_seven > 1.5 * halves
    assert frechet_distance(real, noise) > 250


def test_the_classifier_is_loaded_frozen_and_separate() -> None:
    one, other = digits_features(), digits_features()
    assert not one.training
    assert not any(p.requires_grad for p in one.parameters())
    with torch.no_grad():
        one.scale.zero_()
    assert other.scale > 0
    x = digits_pm1("test")[:4].requires_grad_()
    other.features(x).sum().backward()  # a gradient in x is still to be had
    assert x.grad is not None


def test_logits_do_not_depend_on_the_scale_of_the_features() -> None:
    classifier = digits_features()
    x = digits_pm1("test")[:4]
    before, f = classifier.logits(x), classifier.features(x)
    classifier.scale *= 2
    torch.testing.assert_close(classifier.logits(x), before)
    torch.testing.assert_close(classifier.features(x), 2 * f)
    torch.testing.assert_close(classifier(x), before)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(4, 64), r"x_pm1 must have shape \(N, 1, 8, 8\), got \(4, 64\)"),
        (torch.zeros(4, 3, 8, 8), r"x_pm1 must have shape"),
        (torch.zeros(4, 1, 8, 8, dtype=torch.uint8), r"floats in \[-1, 1\], got torch.uint8; use to_pm1"),
        (torch.full((4, 1, 8, 8), 16.0), r"must lie in \[-1, 1\], got values from 16 to 16; use to_pm1"),
        (torch.full((4, 1, 8, 8), torch.nan), r"must lie in \[-1, 1\]"),
    ],
)
def test_classifier_refuses(x: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DigitsClassifier().features(x)


def test_missing_and_damaged_files_name_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "digits_classifier.safetensors"
    monkeypatch.setattr(features, "DIGITS_CLASSIFIER", file)
    with pytest.raises(
        FileNotFoundError, match=r"make it by `python -m dgm.metrics.train_digits_classifier`"
    ):
        digits_features()
    file.write_bytes(b"no safetensors")
    with pytest.raises(ValueError, match=r"is damaged .* make it anew"):
        digits_features()


@pytest.mark.slow
def test_training_anew_gives_as_good_a_classifier(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    from dgm.metrics.train_digits_classifier import main

    shipped = digits_classifier_metadata()
    out = tmp_path / "again.safetensors"
    state = torch.get_rng_state()
    main(["--seed", str(shipped["seed"]), "--out", str(out)])
    assert torch.equal(torch.get_rng_state(), state)  # no trace in the global generator
    again = json.loads(capsys.readouterr().out)
    assert again["command"] == shipped["command"]
    # Another machine rounds otherwise. Binomial noise of 447 images at .97 is .008 (one standard deviation).
    assert again["test_accuracy"] == pytest.approx(shipped["test_accuracy"], abs=0.024)
    assert again["valid_accuracy"] == pytest.approx(shipped["valid_accuracy"], abs=0.02)


def test_frechet_distance_of_two_samples_of_one_gaussian_is_its_bias() -> None:
    # To first order ‖m1 - m2‖² adds D (1/N + 1/M), the covariances ‖S1 - S2‖²/4, and E‖S1 - S2‖² is
    # D (D + 1) (1/N + 1/M). The next order is D/N = 3 % of that.
    d, n = 64, 2000
    expected = 2 / n * (d + d * (d + 1) / 4)
    read = [frechet_distance(normal(n, d, seed=2 * s), normal(n, d, seed=2 * s + 1)) for s in range(4)]
    assert np.mean(read) == pytest.approx(expected, rel=0.04)


# The kernel distance


def test_kernel_distance_is_its_double_sums() -> None:
    x, y = normal(5, 3, seed=1), normal(4, 3, seed=2) + 0.5

    def k(a: Tensor, b: Tensor) -> float:
        return float((a @ b / 3 + 1) ** 3)

    xx = sum(k(x[i], x[j]) for i in range(5) for j in range(5) if i != j) / 20
    yy = sum(k(y[i], y[j]) for i in range(4) for j in range(4) if i != j) / 12
    xy = sum(k(a, b) for a in x for b in y) / 20
    assert kernel_distance(x, y) == pytest.approx(xx + yy - 2 * xy, rel=1e-12)


def test_kernel_distance_is_unbiased() -> None:
    # On the line (xy + 1)³ = sum binom(3, i) xⁱ yⁱ, so the truth is sum binom(3, i) (E xⁱ - E yⁱ)².
    mu, truth = 0.5, 0.0
    moments = [0.0, 1.0, 0.0], [mu, 1 + mu**2, mu**3 + 3 * mu]
    for i, (a, b) in enumerate(zip(*moments, strict=True), start=1):
        truth += math.comb(3, i) * (a - b) ** 2
    g = generator(1)

    def estimates(shift: float) -> Tensor:
        draws = [
            (torch.randn(20, 1, generator=g, dtype=F64), torch.randn(15, 1, generator=g, dtype=F64))
            for _ in range(2000)
        ]
        return torch.tensor([kernel_distance(x, y + shift) for x, y in draws])

    for shift, expected in ((mu, truth), (0.0, 0.0)):
        read = estimates(shift)
        z = (read.mean() - expected) / (read.std() / math.sqrt(len(read)))
        assert abs(z) < 4
    assert read.min() < 0  # without bias there must be values below zero at equality


def test_kernel_distance_by_features_of_another_scale() -> None:
    # The kernel divides by D: repeating every feature changes nothing.
    x, y = normal(9, 4, seed=1), normal(8, 4, seed=2) + 1
    assert kernel_distance(x.repeat(1, 3), y.repeat(1, 3)) == pytest.approx(kernel_distance(x, y), rel=1e-12)


# Balls of neighbours


def slow_balls(x: Tensor, y: Tensor, k: int) -> Tensor:
    """[i, j]: y_j lies in the ball around x_i that reaches to its k-th neighbour among x."""
    radii = torch.stack([(x - row).norm(dim=1).sort().values[k] for row in x])  # index 0 is the row itself
    return torch.stack([(y - row).norm(dim=1) <= r for row, r in zip(x, radii, strict=True)])


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("block", [7, 1 << 22])
def test_balls_against_the_slow_way(k: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "BLOCK_ENTRIES", block)  # one row at a time, or all at once
    x, y = normal(30, 3, seed=1), 0.8 * normal(40, 3, seed=2) + 0.3
    of_x, of_y = slow_balls(x, y, k), slow_balls(y, x, k)
    both = precision_recall(x, y, k)
    assert both.precision == pytest.approx(of_x.any(0).double().mean().item())
    assert both.recall == pytest.approx(of_y.any(0).double().mean().item())
    robust = density_coverage(x, y, k)
    assert robust.density == pytest.approx(of_x.sum().item() / (k * 40))
    assert robust.coverage == pytest.approx(of_x.any(1).double().mean().item())


def test_neighbour_radii_by_hand() -> None:
    x = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    assert neighbour_radii(x, 1).tolist() == [1, 1, 4, 16]
    assert neighbour_radii(x, 2).tolist() == [9, 4, 9, 36]


def test_density_and_coverage_of_one_distribution() -> None:
    # Ranks alone decide: y is within the k nearest of N with probability k/N, so density is 1; a ball is
    # empty when the k nearest of the other N + M - 1 points are all of x.
    n, m, k = 40, 30, 3
    read = [density_coverage(normal(n, 2, seed=2 * s), normal(m, 2, seed=2 * s + 1), k) for s in range(400)]
    expected = 1 - math.prod((n - j) / (n + m - j) for j in range(1, k + 1))
    for values, truth in (([r.density for r in read], 1.0), ([r.coverage for r in read], expected)):
        assert abs(np.mean(values) - truth) < 4 * np.std(values) / math.sqrt(len(values))


def test_collapse_has_high_precision_and_low_recall_and_noise_the_reverse() -> None:
    real = normal(500, 8)
    collapsed = real[:1] + 0.05 * normal(500, 8, seed=1)
    spread = 4 * normal(500, 8, seed=2)
    assert precision_recall(real, collapsed) == (1.0, pytest.approx(0.002, abs=0.01))
    precision, recall = precision_recall(real, spread)
    assert precision < 0.2
    assert recall > 0.8
    assert density_coverage(real, collapsed, 5).coverage < 0.05


# The Inception Score


def test_class_information_at_its_ends() -> None:
    sure = 100 * torch.eye(7, dtype=F64)
    assert class_information(sure) == pytest.approx(math.log(7))
    assert inception_score(sure) == pytest.approx(7)
    assert class_information(sure[:1].expand(9, 7)) == 0.0  # sure, but of one class
    assert class_information(torch.zeros(9, 7)) == 0.0  # of all classes, but never sure


def test_class_information_is_the_mean_divergence_from_the_marginal() -> None:
    logits = 2 * normal(50, 6)
    each = torch.distributions.Categorical(logits=logits)
    marginal = torch.distributions.Categorical(probs=each.probs.mean(0))
    expected = torch.distributions.kl_divergence(each, marginal).mean().item()
    assert class_information(logits) == pytest.approx(expected, rel=1e-10)
    assert inception_score(logits) == pytest.approx(math.exp(expected), rel=1e-10)


# Extrapolation


def test_extrapolation_finds_the_intercept() -> None:
    line = extrapolated_frechet(
        normal(400, 3), normal(50, 3), distance=lambda x, y: 3 + 5 / len(x), points=6, smallest=40
    )
    assert line.limit == pytest.approx(3)
    assert line.slope == pytest.approx(5)
    assert line.sizes.tolist() == [40, 112, 184, 256, 328, 400]


@pytest.mark.parametrize(("n", "d", "smallest"), [(207, 3, 20), (100, 8, 16), (43, 15, 21), (4, 1, 2)])
def test_extrapolation_starts_at_a_tenth_but_at_twice_the_columns_where_there_is_room(
    n: int, d: int, smallest: int
) -> None:
    line = extrapolated_frechet(normal(n, d), normal(9, d), distance=lambda x, y: 7 / len(x), points=2)
    assert line.sizes.tolist() == [smallest, n]
    assert line.limit == pytest.approx(0, abs=1e-12)
    assert line.slope == pytest.approx(7)


def test_extrapolation_spaces_its_sizes_equally_to_the_nearest_whole() -> None:
    line = extrapolated_frechet(normal(20, 1), normal(9, 1), distance=lambda x, y: 0.0, points=4, smallest=4)
    assert line.sizes.tolist() == [4, 9, 15, 20]  # 4 + 16 / 3 i


def test_extrapolation_takes_most_of_the_bias_away() -> None:
    d, n, m = 8, 1000, 20_000
    y = normal(m, d, seed=100)
    xs = [normal(n, d, seed=s) for s in range(12)]
    biased = np.mean([frechet_distance(x, y) for x in xs])
    lines = [extrapolated_frechet(x, y, points=8, generator=generator(1)) for x in xs]
    limits = np.array([line.limit for line in lines])
    per_sample = d + d * (d + 1) / 4  # times 1/N: the bias to first order
    assert biased == pytest.approx(per_sample / n, rel=0.2)
    assert np.mean([line.slope for line in lines]) == pytest.approx(per_sample, rel=0.3)
    error = limits.std() / math.sqrt(len(limits))
    assert abs(limits.mean() - per_sample / m) < 4 * error  # the reference's own bias stays
    assert limits.mean() + 2 * error < biased / 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 1}, "a line needs at least 2 points, got points=1"),
        ({"smallest": 1}, r"smallest must lie between 2 and N - 1 = 9, got 1"),
        ({"smallest": 10}, r"smallest must lie between 2 and N - 1 = 9, got 10"),
    ],
)
def test_extrapolation_refuses(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        extrapolated_frechet(normal(10, 2), normal(10, 2), **options)


# Two samples


def test_neighbour_test_by_hand() -> None:
    real = torch.tensor([[0.0], [1.0], [10.0]])
    fake = torch.tensor([[9.0], [20.0], [21.0]])
    # real: 0 and 1 have each other, 10 has 9; fake: 9 has 10, 20 and 21 have each other
    assert neighbour_test(real, fake) == (2 / 3, 2 / 3)
    assert neighbour_test(real[:2], real[:2] + 5) == (1.0, 1.0)
    even = torch.tensor([[0.0], [2.0]])
    assert neighbour_test(even, torch.tensor([[-2.0], [4.0]])) == (0.0, 0.0)  # as near is not nearer
    # a collapsed model beside one real row: 0 has 1, 1 has the samples and so has 10, which they have not
    assert neighbour_test(real, torch.tensor([[1.3], [1.4], [1.5]])) == (1 / 3, 1.0)


def test_neighbour_test_tells_the_cases_apart() -> None:
    real, same = normal(400, 5), normal(400, 5, seed=1)
    assert neighbour_test(real, same).accuracy == pytest.approx(0.5, abs=0.06)
    assert neighbour_test(real, same + 3).accuracy > 0.99
    assert neighbour_test(real, real + 1e-3 * same).accuracy < 0.05
    collapsed = neighbour_test(real, same[torch.arange(400) % 10] + 1e-3 * real)
    assert collapsed.fake > 0.95


def test_copying_z_is_the_mann_whitney_statistic() -> None:
    train, held, fake = normal(60, 2), normal(25, 2, seed=1), 0.9 * normal(31, 2, seed=2)
    a, b = (torch.cdist(x, train).min(1).values.numpy() for x in (fake, held))
    expected = scipy.stats.mannwhitneyu(a, b, use_continuity=False, method="asymptotic")
    z = copying_z(fake, held, train)
    assert 2 * scipy.stats.norm.sf(abs(z)) == pytest.approx(expected.pvalue, rel=1e-9)
    assert (z > 0) == (expected.statistic > 31 * 25 / 2)


def test_copying_z_knows_copies_and_blur() -> None:
    train, held = normal(300, 4), normal(200, 4, seed=1)
    assert copying_z(train[:100] + 0.01, held, train) < -8
    assert copying_z(held, held, train) == 0.0
    assert copying_z(3 * normal(200, 4, seed=2), held, train) > 8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: kernel_distance(normal(4), normal(4, 2)),
            r"features_x must have shape \(N, D\), got",
        ),
        (lambda: kernel_distance(normal(1, 2), normal(4, 2)), "at least 2 samples to have pairs, got 1"),
        (lambda: kernel_distance(normal(4, 3), normal(4, 2)), "as many columns, got 3 and 2"),
        (lambda: kernel_distance(normal(4, 2) / 0, normal(4, 2)), "features_x must be finite, got 8 NaN"),
        (lambda: precision_recall(normal(3, 2), normal(9, 2)), "at least 4 samples to have 3 neighbours"),
        (lambda: density_coverage(normal(9, 2), normal(9, 2), 0), "k must be at least 1, got 0"),
        (lambda: class_information(normal(4)), r"logits must have shape \(N, K\)"),
        (lambda: class_information(normal(4, 2) / 0), "logits must be finite, got 8"),
        (lambda: neighbour_test(normal(4, 2), normal(5, 2)), "as many rows, got 4 and 5; cut the longer one"),
        (
            lambda: copying_z(normal(4, 2), normal(0, 2), normal(5, 2)),
            "held_out must hold at least 1",
        ),
    ],
)
def test_metrics_refuse(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
