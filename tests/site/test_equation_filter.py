"""The field above the index of equations, in a browser, on a page of three cards."""

from typing import Any

import pytest

from browsing import ROOT, serving

pytestmark = pytest.mark.browser

PAGE = """<!doctype html><html lang="en"><title>x</title><script defer src="equations.js"></script>
<section><h1>Equations</h1><div class="equation-filter"><p>Search the page.</p></div>
<section id="a"><h2>A</h2><div class="equation-card" id="one">vae-elbo dgm.vae.elbo passed</div>
<div class="equation-card" id="two">vae-beta dgm.vae.elbo failed</div></section>
<section id="b"><h2>B</h2><div class="equation-card" id="three">gan-minimax dgm.gan passed</div></section>
</section>"""
SHOWN = """() => [...document.querySelectorAll('.equation-card, section section')]
    .filter(e => e.checkVisibility()).map(e => e.id)"""


@pytest.fixture
def page(browser: Any, tmp_path: Any) -> Any:
    script = ROOT / "book" / "static" / "equations.js"
    (tmp_path / "equations.js").write_text(script.read_text(encoding="utf-8"))
    (tmp_path / "index.html").write_text(PAGE)
    with serving(tmp_path) as address:
        page = browser.new_page()
        page.goto(f"{address}/index.html")
        yield page
        page.close()


@pytest.mark.parametrize(
    ("typed", "shown", "count"),
    [
        ("", ["a", "one", "two", "b", "three"], ""),
        ("ELBO", ["a", "one", "two"], "2 of 3"),
        ("elbo failed", ["a", "two"], "1 of 3"),
        ("gan-", ["b", "three"], "1 of 3"),
        ("nothing", [], "0 of 3"),
    ],
    ids=["empty", "any-case", "two-words", "other-section", "none"],
)
def test_cards_and_sections_that_do_not_match_are_hidden(
    page: Any, typed: str, shown: list[str], count: str
) -> None:
    field = page.get_by_label("Show the equations with")
    field.fill("something else")
    field.fill(typed)
    assert page.evaluate(SHOWN) == shown
    assert page.get_by_role("status").inner_text() == count


def test_the_field_takes_the_place_of_the_sentence(page: Any) -> None:
    assert page.get_by_text("Search the page.").count() == 0
    assert page.get_by_role("searchbox").count() == 1
