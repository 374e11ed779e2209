"""Pairs of .py and .ipynb, execution, and the scan for equations, on small made-up repositories."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from coursekit.authoring import equations as eq
from coursekit.authoring import notebooks as nb
from coursekit.authoring import pairs, run
from coursekit.authoring.pairs import ConflictError, State

CHAPTER = """# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Title
#
# Some *text*.

# %%
x = 1
x

# %% tags=["slow"]
y = x + 1
print(y)

# %%
x
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "pyproject.toml").write_text("")
    for folder in ("chapters", "solutions", "exercises", "tests", "lib/dgm"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def pair(root):
    """A chapter whose two files agree, with an output in its first code cell."""
    (root / "chapters" / "01_a.py").write_text(CHAPTER)
    (pair,) = nb.find_pairs(root)
    pairs.write(pair)
    notebook = nb.read_ipynb(pair.ipynb)
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", name="stdout", text="kept\n")]
    notebook.cells[1].execution_count = 1
    pair.ipynb.write_text(nb.ipynb_text(notebook))
    return pair


def edit_ipynb(pair, index, source, metadata=None):
    notebook = nb.read_ipynb(pair.ipynb)
    notebook.cells[index].source = source
    notebook.cells[index].metadata.update(metadata or {})
    pair.ipynb.write_text(nb.ipynb_text(notebook))


def edit_py(pair, old, new):
    text = pair.py.read_text()
    assert old in text
    pair.py.write_text(text.replace(old, new))


# what is a pair


def test_pairs_are_found_by_percent_marks_and_checkpoints_are_not(root):
    (root / "chapters" / "02_b.py").write_text("# %%\n1\n")
    (root / "chapters" / "10_only.ipynb").write_text("{}")
    (root / "chapters" / ".ipynb_checkpoints").mkdir()
    (root / "chapters" / ".ipynb_checkpoints" / "02_b-checkpoint.ipynb").write_text("{}")
    (root / "solutions" / "02_b.py").write_text("# %%\n1\n")
    (root / "solutions" / "checks").mkdir()
    (root / "solutions" / "checks" / "hidden.py").write_text("def judge(): ...\n")
    assert [p.name for p in nb.find_pairs(root)] == ["chapters/02_b", "chapters/10_only", "solutions/02_b"]
    assert [p.name for p in nb.find_pairs(root, ["02_b"])] == ["chapters/02_b"]
    assert [p.name for p in nb.find_pairs(root, ["solutions/02_b.py"])] == ["solutions/02_b"]
    with pytest.raises(FileNotFoundError, match="no notebook '03_c'; there are chapters/02_b"):
        nb.find_pairs(root, ["03_c"])


def test_outside_a_repository_the_message_says_where_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="run this from the repository"):
        nb.repository_root(tmp_path)


# writing


def test_a_new_notebook_has_the_cells_the_kernel_and_ids_from_content(root):
    (root / "chapters" / "01_a.py").write_text(CHAPTER)
    (pair,) = nb.find_pairs(root)
    assert pairs.differences(pair) == ["01_a.ipynb is missing"]
    assert pairs.write(pair) == "01_a.ipynb written, 3 code cells not run yet"
    first = pair.ipynb.read_bytes()
    notebook = nb.read_ipynb(pair.ipynb)
    nbformat.validate(notebook)
    assert [c.cell_type for c in notebook.cells] == ["markdown", "code", "code", "code"]
    assert notebook.cells[0].source == "# Title\n\nSome *text*."
    assert notebook.cells[2].metadata.tags == ["slow"]
    assert notebook.metadata.kernelspec.name == "python3"
    assert len({c.id for c in notebook.cells}) == 4
    assert pairs.differences(pair) == []
    pair.ipynb.unlink()
    pairs.write(pair)
    assert pair.ipynb.read_bytes() == first


def test_writing_twice_changes_nothing(pair):
    before = pair.ipynb.read_bytes(), pair.py.read_bytes()
    assert pairs.write(pair) == "nothing to do"
    assert (pair.ipynb.read_bytes(), pair.py.read_bytes()) == before


def test_an_edit_of_the_py_keeps_outputs_of_unchanged_cells_alone(pair):
    edit_py(pair, "y = x + 1", "y = x + 2")
    edit_py(pair, "# # Title", "# # A title")
    assert pairs.state_of(pair) is State.PY_EDITED
    pairs.write(pair)
    cells = nb.read_ipynb(pair.ipynb).cells
    assert cells[1].outputs[0].text == "kept\n"
    assert cells[2].outputs == []
    edit_py(pair, "x = 1", "x = 10")
    pairs.write(pair)
    assert nb.read_ipynb(pair.ipynb).cells[1].outputs == []


def test_equal_cells_keep_their_own_outputs_in_order():
    cells = [nbformat.v4.new_code_cell("x") for _ in range(2)]
    old = [nbformat.v4.new_code_cell("x", execution_count=i) for i in (1, 2)]
    made = nb.stored(nbformat.v4.new_notebook(cells=cells), outputs_from=old)
    assert [c.execution_count for c in made.cells] == [1, 2]
    assert made.cells[0].id != made.cells[1].id


def test_an_edit_of_the_ipynb_is_carried_into_the_py_under_its_header(pair):
    edit_ipynb(pair, 0, "# Title\n\nEdited in JupyterLab.")
    assert pairs.state_of(pair) is State.IPYNB_EDITED
    assert "01_a.py taken from 01_a.ipynb" in pairs.write(pair)
    text = pair.py.read_text()
    assert text == CHAPTER.replace("Some *text*.", "Edited in JupyterLab.")
    assert pairs.differences(pair) == []
    assert nb.read_ipynb(pair.ipynb).cells[1].outputs[0].text == "kept\n"


def test_edits_on_both_sides_are_a_conflict_and_nothing_is_written(pair, capsys):
    edit_ipynb(pair, 0, "# Another title")
    edit_py(pair, "y = x + 1", "y = x + 2")
    before = pair.ipynb.read_bytes(), pair.py.read_bytes()
    assert pairs.state_of(pair) is State.BOTH_EDITED
    with pytest.raises(ConflictError, match=r"(?s)both 01_a\.py and 01_a\.ipynb were edited.*--from ipynb"):
        pairs.write(pair)
    root = str(pair.py.parents[1])
    assert pairs.main(["--write", "--root", root]) == 1
    shown = capsys.readouterr().err
    assert "cell 1 (markdown) differs in source" in shown
    assert "cell 3 (code) differs in source" in shown
    assert (pair.ipynb.read_bytes(), pair.py.read_bytes()) == before
    assert pairs.main(["--write", "--from", "ipynb", "--root", root, "01_a"]) == 0
    assert "# # Another title" in pair.py.read_text()
    assert "y = x + 1" in pair.py.read_text()


def test_a_conflict_can_be_decided_for_the_py(pair):
    edit_ipynb(pair, 0, "# Another title")
    edit_py(pair, "y = x + 1", "y = x + 2")
    pairs.write(pair, "py")
    assert nb.read_ipynb(pair.ipynb).cells[0].source.startswith("# Title")
    assert pairs.differences(pair) == []


def test_two_files_that_never_agreed_are_a_conflict(pair):
    notebook = nb.read_ipynb(pair.ipynb)
    del notebook.metadata["coursekit"]
    notebook.cells[0].source = "# From elsewhere"
    pair.ipynb.write_text(nb.ipynb_text(notebook))
    assert pairs.state_of(pair) is State.BOTH_EDITED


def test_the_same_edit_on_both_sides_is_no_conflict(pair):
    """As JupyterLab does it, where jupytext saves both files."""
    edit_ipynb(pair, 3, "x + 5")
    edit_py(pair, "print(y)\n\n# %%\nx\n", "print(y)\n\n# %%\nx + 5\n")
    assert pairs.state_of(pair) is State.SAME
    pairs.write(pair)
    edit_py(pair, "x + 5", "x + 6")
    assert pairs.state_of(pair) is State.PY_EDITED


def test_from_needs_write_and_names(root):
    with pytest.raises(SystemExit):
        pairs.main(["--check", "--from", "py", "--root", str(root)])
    with pytest.raises(SystemExit):
        pairs.main(["--write", "--from", "py", "--root", str(root)])


def test_generated_exercises_are_compared_but_never_written(root, capsys):
    (root / "exercises" / "01_a.py").write_text(CHAPTER)
    assert pairs.main(["--write", "--root", str(root)]) == 0
    assert not (root / "exercises" / "01_a.ipynb").exists()
    assert "coursekit.authoring.generate" in capsys.readouterr().out
    assert pairs.main(["--check", "--root", str(root)]) == 1


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(nb.os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        nb.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


# checking


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c[1].update(source="x = 2\nx"),
            r"cell 2 \(code\) differs in source\n.*\n.*\n.*\n    -x = 1\n    \+x = 2",
        ),
        (lambda c: c[2].metadata.update(tags=["fast"]), r"cell 3 \(code\) differs in tags or metadata"),
        (lambda c: c[2].metadata.pop("tags"), r"cell 3 \(code\) differs in tags or metadata"),
        (lambda c: c[2].metadata.update(mystnb={"figure": {}}), "differs in tags or metadata"),
        (lambda c: c.append(nbformat.v4.new_code_cell("z")), r"cell 5 is only in the \.ipynb: \(code\) z"),
        (lambda c: c.pop(0), r"cell 1 is only in the \.py: \(markdown\) # Title"),
        (lambda c: c.__setitem__(3, nbformat.v4.new_markdown_cell("x")), "cell 4 .code. differs in type"),
    ],
)
def test_check_names_the_cell_that_differs(pair, change, message, capsys):
    notebook = nb.read_ipynb(pair.ipynb)
    change(notebook.cells)
    pair.ipynb.write_text(nb.ipynb_text(notebook))
    (found,) = pairs.differences(pair)
    assert re.search(message, found), found
    assert pairs.main(["--check", "--root", str(pair.py.parents[1])]) == 1
    assert "chapters/01_a: cell" in capsys.readouterr().out


def test_check_ignores_outputs_ids_and_what_an_editor_adds(pair):
    notebook = nb.read_ipynb(pair.ipynb)
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", name="stdout", text="2\n")]
    notebook.cells[2]["id"] = "something-else"
    notebook.cells[2].metadata["collapsed"] = True
    notebook.metadata["language_info"]["version"] = "3.13"
    pair.ipynb.write_text(nb.ipynb_text(notebook))
    assert pairs.differences(pair) == []
    assert pairs.main(["--check", "--root", str(pair.py.parents[1])]) == 0


def test_check_reports_another_kernel(pair):
    notebook = nb.read_ipynb(pair.ipynb)
    notebook.metadata.kernelspec.name = "my-kernel"
    pair.ipynb.write_text(nb.ipynb_text(notebook))
    assert pairs.differences(pair) == ["the .ipynb names the kernel 'my-kernel', expected 'python3'"]


# running


@pytest.fixture
def quiet():
    lines = []
    return lines


RUN = """# %%
import os, sys
print(os.environ["DGM_BUDGET"], os.environ["OMP_NUM_THREADS"], os.getcwd() + "/file.txt")
print("a warning", file=sys.stderr)
print(" 40%|████      | 4/10 [00:00<00:00, 9.9it/s]", end="\\r", file=sys.stderr)

# %%
import time
time.sleep(0.3)
6 * 7

# %%
from IPython.display import display
bar = "  0%|          | 0/10 [00:00<?, ?it/s]"
display({"text/plain": bar, "application/vnd.jupyter.widget-view+json": {}}, raw=True)
"""


@pytest.mark.slow
def test_run_stores_outputs_without_this_machines_traces(root, quiet):
    (root / "chapters" / "01_a.py").write_text(RUN)
    (pair,) = nb.find_pairs(root)
    ran = run.refresh(pair, threads=2, report=quiet.append)
    cells = nb.read_ipynb(pair.ipynb).cells
    (printed,) = cells[0].outputs
    assert printed.name == "stdout"
    assert printed.text == "cpu 2 chapters/file.txt\n"
    assert cells[1].outputs[0].data["text/plain"] == "42"
    assert cells[2].outputs == []
    assert [c.execution_count for c in cells] == [1, 2, 3]
    assert ran.warnings == ("a warning",)
    assert ran.wall_s > 0
    seconds = [float(line.split("]")[1].split()[0]) for line in quiet if line.startswith("  [")]
    assert len(seconds) == 3
    assert seconds[1] >= 0.3
    stored = json.loads(pair.ipynb.read_text())
    assert stored["metadata"]["language_info"] == {"name": "python"}
    assert "execution" not in json.dumps([c["metadata"] for c in stored["cells"]])
    assert str(root) not in pair.ipynb.read_text()
    assert pairs.differences(pair) == []


@pytest.mark.slow
def test_a_failing_cell_is_named_and_the_stored_outputs_stay(pair, capsys):
    edit_py(pair, "print(y)", "print(unknown)")
    pairs.write(pair)
    before = pair.ipynb.read_bytes()
    assert run.main(["--root", str(pair.py.parents[1]), "01_a"]) == 1
    shown = capsys.readouterr()
    assert "chapters/01_a: cell 3 raised NameError: name 'unknown' is not defined" in shown.err
    assert "\x1b[" not in shown.err
    assert "failed; its stored outputs are as before" in shown.out
    assert pair.ipynb.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import os; os._exit(1)", "the kernel did not start or died"),
        ("while True: pass", "took more than 1 s: while"),
    ],
)
def test_a_kernel_that_dies_or_hangs_is_reported(root, source, message):
    (root / "chapters" / "01_a.py").write_text(f"# %%\n1\n\n# %%\n{source}\n")
    (pair,) = nb.find_pairs(root)
    with pytest.raises(run.CellFailedError, match=f"chapters/01_a: .*{message}"):
        run.execute(pair, report=lambda line: None, timeout_s=1)


@pytest.mark.slow
def test_run_refuses_a_pair_in_conflict(pair, capsys):
    edit_ipynb(pair, 0, "# Another title")
    edit_py(pair, "y = x + 1", "y = x + 2")
    before = pair.ipynb.read_bytes()
    assert run.main(["--root", str(pair.py.parents[1])]) == 1
    assert "--from py" in capsys.readouterr().err
    assert pair.ipynb.read_bytes() == before


def code_cell(*outputs):
    cell = nbformat.v4.new_code_cell("1", execution_count=1)
    cell.outputs = list(outputs)
    return nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {"state": {}}})


def test_clean_keeps_widgets_that_are_no_progress_bars(tmp_path):
    widget = nbformat.v4.new_output(
        "display_data", data={run.WIDGET: {"model_id": "a"}, "text/plain": "interactive(children=())"}
    )
    notebook = code_cell(widget)
    run.clean(notebook, tmp_path)
    assert len(notebook.cells[0].outputs) == 1
    assert "widgets" in notebook.metadata


def test_clean_leaves_pictures_alone_and_takes_the_last_state_of_a_line(tmp_path):
    picture = nbformat.v4.new_output("display_data", data={"image/png": "AAAA" + str(tmp_path)})
    line = nbformat.v4.new_output("stream", name="stdout", text="10 %\r20 %\r30 %\ndone\n")
    notebook = code_cell(picture, line)
    run.clean(notebook, tmp_path)
    first, second = notebook.cells[0].outputs
    assert first.data["image/png"] == "AAAA" + str(tmp_path)
    assert second.text == "30 %\ndone\n"
    assert "widgets" not in notebook.metadata


# equations

GOOD_CHAPTER = """# %% [markdown]
# By {cite}`kingma2014vae,rezende2014`, see {eq}`a-one`.
#
# $$ x = 1 $$ (a-one)
#
# $$
# \\begin{aligned} y &= 2 \\\\
# z &= 3 \\end{aligned}
# $$ (a-two)
#
# $$ unlabelled $$

# %%
text = "$$ x $$ (not-an-equation)"
"""
GOOD_TEST = """
import pytest

@pytest.mark.equation("a-one")
def test_one(): ...

class TestTwo:
    @pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.equation("a-two"))])
    def test_two(self, x): ...
"""
GOOD_MODULE = '''
def f(x):
    """One.

    Source: somewhere.
    Equation: a-one, a-two
    Test: tests/test_a.py::test_one,
        tests/test_a.py::TestTwo::test_two
    """
'''
BIB = "@article{kingma2014vae,\n title={x},\n}\n@comment{no}\n@inproceedings{ rezende2014 ,\n}\n"


@pytest.fixture
def course(root):
    """A repository in which everything fits together."""
    (root / "chapters" / "01_a.py").write_text(GOOD_CHAPTER)
    (root / "chapters" / "references.bib").write_text(BIB)
    (root / "tests" / "test_a.py").write_text(GOOD_TEST)
    (root / "lib" / "dgm" / "m.py").write_text(GOOD_MODULE)
    return root


def test_a_course_in_order_has_no_problems_and_a_full_index(course):
    assert eq.problems(course) == []
    one, two = eq.equation_index(course)
    assert (one.equation.label, one.equation.tex, one.equation.chapter) == ("a-one", "x = 1", "01_a")
    lines = (course / "chapters" / "01_a.py").read_text().splitlines()
    assert lines[one.equation.line - 1].endswith("$$ (a-one)")
    assert lines[two.equation.line - 1].endswith("$$ (a-two)")
    assert two.equation.tex.startswith("\\begin{aligned}")
    assert one.functions == two.functions == ("dgm.m.f",)
    assert one.tests == ("tests/test_a.py::test_one",)
    assert two.tests == ("tests/test_a.py::TestTwo::test_two",)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("tests/test_a.py", '"a-one"', '"a-two"', "01_a.py:4: no test carries @pytest.mark.equation("),
        ("chapters/01_a.py", "(a-two)", "(a-three)", "is marked with equation 'a-two', which no chapter has"),
        ("chapters/01_a.py", "(a-two)", "(a-one)", "01_a.py:9: label 'a-one' is also in 01_a:4"),
        ("chapters/01_a.py", "`a-one`.\n#\n", "`a-one`.\n", "'a-one' needs a blank line before its $$"),
        ("chapters/01_a.py", "$$ x = 1", "so $$ x = 1", "'a-one' needs a blank line before its $$"),
        ("chapters/01_a.py", "$$ (a-two)", "$$\n# (a-two)", "(a-two) must follow its closing $$ on the same"),
        ("chapters/01_a.py", "{eq}`a-one`", "{eq}`a-on`", "01_a.py:2: no equation 'a-on'"),
        ("chapters/01_a.py", ",rezende2014", ", nobody2020", "'nobody2020' is not in chapters/ref"),
        ("chapters/references.bib", "{ rezende2014", "{kingma2014vae", "key 'kingma2014vae' twice"),
        ("lib/dgm/m.py", "a-one, a-two", "a-one, a-ten", "dgm.m.f's docstring names equation 'a-ten'"),
        ("lib/dgm/m.py", "::test_one", "::test_gone", "names the test 'tests/test_a.py::test_gone'"),
        ("lib/dgm/m.py", "::TestTwo::", "::TestTen::", "names the test 'tests/test_a.py::TestTen::test_two'"),
    ],
)  # fmt: skip
def test_every_kind_of_break_is_reported(course, file, old, new, message):
    path = course / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert any(message in problem for problem in eq.problems(course)), eq.problems(course)


def test_a_mark_that_is_not_literal_is_an_error(course):
    (course / "tests" / "test_a.py").write_text(
        'import pytest\nL = "a"\n@pytest.mark.equation(L)\ndef test_x(): ...\n'
    )
    with pytest.raises(ValueError, match=r"test_x: @pytest\.mark\.equation takes literal labels, line 3"):
        eq.test_files(course)


def test_references_in_solutions_count_too(course):
    (course / "solutions" / "01_a.py").write_text("# %% [markdown]\n# See {eq}`nowhere`.\n")
    assert eq.problems(course) == ["solutions/01_a.py:2: no equation 'nowhere'"]


def test_code_fences_are_no_equations(course):
    path: Path = course / "chapters" / "02_b.py"
    path.write_text("# %% [markdown]\n# Write\n# ```\n# $$ x $$ (an-example)\n# ```\n")
    assert eq.problems(course) == []
