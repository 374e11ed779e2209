"""dgm.nn.UNet and dgm.nn.Conditioning: every size, every gradient, and what the network is told."""

import pytest
import torch
from torch import Tensor, nn

from dgm.nn import Conditioning, UNet, scale_and_shift, seeded, sinusoidal

F64 = torch.float64


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def awake(**options) -> UNet:
    """A small U-Net in float64 whose zeroed layers are not zero."""
    with seeded(1):
        net = UNet(**({"channels": 1, "width": 8} | options)).double()
        for parameter in net.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.2)
    return net


@pytest.mark.parametrize("size", [(8, 8), (7, 7), (9, 5), (1, 1), (4, 16), (3, 10)], ids=str)
@pytest.mark.parametrize("mults", [(1,), (1, 2), (1, 2, 2)], ids=str)
def test_any_size_comes_back_as_it_went_in(size, mults):
    net = awake(channels=2, mults=mults)
    x, t = randn(3, 2, *size), torch.tensor([1, 500, 1000])
    out = net(x, t)
    assert out.shape == x.shape
    assert out.dtype == F64
    assert bool(out.isfinite().all())


@pytest.mark.parametrize("size", [(8, 8), (7, 5)], ids=str)
@pytest.mark.parametrize("blocks", [1, 2])
def test_every_weight_and_every_pixel_has_a_gradient(size, blocks):
    net = awake(blocks=blocks, mults=(1, 2, 3), classes=3)
    x = randn(2, 1, *size).requires_grad_()
    net(x, torch.tensor([3, 700]), torch.tensor([0, 3])).square().sum().backward()
    assert x.grad is not None
    assert bool((x.grad != 0).all())
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0, name


def test_it_says_nothing_at_first_and_then_learns():
    with seeded(0):
        net = UNet(1, 8)
    x, t = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 2])
    assert torch.equal(net(x, t), torch.zeros_like(x))
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        loss = (net(x, t) - x).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_every_pixel_is_seen_from_everywhere():
    """Through the coarse levels and attention one pixel of the input reaches all of the output."""
    net = awake()
    x = randn(1, 1, 8, 8)
    moved = x.clone()
    moved[0, 0, 0, 0] += 1.0
    t = torch.tensor([5])
    assert bool(((net(moved, t) - net(x, t)).abs() > 1e-9).all())


def test_it_hears_time_and_label():
    net = awake(classes=4)
    x, t = randn(3, 1, 8, 8), torch.tensor([1, 500, 1000])
    none = net(x, t)
    torch.testing.assert_close(none, net(x, t, torch.tensor([4, 4, 4])), rtol=0, atol=0)
    labelled = net(x, t, torch.tensor([4, 0, 1]))
    torch.testing.assert_close(labelled[0], none[0])
    assert not torch.allclose(labelled[1], none[1])
    later = net(x, torch.tensor([2, 500, 1000]))
    assert not torch.allclose(later[0], none[0])
    torch.testing.assert_close(later[1:], none[1:])
    scaled = awake(classes=4, time_scale=1000.0)
    scaled.load_state_dict(net.state_dict())
    torch.testing.assert_close(scaled(x, t / 1000), none)


def test_examples_do_not_see_each_other():
    net = awake()
    x, t = randn(4, 1, 6, 6), torch.tensor([1, 20, 300, 1000])
    alone = torch.cat([net(x[i : i + 1], t[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(net(x, t), alone)


def test_attention_is_on_the_coarsest_level_alone():
    tokens = []
    net = awake(mults=(1, 2))
    for module in net.modules():
        if type(module).__name__ == "SelfAttention":
            module.register_forward_hook(lambda m, args, out: tokens.append(args[0].shape))
    net(randn(1, 1, 8, 8), torch.tensor([1]))
    images = [tuple(shape[-2:]) for shape in tokens if len(shape) == 4]
    assert images == [(4, 4), (4, 4)]  # on the way down and in the middle
    without = awake(attention=False)
    assert not any(type(module).__name__ == "SelfAttention" for module in without.modules())


def test_size_of_the_courses_network():
    with seeded(0):
        net = UNet(1, 32, (1, 2), classes=10)
    assert 0.65e6 < sum(p.numel() for p in net.parameters()) <= 0.75e6
    assert UNet(3, 8, outputs=2)(torch.zeros(2, 3, 4, 4), torch.ones(2)).shape == (2, 6, 4, 4)


def test_dropout_is_off_in_eval():
    net = awake(dropout=0.5)
    x, t = randn(2, 1, 4, 4), torch.tensor([1, 2])
    with seeded(0):
        assert not torch.equal(net(x, t), net(x, t))
    net.eval()
    assert torch.equal(net(x, t), net(x, t))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n: n(torch.zeros(2, 3, 8, 8), torch.ones(2)), r"shape \(B, 1, H, W\), got \(2, 3, 8, 8\)"),
        (lambda n: n(torch.zeros(2, 1, 8, 8), torch.tensor(3)), r"t must have shape \(2,\), got \(\)"),
        (lambda n: n(torch.zeros(2, 1, 8, 8), torch.ones(2), torch.tensor([0, 9])), "where 3 means none"),
        (lambda n: n(torch.zeros(2, 1, 8, 8), torch.ones(2), torch.rand(2)), "whole labels .*float32"),
        (lambda n: UNet(1, 8)(torch.zeros(1, 1, 8, 8), torch.ones(1), torch.ones(1)), "without classes"),
        (lambda n: UNet(1, 12), "width must be a multiple of 8, .* got 12"),
        (lambda n: UNet(1, 8, ()), "every one of mults must be at least 1"),
        (lambda n: UNet(1, 8, blocks=0), "must be at least 1, got 1, 8, 0"),
    ],
)  # fmt: skip
def test_it_says_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call(UNet(1, 8, classes=3))


# The condition


def test_conditioning_is_its_formula():
    with seeded(0):
        module = Conditioning(6, 5, classes=3, time_scale=2.0).double()
    t, y, like = torch.tensor([0.5, 7.0]), torch.tensor([1, 3]), randn(2, 4)
    expected = nn.functional.silu(module.net(sinusoidal(2 * t.double(), 6)) + module.labels.weight[y])
    torch.testing.assert_close(module(t, y, like), expected)
    torch.testing.assert_close(module(t, None, like)[1], expected[1])
    plain = Conditioning(6, 5)
    assert plain(t, None, like.float()).shape == (2, 5)


def test_scale_and_shift_is_its_formula():
    h, film = randn(2, 3, 4, 5), randn(2, 6, seed=1)
    expected = (1 + film[:, :3, None, None]) * h + film[:, 3:, None, None]
    torch.testing.assert_close(scale_and_shift(h, film), expected)
    torch.testing.assert_close(scale_and_shift(h[..., 0, 0], film), expected[..., 0, 0])
    with pytest.raises(ValueError, match=r"film must have shape \(2, 6\), got \(2, 3\)"):
        scale_and_shift(h, film[:, :3])
