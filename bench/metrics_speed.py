"""How fast the metrics run beside four packages', on the same features: `python bench/metrics_speed.py`.

Each package's own functions on given float64 features of 2048 columns, one thread for all, CPU-seconds.
Rounds alternate between the packages; the figure of a row is, round by round, the time of the peer that is
fastest by its median divided by dgm's. At least 2 for the Fréchet distance of 10,000 samples, at least 1 for
the kernel distance and for precision and recall of 3000. The values must agree to 1e-6. The two packages that
take a general matrix square root are measured once. Four minutes on an idle core.

Given float32 features the peers compute the last two in float32, twice as fast, and the kernel distance then
has three or four digits left; dgm's takes every feature in float64.

The four packages are in the environment that `make peers` builds.
"""

import argparse
import statistics
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from common import CpuClock, Figure, finish, need, parse_options, table
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from dgm.metrics import (
    draw_subsets,
    frechet_distance,
    kernel_distance,
    precision_recall,
    subset_kernel_distances,
)

COLUMNS = 2048
FRECHET_ROWS, OTHER_ROWS = 10_000, 3000
SUBSETS, SUBSET_ROWS = 20, 1000  # publications take 100: five times the peers' time, and no more of dgm's
ROUNDS = 5
NEIGHBOURS = 3
PEERS = {"torchmetrics": "torchmetrics", "torch-fidelity": "torch_fidelity"}
PEERS |= {"pytorch-fid": "pytorch_fid", "clean-fid": "cleanfid"}
ONCE = ("pytorch-fid", "clean-fid")  # of the Fréchet distance


class Given(nn.Module):
    """What torchmetrics takes for a feature extractor: it hands on the features it is given."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.num_features = columns

    def forward(self, x: Tensor) -> Tensor:
        """The features themselves."""
        return x


def features(rows: int, columns: int, seed: int) -> Tensor:
    """(N, D) features as an extractor gives them: correlated, rectified, of unequal variances."""
    rng = torch.Generator().manual_seed(0)
    mixing = torch.randn(columns, columns, generator=rng, dtype=torch.float64) / columns**0.5
    scale = torch.logspace(0, -2, columns, dtype=torch.float64)
    rng.manual_seed(seed)
    hidden = torch.randn(rows, columns, generator=rng, dtype=torch.float64) * scale  # (N, D)
    return (hidden @ mixing + 0.02 * seed).relu()


def frechet_calls(x: Tensor, y: Tensor) -> dict[str, Callable[[], float]]:
    """The Fréchet distance from features, dgm's first."""
    import cleanfid.fid
    import pytorch_fid.fid_score
    import torch_fidelity.metric_fid as fidelity
    from torchmetrics.image.fid import FrechetInceptionDistance

    def torchmetrics() -> float:
        metric = FrechetInceptionDistance(feature=Given(x.shape[1]))
        metric.update(x, real=True)
        metric.update(y, real=False)
        return metric.compute().item()

    def torch_fidelity() -> float:
        statistics_ = (fidelity.fid_features_to_statistics(z) for z in (x, y))
        return fidelity.fid_statistics_to_metric(*statistics_, verbose=False)[fidelity.KEY_METRIC_FID]

    def by_statistics(distance: Callable[..., Any]) -> Callable[[], float]:
        def call() -> float:
            arrays = [z.numpy() for z in (x, y)]
            return float(distance(*(s for a in arrays for s in (a.mean(0), np.cov(a, rowvar=False)))))

        return call

    return {
        "dgm": lambda: frechet_distance(x, y),
        "torchmetrics": torchmetrics,
        "torch-fidelity": torch_fidelity,
        "pytorch-fid": by_statistics(pytorch_fid.fid_score.calculate_frechet_distance),
        "clean-fid": by_statistics(cleanfid.fid.frechet_distance),
    }


def kernel_calls(x: Tensor, y: Tensor) -> dict[str, Callable[[], float]]:
    """The kernel distance of all samples, dgm's first."""
    return {"dgm": lambda: kernel_distance(x, y), **peers_of_subsets(x, y, 1, len(x))}


def subset_calls(x: Tensor, y: Tensor) -> dict[str, Callable[[], float]]:
    """The mean of the kernel distances of subsets; each package draws its own."""

    def dgm() -> float:
        rng = torch.Generator().manual_seed(0)
        size = min(SUBSET_ROWS, len(x))
        of_x, of_y = (draw_subsets(len(z), subsets=SUBSETS, size=size, generator=rng) for z in (x, y))
        return subset_kernel_distances(x, y, of_x, of_y).mean().item()

    return {"dgm": dgm, **peers_of_subsets(x, y, SUBSETS, min(SUBSET_ROWS, len(x)))}


def peers_of_subsets(x: Tensor, y: Tensor, subsets: int, size: int) -> dict[str, Callable[[], float]]:
    """The peers' kernel distances."""
    import cleanfid.fid
    import torch_fidelity.metric_kid as fidelity
    from torchmetrics.image.kid import KernelInceptionDistance

    def torchmetrics() -> float:
        metric = KernelInceptionDistance(feature=Given(x.shape[1]), subsets=subsets, subset_size=size)
        metric.update(x, real=True)
        metric.update(y, real=False)
        return metric.compute()[0].item()

    def torch_fidelity() -> float:
        options = {"kid_subsets": subsets, "kid_subset_size": size, "verbose": False}
        return fidelity.kid_features_to_metric(x, y, **options)[fidelity.KEY_METRIC_KID_MEAN]

    return {
        "torchmetrics": torchmetrics,
        "torch-fidelity": torch_fidelity,
        "clean-fid": lambda: cleanfid.fid.kernel_distance(x.numpy(), y.numpy(), subsets, size),
    }


def neighbour_calls(x: Tensor, y: Tensor) -> dict[str, Callable[[], tuple[float, ...]]]:
    """Precision and recall of x as samples of y, dgm's first."""
    import torch_fidelity.metric_prc as fidelity

    return {
        "dgm": lambda: precision_recall(y, x, NEIGHBOURS),
        "torch-fidelity": lambda: fidelity.calculate_precision_recall_full(x, y, NEIGHBOURS),
    }


def measure(
    name: str, calls: dict[str, Callable[[], Any]], rounds: int, once: tuple[str, ...] = ()
) -> dict[str, Any]:
    """One row: the packages taking turns, ratios round by round, the values."""
    times: dict[str, list[float]] = {peer: [] for peer in calls}
    values = {}
    for i in range(rounds):
        for peer, call in calls.items():
            if i and peer in once:
                continue
            with CpuClock() as clock:
                value = call()
            times[peer].append(clock.seconds)
            values[peer] = np.atleast_1d(value)
    medians = {peer: statistics.median(seconds) for peer, seconds in times.items()}
    fastest = min((peer for peer in medians if peer != "dgm"), key=lambda peer: medians[peer])
    ours = values["dgm"]
    return {
        "row": name,
        **{f"{peer}_s": medians.get(peer) for peer in ("dgm", *PEERS)},
        "fastest": fastest,
        "ratios": [theirs / dgm for theirs, dgm in zip(times[fastest], times["dgm"], strict=False)],
        "difference": max(float(np.max(np.abs(values[p] - ours) / (np.abs(ours) + 1e-12))) for p in calls),
        "values": {peer: value.tolist() for peer, value in values.items()},
        **{f"{peer}_version": version(peer) for peer in calls if peer != "dgm"},
    }


def main(options: argparse.Namespace) -> None:
    """Time every row; seeds would only change the numbers that are multiplied."""
    need("metrics_speed", tuple(PEERS.values()), "make peers")
    options.seeds = 1
    rounds, columns = (1, 128) if options.quick else (ROUNDS, COLUMNS)
    n, m = (500, 200) if options.quick else (FRECHET_ROWS, OTHER_ROWS)
    large = features(n, columns, 1), features(n, columns, 2)
    small = tuple(z[:m].clone() for z in large)
    frechet, kernel, subsets, balls = (
        f"Fréchet distance, N = {n}",
        f"kernel distance, N = {m}",
        f"kernel distance, {SUBSETS} subsets of {min(SUBSET_ROWS, m)} of {m}",
        f"precision and recall, N = {m}",
    )
    limits = {frechet: 2.0, kernel: 1.0, subsets: 1.0, balls: 1.0}
    with threadpool_limits(1):
        rows = [
            measure(frechet, frechet_calls(*large), rounds, ONCE),
            measure(kernel, kernel_calls(*small), rounds),
            measure(subsets, subset_calls(*small), max(1, rounds // 2)),
            measure(balls, neighbour_calls(*small), rounds),
        ]
    print(f"{columns} columns, float64; CPU-seconds of one thread, medians of {rounds} rounds")
    columns_ = ("", "dgm", *PEERS, "ratio", "least", "most", "difference")
    cells = [
        [
            row["row"],
            *("-" if row[f"{peer}_s"] is None else row[f"{peer}_s"] for peer in ("dgm", *PEERS)),
            statistics.median(row["ratios"]),
            min(row["ratios"]),
            max(row["ratios"]),
            "other draws" if row["row"] == subsets else f"{row['difference']:.1e}",
        ]
        for row in rows
    ]
    print(table(columns_, cells))
    unit = "times the fastest peer's speed"
    figures = {r["row"]: Figure(r["ratios"], unit, at_least=limits[r["row"]], by_median=True) for r in rows}
    same = [row["difference"] for row in rows if row["row"] != subsets]  # those are other subsets
    figures["largest difference of values"] = Figure([max(same)], "of the value", at_most=1e-6)
    finish("metrics_speed", figures, options=options, rows=rows)


if __name__ == "__main__":
    main(parse_options(__doc__.splitlines()[0]))
