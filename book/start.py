"""The parts of the start page that are made from `course.CHAPTERS`."""

import route
from course import CHAPTERS, Chapter, points_of, title_of

ROUTE, TABLE, EXERCISES = "<!-- route -->", "<!-- chapters -->", "<!-- exercises -->"


def row(chapter: Chapter) -> str:
    """A chapter in the table."""
    slug = chapter.slug
    needs = ", ".join(str(int(need[:2])) for need in chapter.needs) or "none"
    return (
        f"| {int(slug[:2])} | [{title_of(slug)}](chapters/{slug}.ipynb) | {chapter.question} | {needs} "
        f"| {chapter.minutes:.1f} | [{points_of(slug)}](exercises/{slug}.ipynb) |"
    )


def table() -> str:
    """The table of chapters as Markdown."""
    head = "| | chapter | the question | needs | minutes | points |"
    return "\n".join([head, "|--:|---|---|---|--:|--:|", *(row(c) for c in CHAPTERS)])


def exercises() -> str:
    """Entries of the sidebar: `2. Variational autoencoders`; "Exercises" stands above them."""
    lines = []
    for chapter in CHAPTERS:
        title = title_of(chapter.slug, "exercises").removeprefix("Exercises: ")
        name = title[0].upper() + title[1:]
        lines.append(f"{int(chapter.slug[:2])}. {name} <exercises/{chapter.slug}>")
    return "\n".join(lines)


def fill(page: str) -> str:
    """index.md with its marks replaced.

    Raises:
        ValueError: a mark is missing.
    """
    graph = "```{raw} html\n" + route.svg() + "\n```"
    for mark, text in ((ROUTE, graph), (TABLE, table()), (EXERCISES, exercises())):
        if mark not in page:
            raise ValueError(f"book/pages/index.md has no line {mark}")
        page = page.replace(mark, text)
    return page
