"""bench/diffusion_digits.py: what it counts, and that it runs."""

import importlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        yield importlib.import_module("diffusion_digits")


def test_a_split_has_every_digit_once_with_its_label(bench):
    one = bench.Images.split(0)
    assert (len(one.x), len(one.y), len(one.held_out)) == (1197, 1197, 600)

    def in_order(*images):
        return sorted(map(tuple, torch.cat(images).flatten(1).tolist()))

    other = bench.Images.split(1)
    assert in_order(one.x, one.held_out) == in_order(other.x, other.held_out)
    assert not torch.equal(one.x, other.x)
    # Each digit's mean image looks like that digit to the classifier: the labels are those of the images.
    means = torch.stack([one.x[one.y == k].double().mean(0).round() for k in range(10)])
    seen = bench.digits_features().logits(bench.to_pm1(means, 17).float()).argmax(1)
    assert seen.tolist() == list(range(10))


@pytest.mark.parametrize("name", ["EDM, Heun 10", "DDPM, DDIM 20"])
def test_a_sample_costs_what_the_table_says(bench, name):
    recipe, labels = bench.RECIPES[name], []

    def silent(x, t, y):
        labels.append(y)
        return torch.zeros_like(x)

    y = torch.arange(4)
    assert bench.draw(recipe, silent, y).shape == (4, 1, 8, 8)
    assert len(labels) == recipe.evaluations <= bench.MOST_EVALUATIONS
    assert all(given is y for given in labels)


@pytest.mark.parametrize("name", ["EDM, Heun 10", "DDPM, DDIM 20"])
def test_a_run_depends_on_its_seed_alone(bench, name):
    recipe = replace(bench.RECIPES[name], steps=2, batch=4)
    x, y = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8)
    one, two, other = (bench.train(recipe, x, y, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.slow
def test_it_runs_from_end_to_end():
    run = subprocess.run(
        [sys.executable, BENCH / "diffusion_digits.py", "--quick"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    line = json.loads(run.stdout.splitlines()[-1])
    figures = line["figures"]
    assert figures["edm_frechet_distance"]["at_most"] == 16
    assert figures["edm_agreement"]["at_least"] == 0.95
    assert figures["edm_parameters"]["ok"]
    assert figures["edm_evaluations"]["ok"]
    assert {row["row"] for row in line["rows"]} == {"EDM, Heun 10", "DDPM, DDIM 20"}
