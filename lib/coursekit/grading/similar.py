"""Pairs of students whose answers are more alike than chance makes them."""

from __future__ import annotations

import io
import math
import tokenize
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from coursekit.grading.records import Record

SHORTEST = 25  # tokens: shorter answers are equal because there is one way to write them
LARGEST_GROUP = 12  # an answer that more students share is the common one, or everybody's
_BLANK = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING,
    tokenize.ENDMARKER,
}  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """Two students, the tasks that they answered with the same code, and how telling that is.

    Args:
        students: their names, as shown.
        slug: of the exercise.
        tasks: equal but for comments and blanks.
        score: tokens shared, each counted more the fewer students share the answer.
    """

    students: tuple[str, str]
    slug: str
    tasks: tuple[str, ...]
    score: float


def tokens(source: str) -> tuple[str, ...]:
    """The code of a source without comments, docstrings and blanks; its words where it is no Python."""
    try:
        found = [t for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type not in _BLANK]
    except (tokenize.TokenError, SyntaxError, ValueError):
        return tuple(source.split())
    return tuple(t.string for t in found if not t.string.lstrip("rRbBuUfF").startswith(('"""', "'''")))


def similar_pairs(
    records: Sequence[Record], given: Mapping[str, Mapping[str, Sequence[str]]], most: int = 50
) -> list[Pair]:
    """Pairs with equal answers, the most telling first.

    Args:
        records: of all exercises.
        given: slug -> task -> sources that anybody may have (the stub, the model answer): they tell nothing.
        most: at most so many pairs.
    """
    shared: dict[tuple[str, frozenset[str]], dict[str, float]] = defaultdict(dict)
    names: dict[str, str] = {}
    for slug in sorted({record.slug for record in records}):
        mine = [record for record in records if record.slug == slug]
        for task in sorted({task for record in mine for task in record.answers}):
            known = {tokens(source) for source in given.get(slug, {}).get(task, ())}
            groups: dict[tuple[str, ...], list[Record]] = defaultdict(list)
            for record in mine:
                groups[tokens("\n".join(record.answers.get(task, ())))].append(record)
            for answer, group in groups.items():
                if len(answer) < SHORTEST or answer in known or not 2 <= len(group) <= LARGEST_GROUP:
                    continue
                weight = len(answer) * math.log(max(len(mine), 2) / len(group) + 1)
                for a, b in combinations(group, 2):
                    shared[slug, frozenset((a.student, b.student))][task] = weight
                    names |= {a.student: a.name, b.student: b.name}
    pairs = []
    for (slug, students), tasks in shared.items():
        first, second = sorted(names[s] for s in students)
        pairs.append(Pair((first, second), slug, tuple(tasks), round(sum(tasks.values()), 1)))
    return sorted(pairs, key=lambda p: (-p.score, p.students))[:most]
