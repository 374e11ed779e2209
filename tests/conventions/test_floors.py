"""The floors of dgm: no import runs upwards, and no family imports another. Read from syntax trees."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIB = ROOT / "lib"

GROUND = {"tensor", "nn", "prob", "bar", "parallel"}
FAMILIES = {"vae", "gan", "flows", "diffusion", "autoregressive"}
LOOP = {"train", "checkpoint"}  # one room in two modules
BESIDE = FAMILIES | LOOP | {"data"}
ABOVE = {"metrics"}
TOP = {"recipes"}  # whole models of one data set: they see all the rooms, and none sees them
ROOMS = GROUND | BESIDE | ABOVE | TOP


def imports_of(path, lib=LIB):
    """(line, absolute dotted module) of every import in a file, those inside functions too."""
    package = path.relative_to(lib).with_suffix("").parts
    package = package[:-1]  # of a module its package, of __init__ the package itself
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found.append((node.lineno, module))
            # `from dgm import vae` imports the module dgm.vae
            found += [(node.lineno, f"{module}.{alias.name}") for alias in node.names]
    return found


def room_of(module):
    """`dgm.vae.elbo` -> `vae`; None for what is not in dgm."""
    parts = module.split(".")
    return parts[1] if parts[0] == "dgm" and len(parts) > 1 else None


def allowed(room):
    """The rooms of dgm that a room may import, besides itself."""
    if room in GROUND:
        return GROUND
    if room in LOOP:
        return GROUND | LOOP
    if room in BESIDE:
        return GROUND
    if room in TOP:
        return ROOMS
    return GROUND | BESIDE | ABOVE


def violations(lib):
    """Every import that runs upwards or across, with its place."""
    found = []
    for path in sorted((lib / "dgm").rglob("*.py")):
        relative = path.relative_to(lib)
        room = relative.parts[1].removesuffix(".py")
        for line, module in imports_of(path, lib):
            if module.split(".")[0] == "coursekit":
                found.append(f"{relative}:{line}: dgm never imports coursekit")
            target = room_of(module)
            known = target in ROOMS
            if room != "__init__" and known and target != room and target not in allowed(room):
                found.append(
                    f"{relative}:{line}: {room} must not import dgm.{target}: put the shared piece lower"
                )
    for path in sorted((lib / "coursekit").rglob("*.py")):
        for line, module in imports_of(path, lib):
            if module.split(".")[0] == "dgm":
                found.append(f"{path.relative_to(lib)}:{line}: coursekit knows nothing of dgm")
    return found


def test_no_import_runs_up_or_across():
    assert violations(LIB) == []


def test_every_room_has_its_floor():
    rooms = {p.stem for p in (LIB / "dgm").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()} - {
        "__init__"
    }
    assert rooms <= ROOMS, "a new room of dgm: say in this file on which floor it is"


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("dgm/vae/a.py", "from dgm.gan import losses", "vae must not import dgm.gan"),
        ("dgm/vae/a.py", "from dgm import flows", "vae must not import dgm.flows"),
        ("dgm/vae/a.py", "from ..diffusion.losses import loss", "vae must not import dgm.diffusion"),
        ("dgm/vae/__init__.py", "from .. import metrics", "vae must not import dgm.metrics"),
        ("dgm/tensor.py", "def f():\n    import dgm.train", "tensor.py:2: tensor must not import dgm.train"),
        ("dgm/prob/a.py", "from dgm.vae import elbo", "prob must not import dgm.vae"),
        ("dgm/train.py", "import dgm.data.digits", "train must not import dgm.data"),
        ("dgm/metrics/a.py", "from dgm.recipes import RECIPES", "metrics must not import dgm.recipes"),
        ("dgm/vae/a.py", "import dgm.recipes.vae", "vae must not import dgm.recipes"),
        ("dgm/nn/a.py", "from coursekit import figure", "dgm never imports coursekit"),
        ("coursekit/reading/a.py", "import dgm", "coursekit knows nothing of dgm"),
    ],
)
def test_every_kind_of_violation_is_found(tmp_path, path, text, message):
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    assert any(message in found for found in violations(tmp_path))


def test_what_is_allowed_passes(tmp_path):
    files = {
        "dgm/vae/a.py": "from dgm.vae import elbo\nfrom . import b\nfrom ..nn import MLP\nimport torch.nn",
        "dgm/metrics/a.py": "from dgm.data import digits\nfrom dgm.train import fit",
        "dgm/recipes/a.py": "from dgm.vae import VAE\nfrom dgm import metrics, data, train",
        "dgm/__init__.py": "from dgm import vae, gan",
        "dgm/prob/a.py": "from dgm.tensor import sum_except_batch",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert violations(tmp_path) == []


# Names


def hidden_modules(package):
    """Submodules that `import package.name as m` does not reach, since the package exports another `name`."""
    exported = {name: getattr(package, name) for name in getattr(package, "__all__", [])}
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    return {name for name in modules & set(exported) if not inspect.ismodule(exported[name])}


@pytest.mark.parametrize(
    "name",
    sorted(
        ".".join(path.parent.relative_to(LIB).parts)
        for top in ("dgm", "coursekit")
        for path in (LIB / top).rglob("__init__.py")
    ),
)
def test_no_package_exports_a_name_that_hides_a_module(name):
    hidden = hidden_modules(importlib.import_module(name))
    assert not hidden, f"{name} exports functions or classes with its modules' names: rename the modules"


def test_a_process_that_only_probes_loads_neither_the_plots_nor_the_judge():
    """A grader's worker starts once per submission: what it need not load costs every one of them."""
    code = "import sys, coursekit.exercises.probe; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "coursekit.exercises.probe" in loaded
    assert not loaded & {"matplotlib", "IPython", "coursekit.exercises.judge", "coursekit.reading"}
