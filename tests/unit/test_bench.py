"""What the scripts in bench/ share: a missed limit fails, seconds only warn, the JSON line comes last.

And of the scripts themselves what takes no training: how a flow is rated, how calls are timed.
"""

import argparse
import importlib.util
import json
import math
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from dgm.data import load_digits
from dgm.flows import Flatten, FlowModel, Line, StandardNormal, UnitCube
from dgm.gan import gan_step, wgan_step
from dgm.recipes.gan import fall

BENCH = Path(__file__).parents[2] / "bench"
spec = importlib.util.spec_from_file_location("bench_common", BENCH / "common.py")
common = importlib.util.module_from_spec(spec)
sys.modules["bench_common"] = common  # dataclasses look their module up
spec.loader.exec_module(common)
Figure = common.Figure


def script(name):
    """A script of bench/ as a module; it finds its `common` there too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        return importlib.import_module(name)


def options(quick=False, seeds=2):
    return argparse.Namespace(quick=quick, seeds=seeds)


def finish(capsys, figures, **kwargs):
    with pytest.raises(SystemExit) as exit_:
        common.finish("example", figures, options=options(**kwargs), rows=[{"row": "a", "value": 1.5}])
    out = capsys.readouterr().out.splitlines()
    return exit_.value.code, json.loads(out[-1]), "\n".join(out)


@pytest.mark.parametrize(
    ("figure", "ok"),
    [
        (Figure([1.0, 3.0], "nats", at_most=2.0), True),
        (Figure([1.0, 3.1], "nats", at_most=2.0), False),
        (Figure([1.0, 3.0], "nats", at_least=2.0), True),
        (Figure([1.0, 2.9], "nats", at_least=2.0), False),
        (Figure([2.0], "nats", at_least=1.0, at_most=1.5), False),
        (Figure([99.0], "CPU-s", expected_s=30.0), True),
        (Figure([math.nan], "nats", at_most=2.0), False),
        (Figure([1.0, math.inf], "nats"), False),
        (Figure([1.0, 2.0, 9.0], "FD", at_most=2.0, by_median=True), True),
        (Figure([0.0, 2.1, 2.2], "FD", at_most=2.0, by_median=True), False),
        (Figure([1.0, 2.0, math.nan], "FD", at_most=2.0, by_median=True), False),
    ],
)
def test_limits_judge_the_mean_and_never_seconds(capsys, figure, ok):
    code, line, text = finish(capsys, {"x": figure})
    assert figure.ok is ok
    assert code == (0 if ok else 1)
    if figure.at_most or figure.at_least:
        assert line["figures"]["x"]["ok"] is ok
        assert ("MISSED" in text) is not ok
    assert ("warning: more than the 30 s" in text) == (figure.unit == "CPU-s")


def test_json_line_has_figures_units_versions_and_calibration(capsys):
    code, line, _ = finish(capsys, {"x": Figure([1.0, 2.0], "nats", at_most=2.0)})
    assert code == 0
    assert line["bench"] == "example"
    assert line["seeds"] == [0, 1]
    assert line["figures"]["x"] == {
        "mean": 1.5, "values": [1.0, 2.0], "unit": "nats", "at_most": 2.0, "ok": True
    }  # fmt: skip
    assert line["rows"] == [{"row": "a", "value": 1.5}]
    assert line["calibration"]["value"] > 0.1
    assert line["calibration"]["unit"] == "GFLOP/s"
    assert line["versions"]["torch"] == torch.__version__.split("+")[0]


def test_a_quick_run_judges_nothing(capsys):
    code, line, _ = finish(capsys, {"x": Figure([9.0], "nats", at_most=2.0)}, quick=True, seeds=1)
    assert code == 0
    assert line["quick"] is True
    assert line["figures"]["x"]["ok"] is False


def test_spread_is_the_standard_deviation_over_the_seeds():
    assert Figure([1.0, 2.0, 3.0], "nats").spread == pytest.approx(1.0)
    assert str(Figure([1.0, 2.0, 3.0], "nats")) == "2.00 ± 1.00 nats"
    assert str(Figure([1.0], "nats")) == "1.00 nats"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.0057], "0.00570"),
        ([0.0055, 0.0059], "0.00570 ± 0.00028"),
        ([84.1, 84.5], "84.30 ± 0.28"),
        ([1.8912, 1.8921], "1.89165 ± 0.00064"),  # the spread shows, not 0.00
        ([2.0, 2.0], "2.00 ± 0.00"),
        ([0.0], "0.00"),
        ([3.2e-13], "3.20e-13"),
        ([math.nan, 1.0], "nan ± nan"),
    ],
)
def test_a_figure_shows_significant_digits(values, text):
    assert str(Figure(values, "nats")) == f"{text} nats"


def test_the_median_is_printed_beside_the_mean():
    figure = Figure([1.0, 2.0, 9.0], "FD", by_median=True)
    assert str(figure) == "4.00 ± 4.36 FD, median 2.00"
    assert figure.as_json()["median"] == 2.0


def test_small_figures_survive_in_the_json_line():
    assert Figure([0.000012345678], "nats").as_json()["values"] == [0.0000123457]
    assert Figure([math.inf], "nats").as_json()["mean"] is None


def test_table_aligns_its_columns():
    text = common.table(("", "nats"), [("plain", 100.0), ("better one", 84.126), ("exact", 0.00571)])
    assert text.splitlines() == [
        "               nats",
        "-------------------",
        "plain        100.00",
        "better one    84.13",
        "exact       0.00571",
    ]


def test_clock_counts_cpu_seconds():
    with common.CpuClock() as clock:
        torch.rand(300, 300) @ torch.rand(300, 300)
    first = clock.seconds
    assert 0 < first < 5
    with clock:
        sum(range(100_000))
    assert clock.seconds > first  # it goes on where it stopped


def test_a_script_without_its_peers_says_what_to_install_and_is_skipped(capsys):
    common.need("example", ("json", "math"), "nothing")
    assert capsys.readouterr().out == ""
    with pytest.raises(SystemExit) as exit_:
        common.need("example", ("json", "no_such_peer"), "pip install no_such_peer")
    assert exit_.value.code == common.SKIPPED
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "example compares with json and no_such_peer; not installed: no_such_peer"
    assert out[1] == "install: pip install no_such_peer"
    assert json.loads(out[-1])["missing"] == ["no_such_peer"]


SPEED = {"mean": 1.5, "values": [1.0, 2.0], "unit": "times", "at_least": 1.2, "ok": True}
LINE = {"figures": {"speed": SPEED}}


@pytest.mark.parametrize("last", [0, 1])
def test_make_bench_tells_skipped_from_failed(tmp_path, last):
    shutil.copy(BENCH.parent / "Makefile", tmp_path)
    line = json.dumps({"bench": "c", **LINE})
    for path, source in {
        "scripts/environment.py": "",
        "scripts/bench.py": (BENCH.parent / "scripts" / "bench.py").read_text(),
        "bench/common.py": "raise SystemExit(1)",  # shared by the others, not run
        "bench/a.py": "print('hello')",
        "bench/b.py": f"raise SystemExit({common.SKIPPED})",
        "bench/c.py": f"print({line!r}); raise SystemExit({last})",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(source)
    command = ["make", "bench", f"PYTHON={sys.executable}", f"VENV_PYTHON={sys.executable}"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode == 0) == (last == 0), run.stderr
    assert "skipped, see above what to install: b\n" in run.stdout
    assert ("failed: c\n" in run.stderr) == (last == 1)
    assert run.stdout.count(" bench/") == 3
    assert "hello\n" in run.stdout
    assert '{"bench"' not in run.stdout
    assert re.search(r"^c +speed +1.5 times \(1 to 2\) +at least 1.2 +ok$", run.stdout, re.M)
    (stored,) = json.loads((tmp_path / "docs" / "data" / "bench.json").read_text())["benches"]
    assert stored["figures"] == LINE["figures"]
    # Another script's figures stay; a quick run stores nothing.
    (tmp_path / "bench" / "d.py").write_text('print(\'{"bench": "d", "figures": {}}\')')
    for arguments, names in (("d --quick", ["c"]), ("d", ["c", "d"])):
        subprocess.run([*command, f"ARGS={arguments}"], cwd=tmp_path, capture_output=True, check=True)
        stored = json.loads((tmp_path / "docs" / "data" / "bench.json").read_text())["benches"]
        assert [bench["bench"] for bench in stored] == names


def test_flow_toy_measures_the_divergence_from_a_known_density():
    flow_toy = script("flow_toy")
    normal = torch.distributions.Normal(torch.tensor([0.5, -0.2]), 1.0)

    class Shifted:
        def sample(self, n, generator):
            return normal.mean + torch.randn(n, 2, generator=generator)

        def log_prob(self, x):
            return normal.log_prob(x).sum(1)

    model = FlowModel(StandardNormal(2), Line())
    kl, error = flow_toy.divergence(model, Shifted())
    exact = (0.5**2 + 0.2**2) / 2
    # log p - log q = mu x - |mu|^2 / 2 has the standard deviation |mu|
    assert error == pytest.approx(0.29**0.5 / flow_toy.POINTS**0.5, rel=0.02)
    assert abs(kl - exact) < 4 * error


def test_flow_digits_rates_in_bits_per_dimension():
    flow_digits = script("flow_digits")
    x = load_digits("valid").x[:20]
    plain, tight = flow_digits.rate(FlowModel(UnitCube(64), Flatten((1, 8, 8))), x, draws=3)
    assert (plain, tight) == pytest.approx((math.log2(17), math.log2(17)))  # 17 levels, all as likely
    train_x, test_x = (load_digits(part).x.flatten(1).tolist() for part in ("train", "test"))
    bits = 0.0
    for pixel in range(64):
        column = [image[pixel] for image in train_x]
        for image in test_x:
            bits -= math.log2((column.count(image[pixel]) + 0.1) / (1000 + 1.7))
    assert flow_digits.histogram_bits() == pytest.approx(bits / 64 / len(test_x), rel=1e-5)


def test_calls_take_turns_and_the_slower_one_is_found():
    calls = []

    def work(name, size):
        calls.append(name)
        torch.rand(size, size) @ torch.rand(size, size)

    racers = {"small": lambda: work("small", 8), "large": lambda: work("large", 400)}
    seconds = common.take_turns(racers, rounds=3)
    assert [len(values) for values in seconds.values()] == [3, 3]
    assert min(seconds["large"]) > 3 * min(seconds["small"]) > 0
    turns = [a for a, b in zip(calls, [*calls[1:], ""], strict=True) if a != b]
    assert turns == ["small", "large"] * 4  # once to warm up, then three rounds


def test_a_race_compares_the_first_with_the_best_of_the_others(monkeypatch):
    times = {"dgm": [2, 9, 1, 1, 1, 1], "a": [3, 3, 1, 4, 9, 4], "b": [5, 5, 5, 2.5, 2, 2.5]}
    monkeypatch.setattr(common, "take_turns", lambda calls, rounds: times if rounds == 6 else {})
    milliseconds, ratios = common.race(dict.fromkeys(times), rounds=3, repeats=2)
    assert milliseconds == {"dgm": 1000, "a": 3000, "b": 2500}
    assert ratios == [1.5, 2.5]  # of the medians 2, 3, 5 and 1, 4, 2.5


# bench/gan_digits.py


@pytest.fixture(scope="module")
def gan_digits():
    return script("gan_digits")


def small(gan_digits, name):
    """A recipe with little to do, and 300 images."""
    return replace(gan_digits.RECIPES[name], steps=6, hidden=(32, 32)), gan_digits.random_split(0)[0][:300]


def test_a_split_has_every_digit_once(gan_digits):
    x, held_out = gan_digits.random_split(0)
    assert (len(x), len(held_out)) == (1197, 600)

    def in_order(images):
        return sorted(map(tuple, images.flatten(1).tolist()))

    assert in_order(torch.cat([x, held_out])) == in_order(gan_digits.all_digits())
    assert torch.equal(x, gan_digits.random_split(0)[0])
    assert not torch.equal(x, gan_digits.random_split(1)[0])


@pytest.mark.parametrize("name", ["GAN", "WGAN-GP"])
def test_the_plain_step_is_the_same_step(gan_digits, name):
    recipe, x = small(gan_digits, name)
    images = gan_digits.to_pm1(x[:16], 17).double()
    states = []
    for by_hand in (False, True):
        players = gan_digits.networks(recipe, 0)
        start = players.generator.net[0].weight.detach().clone()
        networks = (players.generator, players.discriminator, players.ema.model)
        for network in networks:
            network.double()
        rng = torch.Generator().manual_seed(3)
        if by_hand:
            step = gan_digits.plain_step(recipe, players, rng)
        elif recipe.wgan:
            step = partial(wgan_step, players, penalty=recipe.weight, rng=rng)
        else:
            step = partial(gan_step, players, r1=recipe.weight, rng=rng)
        for _ in range(3):
            step(images)
        assert (players.generator.net[0].weight - start).abs().max() > recipe.rate_g
        states.append([network.state_dict() for network in networks])
    torch.testing.assert_close(*states, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["GAN", "GAN, pseudo-labels", "WGAN-GP", "WGAN-GP, pseudo-labels"])
def test_a_run_depends_on_its_seed_alone(gan_digits, name):
    recipe, x = small(gan_digits, name)
    samples = []
    for seed in (0, 0, 1):
        model = gan_digits.train(recipe, x, seed)
        samples.append(gan_digits.draw(model))
        assert (0 if model.labels is None else model.labels.unique().numel()) == recipe.clusters
        players = model.players
        rates = [o.param_groups[0]["lr"] for o in (players.optimiser_g, players.optimiser_d)]
        last = fall(recipe.steps - 1, recipe.steps)
        assert rates == pytest.approx([recipe.rate_g * last, recipe.rate_d * last])
    assert samples[0].shape == (1200, 1, 8, 8)
    assert samples[0].dtype == torch.uint8
    assert torch.equal(samples[0], samples[1])
    assert not torch.equal(samples[0], samples[2])


def test_rates_fall_from_one_to_a_fiftieth():
    assert [fall(done, 100) for done in (0, 50, 100, 200)] == pytest.approx([1, 0.51, 0.02, 0.02])


def test_copies_of_the_training_images_are_found_out(gan_digits):
    x, held_out = gan_digits.random_split(0)
    copies = x[torch.randint(len(x), (1200,), generator=torch.Generator().manual_seed(0))]
    assert gan_digits.apart(copies, x, held_out) == 0
    assert gan_digits.apart(held_out, x, held_out) == 1
    assert gan_digits.distance(copies, held_out) < 21  # which alone would pass for a good GAN


def test_limits_are_those_of_the_issue_and_the_stricter_ones_are_told(gan_digits):
    issue = {name: (recipe.issue_limit, recipe.issue_aim) for name, recipe in gan_digits.RECIPES.items()}
    assert list(issue.values()) == [(30, 24), (20, 20), (28, 22), (19, 19)]
    recipe, floor = gan_digits.RECIPES["GAN"], gan_digits.ISSUE_FLOOR / 2
    for median, verdict in ((11.9, "limit and aim kept"), (14.9, ": limit kept"), (15.1, "neither kept")):
        text = gan_digits.compare(Figure([median], "FD", by_median=True), recipe, floor)
        assert "limit 30, aim 24" in text
        assert "limit 15.0, aim 12.0" in text
        assert text.endswith(verdict)


def test_figures_judge_the_median_and_the_worst_class(gan_digits):
    recipe = gan_digits.RECIPES["GAN, pseudo-labels"]
    runs = [
        {
            "fd_held_out": fd,
            "fd_real": 8.0,
            "apart": 0.9,
            "least_class_percent": least,
            "largest_class_percent": 12.0,
            "train_cpu_s": 20.0,
        }
        for fd, least in ((10.0, 8.0), (19.9, 7.0), (99.0, 4.9))
    ]
    figures = gan_digits.figures_of("GAN, pseudo-labels", recipe, runs)
    assert figures["gan_pseudo_labels_fd"].at_most == 20
    assert figures["gan_pseudo_labels_fd"].ok
    assert not figures["gan_pseudo_labels_least_class"].ok
    assert figures["gan_pseudo_labels_largest_class"].ok
    assert "real ones read 8.0" in str(figures["gan_pseudo_labels_fd"])


@pytest.mark.slow
def test_vae_digits_runs_from_end_to_end():
    run = subprocess.run(
        [sys.executable, BENCH / "vae_digits.py", "--quick"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    line = json.loads(run.stdout.splitlines()[-1])
    assert line["figures"]["test_neg_elbo"]["unit"] == "nats"
    assert len(line["rows"]) >= 6
    for row in line["rows"]:
        # The importance-weighted bound is the tighter one, and a trained model beats 17 equal levels.
        assert row["test_neg_iw200_nats"] <= row["test_neg_elbo_nats"]
        assert row["test_neg_iw200_nats"] < 64 * math.log(17)


@pytest.mark.slow
def test_gan_digits_runs_from_end_to_end():
    run = subprocess.run(
        [sys.executable, BENCH / "gan_digits.py", "--quick"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    line = json.loads(run.stdout.splitlines()[-1])
    assert [row["row"] for row in line["rows"]] == list(script("gan_digits").RECIPES)
    for row in line["rows"]:
        assert row["fd_real"] < 15 < row["fd_held_out"] < 1000  # a hundred steps are no training, yet a start
    for name in ("gan", "wgan_gp"):
        assert line["figures"][f"{name}_step_ratio"]["at_most"] == 1.05
