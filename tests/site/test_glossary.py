"""The glossary: every entry complete, in order, and used where it says."""

from pathlib import Path

import pytest
from generators import glossary

from coursekit.authoring.equations import equations

ROOT = Path(__file__).resolve().parents[2]


def test_the_glossary_is_complete_sorted_and_every_place_exists():
    assert glossary.problems(ROOT) == []
    assert len(glossary.read(ROOT)) >= 100


def test_every_term_is_on_the_page_in_both_languages():
    page = glossary.pages(ROOT, "student")[glossary.PAGE]
    labels = {e.label for e in equations(ROOT)}
    for term in glossary.read(ROOT):
        assert f"\n{term.en}\n[{term.zh[0]}]{{.language-zh-Hans}} : {glossary.HEADING}\n" in page
        assert term.means in page
        place = f"{{eq}}`{term.see}`" if term.see in labels else f"{{doc}}`/chapters/{term.see}`"
        assert f"See {place}." in page


def test_other_chinese_names_are_marked_as_chinese_too():
    term = glossary.Term("flow", ("标准化流", "归一化流"), "Maps.", "flow-compose", "flow")
    assert "Also [归一化流]{.language-zh-Hans}." in glossary.entry(term, True)


GOOD = {"en": "gate", "zh": ["门控"], "means": "What lets a signal through or not.", "see": "a-one"}


@pytest.fixture
def course(tmp_path):
    """A function that writes a course of one chapter with the given entries."""
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "00_a.py").write_text(
        "# %% [markdown]\n# # A\n#\n# Its\n# gates open and the zoom helps.\n#\n# $$ 1 $$ (a-one)\n"
    )
    (tmp_path / "book").mkdir()

    def write(*entries):
        lines = []
        for e in entries:
            lines += ["[[term]]", *[f"{key} = {value!r}" for key, value in e.items()]]
        (tmp_path / "book" / "glossary.toml").write_text("\n".join(lines), encoding="utf-8")
        return tmp_path

    return write


def test_a_good_entry_has_no_problem(course):
    zoom = {**GOOD, "en": "zoom lens", "zh": ["变焦镜头"], "word": "zoom", "see": "00_a"}
    assert glossary.problems(course(GOOD, zoom)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"zh": ["gate"]}, "no Chinese name"),
        ({"means": "What lets a signal through"}, "not one sentence"),
        ({"means": "It lets a signal through. Or it does not."}, "not one sentence"),
        ({"see": "a-two"}, "neither an equation nor a chapter"),
        ({"word": "ate"}, "does not occur in 00_a"),
        ({"en": "barrier"}, "does not occur in 00_a"),
    ],
)
def test_each_fault_of_an_entry_is_found(course, change, message):
    assert any(message in found for found in glossary.problems(course({**GOOD, **change})))


def test_order_and_doubles_are_found(course):
    zoom = {**GOOD, "en": "zoom"}
    found = glossary.problems(course(zoom, GOOD))
    assert found == ["'gate' stands after 'zoom'", "Chinese name '门控' twice"]


def test_every_letter_is_led_to_from_the_top(course):
    zoom = {**GOOD, "en": "zoom", "zh": ["变焦"]}
    page = glossary.pages(course(GOOD, zoom), "student")[glossary.PAGE]
    assert "[G](#glossary-g) [Z](#glossary-z)\n" in page
    assert page.index("(glossary-g)=") < page.index("\ngate\n") < page.index("(glossary-z)=")
    assert page.index("(glossary-z)=") < page.index("\nzoom\n")
