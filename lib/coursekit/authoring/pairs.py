"""Keep the two files of every notebook equal: `python -m coursekit.authoring.pairs --check` or `--write`.

The .py is what one edits; but an edit made in the .ipynb, in JupyterLab, is an edit too. Each stored notebook
remembers what both files were when they last agreed. So `--write` knows which side was edited and carries it
over to the other; where both were, it changes nothing and asks.
"""

import argparse
import difflib
import enum
import sys
from collections.abc import Sequence
from pathlib import Path

from nbformat import NotebookNode

from coursekit.authoring import notebooks as nb
from coursekit.authoring.notebooks import KERNELSPEC, CellKey, Pair, digest_of, find_pairs, key_of

PARTS = ("type", "source", "tags or metadata")


class State(enum.Enum):
    """What became of a pair since its two files last agreed."""

    SAME = "same"
    PY_EDITED = ".py edited"
    IPYNB_EDITED = ".ipynb edited"
    BOTH_EDITED = "both edited"


def state_of(pair: Pair) -> State:
    """Which of the two files was edited; a missing file counts as the one not edited."""
    if not pair.ipynb.exists():
        return State.PY_EDITED
    if not pair.py.exists():
        return State.IPYNB_EDITED
    ipynb = nb.read_ipynb(pair.ipynb)
    py_digest, ipynb_digest = digest_of(nb.read_py(pair.py)), digest_of(ipynb)
    if py_digest == ipynb_digest:
        return State.SAME
    agreed = ipynb.metadata.get("coursekit", {}).get("agreed")
    if agreed == ipynb_digest:
        return State.PY_EDITED
    if agreed == py_digest:
        return State.IPYNB_EDITED
    return State.BOTH_EDITED


def differences(pair: Pair) -> list[str]:
    """How the two files of a pair differ, a text for each cell.

    Args:
        pair: the two files.

    Returns:
        Texts that name the cell by its number in the .py (.ipynb, where it is only there); empty: they agree.
    """
    for path in (pair.py, pair.ipynb):
        if not path.exists():
            return [f"{path.name} is missing"]
    py, ipynb = nb.read_py(pair.py), nb.read_ipynb(pair.ipynb)
    found = _cell_differences([key_of(c) for c in py.cells], [key_of(c) for c in ipynb.cells])
    kernel = ipynb.metadata.get("kernelspec", {}).get("name")
    if kernel != KERNELSPEC["name"]:
        found.append(f"the .ipynb names the kernel {kernel!r}, expected {KERNELSPEC['name']!r}")
    return found


def write(pair: Pair, source: str | None = None) -> str:
    """Make the two files of a pair agree; outputs of unchanged cells stay.

    Args:
        pair: the two files.
        source: `"py"` or `"ipynb"` overrules which of them is right.

    Returns:
        What was done, in words.

    Raises:
        ConflictError: both files were edited and `source` does not say which is right; nothing is written.
    """
    state = state_of(pair)
    if state is State.BOTH_EDITED and source is None:
        raise ConflictError(pair)
    from_ipynb = state is State.IPYNB_EDITED if source is None else source == "ipynb"
    if from_ipynb and not pair.ipynb.exists():
        raise FileNotFoundError(f"--from ipynb, but there is no {pair.ipynb.name}; leave --from out")
    if not from_ipynb and not pair.py.exists():
        raise FileNotFoundError(f"--from py, but there is no {pair.py.name}; leave --from out")

    done = []
    old = nb.read_ipynb(pair.ipynb) if pair.ipynb.exists() else NotebookNode(cells=[])
    if from_ipynb and state is not State.SAME:
        text = pair.py.read_text(encoding="utf-8") if pair.py.exists() else ""
        nb.write_atomically(pair.py, nb.py_text(old, nb.header_of(text)))
        done.append(f"{pair.py.name} taken from {pair.ipynb.name}")
    fresh = nb.stored(nb.read_py(pair.py), outputs_from=old.cells)
    if nb.write_atomically(pair.ipynb, nb.ipynb_text(fresh)):
        empty = sum(c.cell_type == "code" and c.execution_count is None for c in fresh.cells)
        done.append(f"{pair.ipynb.name} written" + (f", {empty} code cells not run yet" if empty else ""))
    return "; ".join(done) or "nothing to do"


class ConflictError(ValueError):
    """Both files of a pair were edited since they last agreed."""

    def __init__(self, pair: Pair) -> None:
        shown = "\n".join(f"  {line}" for text in differences(pair) for line in text.splitlines())
        super().__init__(
            f"{pair.name}: both {pair.py.name} and {pair.ipynb.name} were edited (or never paired), "
            f"nothing was written.\n{shown}\n"
            f"  To keep the .py:    python -m coursekit.authoring.pairs --write --from py {pair.name}\n"
            f"  To keep the .ipynb: python -m coursekit.authoring.pairs --write --from ipynb {pair.name}\n"
            "  To keep some of each, copy the cells you want into the .py by hand first."
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; the exit status is 0 only if all pairs agree in the end."""
    parser = argparse.ArgumentParser(prog="python -m coursekit.authoring.pairs", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="say which cells differ; write nothing")
    action.add_argument("--write", action="store_true", help="carry edits over, .py to .ipynb or back")
    parser.add_argument(
        "--from", dest="source", choices=("py", "ipynb"), help="with --write: which file is right"
    )
    parser.add_argument("--root", type=Path, help="the repository (default: the one you are in)")
    parser.add_argument("names", nargs="*", help="02_vae, solutions/02_vae or a path (default: all)")
    options = parser.parse_args(arguments)
    if options.source and not options.write:
        parser.error("--from needs --write")
    pairs = find_pairs(nb.repository_root(options.root), options.names)
    if options.source and not options.names:
        parser.error("--from needs the names of the notebooks, so that no other edit is overwritten")

    failed = 0
    for pair in pairs:
        if options.check:
            found = differences(pair)
            failed += bool(found)
            for text in found:
                print(f"{pair.name}: {text}")
            continue
        if pair.generated:
            print(f"{pair.name}: made by python -m coursekit.authoring.generate, left alone")
            continue
        try:
            print(f"{pair.name}: {write(pair, options.source)}")
        except ConflictError as conflict:
            failed += 1
            print(conflict, file=sys.stderr)
    if options.check:
        remedy = "" if not failed else "; run `make pairs` to carry the edits over"
        print(f"{len(pairs)} pairs, {failed} differ{remedy}")
    return 1 if failed else 0


def _cell_differences(py: list[CellKey], ipynb: list[CellKey]) -> list[str]:
    found = []
    matcher = difflib.SequenceMatcher(a=py, b=ipynb, autojunk=False)
    for kind, i, i_end, j, j_end in matcher.get_opcodes():
        if kind == "equal":
            continue
        common = min(i_end - i, j_end - j)
        found += [_changed(i + k, py[i + k], ipynb[j + k]) for k in range(common)]
        found += [f"cell {n + 1} is only in the .py: {_title(py[n])}" for n in range(i + common, i_end)]
        found += [f"cell {n + 1} is only in the .ipynb: {_title(ipynb[n])}" for n in range(j + common, j_end)]
    return found


def _changed(index: int, py: CellKey, ipynb: CellKey) -> str:
    parts = [part for part, a, b in zip(PARTS, py, ipynb, strict=True) if a != b]
    text = f"cell {index + 1} ({py[0]}) differs in {' and '.join(parts)}"
    if py[1] != ipynb[1]:
        lines = difflib.unified_diff(
            py[1].splitlines(), ipynb[1].splitlines(), ".py", ".ipynb", n=0, lineterm=""
        )
        text += "".join(f"\n    {line}" for line in lines)
    if py[0] != ipynb[0]:
        text += f"\n    .py: {py[0]}, .ipynb: {ipynb[0]}"
    if py[2] != ipynb[2]:
        text += f"\n    .py: {dict(py[2])}, .ipynb: {dict(ipynb[2])}"
    return text


def _title(key: CellKey) -> str:
    first = key[1].strip().splitlines()[0] if key[1].strip() else "(empty)"
    return f"({key[0]}) {first[:70]}"


if __name__ == "__main__":
    sys.exit(main())
