"""Every kind of submission as a file, all of them in one batch: each gets the marks that it deserves."""

import csv
import json
import os
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coursekit.grading import cli
from grading.hostile import BAD, GOOD, HOSTILE

ROOT = Path(__file__).parents[2]
SOLUTION = ROOT / "solutions" / "02_vae.ipynb"
FULL = 5  # points of kl
HONEST = 6  # submissions that are right, between the others
SCRIPT = "<script>document.title='owned'</script>"
PARTLY = GOOD.replace("1 - logvar)", "1 - logvar.detach())")  # its gradient is cut

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("bwrap") is None and "CI" not in os.environ, reason="bubblewrap is not installed (bwrap)"
    ),
]

Notebook = dict[str, Any]


def notebook() -> Notebook:
    """The solution as a student might hand it in."""
    return dict(json.loads(SOLUTION.read_text(encoding="utf-8")))


def tags(cell: Notebook) -> list[str]:
    return list(cell["metadata"].get("tags", []))


def tagged(book: Notebook, tag: str) -> Notebook:
    return next(cell for cell in book["cells"] if tag in tags(cell))


def with_kl(source: str) -> Notebook:
    book = notebook()
    tagged(book, "answer-kl")["source"] = source
    return book


def data(book: Notebook) -> bytes:
    return json.dumps(book).encode()


def code(source: str, *names: str) -> Notebook:
    metadata = {"tags": list(names)}
    return {"cell_type": "code", "source": source, "metadata": metadata, "outputs": [], "execution_count": 1}


def changed(change: Callable[[Notebook], object], kl: str = GOOD) -> bytes:
    book = with_kl(kl)
    change(book)
    return data(book)


def without(tag: str) -> Callable[[Notebook], None]:
    def change(book: Notebook) -> None:
        book["cells"] = [cell for cell in book["cells"] if tag not in tags(cell)]

    return change


def retagged(book: Notebook) -> None:
    tagged(book, "answer-kl")["metadata"]["tags"] = ["answer-iwae"]


def untagged(book: Notebook) -> None:
    for cell in book["cells"]:
        cell["metadata"].pop("tags", None)


def first_wrong_then_right(book: Notebook) -> None:
    book["cells"].insert(0, code(BAD, "answer-kl"))


def first_right_then_wrong(book: Notebook) -> None:
    book["cells"].append(code(BAD, "answer-kl"))


def tampered_setup(book: Notebook) -> None:
    tagged(book, "setup")["source"] = (
        "import torch\ntorch.allclose = torch.equal = lambda *a, **k: True\nkl_points = 5"
    )


def tampered_checks(book: Notebook) -> None:
    for cell in book["cells"]:
        if cell["cell_type"] == "code" and cell["source"][:1] and "check(" in "".join(cell["source"]):
            cell["source"] = "print('5 of 5 points')\nimport os; os._exit(0)"


def patched_elsewhere(book: Notebook) -> None:
    book["cells"].insert(
        1, code("import coursekit.exercises as e\ne.check = e.assess = lambda name: 'passed'")
    )


def forged_outputs(book: Notebook) -> None:
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "✓ kl: 5 of 5 points"}]
            cell["metadata"]["points"] = 5


def cells_that_are_none(book: Notebook) -> None:
    book["cells"] += [None, 3, {"cell_type": "code", "source": {"a": 1}, "metadata": "x"}]


whole = data(with_kl(GOOD))
script = f'# %% [markdown]\n# # Mine\n\n# %%\nexercise("02_vae")\n\n# %% tags=["answer-kl"]\n{GOOD}\n'

# What is in the file, what kl gets (None: less than full), and what the instructor is told of it.
FILES: dict[str, tuple[str, bytes, int | None, str]] = {
    "correct": ("02_vae.ipynb", whole, FULL, ""),
    "partly right": ("02_vae.ipynb", data(with_kl(PARTLY)), 4, ""),
    "wrong": ("02_vae.ipynb", data(with_kl(BAD)), None, ""),
    "a percent script": ("02_vae.py", script.encode(), FULL, ""),
    "no notebook, the function alone": ("02_vae.py", GOOD.encode(), FULL, ""),
    "empty": ("02_vae.ipynb", b"", 0, "the file is empty"),
    "not JSON": ("02_vae.ipynb", b"My answer is 42.", 0, "not JSON"),
    "JSON of something else": ("02_vae.ipynb", b'{"answer": 42}', 0, "no cells"),
    "truncated": ("02_vae.ipynb", whole[: len(whole) // 2], 0, "ends in the middle"),
    "UTF-16": ("02_vae.ipynb", whole.decode().encode("utf-16"), FULL, "not in UTF-8"),
    "Windows-1252": (
        "02_vae.ipynb",
        json.dumps(with_kl(GOOD + "\n# é"), ensure_ascii=False).encode("cp1252", "replace"),
        FULL,
        "not in UTF-8",
    ),
    "bytes of no encoding": ("02_vae.py", bytes(range(128, 256)) * 9, 0, "no exercise|gone|UTF-8"),
    "the cell deleted": ("02_vae.ipynb", changed(without("answer-kl")), 0, "the answer cell is gone"),
    "all cells deleted": ("02_vae.ipynb", changed(lambda b: b["cells"].clear()), 0, "gone"),
    "reordered": ("02_vae.ipynb", changed(lambda b: b["cells"].reverse()), FULL, ""),
    "duplicated, the right one last": ("02_vae.ipynb", changed(first_wrong_then_right), FULL, "2 cells"),
    "duplicated, the wrong one last": ("02_vae.ipynb", changed(first_right_then_wrong), None, "2 cells"),
    "retagged": ("02_vae.ipynb", changed(retagged), FULL, "taken from another"),
    "tags gone": ("02_vae.ipynb", changed(untagged), FULL, "taken from another"),
    "setup tampered": ("02_vae.ipynb", changed(tampered_setup, BAD), None, ""),
    "checks tampered": ("02_vae.ipynb", changed(tampered_checks, BAD), None, ""),
    "checks tampered, the answer right": ("02_vae.ipynb", changed(tampered_checks), FULL, ""),
    "check patched in another cell": ("02_vae.ipynb", changed(patched_elsewhere, BAD), None, ""),
    "outputs forged": ("02_vae.ipynb", changed(forged_outputs, BAD), None, ""),
    "cells that are none": ("02_vae.ipynb", changed(cells_that_are_none), FULL, ""),
    "script printed": ("02_vae.ipynb", data(with_kl(f"print({SCRIPT!r})" + GOOD)), FULL, ""),
    "script raised": (
        "02_vae.ipynb",
        data(with_kl(f"def kl(mu, logvar):\n    raise ValueError({SCRIPT!r})")),
        0,
        "",
    ),
    "<script>alert('name')<script>": ("02_vae.ipynb", data(with_kl(BAD)), None, ""),
    "=HYPERLINK(A1)": ("02_vae.ipynb", whole, FULL, ""),
    "-rf": ("02_vae.ipynb", whole, FULL, ""),
    "a b  c": ("my 02_vae (final) (2).ipynb", whole, FULL, ""),
    "Zoë 学生": ("02_vae.ipynb", whole, FULL, ""),
}


def looks_around(folder: Path) -> dict[str, str]:
    """Answers that read what lies beside them; each ends with the right answer."""
    return {
        "reads another submission": f"open({str(folder / 'correct' / '02_vae.ipynb')!r}).read()" + GOOD,
        "lists the submissions": f"import os\nos.listdir({str(folder)!r})" + GOOD,
        "reads the results": f"open({str(folder.parent / 'out' / 'marks.csv')!r}).read()" + GOOD,
        "writes into another submission": (
            f"open({str(folder / 'wrong' / '02_vae.ipynb')!r}, 'w').write('x')" + GOOD
        ),
    }


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """Everything in one folder, graded by one command: the output folder, and how long it took."""
    base = tmp_path_factory.mktemp("files")
    subs = base / "subs"
    everything = {name: (file, raw) for name, (file, raw, _, _) in FILES.items()}
    sources = {f"answer {name}": case.source for name, case in HOSTILE.items()} | looks_around(subs)
    everything |= {name: ("02_vae.ipynb", data(with_kl(source))) for name, source in sources.items()}
    for i in range(HONEST):
        everything[f"{i * 16:02x} honest"] = ("02_vae.ipynb", whole)
    for name, (file, raw) in everything.items():
        place = subs / name.replace("/", " ") / file
        place.parent.mkdir(parents=True)
        place.write_bytes(raw)
    began = time.monotonic()
    arguments = [str(subs), "--out", str(base / "out"), "--root", str(ROOT), "--quiet"]
    assert cli.main([*arguments, "--task", "kl", "--seconds", "2", "--jobs", "2"]) == cli.DONE
    return base / "out", time.monotonic() - began


@pytest.fixture(scope="module")
def rows(graded: tuple[Path, float]) -> dict[str, dict[str, str]]:
    with (graded[0] / "marks.csv").open(newline="", encoding="utf-8") as file:
        return {row["student"].removeprefix("'"): row for row in csv.DictReader(file)}


def mark(row: dict[str, str]) -> int:
    return int(row["02_vae:kl"])


@pytest.mark.parametrize("name", FILES)
def test_a_file_gets_what_it_deserves(rows: dict[str, dict[str, str]], name: str) -> None:
    _, _, expected, told = FILES[name]
    found = mark(rows[name])
    assert found == expected if expected is not None else found <= 2, rows[name]
    assert any(word in rows[name]["needs a look"] for word in told.split("|")), rows[name]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_gets_as_a_file_what_it_gets_alone(
    rows: dict[str, dict[str, str]], name: str
) -> None:
    row, case = rows[f"answer {name}".replace("/", " ")], HOSTILE[name]
    assert mark(row) == FULL if case.full else mark(row) <= 2, row
    if case.outcome not in ("any", "replied"):
        assert f"kl: {case.outcome}" in row["needs a look"], row


@pytest.mark.parametrize("name", looks_around(Path("/")))
def test_nothing_beside_it_can_be_read_or_written(rows: dict[str, dict[str, str]], name: str) -> None:
    assert mark(rows[name]) == 0, rows[name]  # the answer stands after the line that fails


def test_nobody_is_harmed_and_it_ends(graded: tuple[Path, float], rows: dict[str, dict[str, str]]) -> None:
    honest = [row for name, row in rows.items() if name.endswith("honest")]
    assert [mark(row) for row in honest] == [FULL] * HONEST
    assert len(rows) == len(FILES) + len(HOSTILE) + len(looks_around(Path("/"))) + HONEST
    out, seconds = graded
    assert seconds < 15 * len(rows)  # on a busy machine; the limit of an answer is 2 CPU-seconds
    assert {path.name for path in out.parent.iterdir()} == {"subs", "out"}


def test_no_page_runs_what_a_student_wrote_and_no_cell_is_a_formula(graded: tuple[Path, float]) -> None:
    out, _ = graded
    pages = [out / "index.html", *(out / "students").glob("*.html")]
    assert len(pages) > len(FILES)
    texts = [page.read_text(encoding="utf-8") for page in pages]
    assert not [text for text in texts if "<script" in text]
    assert sum("&lt;script&gt;document.title" in text for text in texts) >= 2
    for table in out.glob("*.csv"):
        with table.open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not [cell for cell in cells if cell.strip().startswith(("=", "+", "-", "@"))]


def test_a_zip_of_odd_names_is_graded_and_nothing_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    places = {
        "../../evil/02_vae.ipynb": "evil", "/etc/02_vae.ipynb": "etc", "-rf_02_vae.ipynb": "rf",
        "a b/02_vae.ipynb": "a b", "学生_02_vae.ipynb": "学生", "=1+1_02_vae.ipynb": "=1+1",
    }  # fmt: skip
    with zipfile.ZipFile(tmp_path / "in" / "all.zip", "w") as archive:
        for place in places:
            archive.writestr(place, whole)
    arguments = [str(tmp_path / "in" / "all.zip"), "--out", str(tmp_path / "out"), "--root", str(ROOT)]
    assert cli.main([*arguments, "--quiet", "--task", "kl", "--jobs", "1"]) == cli.DONE
    with (tmp_path / "out" / "marks.csv").open(newline="", encoding="utf-8") as file:
        found = {row["student"].removeprefix("'"): mark(row) for row in csv.DictReader(file)}
    assert found == dict.fromkeys(places.values(), FULL)
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["all.zip"]
