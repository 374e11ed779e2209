"""Links of the sources lead somewhere; addresses outside are tried by a command, here on our own server."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from coursekit.authoring import links

ROOT = Path(__file__).resolve().parents[2]


def test_every_link_of_the_sources_leads_somewhere():
    assert links.problems(ROOT) == []
    assert len(links.links(ROOT)) > 100


@pytest.fixture
def course(tmp_path):
    """A function that writes a course in which the first chapter says the given text."""
    (tmp_path / "chapters").mkdir()
    (tmp_path / "README.md").write_text("# The course\n\n## How to *start*: now\n")
    second = "# %% [markdown]\n# # B\n#\n# ## 2 The bound\n#\n# $$ 1 $$ (b-one)\n#\n"
    second += "# :::{prf:theorem} Of b\n# :label: thm-b\n# It holds.\n# :::\n"
    tasks = "# %% [markdown]\n# # Exercises: b\n#\n# ## 1. Write\n#\n# ## 2. Mend (3 points)\n"
    (tmp_path / "exercises").mkdir()
    (tmp_path / "exercises" / "01_b.py").write_text(tasks)
    (tmp_path / "exercises" / "01_b.ipynb").write_text("{}")
    (tmp_path / "chapters" / "01_b.py").write_text(second)
    (tmp_path / "chapters" / "01_b.ipynb").write_text("{}")
    (tmp_path / "a (b).txt").write_text("x")

    def write(text):
        commented = "\n".join(f"# {line}" for line in text.split("\n"))
        (tmp_path / "chapters" / "00_a.py").write_text(f"# %% [markdown]\n# # A\n#\n{commented}\n")
        return tmp_path

    return write


@pytest.mark.parametrize(
    "text",
    [
        "See [b](01_b.ipynb).",
        "See [b](01_b.ipynb#2-the-bound).",
        "See [it](../README.md#how-to-start-now).",
        "See [this](#a).",
        "See [[1]](<../a (b).txt>).",
        "Not `[b](nowhere.md)`, not $[f](x)$.\n\n```\n[b](nowhere.md)\n```",
        "See [elsewhere](https://example.org/nowhere).",
        "$$ 1 $$ (a-one)\n\nBy {eq}`a-one`.",
        "See [a number](01_b.ipynb#b-one), by [a law](01_b.ipynb#thm-b).",
        "Mend [it](../exercises/01_b.ipynb#exercise-1-2).",
    ],
    ids=[
        "file",
        "heading",
        "other-file",
        "own-heading",
        "blank-in-name",
        "code",
        "outside",
        "equation",
        "labels",
        "exercise",
    ],
)
def test_good_links_pass(course, text):
    assert links.problems(course(text)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("See\n[b](02_c.ipynb).", "chapters/00_a.py:5: 02_c.ipynb: no such file"),
        ("See [b](01_b.ipynb#3-the-bound).", "no such heading"),
        ("See [it](01_b.ipynb#b-two).", "no such heading or label"),
        ("Mend [it](../exercises/01_b.ipynb#exercise-1-3).", "no such heading or label"),
        ("Mend [it](../exercises/01_b.ipynb#exercise-2-2).", "no such heading or label"),
        ("See [this](#b).", "no such heading"),
        ("See [this]().", "an empty link"),
        ("See ![a picture](a.png).", "a.png: no such file"),
        ("See [it](../../x).", "no such file"),
        ("By\n{eq}`b-one`.", "chapters/00_a.py:5: b-one is an equation of 01_b"),
    ],
    ids=[
        "file",
        "heading",
        "label",
        "task",
        "chapter",
        "own-heading",
        "empty",
        "picture",
        "outside",
        "equation-of-another-chapter",
    ],
)
def test_each_kind_of_broken_link_is_found(course, text, message):
    found = links.problems(course(text))
    assert len(found) == 1
    assert message in found[0]


def test_pages_of_the_book_may_link_as_they_will_lie(course):
    root = course("Nothing.")
    (root / "book" / "pages" / "more").mkdir(parents=True)
    index = "[b](chapters/01_b.ipynb) and [c](chapters/02_c.ipynb)"
    (root / "book" / "pages" / "index.md").write_text(index)
    (root / "book" / "pages" / "more" / "page.md").write_text("[b](../chapters/01_b.ipynb)")
    assert links.problems(root) == ["book/pages/index.md:1: chapters/02_c.ipynb: no such file"]


# A built site


def test_a_site_is_checked_link_by_link(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text(
        '<p id="here"><a href="#here">x</a><a href="sub/">x</a><a href="sub/index.html#deep">x</a>'
        '<a href="https://example.org">x</a><a href="mailto:a@b">x</a><img src="data:image/png;base64,AA">'
        '<link rel="canonical" href="https://example.org">'
    )
    (tmp_path / "sub" / "index.html").write_text('<h1 id="deep">x</h1><a href="../index.html">x</a>')
    assert links.site_problems(tmp_path) == []
    (tmp_path / "bad.html").write_text(
        '<a href="#gone">x</a>\n<a href="gone.html">x</a>\n<a href="sub/index.html#gone">x</a>\n'
        '<img src="gone.png">\n<script src="https://example.org/x.js"></script>\n'
        '<link href="//example.org/x.css">'
    )
    found = links.site_problems(tmp_path)
    assert [line.partition(":")[2].partition(":")[0] for line in found if "anchor" in line] == ["1", "3"]
    assert sum("no such file" in line for line in found) == 2
    assert sum("loaded from elsewhere" in line for line in found) == 2


# Addresses outside


class Server(BaseHTTPRequestHandler):
    """Answers as the path says: /200, /404; /moved leads to /200; /shy refuses HEAD; /403 everything."""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        name = self.path.strip("/")
        status = {"moved": 302, "shy": 405 if self.command == "HEAD" else 200}.get(name) or int(name)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/200")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def host() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_addresses_are_tried_and_reported(host, tmp_path, monkeypatch, capsys):
    names = ["200", "404", "403", "moved", "shy"]
    text = "\n".join(f"See <{host}/{name}>." for name in names) + f"\n\nAgain [it]({host}/404).\n"
    (tmp_path / "README.md").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert links.main(["--external", "build/links.txt"]) == 1
    assert "5 addresses, 1 dead" in capsys.readouterr().out
    report = (tmp_path / "build" / "links.txt").read_text()
    assert f"dead: 1\n404  {host}/404 (Not Found)\n      README.md:2\n      README.md:7" in report
    assert f"to be looked at: 1\n403  {host}/403" in report
    assert f"moved: 1\n200  {host}/moved -> {host}/200" in report
    assert f"fine: 2\n200  {host}/200\n      README.md:1\n200  {host}/shy" in report


def test_a_host_that_does_not_answer_is_dead(host):
    gone = "http://127.0.0.1:9/x"  # the port discard, where nothing listens
    status, reason = links.try_address(gone, seconds=2)
    assert status == 0
    assert reason
    assert f"dead: 1\nnone  {gone} (" in links.report({gone: ["README.md:1"]}, {gone: (status, reason)})


def test_the_addresses_of_one_host_are_tried_in_turn():
    running, most = [], []

    def ask(address):
        running.append(address)
        most.append(len(running))
        running.remove(address)
        return 200, address

    found = [f"https://example.org/{i}" for i in range(20)]
    assert links.try_all(found, ask) == {address: (200, address) for address in found}
    assert max(most) == 1


def test_every_entry_of_the_bibliography_has_its_address():
    found = links.addresses(ROOT)
    assert "https://doi.org/10.1214/aoms/1177729694" in found
    assert "https://arxiv.org/abs/1312.6114" in found
    assert all(" " not in address for address in found)
