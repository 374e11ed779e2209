"""Every public function, class and method of dgm says what it takes and gives. Read from syntax trees.

What a package exports (its `__all__`) and what a module of dgm itself defines is described in full, argument
by argument; what only the package's own modules share needs its sentence.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIB = ROOT / "lib"

# Their meaning is fixed by the base class that calls them, or by Python; the class's docstring says the rest.
KNOWN_METHODS = {"forward", "state_dict", "load_state_dict", "train", "eval", "update"}
ENTRY = re.compile(r"^(?P<names>\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?:\([^)]*\))?\s*:")


def public(node):
    return not node.name.startswith("_") and node.name != "main"


def exported(lib):
    """The names in the `__all__` of any package of dgm."""
    names = set()
    for path in (lib / "dgm").rglob("__init__.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names |= {element.value for element in node.value.elts}
    return names


def parameters(node):
    """Names of a function's parameters, without self and cls."""
    a = node.args
    names = [p.arg for p in [*a.posonlyargs, *a.args, *a.kwonlyargs]]
    names += [p.arg for p in (a.vararg, a.kwarg) if p]
    return [n for n in names if n not in ("self", "cls")]


def section(doc, title):
    """The lines of a section such as `Args:` without their common indent, or None."""
    match = re.search(rf"^{title}:[ \t]*\n((?:[ \t]+\S.*\n?|[ \t]*\n)+)", doc + "\n", re.MULTILINE)
    if not match:
        return None
    lines = [line for line in match[1].splitlines() if line.strip()]
    indent = min(len(line) - len(line.lstrip()) for line in lines)
    return [line[indent:] for line in lines]


def documented(doc):
    """Names that the section Args describes; `mu, logvar: (B, D)` describes two."""
    names = []
    for line in section(doc, "Args") or []:
        if not line.startswith(" ") and (match := ENTRY.match(line)):
            names += [n.strip().lstrip("*") for n in match["names"].split(",")]
    return names


def faults(node, doc, where, *, returns):
    """What is missing in the docstring of a callable with this signature."""
    found = []
    wanted, there = parameters(node), documented(doc)
    if missing := [n for n in wanted if n not in there]:
        found.append(f"{where}: Args: does not describe {', '.join(missing)}")
    if stale := [n for n in there if n not in wanted]:
        found.append(f"{where}: Args: describes {', '.join(stale)}, which it does not take")
    gives = node.returns is not None and ast.unparse(node.returns) not in ("None", "NoReturn", "Never")
    if returns and gives and section(doc, "Returns") is None and section(doc, "Yields") is None:
        found.append(f"{where}: no section Returns:")
    return found


def decorators(node):
    """Last words of a function's decorators: `overload` for `@typing.overload`."""
    return {ast.unparse(d).split("(")[0].split(".")[-1] for d in node.decorator_list}


def faults_of_class(node, where, in_full):
    doc = ast.get_docstring(node)
    if not doc:
        return [f"{where}: no docstring"]
    if any("Protocol" in ast.unparse(base) for base in node.bases):
        return []
    found = []
    for method in (m for m in node.body if isinstance(m, ast.FunctionDef)):
        own = ast.get_docstring(method)
        if method.name == "__init__" and in_full:
            found += faults(method, own or doc, where, returns=False)
        elif public(method) and method.name not in KNOWN_METHODS and not own:
            found.append(f"{where}.{method.name}: no docstring")
    return found


def faults_of_function(node, where, in_full):
    if "overload" in decorators(node):
        return []
    doc = ast.get_docstring(node)
    if not doc:
        return [f"{where}: no docstring"]
    return faults(node, doc, where, returns="contextmanager" not in decorators(node)) if in_full else []


def problems(lib):
    """Every gap in dgm's public docstrings."""
    found, names = [], exported(lib)
    for path in sorted((lib / "dgm").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        name = path.relative_to(lib).as_posix()
        if not ast.get_docstring(tree):
            found.append(f"{name}: the module has no docstring")
        for node in tree.body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef) or not public(node):
                continue
            in_full = node.name in names or path.parent == lib / "dgm"
            check = faults_of_class if isinstance(node, ast.ClassDef) else faults_of_function
            found += check(node, f"{name}:{node.lineno} {node.name}", in_full)
    return found


def test_every_public_name_of_dgm_is_documented():
    found = problems(LIB)
    assert not found, f"{len(found)} gaps\n" + "\n".join(found)


GOOD = '''
"""A module."""

def f(x, *, mu, logvar=0) -> int:
    """Do.

    Args:
        x: (B,) points;
            more: on the next line.
        mu, logvar: (B, D).

    Returns:
        A number.
    """

def _private(x): ...

class C:
    """A class.

    Args:
        width: of it.
    """

    def __init__(self, width): ...
    def forward(self, x): ...
    def method(self, x):
        """What it does."""
'''


def test_what_only_a_package_shares_needs_a_sentence_and_what_it_exports_all(tmp_path):
    (tmp_path / "dgm" / "p").mkdir(parents=True)
    (tmp_path / "dgm" / "p" / "a.py").write_text(
        '"""M."""\ndef f(x):\n    """Do."""\ndef g(x):\n    """Do."""\n'
    )
    (tmp_path / "dgm" / "p" / "__init__.py").write_text('"""P."""\n__all__ = ["f"]\n')
    assert problems(tmp_path) == ["dgm/p/a.py:2 f: Args: does not describe x"]


def lib_with(tmp_path, text):
    (tmp_path / "dgm").mkdir()
    (tmp_path / "dgm" / "a.py").write_text(text)
    return tmp_path


def test_a_documented_module_has_no_gaps(tmp_path):
    assert problems(lib_with(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"""A module."""', "", "the module has no docstring"),
        ("def f(x, *", "def f(x, y, *", "f: Args: does not describe y"),
        ("mu, logvar: (B", "mu: (B", "f: Args: does not describe logvar"),
        ("x: (B,) points", "x, w: (B,) points", "f: Args: describes w, which it does not take"),
        ("    Returns:\n        A number.\n", "", "f: no section Returns:"),
        ("def _private(x)", "def exposed(x)", "exposed: no docstring"),
        ("        width: of it.", "        height: of it.", "C: Args: does not describe width"),
        ('        """What it does."""', "        ...", "C.method: no docstring"),
    ],
)
def test_every_kind_of_gap_is_found(tmp_path, old, new, message):
    assert old in GOOD
    found = problems(lib_with(tmp_path, GOOD.replace(old, new)))
    assert any(message in problem for problem in found), found
