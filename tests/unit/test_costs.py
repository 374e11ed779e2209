"""What chapters cost: counted in their kernels, kept in a table, and a changed chapter is told apart."""

from dataclasses import replace
from pathlib import Path

import jupytext
import pytest
import torch

from coursekit.authoring import costs, run, tally
from coursekit.authoring.costs import Cost
from coursekit.authoring.notebooks import find_pairs

ROOT = Path(__file__).parents[2]
COST = Cost("01_a", 61.2, 40.4, 512, 1500, 20_000, 12_000, 0.3, "0123456789abcdef")


def test_every_step_and_every_trained_number_is_counted() -> None:
    tally.begin()
    one, two = torch.nn.Linear(3, 4), torch.nn.Linear(4, 5)
    for optimiser, net, steps in (
        (torch.optim.Adam(one.parameters()), one, 3),
        (torch.optim.SGD(two.parameters(), lr=0.1), two, 2),
    ):
        for _ in range(steps):
            optimiser.zero_grad()
            net(torch.ones(1, net.in_features)).sum().backward()
            optimiser.step()
    spent = tally.total()
    assert (spent.steps, spent.parameters, spent.largest) == (5, 16 + 25, 25)
    assert spent.peak_mb > 50
    tally.begin()
    assert tally.total().steps == 0
    optimiser.step()
    assert (tally.total().steps, tally.total().parameters) == (1, 25)


@pytest.fixture
def course(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "chapters").mkdir()
    source = "# %%\nimport torch\nw = torch.nn.Parameter(torch.zeros(7))\n\n# %%\nw.sum().backward()\n"
    source += "optimiser = torch.optim.SGD([w], lr=1.0)\nfor _ in range(4):\n    optimiser.step()\n"
    notebook = jupytext.reads(source, fmt="py:percent")
    jupytext.write(notebook, tmp_path / "chapters" / "01_a.py", fmt="py:percent")
    readme = "| [A](chapters/01_a.ipynb) | x | 9.9 |\n\n" + costs.BEGIN + "\nold\n" + costs.END + "\nend\n"
    (tmp_path / "README.md").write_text(readme)
    return tmp_path


@pytest.mark.slow
def test_a_run_measures_and_leaves_no_trace_in_the_notebook(course: Path) -> None:
    (pair,) = find_pairs(course, ["01_a"])
    ran = run.execute(pair, report=lambda line: None)
    assert (ran.tally.steps, ran.tally.parameters) == (4, 7)
    assert [cell.source.split("\n")[0] for cell in ran.notebook.cells] == [
        "import torch",
        "w.sum().backward()",
    ]
    assert run.main(["01_a", "--root", str(course)]) == 0
    row = costs.read(course)["01_a"]
    assert (row.steps, row.parameters, row.largest) == (4, 7, 7)
    assert 0 < row.cpu_seconds < 300
    assert row.peak_mb > 50
    assert costs.stale(course) == []


def test_the_table_follows_the_chapters(course: Path) -> None:
    assert costs.stale(course) == [f"01_a is not in {costs.TABLE}: `make run CHAPTER=01_a`"]
    py = course / "chapters" / "01_a.py"
    gone = replace(COST, chapter="00_gone")
    costs.write(course, [gone, replace(COST, digest=costs.digest_of(py, course))])
    assert list(costs.read(course)) == ["01_a"]
    assert costs.stale(course) == []
    readme = (course / "README.md").read_text()
    assert "| [A](chapters/01_a.ipynb) | x | 1.0 |" in readme
    assert "| 01_a | 61 | 40 | 512 | 1,500 | 20,000 |" in readme
    assert "old" not in readme
    assert readme.endswith("end\n")
    py.write_text(py.read_text().replace("range(4)", "range(5)"))
    (finding,) = costs.stale(course)
    assert "01_a has changed" in finding


def test_a_busy_machine_does_not_spoil_the_seconds(course: Path) -> None:
    busy = replace(COST, seconds=300.0, load=9.0)
    for new, kept in ((busy, 300.0), (COST, 61.2), (busy, 61.2), (replace(busy, digest="other"), 300.0)):
        costs.write(course, [new])
        assert costs.read(course)["01_a"].seconds == kept


def test_text_alone_changes_no_cost_and_the_recipes_do(course: Path) -> None:
    py = course / "chapters" / "01_a.py"
    before = costs.digest_of(py, course)
    py.write_text("# %% [markdown]\n# # A title\n\n" + py.read_text())
    assert costs.digest_of(py, course) == before
    py.write_text(py.read_text().replace("import torch\n", "import torch\nfrom dgm.recipes import vae\n"))
    recipes = course / "lib" / "dgm" / "recipes"
    recipes.mkdir(parents=True)
    (recipes / "vae.py").write_text("STEPS = 1\n")
    one = costs.digest_of(py, course)
    (recipes / "vae.py").write_text("STEPS = 2\n")
    assert costs.digest_of(py, course) != one


def test_the_committed_table_is_that_of_the_chapters() -> None:
    """A chapter's steps or parameters cannot change without the table: its code's digest would differ."""
    assert costs.stale(ROOT) == []
    rows = costs.read(ROOT)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert costs.in_readme(readme, rows) == readme
    assert costs.markdown(rows) in readme
    assert all(row.steps > 0 for name, row in rows.items())
    assert sum(row.cpu_seconds for row in rows.values()) < costs.LIMIT_S
