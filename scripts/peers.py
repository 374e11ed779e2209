"""Build `.venv-peers` (`make peers`): `.venv`, and on top of it the libraries that dgm is compared with.

The packages of bench/requirements.lock are installed, hash-checked; everything else is seen in `.venv`, which
stays as it is. Seconds the first time, nothing when nothing has changed.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import environment
from environment import ROOT, VENV, VENV_PYTHON, say

PEERS = ROOT / ".venv-peers"
PEERS_PYTHON = PEERS / "bin" / "python"
LOCK = ROOT / "bench" / "requirements.lock"
STAMP = PEERS / "dgm-built.json"  # written last: what the environment was built from


def site_packages(venv: Path) -> Path:
    """Where this Python's packages lie in an environment."""
    return venv / "lib" / f"python{environment.python_version()}" / "site-packages"


def fingerprint() -> dict[str, str]:
    """What the environment depends on."""
    return {
        "root": str(ROOT),  # a moved checkout has the old paths in its links
        "python": sys.version,  # that of `.venv`
        "lock": hashlib.sha256(LOCK.read_bytes()).hexdigest(),
    }


def installed() -> list[str]:
    """The names of what is installed in `.venv-peers` itself."""
    return sorted(path.name for path in site_packages(PEERS).glob("*"))


def is_built() -> bool:
    """Whether the environment is there, whole, and built from what there is now."""
    environment.needed(LOCK)
    try:
        stamp: dict[str, Any] = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    whole = PEERS_PYTHON.exists() and set(stamp.pop("installed")) <= set(installed())
    return whole and stamp == fingerprint()


def build() -> None:
    """An environment from nothing: what is in it is small."""
    if PEERS.is_dir():
        shutil.rmtree(PEERS)
    say("Installing the packages of bench/requirements.lock into .venv-peers")
    output = environment.run([str(VENV_PYTHON), "-m", "venv", "--without-pip", str(PEERS)])
    if output is not None:
        raise environment.explain(output, "Creating .venv-peers")
    # `.venv` comes after what is installed here; its own .pth files are not read, so lib/ is named as well.
    seen = f"{site_packages(VENV)}\n{ROOT / 'lib'}\n"
    (site_packages(PEERS) / "dgm-venv.pth").write_text(seen, encoding="utf-8")
    output = environment.uv(LOCK, PEERS_PYTHON, "--no-deps")
    if output is not None and not environment.disk_is_full(output):
        say("uv could not install them: trying pip")
        options = ["--require-hashes", "--no-deps", "--no-compile"]
        output = environment.pip(*options, "-r", str(LOCK), python=PEERS_PYTHON)
    if output is not None:
        raise environment.explain(output, "Installing the packages")
    environment.compile_packages(PEERS)
    stamp = {**fingerprint(), "installed": installed()}
    STAMP.write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")
    say(".venv-peers is ready")


def main() -> int:
    return environment.bring_up_to_date(".venv-peers", is_built, build)


if __name__ == "__main__":
    sys.exit(main())
