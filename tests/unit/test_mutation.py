"""The mutation run, on a package of a few lines; and what docs/data/mutants.json says of dgm."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coursekit.authoring.mutation import plan as plans
from coursekit.authoring.mutation.sites import mutants
from coursekit.authoring.mutation.table import AT_LEAST, TABLE, rate

ROOT = Path(__file__).resolve().parents[2]

FORMULAS = '''"""Formulas."""
from contextlib import contextmanager
from functools import cache

TWO = 2


def area(a: float, b: float = 1) -> float:
    """The product, 3 words."""
    if a < 0:
        raise ValueError(f"a must be at least {0}, got {a}")
    return a * b


def shift(x):
    return -x + 1


def largest(x, y):
    return x if x > y else y


def unseen(x):
    return x - 4


@cache
def doubled(x):
    def inner(y):
        return y + y
    return inner(x)


def steps(n):
    while n > 0:
        yield n
        n -= 1


class Base:
    def height(self):
        return 1


class Line(Base):
    def __init__(self, slope: int = 5) -> None:
        self.slope = slope

    @property
    def rise(self):
        return super().height() + 2 * self.slope

    def __repr__(self):
        return "Line" + str(7)
'''
TESTS = """
from tiny.formulas import Line, area, doubled, largest, shift, steps

def test_area():
    assert area(3, 4) == 12

def test_shift():
    assert shift(5) == -4

def test_largest():
    assert largest(1, 2) == 2 and largest(3, 2) == 3

def test_doubled():
    assert doubled(3) == 6

def test_steps():
    assert list(steps(3)) == [3, 2, 1]

def test_rise():
    assert Line().rise == 11
"""
PLAN = """
[plan]
source = "lib"
package = "tiny"
tests = ["tests/unit"]
marks = "not slow"
patience_s = 0.3
[covered]
"tiny.form*" = "formulas"
[left_out]
"tiny.other" = "nothing in it"
"""
EXPLAINED = """
[[equivalent]]
module = "tiny.formulas"
function = "largest"
why = "where x = y, both branches are the same"
changes = [["return x if x > y else y", "return x if x >= y else y"]]
"""


@pytest.fixture
def repository(tmp_path):
    for name, text in {
        "lib/tiny/__init__.py": "",
        "lib/tiny/formulas.py": FORMULAS,
        "lib/tiny/other.py": "",
        "tests/unit/test_formulas.py": TESTS,
        "tests/mutants.toml": PLAN + EXPLAINED,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def run(root, *arguments):
    """The command line: what it printed, its status, the table, and how many verdicts it wrote."""
    command = [sys.executable, "-m", "coursekit.authoring.mutation", "--root", str(root), "--per-module", "0"]
    command += arguments
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    results = root / ".mutants/results.jsonl"
    before = len(results.read_text().splitlines()) if results.exists() else 0
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root)
    assert "Traceback" not in done.stderr, done.stderr
    data = json.loads((root / TABLE).read_text()) if (root / TABLE).exists() else None
    after = len(results.read_text().splitlines()) if results.exists() else 0
    return done.stdout, done.returncode, data, after - before


def verdicts(root):
    """{(before, after): verdict} of every mutant of the small package."""
    known = [json.loads(line) for line in (root / ".mutants/results.jsonl").read_text().splitlines()]
    by_key = {entry["key"]: entry["verdict"] for entry in known}
    every = mutants(root / "lib/tiny/formulas.py", "tiny.formulas")
    return {(m.before, m.after): by_key[m.key] for m in every if m.key in by_key}


@pytest.mark.slow
def test_a_run_kills_reports_explains_and_goes_on(repository):
    out, status, data, tried = run(repository)
    found = verdicts(repository)
    assert tried == len(found) > 30
    # A sign, a constant, a term, a factor, in every kind of function: each is noticed.
    for change in (
        ("return a * b", "return a / b"),
        ("return -x + 1", "return x + 1"),
        ("return -x + 1", "return -x + 2"),
        ("return y + y", "return y - y"),  # a closure, in a function behind a decorator
        ("n -= 1", "n += 1"),  # a generator that never ends: out of time or of memory
        ("while n > 0:", "while n >= 0:"),
        ("return super().height() + 2 * self.slope", "return super().height() + 3 * self.slope"),
        # A method with `super`, whose code has a free variable that this mutant has no use for:
        ("return super().height() + 2 * self.slope", "return 2 * self.slope"),
    ):
        assert found[change] == "killed", change
    # What no test reaches survives and makes the run fail; what computes the same is explained.
    assert found["return x - 4", "return x + 4"] == "survived"
    assert status == 1
    assert "survives: tiny.formulas:24 unseen" in out
    [row] = data["modules"]
    assert row["module"] == "tiny.formulas"
    assert row["equivalent"] == 1
    assert row["mutants"] == row["killed"] + row["equivalent"] + row["survived"] == len(found)
    assert row["rate"] == rate(row["mutants"], row["killed"], row["equivalent"]) < 1
    reasons = {item["what"]: item["why"] for item in data["survivors"]}
    assert "both branches" in reasons["return x if x > y else y -> return x if x >= y else y"]
    assert reasons["return x - 4 -> return x + 4"] == ""
    assert " 0 changes could not be put" in out

    # Again: nothing is tried twice, and the table is the same.
    _, status, again, tried = run(repository)
    assert (status, tried) == (1, 0)
    assert again == data

    # With the missing test, only the survivors that it reaches are tried again.
    path = repository / "tests/unit/test_formulas.py"
    path.write_text(
        TESTS + "\ndef test_unseen():\n    from tiny.formulas import unseen\n    assert unseen(9) == 5\n"
    )
    out, status, data, tried = run(repository)
    assert status == 0, out
    assert tried == sum(change[0] == "return x - 4" for change in found)
    assert data["total"]["rate"] == 1
    assert data["total"]["survived"] == 0


@pytest.mark.slow
def test_entries_that_explain_nothing_are_reported(repository):
    path = repository / "tests/mutants.toml"
    wrong = EXPLAINED.replace("x >= y", "x < y").replace(
        "return x if x > y else y", "return x if x > z else y", 0
    )
    gone = EXPLAINED.replace("largest", "smallest")
    path.write_text(PLAN + EXPLAINED + wrong.replace("return x if x < y", "return x if x <= y") + gone)
    out, status, _, _ = run(repository, "--module", "tiny.formulas")
    assert status == 1
    assert "explains what is no mutant: tiny.formulas smallest" in out
    assert "explains what tests/unit/test_formulas.py::test_largest kills" in out
    assert not (repository / TABLE).exists()  # a run of some modules writes no table


def test_every_module_is_covered_or_left_out(repository):
    (repository / "lib/tiny/new.py").write_text("")
    with pytest.raises(ValueError, match=r"tiny\.new must fit one pattern, fits none"):
        plans.read(repository).modules(repository)


def test_texts_guards_defaults_and_what_runs_at_import_are_left_alone(repository):
    changed = " ".join(
        f"{m.before} {m.after}" for m in mutants(repository / "lib/tiny/formulas.py", "tiny.formulas")
    )
    for text in ("words", "a < 0", "ValueError", "TWO", "slope: int", "Line", "7", "cache"):
        assert text not in changed


def test_a_draw_depends_on_its_seed_and_holds_the_smaller_ones(repository):
    path = repository / "lib/tiny/formulas.py"
    one, every = plans.drawn(path, "tiny.formulas", 5, 0)
    assert len(one) == 5 < every
    assert {m.key for m in one} < {m.key for m in plans.drawn(path, "tiny.formulas", 9, 0)[0]}
    assert [m.key for m in one] != [m.key for m in plans.drawn(path, "tiny.formulas", 5, 1)[0]]


def test_an_order_that_does_not_matter_is_no_mutant_and_changes_no_draw(tmp_path):
    path = tmp_path / "formulas.py"

    def outcomes(swaps):
        path.write_text(f"import torch\n\ndef f(a, b, x):\n    return 3 * a, 5 * b, {swaps}\n")
        return {m.after for m in plans.drawn(path, "formulas", 0, 0)[0]}

    same = ("max(b, a)", "min(b, a)", "torch.maximum(b, a)", "torch.logaddexp(b, a)", "x.transpose(2, 1)")
    for swapped in same:
        for text in outcomes(swapped.replace("b, a", "a, b").replace("2, 1", "1, 2")):
            assert swapped not in text
    for swapped in (
        "max(b, a, x)",
        "max(b, a, key=x)",
        "torch.where(b, a)",
        "torch.transpose(x, b, a)",
        "x(b, a)",
    ):
        assert any(swapped in text for text in outcomes(swapped.replace("b, a", "a, b")))

    # Such swaps have their turn in a draw all the same: what is drawn besides them stays.
    outcomes("max(a, b) + max(b, a)")
    every = {m.key for m in plans.drawn(path, "formulas", 0, 0)[0]}
    draws = [plans.drawn(path, "formulas", most, 0) for most in range(1, len(every) + 3)]
    assert {possible for _, possible in draws} == {len(every)}
    assert {m.key for m in draws[-1][0]} == every
    assert any(len(drawn) < most for most, (drawn, _) in enumerate(draws[:-3], start=1))


# What is committed


def test_the_plan_fits_the_library():
    plan = plans.read(ROOT)
    modules = plan.modules(ROOT)
    assert "dgm.prob.gaussian" in modules
    assert not plans.stale(plan, ROOT, modules)
    assert all(entry.why for entry in plan.equivalents)


def test_the_table_is_of_this_library_and_leaves_nothing_unexplained():
    data = json.loads((ROOT / TABLE).read_text(encoding="utf-8"))
    modules = plans.read(ROOT).modules(ROOT)
    assert {row["module"] for row in data["modules"]} == set(modules)
    assert data["total"]["rate"] >= AT_LEAST
    for row in data["modules"]:
        assert row["killed"] + row["equivalent"] + row["survived"] == row["mutants"] <= row["possible"]
    assert [item for item in data["survivors"] if not item["why"]] == []
    assert len(data["survivors"]) == data["total"]["equivalent"]
