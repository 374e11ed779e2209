"""dgm.nn: each part against its formula or against torch's own."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dgm.nn import EMA, MLP, FourierFeatures, SelfAttention, attention, attention_weights, seeded, sinusoidal


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# MLP


@pytest.mark.parametrize(
    ("name", "function"),
    [("silu", F.silu), ("relu", F.relu), ("gelu", F.gelu), ("tanh", torch.tanh), ("sine", torch.sin)],
)
def test_mlp_is_its_formula(name, function):
    with seeded(0):
        model = MLP([3, 5, 4, 2], activation=name).double()
    x = normal(7, 3)
    linear = [layer for layer in model.layers if isinstance(layer, nn.Linear)]
    assert [tuple(layer.weight.shape) for layer in linear] == [(5, 3), (4, 5), (2, 4)]
    h = x
    for layer in linear[:-1]:
        h = function(h @ layer.weight.T + layer.bias)
    torch.testing.assert_close(model(x), h @ linear[-1].weight.T + linear[-1].bias)  # plain last layer


def test_mlp_defaults_to_silu_and_two_sizes_are_a_linear_map():
    assert [type(layer) for layer in MLP([3, 5, 2]).layers] == [nn.Linear, nn.SiLU, nn.Linear]
    assert [type(layer) for layer in MLP([3, 2]).layers] == [nn.Linear]


def test_mlp_dropout_is_after_each_hidden_layer_and_off_in_eval():
    model = MLP([4, 64, 64, 4], dropout=0.5)
    assert [layer.p for layer in model.layers if isinstance(layer, nn.Dropout)] == [0.5, 0.5]
    assert isinstance(model.layers[-1], nn.Linear)
    x = torch.ones(2, 4)
    with seeded(0):
        assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sizes": [3]}, "sizes must be"),
        ({"sizes": [3, 0, 2]}, "every size >= 1"),
        ({"sizes": [3, 2], "activation": "swish"}, "activation must be one of silu, .*got 'swish'"),
        ({"sizes": [3, 2], "dropout": 1.0}, r"dropout must be a probability in \[0, 1\), got 1.0"),
    ],
)
def test_mlp_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        MLP(**arguments)


# Embeddings


@pytest.mark.parametrize("max_period", [10_000.0, 100.0])
def test_sinusoidal_entry_by_entry(max_period):
    t, dim = torch.tensor([0.0, 1.0, 2.5, 999.0], dtype=torch.float64), 8
    out = sinusoidal(t, dim, max_period)
    for b in range(4):
        for i in range(dim // 2):  # Vaswani et al. write PE(pos, 2i) = sin(pos / 10000^(2i / d))
            angle = t[b].item() / max_period ** (2 * i / dim)
            assert out[b, i].item() == pytest.approx(math.sin(angle), abs=1e-9)
            assert out[b, dim // 2 + i].item() == pytest.approx(math.cos(angle), abs=1e-9)


def test_sinusoidal_dtype_and_errors():
    assert sinusoidal(torch.tensor([1, 2]), 4).dtype == torch.get_default_dtype()
    assert sinusoidal(torch.tensor([1.0], dtype=torch.float64), 4).dtype == torch.float64
    with pytest.raises(ValueError, match=r"t must have shape \(B,\), got \(3, 1\); use t\[:, 0\]"):
        sinusoidal(torch.zeros(3, 1), 4)
    with pytest.raises(ValueError, match=r"t must have shape \(B,\), got \(3, 2\); use t.reshape\(-1\)"):
        sinusoidal(torch.zeros(3, 2), 4)
    with pytest.raises(ValueError, match="dim must be even"):
        sinusoidal(torch.zeros(3), 5)


@pytest.mark.parametrize("inputs", [1, 2])
def test_fourier_features_have_a_gaussian_kernel(inputs):
    # E cos(2 pi f . d) over f ~ N(0, scale^2) is exp(-2 pi^2 scale^2 |d|^2), the characteristic function
    dim, scale = 40_000, 0.7
    features = FourierFeatures(dim, scale, torch.Generator().manual_seed(0), inputs=inputs)
    for distance in (0.1, 0.25, 0.4):
        x = torch.zeros(2, inputs, dtype=torch.float64)
        x[1, 0] = distance
        a, b = features(x[:, 0] if inputs == 1 else x)
        kernel = (a @ b).item() / (dim / 2)
        exact = math.exp(-2 * math.pi**2 * scale**2 * distance**2)
        double = math.exp(-2 * math.pi**2 * scale**2 * (2 * distance) ** 2)  # cos^2 u = (1 + cos 2u) / 2
        deviation = math.sqrt(((1 + double) / 2 - exact**2) / (dim / 2))
        assert abs(kernel - exact) < 4 * deviation


def test_inner_products_of_fourier_features_know_the_distance_alone():
    features = FourierFeatures(12, 0.7, torch.Generator().manual_seed(0), inputs=2)
    x, far = normal(5, 2), torch.tensor([3.0, -40.0], dtype=torch.float64)
    here, there = features(x), features(x + far)
    torch.testing.assert_close(here @ here.T, there @ there.T)
    torch.testing.assert_close((here @ here.T).diagonal(), torch.full((5,), 6.0, dtype=torch.float64))


def test_fourier_features_are_fixed_saved_and_from_the_generator():
    before = torch.get_rng_state()
    one = FourierFeatures(6, 2.0, torch.Generator().manual_seed(3))
    two = FourierFeatures(6, 2.0, torch.Generator().manual_seed(3))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.frequencies, two.frequencies)
    assert "frequencies" in one.state_dict()
    assert not list(one.parameters())
    with pytest.raises(ValueError, match=r"x must have shape \(B, 1\), got \(4, 2\)"):
        one(torch.zeros(4, 2))
    with pytest.raises(ValueError, match="dim must be even"):
        FourierFeatures(3, 1.0)


# Attention


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_torchs(masked):
    q, k, v = normal(2, 3, 5, 4, seed=0), normal(2, 3, 7, 4, seed=1), normal(2, 3, 7, 6, seed=2)
    mask = None
    if masked:
        mask = normal(2, 1, 5, 7, seed=3) > 0
        mask[..., 0] = True  # every query may look somewhere
    torch.testing.assert_close(
        attention(q, k, v, mask), F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    )


def test_attention_weights_are_a_softmax_over_keys():
    q, k = normal(2, 5, 4), normal(2, 7, 4, seed=1)
    weights = attention_weights(q, k)
    by_hand = torch.tensor([math.exp(float(q[1, 2] @ k[1, j]) / 2) for j in range(7)], dtype=torch.float64)
    torch.testing.assert_close(weights[1, 2], by_hand / by_hand.sum())  # sqrt(4) = 2
    causal = torch.ones(7, 7, dtype=torch.bool).tril()
    weights = attention_weights(k, k, causal)
    assert (weights[:, ~causal] == 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 7, dtype=torch.float64))


def test_attention_errors():
    with pytest.raises(ValueError, match="q and k must agree in their last axis"):
        attention(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="k and v must hold as many tokens"):
        attention(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(5, 3))
    with pytest.raises(ValueError, match=r"mask must be bool.*use mask.bool\(\)"):
        attention(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(2, 2))


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_self_attention_is_torchs_multihead_attention(heads):
    with seeded(0):
        ours = SelfAttention(8, heads).double()
        theirs = nn.MultiheadAttention(8, heads, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    x = normal(3, 6, 8)
    torch.testing.assert_close(ours(x), theirs(x, x, x, need_weights=False)[0])
    causal = torch.ones(6, 6, dtype=torch.bool).tril()
    expected = theirs(x, x, x, need_weights=False, attn_mask=~causal)[0]  # there, True forbids
    torch.testing.assert_close(ours(x, causal), expected)


def test_self_attention_over_an_image_treats_pixels_as_tokens():
    with seeded(0):
        layer = SelfAttention(4, 2).double()
    image = normal(2, 4, 3, 5)
    out = layer(image)
    assert out.shape == image.shape
    tokens = torch.stack([image[:, :, i, j] for i in range(3) for j in range(5)], dim=1)  # (B, H W, C)
    expected = layer(tokens)
    for i in range(3):
        for j in range(5):
            torch.testing.assert_close(out[:, :, i, j], expected[:, 5 * i + j])


def test_self_attention_errors():
    with pytest.raises(ValueError, match="heads must divide channels, got 3 heads for 8 channels"):
        SelfAttention(8, 3)
    with pytest.raises(ValueError, match=r"with C = 8, got \(2, 5, 4\)"):
        SelfAttention(8)(torch.zeros(2, 5, 4))
    with pytest.raises(ValueError, match=r"with C = 8, got \(2, 4, 3, 3\)"):
        SelfAttention(8)(torch.zeros(2, 4, 3, 3))


# EMA


def test_ema_is_the_closed_form_weighted_sum():
    model = nn.Linear(3, 2).double()
    decay, weights = 0.9, [model.weight.detach().clone()]
    ema = EMA(model, decay)
    for n in range(1, 6):
        with torch.no_grad():
            model.weight.copy_(normal(2, 3, seed=n))
        weights.append(model.weight.detach().clone())
        ema.update()
    exact = decay**5 * weights[0] + (1 - decay) * sum(decay ** (5 - i) * weights[i] for i in range(1, 6))
    torch.testing.assert_close(ema.model.weight, exact)
    assert torch.equal(model.weight, weights[-1])  # the model itself is left alone


def test_ema_copies_buffers_and_keeps_its_own_model_frozen():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double().train()
    ema = EMA(model, 0.99)
    model(normal(16, 3)).sum().backward()
    ema.update()
    assert torch.equal(ema.model[1].running_mean, model[1].running_mean)
    assert ema.model[1].num_batches_tracked == 1
    assert not ema.model.training
    assert model.training
    assert not any(p.requires_grad for p in ema.model.parameters())
    assert all(p.requires_grad for p in model.parameters())
    assert all(p.grad is None for p in ema.model.parameters())
    model(normal(16, 3, seed=1))
    assert not torch.equal(ema.model[1].running_mean, model[1].running_mean)  # a copy, no alias


def test_ema_state_goes_round():
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    one, two = EMA(first, 0.5), EMA(second, 0.5)
    two.load_state_dict(one.state_dict())
    assert torch.equal(two.model.weight, first.weight)
    with pytest.raises(RuntimeError, match="size mismatch"):
        EMA(nn.Linear(3, 5), 0.5).load_state_dict(one.state_dict())
    with pytest.raises(ValueError, match=r"decay must lie in \[0, 1\), got 1.0"):
        EMA(first, 1.0)


# seeded


def test_seeded_reproduces_and_leaves_no_trace():
    torch.manual_seed(123)
    undisturbed = torch.rand(3)
    torch.manual_seed(123)
    with seeded(7):
        one = MLP([3, 4, 2])
    assert torch.equal(torch.rand(3), undisturbed)
    with seeded(7):
        two = MLP([3, 4, 2])
    with seeded(8):
        three = MLP([3, 4, 2])
    assert torch.equal(one.layers[0].weight, two.layers[0].weight)
    assert not torch.equal(one.layers[0].weight, three.layers[0].weight)


def test_seeded_restores_after_an_error():
    before = torch.get_rng_state()

    def fail():
        with seeded(0):
            torch.rand(1)
            raise RuntimeError("planned")

    with pytest.raises(RuntimeError, match="planned"):
        fail()
    assert torch.equal(torch.get_rng_state(), before)
