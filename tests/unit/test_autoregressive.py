"""Autoregressive models: who sees whom, probabilities that sum to one, samplers that draw from them."""

import itertools
import math
import time

import pytest
import torch
from torch import Tensor

from dgm.autoregressive import (
    Autoregressive,
    CausalNeighbours,
    GatedPixelCNN,
    KeyValueCache,
    LabelMixture,
    MaskedConv2d,
    PixelCNN,
    PixelTransformer,
    decode,
    dependence,
    draw_level,
    encode,
    left_mask,
    level_counts,
    raster_mask,
    rows_above_mask,
    sample,
    sample_cached,
    sample_steps,
)
from dgm.autoregressive.neighbours import _ChannelDropout
from dgm.bar import Bar
from dgm.nn import seeded

F64 = torch.float64
MODELS = [PixelCNN, GatedPixelCNN, PixelTransformer, CausalNeighbours]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def build(kind, levels=3, shape=(1, 5, 6), perturb=0.0, **options):
    """A model in float64 and eval mode, its zero starts moved by `perturb`."""
    with seeded(0):
        model = kind(levels, shape, **options).double().eval()
        for parameter in model.parameters():
            parameter.data += perturb * torch.randn_like(parameter)
    return model


# Masks


def test_masks_by_hand():
    assert raster_mask(3, centre=False).tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert raster_mask(3, centre=True).tolist() == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]
    assert rows_above_mask(3, own_row=False).tolist() == [[1, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert rows_above_mask(3, own_row=True).tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0]]
    assert left_mask(5, centre=False)[2].tolist() == [1, 1, 0, 0, 0]
    assert left_mask(3, centre=True).tolist() == [[0, 0, 0], [1, 1, 0], [0, 0, 0]]
    with pytest.raises(ValueError, match="odd size, got 4"):
        raster_mask(4, centre=True)


def test_masked_convolution_keeps_masked_weights_out_for_ever():
    with seeded(0):
        conv = MaskedConv2d(2, 3, raster_mask(3, centre=False)).double()
    x = torch.randn(2, 2, 4, 4, generator=generator(), dtype=F64)
    optimiser = torch.optim.Adam(conv.parameters(), 0.1)
    for _ in range(3):
        optimiser.zero_grad()
        conv(x).square().sum().backward()
        optimiser.step()
    jacobian = torch.autograd.functional.jacobian(lambda image: conv(image[None])[0, :, 2, 1].sum(), x[0])
    seen = jacobian.abs().sum(0) > 0
    assert seen.nonzero().tolist() == [[1, 0], [1, 1], [1, 2], [2, 0]]


def test_masked_convolution_starts_with_the_scale_of_a_whole_one():
    with seeded(0):
        x = torch.randn(64, 32, 8, 8)
        whole = torch.nn.Conv2d(32, 32, 5, padding=2, bias=False)
        masked = MaskedConv2d(32, 32, raster_mask(5, centre=True))
        masked.bias.data.zero_()
    # In the interior, where no border is in the way.
    ratio = masked(x)[..., 2:-2, 2:-2].std() / whole(x)[..., 2:-2, 2:-2].std()
    assert ratio.item() == pytest.approx(1, abs=0.1)


def test_few_weights_start_large_and_none_at_all_leave_the_bias():
    with seeded(0):
        whole = torch.nn.Conv2d(2, 4, 3)
    with seeded(0):
        masked = MaskedConv2d(2, 4, left_mask(3, centre=False))
    # One weight of nine carries the variance of all: it is three times as large.
    torch.testing.assert_close(masked.weight[..., 1, 0], 3 * whole.weight[..., 1, 0])
    nothing = MaskedConv2d(2, 3, left_mask(1, centre=False))
    assert torch.equal(nothing(torch.ones(1, 2, 4, 5)), nothing.bias[:, None, None].expand(1, 3, 4, 5))


def test_a_masked_convolution_is_a_plain_one_with_its_weights():
    masked, plain = MaskedConv2d(2, 3, raster_mask(5, centre=True)), torch.nn.Conv2d(2, 3, 5, padding=2)
    plain.load_state_dict(masked.state_dict())  # weights and bias, no mask
    x = torch.randn(4, 2, 6, 6, generator=generator())
    torch.testing.assert_close(plain(x), masked(x))


# What a model is


@pytest.mark.parametrize("kind", MODELS)
def test_no_dependence_is_exactly_none_in_single_precision_too(kind):
    model = build(kind, levels=5, shape=(1, 8, 8), perturb=0.05).float()
    change = dependence(model, torch.randint(5, (1, 8, 8), generator=generator()))
    assert change.triu().max() == 0


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("classes", [0, 2])
def test_nothing_depends_on_what_comes_later(kind, classes):
    model = build(kind, classes=classes, perturb=0.05)
    x = torch.randint(3, (1, 5, 6), generator=generator())
    change = dependence(model, x, torch.tensor(1) if classes else None)
    assert change.triu().max() == 0
    assert (change.diagonal(-1)[:5] > 0).all()  # the pixel to the left is seen


def reach(model, row, column):
    height, width = model.shape[1:]
    x = torch.randint(3, model.shape, generator=generator())
    return dependence(model, x)[row * width + column].reshape(height, width) > 0


def test_the_plain_pixelcnn_has_a_blind_spot_and_the_gated_one_has_none():
    options = {"first": 3, "layers": 6, "width": 8, "perturb": 0.05, "shape": (1, 6, 8)}
    plain, gated = (reach(build(kind, **options), 4, 2) for kind in (PixelCNN, GatedPixelCNN))
    before = torch.arange(48).reshape(6, 8) < 4 * 8 + 2
    # By hand: one column to the right for each row up, so from column 2 the reach ends at 2 + (4 - row).
    row, column = torch.meshgrid(torch.arange(6), torch.arange(8), indexing="ij")
    assert torch.equal(plain, before & (column <= 2 + (4 - row)))
    assert torch.equal(gated, before)


@pytest.mark.parametrize("kind", [PixelTransformer, CausalNeighbours])
def test_transformer_and_neighbours_see_everything_before(kind):
    assert reach(build(kind, perturb=0.05), 4, 2).flatten().nonzero().flatten().tolist() == list(range(26))


def test_neighbours_of_a_pixel_by_hand():
    model = CausalNeighbours(9, (1, 2, 3), radius=1)
    x = torch.tensor([[[[1, 2, 3], [4, 5, 6]]]])
    window = model.neighbours_of(x)[0]
    assert window.tolist() == [
        [9, 9, 9, 9],
        [9, 9, 9, 1],
        [9, 9, 9, 2],
        [9, 1, 2, 9],
        [1, 2, 3, 4],
        [2, 3, 9, 5],
    ]
    sums = model.sums_before(x)[0]
    assert (sums[:, 0] * 8 * 6).round().tolist() == [0, 1, 3, 6, 10, 15]
    assert (sums[:, 1:] * 8 * 2).round().tolist() == [[0, 0, 0]] * 3 + [[1, 2, 3]] * 3


@pytest.mark.parametrize("kind", MODELS)
def test_probabilities_of_all_images_sum_to_one(kind):
    model = build(kind, levels=3, shape=(1, 2, 3), perturb=0.3)
    every = torch.tensor(list(itertools.product(range(3), repeat=6))).reshape(-1, 1, 2, 3)
    with torch.no_grad():
        log_prob = model.log_prob(every)
    assert log_prob.exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert log_prob.std() > 0.1  # not the uniform distribution


@pytest.mark.parametrize("kind", MODELS)
def test_log_prob_is_the_sum_of_the_conditionals(kind):
    model = build(kind, perturb=0.2)
    x = torch.randint(3, (4, 1, 5, 6), generator=generator())
    with torch.no_grad():
        conditionals = torch.distributions.Categorical(logits=model(x)).log_prob(x)  # (4, 1, 5, 6)
        torch.testing.assert_close(model.log_prob(x), conditionals.sum((1, 2, 3)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("classes", [0, 4])
def test_every_parameter_gets_a_gradient(kind, classes):
    model = build(kind, classes=classes).train()
    x = torch.randint(3, (16, 1, 5, 6), generator=generator())
    y = torch.arange(16) % 4 if classes else None
    model.log_prob(x, y).mean().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().max() == 0]
    assert without == []


@pytest.mark.parametrize("kind", MODELS)
def test_examples_do_not_see_one_another(kind):
    model = build(kind, perturb=0.1)
    x = torch.randint(3, (5, 1, 5, 6), generator=generator())
    with torch.no_grad():
        torch.testing.assert_close(model(x)[2:3], model(x[2:3]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("classes", [0, 2])
def test_logits_at_one_position_are_those_of_the_whole_pass(kind, classes):
    model = build(kind, classes=classes, perturb=0.1)
    x = torch.randint(3, (4, 1, 5, 6), generator=generator())
    y = torch.tensor([0, 1, 1, 0]) if classes else None
    with torch.no_grad():
        whole = model(x, y).flatten(1, 3)
        for position in (0, 7, 29):
            later = x.clone().flatten(1)
            later[:, position:] = 2  # what is not drawn yet does not matter
            at = model.logits_at(later.reshape(x.shape), position, y)
            torch.testing.assert_close(at, whole[:, position], rtol=1e-10, atol=1e-12)


def test_the_neighbours_read_one_position_for_the_price_of_one():
    model, read = build(CausalNeighbours, shape=(1, 8, 8)), []
    model.out.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].shape[1]))
    x = torch.zeros(2, 1, 8, 8).int()
    model(x)
    model.logits_at(x, 9)
    assert read == [64, 1]


@pytest.mark.parametrize("radius", [1, 4])
def test_the_tables_of_the_neighbours_start_with_a_sum_of_deviation_one_half(radius):
    with seeded(0):
        model = CausalNeighbours(16, (1, 8, 8), radius=radius)
    levels = torch.randint(17, (2000, 2 * radius * (radius + 1)), generator=generator())
    sums = model.window(levels + 17 * torch.arange(levels.shape[1]))
    assert sums.std().item() == pytest.approx(0.5, rel=0.1)


def test_the_network_of_the_neighbours_by_hand():
    model = build(CausalNeighbours, radius=1, width=4, blocks=2, classes=2, perturb=0.3)
    x, y, place = torch.randint(3, (1, 1, 5, 6), generator=generator()), 1, 15

    def norm(h, layer):
        return (h - h.mean()) / (h.var(correction=0) + 1e-5).sqrt() * layer.weight + layer.bias

    def silu(h):
        return h / (1 + (-h).exp())

    with torch.no_grad():
        window = model.neighbours_of(x)[0, place]  # 4 levels, all inside
        h = sum(model.window.weight[4 * i + level] for i, level in enumerate(window.tolist()))
        numbers = torch.cat([window / 2, model.sums_before(x)[0, place]])
        h = h + model.numbers.weight @ numbers + model.numbers.bias
        h = h + model.position[place] + model.label.weight[y]
        for block in model.blocks:
            a = block[1].weight @ norm(h, block[0]) + block[1].bias
            h = h + block[4].weight @ silu(a) + block[4].bias
        logits = model.out[2].weight @ silu(norm(h, model.out[0])) + model.out[2].bias
        torch.testing.assert_close(model(x, torch.tensor([y])).reshape(30, 3)[place], logits)


def test_the_neighbours_read_greys_from_0_to_1_whatever_the_levels():
    model, read = build(CausalNeighbours, levels=9, shape=(1, 4, 4), radius=1), []
    model.numbers.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0][0]))
    model(torch.full((1, 1, 4, 4), 8))
    window = read[0][:, :4]  # above left, above, above right, left
    assert window[0].tolist() == [0, 0, 0, 0]
    assert window[5].tolist() == [1, 1, 1, 1]
    assert window[7].tolist() == [1, 1, 0, 1]


def test_the_neighbours_drop_a_channel_at_all_positions_of_an_image():
    drop, ones = _ChannelDropout(0.25), torch.ones(50, 7, 40)
    kept = drop.train()(ones)
    assert torch.equal(kept, kept[:, :1].expand(50, 7, 40))
    assert kept[:, 0].unique().tolist() == pytest.approx([0, 4 / 3])
    # 2000 draws, of each image and channel its own
    assert (kept[:, 0] == 0).double().mean().item() == pytest.approx(0.25, abs=4 * math.sqrt(0.1875 / 2000))
    assert len(kept[:, 0].unique(dim=0)) == 50
    assert torch.equal(drop.eval()(ones), ones)


@pytest.mark.parametrize("kind", [PixelCNN, GatedPixelCNN])
def test_convolutions_read_greys_from_minus_1_to_1_beside_ones(kind):
    grey, ones = build(kind, levels=5).encode(torch.arange(5).reshape(1, 1, 1, 5))[0]
    assert grey.tolist() == [[-1, -0.5, 0, 0.5, 1]]
    assert ones.tolist() == [[1] * 5]


def test_the_plain_pixelcnn_by_sums_over_single_pixels():
    height, width = 3, 4
    model = build(PixelCNN, shape=(1, height, width), width=2, layers=1, first=3, perturb=0.3)
    x = torch.randint(3, (1, 1, height, width), generator=generator())
    above = [(-1, -1), (-1, 0), (-1, 1), (0, -1)]

    def conv(layer, features, places):
        out = layer.bias[:, None, None].repeat(1, height, width)
        for row, column in itertools.product(range(height), range(width)):
            for v, u in places:
                if row + v >= 0 and 0 <= column + u < width:
                    out[:, row, column] += layer.weight[:, :, 1 + v, 1 + u] @ features[:, row + v, column + u]
        return out

    with torch.no_grad():
        grey = x[0].double() - 1  # levels 0, 1, 2 as -1, 0, 1
        h = conv(model.first, torch.cat([grey, torch.ones_like(grey)]), above)
        h = h + conv(model.layers[0][2], h.clamp(min=0), [*above, (0, 0)])
        (w_1, b_1), (w_2, b_2) = ((layer.weight[:, :, 0, 0], layer.bias) for layer in model.out[1::2])
        for row, column in itertools.product(range(height), range(width)):
            hidden = w_1 @ h[:, row, column].clamp(min=0) + b_1
            logits = w_2 @ hidden.clamp(min=0) + b_2
            torch.testing.assert_close(model(x)[0, 0, row, column], logits)


def test_the_first_kernels_of_the_gated_pixelcnn_have_the_size_asked_for():
    seen = reach(build(GatedPixelCNN, first=5, layers=0, shape=(1, 6, 8), perturb=0.05), 4, 3)
    # Two rows above with two columns to either side, and two pixels to the left.
    assert [row.nonzero().flatten().tolist() for row in seen] == [
        [], [], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [1, 2], [],
    ]  # fmt: skip


def test_tokens_of_the_transformer_start_with_a_length_of_one_half():
    with seeded(0):
        model = PixelTransformer(64, (64,), width=64, classes=64)
    for table in (model.level.weight, model.first.weight, model.position):
        assert table.norm(dim=1).mean().item() == pytest.approx(0.5, rel=0.05)


def test_blocks_of_the_transformer_start_by_adding_one_variance_however_many_they_are():
    x = torch.randint(16, (8, 64), generator=generator())

    def added(layers):
        with seeded(0):
            model, stream = PixelTransformer(16, (64,), width=64, layers=layers), []
        for name, parameter in model.blocks.named_parameters():
            if name.endswith("bias"):  # they start with a variance of their own
                parameter.data.zero_()
        model.blocks[0].register_forward_pre_hook(lambda _, inputs: stream.append(inputs[0]))
        model.norm.register_forward_pre_hook(lambda _, inputs: stream.append(inputs[0]))
        model(x)
        return (stream[1] - stream[0]).var().item()

    # Twelve that were not scaled down would add twelve times as much; the layers are not quite independent.
    assert 1 / 3 < added(12) / added(1) < 3


@pytest.mark.parametrize("kind", MODELS)
def test_labels_matter(kind):
    model = build(kind, classes=2, perturb=0.1)
    x = torch.randint(3, (3, 1, 5, 6), generator=generator())
    with torch.no_grad():
        a, b = (model.log_prob(x, torch.full((3,), y)) for y in (0, 1))
    assert ((a - b).abs() > 1e-3).all()


def test_a_transformer_takes_codes_of_any_shape():
    model = build(PixelTransformer, levels=7, shape=(4, 4))
    x = torch.randint(7, (2, 4, 4), generator=generator())
    assert model(x).shape == (2, 4, 4, 7)
    assert sample_cached(model, 3, generator=generator(), progress=False).shape == (3, 4, 4)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(
    ("x", "y", "classes", "message"),
    [
        (torch.zeros(2, 5, 6), None, 0, r"x must have shape \(B, 1, 5, 6\), got \(2, 5, 6\)"),
        (torch.zeros(2, 1, 5, 6), None, 0, "whole levels 0 .. 2 as integers, got torch.float32"),
        (torch.full((2, 1, 5, 6), 3), None, 0, r"x must lie in 0 .. 2, got 3 .. 3"),
        (torch.zeros(2, 1, 5, 6).int(), None, 4, r"takes labels y \(B,\) in 0 .. 3, got y=None"),
        (torch.zeros(2, 1, 5, 6).int(), torch.zeros(2).int(), 0, "takes no labels, got y=a tensor"),
        (
            torch.zeros(2, 1, 5, 6).int(),
            torch.zeros(3).int(),
            4,
            r"y must have shape \(B,\) = \(2,\), got \(3,\)",
        ),
        (torch.zeros(2, 1, 5, 6).int(), torch.tensor([0, 4]), 4, r"y must lie in 0 .. 3, got 0 .. 4"),
    ],
    ids=["shape", "float", "range", "no label", "surplus", "count", "label"],
)
def test_models_refuse(kind, x, y, classes, message):
    with pytest.raises(ValueError, match=message):
        build(kind, classes=classes)(x, y)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PixelCNN(1, (1, 5, 5)), "levels of at least 2"),
        (lambda: PixelCNN(3, (3, 5, 5)), r"shape must be \(1, H, W\), one grey channel, got \(3, 5, 5\)"),
        (lambda: CausalNeighbours(3, (1, 5, 5), radius=0), "radius must be at least 1, got 0"),
        (lambda: CausalNeighbours(3, (5, 5)), r"shape must be \(1, H, W\)"),
        (lambda: PixelTransformer(3, (4,), width=10, heads=4), "4 heads for a width of 10"),
    ],
)
def test_constructors_refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# A label summed out


def mixture(labels=(0, 3, 1), prior=(0.2, 0.5, 0.3), kind=CausalNeighbours, **options):
    model = build(kind, classes=4, perturb=0.2, **options)
    return LabelMixture(model, torch.tensor(prior, dtype=F64), labels)


@pytest.mark.parametrize("kind", MODELS)
def test_a_label_mixture_is_the_sum_over_labels(kind):
    mixed = mixture(kind=kind)
    x = torch.randint(3, (5, 1, 5, 6), generator=generator())
    with torch.no_grad():
        parts = [
            math.log(p) + mixed.model.log_prob(x, torch.full((5,), k))
            for k, p in zip((0, 3, 1), (0.2, 0.5, 0.3), strict=True)
        ]
        total = torch.stack(parts).logsumexp(0)
        torch.testing.assert_close(mixed.log_prob(x), total, rtol=1e-10, atol=1e-10)
        posterior = mixed.label_log_prob(x).exp()  # (5, D + 1, 3)
        torch.testing.assert_close(posterior[:, -1], (torch.stack(parts, 1) - total[:, None]).exp())
    assert posterior[:, 0].tolist() == [pytest.approx([0.2, 0.5, 0.3])] * 5
    assert (posterior[:, -1] - posterior[:, 0]).abs().max() > 0.05


def test_a_label_mixture_takes_counts_for_a_prior():
    mixed = mixture(prior=(2.0, 5.0, 3.0))
    assert mixed.log_prior.exp().tolist() == pytest.approx([0.2, 0.5, 0.3])


def test_a_label_mixture_is_autoregressive():
    mixed = mixture()
    change = dependence(mixed, torch.randint(3, (1, 5, 6), generator=generator()))
    assert change.triu().max() == 0
    # the first pixel says something of the label, and so of the last pixel, far outside its window
    assert change[-1, 0] > 1e-6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": (0, 4, 1)}, r"labels must lie in 0 .. 3, the model's, got \[0, 4, 1\]"),
        ({"labels": (0, 1)}, r"prior must have shape \(2,\)"),
        ({"prior": (0.5, 0.5, 0.0)}, r"prior must be positive, got \[0.5, 0.5, 0.0\]"),
        ({"labels": (), "prior": ()}, "labels must lie in"),
    ],
    ids=["label", "shape", "zero", "none"],
)
def test_label_mixtures_refuse(options, message):
    with pytest.raises(ValueError, match=message):
        mixture(**options)


# Coding


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("classes", [0, 2])
def test_decoding_gives_back_what_was_encoded(kind, classes):
    model = build(kind, levels=5, perturb=0.03, classes=classes)
    x = torch.randint(5, (6, 1, 5, 6), generator=generator(), dtype=torch.uint8)
    y = torch.arange(6) % 2 if classes else None
    codes = encode(model, x, y)
    assert torch.equal(decode(model, codes, y), x.long())
    with torch.no_grad():
        bits = -model.log_prob(x, y) / math.log(2)
    lengths = torch.tensor([float(len(code)) for code in codes])
    # Less than two bits of rounding an image, beside what 30 conditionals lose in 16 bits.
    assert (lengths >= bits - 0.1).all()
    assert (lengths <= bits + 2.1).all()


class Fair(Autoregressive):
    """D fair coins; it keeps what its logits were asked for."""

    def __init__(self, dims):
        super().__init__(2, (dims,))
        self.zero = torch.nn.Parameter(torch.tensor(0.0, dtype=F64))
        self.asked = []

    def logits(self, x, y):
        self.asked.append(x.clone())
        return self.zero.expand(*x.shape, 2)


def test_the_code_of_fair_bits_is_the_bits_themselves():
    fair, bits = Fair(64), torch.randint(2, (20, 64), generator=generator())
    bits[0] = torch.tensor([0] + [1] * 63)  # the last piece below 1/2, by less than a float can tell
    assert torch.equal(decode(fair, encode(fair, bits)), bits)
    # Each half of an interval has one digit more; the last 0 says that all that begins so lies within.
    assert encode(fair, bits) == ["".join(map(str, row)) + "0" for row in bits.tolist()]


def test_decoding_asks_the_model_what_encoding_asked():
    writer, reader = Fair(5), Fair(5)  # so that even rounding is the same
    decode(reader, encode(writer, torch.ones(3, 5).int()))
    assert len(reader.asked) == len(writer.asked) == 5
    assert all(torch.equal(a, b) for a, b in zip(writer.asked, reader.asked, strict=True))


def test_coding_survives_levels_that_are_all_but_impossible():
    class Sure(Autoregressive):
        def __init__(self):
            super().__init__(17, (40,))
            self.weight = torch.nn.Parameter(torch.tensor(80.0, dtype=F64))

        def logits(self, x, y):
            return self.weight * torch.nn.functional.one_hot(torch.zeros_like(x), 17).double()

    x = torch.randint(17, (3, 40), generator=generator())
    x[0] = 0
    codes = encode(Sure(), x)
    assert torch.equal(decode(Sure(), codes), x)
    assert len(codes[0]) <= 2  # 40 levels that were all but sure
    assert len(codes[1]) > 16 * 35


def test_level_counts_sum_to_2_to_the_16_and_are_never_zero():
    p = torch.rand(50, 17, generator=generator(), dtype=F64)
    p[0] = torch.tensor([1.0] + [0.0] * 16)
    p = p / p.sum(1, keepdim=True)
    counts = level_counts(p)
    assert counts.min() == 1
    assert (counts.sum(1) == 2**16).all()
    assert (counts / 2**16 - p).abs().max() < 40 / 2**16
    # By hand: 1 + floor(65533 p) is 32767, 19660, 13107; the largest gets the two that are left.
    by_hand = level_counts(torch.tensor([0.3, 0.5, 0.2], dtype=F64))
    assert by_hand.tolist() == [19660, 32769, 13107]
    with pytest.raises(ValueError, match="at most 32768 levels, got 40000"):
        level_counts(torch.full((1, 40000), 1 / 40000))


def test_coding_refuses():
    model = build(CausalNeighbours)
    with pytest.raises(ValueError, match="strings of 0 and 1"):
        decode(model, ["0102"])
    with pytest.raises(ValueError, match="x must have shape"):
        encode(model, torch.zeros(1, 5, 6).int())


# Sampling


def test_draw_level_inverts_the_distribution_function():
    logits = torch.tensor([0.1, 0.2, 0.7], dtype=F64).log().expand(6, 3)
    u = torch.tensor([0.0, 0.0999, 0.1001, 0.2999, 0.3001, 1 - 1e-16], dtype=F64)
    assert draw_level(logits, u).tolist() == [0, 0, 1, 1, 2, 2]
    assert draw_level(logits[:1].float(), torch.ones(1)).tolist() == [2]  # never a level that is not there
    never = torch.tensor([[-math.inf, 0.0]])
    assert draw_level(never, torch.zeros(1)).tolist() == [1]  # nor one of probability 0
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        draw_level(logits, u, 0.0)


def test_temperature_divides_the_logits():
    # p^(1/T) / sum: for T = 1/2 the squares, .01, .04, .49 of .54
    logits = torch.tensor([[0.1, 0.2, 0.7]], dtype=F64).log()
    edges = torch.tensor([0.01 / 0.54, 0.05 / 0.54])
    for u, level in ((edges[0] - 1e-4, 0), (edges[0] + 1e-4, 1), (edges[1] - 1e-4, 1), (edges[1] + 1e-4, 2)):
        assert draw_level(logits, u[None], 0.5).item() == level


@pytest.mark.parametrize("kind", MODELS)
def test_samples_have_the_probabilities_of_the_model(kind):
    model = build(kind, levels=2, shape=(1, 2, 2), perturb=0.06)
    every = torch.tensor(list(itertools.product(range(2), repeat=4))).reshape(-1, 1, 2, 2)
    with torch.no_grad():
        p = model.log_prob(every).exp()  # (16,)
    n = 4000
    drawn = sample(model, n, generator=generator(3), progress=False).flatten(1)
    counts = torch.bincount((drawn * torch.tensor([8, 4, 2, 1])).sum(1), minlength=16)
    assert n * p.min() > 1  # small cells are few: the statistic is near its chi-squared
    chi2 = ((counts - n * p).square() / (n * p)).sum().item()
    assert chi2 < 15 + 4 * math.sqrt(30)  # 15 degrees of freedom


@pytest.mark.parametrize("classes", [0, 2])
@pytest.mark.parametrize("known", [0, 7])
def test_cached_sampling_is_uncached_sampling(classes, known):
    model = build(PixelTransformer, levels=5, perturb=0.3, classes=classes)
    y = torch.tensor([0, 1, 1]) if classes else None
    given = torch.randint(5, (3, 1, 5, 6), generator=generator(9))
    options = {"given": given, "known": known, "temperature": 0.8, "progress": False}
    slow = sample(model, 3, y, generator=generator(1), **options)
    fast = sample_cached(model, 3, y, generator=generator(1), **options)
    assert torch.equal(slow, fast)
    assert torch.equal(fast.flatten(1)[:, :known], given.flatten(1)[:, :known])
    assert slow.unique().numel() > 2


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_cached_logits_are_uncached_logits(dtype):
    model = build(PixelTransformer, levels=5, shape=(1, 8, 8), perturb=0.2).to(dtype)
    x = torch.randint(5, (4, 1, 8, 8), generator=generator())
    tokens = torch.cat([model.start_token(4, None), model.level(x.flatten(1)[:, :-1])], 1)
    cache = KeyValueCache(len(model.blocks), 64)
    with torch.no_grad():
        whole = model(x).flatten(1, 3)
        # one at a time, then several at once
        parts = [model.read(tokens[:, i : i + 1], cache) for i in range(20)]
        parts += [model.read(tokens[:, 20:50], cache), model.read(tokens[:, 50:], cache)]
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-5, atol=1e-5)


def test_a_full_cache_refuses():
    model = build(PixelTransformer)
    cache = KeyValueCache(len(model.blocks), 2)
    with torch.no_grad(), pytest.raises(ValueError, match="the cache holds 2 positions, got 3"):
        model.read(model.start_token(1, None).expand(1, 3, -1), cache)


def test_the_cache_saves_time():
    # 144 positions: the uncached sampler reads them 144 times. The ratio is far above 2 on any machine.
    model = build(PixelTransformer, levels=4, shape=(1, 12, 12), width=32)

    def seconds(sampler):
        start = time.process_time()
        sampler(model, 8, generator=generator(), progress=False)
        return time.process_time() - start

    assert seconds(sample) > 2 * seconds(sample_cached)


def test_steps_fill_one_position_at_a_time():
    model = build(CausalNeighbours, levels=4)
    images = [x.clone().flatten(1) for x in sample_steps(model, 2, generator=generator())]
    assert len(images) == 30
    for i, image in enumerate(images):
        assert torch.equal(image[:, : i + 1], images[-1][:, : i + 1])
        assert (image[:, i + 1 :] == 0).all()


@pytest.mark.parametrize("sampler", [sample, sample_cached])
def test_sampling_without_a_generator_draws_from_the_global_one(sampler):
    model = build(PixelTransformer)
    with seeded(5):
        drawn = sampler(model, 3, progress=False)
    assert torch.equal(drawn, sampler(model, 3, generator=generator(5), progress=False))


@pytest.mark.parametrize("sampler", [sample, sample_cached])
@pytest.mark.parametrize("due", [False, True])
def test_the_bar_counts_the_positions_that_are_drawn(monkeypatch, sampler, due):
    told = []

    class Recorder(Bar):
        due = False

        def __init__(self, total, *, enabled):
            super().__init__(total, enabled=False)
            told.append((total, enabled))

        def show(self, done, text):
            told.append((done, text))

    Recorder.due = due
    monkeypatch.setattr("dgm.autoregressive.sampling.Bar", Recorder)
    model, given = build(PixelTransformer), torch.zeros(2, 1, 5, 6)
    sampler(model, 2, given=given, known=23, generator=generator())  # 7 of 30 are left
    assert told[0] == (7, True)
    assert told[1:] == [(done, "positions drawn") for done in (range(1, 8) if due else [7])]


def test_sampling_is_the_same_with_the_same_generator_and_leaves_the_global_one_alone():
    model = build(CausalNeighbours, levels=4)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first, again = (sample(model, 3, generator=generator(5), progress=False) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"known": 31}, r"known must lie in 0 .. 30, got 31"),
        ({"known": 2}, "known=2 positions of nothing"),
        ({"given": torch.zeros(1, 1, 5, 6)}, r"given must have shape \(2, 1, 5, 6\), got \(1, 1, 5, 6\)"),
    ],
)
def test_sampling_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        sample(build(CausalNeighbours), 2, progress=False, **options)


class Chain(Autoregressive):
    """p(x_i = x_{i-1}) = 3/4 for two levels: its entropy rate is known."""

    def __init__(self):
        super().__init__(2, (6,))
        self.stay = torch.nn.Parameter(torch.tensor(math.log(3.0), dtype=F64))

    def logits(self, x: Tensor, y: Tensor | None) -> Tensor:
        before = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)
        return self.stay * torch.nn.functional.one_hot(before, 2).double()


def test_a_markov_chain_by_hand():
    model = Chain()
    x = torch.tensor([[0, 0, 1, 1, 1, 0]])
    assert model.log_prob(x).item() == pytest.approx(4 * math.log(3 / 4) + 2 * math.log(1 / 4))
    drawn = sample(model, 4000, generator=generator(), progress=False)
    stays = (drawn[:, 1:] == drawn[:, :-1]).double().mean().item()
    assert stays == pytest.approx(0.75, abs=4 * math.sqrt(0.1875 / 20_000))
