"""The book in a real browser (`make test-site`): every page visited in light, in dark and on a telephone.

A built site is taken from $DGM_BOOK; without it the book is built, or brought up to date, as by `make book`.
"""

import os
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from browsing import ROOT, serious, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
PATIENCE = 120_000  # milliseconds: the longest chapter on a machine that does something else as well
# Chapters are long: each test that works a page by hand takes the shortest page that has what it needs.
CHAPTERS = sorted(path.stem for path in (ROOT / "chapters").glob("[0-9]*.py"))

TYPESET = """async () => { if (window.MathJax?.startup) await MathJax.startup.promise; }"""
MATH = """() => ({
    unset: [...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container'))
        .map(e => e.textContent.slice(0, 80)),
    wrong: [...document.querySelectorAll('mjx-merror')].map(e => e.textContent),
})"""
# What is read, without listings and without what MathJax keeps for screen readers.
TEXT = """() => { const main = document.querySelector('main, body').cloneNode(true);
    main.querySelectorAll('pre, code, script, mjx-container, style, .sig').forEach(e => e.remove());
    return main.textContent; }"""
RAW = re.compile(r"\$\$|\\[(\[]|\\begin|\\[a-z]+\{|\{(?:eq|cite|prf|ref|term|doc)[a-z:]*\}|:::|\]\(|\*\*|`")
SMALLER = """() => {
    // axe-core measures every span: of each kind of token in the listings a few tell its contrast
    const seen = {};
    for (const span of document.querySelectorAll('pre span[class]')) {
        seen[span.className] = (seen[span.className] ?? 0) + 1;
        if (seen[span.className] > 2 && !span.firstElementChild) span.replaceWith(span.textContent);
    }
    [...document.querySelectorAll('mjx-container')].slice(3).forEach(e => e.replaceWith('x'));
}"""
OVERFLOW = """() => ({
    width: document.scrollingElement.scrollWidth,
    by: [...document.querySelectorAll('body *')].filter(e => {
        if (e.getBoundingClientRect().right <= innerWidth + 1) return false;
        for (let up = e.parentElement; up; up = up.parentElement)
            if (getComputedStyle(up).overflowX !== 'visible') return false;
        return true; }).slice(0, 3).map(e => e.outerHTML.slice(0, 120)),
})"""
CLIPPED = """() => [...document.querySelectorAll('nav *, aside *, main a')].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width > 0 && box.left >= 0 && box.left < innerWidth && box.right > innerWidth + 1;
}).slice(0, 3).map(e => e.outerHTML.slice(0, 120))"""
IMAGES = """() => [...document.images].map(e => ({alt: e.getAttribute('alt'), src: e.src.slice(0, 80),
    loaded: e.complete && e.naturalWidth > 0}))"""


@dataclass
class Visit:
    """What was seen of one page."""

    hosts: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    math: dict[str, list[str]] = field(default_factory=dict)
    formulas: int = 0
    raw: list[str] = field(default_factory=list)
    lang: str = ""
    title: str = ""
    images: list[dict[str, Any]] = field(default_factory=list)
    light: list[str] = field(default_factory=list)
    dark: list[str] = field(default_factory=list)
    phone: dict[str, Any] = field(default_factory=dict)
    clipped: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built book."""
    if named := os.environ.get("DGM_BOOK"):
        return Path(named)
    subprocess.run([sys.executable, "book/build.py"], cwd=ROOT, check=True)
    return ROOT / "book" / "_build" / "student" / "html"


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    with serving(site) as address:
        yield address


def names(site: Path) -> list[str]:
    """Every page of the book, in a fixed order."""
    return [
        path.relative_to(site).as_posix()
        for path in sorted(site.rglob("*.html"))
        if "_static" not in path.relative_to(site).parts
    ]


@pytest.fixture(scope="session")
def visits(site: Path, address: str, browser: Any) -> dict[str, Visit]:
    """Every page visited once; the tests below judge what was seen."""
    seen = {}
    for name in names(site):
        context = browser.new_context(viewport=DESK, color_scheme="light")
        context.set_default_timeout(PATIENCE)
        try:
            seen[name] = visit(context, address, name)
        finally:
            context.close()
    return seen


def picture(page: Any, name: str) -> None:
    """Keep what the page looks like, where $DGM_SCREENSHOTS names a folder."""
    if folder := os.environ.get("DGM_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name.removesuffix('.html').replace('/', '-')}.png", full_page=True)


def visit(context: Any, address: str, name: str) -> Visit:
    page, seen = context.new_page(), Visit()

    def route(route: Any) -> None:
        host = urllib.parse.urlsplit(route.request.url).netloc
        if host == urllib.parse.urlsplit(address).netloc:
            route.continue_()
        else:
            seen.hosts.add(host)
            route.abort()

    page.route(lambda url: not url.startswith(("data:", "blob:")), route)
    page.on("console", lambda m: seen.errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("response", lambda r: seen.missing.append(r.url) if r.status >= 400 else None)
    page.goto(f"{address}/{name}")
    page.evaluate(TYPESET)
    seen.math = page.evaluate(MATH)
    seen.formulas = page.evaluate("() => document.querySelectorAll('mjx-container').length")
    text = page.evaluate(TEXT)
    seen.raw = [text[max(0, m.start() - 40) : m.end() + 40] for m in RAW.finditer(text)]
    seen.lang = page.evaluate("() => document.documentElement.lang")
    seen.title = page.title()
    seen.images = page.evaluate(IMAGES)
    seen.clipped = page.evaluate(CLIPPED)

    picture(page, name)
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(150)
    seen.phone = page.evaluate(OVERFLOW)
    picture(page, f"{name}-phone")
    page.set_viewport_size(DESK)

    page.add_style_tag(content="* { transition: none !important; }")  # no colour measured on its way
    page.evaluate(SMALLER)
    seen.light = serious(page)
    page.evaluate("() => { document.documentElement.dataset.theme = 'dark'; }")
    page.wait_for_timeout(150)
    seen.dark = serious(page, rules=["color-contrast", "link-in-text-block"])
    return seen


def by_page(visits: dict[str, Visit], what: str) -> str:
    """The findings of one kind, a line each with its page; empty: none."""
    return "\n".join(f"{name}: {finding}" for name, seen in visits.items() for finding in getattr(seen, what))


def test_every_chapter_and_exercise_is_visited(visits: dict[str, Visit]) -> None:
    for folder in ("chapters", "exercises"):
        assert {f"{folder}/{slug}.html" for slug in CHAPTERS} <= set(visits)
    assert {"index.html", "search.html", "genindex.html"} <= set(visits)


def test_no_page_asks_another_host(visits: dict[str, Visit]) -> None:
    found = by_page(visits, "hosts")
    assert not found, found


def test_no_script_fails_and_nothing_is_missing(visits: dict[str, Visit]) -> None:
    found = by_page(visits, "errors") + by_page(visits, "missing")
    assert not found, found


def test_every_formula_is_typeset(visits: dict[str, Visit]) -> None:
    assert not [f"{name}: {seen.math}" for name, seen in visits.items() if any(seen.math.values())]
    for slug in CHAPTERS:
        labels = re.findall(
            r"\$\$ \([a-z0-9-]+\)", (ROOT / "chapters" / f"{slug}.py").read_text(encoding="utf-8")
        )
        assert visits[f"chapters/{slug}.html"].formulas > len(labels) > 0


def test_no_markup_is_left_raw(visits: dict[str, Visit]) -> None:
    found = by_page(visits, "raw")
    assert not found, found


def test_every_page_names_its_language_and_itself(visits: dict[str, Visit]) -> None:
    assert {name: seen.lang for name, seen in visits.items() if seen.lang != "en"} == {}
    titles = [seen.title for seen in visits.values()]
    assert all(titles)
    assert len(set(titles)) == len(titles), [title for title in titles if titles.count(title) > 1]


def test_every_picture_shows_and_has_a_text(visits: dict[str, Visit]) -> None:
    found = [
        f"{name}: {image}"
        for name, seen in visits.items()
        for image in seen.images
        if image["alt"] is None or not image["loaded"]
    ]
    assert not found, "\n".join(found)


def test_no_page_is_wider_than_a_telephone(visits: dict[str, Visit]) -> None:
    found = {name: seen.phone for name, seen in visits.items() if seen.phone["width"] > PHONE["width"]}
    assert not found, "\n".join(f"{name}: {phone}" for name, phone in found.items())


def test_no_name_in_the_margins_is_cut_off(visits: dict[str, Visit]) -> None:
    found = by_page(visits, "clipped")
    assert not found, found


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(visits: dict[str, Visit], theme: str) -> None:
    found = by_page(visits, theme)
    assert not found, found


class Addresses(HTMLParser):
    """The links of a page and the places that one can link to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key in ("id", "name") and value:
                self.places.add(value)
            if key in ("href", "src", "xlink:href") and value:
                self.links.append(value)


def test_every_link_within_the_book_leads_to_its_place(site: Path) -> None:
    pages = {name: Addresses((site / name).read_text(encoding="utf-8")) for name in names(site)}
    dead = set()
    for name, page in pages.items():
        for link in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            path = urllib.parse.unquote(parts.path)
            target = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
            target = "index.html" if target == "." else target
            if not (site / target).is_file():
                dead.add(f"{name}: {link}")
                continue
            place = urllib.parse.unquote(parts.fragment)
            if place and target in pages and place not in pages[target].places:
                dead.add(f"{name}: {link} (no such place)")
    assert not dead, "\n".join(sorted(dead))


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """An empty tab at the book's address, which may read the clipboard."""
    context = browser.new_context(
        viewport=DESK, permissions=["clipboard-read", "clipboard-write"], base_url=address
    )
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(("word", "chapter"), [("ELBO", "02_vae"), ("gradient penalty", "04_wgan")])
def test_the_search_leads_to_the_chapter(page: Any, word: str, chapter: str) -> None:
    page.goto("/index.html")
    page.keyboard.press("Control+k")
    field = page.locator("dialog input[type=search]")
    field.wait_for(state="visible")
    field.fill(word)
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=**")
    link = page.locator(f"#search-results a[href*='chapters/{chapter}.html']").first
    link.wait_for()
    link.click()
    page.wait_for_url(f"**/chapters/{chapter}.html**")
    assert word.casefold() in page.locator("main").inner_text().casefold()


@pytest.mark.parametrize("slug", CHAPTERS)
def test_every_slider_is_moved_by_the_keyboard(page: Any, slug: str) -> None:
    page.goto(f"/chapters/{slug}.html")
    boxes = page.locator(".dgm-frames")
    assert boxes.count() >= 1
    for index in range(boxes.count()):
        box = boxes.nth(index)
        slider, image, output = box.locator("input"), box.locator("img").first, box.locator("output")
        slider.focus()
        assert slider.is_visible()
        page.keyboard.press("Home")
        seen = []
        for _ in range(int(slider.get_attribute("max") or 0) + 1):
            said = slider.get_attribute("aria-valuetext")
            assert said == output.inner_text()
            seen.append((said, image.get_attribute("src"), image.get_attribute("alt")))
            page.keyboard.press("ArrowRight")
        values, pictures, texts = (set(part) for part in zip(*seen, strict=True))
        assert len(values) == len(texts) == len(seen)
        # Two values may look alike: a receptive field that has reached the border.
        assert len(pictures) >= len(seen) - 1, f"slider {index} of {slug}: {len(pictures)} pictures"


def test_a_listing_is_copied(page: Any) -> None:
    page.goto("/chapters/00_start.html")
    listing = page.locator("div.highlight").first
    listing.hover()
    button = listing.locator("button.copybtn")
    button.click()
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert copied.strip() == listing.locator("pre").inner_text().strip()
    assert len(copied) > 20


def test_an_answer_is_folded_and_opens_by_the_keyboard(page: Any) -> None:
    page.goto("/chapters/00_start.html")
    answer = page.locator("details.admonition, .admonition.dropdown").last
    body = answer.locator("p").last
    assert not body.is_visible()
    button = answer.locator("summary, button").first
    button.focus()
    page.keyboard.press("Enter")
    body.wait_for(state="visible")


def test_the_theme_is_switched_and_stays(page: Any) -> None:
    page.emulate_media(color_scheme="light")
    page.goto("/index.html")
    background = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.locator("button.theme-switch-button:visible").first.click()
    page.locator("button.theme-change-button[data-mode=dark]:visible").click()
    assert page.evaluate(background) != light
    page.goto("/chapters/00_start.html")
    assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"


FOCUSED = """() => { const e = document.activeElement;
    const shown = [e, e.firstElementChild].filter(part => part).filter(part => {
        const box = part.getBoundingClientRect(); return box.width > 0 && box.height > 0; });
    const outlined = shown.some(part => { const style = getComputedStyle(part);
        return style.outlineStyle !== 'none' || style.boxShadow !== 'none'; });
    return {tag: e.tagName, text: (e.innerText || e.getAttribute('aria-label') || e.name || '').trim(),
        href: e.getAttribute('href') || e.getAttribute('xlink:href'), shown: shown.length > 0, outlined,
        main: !!e.closest('main'), body: e === document.body}; }"""


def test_the_keyboard_reaches_everything_in_a_sensible_order(page: Any) -> None:
    """From the top by Tab alone: the way past the navigation, search, chapters, text, to the end: no trap."""
    page.goto("/index.html")
    reached = []
    for _ in range(400):
        page.keyboard.press("Tab")
        now = page.evaluate(FOCUSED)
        if now["body"] and reached:
            break
        reached.append(now)
    else:
        pytest.fail(f"400 times Tab, and still at {reached[-1]}")
    assert "skip" in reached[0]["text"].casefold()
    assert all(stop["shown"] for stop in reached), [stop for stop in reached if not stop["shown"]]
    blind = [stop for stop in reached if not stop["outlined"]]
    assert not blind, f"no outline shows the focus: {blind}"
    search = next(
        i for i, stop in enumerate(reached) if stop["tag"] == "INPUT" or "search" in stop["text"].casefold()
    )
    first = next(
        i for i, stop in enumerate(reached) if (stop["href"] or "").endswith("chapters/00_start.html")
    )
    assert search < first
    content = [stop for stop in reached if stop["main"]]
    assert any("07_diffusion" in (stop["href"] or "") for stop in content)


def test_the_way_past_the_navigation_leads_to_the_text(page: Any) -> None:
    page.goto("/chapters/00_start.html")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED)["main"]


def test_on_a_telephone_the_menu_opens(page: Any) -> None:
    page.set_viewport_size(PHONE)
    page.goto("/chapters/00_start.html")
    menu = page.locator(".bd-sidebar-primary nav a[href$='10_evaluation.html']:visible, dialog nav a:visible")
    assert menu.count() == 0
    page.locator("button.primary-toggle:visible").first.click()
    link = page.locator("dialog a[href$='10_evaluation.html']:visible, .bd-sidebar-primary a:visible").first
    link.wait_for()
    page.locator("nav a[href$='10_evaluation.html']:visible").first.click()
    page.wait_for_url("**/chapters/10_evaluation.html")
