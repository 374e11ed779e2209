"""bench/compare.py: it goes on where it was, and the committed file is of the present recipes."""

import importlib
import itertools
import json
import math
import statistics
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from dgm.recipes import RECIPES, UNITS, fingerprint

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "chapters" / "results" / "compare.json"


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "bench"))
        yield importlib.import_module("compare")


def fake(job):
    """Figures of a run, from its name alone."""
    fd = 10 + job.seed + 0.1 * list(RECIPES).index(job.family)
    return asdict(job) | {
        "frechet": fd,
        "kid": 1 / 3,
        "classes": 10,
        "bits": {"bound": 2.0, "importance-weighted bound": 1.9} if job.family == "VAE" else {},
        "parameters": 7,
        "samples_per_cpu_s": 100.0,
        "train_cpu_s": 60.0,
        "train_gflops": 120.0 + job.seed,
        "sampling_gflops": 120.0,
        "best_step": None,
        "ended": True,
    }


def run(bench, path, measure=fake, plan=None, **options):
    plan = plan if plan is not None else bench.jobs(3, ["VAE", "GAN"], ["full", "quarter"], quick=True)
    return bench.run(plan, path, "python bench/compare.py", quick=True, measure=measure, progress=False)


@pytest.fixture(autouse=True)
def quick_anchors(bench, monkeypatch):
    monkeypatch.setattr(bench, "anchors", lambda samples, splits: [{"name": "noise", "frechet": 1 / 3}])


def test_an_interrupted_run_goes_on_and_writes_the_same_file(bench, tmp_path):
    whole = run(bench, tmp_path / "whole.json")
    done = []

    def stops_at_the_sixth(job):
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(job)
        return fake(job)

    with pytest.raises(KeyboardInterrupt):
        run(bench, tmp_path / "part.json", stops_at_the_sixth)
    assert len(json.loads((tmp_path / "part.json").read_text())["cells"]) == 5
    again = []
    run(bench, tmp_path / "part.json", lambda job: again.append(job) or fake(job))
    assert len(again) == 7
    assert not set(again) & set(done)
    assert (tmp_path / "part.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert json.loads((tmp_path / "whole.json").read_text()) == whole
    assert sorted(p.name for p in tmp_path.iterdir()) == ["part.json", "whole.json"]  # no half-written file


def test_a_run_that_is_there_is_not_taken_again(bench, tmp_path):
    run(bench, tmp_path / "a.json")
    before = (tmp_path / "a.json").stat().st_mtime_ns
    run(bench, tmp_path / "a.json", measure=lambda job: pytest.fail(job.name))
    assert (tmp_path / "a.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("change", ["a field", "steps", "samples"])
def test_a_changed_recipe_is_measured_anew(bench, tmp_path, monkeypatch, change):
    plan = bench.jobs(1, list(RECIPES), ["full"], quick=True)
    run(bench, tmp_path / "a.json", plan=plan)
    if change == "a field":
        monkeypatch.setitem(bench.RECIPES, "VAE", replace(RECIPES["VAE"], rate=1e-3))
    else:
        monkeypatch.setattr(bench, f"QUICK_{change.upper()}", 21)
    again = []
    data = run(
        bench,
        tmp_path / "a.json",
        lambda job: again.append(job.family) or fake(job),
        bench.jobs(1, list(RECIPES), ["full"], quick=True),
    )
    assert again == (["VAE"] if change == "a field" else list(RECIPES))
    assert len(data["cells"]) == len(RECIPES)  # the old ones are gone


def test_part_of_the_plan_leaves_the_other_cells(bench, tmp_path):
    run(bench, tmp_path / "a.json")
    more = run(bench, tmp_path / "a.json", plan=bench.jobs(1, ["flow"], ["full"], quick=True))
    assert len(more["cells"]) == 13
    assert list(more["summary"]) == ["VAE", "GAN", "flow"]


def test_two_processes_share_the_work(bench, tmp_path):
    """While one measures, the other writes: neither loses the other's cells."""
    path = tmp_path / "a.json"
    plans = {name: bench.jobs(2, [name], ["full"], quick=True) for name in ("VAE", "GAN")}

    def meanwhile(job):
        if job.seed == 1:
            run(bench, path, plan=plans["GAN"])
        return fake(job)

    data = run(bench, path, meanwhile, plans["VAE"])
    assert [(c["family"], c["seed"]) for c in data["cells"]] == [
        ("VAE", 0),
        ("VAE", 1),
        ("GAN", 0),
        ("GAN", 1),
    ]
    assert json.loads(path.read_text()) == data


def test_a_quick_run_does_not_mix_with_a_full_one(bench, tmp_path):
    run(bench, tmp_path / "a.json")
    with pytest.raises(SystemExit, match=r"a\.json is of a quick run; give another --out"):
        bench.run([], tmp_path / "a.json", "", quick=False, measure=fake, progress=False)


def test_short_runs_come_first_then_seed_after_seed(bench):
    plan = bench.jobs(2, ["GAN", "VAE"], ["full", "quarter"], quick=False)
    assert [(j.budget, j.seed, j.family) for j in plan] == list(
        itertools.product(("quarter", "full"), (0, 1), ("VAE", "GAN"))
    )
    assert {j.steps for j in plan if j.family == "VAE"} == {
        RECIPES["VAE"].full_steps,
        RECIPES["VAE"].quarter_steps,
    }


# What ends well


def cells(bench, *runs):
    """GAN cells of the full budget: pairs of Fréchet distance and classes, None for an error."""
    out = []
    for seed, figures in enumerate(runs):
        job = bench.Job("GAN", "full", seed, 20, "0", 200)
        if figures is None:
            out.append(asdict(job) | {"ended": False, "error": "step 3 returned loss = nan"})
        else:
            out.append(fake(job) | {"frechet": figures[0], "classes": figures[1]})
    return out


@pytest.mark.parametrize(
    ("runs", "well"),
    [
        ([(10.0, 10), (11.0, 10), (12.0, 10)], [True, True, True]),
        ([(10.0, 10), (11.0, 10), (22.0, 10)], [True, True, False]),  # twice the median
        ([(10.0, 10), (11.0, 9), (12.0, 10)], [True, False, True]),
        ([(10.0, 10), None, (12.0, 10)], [True, False, True]),
        ([None, None, (12.0, 10)], [False, False, True]),
    ],
)
def test_a_run_ends_well_by_the_rule_of_the_file(bench, runs, well):
    judged = bench.judged(cells(bench, *runs))
    assert [cell["ends_well"] for cell in judged] == well
    summary = bench.summary(judged)["GAN"]["full"]
    assert summary["ends_well"] == pytest.approx(sum(well) / len(well))
    left = [run[0] for run in runs if run is not None]
    assert summary["frechet"]["mean"] == pytest.approx(statistics.fmean(left))
    assert (summary["frechet"]["least"], summary["frechet"]["most"]) == (min(left), max(left))


def test_a_training_that_diverges_is_a_cell(bench, monkeypatch):
    class Diverges:
        def train(self, seed, steps):
            raise FloatingPointError("step 3 returned loss = nan")

    monkeypatch.setitem(bench.RECIPES, "GAN", Diverges())
    job = bench.Job("GAN", "full", 0, 20, "0", 200)
    cell = bench.measure(job)
    assert cell == asdict(job) | {"ended": False, "error": "step 3 returned loss = nan"}


def test_tables_have_a_row_for_each_family_and_anchor(bench, tmp_path):
    data = run(bench, tmp_path / "a.json")
    rows = bench.rows(data, "full")
    assert [row[0] for row in rows] == ["VAE", "GAN", "noise"]
    assert rows[0][1] == "1.900 importance-weighted bound"
    assert rows[1][1] == "none"
    assert rows[0][-1] == "100% of 3"
    assert {len(row) for row in rows} == {len(bench.SHOWN) + 3}
    assert bench.figures(data)["vae_frechet"].values == [10.0, 11.0, 12.0]


# The committed file


SEEDS = {"full": {0, 1, 2, 3, 4}, "quarter": {0, 1, 2}}  # at least


@pytest.fixture(scope="module")
def committed():
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def seeds_of(committed, name, budget):
    return {c["seed"] for c in committed["cells"] if (c["family"], c["budget"]) == (name, budget)}


def test_the_committed_file_has_every_family_and_seed(committed):
    assert list(committed["families"]) == list(RECIPES)
    for name in RECIPES:
        for budget, seeds in SEEDS.items():
            assert seeds_of(committed, name, budget) >= seeds, "run python bench/compare.py"
    assert committed["provenance"]["seeds"] == sorted(SEEDS["full"])


def test_the_committed_file_says_where_it_comes_from(committed):
    assert (committed["bench"], committed["quick"]) == ("compare", False)
    provenance = committed["provenance"]
    assert provenance["command"].startswith("python bench/compare.py")
    assert len(provenance["date"].split("-")) == 3
    assert provenance["commit"] not in ("", "unknown")
    assert {"python", "machine", "torch", "numpy", "scikit-learn", "dgm-course"} <= set(
        provenance["versions"]
    )
    assert provenance["threads"] == 1
    calibration = provenance["calibration"]
    assert 0 < calibration["least"] <= calibration["value"] <= calibration["most"]
    assert committed["units"] == UNITS


@pytest.mark.parametrize("name", RECIPES)
def test_the_committed_file_is_of_the_present_recipes(committed, name):
    """A table of other steps or settings is stale: run `python bench/compare.py`, which takes them again."""
    recipe = RECIPES[name]
    family = committed["families"][name]
    assert family["fingerprint"] == fingerprint(recipe), "stale: run python bench/compare.py"
    assert family["recipe"] == json.loads(json.dumps(asdict(recipe)))
    for cell in committed["cells"]:
        if cell["family"] == name:
            assert cell["fingerprint"] == fingerprint(recipe)
            assert cell["steps"] == recipe.budget(cell["budget"])


def test_the_committed_figures_are_whole(bench, committed):
    for cell in committed["cells"]:
        if cell["ended"]:
            assert set(UNITS) <= set(cell)
            for _, value in bench.numbers(cell):
                assert math.isfinite(value)
            kind = committed["families"][cell["family"]]["bits_kind"]
            assert list(cell["bits"])[-1:] == ([kind] if kind else [])
            assert 0 <= cell["coverage"] <= 1
    bare = [{k: v for k, v in cell.items() if k != "ends_well"} for cell in committed["cells"]]
    again = bench.rounded(bench.judged(bare))
    assert again == committed["cells"]
    assert bench.rounded(bench.summary(again)) == committed["summary"]
    assert list(committed["summary"]) == list(RECIPES)
    for row in committed["anchors"]:
        assert row["frechet"] > 0


@pytest.mark.slow
def test_it_runs_from_end_to_end(tmp_path):
    out = tmp_path / "quick.json"
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / "compare.py", "--quick", "--only", "GAN", "--out", out],
        capture_output=True,
        text=True,
        check=True,
    )
    line = json.loads(done.stdout.splitlines()[-1])
    assert line["bench"] == "compare"
    assert set(line["figures"]) == {"gan_frechet", "gan_train_seconds"}
    data = json.loads(out.read_text())
    assert data["quick"] is True
    assert str(tmp_path) not in out.read_text()
    assert [(c["family"], c["budget"]) for c in data["cells"]] == [("GAN", "full"), ("GAN", "quarter")]
    assert [row["name"] for row in data["anchors"]][-2:] == ["independent pixels", "uniform noise"]
