"""Every labelled equation has a test, and every reference to an equation, a work or a test resolves."""

from pathlib import Path

from coursekit.authoring import equations

ROOT = Path(__file__).resolve().parents[2]


def test_equations_tests_and_references_fit_together():
    # That each kind of break is reported is shown on made-up repositories in tests/unit/test_authoring.py.
    found = equations.problems(ROOT)
    assert not found, f"{len(found)} problems\n" + "\n".join(found)


def test_the_scan_sees_the_equations_there_are():
    # A scan that finds nothing would pass everything: count the labels by the plainest means there is.
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "chapters").glob("*.py")]
    plain = sum("$$ (" in line for text in texts for line in text.splitlines())
    assert sum(e.same_line for e in equations.equations(ROOT)) == plain
