"""Under every chapter's title: download it; where the repository is known, open it elsewhere.

The files go to `notebooks/` in the site, as they are. Colab has no course installed, so it gets its own
copies, in `colab/`, whose first cell fetches the course and installs it; the notebooks that are run locally
have no such cell.
"""

import html
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ConfigError
from sphinx.transforms import SphinxTransform

BOOK = Path(__file__).resolve().parent.parent
ROOT = BOOK.parent
NOTEBOOK = re.compile(r"(chapters|exercises)/\w+")
GITHUB = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+?)(?:\.git)?/?")

INSTALL = """\
# Only on Google Colab: fetch the course and install its library, which takes about a minute.
!test -d /content/course || git clone --quiet --depth 1 --branch {branch} {url} /content/course
%pip install --quiet /content/course
%cd /content/course/{folder}"""


def file_of(docname: str, edition: str) -> Path:
    """The notebook in the repository that a page shows."""
    folder, name = docname.split("/")
    if folder == "exercises" and edition == "instructor":
        folder = "solutions"
    return ROOT / folder / f"{name}.ipynb"


def owner_and_name(url: str) -> tuple[str, str] | None:
    """Of a repository's address; None where there is none.

    Raises:
        ConfigError: an address that is not one of a GitHub repository.
    """
    if not url:
        return None
    found = GITHUB.fullmatch(url)
    if not found:
        raise ConfigError(
            f"url in book/repository.toml must be https://github.com/OWNER/NAME or empty, got {url!r}"
        )
    return found[1], found[2]


def links(docname: str, edition: str, repository: dict[str, str]) -> list[tuple[str, str, str]]:
    """(text, address, attributes) of the links of a page; addresses in the site are relative to its root."""
    path = file_of(docname, edition).relative_to(ROOT).as_posix()
    found = [
        ("Notebook", f"notebooks/{path}", " download"),
        ("Python file", f"notebooks/{Path(path).with_suffix('.py').as_posix()}", " download"),
    ]
    whose = owner_and_name(repository["url"])
    # Solutions are not published, so that there is nothing to open them from.
    if whose and edition == "student":
        at = "/".join(quote(part) for part in whose)
        site = quote(repository["site_branch"], safe="")
        branch = quote(repository["branch"], safe="")
        found += [
            ("Open in Colab", f"https://colab.research.google.com/github/{at}/blob/{site}/colab/{path}", ""),
            ("Open in Binder", f"https://mybinder.org/v2/gh/{at}/{branch}?urlpath=lab/tree/{path}", ""),
        ]
    return found


class Launch(SphinxTransform):
    """Put the line of links under the title."""

    default_priority = 710

    def apply(self, **kwargs: Any) -> None:
        docname = self.env.docname
        if not NOTEBOOK.fullmatch(docname):
            return
        up = "../" * docname.count("/")
        items = [
            f'<a href="{html.escape(a if a.startswith("https:") else up + a)}"{more}>{text}</a>'
            for text, a, more in links(docname, self.config.dgm_edition, self.config.dgm_repository)
        ]
        raw = nodes.raw("", f'<p class="dgm-launch">{" ".join(items)}</p>', format="html")
        title = next(iter(self.document.findall(nodes.title)))
        title.parent.insert(title.parent.index(title) + 1, raw)


def colab_notebook(path: Path, folder: str, repository: dict[str, str]) -> str:
    """A notebook's JSON with the installing cell before the first one of code."""
    notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    source = INSTALL.format(folder=folder, branch=repository["branch"], url=repository["url"])
    cell = nbformat.v4.new_code_cell(source)
    cell["id"] = "install"
    first = next((i for i, c in enumerate(notebook.cells) if c.cell_type == "code"), 0)
    notebook.cells.insert(first, cell)
    return nbformat.writes(notebook) + "\n"


def write_notebooks(app: Sphinx, exception: Exception | None) -> None:
    """Copy the notebooks into the site, for download, and those for Colab where it is linked."""
    if exception or app.builder.format != "html":
        return
    edition, repository = app.config.dgm_edition, app.config.dgm_repository
    out = Path(app.outdir)
    shutil.rmtree(out / "colab", ignore_errors=True)
    for docname in filter(NOTEBOOK.fullmatch, sorted(app.env.found_docs)):
        source = file_of(docname, edition)
        for path in (source, source.with_suffix(".py")):
            target = out / "notebooks" / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        if repository["url"] and edition == "student":
            target = out / "colab" / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(colab_notebook(source, source.parent.name, repository), encoding="utf-8")


def read_repository() -> dict[str, str]:
    """book/repository.toml."""
    return tomllib.loads((BOOK / "repository.toml").read_text(encoding="utf-8"))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("dgm_edition", "student", "env", types=frozenset({str}))
    app.add_config_value("dgm_repository", read_repository(), "env", types=frozenset({dict}))
    app.add_transform(Launch)
    app.connect("build-finished", write_notebooks)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
