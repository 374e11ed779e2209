"""The metrics at the sizes of Inception's features: the fast way to the Fréchet distance, blocks, subsets."""

import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dgm.metrics import (
    arrays,
    copying_z,
    density_coverage,
    draw_subsets,
    frechet,
    frechet_distance,
    gaussian_frechet,
    kernel_distance,
    neighbour_radii,
    neighbour_test,
    precision_recall,
    subset_kernel_distances,
)

F64 = torch.float64


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=F64)


def orthogonal(d: int, seed: int = 0) -> Tensor:
    q: Tensor = torch.linalg.qr(normal(d, d, seed=seed)).Q
    return q


def features(n: int, d: int, seed: int, decades: float = 1.0) -> Tensor:
    """Correlated features off the origin, whose standard deviations span so many powers of ten."""
    return normal(n, d, seed=seed) * torch.logspace(0, -decades, d, dtype=F64) @ orthogonal(d) + 0.7


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way by eigenvalues at every size, in blocks of a few columns; never the other way."""
    monkeypatch.setattr(frechet, "_LARGE", 1)
    monkeypatch.setattr(frechet, "_COLUMNS", 5)

    def refuse(*_: Tensor) -> float:
        raise AssertionError("took the way by singular values")

    monkeypatch.setattr(frechet, "_by_singular_values", refuse)


def count_ways(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A list that gets one entry per attempt by eigenvalues: whether it was taken."""
    taken = []
    attempt = frechet._by_eigenvalues

    def counted(*arguments: Tensor) -> float | None:
        d2 = attempt(*arguments)
        taken.append(d2 is not None)
        return d2

    monkeypatch.setattr(frechet, "_by_eigenvalues", counted)
    return taken


# The Fréchet distance by eigenvalues


@pytest.mark.usefixtures("fast")
def test_by_eigenvalues_of_commuting_covariances() -> None:
    q, v1, v2 = orthogonal(64), normal(64, seed=1).exp(), normal(64, seed=2).exp()
    mu1, mu2 = normal(64, seed=3), normal(64, seed=4)
    expected = (mu1 - mu2).square().sum() + (v1.sqrt() - v2.sqrt()).square().sum()
    d2 = gaussian_frechet(mu1, q @ v1.diag() @ q.T, mu2, q @ v2.diag() @ q.T)
    assert d2 == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.usefixtures("fast")
def test_by_eigenvalues_of_random_covariances() -> None:
    x, y = features(200, 64, 1), 1.3 * features(150, 64, 2) + 0.1
    mu_x, c_x, mu_y, c_y = x.mean(0), torch.cov(x.T), y.mean(0), torch.cov(y.T)
    assert not torch.allclose(c_x @ c_y, c_y @ c_x)
    root = np.trace(scipy.linalg.sqrtm(c_x.numpy() @ c_y.numpy())).real
    expected = (mu_x - mu_y).square().sum() + c_x.trace() + c_y.trace() - 2 * root
    assert frechet_distance(x, y) == pytest.approx(expected.item(), rel=1e-9)
    assert gaussian_frechet(mu_x, c_x, mu_y, c_y) == pytest.approx(expected.item(), rel=1e-9)
    assert frechet_distance(x.float(), y.float()) == pytest.approx(expected.item(), rel=1e-5)


def in_fifty_digits(x: Tensor, y: Tensor) -> float:
    """The distance of features by the same formula in arithmetic of fifty digits."""

    def gaussian(z: Tensor) -> tuple[list[mpmath.mpf], mpmath.matrix]:
        columns = [[mpmath.mpf(v) for v in column] for column in z.T.tolist()]
        means = [mpmath.fsum(column) / len(column) for column in columns]
        columns = [[v - m for v in column] for column, m in zip(columns, means, strict=True)]
        cov = mpmath.matrix(len(columns))
        for i, a in enumerate(columns):
            for j, b in enumerate(columns):
                cov[i, j] = mpmath.fdot(a, b) / (len(a) - 1)
        return means, cov

    with mpmath.workdps(50):
        (m1, c1), (m2, c2) = gaussian(x), gaussian(y)
        lower = mpmath.cholesky(c1)
        squares = mpmath.eigsy(lower.T * c2 * lower, eigvals_only=True)
        traces = mpmath.fsum(c1[i, i] + c2[i, i] for i in range(len(m1)))
        root = mpmath.fsum(mpmath.sqrt(v) for v in squares)
        return float(mpmath.fsum((a - b) ** 2 for a, b in zip(m1, m2, strict=True)) + traces - 2 * root)


def test_every_distance_is_right_to_a_hundred_millionth_down_to_nearly_singular_covariances(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Up to 1e16 between the variances, and sets that differ by a ten-thousandth: the traces cancel.
    pairs = []
    for decades in (0, 2, 4, 8):
        for gap in (1.0, 1e-2, 1e-4):
            x = features(30, 12, 1, decades)
            pairs.append((x, x + gap * (features(30, 12, 2, decades) - 0.7)))
    # One wide direction, and in the others sets of unlike, small widths: rounding of the squares of the small
    # ones is that of the wide one, so that the way by eigenvalues is wrong by 1e-7, and is to see it itself.
    wide = torch.tensor([1.0] + 11 * [0.0], dtype=F64)
    for thin, unit in ((1e-7, 1.0), (3e-8, 1e3)):
        z, noise = unit * normal(30, 12, seed=1), unit * normal(30, 12, seed=2)
        pairs.append(
            tuple((z * wide + width * noise * (1 - wide)) @ orthogonal(12) for width in (thin, 1e-3))
        )
    monkeypatch.setattr(frechet, "_LARGE", 1)
    taken = count_ways(monkeypatch)
    for x, y in pairs:
        expected = in_fifty_digits(x, y)
        # Rounding of the traces, which are 1e8 times the least of these distances, is beyond any way.
        slack = 1e-15 * x.var(0).sum().item() / expected
        assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-8 + 3 * slack)
    assert 3 <= sum(taken) < len(pairs)


@pytest.mark.parametrize("d", [256, 300])
def test_both_ways_agree_at_hundreds_of_columns(d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = features(700, d, 1, 2), 1.1 * features(600, d, 2, 2)
    taken = count_ways(monkeypatch)
    fast, of_covariances = (
        frechet_distance(x, y),
        gaussian_frechet(x.mean(0), torch.cov(x.T), y.mean(0), torch.cov(y.T)),
    )
    assert taken == [True, True]
    monkeypatch.setattr(frechet, "_LARGE", d + 1)
    slow = frechet_distance(x, y)
    assert len(taken) == 2
    assert fast == pytest.approx(slow, rel=1e-9)
    assert of_covariances == pytest.approx(slow, rel=1e-9)


def test_the_fast_way_is_open_in_any_unit_of_the_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frechet, "_LARGE", 1)
    taken = count_ways(monkeypatch)
    x, y = features(60, 12, 1), 1.3 * features(50, 12, 2)
    for unit in (1e-5, 1.0, 1e5):
        assert frechet_distance(unit * x, unit * y) == pytest.approx(unit**2 * frechet_distance(x, y))
    assert all(taken)


def test_singular_covariances_of_hundreds_of_columns() -> None:
    d = 260
    dead = features(400, d, 1)
    dead[:, 7] = 0.0  # as a rectified feature that no image wakes
    flat = normal(400, 20, seed=2) @ normal(20, d, seed=3)
    few = features(30, d, 4)
    sets = {"dead": dead, "flat": flat, "few": few, "constant": torch.ones(400, d, dtype=F64)}
    for one, x in sets.items():
        traces = max(x.var(0).sum().item(), 1.0)
        assert 0 <= frechet_distance(x, x.flip(0)) < 1e-12 * traces, one
        mu, cov = x.mean(0), torch.cov(x.T)
        assert 0 <= gaussian_frechet(mu, cov, mu, cov) < 1e-12 * traces, one
        for other, y in sets.items():
            d2 = frechet_distance(x, y)
            # A covariance has lost what the features know: its eigenvalues of 0 are 1e-16, their roots 1e-8.
            expected = gaussian_frechet(mu, cov, y.mean(0), torch.cov(y.T))
            assert d2 == pytest.approx(expected, rel=1e-6, abs=1e-6), (one, other)


def test_full_rank_features_are_at_distance_zero_of_themselves() -> None:
    x = features(600, 260, 1)
    assert 0 <= frechet_distance(x, x[torch.randperm(600, generator=generator())]) < 1e-12 * x.var(0).sum()


def test_never_negative_and_never_nan() -> None:
    for seed in range(60):
        rank_x, rank_y = 1 + seed % 5, 1 + seed % 3
        x = normal(4 + seed % 9, rank_x, seed=seed) @ normal(rank_x, 6, seed=1000 + seed)
        y = x[: 2 + seed % 3] + 10.0 ** -(seed % 16) * normal(1, rank_y, seed=seed) @ normal(rank_y, 6)
        assert frechet_distance(x, y) >= 0  # false for NaN
        assert gaussian_frechet(x.mean(0), torch.cov(x.T), y.mean(0), torch.cov(y.T)) >= 0


@pytest.mark.parametrize("wrong", [1, 2])
def test_an_indefinite_covariance_of_hundreds_of_columns_is_refused(wrong: int) -> None:
    d = 256
    good, bad = torch.eye(d), torch.eye(d)
    bad[3, 3] = -0.01
    covs = [bad, good] if wrong == 1 else [good, bad]
    with pytest.raises(
        ValueError, match=f"cov{wrong} must be positive semi-definite, got the eigenvalue -0.01"
    ):
        gaussian_frechet(torch.zeros(d), covs[0], torch.zeros(d), covs[1])


# Blocks

CALLS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "frechet_distance": frechet_distance,
    "kernel_distance": kernel_distance,
    "subset_kernel_distances": lambda x, y: subset_kernel_distances(
        x, y, draw_subsets(len(x), subsets=20, size=60), draw_subsets(len(y), subsets=20, size=60)
    ),
    "neighbour_radii": lambda x, _: neighbour_radii(x, 4),
    "precision_recall": precision_recall,
    "density_coverage": density_coverage,
    "neighbour_test": lambda x, y: neighbour_test(x[: len(y)], y),
    "copying_z": lambda x, y: copying_z(y, 1.2 * y, x),
}


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("name", CALLS)
def test_blocks_change_no_value(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = features(130, 6, 1), features(120, 6, 2) + 0.1
    read = []
    for entries in (1 << 22, 3000, 700, 1):  # all at once, 23 rows, 5 rows, one row
        monkeypatch.setattr(arrays, "BLOCK_ENTRIES", entries)
        torch.manual_seed(0)
        read.append(torch.as_tensor(CALLS[name](x, y), dtype=F64))
    for other in read[1:]:
        torch.testing.assert_close(other, read[0], rtol=1e-10, atol=1e-13)


class Largest(TorchDispatchMode):
    """The number of entries of the largest tensor that an operation made."""

    entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            given = [a.untyped_storage().data_ptr() for a in args if isinstance(a, Tensor)]
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in given:  # no view
                self.entries = max(self.entries, tensor.numel())
        return out


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("name", CALLS)
def test_memory_is_bounded_by_blocks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "BLOCK_ENTRIES", 1000)
    x, y = features(1300, 6, 1), features(1200, 6, 2) + 0.1
    with Largest() as largest:
        CALLS[name](x, y)
    # x itself has 7800 entries, 20 subsets say of 1300 rows whether they are in; all pairs are 1.5 million.
    # The Fréchet distance does not even copy x: a block of 166 rows, 14 numbers apart.
    bound = {"frechet_distance": 166 * 14, "subset_kernel_distances": 20 * 1300}.get(name, 6 * 1300)
    assert 0 < largest.entries <= bound


@pytest.mark.parametrize("k", [1, 4, 9])
@pytest.mark.parametrize("entries", [1, 55, 130])
def test_neighbours_across_blocks(k: int, entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # 11 rows: blocks of 1, of 5, 5 and 1, or of all of them; the last ones hold fewer than k columns.
    monkeypatch.setattr(arrays, "BLOCK_ENTRIES", entries)
    x = normal(11, 3)
    expected = torch.stack([(x - row).square().sum(1).sort().values[k] for row in x])
    torch.testing.assert_close(neighbour_radii(x, k), expected, rtol=1e-10, atol=0)


# Subsets


@pytest.mark.parametrize("rows", [40, 200])
@pytest.mark.parametrize("entries", [1 << 22, 500])
def test_subset_kernel_distances_are_those_of_the_subsets(
    rows: int, entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of 40 rows the subsets take every pair several times, of 200 they leave most out: the two ways.
    monkeypatch.setattr(arrays, "BLOCK_ENTRIES", entries)
    x, y = features(rows, 5, 1), features(rows - 3, 5, 2) + 0.4
    of_x = draw_subsets(rows, subsets=9, size=20, generator=generator(1))
    of_y = draw_subsets(rows - 3, subsets=9, size=25, generator=generator(2))
    expected = [kernel_distance(x[i], y[j]) for i, j in zip(of_x, of_y, strict=True)]
    torch.testing.assert_close(
        subset_kernel_distances(x, y, of_x, of_y), torch.tensor(expected, dtype=F64), rtol=1e-10, atol=1e-12
    )


def test_a_row_that_is_in_a_subset_twice_counts_as_two_rows() -> None:
    x, y = normal(9, 3, seed=1), normal(9, 3, seed=2) + 1
    of_x, of_y = torch.tensor([[0, 3, 3, 5], [1, 1, 1, 8]]), torch.tensor([[2, 3, 4, 4], [0, 1, 2, 3]])
    three = torch.cat([of_x, of_x, of_x]), torch.cat([of_y, of_y, of_y])  # enough pairs for the fast way
    expected = torch.tensor([kernel_distance(x[i], y[j]) for i, j in zip(of_x, of_y, strict=True)], dtype=F64)
    torch.testing.assert_close(subset_kernel_distances(x, y, *three), expected.repeat(3), rtol=1e-10, atol=0)


def test_subsets_of_one_distribution_have_mean_zero() -> None:
    # The mean over disjoint resamples: independent, so that their deviation is that of the mean.
    x, y = normal(4000, 3, seed=1), normal(4000, 3, seed=2)
    parts = torch.randperm(4000, generator=generator(3)).reshape(100, 40)
    read = subset_kernel_distances(x, y, parts, parts.flip(0))
    assert abs(read.mean() / (read.std() / math.sqrt(100))) < 4
    assert (read < 0).any()
    shifted = subset_kernel_distances(x, y + 0.3, parts, parts)
    assert shifted.mean() / (shifted.std() / math.sqrt(100)) > 4


def test_draws_of_subsets() -> None:
    drawn = draw_subsets(50, subsets=7, size=20, generator=generator())
    assert drawn.shape == (7, 20)
    assert all(len(set(row)) == 20 for row in drawn.tolist())
    assert torch.equal(drawn, draw_subsets(50, subsets=7, size=20, generator=generator()))
    assert drawn.min() >= 0
    assert drawn.max() < 50


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: draw_subsets(20), "from 1 to the 20 rows, got subsets=100 and size=1000; draw more"),
        (lambda x: draw_subsets(20, subsets=0, size=2), "at least 1 subset"),
        (lambda x: (torch.zeros(3), torch.zeros(3)), r"subsets_x must be whole numbers of shape \(S, n\)"),
        (lambda x: (torch.zeros(3, 4), torch.zeros(3, 4)), "whole numbers .* got torch.float32"),
        (lambda x: (torch.zeros(3, 1).long(), torch.zeros(3, 4).long()), "n at least 2"),
        (lambda x: (torch.full((3, 4), 20), torch.zeros(3, 4).long()), "rows of features_x, 0 to 19, got 20"),
        (lambda x: (torch.zeros(3, 4).long(), torch.full((3, 4), -1)), "rows of features_y, 0 to 19, got -1"),
        (lambda x: (torch.zeros(3, 4).long(), torch.zeros(2, 4).long()), "as many rows, got 3 and 2"),
    ],
)
def test_subsets_refuse(call: Callable[[Tensor], object], message: str) -> None:
    x = normal(20, 2)
    with pytest.raises(ValueError, match=message):
        subset_kernel_distances(x, x, *call(x))  # type: ignore[misc]
