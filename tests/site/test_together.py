"""Formulas keep the marks that follow them, tasks their points, when the browser breaks a line."""

import pytest
from extensions.together import together

X = '<span class="math notranslate nohighlight">\\(x\\)</span>'
OPEN, CLOSE = '<span class="dgm-together">', "</span>"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"of {X}. Then", f"of {OPEN}{X}.{CLOSE} Then"),
        (f"of ({X}), so", f"of {OPEN}({X}),{CLOSE} so"),
        (f"({X} is", f"{OPEN}({X}{CLOSE} is"),
        (f"of {X} and", f"of {X} and"),
        (f"f({X} is", f"f({X} is"),
        ("Bugs (6 points)", "Bugs (6&nbsp;points)"),
    ],
)
def test_marks_stay_with_their_formula(text, found):
    assert together(text) == found


def test_display_formulas_are_left_alone():
    page = '<div class="math notranslate nohighlight">\\[x\\]</div>.'
    assert together(page) == page
