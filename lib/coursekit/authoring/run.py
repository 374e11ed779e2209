"""Run notebooks and store their outputs: `python -m coursekit.authoring.run [02_vae ...]`.

The outputs of a chapter are part of it: the book and JupyterLab show them without running anything. A
notebook is written only when every cell ran; what differs from run to run without meaning is left out.
"""

import argparse
import os
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from coursekit.authoring import costs, pairs, tally
from coursekit.authoring import notebooks as nb
from coursekit.authoring.notebooks import KERNELSPEC, Pair, find_pairs
from coursekit.authoring.tally import Tally

CELL_TIMEOUT_S = 600
STARTUP_TIMEOUT_S = 180
WIDGET = "application/vnd.jupyter.widget-view+json"
# "loss 3.2:  40%|████  | 80/200 [00:03<00:05, 22.1it/s]", on a terminal or as a widget's text.
PROGRESS_BAR = re.compile(r"\d+%\|.*\|\s*\d+/\d+|\d+it \[\d\d:\d\d")
COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")

Report = Callable[[str], None]


@dataclass(frozen=True)
class Ran:
    """A notebook that ran to its end.

    Args:
        notebook: with its outputs, ready to be stored.
        wall_s: seconds on the clock, kernel start included.
        cpu_s: CPU-seconds of the kernel.
        tally: its optimiser steps, trained parameters and memory.
        warnings: what it wrote to stderr, progress bars left out.
    """

    notebook: NotebookNode
    wall_s: float
    cpu_s: float
    tally: Tally
    warnings: tuple[str, ...]


class CellFailedError(RuntimeError):
    """A cell raised, or its kernel died; the message names the notebook, the cell and the error."""


def execute(
    pair: Pair,
    *,
    budget: str = "cpu",
    threads: int = 1,
    report: Report = print,
    timeout_s: int = CELL_TIMEOUT_S,
) -> Ran:
    """Run the cells of a notebook's .py in a fresh kernel, in the notebook's folder.

    Args:
        pair: its files; nothing is written.
        budget: value of DGM_BUDGET in the kernel.
        threads: value of OMP_NUM_THREADS; one, because sums over several threads differ between machines.
        report: takes a line for every cell.
        timeout_s: for one cell.

    Returns:
        The notebook with its outputs, and what it took.

    Raises:
        CellFailedError: a cell raised or took too long.
    """
    notebook = nb.stored(nb.read_py(pair.py))
    code = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    started: dict[int, float] = {}

    def begins(cell: NotebookNode, cell_index: int) -> None:
        started[cell_index] = time.perf_counter()

    def ends(cell: NotebookNode, cell_index: int, execute_reply: dict[str, Any]) -> None:
        seconds = time.perf_counter() - started[cell_index]
        report(f"  [{code.index(cell_index) + 1:2d}/{len(code)}] {seconds:6.1f} s  {_first_line(cell)}")

    client = NotebookClient(
        notebook,
        kernel_name=KERNELSPEC["name"],
        timeout=timeout_s,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(pair.py.parent)}},
        startup_timeout=STARTUP_TIMEOUT_S,
        # Its own messages do not concern the chapter (the kernel listens on loopback alone).
        extra_arguments=["--log-level=ERROR", f"--InteractiveShellApp.exec_lines={tally.START}"],
        on_cell_execute=begins,
        on_cell_executed=ends,
    )
    environment = {
        "DGM_BUDGET": budget,
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "PYTHONHASHSEED": "0",
    }
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "tally.json"
        environment[tally.VARIABLE] = str(counts)
        wall, cpu = time.perf_counter(), _children_cpu_s()
        _run(client, pair, notebook, {**os.environ, **environment}, started)
        wall, cpu = time.perf_counter() - wall, _children_cpu_s() - cpu
        spent = tally.read(counts) if code else Tally()
    root = nb.repository_root(pair.py.parent)
    warnings = tuple(clean(notebook, root))
    return Ran(notebook, wall, cpu, spent, warnings)


def _run(
    client: NotebookClient,
    pair: Pair,
    notebook: NotebookNode,
    environment: dict[str, str],
    started: dict[int, float],
) -> None:
    """Run all cells; what goes wrong becomes one `CellFailedError`."""
    try:
        client.execute(env=environment)
    except CellExecutionError as error:
        raise CellFailedError(_failure(pair, notebook, error)) from None
    except TimeoutError as error:
        running = notebook.cells[max(started)]
        raise CellFailedError(
            f"{pair.name}: a cell took more than {client.timeout} s: {_first_line(running)}"
        ) from error
    except RuntimeError as error:
        raise CellFailedError(f"{pair.name}: the kernel did not start or died: {error}") from error


def clean(notebook: NotebookNode, root: Path) -> list[str]:
    """Take out of a notebook's outputs, in place, what differs from run to run without meaning anything.

    Progress bars (text and widgets), stderr, timings, and this machine's paths: below the repository they
    become relative, the home folder becomes `~`.

    Args:
        notebook: as it was run.
        root: of the repository.

    Returns:
        What was on stderr, progress bars left out.
    """
    warnings: list[str] = []
    widgets = False
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        kept = []
        for output in cell.outputs:
            output = _without_paths(output, root)
            if output.output_type == "stream":
                lines = [line.rsplit("\r", 1)[-1] for line in output.text.split("\n")]
                output.text = "\n".join(line for line in lines if not PROGRESS_BAR.search(line))
                if output.name == "stderr":
                    warnings += [output.text.strip()] if output.text.strip() else []
                    continue
                if not output.text.strip():
                    continue
            elif WIDGET in output.get("data", {}):
                if PROGRESS_BAR.search(output.data.get("text/plain", "")):
                    continue
                widgets = True
            output.pop("transient", None)
            kept.append(output)
        cell.outputs = kept
    if not widgets:
        notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}  # without the version of this machine's Python
    return warnings


def refresh(pair: Pair, *, budget: str = "cpu", threads: int = 1, report: Report = print) -> Ran:
    """Bring a pair together, run it, and store the outputs; a failure leaves the stored ones as they were.

    Args:
        pair: the notebook's files.
        budget: value of DGM_BUDGET in the kernel.
        threads: value of OMP_NUM_THREADS in the kernel.
        report: takes a line for every cell.

    Returns:
        What ran.

    Raises:
        CellFailedError: a cell raised or took too long.
        ConflictError: both files were edited since they last agreed.
    """
    if pairs.state_of(pair) is not pairs.State.SAME:
        report(f"  {pairs.write(pair)}")
    before = pairs.digest_of(nb.read_py(pair.py))
    ran = execute(pair, budget=budget, threads=threads, report=report)
    if pairs.digest_of(nb.read_py(pair.py)) != before:
        report(f"  {pair.py.name} was edited while it ran: its changed cells are stored without outputs")
    fresh = nb.stored(nb.read_py(pair.py), outputs_from=ran.notebook.cells)
    if "widgets" in ran.notebook.metadata:
        fresh.metadata["widgets"] = ran.notebook.metadata["widgets"]
    nb.write_atomically(pair.ipynb, nb.ipynb_text(fresh))
    return ran


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; the exit status is 0 only if every notebook ran to its end."""
    parser = argparse.ArgumentParser(prog="python -m coursekit.authoring.run", description=__doc__)
    parser.add_argument("names", nargs="*", help="02_vae, solutions/02_vae or a path (default: all chapters)")
    parser.add_argument("--budget", choices=("cpu", "full"), default="cpu", help="DGM_BUDGET (default: cpu)")
    parser.add_argument("--threads", type=int, default=1, help="OMP_NUM_THREADS (default: 1)")
    parser.add_argument("--root", type=Path, help="the repository (default: the one you are in)")
    options = parser.parse_args(arguments)
    root = nb.repository_root(options.root)
    chosen = find_pairs(root, options.names)
    if not options.names:
        chosen = [pair for pair in chosen if pair.py.parent.name == "chapters"]

    table, failed, measured = [], 0, []
    for pair in chosen:
        print(pair.name, flush=True)
        load = os.getloadavg()[0]
        try:
            ran = refresh(pair, budget=options.budget, threads=options.threads, report=_print_now)
        except (CellFailedError, pairs.ConflictError) as error:
            failed += 1
            print(error, file=sys.stderr, flush=True)
            table.append(f"{pair.name:<28} failed; its stored outputs are as before")
            continue
        for warning in ran.warnings:
            print(f"  stderr: {warning}", file=sys.stderr)
        kilobytes = pair.ipynb.stat().st_size / 1000
        table.append(
            f"{pair.name:<28} {ran.wall_s:6.1f} s  {ran.cpu_s:6.1f} CPU-s  {ran.tally.peak_mb:5d} MB  "
            f"{ran.tally.steps:6d} steps  {ran.tally.parameters:9d} parameters  {kilobytes:6.0f} kB stored"
        )
        if pair.py.parent.name == "chapters" and options.budget == "cpu":
            measured.append(_cost(pair, ran, load, root))
            costs.write(root, measured)  # at once: a later chapter may fail
    print("\n".join(table))
    return 1 if failed else 0


def _cost(pair: Pair, ran: Ran, load: float, root: Path) -> costs.Cost:
    spent = ran.tally
    seconds, cpu = round(ran.wall_s, 1), round(ran.cpu_s, 1)
    sizes = (spent.peak_mb, spent.steps, spent.parameters, spent.largest)
    return costs.Cost(pair.py.stem, seconds, cpu, *sizes, round(load, 1), costs.digest_of(pair.py, root))


def _failure(pair: Pair, notebook: NotebookNode, error: CellExecutionError) -> str:
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                trace = COLOUR_CODES.sub("", "\n".join(output.traceback))
                what = f"{output.ename}: {COLOUR_CODES.sub('', output.evalue)}"
                return f"{pair.name}: cell {number} raised {what}\n{trace}\nNothing was written."
    return f"{pair.name}: {COLOUR_CODES.sub('', str(error))}"


def _without_paths(output: NotebookNode, root: Path) -> NotebookNode:
    """A copy with this machine's paths taken out of everything that is text."""

    def cleaned(text: str) -> str:
        for path, short in ((str(root) + os.sep, ""), (str(root), "."), (str(Path.home()) + os.sep, "~/")):
            text = text.replace(path, short)
        return text

    output = NotebookNode(output)
    if "text" in output:
        output.text = cleaned(output.text)
    if "data" in output:
        output.data = NotebookNode(
            {
                mime: cleaned(value) if mime.startswith("text/") and isinstance(value, str) else value
                for mime, value in output.data.items()
            }
        )
    return output


def _first_line(cell: NotebookNode) -> str:
    return next((line.strip()[:70] for line in cell.source.splitlines() if line.strip()), "")


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _print_now(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
