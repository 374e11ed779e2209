"""The page of measurements: from sample data, from none, and from whatever is committed."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from generators import measurements as m

ROOT = Path(__file__).resolve().parents[2]

COSTS = {
    "commit": "abc123",
    "machine": {"cores": 2, "machine": "x86_64", "python": "3.11.7"},
    "versions": {"torch": "2.6"},
    "chapters": [
        {
            "chapter": "00_start",
            "seconds": 31.4,
            "cpu_seconds": 20.2,
            "peak_mb": 512,
            "steps": 2000,
            "parameters": 12,
        },
        {"chapter": "02_vae", "seconds": 60.25, "peak_mb": 800.5, "steps": 15000, "parameters": None},
    ],
}
BENCH = [
    {
        "bench": "flow_speed",
        "figures": {
            "d = 2, sample": {
                "values": [1.9, 2.0, 2.4],
                "unit": "times the better peer's speed",
                "at_least": 1.0,
            },
            "d = 64, <b>": {"values": [0.7, 0.8], "unit": "times the better peer's speed"},
        },
        "rows": [{"row": "d = 2, sample", "dgm_ms": 1.25, "zuko_ms": 2.5, "dgm_parameters": 7}],
        "versions": {"zuko": "1.2"},
    },
    {
        "bench": "vae_digits",
        "figures": {
            "test_nats": {"values": [100.0, 102.0], "unit": "nats", "at_most": 110},
            "apart": {"values": [1.2], "unit": "times a new image's distance"},
        },
    },
    {"bench": "grade", "skipped": True},
]
MUTANTS = [
    {"module": "dgm.vae.bounds", "mutants": 40, "killed": 36, "equivalent": 2, "survived": 2},
    {"module": "dgm.vae.models", "mutants": 10, "killed": 9, "equivalent": 1, "survived": 0},
    {"module": "dgm.tensor", "mutants": 60, "killed": 60, "equivalent": 0, "survived": 0},
]


def test_without_data_every_section_names_its_command():
    page = m.page(*[None] * 5)
    assert page.count("not been measured yet") == 5
    for command in m.COMMANDS.values():
        assert f"`{command}`" in page


@pytest.mark.parametrize("empty", [[], {}, {"commit": "abc"}], ids=["list", "mapping", "no-rows"])
def test_files_without_rows_are_as_good_as_none(empty):
    assert m.page(*[empty] * 5).count("not been measured yet") == 5


def test_costs_are_summed():
    text = m.costs_section(COSTS)
    assert "| {doc}`/chapters/00_start` | 31 | 20 | 512 | 2,000 | 12 |" in text
    assert "| {doc}`/chapters/02_vae` | 60 | – | 800 | 15,000 | – |" in text
    assert "| **Together** | **92** | **20** | **800** | **17,000** | **12** |" in text
    assert "Measured on commit `abc123`; torch 2.6; 2 cores, x86_64, Python 3.11.7." in text


def test_a_plain_list_of_costs_will_do():
    assert "| 31 | 20 | 512 |" in m.costs_section(COSTS["chapters"])


def test_ratios_stand_in_a_table_with_their_range():
    text = m.bench_section(BENCH)
    assert "| Work | dgm (ms) | zuko (ms) | Ratio | Least to most |" in text
    assert "| d = 2, sample | 1.25 | 2.50 | 2.00 | 1.90 to 2.40 |" in text
    assert "| d = 64, <b> | – | – | 0.750 | 0.700 to 0.800 |" in text
    assert "| Apart | 1.20 | times a new image's distance |" in text, "a multiple, but no speed"
    assert "**VAE digits**\n\n| Figure | Value | Unit | Held to |" in text
    assert "| Test nats | 101\u00a0±\u00a01.4 | nats | at most\u00a0110 |" in text
    assert "grade" not in text


def test_a_figure_of_which_only_the_mean_is_kept_is_shown():
    figures = {
        "seconds_a_submission": {"mean": 0.8612, "unit": "s", "at_most": 1.0},
        "times_as_fast": {"mean": 11.7, "unit": "times nbgrader's speed", "at_least": 10.0},
    }
    text = m.bench_section([{"bench": "grade", "figures": figures}])
    assert "| Seconds a submission | 0.861 | s | at most\u00a01.00 |" in text
    assert "| Times as fast | 11.7 | 11.7 to 11.7 |" in text
    assert ">Times as fast</text>" in text


def test_columns_are_in_the_unit_that_was_measured():
    figures = {"FD": {"values": [2.0], "unit": "times the fastest peer's speed"}}
    rows = [{"row": "FD", "dgm_s": 2.0, "clean-fid_s": 4.0, "values": {}}]
    text = m.bench_section([{"bench": "metrics_speed", "figures": figures, "rows": rows}])
    assert "| Work | dgm (s) | clean-fid (s) | Ratio | Least to most |" in text
    assert "| FD | 2.00 | 4.00 | 2.00 | 2.00 to 2.00 |" in text


def test_a_tiny_number_is_not_shown_as_zero():
    assert m.number(2.03e-8) == "2.0e-08"
    assert m.number(0.0) == "0.00"


def test_the_drawing_is_well_formed_and_says_what_it_shows():
    ratios = {name: f["values"] for name, f in BENCH[0]["figures"].items()}
    tree = ElementTree.fromstring(m.drawing("flow speed", ratios))
    svg = tree.find("svg")
    assert svg.get("role") == "img"
    assert "d = 2, sample: 2.00, from 1.90 to 2.40" in svg.get("aria-label")
    assert len(svg.findall("circle")) == 1, "at least as fast: a circle"
    assert len(svg.findall("rect")) == 1, "slower: a square"
    xs = {e.get("class"): float(e.get("x1")) for e in svg.findall("line") if e.get("class") == "draw"}
    dot = float(svg.find("circle").get("cx"))
    square = float(svg.find("rect").get("x"))
    assert square < xs["draw"] < dot
    for line in svg.findall("line"):
        assert 0 <= float(line.get("x1")) <= float(line.get("x2")) <= m.WIDTH


@pytest.mark.parametrize(("low", "high"), [(0.5, 2.0), (0.9, 1.1), (0.01, 900.0), (0.6, 12.0)])
def test_ticks_are_few_and_inside(low, high):
    found = m.ticks(low, high)
    assert 1 in found
    assert 1 <= len(found) <= 8
    assert all(low <= t <= high for t in found)


def test_mutants_are_counted_and_equivalent_ones_left_out_of_the_rate():
    text = m.mutants_section({"modules": MUTANTS, "commit": "abc"})
    assert "| `dgm.vae` | 2 | 50 | 45 | 3 | 2 | 95.7 % |" in text
    assert "| `dgm.tensor` | 1 | 60 | 60 | 0 | 0 | 100.0 % |" in text
    assert "| **All** | **3** | **110** | **105** | **3** | **2** | **98.1 %** |" in text


def test_a_commit_with_changes_upon_it_is_called_that():
    assert m.provenance({"commit": "abc+"}) == "Measured on the state after commit `abc`.\n"


PROOF = {
    "tasks": [
        {
            "slug": "00_start",
            "task": "a",
            "variants": 2,
            "wrong": 6,
            "mutants": 7,
            "killed": 6,
            "explained": [["x", "y"]],
        },
        {
            "slug": "00_start",
            "task": "b",
            "variants": 3,
            "wrong": 4,
            "mutants": 3,
            "killed": 3,
            "explained": [],
        },
        {
            "slug": "02_vae",
            "task": "c",
            "variants": 1,
            "wrong": 5,
            "mutants": 10,
            "killed": 10,
            "explained": [],
        },
    ]
}


def test_graders_are_summed_by_exercise():
    text = m.proof_section(PROOF)
    assert "| {doc}`/exercises/00_start` | 2 | 7 | 10 | 10 | 9 | 1 |" in text
    assert "| **All** | **3** | **9** | **15** | **20** | **19** | **1** |" in text


def test_versions_have_a_column_for_every_package_that_one_of_them_names():
    rows = [
        {"name": "lowest", "python": "3.11.7", "packages": {"torch": "2.6.0"}, "passed": 2083, "failed": 0},
        {"name": "newest", "python": "3.13.1", "packages": {"numpy": "2.4"}, "passed": 2083, "failed": 1},
    ]
    text = m.versions_section({"tests": ["tests/unit", "tests/equations"], "rows": rows})
    assert "The tests in `tests/unit` and `tests/equations`," in text
    assert "| Set | Python | torch | numpy | Passed | Failed | Skipped |" in text
    assert "| newest | 3.13.1 |  | 2.4 | 2,083 | 1 | – |" in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.0, "0.00"),
        (1234567, "1,234,567"),
        (0.00123, "0.00123"),
        (float("nan"), "–"),
        (12.0, "12.0"),
    ],
    ids=str,
)
def test_numbers(value, shown):
    assert m.number(value) == shown


def test_the_page_of_the_committed_data_can_be_made():
    page = m.pages(ROOT, "student")[m.PAGE]
    assert page.startswith("---\n")
    for name in m.COMMANDS:
        path = ROOT / m.DATA / f"{name}.json"
        if path.exists():
            json.loads(path.read_text(encoding="utf-8"))
    assert not re.search(r"\bnan\b|None", page)
