"""The metrics beside those of torchmetrics, torch-fidelity, pytorch-fid and clean-fid, on equal features.

Each test calls the package's innermost function that takes features or their statistics, so that nothing is
downloaded. `make test-peers` runs them; where a package is missing they are skipped.
"""

import warnings
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dgm.metrics import (
    frechet,
    frechet_distance,
    gaussian_frechet,
    inception_score,
    kernel_distance,
    precision_recall,
    subset_kernel_distances,
)

F64 = torch.float64
# rank: of the features; None for the full one
CASES = {"full-rank": (500, 500, None), "other-sizes": (500, 300, None), "rank-20": (500, 500, 20)}
CASES |= {"fewer-than-columns": (40, 50, None)}


def package(name: str) -> ModuleType:
    """A module of a peer, or a skip that says what to install."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the peers themselves import
        return pytest.importorskip(name, reason=f"{name} is not installed: make test-peers")


def features(n: int, m: int, rank: int | None, d: int = 64) -> tuple[Tensor, Tensor]:
    """Two sets of rectified, correlated features, or of such in fewer dimensions."""
    rng = torch.Generator().manual_seed(0)
    mixing = torch.randn(rank or d, d, generator=rng, dtype=F64) / d**0.5
    x, y = (torch.randn(rows, rank or d, generator=rng, dtype=F64) @ mixing for rows in (n, m))
    if rank is not None:
        return x + 0.3, 1.2 * y
    return (x + 0.3).relu(), (1.2 * y + 0.2).relu()


class Given(nn.Module):
    """What torchmetrics takes for a feature extractor: it hands on the features it is given."""

    num_features = 64

    def forward(self, x: Tensor) -> Tensor:
        return x


def by_torchmetrics(x: Tensor, y: Tensor) -> float:
    fid = package("torchmetrics.image.fid")
    metric = fid.FrechetInceptionDistance(feature=Given())
    metric.update(x, real=True)
    metric.update(y, real=False)
    return float(metric.compute())


def by_torch_fidelity(x: Tensor, y: Tensor) -> float:
    fid = package("torch_fidelity.metric_fid")
    return fid.fid_statistics_to_metric(
        fid.fid_features_to_statistics(x), fid.fid_features_to_statistics(y), verbose=False
    )[fid.KEY_METRIC_FID]


def statistics(x: Tensor, y: Tensor) -> list[np.ndarray]:
    return [s for z in (x.numpy(), y.numpy()) for s in (z.mean(0), np.cov(z, rowvar=False))]


def by_pytorch_fid(x: Tensor, y: Tensor) -> float:
    return float(package("pytorch_fid.fid_score").calculate_frechet_distance(*statistics(x, y)))


def by_clean_fid(x: Tensor, y: Tensor) -> float:
    return float(package("cleanfid.fid").frechet_distance(*statistics(x, y)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*sqrtm.*", "ignore:.*singular.*")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "theirs", [by_torchmetrics, by_torch_fidelity, by_pytorch_fid, by_clean_fid], ids=lambda f: f.__name__
)
def test_frechet_distance_is_theirs(
    theirs: Callable[[Tensor, Tensor], float], case: str, monkeypatch
) -> None:
    x, y = features(*CASES[case])
    expected = theirs(x, y)
    mu_x, cov_x, mu_y, cov_y = (torch.from_numpy(s) for s in statistics(x, y))
    for columns in (256, 1):  # by singular values; by eigenvalues, where that is accurate
        monkeypatch.setattr(frechet, "_LARGE", columns)
        assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)
        assert gaussian_frechet(mu_x, cov_x, mu_y, cov_y) == pytest.approx(expected, rel=1e-6)


# Subsets: theirs are drawn inside, so the same draws are made again here.


@pytest.mark.parametrize(("subsets", "size"), [(1, 300), (30, 200), (3, 40)])
def test_kernel_distance_is_torch_fidelitys(subsets: int, size: int) -> None:
    kid = package("torch_fidelity.metric_kid")
    x, y = features(500, 300, None)
    read = kid.kid_features_to_metric(
        x, y, kid_subsets=subsets, kid_subset_size=size, rng_seed=7, verbose=False
    )
    rng = np.random.RandomState(7)
    pairs = [[rng.choice(len(z), size, replace=False) for z in (x, y)] for _ in range(subsets)]
    of_x, of_y = (torch.from_numpy(np.stack(rows)) for rows in zip(*pairs, strict=True))
    ours = subset_kernel_distances(x, y, of_x, of_y)
    assert ours.mean().item() == pytest.approx(read[kid.KEY_METRIC_KID_MEAN], rel=1e-6)
    assert ours.std(correction=0).item() == pytest.approx(read[kid.KEY_METRIC_KID_STD], rel=1e-6, abs=1e-12)


def test_kernel_distance_is_torchmetrics() -> None:
    kid = package("torchmetrics.image.kid")
    x, y = features(500, 300, None)
    metric = kid.KernelInceptionDistance(feature=Given(), subsets=30, subset_size=200)
    metric.update(x, real=True)
    metric.update(y, real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        mean, std = metric.compute()
        torch.manual_seed(7)
        pairs = [[torch.randperm(len(z))[:200] for z in (x, y)] for _ in range(30)]
    of_x, of_y = (torch.stack(rows) for rows in zip(*pairs, strict=True))
    ours = subset_kernel_distances(x, y, of_x, of_y)
    assert ours.mean().item() == pytest.approx(mean.item(), rel=1e-6)
    assert ours.std(correction=0).item() == pytest.approx(std.item(), rel=1e-6)
    whole = features(400, 400, None)
    assert kernel_distance(*whole) == pytest.approx(kid.poly_mmd(*whole).item(), rel=1e-6)


def test_kernel_distance_is_clean_fids() -> None:
    fid = package("cleanfid.fid")
    x, y = features(400, 400, None)
    # One subset of all: whatever the order that it draws, the value is that of the whole sets.
    read = fid.kernel_distance(x.numpy(), y.numpy(), num_subsets=1, max_subset_size=400)
    assert kernel_distance(x, y) == pytest.approx(read, rel=1e-6)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("way", ["full", "part"])
def test_precision_and_recall_are_torch_fidelitys(way: str, k: int) -> None:
    prc = package("torch_fidelity.metric_prc")
    fake, real = features(500, 450, None, d=8)
    precision, recall = getattr(prc, f"calculate_precision_recall_{way}")(fake, real, k, batch_size=128)
    ours = precision_recall(real, fake, k)
    assert 0.1 < ours.precision < 1
    assert 0.1 < ours.recall < 1
    # Theirs are means in float32.
    assert ours.precision == pytest.approx(precision, rel=1e-6)
    assert ours.recall == pytest.approx(recall, rel=1e-6)


def test_inception_score_is_torch_fidelitys() -> None:
    isc = package("torch_fidelity.metric_isc")
    logits = 3 * features(500, 500, None)[0]
    read = isc.isc_features_to_metric(logits, splits=1, shuffle=False)
    assert inception_score(logits) == pytest.approx(read[isc.KEY_METRIC_ISC_MEAN], rel=1e-6)
    parts = isc.isc_features_to_metric(logits, splits=10, shuffle=False)
    ours = np.mean([inception_score(part) for part in logits.chunk(10)])
    assert ours == pytest.approx(parts[isc.KEY_METRIC_ISC_MEAN], rel=1e-6)
