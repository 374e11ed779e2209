"""The Fréchet distance against closed forms and scipy's sqrtm; the shipped classifier against its record."""

import json
import math

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from dgm.data import load_digits, to_pm1
from dgm.metrics import (
    DigitsClassifier,
    digits_classifier_metadata,
    digits_features,
    features,
    frechet_distance,
    gaussian_frechet,
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
