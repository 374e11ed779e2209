"""The graders are tried with answers that are wrong in one place; here the tool that makes them is tried."""

import ast
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from coursekit.grading.marking import load_source
from coursekit.grading.mutants import mutants, sample
from coursekit.grading.proof import Proof, prove_task, report
from coursekit.grading.sandbox import Limits, Sandbox

SOLUTIONS = Path(__file__).parents[2] / "solutions"
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
        compile(mutant.source, "mutant", "exec")


def test_a_sample_is_the_same_for_a_seed() -> None:
    first, again, other = (sample(CELL, 4, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert len(first) == 4
    assert sample(CELL, 1000, 0) == mutants(CELL)


def test_the_report_counts_what_is_caught() -> None:
    proofs = [
        Proof("02_vae", "kl", 2, 10, 20, ["line 1, sign: -x -> x"], ["wrong answer 'a' gets full marks"])
    ]
    text = report(proofs)
    assert "| 02_vae | kl | 2 | 10 | 20 | 19 (95 %) |" in text
    assert "Wrong answers caught: 9 of 10. Mutants killed: 19 of 20 (95.0 %)." in text
    assert "survived: `line 1, sign: -x -> x`" in text


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("bwrap") is None and "CI" not in os.environ, reason="bubblewrap is not installed (bwrap)"
)
def test_a_task_is_proven_and_a_hole_is_found() -> None:
    source = load_source(SOLUTIONS, "02_vae")
    with Sandbox(SOLUTIONS / "checks", ("02_vae",), Limits(seconds=5, wall=60)) as sandbox:
        proof = prove_task(source, "kl", sandbox, most=12, seed=1)
        assert (proof.trouble, proof.survivors) == ([], [])
        assert proof.variants >= 2
        assert proof.wrong >= 4
        assert proof.mutants == 12
        # With the checks on values gone, wrong answers get full marks: the proof must say so.
        task = source.exercise.tasks["kl"]
        blind = tuple(c for c in task.criteria if "gradient" in c.name.lower())
        seen = replace(task, criteria=blind, points=sum(c.points for c in blind))
        tasks, hidden = {**source.exercise.tasks, "kl": seen}, {**source.exercise.hidden, "kl": ()}
        loose = replace(source, exercise=replace(source.exercise, tasks=tasks, hidden=hidden))
        assert prove_task(loose, "kl", sandbox, most=12, seed=1).trouble
