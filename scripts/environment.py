"""Build `.venv` from requirements.lock (`make env`) with the standard library alone.

Steps: venv; the locked uv by pip, hash-checked; every package of the lock by uv, hash-checked (by pip where
uv cannot be had); `lib/` editable; byte-compile; the Jupyter kernel "dgm". A stamp written last makes the
next call cheap, and an interrupted build start again. Whatever goes wrong ends in one line that says what to
do.
"""

import os
import shutil
import subprocess
import sys

MINIMUM = (3, 11)

# An older Python must get this far to say so: above the imports below, nothing that Python 3.6 cannot parse.
if sys.version_info < MINIMUM:
    if "PYTHON" not in os.environ:  # the user chose none: look for a newer one on PATH
        for minor in range(14, MINIMUM[1] - 1, -1):
            newer = shutil.which(f"python3.{minor}")
            # A version manager's shim can be on PATH and not run: try it.
            if newer and subprocess.call([newer, "-c", ""], stderr=subprocess.DEVNULL) == 0:
                os.execv(newer, [newer, *sys.argv])
    sys.exit(
        f"Python 3.11 or later is needed, and {sys.executable} is "
        f"{sys.version_info[0]}.{sys.version_info[1]}: install a newer one and name it, as in "
        "`make lab PYTHON=python3.12`."
    )

import fcntl
import hashlib
import json
import re
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements.lock"
STAMP = VENV / "dgm-built.json"  # written last: what the environment was built from
BUILDING = VENV / "dgm-building"  # there while a build from nothing is under way

KERNEL = {
    # "python" stands for the environment's own interpreter wherever the environment is.
    "argv": ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
    "display_name": "Deep generative models",
    "language": "python",
    "metadata": {"debugger": True},
}
# JupyterLab asks no news server and checks for no update: the course's version is the lock's.
LAB_SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}
}

NETWORK = (
    "Failed to establish a new connection|NewConnectionError|name resolution|Name or service not known"
    "|nodename nor servname|Network is unreachable|dns error|error sending request|Connection refused"
    "|ConnectTimeout|Could not connect|ProxyError|tunnel error|from versions: none"
)
DISK = r"No space left on device|os error 28\b|Errno 28\b|Disk quota exceeded"
PROGRESS = "(Resolved|Downloading|Downloaded|Prepared|Installed) "


class Failure(Exception):
    """A build that cannot go on; its text is the one line that says what to do."""


class Unreachable(Failure):
    """No network: what is installed is as it was."""


def say(text: str) -> None:
    print(text, flush=True)


def base_python() -> str:
    """The interpreter to build from: never `.venv`'s own, which a rebuild deletes."""
    return getattr(sys, "_base_executable", None) or sys.executable


def fingerprint() -> dict[str, str]:
    """What the environment depends on; tool settings in pyproject.toml are not part of it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    parts = [project.get("build-system"), project.get("project"), project.get("tool", {}).get("setuptools")]
    return {
        "root": str(ROOT),  # a moved checkout has the old paths in its scripts
        "lock": hashlib.sha256(LOCK.read_bytes()).hexdigest(),
        "project": hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest(),
        "settings": hashlib.sha256(json.dumps([KERNEL, LAB_SETTINGS]).encode()).hexdigest(),
    }


def python_version() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def installed() -> list[str]:
    """The names of what is installed in `.venv`; version numbers (dist-info) apart."""
    folders = VENV.glob("lib/python3.*/site-packages/*")
    return sorted(path.name for path in folders if path.suffix != ".dist-info")


def built() -> dict[str, Any]:
    """The stamp of the environment that is there, or {} where there is none or only a part of one."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    whole = VENV_PYTHON.exists() and not BUILDING.exists() and set(stamp["installed"]) <= set(installed())
    return stamp if whole else {}


def is_current(stamp: dict[str, Any], wanted: dict[str, str]) -> bool:
    """Whether the stamp is the wanted one. A Python that the user names must be the environment's own."""
    if "PYTHON" in os.environ and stamp.get("python") != python_version():
        return False
    return all(stamp.get(key) == value for key, value in wanted.items())


def run(command: list[str], environment: dict[str, str] | None = None) -> str | None:
    """Run a command and pass on what tells its progress; None when it succeeds, else all that it printed."""
    lines = []
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if re.match(PROGRESS, line.lstrip()):
                print("  " + line.strip(), flush=True)
    return "".join(lines) if process.returncode else None


def disk_is_full(output: str) -> bool:
    return bool(re.search(DISK, output)) or free_bytes() < 100e6


def free_bytes() -> int:
    return shutil.disk_usage(VENV if VENV.is_dir() else ROOT).free


def explain(output: str, what: str) -> Failure:
    """The one line for a failed step, from what the step printed."""
    if disk_is_full(output):
        return Failure(
            f"The disk is full ({free_bytes() / 1e9:.1f} GB free; the environment takes about 7 GB on Linux, "
            "and its downloads as much again): make room, then run the same command again."
        )
    if re.search(NETWORK, output):
        return Unreachable(
            "The package index cannot be reached: connect to the network (behind a proxy set HTTPS_PROXY, "
            "for a mirror set PIP_INDEX_URL), then run the same command again."
        )
    if re.search("HASHES|[Hh]ash mismatch", output):
        return Failure(
            "A downloaded package is not the one in requirements.lock (its hash differs): check which index "
            "`pip config list` names, then run the same command again."
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["no message"]
    print("\n".join(lines[-12:-1]), file=sys.stderr)
    return Failure(f"{what} failed: {lines[-1]}")


def make_venv() -> None:
    """An empty environment in `.venv`, in place of whatever unfinished or broken one is there."""
    if VENV.exists() and not VENV.is_dir():
        raise Failure(f"{VENV} is not a folder: move it away, then run the same command again.")
    say(f"Creating .venv with Python {python_version()} ({base_python()})")
    VENV.mkdir(exist_ok=True)
    for path in VENV.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    BUILDING.touch()
    output = run([base_python(), "-m", "venv", str(VENV)])
    if output is None:
        return
    if re.search("ensurepip is not available|No module named venv", output):
        raise Failure(
            f"{base_python()} cannot make environments with pip: install its venv module (Debian, Ubuntu: "
            "`sudo apt install python3-venv`), then run the same command again."
        )
    raise explain(output, "Creating .venv")


def locked(package: str) -> str:
    """The lock's entry of one package, hashes included."""
    found = re.search(
        rf"^{re.escape(package)}==.*\n(?:[ \t]+.*\n?)*", LOCK.read_text(encoding="utf-8"), re.MULTILINE
    )
    if found is None:
        raise Failure(f"requirements.lock has no entry for {package}: run `git checkout requirements.lock`.")
    return found[0]


def pip(*arguments: str, python: Path | None = None) -> str | None:
    """`pip install`, with the user's index and certificates, and none of the user's local wheels.

    It installs into `.venv`, or into the environment of another interpreter.

    pip prefers a local `torch ... +cpu` to the locked one and then fails on its hash. An empty PIP_FIND_LINKS
    would be ignored, an empty folder is not.
    """
    options = ["--disable-pip-version-check", "--progress-bar", "off", "--retries", "2"]
    with tempfile.TemporaryDirectory() as empty:
        environment = dict(os.environ, PIP_FIND_LINKS=empty, PIP_USER="0")
        into = ["--python", str(python)] if python else []
        return run([str(VENV_PYTHON), "-m", "pip", *into, "install", *options, *arguments], environment)


def uv_environment() -> dict[str, str]:
    """uv does not read pip's settings: hand it pip's index and certificates unless it has its own."""
    environment = dict(os.environ)
    listing = subprocess.run(
        [str(VENV_PYTHON), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    settings = dict(re.findall(r"^\S+\.([\w-]+)='(.*)'$", listing, re.MULTILINE))
    if "index-url" in settings and not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & environment.keys():
        environment["UV_DEFAULT_INDEX"] = settings["index-url"]
    if "cert" in settings:
        environment.setdefault("SSL_CERT_FILE", settings["cert"])
    for name in ("UV_FIND_LINKS", "UV_TORCH_BACKEND"):  # other builds of a locked version have other hashes
        environment.pop(name, None)
    return environment


def uv(lock: Path, python: Path, *options: str) -> str | None:
    """`uv pip install` of a lock into the environment of an interpreter."""
    install = [str(VENV_PYTHON), "-m", "uv", "pip", "install", "--python", str(python), *options]
    return run([*install, "--require-hashes", "-r", str(lock)], uv_environment())


def install_uv() -> str | None:
    """The locked uv into `.venv`, by pip."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(locked("uv"))
        file.flush()
        return pip("--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", file.name)


def install_lock() -> None:
    """Every package of the lock: by uv, or by pip where uv is not to be had on this machine."""
    say("Installing the packages of requirements.lock (on Linux about 3 GB to download, the first time)")
    output = install_uv()
    if output is None:
        output = uv(LOCK, VENV_PYTHON)
        if output is None:
            return
        if disk_is_full(output):
            raise explain(output, "Installing the packages")
        say("uv could not install them: trying pip")
    elif disk_is_full(output) or re.search(NETWORK, output):
        raise explain(output, "Installing uv")
    else:
        say("uv is not to be had here: using pip, which takes longer")
    output = pip("--require-hashes", "--no-deps", "--no-compile", "-r", str(LOCK))
    if output is not None:
        raise explain(output, "Installing the packages")


def compile_packages(venv: Path) -> None:
    """Byte-compile in parallel: a cold import of torch is otherwise ten seconds."""
    say("Byte-compiling")
    # Some packages ship files that are not valid Python: what does not compile is left alone.
    run([str(VENV_PYTHON), "-m", "compileall", "-qq", "-j", "0", str(venv / "lib")])


def install_course() -> None:
    """`lib/` editable, so that an edit there is seen at once."""
    say("Installing lib/ (dgm, coursekit) editable")
    output = pip("--no-deps", "--no-build-isolation", "--no-index", "-e", str(ROOT))
    if output is not None:
        raise explain(output, "Installing lib/")


def write_jupyter_files() -> None:
    share = VENV / "share" / "jupyter"
    for path, content in [
        (share / "kernels" / "dgm" / "kernel.json", KERNEL),
        (share / "lab" / "settings" / "overrides.json", LAB_SETTINGS),
    ]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_stamp(wanted: dict[str, str]) -> None:
    stamp = {**wanted, "python": version_in_venv(), "installed": installed()}
    unfinished = STAMP.with_suffix(".new")
    unfinished.write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(STAMP)


def version_in_venv() -> str | None:
    """The Python version of `.venv` when its interpreter and its pip run, else None."""
    code = "import pip, sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([str(VENV_PYTHON), "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def reusable() -> bool:
    """Whether `.venv` can be brought up to date in place, with what the user installed in it kept."""
    version = version_in_venv()
    if version is None or BUILDING.exists() or tuple(map(int, version.split("."))) < MINIMUM:
        return False
    if "PYTHON" in os.environ and version != python_version():
        return False
    # No stamp at all: an environment that somebody made by hand. A stamp of another place or with something
    # missing: a moved or damaged one.
    return not STAMP.exists() or built().get("root") == str(ROOT)


def build(wanted: dict[str, str]) -> None:
    in_place = reusable()
    if in_place:
        say("Bringing .venv up to date")
        BUILDING.touch()
    else:
        make_venv()
    try:
        install_lock()
    except Unreachable:
        if in_place:
            BUILDING.unlink()
        raise
    install_course()
    compile_packages(VENV)
    write_jupyter_files()
    write_stamp(wanted)
    BUILDING.unlink()
    say(".venv is ready")


def bring_up_to_date(name: str, is_built: Callable[[], bool], build: Callable[[], None]) -> int:
    """Build what is not built; the exit status, after one line on whatever went wrong."""
    try:
        if is_built():
            return 0
        with open(__file__, encoding="utf-8") as lock:  # a second `make` waits for the first one's build
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_built():
                build()
    except KeyboardInterrupt:
        print("\nInterrupted: the same command starts again.", file=sys.stderr)
        return 130
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    except OSError as error:
        print(explain(str(error), f"Building {name}"), file=sys.stderr)
        return 1
    return 0


def needed(*paths: Path) -> None:
    """Fail where a file of the project is missing."""
    for path in paths:
        if not path.exists():
            name = path.relative_to(ROOT)
            raise Failure(f"{name} is missing: run `git checkout {name}`.")


def main() -> int:
    def is_built() -> bool:
        needed(LOCK, ROOT / "pyproject.toml")
        return is_current(built(), fingerprint())

    return bring_up_to_date(".venv", is_built, lambda: build(fingerprint()))


if __name__ == "__main__":
    sys.exit(main())
