"""What the graders are worth: `python -m coursekit.grading.proof` (`make proof`).

For every task: the solution and its variants get full marks, the stub none, every named wrong answer less
than full and its own hint first; then every mutant of the solution (see `mutants`) loses a mark, or
`EQUIVALENT` in the exercise's `answers.py` says why it need not. All of it goes through the sandbox and both
halves of the checks, as students' answers do.

The counts are written to `docs/data/proof.json` and `docs/grading-proof.md`; a run of some tasks brings
theirs up to date.
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from tqdm import tqdm

from coursekit.authoring.generate import slugs, student_source
from coursekit.grading.batch import free_slot
from coursekit.grading.marking import Source, load_source, mark_answer
from coursekit.grading.mutants import Mutant, mutants, sample
from coursekit.grading.sandbox import Limits, NoSandbox, Sandbox

DATA, REPORT = Path("docs/data/proof.json"), Path("docs/grading-proof.md")
AT_LEAST = 0.95  # of all mutants must lose a mark, explained or not


@dataclass
class Proof:
    """Counts of one task, and what went wrong.

    Args:
        slug: of the exercise.
        task: its name.
        solution: a digest of its answer cells.
        variants: how many got full marks.
        wrong: how many lost a mark and got their own hint.
        mutants: how many were tried.
        killed: how many of them lost a mark.
        explained: those that lost none, as "before -> after", each with the reason.
        trouble: what is not as it should be.
    """

    slug: str
    task: str
    solution: str = ""
    variants: int = 0
    wrong: int = 0
    mutants: int = 0
    killed: int = 0
    explained: list[tuple[str, str]] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)


def digest(cells: Sequence[str]) -> str:
    """Tells whether a task's solution is still the one that was tried."""
    return sha256("\0".join(cells).encode()).hexdigest()[:16]


def prove_task(source: Source, name: str, sandbox: Sandbox, *, most: int, seed: int) -> Proof:
    """Try everything on one task, at most so many mutants of a cell (0: all)."""
    exercise = source.exercise
    task, cells = exercise.tasks[name], source.answers[name]
    proof = Proof(exercise.slug, name, digest(cells))

    def full(*answer: str) -> bool:
        marks = mark_answer(source, task, answer, sandbox, seed)
        return marks.got == marks.possible

    if not full(*cells):
        proof.trouble.append("the solution does not get full marks")
    if mark_answer(source, task, tuple(student_source(c) for c in cells), sandbox, seed).got:
        proof.trouble.append("the stub gets marks")
    for variant in exercise.variants.get(name, ()):
        if full(variant.source):
            proof.variants += 1
        else:
            proof.trouble.append(f"variant {variant.name!r} does not get full marks")
    for wrong in exercise.wrong.get(name, ()):
        marks = mark_answer(source, task, (wrong.source,), sandbox, seed)
        said = [mark.hint for mark in (*marks.visible, *marks.hidden) if not mark.passed]
        if not said:
            proof.trouble.append(f"wrong answer {wrong.name!r} gets full marks")
        elif wrong.hint not in said[0]:
            proof.trouble.append(f"wrong answer {wrong.name!r} gets another hint: {said[0]}")
        else:
            proof.wrong += 1
    survivors: list[Mutant] = []
    for i, cell in enumerate(cells):
        for mutant in sample(cell, most, seed):
            proof.mutants += 1
            if full(*cells[:i], mutant.source, *cells[i + 1 :]):
                survivors.append(mutant)
            else:
                proof.killed += 1
    _explain(proof, survivors, {item.line: item.why for item in exercise.equivalent.get(name, ())})
    every = {mutant.line for cell in cells for mutant in mutants(cell)}
    for item in exercise.equivalent.get(name, ()):
        if item.line not in every:
            proof.trouble.append(f"EQUIVALENT explains what is no mutant: {item.line}")
        elif not most and item.line not in {mutant.line for mutant in survivors}:
            proof.trouble.append(f"EQUIVALENT explains what loses marks: {item.line}")
    return proof


def _explain(proof: Proof, survivors: Sequence[Mutant], reasons: Mapping[str, str]) -> None:
    for mutant in survivors:
        if mutant.line in reasons:
            proof.explained.append((mutant.name, reasons[mutant.line]))
        else:
            proof.trouble.append(f"survives without a reason: `{mutant.line}` ({mutant.name})")


def prove(
    root: Path, todo: Sequence[tuple[str, str]], *, most: int, seed: int, jobs: int, quiet: bool = False
) -> list[Proof]:
    """Try everything on the tasks (exercise, name), with so many sandboxes side by side.

    Raises:
        NoSandbox: there is no sandbox.
    """
    solutions, chosen = root / "solutions", tuple(sorted({slug for slug, _ in todo}))
    sources = {slug: load_source(solutions, slug) for slug in chosen}
    idle: queue.Queue[Sandbox] = queue.Queue()
    limits = Limits(seconds=10, wall=60)
    boxes = [Sandbox(solutions / "checks", chosen, limits, slot=free_slot(i)) for i in range(jobs)]
    for box in boxes:
        idle.put(box)

    def one(slug: str, task: str) -> Proof:
        box = idle.get()
        try:
            return prove_task(sources[slug], task, box, most=most, seed=seed)
        finally:
            idle.put(box)

    found: dict[tuple[str, str], Proof] = {}
    try:
        with ThreadPoolExecutor(jobs) as pool:
            running = {pool.submit(one, *item): item for item in todo}
            try:
                for future in tqdm(as_completed(running), total=len(todo), unit="task", disable=quiet):
                    found[running[future]] = future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        for box in boxes:
            box.close()
    return [found[item] for item in todo]


def updated(old: Mapping[str, Any], proofs: Sequence[Proof], order: Sequence[tuple[str, str]]) -> list[Any]:
    """The rows of `proof.json` for all tasks in `order`: those of `proofs`, and the old ones of the rest."""
    rows = {(row["slug"], row["task"]): row for row in old.get("tasks", ())}
    for proof in proofs:
        rows[proof.slug, proof.task] = {**asdict(proof), "explained": [list(e) for e in proof.explained]}
    return [rows[item] for item in order if item in rows]


def report(rows: Sequence[Mapping[str, Any]]) -> str:
    """The counts as a table in Markdown, then what is not as it should be, then the explanations."""
    total = {key: sum(row[key] for row in rows) for key in ("variants", "wrong", "mutants", "killed")}
    named = total["wrong"] + sum("wrong answer" in text for row in rows for text in row["trouble"])
    explained = sum(len(row["explained"]) for row in rows)
    lines = [
        "# What the graders are worth",
        "",
        "Written by `make proof`. Every answer went through the sandbox and both halves of the checks, as a",
        "student's does. The solution of each task and its variants got full marks, its stub none, and every",
        "named wrong answer lost a mark and was told its own hint first. A mutant is the solution with one",
        "change: a sign, a constant, a comparison, two arguments swapped, a term, a call or a function;",
        "every one that there is was tried. It should lose a mark, too, unless it computes the same or is as",
        "right by the words of the task.",
        "",
        f"- Tasks: {len(rows)}, with {total['variants']} variants.",
        f"- Wrong answers told their own hint: {total['wrong']} of {named}.",
        f"- Mutants that lost a mark: {total['killed']} of {total['mutants']} "
        f"({100 * total['killed'] / max(total['mutants'], 1):.1f} %). "
        f"Explained below: {explained}. Neither: {total['mutants'] - total['killed'] - explained}.",
        "",
        "| Exercise | Task | Variants | Wrong answers | Mutants | Killed | Explained |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row['slug']} | {row['task']} | {row['variants']} | {row['wrong']} | {row['mutants']} "
        f"| {row['killed']} | {len(row['explained'])} |"
        for row in rows
    ]
    trouble = [f"- {row['slug']}, {row['task']}: {text}" for row in rows for text in row["trouble"]]
    lines += ["", "## Not as it should be", "", *trouble] if trouble else []
    lines += ["", "## Why these mutants lose nothing"]
    for row in rows:
        lines += ["", f"{row['slug']}, {row['task']}:", ""] if row["explained"] else []
        lines += [f"- {_code(change)}: {why}" for change, why in row["explained"]]
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return f"`{text}`" if "`" not in text else f"`` {text} ``"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove the graders; 1 where a right answer fails, a wrong one passes, or a mutant without a reason."""
    parser = argparse.ArgumentParser(prog="python -m coursekit.grading.proof", description=__doc__)
    parser.add_argument("slugs", nargs="*", help="exercises (default: all)")
    parser.add_argument("--task", action="append", default=[], help="only this task (repeatable)")
    parser.add_argument("--most", type=int, default=0, help="mutants of one cell; 0, the default: all")
    parser.add_argument("--seed", type=int, default=1, help="of the draw, and of the inputs (default: 1)")
    parser.add_argument("--jobs", type=int, default=2, help="sandboxes side by side (default: 2)")
    parser.add_argument("--dry", action="store_true", help="print what is wrong, write nothing")
    parser.add_argument(
        "--root", type=Path, default=Path.cwd(), help="folder of the course (default: this one)"
    )
    options = parser.parse_args(arguments)
    solutions = options.root / "solutions"
    known = slugs(solutions)
    if unknown := sorted(set(options.slugs) - set(known)):
        parser.error(f"no solutions/{unknown[0]}.py; there are {', '.join(known) or 'none'}")
    order = [(slug, task) for slug in known for task in load_source(solutions, slug).exercise.tasks]
    todo = [
        (slug, task)
        for slug, task in order
        if (not options.slugs or slug in options.slugs) and (not options.task or task in options.task)
    ]
    if not todo:
        parser.error(f"no task is called {' or '.join(options.task)}")
    try:
        proofs = prove(options.root, todo, most=options.most, seed=options.seed, jobs=max(1, options.jobs))
    except NoSandbox as error:
        print(f"proof: {error}", file=sys.stderr)
        return 2
    data = options.root / DATA
    old = json.loads(data.read_text(encoding="utf-8")) if data.is_file() else {}
    rows = updated(old, proofs, order)
    if not options.dry:
        data.parent.mkdir(parents=True, exist_ok=True)
        data.write_text(json.dumps({"tasks": rows}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (options.root / REPORT).write_text(report(rows), encoding="utf-8")
    for proof in proofs:
        for text in proof.trouble:
            print(f"{proof.slug}, {proof.task}: {text}")
    tried, killed = sum(p.mutants for p in proofs), sum(p.killed for p in proofs)
    print(f"{len(proofs)} tasks, {sum(p.wrong for p in proofs)} wrong answers caught", end=", ")
    print(f"{killed} of {tried} mutants killed ({100 * killed / max(tried, 1):.1f} %)")
    return int(any(p.trouble for p in proofs) or killed < AT_LEAST * tried)


if __name__ == "__main__":
    sys.exit(main())
