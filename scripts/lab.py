"""Open JupyterLab on the start chapter (`make lab`); arguments are passed on to JupyterLab."""

import argparse
import os
import socket
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START = "chapters/00_start.ipynb"


def port_error(host: str, port: int) -> str | None:
    """Why a server cannot listen on this port, in one line that says what to do; None where it can."""
    if not 0 <= port < 65536:
        return f"There is no port {port}: name one from 1024 to 65535."
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except PermissionError:
        return f"Port {port} needs administrator's rights: name one from 1024 up, as in --port 9999."
    except OSError as error:
        return (
            f"Port {port} is taken ({error.strerror}): name another, as in "
            f'`make lab ARGS="--port {port % 65535 + 1}"`, or leave --port out.'
        )
    return None


def command(arguments: list[str]) -> list[str]:
    """JupyterLab's command line: the course's defaults first, so that the user's own arguments win."""
    defaults = [f"--ServerApp.root_dir={ROOT}"]
    if (ROOT / START).exists():
        defaults.append(f"--LabApp.default_url=/lab/tree/{START}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # a container's user: Jupyter would refuse to start
        defaults.append("--allow-root")
    return [sys.executable, "-m", "jupyterlab", *defaults, *arguments]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--port", "--ServerApp.port", type=int, dest="port")
    parser.add_argument("--ip", "--ServerApp.ip", default="localhost", dest="ip")
    known, _ = parser.parse_known_args(arguments)
    if known.port is not None:
        # Without a port of the user's own, JupyterLab takes the next free one by itself.
        problem = port_error("0.0.0.0" if known.ip == "*" else known.ip, known.port)
        if problem is not None:
            print(problem, file=sys.stderr)
            return 1
        arguments = ["--ServerApp.port_retries=0", *arguments]
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")
    os.chdir(ROOT)
    os.execv(sys.executable, command(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
