"""What was handed in is found, whatever it is called, and nothing outside is ever read or written."""

import json
import os
import stat
import zipfile
from pathlib import Path

import pytest

from coursekit.grading import collect as collecting
from coursekit.grading.collect import NothingThere, collect, safe_name
from coursekit.grading.submission import (
    Cell,
    Unreadable,
    defined_in,
    find_answer,
    find_slug,
    read_cells,
    read_submission,
    without_magics,
)

SLUGS = ("02_vae", "05_flow")


def write(path: Path, text: str = "{}") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def students(path: Path) -> list[str]:
    return [found.student for found in collect(path, SLUGS)[0]]


def test_a_folder_for_each_student_or_a_file_for_each(tmp_path: Path) -> None:
    for place in (
        "alice/02_vae.ipynb",
        "bob/deep/er/02_vae.py",
        "carol_02_vae.ipynb",
        "02_vae-dan.ipynb",
        "eve.py",
    ):
        write(tmp_path / place)
    assert sorted(students(tmp_path)) == ["alice", "bob", "carol", "dan", "eve"]


def test_names_that_canvas_makes(tmp_path: Path) -> None:
    write(tmp_path / "doejane_1234_56789_02_vae.ipynb")
    write(tmp_path / "doejane_1234_56999_02_vae-1.ipynb")
    write(tmp_path / "roejohn_LATE_77_88_my_notebook.ipynb")
    found, _ = collect(tmp_path, SLUGS)
    jane, again, john = found
    assert (jane.student, jane.name, jane.system, jane.late, jane.attempt) == (
        "1234",
        "doejane",
        "canvas",
        False,
        0,
    )
    assert (again.student, again.attempt) == ("1234", 1)
    assert (john.student, john.name, john.late) == ("77", "roejohn", True)


def test_names_that_moodle_makes(tmp_path: Path) -> None:
    write(tmp_path / "Jane Doe_12345_assignsubmission_file_" / "02_vae.ipynb")
    write(tmp_path / "Zoë van Ü_678_assignsubmission_file_02_vae.ipynb")
    found = {f.student: f for f in collect(tmp_path, SLUGS)[0]}
    assert (found["12345"].name, found["12345"].system) == ("Jane Doe", "moodle")
    assert found["678"].name == "Zoë van Ü"


def test_a_zip_reads_as_the_folder_it_holds(tmp_path: Path) -> None:
    write(tmp_path / "folder" / "alice" / "02_vae.ipynb", "{1}")
    write(tmp_path / "folder" / "doejane_1_2_02_vae.ipynb", "{2}")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in (tmp_path / "folder").rglob("*.ipynb"):
            archive.write(path, path.relative_to(tmp_path / "folder"))
    of_zip, of_folder = (collect(tmp_path / name, SLUGS)[0] for name in ("all.zip", "folder"))
    assert [(f.student, f.place, f.read()) for f in of_zip] == [
        (f.student, f.place, f.read()) for f in of_folder
    ]


def test_a_zip_that_points_outside_writes_nothing_there(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    with zipfile.ZipFile(inside / "evil.zip", "w") as archive:
        archive.writestr("../../evil/02_vae.ipynb", "{}")
        archive.writestr("/etc/evil_02_vae.ipynb", "{}")
        link = zipfile.ZipInfo("alice/02_vae.ipynb")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    found, left = collect(inside / "evil.zip", SLUGS)
    assert {f.student for f in found} == {"evil", "etc"}
    assert [(item.place, item.why) for item in left] == [
        ("alice/02_vae.ipynb", "a link; links are not followed")
    ]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["evil.zip", "in"]


def test_a_zip_bomb_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "LARGEST", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("alice/02_vae.ipynb", "0" * 2000)
    found, left = collect(tmp_path / "bomb.zip", SLUGS)
    assert found == []
    assert "at most" in left[0].why


def test_links_pipes_and_odd_files_are_listed_and_never_followed(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret" / "02_vae.ipynb")
    folder = tmp_path / "subs"
    write(folder / "alice" / "02_vae.ipynb")
    (folder / "bob").mkdir()
    (folder / "bob" / "02_vae.ipynb").symlink_to(secret)
    (folder / "carol").symlink_to(secret.parent)
    os.mkfifo(folder / "02_vae_dan.ipynb")
    write(folder / "readme.txt")
    write(folder / "alice" / ".ipynb_checkpoints" / "02_vae-checkpoint.ipynb")
    found, left = collect(folder, SLUGS)
    assert [f.student for f in found] == ["alice"]
    why = {item.place: item.why for item in left}
    assert why["bob/02_vae.ipynb"] == "a link; links are not followed"
    assert why["carol"].startswith("a link to a folder")
    assert why["02_vae_dan.ipynb"] == "not an ordinary file"
    assert why["readme.txt"] == "neither .ipynb nor .py"
    assert len(why) == 4


def test_a_file_that_turns_into_a_link_is_not_followed(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.txt", "secret")
    path = write(tmp_path / "subs" / "alice_02_vae.ipynb")
    (found,), _ = collect(tmp_path / "subs", SLUGS)
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(OSError, match="symbolic"):
        found.read()


ODD = [
    "-rf",
    "a b",
    "ünï çødé 学生",
    "..",
    "a\nb",
    "=cmd|' /C calc'!A0",
    "<script>",
    "x" * 200,
    "a/../../b",
    "\udcff",
]


@pytest.mark.parametrize("name", ODD, ids=range(len(ODD)))
def test_safe_names_stay_in_their_folder_and_differ(name: str) -> None:
    safe = safe_name(name)
    assert safe.isascii()
    assert Path(safe).name == safe
    assert not safe.startswith(("-", "."))
    assert len(safe) < 60
    assert safe != safe_name(name + "x")


def test_nothing_there_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(NothingThere, match=r"there is no .*: name a folder"):
        collect(tmp_path / "gone")
    with pytest.raises(NothingThere, match="neither a folder nor a zip"):
        collect(write(tmp_path / "notes.txt"))


# --- one file --------------------------------------------------------------------------------------

TASKS = {"02_vae": {"kl": ("kl",), "two": ("first", "second")}}


def notebook(*cells: tuple[str, list[str]]) -> bytes:
    made = [{"cell_type": "code", "source": s, "metadata": {"tags": t}} for s, t in cells]
    return json.dumps({"cells": made, "nbformat": 4}).encode()


def answer(data: bytes, task: str = "kl", name: str = "02_vae.ipynb") -> tuple[str, ...]:
    return tuple(read_submission(data, name, TASKS).answers[task])


KL, WRONG = "def kl(mu, logvar):\n    return 1", "def kl(mu, logvar):\n    return 2"


def test_the_answer_is_the_tagged_cell() -> None:
    assert answer(notebook(("x = 1", ["setup"]), (KL, ["answer-kl"]))) == (KL,)


@pytest.mark.parametrize(
    ("cells", "expected", "note"),
    [
        ([(KL, [])], KL, "not in the answer cell"),
        ([(KL, ["answer-other"])], KL, "not in the answer cell"),
        ([(WRONG, ["answer-kl"]), (KL, ["answer-kl"])], KL, "2 cells are tagged"),
        ([(KL, ["answer-kl"]), ("x = 1", ["answer-kl"])], KL, "2 cells are tagged"),
        ([("x = 1", ["answer-kl"]), (KL, [])], KL, "not in the answer cell"),
        ([(KL, ["answer-kl"]), (WRONG, [])], KL, ""),
    ],
    ids=["tags gone", "retagged", "duplicated", "tagged twice", "moved", "redefined elsewhere"],
)
def test_cells_that_were_moved_about(cells: list[tuple[str, list[str]]], expected: str, note: str) -> None:
    submission = read_submission(notebook(*cells), "02_vae.ipynb", TASKS)
    assert submission.answers["kl"] == (expected,)
    assert (note in "; ".join(submission.notes)) if note else not [n for n in submission.notes if "kl" in n]


def test_a_deleted_cell_is_no_answer_and_is_noted() -> None:
    submission = read_submission(notebook(("x = 1", [])), "02_vae.ipynb", TASKS)
    assert submission.answers == {"kl": (), "two": ()}
    assert "kl: the answer cell is gone" in submission.notes


def test_a_task_of_two_functions_in_two_cells_keeps_their_order() -> None:
    data = notebook(("second = 2", []), ("first = 1", []))
    assert answer(data, "two") == ("second = 2", "first = 1")


def test_checks_and_setup_of_the_submission_are_never_taken() -> None:
    data = notebook(
        ("import torch; torch.evil = 1", ["setup"]), (KL, ["answer-kl"]), ("check = lambda name: 'full'", [])
    )
    assert answer(data) == (KL,)


@pytest.mark.parametrize(
    ("data", "name", "match"),
    [
        (b"", "a.ipynb", "empty"),
        (b"\0\0\0", "a.ipynb", "empty"),
        (b"hello", "a.ipynb", "not JSON"),
        (b'{"cells": [{"cell_type": "co', "a.ipynb", "ends in the middle"),
        (b"[1, 2]", "a.ipynb", "no cells"),
        (b'{"cells": 3}', "a.ipynb", "no cells"),
        (b"[" * 100_000, "a.ipynb", "nested too deeply|not JSON"),
        (b"\x89PNG\r\n", "a.ipynb", "not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_notebook(data: bytes, name: str, match: str) -> None:
    with pytest.raises(Unreadable, match=match):
        read_cells(data, name)
    assert read_submission(data, name, TASKS).problem


def test_other_encodings_are_read_and_noted() -> None:
    for encoding in ("utf-16", "cp1252"):
        text = json.dumps({"cells": [{"cell_type": "code", "source": KL + " # é"}]}, ensure_ascii=False)
        cells, notes = read_cells(text.encode(encoding), "a.ipynb")
        assert cells == [Cell(KL + " # é")]
        assert "UTF-8" in notes[0]
    assert read_cells(b"\xef\xbb\xbf" + notebook((KL, [])), "a.ipynb")[1] == []


def test_notebooks_whose_parts_are_of_the_wrong_type() -> None:
    odd = {"cells": [1, None, {"cell_type": "code"}, {"cell_type": "code", "source": 3, "metadata": [1]}]}
    odd["cells"].append({"cell_type": "code", "source": ["a = ", 1, "2"], "metadata": {"tags": "x"}})
    cells, _ = read_cells(json.dumps(odd).encode(), "a.ipynb")
    assert [cell.source for cell in cells] == ["", "", "a = 2"]


def test_percent_scripts_and_plain_scripts() -> None:
    text = f'# %% [markdown]\n# # Title\n\n# %% tags=["answer-kl"]\n{KL}\n\n# %%\ncheck("kl")\n'
    assert answer(text.encode(), name="02_vae.py") == (KL,)
    assert answer(KL.encode(), name="02_vae.py") == (KL,)


def test_which_exercise_it_is() -> None:
    opens = [Cell("import torch"), Cell('use_style()\nexercise("02_vae")')]
    assert find_slug(opens, "homework.ipynb", SLUGS) == "02_vae"
    assert find_slug([], "alice_05_flow.ipynb", SLUGS) == "05_flow"
    assert find_slug([Cell('# exercise("02_vae")')], "homework.ipynb", SLUGS) == ""
    assert (
        "no exercise of this course" in read_submission(notebook((KL, [])), "homework.ipynb", TASKS).problem
    )


HOSTILE_SOURCES = [
    "-" * 190_000 + "1", "(" * 190_000, "a" + ".a" * 90_000, "1" + "+1" * 90_000, "not " * 40_000 + "1",
    "lambda:" * 27_000 + "1", "x=" * 90_000 + "1", "a" + "()" * 90_000, "a\0b", "\ud800", "x" * 300_000,
]  # fmt: skip


@pytest.mark.parametrize("source", HOSTILE_SOURCES, ids=range(len(HOSTILE_SOURCES)))
def test_sources_made_to_break_a_parser(source: str) -> None:
    assert isinstance(defined_in(source), set)
    assert find_answer([Cell(source, ("answer-kl",)), Cell(KL)], "kl", ("kl",))[0] == (KL,)


def test_magics_are_taken_out_of_what_is_no_python() -> None:
    assert without_magics("%time\nx = 1\n!ls\ny = 2\nx?") == "\nx = 1\n\ny = 2\n"
    assert without_magics("x = 5 \\\n% 3") == "x = 5 \\\n% 3"
    assert defined_in("%%time\n" + KL) == {"kl"}
    assert defined_in("def kl(:\n    return") == {"kl"}
