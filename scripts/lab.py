"""Open JupyterLab on the start chapter (`make lab`); arguments are passed on to JupyterLab."""

import argparse
import errno
import os
import socket
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START = "chapters/00_start.ipynb"
PORT = ("--port", "--ServerApp.port")


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
        if error.errno == errno.EADDRINUSE:  # anything else is for JupyterLab to say
            return (
                f"Port {port} is taken: name another, as in "
                f'`make lab ARGS="--port {port % 65535 + 1}"`, or leave --port out.'
            )
    return None


def command(arguments: list[str]) -> list[str]:
    """JupyterLab's command line: the user's arguments, and the course's settings where the user has none.

    JupyterLab refuses a setting that is given twice.
    """
    settings = {"--ServerApp.root_dir": str(ROOT)}
    opened = any((ROOT / argument).exists() for argument in arguments if not argument.startswith("-"))
    if (ROOT / START).exists() and not opened:
        settings["--LabApp.default_url"] = f"/lab/tree/{START}"
    if any(argument.partition("=")[0] in PORT for argument in arguments):
        settings["--ServerApp.port_retries"] = "0"  # that port or none
    named = {argument.partition("=")[0] for argument in arguments}
    defaults = [f"{name}={value}" for name, value in settings.items() if name not in named]
    if hasattr(os, "geteuid") and os.geteuid() == 0 and "--allow-root" not in named:
        defaults.append("--allow-root")  # a container's user: Jupyter would refuse to start
    return [sys.executable, "-m", "jupyterlab", *defaults, *arguments]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(*PORT, type=int, dest="port")
    parser.add_argument("--ip", "--ServerApp.ip", default="localhost", dest="ip")
    known, _ = parser.parse_known_args(arguments)
    if known.port is not None:
        # Without a port of the user's own, JupyterLab takes the next free one by itself.
        problem = port_error("0.0.0.0" if known.ip == "*" else known.ip, known.port)
        if problem is not None:
            print(problem, file=sys.stderr)
            return 1
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")
    os.chdir(ROOT)
    os.execv(sys.executable, command(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
