"""The learning route as an SVG: a box for each chapter, an arrow from what it needs; the boxes are links.

Text stays text and colours come from the page's stylesheet (book/static/book.css), so that it can be read in
light and in dark, searched, and walked through with the Tab key.
"""

from html import escape

from course import CHAPTERS, Chapter

WIDTH, HEIGHT = 122, 50  # of a box
ACROSS, DOWN = 148, 74  # from box to box
MARGIN = 6


def column(slug: str) -> int:
    """How many chapters come before: the longest way from the start."""
    by_slug = {c.slug: c for c in CHAPTERS}
    return max((column(need) + 1 for need in by_slug[slug].needs), default=0)


def corner(chapter: Chapter) -> tuple[float, float]:
    """Left and top of a chapter's box."""
    return MARGIN + column(chapter.slug) * ACROSS, MARGIN + chapter.row * DOWN


def in_words() -> str:
    """The graph as a sentence, for those who cannot see it."""
    number = {c.slug: int(c.slug[:2]) for c in CHAPTERS}
    parts = [
        f"chapter {number[c.slug]} on {' and '.join(str(number[need]) for need in c.needs)}"
        for c in CHAPTERS
        if c.needs
    ]
    return f"The learning route. Chapter 0 needs no other; {', '.join(parts)}."


def box(chapter: Chapter) -> str:
    """A chapter's link: its number and name in a box."""
    x, y = corner(chapter)
    lines = chapter.name.split("\n")
    middle = y + HEIGHT / 2 + 4.5 - 8 * (len(lines) - 1)
    number = int(chapter.slug[:2])
    lines[0] = f"{number} {lines[0]}"
    texts = [
        f'<text x="{x + WIDTH / 2:g}" y="{middle + 16 * i:g}">{escape(line)}</text>'
        for i, line in enumerate(lines)
    ]
    rect = f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="7"/>'
    return f'<a href="chapters/{chapter.slug}.html">{rect}{"".join(texts)}</a>'


def arrow(start: Chapter, end: Chapter) -> str:
    """A curve from a box's right side to another one's left."""
    x1, y1 = corner(start)
    x2, y2 = corner(end)
    x1, y1, y2 = x1 + WIDTH, y1 + HEIGHT / 2, y2 + HEIGHT / 2
    # It turns in the first gap, then runs level into the box, long enough for its head to point there.
    level = x1 + (ACROSS - WIDTH) - 9
    bend = (x1 + level) / 2
    way = f"M{x1:g} {y1:g}C{bend:g} {y1:g} {bend:g} {y2:g} {level:g} {y2:g}H{x2 - 1:g}"
    # In a stylesheet the address of the arrow's head would be that file's.
    return f'<path d="{way}" marker-end="url(#route-head)"/>'


def svg() -> str:
    """The whole graph."""
    by_slug = {c.slug: c for c in CHAPTERS}
    arrows = [arrow(by_slug[need], c) for c in CHAPTERS for need in c.needs]
    width = max(corner(c)[0] for c in CHAPTERS) + WIDTH + MARGIN
    height = max(corner(c)[1] for c in CHAPTERS) + HEIGHT + MARGIN
    head = (
        '<marker id="route-head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="6" markerHeight="6" '
        'orient="auto"><path d="M0 0L8 4L0 8z"/></marker>'
    )
    return "\n".join(
        [
            '<div class="dgm-route">',
            f'<svg viewBox="0 0 {width:g} {height:g}" role="group" aria-label="{escape(in_words())}">',
            f"<defs>{head}</defs>",
            f'<g class="arrows">{"".join(arrows)}</g>',
            *(box(c) for c in CHAPTERS),
            "</svg>",
            "</div>",
        ]
    )
