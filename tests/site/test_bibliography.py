"""The bibliography: complete, sorted, of use; and how a citation reads."""

import json
from pathlib import Path

import citations
import pytest
from extensions.generated import BareAuthorYear, mend_lists

from coursekit.authoring import bibliography

ROOT = Path(__file__).resolve().parents[2]


def test_the_bibliography_is_complete():
    assert bibliography.problems(ROOT) == []
    assert len(bibliography.works(ROOT)) > 80


def test_every_entry_of_the_file_is_read():
    text = (ROOT / bibliography.SOURCE).read_text(encoding="utf-8")
    assert len(bibliography.works(ROOT)) == sum(line.startswith("@") for line in text.splitlines())


GOOD = {
    "author": "Kingma, Diederik P. and Welling, Max",
    "title": "Auto-Encoding Variational Bayes",
    "booktitle": "International Conference on Learning Representations",
    "year": "2014",
    "eprint": "1312.6114",
    "archiveprefix": "arXiv",
}


@pytest.fixture
def course(tmp_path):
    """A function that writes a bibliography of one entry, cited by a chapter."""

    def write(fields, key="kingma2014", text="By {cite}`kingma2014`.", source=""):
        for folder in ("chapters", "lib/dgm"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "lib" / "dgm" / "a.py").write_text(f'"""A module.\n\n{source}\n"""\n')
        (tmp_path / "chapters" / "00_a.py").write_text(f"# %% [markdown]\n# {text}\n")
        lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
        (tmp_path / bibliography.SOURCE).write_text("\n".join([f"@inproceedings{{{key},", *lines, "}", ""]))
        return tmp_path

    return write


def test_a_good_entry_passes(course):
    assert bibliography.problems(course(GOOD)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"author": ""}, "no author"),
        ({"year": ""}, "no year"),
        ({"booktitle": "", "eprint": "", "doi": "10.1000/x"}, "not said where it appeared"),
        ({"eprint": ""}, "no doi, eprint or url"),
        ({"eprint": "cs/13126114"}, "is no eprint"),
        ({"doi": "https://doi.org/10.1000/x"}, "is no doi"),
        ({"url": "example.org"}, "is no url"),
        ({"archiveprefix": ""}, "needs archiveprefix"),
        ({"year": "2013"}, "the key says 2014, the entry 2013"),
    ],
)
def test_each_fault_of_an_entry_is_found(course, change, message):
    found = bibliography.problems(course({**GOOD, **change}))
    assert any(message in line for line in found)


def test_an_entry_that_nothing_cites_is_found(course):
    assert bibliography.unused(course(GOOD, text="By nobody.")) == ["kingma2014"]
    assert bibliography.unused(course(GOOD, text="By nobody.", source="Source: Welling 2014.")) == [
        "kingma2014"
    ]
    assert bibliography.unused(course(GOOD, text="By nobody.", source="Source: Kingma & Welling 2014.")) == []


def test_a_work_that_a_chapter_links_is_of_use(course):
    link = "By [Kingma and Welling 2014](https://arxiv.org/abs/1312.6114)."
    assert bibliography.unused(course(GOOD, text=link)) == []
    assert bibliography.unused(course(GOOD, text=link.replace("6114", "6115"))) == ["kingma2014"]


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"eprint": "1312.6114", "doi": "10.1/2"}, "https://arxiv.org/abs/1312.6114"),
        ({"doi": "10.1/(2)", "url": "https://a.b"}, "https://doi.org/10.1/%282%29"),
        ({"url": "https://a.b"}, "https://a.b"),
    ],
    ids=["eprint", "doi", "url"],
)
def test_a_work_has_one_address(fields, address):
    assert bibliography.Work("a", "misc", fields).address == address


def test_no_two_works_have_the_same_address():
    assert len(citations.keys(ROOT)) == len(bibliography.works(ROOT))


# --- citations --------------------------------------------------------------------------------------------

LINK = "[Kingma and Welling\n2014](https://arxiv.org/abs/1312.6114)"


def notebook(text):
    cells = [{"cell_type": "markdown", "source": text}, {"cell_type": "code", "source": text}]
    return json.dumps({"cells": cells}).encode()


def test_a_link_to_a_work_becomes_a_citation_in_the_book():
    made = json.loads(citations.cited(notebook(f"By {LINK}, see [x](https://arxiv.org/abs/9)."), ROOT))
    assert made["cells"][0]["source"] == "By {cite}`kingma2014vae`, see [x](https://arxiv.org/abs/9)."
    assert LINK in made["cells"][1]["source"], "what is code stays"


def test_a_notebook_without_citations_stays_as_it_is():
    content = notebook("See [the next](03_gan.ipynb).")
    assert citations.cited(content, ROOT) is content


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("williams1992", "Williams 1992"),
        ("rezende2015", "Rezende and Mohamed 2015"),
        ("binkowski2018", "Bińkowski et al. 2018"),
        ("oord2016gated", "van den Oord et al. 2016"),
    ],
)
def test_what_a_citation_says(key, said):
    assert citations.texts(ROOT)[key] == said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LINK, ""),
        (LINK.replace("Welling", "Weling"), "'Kingma and Weling 2014' should be 'Kingma and Welling 2014'"),
        (LINK.replace("6114", "6115"), "has no work at https://arxiv.org/abs/1312.6115"),
        ("{cite}`kingma2014`", "{cite}`kingma2014` is no link to the work"),
        ("[a blog](https://example.org/a)", ""),
    ],
    ids=["right", "words", "unknown", "role", "other"],
)
def test_each_fault_of_a_citation_is_found(course, text, message):
    found = citations.problems(course(GOOD, text=text.replace("\n", "\n# ")))
    assert [message in line for line in found] == ([True] if message else [])


def test_the_chapters_cite_by_links_that_say_what_a_citation_says():
    assert citations.problems(ROOT) == []


def test_names_lose_their_accents():
    fields = {"author": r"Bi{\'n}kowski, Miko{\l}aj and Sutherland, Danica J."}
    assert bibliography.Work("b", "misc", fields).first_author == "Binkowski"


def test_a_citation_has_no_brackets_and_no_comma():
    """A chapter writes its own parentheses, and puts more into them: (Villani 2003, theorem 1.14)."""
    style = BareAuthorYear()
    assert style.bracket_parenthetical.left == style.bracket_parenthetical.right == ""
    assert str(style.author_year_sep) == " "


def test_the_entries_of_the_list_are_its_items():
    """Sphinx gives them a role that no list may hold, which a screen reader then drops."""
    context = {
        "body": '<div role="list" class="citation-list">\n<div class="citation" role="doc-biblioentry">'
    }
    mend_lists(None, "page", "page.html", context, None)
    assert (
        context["body"] == '<div role="list" class="citation-list">\n<div class="citation" role="listitem">'
    )
