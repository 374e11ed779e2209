"""Records, tables and pages: complete, escaped, and never showing what is hidden."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from coursekit.exercises.task import Mark
from coursekit.grading.collect import Left
from coursekit.grading.marking import TaskMarks, load_source, seed_of
from coursekit.grading.pages import student_page, summary_page, write_pages
from coursekit.grading.records import Record, Records, from_json, to_json
from coursekit.grading.similar import similar_pairs, tokens
from coursekit.grading.tables import canvas_table, marks_table, moodle_table, neutral

SOLUTIONS = Path(__file__).parents[2] / "solutions"
SOURCES = {"02_vae": load_source(SOLUTIONS, "02_vae")}
EVIL = "<script>alert(1)</script>"


def marks(task: str, got: int, log: str = "") -> TaskMarks:
    """Marks of a task of 02_vae: its visible points up to `got`."""
    source = SOURCES["02_vae"].exercise
    visible, left = [], got
    for criterion in source.tasks[task].criteria:
        passed = left >= criterion.points
        left -= criterion.points if passed else 0
        visible.append(Mark(criterion.name, criterion.points, passed, "" if passed else "Look at `exp`."))
    hidden = [
        Mark(c.name, c.points, left > 0, "" if left else "a hint of a hidden check")
        for c in source.hidden[task]
    ]
    return TaskMarks(task, source.tasks[task].points, tuple(visible), tuple(hidden), log=log)


def record(student: str, got: int = 5, **change: object) -> Record:
    blank = Record(student, student, "", "", "02_vae", f"{student}/02_vae.ipynb", False, "key")
    tasks = (marks("kl", got), *(marks(t, 0) for t in SOURCES["02_vae"].exercise.tasks if t != "kl"))
    return replace(replace(blank, tasks=tasks), **change)  # type: ignore[arg-type]


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def test_a_record_reads_back_as_it_was(tmp_path: Path) -> None:
    one = record("Zoë \ud800", answers={"kl": ("def kl(): pass",)}, notes=("a note",), late=True)
    assert from_json(to_json(one)) == one
    records = Records(tmp_path)
    records.save(one)
    assert records.load(one.student, "02_vae") == one
    assert records.all() == [one]
    records.forget([("somebody else", "02_vae")])
    assert records.all() == []


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"tasks": 3}', '{"tasks": [], "answers": {}, "notes": []}']
)
def test_a_broken_record_is_no_record(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(text)
    records = Records(tmp_path)
    path = records.path("alice", "02_vae")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert records.load("alice", "02_vae") is None
    assert records.all() == []


def test_the_table_has_a_row_for_each_student_and_a_column_for_each_task() -> None:
    table = rows(marks_table([record("bob", 2), record("alice", 5)], SOURCES))
    head, alice, bob = table
    assert [alice[0], bob[0]] == ["alice", "bob"]
    column = head.index("02_vae:kl")
    assert (alice[column], bob[column]) == ("5", "2")
    assert alice[head.index("total")] == "5"
    assert alice[head.index("possible")] == "32"
    assert all(len(row) == len(head) for row in table)


def test_a_failed_record_leaves_its_cells_empty() -> None:
    head, row = rows(
        marks_table([record("alice", failed=True, problem="the grader failed", tasks=())], SOURCES)
    )
    assert row[head.index("02_vae:kl")] == row[head.index("02_vae:total")] == ""
    assert "the grader failed" in row[head.index("needs a look")]


def test_canvas_reads_its_own_columns() -> None:
    jane = record("1234", name="doejane", number="1234", system="canvas")
    table = rows(canvas_table([jane, record("nobody of canvas")], SOURCES))
    assert table[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "02_vae"]
    assert table[1][0].strip() == "Points Possible"
    assert table[1][-1] == "32"
    assert table[2:] == [["doejane", "1234", "", "", "", "5"]]


def test_moodle_reads_its_own_worksheet() -> None:
    jane = record("77", name="Jane Doe", number="77", system="moodle")
    head, row = rows(moodle_table([jane, record("nobody of moodle")], SOURCES, "02_vae"))
    assert head[:4] == ["Identifier", "Full name", "Grade", "Maximum Grade"]
    assert row[:4] == ["Participant 77", "Jane Doe", "5", "32"]
    assert "kl: 5 of 5" in row[4]


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\u00a0=1", "\r=1"], ids=range(8)
)
def test_no_cell_is_taken_for_a_formula(text: str) -> None:
    assert neutral(text) == "'" + text
    cells = [c for row in rows(marks_table([record(text)], SOURCES)) for c in row]
    assert not [c for c in cells if c.strip().startswith(("=", "+", "-", "@"))]


def test_names_with_quotes_and_line_ends_stay_in_their_cell() -> None:
    head, row = rows(marks_table([record('a"b,c\nd')], SOURCES))
    assert row[0] == 'a"b,c\nd'
    assert len(row) == len(head)


def test_pages_escape_all_that_came_from_a_student() -> None:
    evil = record(EVIL, 2, name=EVIL, place=EVIL, notes=(EVIL,), problem=EVIL)
    evil = replace(evil, tasks=(replace(marks("kl", 2, EVIL), stopped=EVIL, trouble=EVIL, look=EVIL),))
    for page in (student_page([evil], SOURCES), summary_page([evil], [Left(EVIL, EVIL)], SOURCES)):
        assert "<script" not in page
        assert "&lt;script&gt;" in page
        assert "default-src 'none'" in page


def test_a_students_page_says_what_passed_and_nothing_of_hidden_checks() -> None:
    page = student_page([record("alice", 4)], SOURCES)
    exercise = SOURCES["02_vae"].exercise
    for criterion in exercise.tasks["kl"].criteria:
        assert criterion.name in page
    for criteria in exercise.hidden.values():
        for criterion in criteria:
            assert criterion.name not in page
    assert "a hint of a hidden check" not in page
    assert "4 of 32 points" in page


def test_a_students_page_shows_what_the_answer_printed() -> None:
    page = student_page([replace(record("a"), tasks=(marks("kl", 5, "<b>hello</b>"),))], SOURCES)
    assert "&lt;b&gt;hello&lt;/b&gt;" in page


def test_the_summary_counts_and_ranks() -> None:
    page = summary_page([record("alice", 5), record("bob", 2)], [Left("x.txt", "neither")], SOURCES)
    assert "2 submissions, 2 students" in page
    assert "median 3.5 of 32 points, lowest 2, highest 5" in page
    assert page.index("reparameterise") < page.index("<td>kl</td>")  # most missed first
    assert "x.txt" in page


def test_pages_of_students_who_are_gone_are_deleted(tmp_path: Path) -> None:
    write_pages(tmp_path, [record("alice"), record("bob")], [], SOURCES)
    assert len(list((tmp_path / "students").glob("*.html"))) == 2
    write_pages(tmp_path, [record("bob")], [], SOURCES)
    assert len(list((tmp_path / "students").glob("*.html"))) == 1


LONG = "def kl(mu, logvar):\n" + "\n".join(f"    step_{i} = mu * {i} + logvar.exp()" for i in range(6)) + "\n"


def test_equal_answers_are_found_whatever_their_comments() -> None:
    given = {"02_vae": {"kl": [LONG.replace("step", "model")]}}
    there = [
        record("alice", answers={"kl": (LONG,)}),
        record("bob", answers={"kl": (LONG.replace("\n", "  # mine\n"),)}),
        record("carol", answers={"kl": (LONG.replace("step", "other"),)}),
        record("dan", answers={"kl": (LONG.replace("step", "model"),)}),
        record("eve", answers={"kl": (LONG.replace("step", "model"),)}),
    ]
    (pair,) = similar_pairs(there, given)
    assert pair.students == ("alice", "bob")
    assert pair.tasks == ("kl",)
    short = [record(s, answers={"kl": ("def kl(mu, logvar):\n    return mu",)}) for s in "abc"]
    assert similar_pairs(short, given) == []


def test_tokens_of_what_is_no_python() -> None:
    assert tokens("def f(:\n  'x") == ("def", "f(:", "'x")
    assert tokens("a = 1  # b") == tokens("a=1")


def test_seeds_are_a_students_own_and_need_the_secret() -> None:
    seeds = {
        seed_of(*key)
        for key in (("a", "s", "t", "x"), ("b", "s", "t", "x"), ("a", "s", "u", "x"), ("a", "s", "t", "y"))
    }
    assert len(seeds) == 4
    assert seed_of("a", "s", "t", "x") == seed_of("a", "s", "t", "x")
    assert all(0 < seed < 2**31 for seed in seeds)


def test_records_are_json_that_anybody_can_read(tmp_path: Path) -> None:
    Records(tmp_path).save(record("alice"))
    (path,) = tmp_path.rglob("*.json")
    assert json.loads(path.read_text())["student"] == "alice"
