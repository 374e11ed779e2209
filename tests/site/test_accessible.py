"""What the site's pages get after Sphinx and its theme have made them."""

import pytest
from extensions import accessible


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("dgm.vae.kl_gaussian_standard", "dgm.<wbr>vae.<wbr>kl_<wbr>gaussian_<wbr>standard"),
        ("tests/unit/test_a.py::test_b", "tests/<wbr>unit/<wbr>test_<wbr>a.<wbr>py::<wbr>test_<wbr>b"),
        ("short_name", "short_name"),
        ("__post_init_of_all__", "__post_<wbr>init_<wbr>of_<wbr>all__"),
    ],
    ids=["name", "test", "short", "dunder"],
)
def test_long_names_break_after_their_signs(before, after):
    page = '<code><span class="pre">{}</span></code>'
    assert accessible.breakable(page.format(before)) == page.format(after)


def test_a_signature_breaks_after_its_parenthesis_and_prose_nowhere_new():
    page = '<span class="sig-paren">(</span><em>x</em> <p>a_long_name_that_is_no_code</p>'
    assert accessible.breakable(page) == page.replace("(</span>", "(</span><wbr>")


def test_the_themes_functions_are_changed_in_what_they_return():
    context = {
        "generate_toc_html": lambda kind="html": f'<span class="pre">a_name_of_{kind}_of_some_length</span>'
    }
    accessible.mend(None, "page", "page.html", context, None)
    assert "a_<wbr>name_<wbr>of_<wbr>raw" in context["generate_toc_html"]("raw")


def test_the_arrow_of_a_section_says_what_it_opens():
    sidebar = '<a href="x.html">The library</a><details><summary><span></span></summary></details>'
    assert 'summary aria-label="Pages of The library"' in accessible.named(sidebar)
