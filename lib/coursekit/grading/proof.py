"""What the graders are worth: `python -m coursekit.grading.proof`.

For every task: the solution and its variants get full marks, the stub none, every named wrong answer less
than full; then random mutants of the solution, of which those that get full marks must be equivalent. All of
it goes through the sandbox and both halves of the checks, as students' answers do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from coursekit.authoring.generate import slugs, student_source
from coursekit.grading.batch import free_slot
from coursekit.grading.marking import Source, load_source, mark_answer
from coursekit.grading.mutants import sample
from coursekit.grading.sandbox import Limits, NoSandbox, Sandbox


@dataclass
class Proof:
    """Counts of one task, and what went wrong."""

    slug: str
    task: str
    variants: int = 0
    wrong: int = 0
    mutants: int = 0
    survivors: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)


def prove_task(source: Source, name: str, sandbox: Sandbox, *, most: int, seed: int) -> Proof:
    """Try everything on one task."""
    exercise = source.exercise
    task, proof = exercise.tasks[name], Proof(exercise.slug, name)
    cells = source.answers[name]

    def full(*answer: str) -> bool:
        marks = mark_answer(source, task, answer, sandbox, seed)
        return marks.got == marks.possible

    if not full(*cells):
        proof.trouble.append("the solution does not get full marks")
    if mark_answer(source, task, tuple(student_source(c) for c in cells), sandbox, seed).got:
        proof.trouble.append("the stub gets marks")
    for variant in exercise.variants.get(name, ()):
        proof.variants += 1
        if not full(variant.source):
            proof.trouble.append(f"variant {variant.name!r} does not get full marks")
    for wrong in exercise.wrong.get(name, ()):
        proof.wrong += 1
        if full(wrong.source):
            proof.trouble.append(f"wrong answer {wrong.name!r} gets full marks")
    for i, cell in enumerate(cells):
        for mutant in sample(cell, most, seed):
            proof.mutants += 1
            if full(*cells[:i], mutant.source, *cells[i + 1 :]):
                proof.survivors.append(f"line {mutant.line}, {mutant.operator}: {mutant.name}")
    return proof


def report(proofs: Sequence[Proof]) -> str:
    """The counts as a table in Markdown, then the survivors."""
    lines = ["| exercise | task | variants | wrong answers | mutants | killed |", "|---|---|---|---|---|---|"]
    for p in proofs:
        killed = p.mutants - len(p.survivors)
        share = f"{killed} ({100 * killed / p.mutants:.0f} %)" if p.mutants else "none made"
        lines.append(f"| {p.slug} | {p.task} | {p.variants} | {p.wrong} | {p.mutants} | {share} |")
    total = sum(p.mutants for p in proofs)
    killed = total - sum(len(p.survivors) for p in proofs)
    wrong, caught = sum(p.wrong for p in proofs), sum(p.wrong for p in proofs)
    caught -= sum("wrong answer" in t for p in proofs for t in p.trouble)
    lines += ["", f"Wrong answers caught: {caught} of {wrong}. "]
    lines[-1] += f"Mutants killed: {killed} of {total} ({100 * killed / max(total, 1):.1f} %)."
    for p in proofs:
        lines += [f"- **{p.slug}, {p.task}**: {text}" for text in p.trouble]
        lines += [f"- {p.slug}, {p.task}, survived: `{text}`" for text in p.survivors]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove the graders; 1 when a right answer fails, a wrong one passes, or too many mutants survive."""
    parser = argparse.ArgumentParser(prog="python -m coursekit.grading.proof", description=__doc__)
    parser.add_argument("slugs", nargs="*", help="exercises (default: all)")
    parser.add_argument("--task", action="append", default=[], help="only this task (repeatable)")
    parser.add_argument("--most", type=int, default=40, help="mutants of one cell (default: 40)")
    parser.add_argument("--seed", type=int, default=1, help="of the draw, and of the inputs (default: 1)")
    parser.add_argument("--out", type=Path, help="write the report there, beside printing it")
    parser.add_argument(
        "--root", type=Path, default=Path.cwd(), help="folder of the course (default: this one)"
    )
    options = parser.parse_args(arguments)
    solutions = options.root / "solutions"
    known = slugs(solutions)
    if unknown := sorted(set(options.slugs) - set(known)):
        parser.error(f"no solutions/{unknown[0]}.py; there are {', '.join(known) or 'none'}")
    chosen = options.slugs or known
    sources = {slug: load_source(solutions, slug) for slug in chosen}
    todo = [
        (s, task)
        for s in chosen
        for task in sources[s].exercise.tasks
        if not options.task or task in options.task
    ]
    limits = Limits(seconds=10, wall=60)
    try:
        with Sandbox(solutions / "checks", tuple(chosen), limits, slot=free_slot(0)) as sandbox:
            proofs = [
                prove_task(sources[slug], task, sandbox, most=options.most, seed=options.seed)
                for slug, task in tqdm(todo, unit="task")
            ]
    except NoSandbox as error:
        print(f"proof: {error}", file=sys.stderr)
        return 2
    text = report(proofs)
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    return int(any(p.trouble for p in proofs))


if __name__ == "__main__":
    sys.exit(main())
