"""The parts of the start page that are made from `course.CHAPTERS`."""

from course import CHAPTERS, points_of, title_of


def table() -> str:
    """The table of chapters as Markdown."""
    rows = [
        f"| {int(c.slug[:2])} | [{title_of(c.slug)}](chapters/{c.slug}.ipynb) | {c.question} | "
        f"{c.minutes:g} | [{points_of(c.slug)}](exercises/{c.slug}.ipynb) |"
        for c in CHAPTERS
    ]
    return "\n".join(
        ["| | chapter | the question | minutes to run | points |", "|--:|---|---|--:|--:|", *rows]
    )


def fill(page: str) -> str:
    """index.md with its marks replaced."""
    return page.replace("<!-- chapters -->", table())
