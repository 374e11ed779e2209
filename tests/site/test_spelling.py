"""Spelling of all prose: chapters, solutions, README, docs, the book's pages, the words of figures."""

from pathlib import Path

import pytest

from coursekit.authoring import spelling

ROOT = Path(__file__).resolve().parents[2]


def test_no_word_is_misspelt():
    wrong = spelling.misspelt(ROOT)
    assert not wrong, f"mend them, or add them to {spelling.WORDS}:\n" + "\n".join(map(str, wrong))


def test_the_spelling_is_british():
    wrong = spelling.american(ROOT)
    assert not wrong, "\n".join(map(str, wrong))


def test_the_word_list_is_sorted_and_every_word_of_it_needed():
    listed = spelling.known(ROOT)
    assert listed == sorted(listed, key=str.lower)
    assert len({word.lower() for word in listed}) == len(listed)
    assert spelling.unused(ROOT) == []


def test_the_whole_course_is_read():
    paths = {path for path, _, _ in spelling.texts(ROOT)}
    assert {p.relative_to(ROOT).as_posix() for p in (ROOT / "chapters").glob("*.py")} <= paths
    assert {p.relative_to(ROOT).as_posix() for p in (ROOT / "solutions").glob("*.py")} <= paths
    assert {"README.md", "CONTRIBUTING.md", "docs/design.md", "book/glossary.toml"} <= paths
    assert sum(1 for _ in spelling.words(ROOT)) > 40_000


@pytest.mark.parametrize(
    "text",
    [
        "Here `wrongg` stands.",
        "```python\nwrongg = 1\n```",
        "$$ wrongg + 1 $$ (vae-wrongg)",
        "the value $wrongg$ of",
        "see {eq}`vae-wrongg` or {cite}`wrongg2014`",
        "see [the page](wrongg.ipynb)",
        "see [Wrongg et\nal. 2014](https://arxiv.org/abs/1)",
        "at https://example.org/wrongg now",
        ":::{wrongg} Answer\n:class: wrongg\n\n:::",
        "<span lang='wrongg'>a</span>",
    ],
    ids=["code", "fence", "display", "inline", "role", "link", "citation", "address", "directive", "tag"],
)
def test_what_is_not_prose_is_not_read(text):
    assert "wrongg" not in spelling.prose(text)


@pytest.fixture
def course(tmp_path):
    """A course whose only chapter says the given text."""
    for folder in ("chapters", "tests/site"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / spelling.WORDS).write_text("# the list\ndenoiser\n")

    def write(text, code="pass"):
        commented = "\n".join(f"# {line}" for line in text.split("\n"))
        (tmp_path / "chapters" / "00_a.py").write_text(f"# %% [markdown]\n{commented}\n\n# %%\n{code}\n")
        return tmp_path

    return write


def test_a_wrong_word_is_found_in_its_line(course):
    root = course("A denoiser is good.\nThe denoiser recieves noise.")
    assert [str(w) for w in spelling.misspelt(root)] == ["chapters/00_a.py:3: recieves"]


def test_a_wrong_word_of_a_figure_is_found(course):
    root = course("A denoiser.", 'figure(fig, alt=f"Tow {x} curvves.", name="curvve")')
    assert [w.text for w in spelling.misspelt(root)] == ["curvves"]


@pytest.mark.parametrize(
    "word", ["colours", "normalisation", "recognisable", "VAEs", "denoiser's", "GAN's", "it's"]
)
def test_good_words_pass(course, word):
    root = course(f"The denoiser and the {word}.")
    assert spelling.misspelt(root) == []
    assert spelling.american(root) == []


@pytest.mark.parametrize(
    "word",
    ["colors", "normalization", "Neighbors", "behavior", "dequantized", "gray", "modeling", "centered"],
)
def test_american_forms_are_found(course, word):
    assert [w.text for w in spelling.american(course(f"A denoiser and {word}."))] == [word]


def test_what_a_program_has_written_is_not_read(course):
    root = course("A denoiser.")
    (root / "docs").mkdir()
    (root / "docs" / "table.md").write_text("# A table\n\nWritten by `make table`. wrongg\n")
    assert spelling.misspelt(root) == []
    (root / "docs" / "text.md").write_text("# A text\n\nNot written by `make table`. wrongg\n")
    assert [str(w) for w in spelling.misspelt(root)] == ["docs/text.md:3: wrongg"]


def test_a_word_of_the_list_that_is_not_used_or_not_needed_is_found(course):
    root = course("Nothing here.")
    assert spelling.unused(root) == ["denoiser"]
    (root / spelling.WORDS).write_text("nothing\n")
    assert spelling.unused(root) == ["nothing"]
