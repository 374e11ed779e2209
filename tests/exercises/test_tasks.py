"""The checks are proven: solutions and variants pass; stubs and named wrong answers fail, with a hint."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from nbformat import NotebookNode

from coursekit.authoring import notebooks as nb
from coursekit.authoring.generate import SOLUTION_TAG, slugs, student_notebook, tagged
from coursekit.exercises import Criterion, Exercise, Mark, Task, forbidden_in, load_exercise, run_probe
from coursekit.exercises.judge import judge
from coursekit.exercises.notebook import assess

ROOT = Path(__file__).parents[2]
SOLUTIONS = ROOT / "solutions"
EXERCISES: dict[str, Exercise] = {
    slug: load_exercise(SOLUTIONS / "checks" / slug) for slug in slugs(SOLUTIONS)
}
TASKS = [(slug, name) for slug, exercise in EXERCISES.items() for name in exercise.tasks]
WRONG = [(slug, name, wrong) for slug, name in TASKS for wrong in EXERCISES[slug].wrong.get(name, ())]
VARIANTS = [
    (slug, name, variant) for slug, name in TASKS for variant in EXERCISES[slug].variants.get(name, ())
]
# A grader draws its own; a check must not work for one seed only. The inner loop tries one of them.
SEEDS = (0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 7)))

each_task = pytest.mark.parametrize(("slug", "name"), TASKS, ids=[f"{s}-{n}" for s, n in TASKS])


@cache
def solutions_of(slug: str) -> NotebookNode:
    return nb.read_py(SOLUTIONS / f"{slug}.py")


@cache
def students_of(slug: str) -> NotebookNode:
    return student_notebook(SOLUTIONS / f"{slug}.py")


def setup_of(slug: str) -> str:
    return "\n".join(tagged(solutions_of(slug), "setup"))


def namespace_of(slug: str, source: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(setup_of(slug) + "\n" + source, f"<answer in {slug}>", "exec"), names)
    return names


def solution_source(slug: str, name: str) -> str:
    (source,) = tagged(solutions_of(slug), f"answer-{name}")
    return source


def stub_source(slug: str, name: str) -> str:
    (source,) = tagged(students_of(slug), f"answer-{name}")
    return source


@cache
def marks_of(slug: str, name: str, source: str, seed: int = 0) -> list[Mark]:
    """Visible and hidden marks, with the data crossing a process boundary on the way."""
    task = EXERCISES[slug].tasks[name]
    reply = json.loads(json.dumps(run_probe(task.probe, namespace_of(slug, source), seed), allow_nan=False))
    return judge((*task.criteria, *EXERCISES[slug].hidden[name]), reply, seed)


def failed(marks: list[Mark]) -> list[Mark]:
    return [mark for mark in marks if not mark.passed]


@each_task
@pytest.mark.parametrize("seed", SEEDS)
def test_solution_passes(slug: str, name: str, seed: int) -> None:
    assert failed(marks_of(slug, name, solution_source(slug, name), seed)) == []


@pytest.mark.parametrize(
    ("slug", "name", "variant"), VARIANTS, ids=[f"{n}: {v.name}" for _, n, v in VARIANTS]
)
@pytest.mark.parametrize("seed", SEEDS)
def test_variant_passes(slug: str, name: str, variant: Any, seed: int) -> None:
    assert failed(marks_of(slug, name, variant.source, seed)) == []
    assert not forbidden_in(variant.source, EXERCISES[slug].tasks[name].forbidden)


@pytest.mark.parametrize(("slug", "name", "wrong"), WRONG, ids=[f"{n}: {w.name}" for _, n, w in WRONG])
@pytest.mark.parametrize("seed", SEEDS)
def test_wrong_answer_gets_its_hint(slug: str, name: str, wrong: Any, seed: int) -> None:
    bad = failed(marks_of(slug, name, wrong.source, seed))
    assert bad, "passes every criterion"
    assert wrong.hint in bad[0].hint
    # A criterion fails for its own reason only: `fails` says which ones should, the others pass.
    visible = {criterion.name for criterion in EXERCISES[slug].tasks[name].criteria}
    assert {mark.criterion for mark in bad} & visible == set(wrong.fails)


@each_task
def test_stub_fails_and_says_so(slug: str, name: str) -> None:
    marks = marks_of(slug, name, stub_source(slug, name))
    assert failed(marks), "the untouched stub passes"
    assert sum(m.points for m in marks if m.passed) == 0
    assert not any(mark.started for mark in marks)
    assert all("not done" in m.hint.lower() or "no answer" in m.hint for m in marks)


def headings(slug: str) -> set[str]:
    lines = (ROOT / "chapters" / f"{slug}.py").read_text().split("\n")
    return {line.removeprefix("# ## ") for line in lines if line.startswith("# ## ")}


@each_task
def test_section_is_one_of_the_chapter(slug: str, name: str) -> None:
    assert EXERCISES[slug].tasks[name].section in headings(slug)


@each_task
def test_counts_points_and_hints(slug: str, name: str) -> None:
    exercise = EXERCISES[slug]
    task, wrong, variants = exercise.tasks[name], exercise.wrong[name], exercise.variants[name]
    assert len(wrong) >= 4
    assert len(variants) >= 2
    assert len(task.hints) >= 2
    assert len({item.name for item in wrong}) == len(wrong)
    # Own hint each: no two named wrong answers are told the same.
    hints = [failed(marks_of(slug, name, item.source, 0))[0].hint for item in wrong]  # cached
    assert len(set(hints)) == len(hints)
    assert task.visible_points + sum(c.points for c in exercise.hidden[name]) == task.points


@pytest.mark.parametrize("slug", EXERCISES)
def test_notebook_and_checks_name_the_same_tasks_and_points(slug: str) -> None:
    exercise = EXERCISES[slug]
    notebook = solutions_of(slug)
    text = "\n".join(cell.source for cell in notebook.cells)
    assert 4 <= len(exercise.tasks) <= 8
    tags = [t for c in notebook.cells for t in c.metadata.get("tags", []) if t.startswith("answer-")]
    assert tags == [f"answer-{name}" for name in exercise.tasks]
    assert set(exercise.hidden) == set(exercise.wrong) == set(exercise.variants) == set(exercise.tasks)
    for number, task in enumerate(exercise.tasks.values(), 1):
        assert f'check("{task.name}")' in text
        (title,) = [c.source.split("\n")[0] for c in notebook.cells if c.source.startswith(f"## {number}. ")]
        assert title == f"## {number}. {task.title} ({task.points} points)"
    assert f"{exercise.points} points" in notebook.cells[0].source
    assert f"../chapters/{slug}.ipynb" in notebook.cells[0].source
    assert "progress()" in text
    discussions = [c for c in notebook.cells if SOLUTION_TAG in c.metadata.get("tags", [])]
    assert len(discussions) >= len(exercise.tasks)
    assert all(
        c.source.startswith(":::{admonition} Discussion\n:class: dropdown") and c.source.endswith(":::")
        for c in discussions
    )


@each_task
def test_no_solution_calls_what_it_must_not(slug: str, name: str) -> None:
    task = EXERCISES[slug].tasks[name]
    source = solution_source(slug, name)
    assert not forbidden_in(source, ("dgm", "coursekit", *task.forbidden), context=setup_of(slug))


FORGED: tuple[Any, ...] = (
    1.0,
    {"kind": "returned"},
    {"kind": "returned", "value": {"type": "tensor"}},
    {
        "kind": "returned",
        "value": {"type": "tensor", "dtype": "float64", "shape": [5], "values": ["x", None, {}]},
    },
    {"kind": "returned", "value": {"type": "list", "items": [{}, {"type": "tensor"}, 3]}},
    {"kind": "returned", "value": {"type": "number", "value": "everything"}},
    {"type": "table", "items": {"forward_mean": {}, "reverse_std": 7}},
)
NO_DATA: tuple[Any, ...] = (
    None,
    [],
    {},
    {"data": 3},
    {"data": {}},
    {"missing": ["x"]},
    {"missing": 3},
    {"failed": {}},
)


@each_task
def test_no_forged_reply_earns_a_point_or_raises(slug: str, name: str) -> None:
    task = EXERCISES[slug].tasks[name]
    keys = set(run_probe(task.probe, namespace_of(slug, solution_source(slug, name)), 0)["data"])
    criteria: tuple[Criterion, ...] = (*task.criteria, *EXERCISES[slug].hidden[name])
    for reply in (*NO_DATA, *({"data": dict.fromkeys(keys, forged)} for forged in FORGED)):
        marks = judge(criteria, reply, 0)
        assert len(marks) == len(criteria)
        assert not any(mark.passed for mark in marks), reply


@each_task
def test_self_check_agrees_with_the_grader(slug: str, name: str) -> None:
    task: Task = EXERCISES[slug].tasks[name]
    result = assess(task, namespace_of(slug, solution_source(slug, name)))
    assert result.state == "passed"
    assert result.got == task.visible_points
