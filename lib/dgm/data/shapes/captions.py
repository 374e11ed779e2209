"""Factors to sentences to tokens, and back.

Three kinds of sentence:

    a small red circle at the top left by day
    a red circle left of a blue star by day
    a red circle moves left by day

Of the first kind, size, place and background may be left out: "a red circle" (factors UNSAID).
"""

import re
from collections.abc import Iterable

import torch
from torch import Tensor

from dgm.data.shapes.factors import (
    BACKGROUNDS,
    COLOURS,
    COLUMNS,
    MOTIONS,
    RELATIONS,
    ROWS,
    SHAPES,
    SIZES,
    UNSAID,
)

PAD = 0  # the token after a sentence's end; a row of nothing else is the empty caption that guidance needs
VOCABULARY: tuple[str, ...] = (
    "",
    *("a", "an"),
    *SIZES,
    *COLOURS,
    *SHAPES,
    *("at", "the"),
    *ROWS,
    *COLUMNS,
    "by",
    *BACKGROUNDS,
    *("of", "above", "below"),
    *("moves", "up", "down", "stays", "grows", "shrinks"),
)
MAX_TOKENS = 10  # the longest sentence: "a small red circle at the top left by day"

_INDEX = {word: number for number, word in enumerate(VOCABULARY)}


def describe(factors: Tensor) -> list[str]:
    """Return a caption for each row of one object's factors (N, 6); UNSAID factors are left out.

    Args:
        factors: int64 (N, 6), columns as in FIELDS; -1 (UNSAID) where the caption is to be silent.

    Returns:
        N sentences.
    """
    captions = []
    for shape, colour, size, row, column, background in factors.tolist():
        words = [_object(shape, colour, size)]
        if row != UNSAID:
            words += ["at the", ROWS[row], COLUMNS[column]]
        captions.append(_sentence(words, background))
    return captions


def describe_scenes(factors: Tensor) -> list[str]:
    """Return a caption for each row of two objects' factors (N, 6).

    Args:
        factors: int64 (N, 6), columns as in SCENE_FIELDS.

    Returns:
        N sentences.
    """
    return [
        _sentence([_object(shape, colour), RELATIONS[relation], _object(shape2, colour2)], background)
        for shape, colour, relation, shape2, colour2, background in factors.tolist()
    ]


def describe_clips(factors: Tensor) -> list[str]:
    """Return a caption for each row of a clip's factors (N, 4).

    Args:
        factors: int64 (N, 4), columns as in CLIP_FIELDS.

    Returns:
        N sentences.
    """
    return [
        _sentence([_object(shape, colour), MOTIONS[motion]], background)
        for shape, colour, motion, background in factors.tolist()
    ]


def parse(captions: Iterable[str]) -> Tensor:
    """Return the factors (N, 6) that captions of one object state, UNSAID where they are silent.

    Args:
        captions: N sentences as ``describe`` writes them.

    Returns:
        int64 (N, 6), columns as in FIELDS.

    Raises:
        ValueError: If a caption is not of this kind.
    """
    names = (SHAPES, COLOURS, SIZES, ROWS, COLUMNS, BACKGROUNDS)
    return _parse(captions, _ONE, names, "a small red circle at the top left by day")


def parse_scenes(captions: Iterable[str]) -> Tensor:
    """Return the factors (N, 6) that captions of two objects state; errors as in ``parse``.

    Args:
        captions: N sentences as ``describe_scenes`` writes them.

    Returns:
        int64 (N, 6), columns as in SCENE_FIELDS.
    """
    names = (SHAPES, COLOURS, RELATIONS, SHAPES, COLOURS, BACKGROUNDS)
    return _parse(captions, _TWO, names, "a red circle left of a blue star by day")


def parse_clips(captions: Iterable[str]) -> Tensor:
    """Return the factors (N, 4) that captions of clips state; errors as in ``parse``.

    Args:
        captions: N sentences as ``describe_clips`` writes them.

    Returns:
        int64 (N, 4), columns as in CLIP_FIELDS.
    """
    return _parse(captions, _CLIP, (SHAPES, COLOURS, MOTIONS, BACKGROUNDS), "a red circle moves left by day")


def tokenise(captions: Iterable[str]) -> Tensor:
    """Return the words of each caption as indices into VOCABULARY, filled up with PAD.

    Args:
        captions: N captions of known words; "" is the empty caption.

    Returns:
        int64 (N, MAX_TOKENS).

    Raises:
        ValueError: If a word is unknown or a caption has more than MAX_TOKENS words.
    """
    rows = []
    for caption in captions:
        words = caption.split()
        unknown = [word for word in words if word not in _INDEX]
        if unknown:
            raise ValueError(f"unknown word {unknown[0]!r} in {caption!r}; VOCABULARY lists the words")
        if len(words) > MAX_TOKENS:
            raise ValueError(f"a caption has at most {MAX_TOKENS} words, got {len(words)}: {caption!r}")
        rows.append([_INDEX[word] for word in words] + [PAD] * (MAX_TOKENS - len(words)))
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, MAX_TOKENS)


def detokenise(tokens: Tensor) -> list[str]:
    """Return the captions that the tokens (N, any length) spell; PAD is left out.

    Args:
        tokens: int64 (N, any length), indices into VOCABULARY.

    Returns:
        N captions.
    """
    return [" ".join(VOCABULARY[token] for token in row if token != PAD) for row in tokens.tolist()]


def _object(shape: int, colour: int, size: int = UNSAID) -> str:
    words = [COLOURS[colour], SHAPES[shape]]
    if size != UNSAID:
        words.insert(0, SIZES[size])
    article = "an" if words[0][0] in "aeiou" else "a"
    return " ".join([article, *words])


def _sentence(words: list[str], background: int) -> str:
    return " ".join(words if background == UNSAID else [*words, "by", BACKGROUNDS[background]])


def _pattern(sentence: str, **names: tuple[str, ...]) -> re.Pattern[str]:
    """Return the pattern of a sentence in which {f0}, {f1}, ... stand for one of the names of that column."""
    groups = {group: f"(?P<{group}>{'|'.join(values)})" for group, values in names.items()}
    return re.compile(sentence.format(**groups))


_ONE = _pattern(
    "an? (?:{f2} )?{f1} {f0}(?: at the {f3} {f4})?(?: by {f5})?",
    **dict(f0=SHAPES, f1=COLOURS, f2=SIZES, f3=ROWS, f4=COLUMNS, f5=BACKGROUNDS),
)
_TWO = _pattern(
    "an? {f1} {f0} {f2} an? {f4} {f3}(?: by {f5})?",
    **dict(f0=SHAPES, f1=COLOURS, f2=RELATIONS, f3=SHAPES, f4=COLOURS, f5=BACKGROUNDS),
)
_CLIP = _pattern("an? {f1} {f0} {f2}(?: by {f3})?", f0=SHAPES, f1=COLOURS, f2=MOTIONS, f3=BACKGROUNDS)


def _parse(
    captions: Iterable[str], pattern: re.Pattern[str], names: tuple[tuple[str, ...], ...], example: str
) -> Tensor:
    rows = []
    for caption in captions:
        match = pattern.fullmatch(caption)
        if match is None:
            raise ValueError(f"cannot read the caption {caption!r}; expected one like {example!r}")
        words = [match[f"f{column}"] for column in range(len(names))]
        rows.append(
            [UNSAID if w is None else values.index(w) for w, values in zip(words, names, strict=True)]
        )
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, len(names))
