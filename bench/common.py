"""What the scripts in bench/ share: options, CPU clock, calibration, table, limits and the JSON line.

A script prints its table, then one line of JSON last, and exits with 1 if a figure misses its "at most" or
"at least", and with `SKIPPED` if what it compares with is not installed. Seconds never fail: they depend on
the machine, so they are CPU-seconds of one thread, printed beside the rate at which that thread multiplies
matrices.
"""

import argparse
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from types import TracebackType
from typing import Any, NoReturn

import torch

# Readings on the machine on which the numbers of steps were chosen: two cores, shared, seldom idle.
REFERENCE_GFLOPS = (115, 177)
ROUND_SECONDS = 0.03  # at least, of one call in one round of `take_turns`
SKIPPED = (
    77  # exit status of a script that measured nothing, as test harnesses have it; `make bench` knows it
)


def decimals(value: float, digits: int = 3) -> int:
    """How many decimals show a value to `digits` significant digits: 2 or more, at most 6."""
    if not value or not math.isfinite(value):
        return 2
    return min(max(2, digits - 1 - math.floor(math.log10(abs(value)))), 6)


def six_digits(value: float) -> float | None:
    """A value rounded to six significant digits for the JSON line; None where it is not finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def number(value: float, places: int | None = None) -> str:
    """A value with its `decimals`, or with so many places; what they cannot show, as a power of ten."""
    text = f"{value:.{decimals(value) if places is None else places}f}"
    return f"{value:.2e}" if value and not text.strip("-0.") else text


@dataclass(frozen=True)
class Figure:
    """One measured figure, over the seeds.

    Args:
        values: one per seed.
        unit: e.g. "nats", "bits/dim", "CPU-s".
        at_most: the mean must not exceed this; None for no limit.
        at_least: the mean must reach this; None for no limit.
        expected_s: for seconds: a warning is given above this, never a failure.
        by_median: the limits are for the median, which is then printed as well.
    """

    values: Sequence[float]
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    expected_s: float | None = None
    by_median: bool = False

    @property
    def judged(self) -> float:
        """What the limits are for: the mean over the seeds, or the median."""
        if not math.isfinite(self.mean):
            return math.nan
        return statistics.median(self.values) if self.by_median else self.mean

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds; 0 for a single one, NaN where a value is not finite."""
        if not math.isfinite(self.mean):
            return math.nan
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0

    @property
    def ok(self) -> bool:
        """Whether the mean, or the median, keeps its limits; NaN keeps none."""
        if not math.isfinite(self.judged):
            return False
        return not (
            (self.at_most is not None and self.judged > self.at_most)
            or (self.at_least is not None and self.judged < self.at_least)
        )

    def as_json(self) -> dict[str, Any]:
        """The figure as plain data; what is not finite becomes null."""
        values = [six_digits(v) for v in self.values]
        mean = six_digits(self.mean)
        data: dict[str, Any] = {"mean": mean, "values": values, "unit": self.unit}
        if self.by_median:
            data["median"] = six_digits(self.judged)
        for name in ("at_most", "at_least", "expected_s"):
            if getattr(self, name) is not None:
                data[name] = getattr(self, name)
        if self.at_most is not None or self.at_least is not None:
            data["ok"] = self.ok
        return data

    def __str__(self) -> str:
        if len(self.values) == 1:
            return f"{number(self.mean)} {self.unit}"
        places = max(decimals(self.mean), decimals(self.spread, digits=2))
        text = f"{number(self.mean, places)} ± {number(self.spread, places)} {self.unit}"
        return text + (f", median {number(self.judged, places)}" if self.by_median else "")


class CpuClock:
    """CPU-seconds of this process inside a `with` block: what else runs on the machine counts little."""

    seconds = 0.0

    def __enter__(self) -> "CpuClock":
        self._start = time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds += time.process_time() - self._start


def parse_options(description: str, seeds: int = 3) -> argparse.Namespace:
    """Read --seeds and --quick, and set torch to the one thread that all scripts are measured on."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seeds", type=int, default=seeds, help=f"how many, from 0 on (default: {seeds})")
    parser.add_argument("--quick", action="store_true", help="one seed, few steps, limits not judged")
    options = parser.parse_args()
    if options.seeds < 1:
        parser.error(f"--seeds must be at least 1, got {options.seeds}")
    if options.quick:
        options.seeds = 1
    torch.set_num_threads(1)
    return options


def need(name: str, packages: Sequence[str], remedy: str) -> None:
    """Go on if the packages that a script compares with are there; else say so and exit with `SKIPPED`.

    Args:
        name: of the script.
        packages: to import.
        remedy: how to install them.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if not missing:
        return
    print(f"{name} compares with {' and '.join(packages)}; not installed: {', '.join(missing)}")
    print(f"install: {remedy}")
    print("nothing was measured; no other part of the course needs them")
    print(json.dumps({"bench": name, "skipped": True, "missing": missing, "install": remedy}))
    sys.exit(SKIPPED)


def warm_up() -> None:
    """Make and step an optimiser: the first one of a process imports for seconds, outside the clock."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([weight], fused=True)
    weight.sum().backward()
    optimiser.step()


def take_turns(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """The CPU time of each call in each round, in seconds; they take turns, so that a busy spell hits all.

    Args:
        calls: by name; each is made twice beforehand.
        rounds: in each of them a call is repeated until it has taken `ROUND_SECONDS`.
    """
    repeats, times = {}, {name: [] for name in calls}
    for name, call in calls.items():
        call()
        with CpuClock() as clock:
            call()
        repeats[name] = max(1, round(ROUND_SECONDS / clock.seconds))
    for _ in range(rounds):
        for name, call in calls.items():
            with CpuClock() as clock:
                for _ in range(repeats[name]):
                    call()
            times[name].append(clock.seconds / repeats[name])
    return times


def race(
    calls: dict[str, Callable[[], Any]], rounds: int, repeats: int
) -> tuple[dict[str, float], list[float]]:
    """How much faster the first call is than the best of the others.

    Args:
        calls: by name, ours first.
        rounds: of `take_turns`, in each repeat; a repeat's time is their median.
        repeats: of the whole.

    Returns:
        The least of the repeats' times of each call, in milliseconds, and each repeat's ratio: the best of
        the other times divided by the first.
    """
    times = take_turns(calls, rounds * repeats)
    starts = range(0, rounds * repeats, rounds)
    medians = {
        name: [statistics.median(values[i : i + rounds]) for i in starts] for name, values in times.items()
    }
    ours, *others = calls
    ratios = [min(medians[name][i] for name in others) / medians[ours][i] for i in range(repeats)]
    return {name: 1000 * min(values) for name, values in medians.items()}, ratios


def count_parameters(model: torch.nn.Module) -> int:
    """How many trained numbers."""
    return sum(p.numel() for p in model.parameters())


def matrix_gflops(size: int = 512, repeats: int = 15) -> float:
    """The rate of a float32 matrix product on one thread: a median, in 1e9 operations per CPU-second."""
    a = torch.rand(size, size)
    rates = []
    for _ in range(repeats):
        with CpuClock() as clock:
            for _ in range(4):
                a @ a
        rates.append(4 * 2 * size**3 / clock.seconds / 1e9)
    return statistics.median(rates)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Text in columns: the first flush left, the others flush right; floats as `number` has them."""
    cells = [[number(c) if isinstance(c, float) else str(c) for c in row] for row in [columns, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in cells
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def finish(
    name: str,
    figures: dict[str, Figure],
    *,
    options: argparse.Namespace,
    rows: Sequence[dict[str, Any]] = (),
    peers: Sequence[str] = (),
) -> NoReturn:
    """Print the figures with their limits, warn of slow ones, print the JSON line, and exit: 1 for a miss.

    Args:
        name: of the script.
        figures: by name.
        options: of `parse_options`; with --quick no limit is judged.
        rows: of the table, as plain data, for the JSON line; floats are rounded to six digits.
        peers: the distributions compared with, whose versions the JSON line names.
    """
    gflops = matrix_gflops()
    print()
    for key, figure in figures.items():
        limits = [f"at most {figure.at_most:g}"] if figure.at_most is not None else []
        limits += [f"at least {figure.at_least:g}"] if figure.at_least is not None else []
        judged = f"  ({', '.join(limits)}: {'ok' if figure.ok else 'MISSED'})" if limits else ""
        print(f"{key}: {figure}{judged}")
        if figure.expected_s is not None and figure.mean > figure.expected_s:
            print(f"  warning: more than the {figure.expected_s:g} s that were meant; not a failure")
    print(
        f"calibration: {gflops:.0f} GFLOP/s, float32 matrix product, one thread "
        f"({REFERENCE_GFLOPS[0]} to {REFERENCE_GFLOPS[1]} where the steps were chosen)"
    )
    missed = [key for key, figure in figures.items() if not figure.ok]
    if options.quick:
        print("quick run: too short for the limits, none was judged")
    line = {
        "bench": name,
        "quick": options.quick,
        "seeds": list(range(options.seeds)),
        "figures": {key: figure.as_json() for key, figure in figures.items()},
        "rows": [{k: six_digits(v) if isinstance(v, float) else v for k, v in r.items()} for r in rows],
        "calibration": {"value": round(gflops, 1), "unit": "GFLOP/s", "threads": torch.get_num_threads()},
        "versions": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            **{
                package: version(package)
                for package in ("torch", "numpy", "scikit-learn", "dgm-course", *peers)
            },
        },
    }
    print(json.dumps(line, allow_nan=False))
    sys.exit(1 if missed and not options.quick else 0)
