"""Six families on the same digits with the same CPU time, over five seeds: `python bench/compare.py`.

Data: first 1000 / next 350 / last 447 images, 17 grey levels, no labels. Each family trains by its recipe in
`dgm.recipes`, for as many steps as take 60 CPU-seconds on an idle core (budget "full"), and 15 ("quarter").
The settings are those of each family's own bench, chosen on validation data or within the training parts; the
test split is only read off. `dgm.recipes.figures` says what the figures are and what they are held against.

A run ends well if its training raises no error, if every class has more than 4 % of its samples, and if its
Fréchet distance is below twice the median of its family's seeds at the same budget. This was fixed before the
first run.

All is written to `chapters/results/compare.json` after every run, so that an interrupted measurement goes on
where it was; a run is taken again when its recipe, its steps or the number of samples has changed. Two
processes may share the work: one with `--only VAE GAN WGAN-GP`, one with the others. With --quick nothing is
written unless --out says where. Forty minutes on an idle core.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from common import CpuClock, Figure, finish, matrix_gflops, six_digits, table, warm_up

from dgm.bar import Bar
from dgm.recipes import BUDGETS, RECIPES, SAMPLES, UNITS, Recipe, anchors, figures_of, fingerprint
from dgm.recipes.figures import NEIGHBOURS, SPEED_BATCH, SPLITS

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "chapters" / "results" / "compare.json"
BUDGETS_CPU_S = {"full": 60, "quarter": 15}
ENDS_WELL = (
    "training raised no error, every class has more than 4 % of the samples, and frechet is below twice the "
    "median of the family's seeds at that budget"
)
QUICK_STEPS, QUICK_SAMPLES, QUICK_SPLITS = 20, 200, 2
SHOWN = (
    ("frechet", "FD"),
    ("frechet_held_out", "FD held-out"),
    ("kid", "KID"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("density", "density"),
    ("coverage", "coverage"),
    ("apart", "apart"),
    ("classes", "classes"),
    ("samples_per_cpu_s", "samples/s"),
    ("train_cpu_s", "CPU-s"),
)

Cell = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One run that is to be measured."""

    family: str
    budget: str
    seed: int
    steps: int
    fingerprint: str
    samples: int

    @classmethod
    def of(cls, family: str, budget: str, seed: int, quick: bool) -> "Job":
        """By the family's present recipe."""
        recipe = RECIPES[family]
        steps = QUICK_STEPS if quick else recipe.budget(budget)
        samples = QUICK_SAMPLES if quick else SAMPLES
        return cls(family, budget, seed, steps, fingerprint(recipe), samples)

    @property
    def name(self) -> str:
        """For the log."""
        return f"{self.family}, {self.budget} budget, seed {self.seed}"

    def done_in(self, cells: Sequence[Cell]) -> bool:
        """Whether this very run is among the cells."""
        return any(asdict(self).items() <= cell.items() for cell in cells)


def jobs(seeds: int, families: Sequence[str], budgets: Sequence[str], quick: bool) -> list[Job]:
    """The short runs first, then seed after seed: what is there at any time is of use."""
    return [
        Job.of(family, budget, seed, quick)
        for budget in reversed(BUDGETS)
        for seed in range(seeds)
        for family in RECIPES
        if family in families and budget in budgets
    ]


def measure(job: Job) -> Cell:
    """Train and rate one model."""
    gflops = [matrix_gflops()]
    with CpuClock() as clock:
        try:
            model = RECIPES[job.family].train(job.seed, job.steps)
        except FloatingPointError as error:
            return asdict(job) | {"ended": False, "error": str(error)}
    gflops.append(matrix_gflops())
    return (
        asdict(job)
        | figures_of(model, job.seed, job.samples)
        | {
            "best_step": model.best_step,
            "train_cpu_s": clock.seconds,
            "train_gflops": statistics.fmean(gflops),
            "sampling_gflops": statistics.fmean([gflops[1], matrix_gflops()]),
            "ended": True,
        }
    )


# The file


def rounded(value: Any) -> Any:
    """Plain data with floats of six significant digits."""
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return six_digits(value) if isinstance(value, float) else value


def judged(cells: Sequence[Cell]) -> list[Cell]:
    """The cells in the order of the jobs, each with "ends_well"."""
    order = {name: i for i, name in enumerate(RECIPES)}
    ordered = sorted(cells, key=lambda c: (BUDGETS.index(c["budget"]), order[c["family"]], c["seed"]))
    out = []
    for cell in ordered:
        same = [c for c in ordered if (c["family"], c["budget"]) == (cell["family"], cell["budget"])]
        median = statistics.median(c["frechet"] if c["ended"] else math.inf for c in same)
        well = cell["ended"] and cell["classes"] == 10 and cell["frechet"] < 2 * median
        out.append(cell | {"ends_well": bool(well)})
    return out


def numbers(cell: Cell) -> Iterator[tuple[str, float]]:
    """The figures of a cell that have a mean, the bits by their kind."""
    for key, value in cell.items():
        if key == "bits":
            yield from ((f"bits: {kind}", bits) for kind, bits in value.items())
        elif key in UNITS:
            yield key, value


def summary(cells: Sequence[Cell]) -> dict[str, Any]:
    """Mean, standard deviation, least and most of every figure, by family and budget.

    Args:
        cells: of `judged`; those that raised an error count in the share that ends well alone.
    """
    out: dict[str, Any] = {}
    for family in RECIPES:
        for budget in BUDGETS:
            same = [c for c in cells if (c["family"], c["budget"]) == (family, budget)]
            if not same:
                continue
            values: dict[str, list[float]] = {}
            for cell in same:
                for key, value in numbers(cell):
                    values.setdefault(key, []).append(value)
            out.setdefault(family, {})[budget] = {
                "seeds": len(same),
                "ends_well": sum(c["ends_well"] for c in same) / len(same),
                **{
                    key: {
                        "mean": statistics.fmean(v),
                        "std": statistics.stdev(v) if len(v) > 1 else 0.0,
                        "least": min(v),
                        "most": max(v),
                    }
                    for key, v in values.items()
                },
            }
    return out


def of_family(name: str, recipe: Recipe, cells: Sequence[Cell]) -> dict[str, Any]:
    """What the file says of a family: its recipe, its steps, what its bits are."""
    cell = next((c for c in cells if c["family"] == name and c["ended"]), None)
    kinds = list(cell["bits"]) if cell else []
    return {
        "fingerprint": fingerprint(recipe),
        "recipe": asdict(recipe),
        "steps": {budget: recipe.budget(budget) for budget in BUDGETS},
        "bits_kind": kinds[-1] if kinds else None,
        "parameters": cell["parameters"] if cell else None,
    }


def provenance(command: str, cells: Sequence[Cell]) -> dict[str, Any]:
    """Where the figures come from: of the run that ended last; the calibration of all of them."""
    rates = [cell["train_gflops"] for cell in cells if cell["ended"]]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit or "unknown",
        "seeds": sorted({cell["seed"] for cell in cells}),
        "versions": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            **{package: version(package) for package in ("torch", "numpy", "scikit-learn", "dgm-course")},
        },
        "threads": torch.get_num_threads(),
        "calibration": {
            "unit": "GFLOP/s, float32 matrix product, one thread",
            "value": statistics.median(rates) if rates else None,
            "least": min(rates, default=None),
            "most": max(rates, default=None),
        },
    }


def document(cells: Sequence[Cell], of_anchors: list[dict[str, Any]], command: str, quick: bool) -> Cell:
    """The whole file as plain data."""
    cells = judged(cells)
    return rounded(
        {
            "bench": "compare",
            "quick": quick,
            "provenance": provenance(command, cells),
            "settings": {
                "samples": QUICK_SAMPLES if quick else SAMPLES,
                "neighbours": NEIGHBOURS,
                "speed_batch": SPEED_BATCH,
                "budgets_cpu_s": BUDGETS_CPU_S,
                "ends_well": ENDS_WELL,
            },
            "units": UNITS,
            "families": {name: of_family(name, recipe, cells) for name, recipe in RECIPES.items()},
            "anchors": of_anchors,
            "summary": summary(cells),
            "cells": cells,
        }
    )


def write(path: Path, data: Cell) -> None:
    """Write in one stroke: who reads meanwhile sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n")
    os.replace(part, path)


def read(path: Path, quick: bool) -> tuple[list[Cell], list[dict[str, Any]]]:
    """Cells and anchors of an earlier run; empty where there is none."""
    if not path.is_file():
        return [], []
    data = json.loads(path.read_text())
    if data["quick"] != quick:
        raise SystemExit(
            f"{path.name} is of a {'quick' if data['quick'] else 'full'} run; give another --out"
        )
    return [{k: v for k, v in c.items() if k != "ends_well"} for c in data["cells"]], data["anchors"]


def present(cells: Sequence[Cell], quick: bool) -> list[Cell]:
    """The cells that are of present recipes, steps and numbers of samples."""
    return [c for c in cells if Job.of(c["family"], c["budget"], c["seed"], quick).done_in([c])]


def joined(cells: Sequence[Cell], others: Sequence[Cell]) -> list[Cell]:
    """The cells, and those of the others that are of other runs."""
    keys = [(c["family"], c["budget"], c["seed"]) for c in cells]
    return [*cells, *(c for c in others if (c["family"], c["budget"], c["seed"]) not in keys)]


def run(
    plan: Sequence[Job],
    path: Path | None,
    command: str,
    *,
    quick: bool = False,
    measure: Callable[[Job], Cell] = measure,
    progress: bool = True,
) -> Cell:
    """Measure what is not in the file yet, writing it after every run; the whole file's content.

    Args:
        plan: what is to be there in the end; cells of the file beyond it stay if they are of present recipes.
        path: of the file; None to write none.
        command: for the provenance.
        quick: few samples.
        measure: of one job.
        progress: show a bar and a line for each run.
    """
    cells, of_anchors = read(path, quick) if path else ([], [])
    cells = present(cells, quick)
    if not of_anchors:
        of_anchors = anchors(QUICK_SAMPLES, QUICK_SPLITS) if quick else anchors(SAMPLES, SPLITS)
        of_anchors = rounded(of_anchors)
    missing = [job for job in plan if not job.done_in(cells)]
    with Bar(len(plan), initial=len(plan) - len(missing), enabled=progress) as bar:
        for done, job in enumerate(missing, start=len(plan) - len(missing) + 1):
            cell = rounded(measure(job))
            if path:  # another process may have measured others meanwhile
                cells = joined(cells, present(read(path, quick)[0], quick))
            cells = joined([cell], cells)
            if path:
                write(path, document(cells, of_anchors, command, quick))
            if progress:
                bar.show(done, job.name)
                fd = cell.get("frechet", math.nan)
                print(f"{done}/{len(plan)} {job.name}: FD {fd:.1f}", flush=True)
    data = document(cells, of_anchors, command, quick)
    if path and missing:
        write(path, data)
    return data


# What is printed


def rows(data: Cell, budget: str) -> list[list[Any]]:
    """A row for each family, means over the seeds; then the anchors."""
    out = []
    for family, budgets in data["summary"].items():
        if budget not in budgets:
            continue
        of = budgets[budget]
        kind = data["families"][family]["bits_kind"]
        bits = f"{of[f'bits: {kind}']['mean']:.3f} {kind}" if kind else "none"
        values = [of[key]["mean"] if key in of else "" for key, _ in SHOWN]
        out.append([family, bits, *values, f"{of['ends_well']:.0%} of {of['seeds']}"])
    for row in data["anchors"]:
        bits = "".join(f"{value:.3f} {kind}" for kind, value in row.get("bits", {}).items())
        out.append([row["name"], bits, *[row.get(key, "") for key, _ in SHOWN], ""])
    return out


def figures(data: Cell) -> dict[str, Figure]:
    """The most important figures of the full budget, over the seeds."""
    out = {}
    for family in data["summary"]:
        cells = [c for c in data["cells"] if (c["family"], c["budget"]) == (family, "full") and c["ended"]]
        if not cells:
            continue
        key, kind = family.lower().replace("-", "_"), data["families"][family]["bits_kind"]
        out[f"{key}_frechet"] = Figure([c["frechet"] for c in cells], "per mille of the features' variance")
        if kind:
            out[f"{key}_bits_per_dim"] = Figure([c["bits"][kind] for c in cells], f"bits/dim, {kind}")
        out[f"{key}_train_seconds"] = Figure(
            [c["train_cpu_s"] for c in cells], "CPU-s", expected_s=BUDGETS_CPU_S["full"]
        )
    return out


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0 on (default: 5)")
    parser.add_argument("--only", nargs="+", choices=list(RECIPES), default=list(RECIPES), metavar="FAMILY",
                        help=f"some of the families: {', '.join(RECIPES)}")  # fmt: skip
    parser.add_argument("--budgets", nargs="+", choices=BUDGETS, default=list(BUDGETS), help="one of the two")
    parser.add_argument("--out", type=Path, help="where to write, and go on from (default: chapters/results)")
    parser.add_argument("--quick", action="store_true", help="one seed, few steps; writes only with --out")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error(f"--seeds must be at least 1, got {options.seeds}")
    if options.quick:
        options.seeds = 1
    elif options.out is None:
        options.out = RESULTS
    return options


def main(options: argparse.Namespace) -> None:
    """Measure, and print both tables."""
    torch.set_num_threads(1)
    warm_up()
    plan = jobs(options.seeds, options.only, options.budgets, options.quick)
    given = [a for a in sys.argv[1:] if not a.startswith("--out") and a != str(options.out)]
    command = " ".join(["python bench/compare.py", *given])
    data = run(plan, options.out, command, quick=options.quick)
    for budget in options.budgets:
        print(
            f"\nbudget {budget}: {BUDGETS_CPU_S[budget]} CPU-seconds of one idle core; means over the seeds"
        )
        print(table(("", "bits/dim", *(title for _, title in SHOWN), "end well"), rows(data, budget)))
    finish("compare", figures(data), options=options, rows=[])


if __name__ == "__main__":
    main(parse())
