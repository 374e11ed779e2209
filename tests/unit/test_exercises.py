"""The machinery of the exercises: generation, probes, readers, the scan, and what a student sees."""

import ast
import json
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from torch import Tensor

import coursekit.exercises.notebook as notebook_module
from coursekit.authoring import generate
from coursekit.authoring.leaks import MARKS, secret_lines
from coursekit.exercises import (
    Criterion,
    Probe,
    Task,
    assess,
    check,
    exercise,
    forbidden_in,
    hint,
    load_exercise,
    load_probes,
    progress,
    run_probe,
    when_done,
)
from coursekit.exercises import judge as judging
from coursekit.exercises.probe import call, gradient, plain, slopes
from coursekit.exercises.scan import forbidden_in_answer

ROOT = Path(__file__).parents[2]
SOLUTIONS, STUDENT = ROOT / "solutions", ROOT / "exercises"
SLUGS = generate.slugs(SOLUTIONS)


def copy_sources(to: Path) -> None:
    for path in SOLUTIONS.rglob("*.py"):
        (to / path.relative_to(SOLUTIONS)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to / path.relative_to(SOLUTIONS))


# --- generate ----------------------------------------------------------------------------------------


def test_exercises_are_up_to_date() -> None:
    assert generate.stale(SOLUTIONS, STUDENT) == [], "run `python -m coursekit.authoring.generate`"


def test_generate_is_byte_for_byte_reproducible(tmp_path: Path) -> None:
    for name in ("one", "two"):
        copy_sources(tmp_path / name / "solutions")
        assert generate.main(["--root", str(tmp_path / name)]) == 0
    files = [
        {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name / "exercises").rglob("*.*")}
        for name in ("one", "two")
    ]
    stripped = [{path.relative_to(path.parts[0]): data for path, data in found.items()} for found in files]
    assert stripped[0] == stripped[1]
    assert len(stripped[0]) == 4 * len(SLUGS)


def test_check_names_what_is_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy_sources(tmp_path / "solutions")
    generate.main(["--root", str(tmp_path)])
    assert generate.main(["--root", str(tmp_path), "--check"]) == 0
    source = tmp_path / "solutions" / "02_vae.py"
    source.write_text(source.read_text().replace("## 1. The KL term", "## 1. The term"))
    (tmp_path / "exercises" / "09_gone.py").write_text("# %%\n")
    capsys.readouterr()
    assert generate.main(["--root", str(tmp_path), "--check"]) == 1
    out = capsys.readouterr().out
    assert "stale: exercises/02_vae.py\n" in out
    assert "stale: exercises/02_vae.ipynb\n" in out
    assert "stale: exercises/09_gone.py\n" in out
    assert "01_autoencoder" not in out


@pytest.mark.parametrize("slug", SLUGS)
def test_no_line_of_a_solution_or_hidden_check_is_shipped(slug: str) -> None:
    secret = secret_lines(SOLUTIONS, slug)
    assert len(secret) > 100
    shipped: list[str] = []
    for path in STUDENT.rglob("*.py"):
        shipped += [line.strip() for line in path.read_text().split("\n")]
    for path in STUDENT.rglob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        shipped += [line.strip() for cell in cells for line in cell.source.split("\n")]
        assert not any(cell.get("outputs") for cell in cells)
    assert secret & set(shipped) == set()
    for name in MARKS:
        assert not any(name in line for line in shipped), name
    there = {path.name for path in (STUDENT / "checks" / slug).glob("*.py")}
    assert there == {"probes.py", "visible.py"}


def test_leak_test_can_fail() -> None:
    assert "return per_latent.sum(dim=1)" in secret_lines(SOLUTIONS, "02_vae")
    assert any("18 * m**2 * s**2" in line for line in secret_lines(SOLUTIONS, "02_vae"))
    assert (
        "optimiser_d.zero_grad()  # the forger's loss of the last call has left gradients in the judge"
        in (secret_lines(SOLUTIONS, "03_gan"))
    )
    assert "loss_d.backward(retain_graph=True)" not in secret_lines(SOLUTIONS, "03_gan")  # given


def test_stub_names_the_function_and_keeps_the_rest() -> None:
    source = 'def kl(mu):\n    """Doc."""\n    # BEGIN SOLUTION\n    return mu\n    # END SOLUTION\n\nx = 1'
    assert generate.student_source(source) == (
        'def kl(mu):\n    """Doc."""\n    # Your answer goes here, in place of the next line.\n'
        '    raise NotImplementedError("kl is not done yet")\n\nx = 1'
    )
    assert generate.solution_lines(source) == ["return mu"]


def test_stub_of_ones_own() -> None:
    source = "# BEGIN SOLUTION\nx = 3\n# STUB\n# x = {\n#     1: None\n# }\n# END SOLUTION"
    assert generate.student_source(source) == "x = {\n    1: None\n}"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f():\n    # BEGIN SOLUTION\n    return 1", "never closed"),
        ("def f():\n    # END SOLUTION", "without"),
        ("# BEGIN SOLUTION\n# BEGIN SOLUTION\n# END SOLUTION", "inside a region"),
        ("# BEGIN SOLUTION\n# STUB\nx = 1\n# END SOLUTION", "every line is a comment"),
    ],
)
def test_broken_regions_are_refused(source: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate.student_source(source)


# --- floors: what may know what ----------------------------------------------------------------------


def imports_of(path: Path) -> set[str]:
    nodes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, (ast.Import, ast.ImportFrom))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {f"{'.' * n.level}{n.module}" for n in nodes if isinstance(n, ast.ImportFrom)}


def test_probes_know_nothing_of_judges() -> None:
    package = ROOT / "lib" / "coursekit" / "exercises"
    assert not any(name.startswith("coursekit") for name in imports_of(package / "probe.py"))
    assert {n for n in imports_of(package / "task.py") if n.startswith("coursekit")} == {
        "coursekit.exercises.probe"
    }
    for slug in SLUGS:
        names = imports_of(SOLUTIONS / "checks" / slug / "probes.py")
        assert {n for n in names if n.startswith(("coursekit", "."))} == {"coursekit.exercises.probe"}
        assert not any(name.startswith("dgm") for name in names)


@pytest.mark.parametrize("slug", SLUGS)
def test_shipped_checks_load_without_the_hidden_part(slug: str) -> None:
    shipped, full = load_exercise(STUDENT / "checks" / slug), load_exercise(SOLUTIONS / "checks" / slug)
    assert list(shipped.tasks) == list(full.tasks) == list(load_probes(STUDENT / "checks" / slug))
    assert shipped.hidden == shipped.wrong == shipped.variants == {}
    assert full.hidden
    assert shipped.points == full.points


def test_load_exercise_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no visible\.py"):
        load_exercise(tmp_path)


def test_a_task_refuses_points_that_do_not_add_up() -> None:
    probe = Probe(("f",), lambda f, seed: {})
    criteria = (Criterion("a", 3, lambda data, seed: None),)
    with pytest.raises(ValueError, match="carry 3 points, the task 2"):
        Task("f", "F", "implement", 2, probe, criteria, ())
    with pytest.raises(ValueError, match="kind must be one of"):
        Task("f", "F", "guess", 3, probe, criteria, ())


# --- probe -------------------------------------------------------------------------------------------


def test_plain_is_json_whatever_comes() -> None:
    import numpy as np

    values = [
        torch.tensor([1.0, float("nan"), float("inf"), -float("inf")]),
        torch.zeros(100, 1000),
        torch.zeros(2, dtype=torch.complex64),
        torch.zeros(2).to_sparse(),
        torch.zeros(2, device="meta"),
        np.zeros(3),
        np.float64(1.0),
        [1, "two", None, ..., True, 1j, {"k": (1.5, float("nan"))}],
        10**400,
        "x" * 10_000,
        object(),
        lambda: 0,
    ]
    for value in values:
        text = json.dumps(plain(value), allow_nan=False)
        assert len(text) < 2000
    assert plain(values[0])["values"] == [1.0, "nan", "inf", "-inf"]
    assert plain(values[1]) == {"type": "huge", "dtype": "float32", "shape": [100, 1000]}


def test_call_writes_down_what_happened() -> None:
    def double(x: Tensor) -> Tensor:
        return 2 * x

    def in_place(x: Tensor) -> Tensor:
        x += 1
        return x

    def fails(x: Tensor) -> Tensor:
        raise KeyError("no such thing")

    def stub(x: Tensor) -> Tensor:
        raise NotImplementedError("stub is not done yet")

    def leaves(x: Tensor) -> Tensor:
        raise SystemExit(3)

    x = torch.ones(2)
    assert call(double, x)["value"]["values"] == [2.0, 2.0]
    assert call(double, x)["changed"] == []
    assert call(in_place, x.clone())["changed"] == ["x"]
    flagged = call(lambda x: x.requires_grad_(), x.clone())
    assert (flagged["changed"], flagged["flagged"]) == ([], ["x"])
    raised = call(fails, x)
    assert (raised["kind"], raised["type"]) == ("raised", "KeyError")
    assert raised["line"] == 'raise KeyError("no such thing")'
    assert call(stub, x)["kind"] == "not done"
    assert call(leaves, x)["type"] == "SystemExit"
    assert call(double)["type"] == "TypeError"
    assert call(3, x)["kind"] == "not callable"
    assert call(None, x)["kind"] == "not done"


def test_gradient_writes_down_gradients_or_their_absence() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = torch.tensor([3.0, 4.0], requires_grad=True)
    assert gradient(lambda a, b: a * a, x, y, wrt=[x, y])["value"]["items"][0]["values"] == [2.0, 4.0]
    assert gradient(lambda a, b: a * a, x, y, wrt=[x, y])["value"]["items"][1]["values"] == [0.0, 0.0]
    assert gradient(lambda a: a.detach(), x, wrt=[x])["value"] == {"type": "no gradient"}
    assert gradient(lambda a: None, x, wrt=[x])["value"] == {"type": "none"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda a, b: a * b, ["whole", "whole"]),
        (lambda a, b: (a * b).sum(), ["whole", "whole"]),
        (lambda a, b: (a * b).float(), ["whole", "whole"]),
        (lambda a, b: -2 * a * b, ["whole", "whole"]),
        (lambda a, b: a.detach() * b, ["cut", "whole"]),
        (lambda a, b: a * b + a.detach(), ["partly", "whole"]),
        (lambda a, b: a * 2, ["whole", "constant"]),
        (lambda a, b: a * b + torch.randn(2), ["whole", "whole"]),
        (lambda a, b: torch.normal(a, b), ["cut", "cut"]),
    ],
)
def test_slopes_tell_where_a_gradient_is_cut(answer: Any, expected: list[str]) -> None:
    at = torch.tensor([1.0, 2.0], dtype=torch.float64), torch.tensor([3.0, 4.0], dtype=torch.float64)
    assert (
        judging.passages({"s": json.loads(json.dumps(slopes(answer, lambda *p: p, *at)))}, "s", 2) == expected
    )


def test_slopes_of_what_is_no_answer() -> None:
    x = torch.ones(2, dtype=torch.float64)
    for answer, message in (
        (lambda a: a.detach(), "No gradient flows"),
        (lambda a: None, "returns None"),
        (lambda a: 3.0, "should return a tensor"),
        (raises, r"Your line: `return x @ torch.ones\(3\)`"),
        (None, "Not done yet"),
        (not_done, "Not done yet"),
    ):
        with pytest.raises(judging.Trouble, match=message):
            judging.passages({"s": slopes(answer, lambda *p: p, x)}, "s", 1)


def test_run_probe_leaves_the_random_state_alone_and_is_seeded() -> None:
    probe = Probe(("f",), lambda f, seed: {"r": call(f)})
    before = torch.get_rng_state()
    first = run_probe(probe, {"f": lambda: torch.rand(3)}, 5)
    assert torch.equal(before, torch.get_rng_state())
    assert first == run_probe(probe, {"f": lambda: torch.rand(3)}, 5)
    assert first != run_probe(probe, {"f": lambda: torch.rand(3)}, 6)
    assert run_probe(probe, {}, 0) == {"missing": ["f"]}
    broken = Probe(("f",), lambda f, seed: f.attribute)
    assert run_probe(broken, {"f": 1}, 0)["failed"].startswith("AttributeError")


# --- readers: what a student is told -----------------------------------------------------------------


def reads(data: dict[str, Any], seed: int) -> str | None:
    got = judging.tensor(data, "r", (2,), meaning="one number per row")
    return judging.explain(
        got, torch.tensor([1.0, 2.0]), {"Twice too much.": torch.tensor([2.0, 4.0])}, "No."
    )


def inputs_probe(f: Any, *, seed: int) -> dict[str, Any]:
    return {"r": call(f, torch.tensor([1.0, 2.0], dtype=torch.float64))}


TASK = Task(
    "f",
    "The identity",
    "implement",
    3,
    Probe(("f",), inputs_probe),
    (Criterion("is the identity", 2, reads),),
    ("First hint with `code`.", "Second hint."),
    section="3 The third",
)


def adds_in_place(x: Tensor) -> Tensor:
    x.add_(1)
    return x - 1


def raises(x: Tensor) -> Tensor:
    return x @ torch.ones(3)


def says_script(x: Tensor) -> Tensor:
    raise ValueError("<script>alert(1)</script>")


def not_done(x: Tensor) -> Tensor:
    raise NotImplementedError("f is not done yet")


def torch_lacks_it(x: Tensor) -> Tensor:
    raise NotImplementedError("no kernel for this device")


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (lambda x: x, "passed", ""),
        (lambda x: 2 * x, "not yet", "Twice too much."),
        (lambda x: 0 * x, "not yet", "No."),
        (lambda x: None, "not yet", "returns None. Is the `return` missing?"),
        (
            lambda x: x.sum(),
            "not yet",
            "should return shape (2,) (one number per row); it returns shape (). It adds up",
        ),
        (lambda x: x[:, None], "not yet", "is there a keepdim too many?"),
        (lambda x: x / 0 * 0, "not yet", "returns NaN where every value should be finite"),
        (lambda x: x / 0, "not yet", "returns infinity where"),
        (lambda x: x.float(), "not yet", "returns float32 where float64 is expected"),
        (lambda x: x.to(torch.complex128), "not yet", "unusual kind"),
        (lambda x: x.numpy(), "not yet", "it returns a numpy ndarray"),
        (lambda x: 1.0, "not yet", "it returns a number"),
        (lambda x: "x", "not yet", "it returns a string"),
        (lambda x: [x], "not yet", "it returns a list"),
        (lambda x, y: x, "not yet", "missing 1 required positional argument: 'y'"),
        (torch.zeros(2), "not yet", "should be a function, but the name holds a Tensor"),
        (adds_in_place, "not yet", "changes its argument `x` in place"),
        (lambda x: x.requires_grad_(), "not yet", "switches `requires_grad` of its argument `x`"),
        (raises, "not yet", "Your line: `return x @ torch.ones(3)`"),
        (torch_lacks_it, "not yet", "NotImplementedError: no kernel"),
        (says_script, "not yet", "ValueError"),
        (not_done, "not started", "Not done yet"),
        (None, "not started", "Not done yet"),
    ],
)
def test_each_mishap_has_its_sentence(answer: Any, state: str, words: str) -> None:
    result = assess(TASK, {"f": answer})
    assert result.state == state
    assert words in result.hint
    for text in (repr(result), result._repr_html_()):
        assert "Traceback" not in text
        assert "coursekit" not in text
        assert "<script>" not in text or text is not result._repr_html_()
    assert "<script>" not in result._repr_html_()


def test_a_missing_answer_is_not_started() -> None:
    result = assess(TASK, {})
    assert result.state == "not started"
    assert "There is no `f` yet" in result.hint


def test_result_is_readable_without_colour_and_by_a_screen_reader() -> None:
    html = assess(TASK, {"f": lambda x: x})._repr_html_()
    assert 'aria-label="Result of f"' in html
    assert 'scope="col"' in html
    assert "✓ passed" in html
    assert "color:" not in html
    assert "1 point more for harder inputs" in html
    assert repr(assess(TASK, {"f": lambda x: 2 * x})) == (
        "✗ f: not yet, 0 of 2 points checked here\n  ✗ not yet      is the identity\n  Twice too much."
    )


def test_a_cross_is_a_verdict() -> None:
    for answer in (lambda x: None, lambda x: x.float(), raises):
        result = assess(TASK, {"f": answer})
        assert "✗ not yet" not in repr(result).split("\n")[1]
        assert "– not judged" in repr(result)
        assert "– not judged" in result._repr_html_()
    assert "– not judged" not in repr(assess(TASK, {"f": lambda x: 2 * x}))


def test_explain_knows_an_estimate_and_the_given_code() -> None:
    right = torch.tensor([1.0, 2.0])
    assert judging.explain(right * 1.01, right, {}, "No.") == f"No. {judging.ESTIMATE}"
    assert judging.explain(right * 1.2, right, {}, "No.") == "No."
    assert judging.explain(right * 1.01, right, {"Known.": right * 1.01}, "No.") == "Known."
    with pytest.raises(judging.NotDone, match="Not done yet"):
        judging.explain(right * 2, right, {}, "No.", given=right * 2)
    assert judging.explain(right, right, {}, "No.", given=right * 2) is None


# --- scan --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from dgm.prob import kl_gaussian_standard as f\ndef kl(m, v):\n    return f(m, v)", True),
        ("def kl(m, v):\n    import dgm\n    return dgm.prob.kl(m, v)", True),
        ("import importlib\nf = importlib.import_module('dgm.prob')", True),
        ("f = __import__('dgm')", True),
        ("def kl(m, v):\n    return d.prob.kl(m, v)", True),  # imported as d in another cell
        ("def kl(m, v):\n    return torch.distributions.kl_divergence(m, v)", True),
        ("def kl(m, v):\n    return distributions.Normal(m, v)", True),
        ("from torch.distributions import Normal", True),
        ("def kl(m, v):  # dgm has this too\n    return 'dgm.prob' and m", False),
        ("def kl(dgm, v):\n    return torch.exp(v)", False),
        ("%matplotlib inline", False),
    ],
)
def test_scan_of_a_source(source: str, found: bool) -> None:
    context = "import torch\nimport dgm as d\nfrom torch import distributions"
    assert bool(forbidden_in(source, ("dgm", "torch.distributions"), context=context)) is found


def test_scan_of_a_live_answer_follows_helpers() -> None:
    import dgm.prob

    names: dict[str, Any] = {"torch": torch, "library": dgm.prob, "imported": dgm.prob.kl_gaussian_standard}
    exec("def helper(m):\n    return imported(m, m)\ndef kl(m):\n    return helper(m)", names)
    exec("def by_module(m):\n    return library.kl_gaussian_standard(m, m)", names)
    exec("def clean(m):\n    return torch.exp(m) + clean2(m)\ndef clean2(m):\n    return clean(m)", names)
    assert forbidden_in_answer(names["kl"], names)
    assert forbidden_in_answer(names["by_module"], names)
    assert forbidden_in_answer(names["imported"], names)
    assert not forbidden_in_answer(names["clean"], names)
    assert not forbidden_in_answer(None, names)


def test_an_answer_that_calls_the_library_is_told_so() -> None:
    import dgm.tensor

    names: dict[str, Any] = {"library": dgm.tensor}
    exec("def f(x):\n    return library.sum_except_batch(x[:, None])", names)
    result = assess(TASK, names)
    assert result.state == "not yet"
    assert "Your answer uses `dgm.tensor" in result.hint
    assert "write it yourself" in result.hint


# --- notebook ----------------------------------------------------------------------------------------


@pytest.fixture
def opened(capsys: pytest.CaptureFixture[str]) -> Any:
    exercise("02_vae", STUDENT)
    out = capsys.readouterr().out
    assert "Exercise 02_vae: 6 tasks, 32 points" in out
    yield
    notebook_module._Session.exercise = None


@pytest.mark.usefixtures("opened")
def test_check_prints_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    check("kl", {"kl": lambda mu, logvar: (mu**2 + logvar.exp() - 1 - logvar).sum(1)})
    out = capsys.readouterr().out
    assert "◐ kl: partly right, 2 of 4 points checked here" in out
    assert "✓ passed       gradients reach mu and logvar" in out
    assert "Where is the ½?" in out
    check("kl")  # this module has no kl
    assert "There is no kl yet" in capsys.readouterr().out
    check("nothing")
    assert "There is no task 'nothing'" in capsys.readouterr().out


@pytest.mark.usefixtures("opened")
def test_hints_come_in_stages_and_stay_at_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for _ in range(5):
        hint("kl")
        shown.append(capsys.readouterr().out.split("\n"))
    assert [lines[0] for lines in shown] == [
        "kl: hint 1 of 3",
        "kl: hint 2 of 3",
        "kl: hint 3 of 3",
        "kl: hint 3 of 3, and that is the last",
        "kl: hint 3 of 3, and that is the last",
    ]
    assert shown[4][1].startswith(shown[2][1])
    assert shown[4][1].endswith('Read section 4, "The two terms", of the chapter once more.')
    progress({})
    (row,) = [line for line in capsys.readouterr().out.split("\n") if " kl " in line]
    assert row.endswith("3 / 3")
    hint("nothing")
    assert "There is no task" in capsys.readouterr().out


@pytest.mark.usefixtures("opened")
def test_progress_lists_every_task(capsys: pytest.CaptureFixture[str]) -> None:
    hint("kl")
    capsys.readouterr()
    right = {"iwae": lambda log_w: torch.logsumexp(log_w, 0) - torch.tensor(float(len(log_w))).log()}
    progress(right)
    lines = capsys.readouterr().out.strip().split("\n")
    assert lines[0].startswith("02_vae: 1 of 6 tasks passed, 3 of ")
    rows = {line.split()[2 if "not started" not in line else 3]: line for line in lines[2:8]}
    assert rows["iwae"].startswith("✓ passed")
    assert rows["kl"].startswith("○ not started")
    assert rows["kl"].rstrip().endswith("1 / 3")


def test_without_exercise_every_call_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    for act in (lambda: check("kl"), lambda: hint("kl"), lambda: progress()):
        act()
        assert "No exercise is open" in capsys.readouterr().out


def test_exercise_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"looked for .*99_none"):
        exercise("99_none", tmp_path)


def test_when_done_skips_stubs_only(capsys: pytest.CaptureFixture[str]) -> None:
    with when_done("f"):
        not_done(torch.ones(1))
    assert "uses your answer to f" in capsys.readouterr().out
    with pytest.raises(NotImplementedError, match="no kernel"), when_done("f"):
        torch_lacks_it(torch.ones(1))
    with pytest.raises(ValueError, match="script"), when_done("f"):
        says_script(torch.ones(1))


@pytest.mark.slow
@pytest.mark.parametrize("slug", SLUGS)
def test_untouched_student_notebook_runs_to_its_end(
    slug: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(STUDENT)
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in nbformat.read(f"{slug}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, f"{slug}: {cell.source[:40]}", "exec"), names)
    out = capsys.readouterr().out
    notebook_module._Session.exercise = None
    assert f"{slug}: 0 of " in out
