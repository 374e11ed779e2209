"""Where every labelled equation is derived, implemented and tested, for the convention tests and the index.

All is read from text: chapters are parsed as percent files, tests and dgm as syntax trees; nothing runs.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from coursekit.authoring.notebooks import is_percent

# A label on the line after its $$ is no label to MyST; it is found all the same, to be reported.
LABELLED = re.compile(
    r"\$\$(?P<tex>(?:(?!\$\$).)+?)\$\$"
    r"(?:[ \t]*\((?P<label>[^)$\s]+)\)|[ \t]*\n[ \t]*\((?P<below>\w+-[\w-]+)\)[ \t]*$)",
    re.DOTALL | re.MULTILINE,
)
EQ_REFERENCE = re.compile(r"\{eq\}`(?:[^`<]*<)?([^`<>]+)>?`")
CITE_REFERENCE = re.compile(r"\{cite(?::\w+)?\}`([^`]+)`")
BIB_KEY = re.compile(r"^@(?!comment|string|preamble)\w+\s*\{\s*([^,\s]+)\s*,", re.MULTILINE | re.IGNORECASE)
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

DOC_LINE = re.compile(r"^[ \t]*(Equation|Test):[ \t]*(.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)


@dataclass(frozen=True)
class Equation:
    """A labelled equation of a chapter.

    Args:
        label: such as `vae-gaussian-kl`.
        tex: its LaTeX, without the dollars.
        chapter: file name without suffix, such as `02_vae`.
        line: of its label in the .py.
        blank_before: whether a blank line comes before it (without one it is not recognised as display math).
        same_line: whether the label follows the closing $$ on its line (elsewhere it is plain text).
    """

    label: str
    tex: str
    chapter: str
    line: int
    blank_before: bool
    same_line: bool


@dataclass(frozen=True)
class Reference:
    """A place that names a label, a citation key or a test: `target`, in `path` at `line`."""

    target: str
    path: str
    line: int


@dataclass(frozen=True)
class IndexEntry:
    """A row of the equation index: an equation, the functions that implement it, the tests that check it."""

    equation: Equation
    functions: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Markdown:
    """A markdown cell of a percent file: its text, and the line in the file of its first line."""

    text: str
    path: Path
    line: int

    def line_of(self, position: int) -> int:
        """Line in the file of a position in the text."""
        return self.line + self.text.count("\n", 0, position)


@dataclass
class TestFile:
    """The tests of a file: `::name` of every one, and the labels that marks give them."""

    tests: set[str] = field(default_factory=set)
    marks: list[tuple[str, str, int]] = field(default_factory=list)  # label, test name, line


TestFile.__test__ = False  # type: ignore[attr-defined]  # pytest: not a test class


def markdown_cells(path: Path) -> Iterator[Markdown]:
    """The markdown cells of a percent file, comment signs taken off, line numbers kept."""
    text: list[str] = []
    first, inside = 0, False
    for number, line in enumerate([*path.read_text(encoding="utf-8").splitlines(), "# %%"], start=1):
        if line.startswith("# %%"):
            if inside and text:
                yield Markdown("\n".join(text), path, first)
            text, first, inside = [], number + 1, "[markdown]" in line
        elif inside:
            text.append(line.removeprefix("# ") if line.startswith("# ") else line.removeprefix("#"))


def equations(root: Path) -> list[Equation]:
    """All labelled equations of chapters/*.py, in reading order."""
    found = []
    for path in sorted((root / "chapters").glob("*.py")):
        for cell in markdown_cells(path):
            for match in LABELLED.finditer(_without_code(cell.text)):
                lines_before = cell.text[: match.start()].split("\n")
                starts_line = not lines_before[-1].strip()
                blank = starts_line and (len(lines_before) == 1 or not lines_before[-2].strip())
                line = cell.line_of(match.end())
                label, tex = match["label"] or match["below"], match["tex"].strip()
                found.append(Equation(label, tex, path.stem, line, blank, match["label"] is not None))
    return found


def eq_references(root: Path) -> list[Reference]:
    """Every {eq}`label` in chapters, solutions and exercises."""
    return [
        Reference(match[1].strip(), _relative(cell.path, root), cell.line_of(match.start()))
        for cell in _all_markdown(root)
        for match in EQ_REFERENCE.finditer(_without_code(cell.text))
    ]


def cite_references(root: Path) -> list[Reference]:
    """Every key of every {cite}`key1,key2` in chapters, solutions and exercises."""
    return [
        Reference(key.strip(), _relative(cell.path, root), cell.line_of(match.start()))
        for cell in _all_markdown(root)
        for match in CITE_REFERENCE.finditer(_without_code(cell.text))
        for key in match[1].split(",")
    ]


def bibliography_keys(root: Path) -> list[str]:
    """The keys of chapters/references.bib in file order, doubles included."""
    path = root / "chapters" / "references.bib"
    return BIB_KEY.findall(path.read_text(encoding="utf-8")) if path.exists() else []


def test_files(root: Path) -> dict[str, TestFile]:
    """All test files below tests/, by path in the repository, with their tests and equation marks."""
    return {
        _relative(path, root): _read_tests(ast.parse(path.read_text(encoding="utf-8")))
        for path in sorted((root / "tests").rglob("test_*.py"))
    }


test_files.__test__ = False  # type: ignore[attr-defined]  # pytest: not a test


def docstring_lines(root: Path, kind: str) -> list[tuple[str, Reference]]:
    """The targets of the `Equation:` or `Test:` lines of dgm's public docstrings.

    Args:
        root: of the repository.
        kind: `"Equation"` or `"Test"`.

    Returns:
        (function such as `dgm.vae.elbo`, target), one for every comma-separated target.
    """
    found = []
    for path in sorted((root / "lib" / "dgm").rglob("*.py")):
        module = ".".join(path.relative_to(root / "lib").with_suffix("").parts).removesuffix(".__init__")
        for name, node in _definitions(ast.parse(path.read_text(encoding="utf-8")), module):
            for match in DOC_LINE.finditer(ast.get_docstring(node, clean=True) or ""):
                if match[1] != kind:
                    continue
                line = getattr(node, "lineno", 1)
                targets = [t.strip().strip("`").rstrip(".") for t in match[2].replace("\n", " ").split(",")]
                found += [(name, Reference(t, _relative(path, root), line)) for t in targets if t]
    return found


def equation_index(root: Path) -> list[IndexEntry]:
    """Every labelled equation with its functions (`dgm.vae.elbo`) and its tests (pytest's node ids)."""
    functions: dict[str, list[str]] = {}
    for name, reference in docstring_lines(root, "Equation"):
        functions.setdefault(reference.target, []).append(name)
    tests: dict[str, list[str]] = {}
    for path, file in test_files(root).items():
        for label, name, _ in file.marks:
            tests.setdefault(label, []).append(f"{path}::{name}")
    return [
        IndexEntry(e, tuple(functions.get(e.label, ())), tuple(dict.fromkeys(tests.get(e.label, ()))))
        for e in equations(root)
    ]


def problems(root: Path) -> list[str]:
    """Everything that does not fit together; empty when all is well.

    A label without a test, a mark without a label, a label twice, an equation without a blank line before it,
    and every reference (equation, citation, docstring line) that leads nowhere.
    """
    found = []
    labels: dict[str, Equation] = {}
    for e in equations(root):
        if e.label in labels:
            first = labels[e.label]
            found.append(
                f"chapters/{e.chapter}.py:{e.line}: label {e.label!r} is also in {first.chapter}:{first.line}"
            )
        if not e.blank_before:
            found.append(
                f"chapters/{e.chapter}.py:{e.line}: equation {e.label!r} needs a blank line before its $$"
            )
        if not e.same_line:
            found.append(
                f"chapters/{e.chapter}.py:{e.line}: ({e.label}) must follow its closing $$ on the same line"
            )
        labels.setdefault(e.label, e)

    files = test_files(root)
    marks = [(label, path, name, line) for path, file in files.items() for label, name, line in file.marks]
    marked = {label for label, *_ in marks}
    found += [
        f"chapters/{e.chapter}.py:{e.line}: no test carries @pytest.mark.equation({e.label!r})"
        for e in labels.values()
        if e.label not in marked
    ]
    found += [
        f"{path}:{line}: {name} is marked with equation {label!r}, which no chapter has"
        for label, path, name, line in marks
        if label not in labels
    ]
    found += [
        f"{r.path}:{r.line}: no equation {r.target!r}" for r in eq_references(root) if r.target not in labels
    ]
    found += [
        f"{r.path}:{r.line}: {name}'s docstring names equation {r.target!r}, which no chapter has"
        for name, r in docstring_lines(root, "Equation")
        if r.target not in labels
    ]
    for name, r in docstring_lines(root, "Test"):
        path, _, test = r.target.partition("::")
        if path not in files or test not in files[path].tests:
            found.append(
                f"{r.path}:{r.line}: {name}'s docstring names the test {r.target!r}, which does not exist"
            )

    keys = bibliography_keys(root)
    found += [
        f"{r.path}:{r.line}: {r.target!r} is not in chapters/references.bib"
        for r in cite_references(root)
        if r.target not in keys
    ]
    found += [
        f"chapters/references.bib: key {k!r} twice" for k in sorted({k for k in keys if keys.count(k) > 1})
    ]
    return found


def _all_markdown(root: Path) -> Iterator[Markdown]:
    for folder in ("chapters", "solutions", "exercises"):
        for path in sorted((root / folder).glob("*.py")):
            if is_percent(path):
                yield from markdown_cells(path)


def _without_code(text: str) -> str:
    """Fenced code blanked out, positions kept: an example of the syntax is not an equation."""
    return re.sub(r"^```.*?^```", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL | re.MULTILINE)


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _definitions(tree: ast.Module, module: str) -> Iterator[tuple[str, Documented]]:
    """Module, functions, classes and methods with their dotted names."""

    def below(node: Documented, name: str) -> Iterator[tuple[str, Documented]]:
        yield name, node
        for child in node.body:
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from below(child, f"{name}.{child.name}")

    yield from below(tree, module)


def _read_tests(tree: ast.Module) -> TestFile:
    file = TestFile()
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    _add_test(file, f"{node.name}::{method.name}", method, node.decorator_list)
        elif isinstance(node, ast.FunctionDef):
            _add_test(file, node.name, node, [])
    return file


def _add_test(file: TestFile, name: str, node: ast.FunctionDef, inherited: list[ast.expr]) -> None:
    if not node.name.startswith("test"):
        return
    file.tests.add(name)
    # Marks sit in decorators; pytest.param(..., marks=...) inside @parametrize is found by walking them.
    for decorator in [*inherited, *node.decorator_list]:
        for call in ast.walk(decorator):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.equation":
                for argument in call.args:
                    if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
                        raise ValueError(
                            f"{name}: @pytest.mark.equation takes literal labels, line {call.lineno}"
                        )
                    file.marks.append((argument.value, name, call.lineno))
