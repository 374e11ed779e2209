"""dgm.tensor: shapes, log-space averages, units."""

import math

import pytest
import torch

from dgm.tensor import (
    bits_per_dim,
    check_same_shape,
    check_shape,
    draw_device,
    expand_to,
    from_pm1,
    log_mean_exp,
    mean_except_batch,
    randn_like,
    sum_except_batch,
    to_pm1,
)


def test_expand_to_scales_examples_not_columns():
    t = torch.tensor([1.0, 2.0, 3.0])
    x = torch.ones(3, 2, 3)  # a bare t * x would broadcast along the last axis, of the same length
    scaled = expand_to(t, x) * x
    assert expand_to(t, x).shape == (3, 1, 1)
    for i in range(3):
        assert (scaled[i] == t[i]).all()
    assert expand_to(t, torch.zeros(3)).shape == (3,)


@pytest.mark.parametrize(
    ("shape", "remedy"),
    [
        ((8, 1), r"use t\[:, 0\]"),
        ((), r"use t.expand\(8\)"),
        ((8, 1, 1), "use t.flatten"),
        ((4,), "one value per"),
        ((2, 4), "one value per"),  # eight numbers, but of what order
    ],
)
def test_expand_to_names_what_came_and_the_remedy(shape, remedy):
    with pytest.raises(ValueError, match=rf"t must have shape \(B,\) = \(8,\), got .*{remedy}"):
        expand_to(torch.zeros(shape), torch.zeros(8, 2))


def test_expand_to_needs_a_batch_axis():
    with pytest.raises(ValueError, match="like must have a batch axis"):
        expand_to(torch.zeros(1), torch.tensor(0.0))


def test_sum_and_mean_except_batch():
    x = torch.arange(24, dtype=torch.float64).reshape(2, 3, 4)
    assert sum_except_batch(x).tolist() == [sum(range(12)), sum(range(12, 24))]
    assert mean_except_batch(x).tolist() == [5.5, 17.5]
    assert sum_except_batch(x[:, 0]).tolist() == [6.0, 54.0]
    assert mean_except_batch(x[:, 0]).tolist() == [1.5, 13.5]
    assert sum_except_batch(x[:, 0, 0]).tolist() == [0.0, 12.0]
    assert mean_except_batch(x[:, 0, 0]).tolist() == [0.0, 12.0]
    for function in (sum_except_batch, mean_except_batch):
        with pytest.raises(ValueError, match=r"x must have shape \(B, ...\)"):
            function(torch.tensor(1.0))


def test_log_mean_exp_is_the_log_of_the_mean():
    x = torch.randn(5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(log_mean_exp(x, 0), x.exp().mean(0).log())
    torch.testing.assert_close(log_mean_exp(x, -1), x.exp().mean(1).log())
    far = torch.full(
        (4, 2), -2000.0, dtype=torch.float64
    )  # exp underflows; the mean of equals is each of them
    torch.testing.assert_close(log_mean_exp(far, 0), far[0])


def test_bits_per_dim_of_a_uniform_image():
    # 64 independent pixels, uniform over 16 levels, need log2(16) = 4 bits each
    assert bits_per_dim(64 * math.log(16), 64) == pytest.approx(4.0)
    nll = torch.tensor([64 * math.log(2), 0.0], dtype=torch.float64)
    torch.testing.assert_close(bits_per_dim(nll, 64), torch.tensor([1.0, 0.0], dtype=torch.float64))
    with pytest.raises(ValueError, match="dims must be at least 1, got 0"):
        bits_per_dim(1.0, 0)


def test_check_shape_names_what_came():
    x = torch.zeros(4, 3)
    check_shape("x", x, ("B", 3))
    for shape in (("B",), ("B", 2), ("B", "C", 3)):
        with pytest.raises(ValueError, match=r"x must have shape \(B,.*\), got \(4, 3\); try this"):
            check_shape("x", x, shape, "try this")
    with pytest.raises(
        TypeError, match=r"x must be a tensor of shape \(B,\), got a numpy array; use torch.from_numpy"
    ):
        check_shape("x", x.numpy(), ("B",))
    with pytest.raises(TypeError, match=r"x must be a tensor of shape \(B,\), got a list"):
        check_shape("x", [1], ("B",))


def test_check_same_shape_does_not_broadcast():
    x = torch.zeros(4, 3)
    check_same_shape("y", x + 1, "x", x)
    for y in (x[:1], x[0], x[..., None]):
        with pytest.raises(ValueError, match=r"y must have the shape of x, \(4, 3\), got .*; try this"):
            check_same_shape("y", y, "x", x, "try this")
    with pytest.raises(TypeError, match="x must be a tensor, got the number 2"):
        check_same_shape("y", x, "x", 2)


def test_noise_is_drawn_where_the_generator_is_and_goes_where_the_tensor_is(monkeypatch):
    def generator():
        return torch.Generator().manual_seed(0)

    expected = torch.randn(2, 3, generator=generator(), dtype=torch.float64)
    assert torch.equal(randn_like(torch.zeros(2, 3, dtype=torch.float64), generator()), expected)
    drawn_on = []
    randn = torch.randn
    monkeypatch.setattr(torch, "randn", lambda *a, **k: drawn_on.append(k["device"].type) or randn(*a, **k))
    elsewhere = randn_like(torch.zeros(2, 3, device="meta"), generator())
    assert drawn_on == ["cpu"]
    assert (elsewhere.device.type, elsewhere.dtype, elsewhere.shape) == ("meta", torch.float32, (2, 3))
    assert draw_device(None).type == "cpu"
    assert draw_device(None, elsewhere).type == "meta"
    assert draw_device(generator(), elsewhere).type == "cpu"
    with pytest.raises(ValueError, match=r"x must hold real numbers, got torch.int64; use x.float"):
        randn_like(torch.arange(3))


def test_to_pm1_refuses_what_is_no_level():
    assert to_pm1(torch.tensor([0.0, 8.0, 16.0]), 17).tolist() == [-1, 0, 1]
    assert to_pm1(torch.tensor([16.00001]), 17).item() == pytest.approx(
        1, abs=1e-5
    )  # an expected level, rounded
    assert to_pm1(torch.tensor([255.01]), 256).item() == pytest.approx(
        1, abs=1e-4
    )  # the more levels, the more
    assert to_pm1(torch.zeros(0), 17).shape == (0,)
    assert to_pm1(torch.tensor([0, 16]), 17, dtype=torch.float64).dtype == torch.float64
    for x in (
        torch.tensor([0, 17]),
        torch.tensor([-1.0, 1.0]),
        torch.tensor([0.0, 255.0]),
        torch.tensor([math.nan]),
    ):
        with pytest.raises(ValueError, match=r"x must lie in 0 .. 16, got values from .*need no to_pm1"):
            to_pm1(x, 17)


def test_from_pm1_takes_the_nearest_level():
    between = torch.tensor([-3.0, 0.0, 0.4, 0.6, 3.4, 3.6, 15.6, 16.0, 16.4, 99.0])  # in levels 0 .. 16
    assert from_pm1(between / 8 - 1, 17).tolist() == [0, 0, 0, 1, 3, 4, 16, 16, 16, 16]
