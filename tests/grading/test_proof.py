"""The graders are tried with answers that are wrong in one place; here the tool that makes them is tried."""

import ast
import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from coursekit.authoring.generate import slugs
from coursekit.exercises import Equivalent
from coursekit.grading.marking import load_source
from coursekit.grading.mutants import mutants, sample
from coursekit.grading.proof import AT_LEAST, DATA, REPORT, Proof, digest, prove, prove_task, report, updated
from coursekit.grading.sandbox import Limits, Sandbox

ROOT = Path(__file__).parents[2]
SOLUTIONS = ROOT / "solutions"
CELL = '''def f(x, n):
    """A docstring of 3 words."""
    y = x + 7
    # BEGIN SOLUTION
    if n < 2:
        return -x
    return torch.pow(x, n).sum(dim=1) / 2
    # STUB
    # return 9
    # END SOLUTION
'''


def test_every_kind_of_change_is_made_once() -> None:
    names = {mutant.name for mutant in mutants(CELL)}
    assert {
        "n < 2 -> n <= 2", "2 -> 3", "-x -> x", "1 -> 2", "torch.pow(x, n) -> torch.pow(n, x)",
        "torch.pow(x, n).sum(dim=1) / 2 -> torch.pow(x, n).sum(dim=1) * 2",
        "torch.pow(x, n).sum(dim=1) / 2 -> torch.pow(x, n).sum(dim=1)",
        "torch.pow(x, n).sum(dim=1) -> torch.pow(x, n).mean(dim=1)",
    } <= names  # fmt: skip
    sources = [mutant.source for mutant in mutants(CELL)]
    assert len(set(sources)) == len(sources)


def test_only_the_solution_is_changed_and_a_mutant_is_python() -> None:
    for mutant in mutants(CELL):
        assert "y = x + 7" in mutant.source
        assert "docstring of 3 words" in mutant.source
        assert mutant.source != ast.unparse(ast.parse(CELL))
        assert mutant.line in mutant.source
        assert mutant.line not in ast.unparse(ast.parse(CELL)).split("\n")
        compile(mutant.source, "mutant", "exec")


def test_a_sample_is_the_same_for_a_seed() -> None:
    first, again, other = (sample(CELL, 4, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert len(first) == 4
    assert sample(CELL, 1000, 0) == mutants(CELL)


def test_the_report_counts_what_is_caught() -> None:
    proof = Proof("02_vae", "kl", "0", 2, 9, 20, 18, [("-x -> x", "x is 0.")], ["wrong answer 'a' passes"])
    old = {"tasks": [{"slug": "02_vae", "task": "kl"}, {**asdict(proof), "slug": "01_x", "explained": []}]}
    rows = updated(old, [proof], [("01_x", "kl"), ("02_vae", "kl"), ("03_y", "z")])
    assert [(row["slug"], row["task"]) for row in rows] == [("01_x", "kl"), ("02_vae", "kl")]
    text = report(rows[1:])
    assert "| 02_vae | kl | 2 | 9 | 20 | 18 | 1 |" in text
    assert "told their own hint: 9 of 10." in text
    assert "lost a mark: 18 of 20 (90.0 %). Explained below: 1. Neither: 1." in text
    assert "- 02_vae, kl: wrong answer 'a' passes" in text
    assert "- `-x -> x`: x is 0." in text


def committed() -> list[dict[str, Any]]:
    return list(json.loads((ROOT / DATA).read_text(encoding="utf-8"))["tasks"])


def test_the_committed_report_is_of_these_exercises() -> None:
    rows, again = (
        committed(),
        "(make proof, for one task: python -m coursekit.grading.proof SLUG --task NAME)",
    )
    assert (ROOT / REPORT).read_text(encoding="utf-8") == report(rows), again
    sources = {slug: load_source(SOLUTIONS, slug) for slug in slugs(SOLUTIONS)}
    tasks = [(slug, task) for slug, source in sources.items() for task in source.exercise.tasks]
    assert [(row["slug"], row["task"]) for row in rows] == tasks, again
    for row in rows:
        source, task = sources[row["slug"]], row["task"]
        there = (digest(source.answers[task]), len(source.exercise.variants[task]))
        assert (row["solution"], row["variants"]) == there, (row["slug"], task, again)
        assert row["wrong"] == len(source.exercise.wrong[task]), (row["slug"], task, again)


def test_the_committed_proof_holds() -> None:
    rows = committed()
    for row in rows:
        assert row["trouble"] == [], row
        assert row["variants"] >= 2, row
        assert row["wrong"] >= 4, row
        assert row["mutants"] == row["killed"] + len(row["explained"]) > 0, row
        assert all(len(why) > 10 for _, why in row["explained"]), row
    assert sum(row["killed"] for row in rows) >= AT_LEAST * sum(row["mutants"] for row in rows)


needs_sandbox = pytest.mark.skipif(
    shutil.which("bwrap") is None and "CI" not in os.environ, reason="bubblewrap is not installed (bwrap)"
)


@pytest.mark.slow
@needs_sandbox
@pytest.mark.parametrize(
    ("slug", "name"),
    [("01_autoencoder", "contractive_penalty"), ("03_gan", "score"), ("09_autoregressive", "complete")],
    ids=lambda text: text,
)
def test_a_task_proven_again_says_what_the_report_says(slug: str, name: str) -> None:
    (proof,) = prove(ROOT, [(slug, name)], most=0, seed=1, jobs=1, quiet=True)
    (row,) = updated({}, [proof], [(slug, name)])
    assert row in committed()


@pytest.mark.slow
@needs_sandbox
def test_a_survivor_needs_a_reason_and_a_reason_a_survivor() -> None:
    source = load_source(SOLUTIONS, "02_vae")
    with Sandbox(SOLUTIONS / "checks", ("02_vae",), Limits(seconds=5, wall=60)) as sandbox:
        for reasons, said in (
            ((), "survives without a reason: `return mu - (logvar / 2).exp() * eps`"),
            ((Equivalent("return mu - eps", "No."),), "explains what is no mutant: return mu - eps"),
            ((Equivalent("return mu", "No."),), "explains what loses marks: return mu"),
        ):
            told = {**source.exercise.equivalent, "reparameterise": reasons}
            changed = replace(source, exercise=replace(source.exercise, equivalent=told))
            proof = prove_task(changed, "reparameterise", sandbox, most=0, seed=1)
            assert any(said in text for text in proof.trouble), proof.trouble


@pytest.mark.slow
@needs_sandbox
def test_a_task_is_proven_and_a_hole_is_found() -> None:
    source = load_source(SOLUTIONS, "02_vae")
    with Sandbox(SOLUTIONS / "checks", ("02_vae",), Limits(seconds=5, wall=60)) as sandbox:
        proof = prove_task(source, "kl", sandbox, most=12, seed=1)
        assert (proof.trouble, proof.explained) == ([], [])
        assert proof.variants >= 2
        assert proof.wrong >= 4
        assert proof.mutants == proof.killed == 12
        # With the checks on values gone, wrong answers get full marks: the proof must say so.
        task = source.exercise.tasks["kl"]
        blind = tuple(c for c in task.criteria if "gradient" in c.name.lower())
        seen = replace(task, criteria=blind, points=sum(c.points for c in blind))
        tasks, hidden = {**source.exercise.tasks, "kl": seen}, {**source.exercise.hidden, "kl": ()}
        loose = replace(source, exercise=replace(source.exercise, tasks=tasks, hidden=hidden))
        trouble = prove_task(loose, "kl", sandbox, most=12, seed=1).trouble
        assert any("gets full marks" in text for text in trouble)
        assert any("survives without a reason" in text for text in trouble)
