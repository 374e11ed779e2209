"""The locks, their sources and environment.yml agree; `make env`, `peers` and `lab` keep their rules."""

import ast
import importlib.util
import json
import os
import re
import runpy
import socket
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PEERS_LOCK = (ROOT / "bench" / "requirements.lock").read_text(encoding="utf-8")
ASKED_PEERS = (ROOT / "bench" / "requirements.in").read_text(encoding="utf-8")


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


environment = script("environment")
sys.modules["environment"] = environment  # scripts/peers.py finds it there
peers = script("peers")
lab = script("lab")
lock = script("lock")


def wanted() -> list[Requirement]:
    """What pyproject.toml asks for, extras included."""
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *(line for extra in extras.values() for line in extra)]
    return [Requirement(line) for line in lines]


def entries(lock: str = LOCK) -> list[tuple[Requirement, str]]:
    """A lock's entries: the pinned requirement with its marker, and the lines below it."""
    found = re.findall(r"^(\S+==[^\\\n]*?) ?\\\n((?:[ \t]+.*\n?)*)", lock, re.MULTILINE)
    assert len(found) > (50 if lock == LOCK else 10)
    return [(Requirement(head.strip()), body) for head, body in found]


# --- pyproject.toml, requirements.lock, environment.yml


@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_the_lock_satisfies_pyproject(requirement: Requirement) -> None:
    name = canonicalize_name(requirement.name)
    versions = [entry for entry, _ in entries() if canonicalize_name(entry.name) == name]
    assert versions, f"requirements.lock has no {name}: run `make lock`"
    for entry in versions:
        pinned = next(iter(entry.specifier)).version
        assert pinned in requirement.specifier, f"{entry} is locked, {requirement} is asked: run `make lock`"


def test_the_lock_holds_nothing_that_pyproject_no_longer_asks_for() -> None:
    asked = {canonicalize_name(requirement.name) for requirement in wanted()}
    direct = {canonicalize_name(entry.name) for entry, body in entries() if PROJECT["name"] in body}
    assert direct == asked, "run `make lock`"


@pytest.mark.parametrize("lock", [LOCK, PEERS_LOCK], ids=["course", "peers"])
def test_a_lock_is_pinned_and_hashed_and_names_no_index(lock: str) -> None:
    for entry, body in entries(lock):
        assert [specifier.operator for specifier in entry.specifier] == ["=="]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", body), f"{entry} has no hash"
    starts = [line for line in lock.splitlines() if line and line[0] not in " \t#"]
    assert len(starts) == len(entries(lock))  # so no option line such as an index
    assert "://" not in lock


def test_the_peers_come_on_top_of_the_lock_and_repeat_nothing_of_it() -> None:
    named = {canonicalize_name(entry.name) for entry, _ in entries(PEERS_LOCK)}
    assert not named & {canonicalize_name(entry.name) for entry, _ in entries()}, "run `make lock`"
    # What uv left out is what the lock has: nothing that a peer needs is missing.
    left_out = set(re.findall(r"^# ([\w.-]+)$", PEERS_LOCK, re.MULTILINE))
    assert {"numpy", "torch"} <= left_out
    assert left_out <= {canonicalize_name(entry.name) for entry, _ in entries()}, "run `make lock`"


def test_the_peers_lock_holds_what_is_asked_for_and_no_more() -> None:
    asked = {line for line in ASKED_PEERS.splitlines() if line and not line.startswith("#")}
    direct = {entry.name for entry, body in entries(PEERS_LOCK) if "bench/requirements.in" in body}
    assert direct == asked, "run `make lock`"


def test_the_peers_are_locked_at_the_versions_of_the_lock() -> None:
    command = lock.peers_command(PROJECT, "numpy==1 ; x\n    --hash=y\n    # via a==2\ntorch==2\n", [])
    assert command[command.index("--constraint") + 1] == "requirements.lock"
    left_out = [after for part, after in pairwise(command) if part == "--no-emit-package"]
    assert left_out == ["numpy", "torch"]


def test_the_lock_holds_for_every_python_that_pyproject_allows() -> None:
    """Some entry of every direct requirement applies on the lowest Python and on later ones."""
    for requirement in wanted():
        same = [entry for entry, _ in entries() if canonicalize_name(entry.name) == requirement.name]
        for python in ("3.11", "3.12", "3.13", "3.14"):
            context = {"python_version": python, "python_full_version": f"{python}.9"}
            assert any(entry.marker is None or entry.marker.evaluate(context) for entry in same)


def test_pyproject_allows_the_torch_and_the_pythons_that_were_tested() -> None:
    """`make test-versions` tried the ends; every release between them is allowed, and none outside."""
    table = json.loads((ROOT / "docs" / "data" / "versions.json").read_text(encoding="utf-8"))
    assert table["requires-python"] == PROJECT["requires-python"], "run `make test-versions`"
    assert table["dependencies"] == PROJECT["dependencies"], "run `make test-versions`"
    rows = {row["name"]: row for row in table["rows"]}
    assert set(rows) == {"3.11", "3.12", "3.13", "lowest"}
    assert all(row["failed"] == 0 and row["passed"] > 1500 for row in rows.values())
    assert all(row["python"].startswith(name) for name, row in rows.items() if name != "lowest")
    (torch,) = (r for r in map(Requirement, PROJECT["dependencies"]) if r.name == "torch")
    tested = sorted(Version(row["packages"]["torch"]) for row in rows.values())
    oldest, newest = tested[0], tested[-1]
    assert oldest in torch.specifier
    assert newest in torch.specifier
    assert f"{oldest.major}.{oldest.minor - 1}.9" not in torch.specifier
    assert f"{newest.major}.{newest.minor + 1}.0" not in torch.specifier


def test_environment_yml_is_the_same_set() -> None:
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    assert content["name"] == PROJECT["name"]
    python, pip, packages = content["dependencies"]
    assert SpecifierSet(python.removeprefix("python")) == SpecifierSet(PROJECT["requires-python"])
    assert pip == "pip"
    assert packages == {"pip": ["-r requirements.lock"]}
    assert text == lock.environment_yml(PROJECT), "run `make lock`"


def test_one_lowest_python_everywhere() -> None:
    lowest = ".".join(map(str, environment.MINIMUM))
    assert PROJECT["requires-python"] == f">={lowest}"
    assert PYPROJECT["tool"]["ruff"]["target-version"] == "py" + lowest.replace(".", "")
    assert PYPROJECT["tool"]["mypy"]["python_version"] == lowest
    assert lowest in " ".join(lock.lock_command(PROJECT, []))


# --- make env


def test_an_old_python_can_read_the_script() -> None:
    source = (ROOT / "scripts" / "environment.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 6))


def test_an_old_python_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 2))
    monkeypatch.setenv("PYTHON", sys.executable)
    with pytest.raises(
        SystemExit, match=r"^Python 3\.11 or later is needed, and .* is 3\.10: install"
    ) as caught:
        runpy.run_path(str(ROOT / "scripts" / "environment.py"), run_name="__main__")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("printed", "line"),
    [
        ("x\nerror: No space left on device (os error 28)", "The disk is full"),
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("  cause: dns error\n", "The package index cannot be reached"),
        ("NewConnectionError(...): Failed to establish a new connection\n", "The package index cannot be"),
        (
            "ERROR: No matching distribution found for uv==1 (from versions: none)",
            "The package index cannot be",
        ),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "A downloaded package is not the one in"),
        ("error: Hash mismatch for `six`", "A downloaded package is not the one in"),
        ("first\nlast words\n\n", "Step failed: last words"),
    ],
)
def test_a_failed_step_is_explained_in_one_line(printed: str, line: str) -> None:
    text = str(environment.explain(printed, "Step"))
    assert text.startswith(line)
    assert "\n" not in text


def test_the_locked_uv_is_what_pip_is_given() -> None:
    entry = environment.locked("uv")
    (expected,) = [body for requirement, body in entries() if requirement.name == "uv"]
    assert entry.startswith("uv==")
    assert entry.count("--hash=sha256:") == expected.count("--hash=sha256:") > 0
    with pytest.raises(environment.Failure, match="no entry for u: run"):
        environment.locked("u")


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like an environment just built, with its stamp."""
    folder = tmp_path / ".venv"
    for name, path in [("VENV", ""), ("VENV_PYTHON", "bin/python"), ("STAMP", "s.json"), ("BUILDING", "b")]:
        monkeypatch.setattr(environment, name, folder / path)
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    (folder / "lib" / "python3.11" / "site-packages" / "torch").mkdir(parents=True)
    (folder / "lib" / "python3.11" / "site-packages" / "torch-1.dist-info").mkdir()
    environment.write_stamp(environment.fingerprint())
    monkeypatch.delenv("PYTHON", raising=False)
    return folder


def current() -> bool:
    return bool(environment.is_current(environment.built(), environment.fingerprint()))


def test_the_stamp_makes_the_next_call_cheap(venv: Path) -> None:
    assert current()


def test_a_user_may_install_and_upgrade(venv: Path) -> None:
    packages = venv / "lib" / "python3.11" / "site-packages"
    (packages / "other").mkdir()
    (packages / "torch-1.dist-info").rename(packages / "torch-2.dist-info")
    assert current()


@pytest.mark.parametrize("key", ["root", "lock", "project", "settings"])
def test_a_changed_input_asks_for_a_build(venv: Path, key: str) -> None:
    stamp = json.loads(environment.STAMP.read_text())
    environment.STAMP.write_text(json.dumps({**stamp, key: "other"}))
    assert not current()


@pytest.mark.parametrize("damage", ["s.json", "bin/python", "lib/python3.11/site-packages/torch"])
def test_a_damaged_environment_asks_for_a_build(venv: Path, damage: str) -> None:
    path = venv / damage
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()
    assert not current()


def test_an_unfinished_environment_asks_for_a_build(venv: Path) -> None:
    environment.BUILDING.touch()
    assert not current()


def test_a_named_python_must_be_the_environments_own(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON", "python3")
    stamp = environment.built()
    assert environment.is_current(
        {**stamp, "python": environment.python_version()}, environment.fingerprint()
    )
    assert not environment.is_current({**stamp, "python": "3.99"}, environment.fingerprint())


def test_tool_settings_do_not_ask_for_a_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prints(text: str) -> dict[str, str]:
        (tmp_path / "pyproject.toml").write_text(text)
        result: dict[str, str] = environment.fingerprint()
        return result

    monkeypatch.setattr(environment, "ROOT", tmp_path)
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    before = prints(text)
    assert prints(text.replace("line-length = ", "line-length = 1")) == before
    assert prints(text.replace('name = "', 'name = "x')) != before


# --- make peers


@pytest.fixture
def venv_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment for the peers, built with nothing to install in it."""
    folder = tmp_path / ".venv-peers"
    for name, path in [("PEERS", ""), ("PEERS_PYTHON", "bin/python"), ("STAMP", "s.json")]:
        monkeypatch.setattr(peers, name, folder / path)
    monkeypatch.setattr(peers, "VENV", Path(sys.prefix))
    monkeypatch.setattr(peers, "VENV_PYTHON", Path(sys.executable))

    def install(lock: Path, python: Path, *options: str) -> None:
        (peers.site_packages(folder) / "peer").mkdir()

    monkeypatch.setattr(environment, "uv", install)
    assert not peers.is_built()
    peers.build()
    return folder


def test_the_peers_environment_sees_the_course_and_its_packages(venv_peers: Path) -> None:
    code = "import dgm, packaging, sys; print(sys.prefix, dgm.__file__, packaging.__file__, sep='\\n')"
    out = subprocess.check_output([venv_peers / "bin" / "python", "-c", code], text=True).splitlines()
    assert out[0] == str(venv_peers)
    assert out[1] == str(ROOT / "lib" / "dgm" / "__init__.py")
    assert Path(out[2]).is_relative_to(sys.prefix)


def test_the_peers_stamp_makes_the_next_call_cheap(venv_peers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "build", lambda: pytest.fail("built again"))
    assert peers.main() == 0


@pytest.mark.parametrize("key", ["root", "python", "lock"])
def test_a_changed_input_asks_for_new_peers(venv_peers: Path, key: str) -> None:
    stamp = json.loads(peers.STAMP.read_text())
    peers.STAMP.write_text(json.dumps({**stamp, key: "other"}))
    assert not peers.is_built()
    peers.build()
    assert peers.is_built()


@pytest.mark.parametrize("damage", ["s.json", "bin/python", "peer"])
def test_damaged_peers_are_built_anew(venv_peers: Path, damage: str) -> None:
    if damage == "peer":
        (peers.site_packages(venv_peers) / damage).rmdir()
    else:
        (venv_peers / damage).unlink()
    assert not peers.is_built()


def test_peers_that_cannot_be_installed_end_in_one_line(
    venv_peers: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    peers.STAMP.unlink()
    monkeypatch.setattr(environment, "uv", lambda *_: "No module named uv")
    tried = []

    def pip(*options: str, python: Path) -> str:
        tried.append(python)
        return "x\nNewConnectionError: Failed to establish a new connection"

    monkeypatch.setattr(environment, "pip", pip)
    assert peers.main() == 1
    assert tried == [peers.PEERS_PYTHON]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("The package index cannot be reached")
    assert not peers.is_built()


@pytest.mark.parametrize(
    ("value", "outcome"),
    [("", "1 passed, 2 skipped, 1 xfailed"), ("fail", "1 passed, 1 xfailed, 2 errors")],
)
def test_a_skip_is_a_failure_where_the_peers_are_installed(tmp_path: Path, value: str, outcome: str) -> None:
    """Of a test and of a whole file, under the same conftest.py; an expected failure is none."""
    conftest = (ROOT / "tests" / "conventions" / "conftest.py").read_text(encoding="utf-8")
    (tmp_path / "conftest.py").write_text(conftest, encoding="utf-8")
    (tmp_path / "test_a.py").write_text("import pytest\npytest.importorskip('no_such_peer')\n")
    (tmp_path / "test_b.py").write_text(
        "import pytest\n"
        "def test_a(): pass\n"
        "@pytest.mark.skip\ndef test_b(): pass\n"
        "@pytest.mark.xfail\ndef test_c(): assert False\n"
    )
    command = [sys.executable, "-m", "pytest", "--continue-on-collection-errors", "-p", "no:cacheprovider"]
    environ = {**os.environ, "DGM_SKIPS": value, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    run = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert outcome in run.stdout
    assert (run.returncode == 0) == (value == "")


def test_ci_runs_all_tests_and_only_those_with_peers_skip_for_want_of_one() -> None:
    steps = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert {"make test", "make test-peers", "exec make test-site"} <= set(steps)
    assert "tests/conventions/test_*_peers.py" in (ROOT / "Makefile").read_text(encoding="utf-8")
    asked = [line.replace("-", "_") for line in ASKED_PEERS.splitlines() if line and line[0] != "#"]
    names = "|".join([*asked, "cleanfid"])  # clean-fid's own name
    wants = re.compile(
        rf"importorskip\(\s*[\"'](?:{names})\b|^\s*(?:import|from) (?:{names})\b", re.MULTILINE
    )
    found = [
        path for path in (ROOT / "tests").rglob("*.py") if wants.search(path.read_text(encoding="utf-8"))
    ]
    assert found
    assert all(path.match("tests/conventions/test_*_peers.py") for path in found), found


# --- make lab


def test_a_taken_port_gets_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = lab.port_error("localhost", port)
    assert re.match(rf"Port {port} is taken: name another, as in `make lab ARGS=", line)
    assert "\n" not in line
    assert lab.port_error("localhost", port) is None
    assert lab.port_error("localhost", 70_000).startswith("There is no port 70000")


def test_the_users_arguments_are_passed_on() -> None:
    command = lab.command(["--no-browser", "--port", "9999"])
    assert command[-3:] == ["--no-browser", "--port", "9999"]
    assert f"--ServerApp.root_dir={ROOT}" in command
    assert "--ServerApp.port_retries=0" in command
    assert "--ServerApp.port_retries=0" not in lab.command([])


def test_a_chapter_that_the_user_names_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "ROOT", tmp_path)
    (tmp_path / "chapters").mkdir()
    for name in ("00_start", "02_vae"):
        (tmp_path / "chapters" / f"{name}.ipynb").touch()
    start = "--LabApp.default_url=/lab/tree/chapters/00_start.ipynb"
    assert start in lab.command(["--port", "9999"])
    assert start not in lab.command(["chapters/02_vae.ipynb"])


def test_the_users_settings_replace_the_courses() -> None:
    command = lab.command(["--ServerApp.root_dir=elsewhere", "--allow-root"])
    assert [part for part in command if "root_dir" in part] == ["--ServerApp.root_dir=elsewhere"]
    assert command.count("--allow-root") == 1


@pytest.mark.parametrize(("user", "allowed"), [(0, True), (1000, False)])
def test_root_is_allowed_only_to_root(user: int, allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: user)
    assert ("--allow-root" in lab.command([])) == allowed


def test_the_kernel_is_the_environments_own() -> None:
    kernel: dict[str, Any] = environment.KERNEL
    assert kernel["argv"][0] == "python"
    assert kernel["display_name"] == "Deep generative models"
