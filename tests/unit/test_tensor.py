"""dgm.tensor: shapes, log-space averages, units."""

import math

import pytest
import torch
from dgm.tensor import bits_per_dim, expand_to, log_mean_exp, mean_except_batch, sum_except_batch


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
