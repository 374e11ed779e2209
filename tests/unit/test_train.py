"""dgm.train and dgm.checkpoint: the loop, and that a run which was stopped ends as one which was not."""

import io
import itertools
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import dgm.train
import train_run
from dgm.bar import Bar
from dgm.checkpoint import load_tree, save_tree
from dgm.data import Batches
from dgm.nn import EMA, MLP, seeded
from dgm.train import History, fit
from train_run import EVERY, STEPS, Run


class Planned(Exception):
    pass


def counting(**more):
    """A step that returns its own number as the loss."""
    count = itertools.count(1)
    return lambda batch: {"loss": float(next(count)), **more}


def some_state():
    """What a checkpoint of a counting run is given: one that saves no weights is refused."""
    return {"model": nn.Linear(1, 1)}


def tensors_of(item, path=""):
    """All tensors and numbers of a state, by path."""
    if isinstance(item, torch.Generator):
        item = item.get_state()
    elif hasattr(item, "state_dict"):
        item = item.state_dict()
    if isinstance(item, dict | list | tuple):
        pairs = item.items() if isinstance(item, dict) else enumerate(item)
        return {k: v for key, value in pairs for k, v in tensors_of(value, f"{path}/{key}").items()}
    return {path: item}


def assert_same(run, history, other, other_history):
    """Bit for bit: weights, moments, schedule, average, generators, place in the data, history."""
    for name in run.state():
        one, two = tensors_of(run.state()[name]), tensors_of(other.state()[name])
        assert one.keys() == two.keys()
        for key, value in one.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, two[key]), f"{name}{key} differs"
            else:
                assert value == two[key], f"{name}{key} differs"
    assert torch.equal(next(run.batches), next(other.batches))
    assert history == other_history


@pytest.fixture(scope="module")
def whole():
    """A run that is never stopped, by whether its optimiser is fused."""
    runs = {}
    for fused in (False, True):
        run = Run(fused=fused)
        history = run.fit()
        runs[fused] = (run, history, torch.get_rng_state(), run.batches.state_dict())
    return runs


@pytest.fixture
def uninterrupted(whole):
    def get(fused):
        run, history, generator, batches = whole[fused]
        run.batches.load_state_dict(batches)  # the comparison draws one more batch
        return run, history, generator

    return get


# Stopped and resumed


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("at", [3, EVERY, 13, 30, STEPS])
def test_an_interrupted_run_ends_bit_identical(tmp_path, uninterrupted, fused, at):
    def fail(step):
        if step == at:
            raise Planned

    with pytest.raises(Planned):
        Run(fused=fused, in_step=fail).fit(tmp_path / "run.safetensors")
    torch.rand(7)  # the global generator is somewhere else by now
    resumed = Run(fused=fused)
    history = resumed.fit(tmp_path / "run.safetensors")
    assert resumed.calls == STEPS - (at - 1) // EVERY * EVERY  # from the last checkpoint, not from the start
    run, whole_history, generator = uninterrupted(fused)
    assert torch.equal(torch.get_rng_state(), generator)
    assert_same(run, whole_history, resumed, history)


@pytest.mark.slow
def test_a_killed_run_ends_bit_identical(tmp_path, uninterrupted):
    variants = [(True, "step"), (False, "save")]
    kills = [random.Random().randrange(EVERY + 1, STEPS) for _ in variants]
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                train_run.__file__,
                str(tmp_path / f"{i}.safetensors"),
                str(fused),
                str(at),
                place,
            ]
        )
        for i, ((fused, place), at) in enumerate(zip(variants, kills, strict=True))
    ]
    codes = [process.wait(timeout=120) for process in processes]
    for i, ((fused, place), at) in enumerate(zip(variants, kills, strict=True)):
        where = f"killed in {place} at step {at}, fused={fused}"
        assert codes[i] == -signal.SIGKILL, where
        resumed = Run(fused=fused)
        history = resumed.fit(tmp_path / f"{i}.safetensors")
        assert resumed.calls < STEPS, where
        run, whole_history, generator = uninterrupted(fused)
        assert torch.equal(torch.get_rng_state(), generator), where
        assert_same(run, whole_history, resumed, history)
    assert not [
        path for path in tmp_path.iterdir() if path.suffix == ".tmp"
    ]  # the resumed run cleared it away


def test_the_very_same_objects_can_go_on(tmp_path, uninterrupted):
    def fail(step):
        if step == 20:
            raise Planned

    run = Run(fused=False, in_step=fail)
    with pytest.raises(Planned):
        run.fit(tmp_path / "run.safetensors")
    history = run.fit(tmp_path / "run.safetensors")
    assert_same(*uninterrupted(False)[:2], run, history)


def test_a_finished_run_returns_at_once_and_a_longer_one_goes_on(tmp_path):
    path = tmp_path / "run.safetensors"
    run = Run(fused=False)
    history = run.fit(path)
    stamp = path.stat().st_mtime_ns
    again = Run(fused=False)
    assert again.fit(path) == history
    assert again.calls == 0
    assert path.stat().st_mtime_ns == stamp
    assert torch.equal(again.ema.model[0].weight, run.ema.model[0].weight)  # the best, not the last
    longer = Run(fused=False).fit(path, steps=STEPS + 5)
    assert longer.steps == list(range(1, STEPS + 6))
    assert longer["loss"][:STEPS] == history["loss"]


def test_a_process_that_does_not_write_still_goes_on_from_the_checkpoint(tmp_path):
    path = tmp_path / "run.safetensors"
    Run(fused=False).fit(path, write=False)
    assert not path.exists()
    history = Run(fused=False).fit(path)
    stamp = path.stat().st_mtime_ns
    longer = Run(fused=False)
    assert longer.fit(path, steps=STEPS + 5, write=False)["loss"][:STEPS] == history["loss"]
    assert longer.calls == 5
    assert path.stat().st_mtime_ns == stamp


def test_checkpointing_does_not_change_the_run(tmp_path, uninterrupted):
    run = Run(fused=True)
    history = run.fit(tmp_path / "new folder" / "run.safetensors", checkpoint_every=1)
    assert_same(*uninterrupted(True)[:2], run, history)


def test_resuming_says_so(tmp_path, capsys):
    batches = Batches(torch.arange(4), batch_size=1)
    run = {"state": some_state(), "checkpoint": tmp_path / "a.safetensors"}
    fit(counting(), batches, steps=3, **run, progress=False)
    assert capsys.readouterr().out == ""
    fit(counting(), batches, steps=5, **run)
    assert capsys.readouterr().out == "resumed a.safetensors at step 3 of 5\n"


# Ctrl-C


@pytest.fixture
def usual_ctrl_c():
    """SIGINT raises KeyboardInterrupt, also where the tests run in a background that ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("usual_ctrl_c")
def test_ctrl_c_finishes_the_step_saves_and_raises(tmp_path, uninterrupted):
    path = tmp_path / "run.safetensors"

    def interrupt(step):
        if step == 10:
            os.kill(os.getpid(), signal.SIGINT)

    run = Run(fused=False, in_step=interrupt)
    with pytest.raises(KeyboardInterrupt, match="stopped after step 10; saved in"):
        run.fit(path)
    assert run.calls == 10
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = Run(fused=False)
    history = resumed.fit(path)
    assert resumed.calls == STEPS - 10
    assert_same(*uninterrupted(False)[:2], resumed, history)


@pytest.mark.usefixtures("usual_ctrl_c")
def test_a_second_ctrl_c_does_not_wait_and_keeps_the_last_checkpoint(tmp_path, uninterrupted):
    path = tmp_path / "run.safetensors"

    def interrupt(step):
        if step == 10:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        Run(fused=False, in_step=interrupt).fit(path)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = Run(fused=False)
    history = resumed.fit(path)
    assert resumed.calls == STEPS - EVERY  # half of step 10 was never saved
    assert_same(*uninterrupted(False)[:2], resumed, history)


@pytest.mark.usefixtures("usual_ctrl_c")
def test_ctrl_c_without_a_checkpoint_finishes_the_step_and_puts_the_best_back():
    model = nn.Linear(1, 1, bias=False)
    count = itertools.count(1)

    def step(batch):
        n = next(count)
        if n == 7:
            os.kill(os.getpid(), signal.SIGINT)
        with torch.no_grad():
            model.weight.fill_(n)
        return {"loss": 0.0}

    def validate():
        return {"loss": (model.weight.item() - 4) ** 2}

    with pytest.raises(
        KeyboardInterrupt, match="stopped after step 7; nothing saved: no checkpoint was given"
    ):
        fit(
            step,
            [0],
            steps=10,
            state={"model": model},
            validate=validate,
            validate_every=2,
            keep_best=["model"],
            progress=False,
        )
    assert model.weight.item() == 4  # step 4 was the best; step 7 the last
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_run_that_fails_puts_the_best_back_too():
    losses = iter([1.0, math.nan])
    model = nn.Linear(1, 1, bias=False)
    count = itertools.count(1)

    def step(batch):
        with torch.no_grad():
            model.weight.fill_(next(count))
        return {"loss": 0.0}

    arguments = {"state": {"model": model}, "validate": lambda: {"loss": next(losses)}, "validate_every": 2}
    with pytest.raises(FloatingPointError, match="after step 4"):
        fit(step, [0], steps=10, keep_best=["model"], progress=False, **arguments)
    assert model.weight.item() == 2


def test_a_checkpoint_that_would_save_no_weights_is_refused(tmp_path):
    batches = Batches(torch.arange(4), batch_size=1)
    for state in (None, {}):
        with pytest.raises(ValueError, match=r"checkpoint needs state, .* from fresh ones; give all .*model"):
            fit(counting(), batches, steps=3, state=state, checkpoint=tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_fit_works_outside_the_main_thread(tmp_path):
    results = []

    def work():
        batches = Batches(torch.arange(4), batch_size=1)
        run = {"state": some_state(), "checkpoint": tmp_path / "a", "progress": False}
        results.append(fit(counting(), batches, steps=3, **run))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results[0].steps == [1, 2, 3]


# Another run's checkpoint


def _assert_refused(tmp_path, run, message, **changed):
    """The run is refused with this message, and neither file nor objects changed."""
    path = tmp_path / "run.safetensors"
    file = path.read_bytes()
    before = {name: {k: str(v) for k, v in tensors_of(item).items()} for name, item in run.state().items()}
    generator = torch.get_rng_state()
    with pytest.raises(ValueError, match=message):
        run.fit(path, **changed)
    after = {name: {k: str(v) for k, v in tensors_of(item).items()} for name, item in run.state().items()}
    assert after == before
    assert torch.equal(torch.get_rng_state(), generator)
    assert path.read_bytes() == file
    assert run.calls == 0


@pytest.fixture
def stored(tmp_path):
    Run(fused=False).fit(tmp_path / "run.safetensors", steps=10)
    return tmp_path


def test_other_shapes_are_refused(stored):
    message = r"another run: state\['model'\] has 4.weight: float32 \(16, 64\) there, float32 \(8, 64\) here"
    _assert_refused(stored, Run(fused=False, width=8), message)


def test_other_names_are_refused(stored):
    run = Run(fused=False)
    state = run.state()
    del state["noise"]
    _assert_refused(stored, run, "it has state model, .*noise, this run has model, .*ema", state=state)
    _assert_refused(stored, run, "this run has model, .*more", state=run.state() | {"more": nn.Linear(1, 1)})


def test_another_optimiser_is_refused(stored):
    run = Run(fused=False)
    run.optimiser = torch.optim.SGD(run.model.parameters(), lr=0.1)
    _assert_refused(stored, run, r"state\['optimiser'\] has type: AdamW there, SGD here")
    run.optimiser = torch.optim.AdamW(run.model[0].parameters())
    _assert_refused(
        stored, run, r"state\['optimiser'\] has group 0, parameter 2: float32 \(4,\) there, missing"
    )


def test_another_best_is_refused(stored):
    _assert_refused(stored, Run(fused=False), "keep_best is .* there", keep_best=("model",))


def test_what_only_loading_finds_out_is_undone(stored):
    run = Run(fused=False)
    run.batches.batch_size = 16
    _assert_refused(stored, run, r"does not fit batches \(the state is of batches with batch_size 32")
    run = Run(fused=False)
    run.ema = EMA(nn.Linear(3, 3), 0.9)
    _assert_refused(stored, run, r"does not fit state ema .* nothing was changed")


def test_damaged_and_foreign_files_are_refused(stored):
    path = stored / "run.safetensors"
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    _assert_refused(stored, Run(fused=False), "cannot resume: .* is damaged or no checkpoint")
    path.write_bytes(b"not a checkpoint at all")
    _assert_refused(stored, Run(fused=False), "cannot resume: .* is damaged or no checkpoint")
    save_file({"w": torch.zeros(2)}, path)
    _assert_refused(stored, Run(fused=False), "cannot resume: save_tree did not write")
    save_tree(path, {"w": torch.zeros(2)})
    _assert_refused(stored, Run(fused=False), "cannot resume: .* holds no checkpoint of fit")


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        Run(fused=False).fit(tmp_path)


# Not finite


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, torch.tensor(math.nan)])
def test_a_loss_that_is_not_finite_names_step_and_key_and_is_not_saved(tmp_path, bad):
    path = tmp_path / "a.safetensors"
    count = itertools.count(1)

    def step(batch):
        return {"g_loss": 1.0, "d_loss": bad if next(count) == 13 else 2.0}

    batches = Batches(torch.arange(4), batch_size=1)
    run = {"state": some_state(), "checkpoint": path, "checkpoint_every": 1}
    with pytest.raises(
        FloatingPointError, match=r"step 13 returned d_loss = (nan|inf|-inf); lower the learning"
    ):
        fit(step, batches, steps=20, **run, progress=False)
    assert load_tree(path)["done"] == 12


def test_a_validation_that_is_not_finite_is_refused_too():
    with pytest.raises(FloatingPointError, match="the validation after step 4 returned loss = nan"):
        fit(counting(), [0], steps=8, validate=lambda: {"loss": math.nan}, validate_every=4, progress=False)


def test_scalars_on_a_device_are_read_in_groups(monkeypatch, tmp_path):
    """A tensor that is not on the CPU stays where it is until a group of steps is read at once."""
    read = []
    floats = dgm.train._floats
    monkeypatch.setattr(dgm.train, "_scalars", lambda scalars, source: dict(scalars))
    monkeypatch.setattr(dgm.train, "_floats", lambda rows: read.append(len(rows)) or floats(rows))
    count = itertools.count(1)

    def step(batch):
        return {"loss": torch.tensor(float(next(count))), "lr": 0.5}

    history = fit(step, [0], steps=120, progress=False)
    assert history["loss"] == [float(i) for i in range(1, 121)]
    assert history["lr"] == [0.5] * 120
    assert [size for size in read if size] == [50, 50, 20]

    count = itertools.count(1)

    def bad(batch):
        n = next(count)
        return {"loss": torch.tensor(math.nan if n >= 63 else 1.0)}

    with pytest.raises(FloatingPointError, match="step 63 returned loss = nan"):
        fit(bad, [0], steps=120, progress=False)
    count = itertools.count(1)
    batches = Batches(torch.arange(4), batch_size=1)
    run = {"state": some_state(), "checkpoint": tmp_path / "a", "checkpoint_every": 9}
    with pytest.raises(FloatingPointError, match="step 63 returned loss = nan"):
        fit(bad, batches, steps=120, progress=False, **run)
    assert load_tree(tmp_path / "a")["done"] == 54  # step 63's checkpoint reads the scalars before it saves


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_scalars_on_a_gpu():
    x = torch.zeros((), device="cuda")

    def step(batch):
        x.add_(1)  # the same tensor each time: fit must keep its value, not the tensor
        return {"loss": x}

    assert fit(step, [0], steps=120, progress=False)["loss"] == [float(i) for i in range(1, 121)]


# Validation, early stopping, the best weights


def _curve(values, **arguments):
    """Run with validation losses given in advance; the weight after step n is n."""
    model = nn.Linear(1, 1, bias=False)
    losses = iter(values)
    count = itertools.count(1)

    def step(batch):
        with torch.no_grad():
            model.weight.fill_(next(count))
        return {"loss": 0.0}

    history = fit(
        step,
        [0],
        steps=2 * len(values),
        state={"model": model},
        validate=lambda: {"loss": next(losses), "other": 1.0},
        validate_every=2,
        progress=False,
        **arguments,
    )
    return model, history


def test_the_best_weights_come_back():
    model, history = _curve([3.0, 1.0, 2.0, 1.0, 5.0], keep_best=("model",))
    assert history.best_step == 4  # the first of equals
    assert model.weight.item() == 4
    assert history.valid_steps == [2, 4, 6, 8, 10]
    assert history.valid == {"loss": [3.0, 1.0, 2.0, 1.0, 5.0], "other": [1.0] * 5}
    assert history.steps == list(range(1, 11))


def test_without_keep_best_the_last_weights_stay():
    assert _curve([3.0, 1.0, 2.0])[0].weight.item() == 6


def test_patience_counts_validations():
    model, history = _curve([3.0, 2.0, 2.5, 1.0, 4.0, 1.0, 0.5], patience=2, keep_best=("model",))
    assert history.valid["loss"] == [3.0, 2.0, 2.5, 1.0, 4.0, 1.0]
    assert history.steps[-1] == 12
    assert model.weight.item() == 8
    _, history = _curve([3.0, 2.0, 2.5, 1.0, 4.0, 1.0, 0.5], patience=3)
    assert history.steps[-1] == 14


def test_an_early_stop_stays_stopped(tmp_path):
    values = iter([1.0, 2.0, 3.0, 0.0])
    batches = Batches(torch.arange(4), batch_size=1)

    def run(patience):
        return fit(
            counting(),
            batches,
            steps=8,
            validate=lambda: {"loss": next(values)},
            validate_every=2,
            patience=patience,
            state=some_state(),
            checkpoint=tmp_path / "a.safetensors",
            progress=False,
        )

    assert run(2).steps[-1] == 6
    assert run(2).steps[-1] == 6  # no step, no validation
    assert run(3).valid["loss"] == [1.0, 2.0, 3.0, 0.0]  # more patience goes on


def test_the_last_step_is_validated_and_the_default_is_a_twentieth():
    history = fit(counting(), [0], steps=45, validate=lambda: {"loss": 1.0}, progress=False)
    assert history.valid_steps == [*range(2, 45, 2), 45]
    history = fit(counting(), [0], steps=5, validate=lambda: {"loss": 1.0}, validate_every=3, progress=False)
    assert history.valid_steps == [3, 5]


# Batches and scalars


def test_lists_go_round_and_iterators_run_out():
    seen = []
    fit(lambda batch: seen.append(batch) or {"loss": 0.0}, [1, 2, 3], steps=7, progress=False)
    assert seen == [1, 2, 3, 1, 2, 3, 1]
    fit(counting(), itertools.repeat(0), steps=7, progress=False)
    with pytest.raises(ValueError, match="batches ran out after 3 of 7 steps; give an endless iterator"):
        fit(counting(), iter([1, 2, 3]), steps=7, progress=False)
    with pytest.raises(ValueError, match="batches ran out after 0 of 7 steps"):
        fit(counting(), [], steps=7, progress=False)


def test_history_takes_floats_and_tensors():
    w = torch.tensor(2.0, requires_grad=True)

    def step(batch):
        return {"loss": w * 3, "count": 4, "double": torch.tensor([0.1], dtype=torch.float64)}

    history = fit(step, [0], steps=2, progress=False)
    assert history.train == {"loss": [6.0, 6.0], "count": [4.0, 4.0], "double": [0.1, 0.1]}
    assert history.best_step is None
    with pytest.raises(KeyError, match="step returned no 'los'; it returned loss, count, double"):
        history["los"]


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (None, TypeError, "step must return a dict of scalars .*got None"),
        ({}, TypeError, "step must return a dict of scalars"),
        (torch.tensor(1.0), TypeError, "step must return a dict of scalars"),
        ({"loss": torch.zeros(8)}, ValueError, r"got loss of shape \(8,\); use loss.mean\(\)"),
    ],
)
def test_what_step_may_not_return(returned, error, message):
    with pytest.raises(error, match=message):
        fit(lambda batch: returned, [0], steps=2, progress=False)


def test_keys_stay_the_same():
    count = itertools.count()
    with pytest.raises(ValueError, match=r"same keys every time: 0 so far, 1 at step 2; return 0.0"):
        fit(lambda batch: {str(next(count)): 0.0}, [0], steps=3, progress=False)
    with pytest.raises(ValueError, match="validate must return the same keys"):
        fit(
            counting(),
            [0],
            steps=3,
            validate=lambda: {"loss": 0.0, str(next(count)): 0.0},
            validate_every=1,
            progress=False,
        )


# Arguments


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"patience": 3}, ValueError, "need a validation; give validate="),
        ({"keep_best": ("m",)}, ValueError, "need a validation"),
        ({"validate": dict, "patience": 0}, ValueError, "must be at least 1, got 0"),
        (
            {"validate": dict, "keep_best": ("m",)},
            ValueError,
            r"keep_best must name modules in state \(empty\)",
        ),
        ({"validate_every": 0}, ValueError, "validate_every must be at least 1, got 0"),
        ({"checkpoint_every": -1}, ValueError, "checkpoint_every must be at least 1, got -1"),
        ({"state": {"x": 3}}, TypeError, r"state\['x'\] must have state_dict .* got a int"),
        ({"checkpoint": "a"}, ValueError, "batches is a list without state_dict .*dgm.data.Batches"),
    ],
)
def test_arguments_that_do_not_fit(arguments, error, message):
    with pytest.raises(error, match=message):
        fit(counting(), [0], **({"steps": 3, "progress": False} | arguments))


def test_monitor_must_be_a_key():
    with pytest.raises(ValueError, match="monitor must be one of validate's keys elbo, got 'loss'"):
        fit(counting(), [0], steps=3, validate=lambda: {"elbo": 0.0}, progress=False)


def test_what_cannot_be_saved_is_found_before_the_first_step(tmp_path):
    class Odd:
        def state_dict(self):
            return {"a": {"function": print}}

        def load_state_dict(self, state):
            pass

    step = pytest.fail
    batches = Batches(torch.arange(4), batch_size=1)
    with pytest.raises(TypeError, match=r"state/odd/a/function is a builtin_function.*without pickle"):
        fit(step, batches, steps=3, state={"odd": Odd()}, checkpoint=tmp_path / "a", progress=False)
    assert list(tmp_path.iterdir()) == []


# The file


def _tree():
    shared = torch.randn(4, 6)
    return {
        "tensors": [shared, shared.T, shared[1:3], torch.tensor(3.5), torch.empty(0, 3)],
        "kinds": (
            torch.tensor([True, False]),
            torch.arange(5, dtype=torch.uint8),
            torch.randn(3).bfloat16(),
            torch.randn(3).double(),
            torch.tensor(2**40),
        ),
        "image": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "permuted": torch.randn(2, 3, 4).permute(2, 0, 1),
        "numbers": [0.1, -0.0, math.inf, 2**70, True, None, "text/ö", 1e-320],
        3: {4: "int keys stay int", "4": torch.ones(1)},
        "counter": Counter([3, 3, 5]),
        "a/b": torch.zeros(1),
        "a": {"b": torch.ones(1)},  # its path is the same as that of the one before
        "empty": {},
    }


def test_a_tree_goes_to_disk_and_back(tmp_path):
    tree = _tree()
    save_tree(tmp_path / "tree.safetensors", tree)
    back = load_tree(tmp_path / "tree.safetensors")

    def compare(one, two):
        assert type(one) is type(two)
        if isinstance(one, dict):
            assert list(one) == list(two)
            for key in one:
                compare(one[key], two[key])
        elif isinstance(one, list | tuple):
            assert len(one) == len(two)
            for a, b in zip(one, two, strict=True):
                compare(a, b)
        elif isinstance(one, torch.Tensor):
            assert one.dtype == two.dtype
            assert torch.equal(one, two)
        else:
            assert one == two
            assert math.copysign(1, one) == math.copysign(1, two) if isinstance(one, float) else True

    compare(tree, back)
    assert back["image"].is_contiguous(memory_format=torch.channels_last)
    assert back["permuted"].stride() == tree["permuted"].stride()


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    save_tree(path, {"x": 1})

    def full(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        save_tree(path, {"x": 2})
    assert load_tree(path) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_the_data_are_on_the_disk_before_the_name_is_taken(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda d: events.append("sync") or fsync(d))
    monkeypatch.setattr(os, "replace", lambda a, b: events.append("name") or replace(a, b))
    save_tree(tmp_path / "a", {"x": torch.zeros(3)})
    assert events == ["sync", "name", "sync"]  # the file, its name, the folder that holds the name


def test_the_file_is_plain_safetensors_without_pickle(tmp_path):
    path = tmp_path / "a.safetensors"
    Run(fused=False).fit(path, steps=7)
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert "state/model/0.weight" in header
    assert header["state/optimiser/state/4/exp_avg"]["shape"] == [16, 64]
    assert {"batches/order", "state/noise", "global generators/cpu", "history/train/loss"} <= header.keys()
    assert "best/ema/4.weight" in header


@pytest.mark.parametrize(
    "name", ["OneCycleLR", "MultiStepLR", "LambdaLR", "SequentialLR", "ReduceLROnPlateau"]
)
def test_torchs_schedulers_can_be_saved(tmp_path, name):
    schedulers = torch.optim.lr_scheduler

    def build():
        optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        if name == "OneCycleLR":
            return schedulers.OneCycleLR(optimiser, max_lr=1.0, total_steps=10)
        if name == "MultiStepLR":
            return schedulers.MultiStepLR(optimiser, [2, 4])
        if name == "LambdaLR":
            return schedulers.LambdaLR(optimiser, lambda step: 1 / (1 + step))
        if name == "ReduceLROnPlateau":
            return schedulers.ReduceLROnPlateau(optimiser, patience=1)
        parts = [schedulers.ConstantLR(optimiser), schedulers.ExponentialLR(optimiser, 0.5)]
        return schedulers.SequentialLR(optimiser, parts, milestones=[3])

    def advance(scheduler):
        scheduler.optimizer.step()
        scheduler.step(*([1.0] if name == "ReduceLROnPlateau" else []))
        return scheduler.optimizer.param_groups[0]["lr"]

    one, two = build(), build()
    [advance(one) for _ in range(3)]
    save_tree(tmp_path / "a", {"s": one.state_dict(), "o": one.optimizer.state_dict()})
    back = load_tree(tmp_path / "a")
    two.optimizer.load_state_dict(back["o"])
    two.load_state_dict(back["s"])
    assert [advance(one) for _ in range(4)] == [advance(two) for _ in range(4)]


# The bar


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_ends_with_one_line_and_shows_losses(monkeypatch):
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    fit(counting(), [0], steps=40, validate=lambda: {"loss": 0.25}, validate_every=20)
    assert "40/40" in terminal.getvalue()
    assert "loss 40, valid loss 0.25" in terminal.getvalue()
    assert terminal.getvalue().count("\n") == 1


def test_no_bar_in_a_file_nor_when_switched_off(capsys, monkeypatch):
    fit(counting(), [0], steps=4)
    fit(counting(), [0], steps=4, progress=False)
    assert capsys.readouterr() == ("", "")
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    fit(counting(), [0], steps=4, progress=False)
    assert terminal.getvalue() == ""


def test_the_bar_in_a_notebook_updates_one_display(monkeypatch):
    shown = []

    class Handle:
        def update(self, data, raw):
            shown.append(data["text/plain"])

    monkeypatch.setattr("dgm.bar._notebook_handle", Handle)
    with Bar(100, initial=20) as bar:
        bar.show(50, "loss 1.5")
        bar.show(100, "loss 1.25")
    assert "50/100" in shown[0]
    assert "loss 1.5" in shown[0]
    assert shown[-1] == "100 of 100 steps: loss 1.25"  # no time in it: the same in every run


def test_history_counts_since_the_best():
    history = History(valid_steps=[2, 4, 6], valid={"loss": [3.0, 1.0, 2.0]}, best_step=4)
    assert history.validations_since_best == 1
    assert History().validations_since_best == 0


def test_training_with_the_loop_learns():
    with seeded(0):
        model = MLP([2, 16, 1]).double()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    x = torch.randn(256, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def step(x):
        loss = (model(x)[:, 0] - x.prod(1)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return {"loss": loss}

    batches = Batches(x, batch_size=64, generator=torch.Generator().manual_seed(1))
    history = fit(step, batches, steps=300, progress=False)
    assert sum(history["loss"][-20:]) < 0.1 * sum(history["loss"][:20])
