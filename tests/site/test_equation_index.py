"""The index of equations and the record of how their tests ended."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from generators import equation_index as page_of
from generators.interfaces import public_paths, read_modules

from coursekit.authoring import status
from coursekit.authoring.equations import Equation, IndexEntry, equation_index
from coursekit.authoring.status import Status

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def index():
    return equation_index(ROOT)


@pytest.fixture(scope="module")
def page():
    return page_of.pages(ROOT, "student")[page_of.PAGE]


def test_the_report_names_every_label_and_no_other():
    assert status.stale(ROOT) == [], "make equation-report"


def test_every_equation_is_on_the_page_once(index, page):
    assert re.findall(r"^\{eq\}`([\w-]+)` `", page, re.M) == [e.equation.label for e in index]
    for entry in index:
        assert f"```{{math}}\n{entry.equation.tex}\n```" in page


def test_no_formula_on_the_page_has_a_label(page):
    """A label may occur once in a book, and it is the chapter's."""
    assert ":label:" not in page


def test_every_function_of_an_equation_links_to_the_reference(index, page):
    paths = public_paths(read_modules(ROOT / "lib"))
    for entry in index:
        for function in entry.functions:
            assert f"{{py:obj}}`{paths[function]} <{paths[function]}>`" in page
        for test in entry.tests:
            assert f"`{test.removeprefix(page_of.FOLDER)}`" in page


ENTRY = IndexEntry(
    Equation("vae-elbo", "a + b", "02_vae", 7, True, True), ("dgm.vae.bounds.elbo",), ("tests/t.py::t",)
)


@pytest.mark.parametrize(
    ("outcome", "shown"),
    [
        (Status("passed", 3), "✓ passed, 3 cases"),
        (Status("failed", 1), "✗ failed, 1 case"),
        (Status("not run"), "– not run"),
        (Status("changed", 2), "~ changed since the run, 2 cases"),
        (Status("unknown"), "? no status"),
    ],
    ids=lambda value: value.outcome.replace(" ", "-") if isinstance(value, Status) else "",
)
def test_a_card_says_in_words_how_the_test_ended(outcome, shown):
    card = page_of.card(ENTRY, {"dgm.vae.bounds.elbo": "dgm.vae.elbo"}, outcome)
    assert f"[{shown}]" in card
    assert "{py:obj}`dgm.vae.elbo <dgm.vae.elbo>`" in card


def test_a_page_without_a_report_says_so():
    text = page_of.page([ENTRY], {"02_vae": "VAEs"}, {}, {"vae-elbo": Status("unknown")}, {})
    assert "No run of the tests has been recorded" in text
    assert page_of.COMMAND in text


# The record


CHAPTER = """# %% [markdown]
# # A
#
# $$ 1 + 1 $$ (a-one)
#
# $$ 2 + 2 $$ (a-two)
#
# $$ 3 $$ (a-three)
"""
TESTS = """import pytest


@pytest.mark.equation("a-one")
@pytest.mark.parametrize("n", [1, 2])
def test_one(n):
    assert n


@pytest.mark.equation("a-two")
def test_two():
    assert False


@pytest.mark.equation("a-three")
def test_three():
    pytest.skip("not now")


def test_other():
    assert False
"""


@pytest.fixture
def repository(tmp_path):
    """Two equations, a test each: one passes, one fails."""
    for path, text in {"chapters/00_a.py": CHAPTER, "tests/test_a.py": TESTS}.items():
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    equation(label): an equation\n")
    return tmp_path


def write(repository, outcomes):
    path = repository / status.REPORT
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(status.report(repository, outcomes)))


ALL = {"a-one": ["passed", "passed"], "a-two": ["failed"], "a-three": ["not run"]}


@pytest.mark.parametrize(
    "workers",
    [[], pytest.param(["-p", "xdist", "-n", "2"], marks=pytest.mark.slow)],
    ids=["one-process", "two-workers"],
)
def test_a_run_of_pytest_records_what_passed_failed_and_was_left_out(repository, workers):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "coursekit.authoring.status", *workers]
    done = subprocess.run(
        [*command, status.OPTION, str(status.REPORT)],
        cwd=repository,
        env=dict(os.environ, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        capture_output=True,
        text=True,
    )
    noted = status.read(repository / status.REPORT)
    assert {label: (n["outcome"], n["cases"]) for label, n in noted["labels"].items()} == {
        "a-one": ("passed", 2),
        "a-two": ("failed", 1),
        "a-three": ("not run", 0),
    }, done.stdout
    assert set(noted) == {"commit", "versions", "labels"}
    assert str(repository) not in json.dumps(noted)


def test_one_case_that_failed_or_was_left_out_decides(repository):
    write(repository, {"a-one": ["passed", "failed", "not run"], "a-two": ["passed", "not run"]})
    found = status.statuses(repository)
    assert {label: (s.outcome, s.cases) for label, s in found.items()} == {
        "a-one": ("failed", 2),
        "a-two": ("not run", 1),
        "a-three": ("not run", 0),
    }


def test_a_failure_outside_the_test_itself_counts(repository):
    recorder = status.Recorder(repository, repository / status.REPORT)
    for when, outcome in (("setup", "passed"), ("call", "passed"), ("teardown", "failed")):
        recorder.pytest_runtest_logreport(
            SimpleNamespace(when=when, outcome=outcome, user_properties=[("equation", "a-one")], nodeid="t")
        )
    recorder.pytest_sessionfinish()
    assert status.statuses(repository)["a-one"] == Status("failed", 1)


def test_a_changed_equation_or_test_takes_its_status_away(repository):
    write(repository, ALL)
    chapter, tests = repository / "chapters" / "00_a.py", repository / "tests" / "test_a.py"
    assert status.statuses(repository)["a-one"].outcome == "passed"
    tests.write_text(tests.read_text().replace("assert n\n", "assert  n\n"))  # laid out otherwise
    assert status.statuses(repository)["a-one"].outcome == "passed"
    chapter.write_text(chapter.read_text().replace("1 + 1", "1 - 1"))
    tests.write_text(
        tests.read_text().replace("def test_two():\n    assert False", "def test_two():\n    pass")
    )
    found = status.statuses(repository)
    assert (found["a-one"].outcome, found["a-two"].outcome) == ("changed", "changed")
    assert found["a-three"].outcome == "not run"


def test_a_change_of_the_cases_of_a_test_counts(repository):
    write(repository, ALL)
    tests = repository / "tests" / "test_a.py"
    tests.write_text(tests.read_text().replace("[1, 2]", "[1]"))
    assert status.statuses(repository)["a-one"].outcome == "changed"


def test_labels_that_come_or_go_make_the_report_stale(repository):
    write(repository, ALL)
    assert status.stale(repository) == []
    chapter = repository / "chapters" / "00_a.py"
    chapter.write_text(chapter.read_text().replace("(a-one)", "(a-new)"))
    assert status.stale(repository) == ["a-new: not in the report", "a-one: in the report, and in no chapter"]


def test_without_a_report_nothing_is_known(repository):
    assert {s.outcome for s in status.statuses(repository).values()} == {"unknown"}
