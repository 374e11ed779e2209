"""The parts of the start page that are made from `course.CHAPTERS`."""

import json

import route
from course import CHAPTERS, ROOT, Chapter, minutes_of, points_of, title_of

ROUTE, TABLE, EXERCISES = "<!-- route -->", "<!-- chapters -->", "<!-- exercises -->"
SLIDER = "<!-- slider -->"
# The slider that the start page shows: its chapter, and what it is labelled with there.
SHOWN = ("07_diffusion", "step t, from noise to data")


def row(chapter: Chapter) -> str:
    """A chapter in the table."""
    slug = chapter.slug
    needs = ", ".join(str(int(need[:2])) for need in chapter.needs) or "none"
    return (
        f"| {int(slug[:2])} | [{title_of(slug)}](chapters/{slug}.ipynb) | {chapter.question} | {needs} "
        f"| {minutes_of(slug)} | [{points_of(slug)}](exercises/{slug}.ipynb) |"
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


def slider() -> str:
    """The HTML of a slider, as its chapter's last run left it.

    Raises:
        ValueError: the chapter has no such slider.
    """
    slug, label = SHOWN
    notebook = json.loads((ROOT / "chapters" / f"{slug}.ipynb").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            text = "".join(output.get("data", {}).get("text/html", ""))
            if '<div class="dgm-frames' in text and f"<span>{label}</span>" in text:
                return text
    raise ValueError(f"chapters/{slug}.ipynb has no slider labelled {label!r}: run it, or mend book/start.py")


def fill(page: str) -> str:
    """index.md with its marks replaced.

    Raises:
        ValueError: a mark is missing.
    """
    graph, moving = ("```{raw} html\n" + text + "\n```" for text in (route.svg(), slider()))
    for mark, text in ((ROUTE, graph), (TABLE, table()), (EXERCISES, exercises()), (SLIDER, moving)):
        if mark not in page:
            raise ValueError(f"book/pages/index.md has no line {mark}")
        page = page.replace(mark, text)
    return page
