"""README.md and CONTRIBUTING.md are true: links resolve, commands exist, code runs, chapters are listed."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "CONTRIBUTING.md"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def code_blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(page), re.M | re.S)


@pytest.mark.parametrize("page", PAGES)
def test_links_resolve(page: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)) if "://" not in link]
    assert links
    missing = [link for link in links if not (ROOT / link.partition("#")[0]).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_make_targets(page: str) -> None:
    text = text_of(page)
    spans = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    commands = [*spans, *"\n".join(code_blocks(page, "sh")).splitlines()]
    found = re.findall(r"\bmake +([a-z][a-z-]*)", "\n".join(commands))
    assert len(found) > 3
    assert set(found) <= TARGETS


def test_every_target_says_what_it_does() -> None:
    explained = set(re.findall(r"^([a-z-]+):.* ## \S", MAKEFILE, re.M))
    (phony,) = re.findall(r"^\.PHONY: (.*)", MAKEFILE, re.M)
    assert explained == TARGETS - {"built"}
    assert set(phony.split()) == TARGETS


def test_the_table_lists_the_chapters() -> None:
    rows = re.findall(r"^\| \[[^\]]+\]\((chapters/[^)]+)\) \| .+ \| [\d.]+ \|$", text_of("README.md"), re.M)
    written = sorted(path.with_suffix(".ipynb") for path in (ROOT / "chapters").glob("[0-9]*.py"))
    assert rows == [str(path.relative_to(ROOT)) for path in written]


@pytest.mark.parametrize("number", range(len(code_blocks("README.md", "python"))))
def test_the_readmes_code_runs(number: int) -> None:
    exec(compile(code_blocks("README.md", "python")[number], "README.md", "exec"), {})


def test_the_readme_shows_code_and_a_figure_with_its_description() -> None:
    assert len(code_blocks("README.md", "python")) >= 1
    assert re.search(r"!\[[^\]]{40,}\]\(docs/figures/readme\.png\)", text_of("README.md"))


def test_the_whole_of_cc_by_is_there() -> None:
    text = text_of("LICENSE-TEXT")
    assert text.startswith("Attribution 4.0 International")
    assert "Section 8 -- Interpretation." in text
