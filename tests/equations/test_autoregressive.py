"""The equations of chapter 09_autoregressive, each against something that does not come from dgm."""

import itertools
import math
from fractions import Fraction

import pytest
import scipy.stats
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, kl_divergence
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

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
    level_counts,
    raster_mask,
    sample,
    sample_cached,
)
from dgm.nn import attention, seeded
from dgm.prob import categorical_log_prob, kl_categorical
from dgm.tensor import bits_per_dim

F64 = torch.float64
NETWORKS = [PixelCNN, GatedPixelCNN, PixelTransformer, CausalNeighbours]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def perturbed(kind, levels=2, shape=(1, 2, 2), *, scale=0.2, seed=0, **options):
    """A model in float64 and eval mode, all of its parameters away from their starts."""
    with seeded(seed):
        model = kind(levels, shape, **options).double().eval()
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return model


def every(levels: int, dims: int, shape: tuple[int, ...]) -> Tensor:
    """All images, in lexicographic order: (L^D, *shape)."""
    return torch.tensor(list(itertools.product(range(levels), repeat=dims))).reshape(-1, *shape)


def random_joint(levels: int, dims: int, seed: int = 0) -> Tensor:
    """A table of shape (L, ..., L)."""
    p = torch.rand([levels] * dims, generator=rng(seed), dtype=F64) ** 2
    return p / p.sum()


def summed_out(joint: Tensor, keep: tuple[int, ...]) -> Tensor:
    """The marginal of some axes, in the shape of the joint with ones elsewhere."""
    rest = [axis for axis in range(joint.ndim) if axis not in keep]
    return joint.sum(rest, keepdim=True) if rest else joint


class Tabled(Autoregressive):
    """Bets from a joint table, each on the pixels in its own context only."""

    def __init__(self, joint: Tensor, contexts=None) -> None:
        super().__init__(joint.shape[0], (joint.ndim,))
        self.unused = nn.Parameter(torch.zeros((), dtype=F64))  # tells the device
        self.joint = joint
        self.contexts = contexts or [tuple(range(i)) for i in range(joint.ndim)]

    def logits(self, x: Tensor, y: Tensor | None) -> Tensor:
        found = []
        for i, context in enumerate(self.contexts):
            table = summed_out(self.joint, (*context, i)).movedim(i, -1)
            others = [j for j in range(self.dims) if j != i]
            index = tuple(x[:, j] if j in context else torch.zeros_like(x[:, 0]) for j in others)
            row = table[index]  # (B, L)
            found.append((row / row.sum(1, keepdim=True)).log())
        return torch.stack(found, 1)


def entropy_nats(joint: Tensor, keep) -> float:
    return float(scipy.stats.entropy(summed_out(joint, tuple(keep)).flatten().numpy()))


# The chain rule


@pytest.mark.equation("ar-chain")
@pytest.mark.parametrize("kind", NETWORKS)
def test_conditionals_of_the_enumerated_joint_are_the_networks(kind):
    model = perturbed(kind, levels=3)
    images = every(3, 4, model.shape)
    with torch.no_grad():
        joint = model.log_prob(images).exp().reshape(3, 3, 3, 3)
        claimed = model(images).softmax(-1).reshape(3, 3, 3, 3, 4, 3)
    assert joint.sum().item() == pytest.approx(1, abs=1e-12)
    for i in range(4):
        table = summed_out(joint, tuple(range(i + 1)))
        conditional = (table / table.sum(i, keepdim=True)).expand_as(joint).movedim(i, -1)  # sorted by x_i
        # What the network says at position i, asked with any pixels from i on:
        said = claimed[..., i, :].select(i, 0)
        torch.testing.assert_close(said, conditional, rtol=1e-10, atol=1e-12)


@pytest.mark.equation("ar-chain")
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_every_order_gives_the_same_joint(order):
    joint = random_joint(3, 3)
    model = Tabled(joint.permute(order))
    images = every(3, 3, (3,))
    expected = joint.permute(order)[tuple(images.T)].log()
    torch.testing.assert_close(model.log_prob(images), expected, rtol=1e-12, atol=1e-12)


# Likelihood, bits, codes


@pytest.mark.equation("ar-loglik")
@pytest.mark.parametrize("kind", NETWORKS)
def test_the_log_likelihood_is_a_sum_of_cross_entropies(kind):
    model = perturbed(kind, levels=5, shape=(1, 4, 5), scale=0.05)
    x = torch.randint(5, (6, 1, 4, 5), generator=rng())
    with torch.no_grad():
        logits = model(x).flatten(1, 3)  # (6, 20, 5)
        paid = [
            F.cross_entropy(row, image.flatten(), reduction="sum")
            for row, image in zip(logits, x, strict=True)
        ]
        torch.testing.assert_close(model.log_prob(x), -torch.stack(paid), rtol=1e-12, atol=1e-12)
        # A constant added to all logits of a pixel changes nothing: the sum over k is there.
        moved = categorical_log_prob(model(x) + torch.randn(6, 1, 4, 5, 1, generator=rng(), dtype=F64), x)
        torch.testing.assert_close(moved, model.log_prob(x), rtol=1e-10, atol=1e-10)


class StickyChain(Autoregressive):
    """x_1 fair; every later bit equals the one before it with probability 3/4."""

    def __init__(self, length: int) -> None:
        super().__init__(2, (length,))
        self.stay = nn.Parameter(torch.tensor(math.log(3.0), dtype=F64))

    def logits(self, x: Tensor, y: Tensor | None) -> Tensor:
        later = self.stay * F.one_hot(x[:, :-1], 2).double()
        return torch.cat([torch.zeros(len(x), 1, 2, dtype=F64), later], 1)


@pytest.mark.equation("ar-bits")
def test_bits_per_dimension_of_a_chain_is_its_entropy_rate():
    length = 10
    model = StickyChain(length)
    images = every(2, length, (length,))
    with torch.no_grad():
        log_p = model.log_prob(images)
    mean = bits_per_dim(-(log_p.exp() * log_p).sum().item(), length)
    # The entropy of a 3/4 coin is 0.8113 bits (tables of the binary entropy function).
    assert mean == pytest.approx((1 + (length - 1) * 0.811278) / length, abs=1e-6)
    with torch.no_grad():
        model.stay.zero_()
        assert bits_per_dim(-model.log_prob(images[:1]).item(), length) == pytest.approx(1)


@pytest.mark.equation("ar-bits")
def test_bits_of_even_bets_over_17_levels():
    even = categorical_log_prob(torch.zeros(2, 64, 17, dtype=F64), torch.zeros(2, 64, dtype=torch.int64))
    assert bits_per_dim(-even[0].item(), 64) == pytest.approx(4.08746, abs=1e-5)  # log2 17


@pytest.mark.equation("ar-code")
def test_code_lengths_are_bounded_and_prefix_free():
    joint = random_joint(3, 3)
    model = Tabled(joint)
    images = every(3, 3, (3,))
    codes = encode(model, images)
    assert torch.equal(decode(model, codes), images)
    # The probabilities that the coder uses, as exact fractions.
    with torch.no_grad():
        counts = level_counts(model(images).softmax(-1)).gather(-1, images[..., None])[..., 0]
    p = [math.prod(Fraction(int(c), 2**16) for c in row) for row in counts]
    assert sum(p) == 1
    begin = [sum(p[:i], Fraction(0)) for i in range(len(p))]  # F: the images are in lexicographic order
    for code, low, width in zip(codes, begin, p, strict=True):
        assert len(code) == math.ceil(-math.log2(width)) + 1
        assert -math.log2(width) <= len(code) < -math.log2(width) + 2
        v, step = Fraction(int(code, 2), 2 ** len(code)), Fraction(1, 2 ** len(code))
        assert low <= v < v + step <= low + width
    assert not any(a.startswith(b) for a, b in itertools.permutations(codes, 2))
    assert sum(Fraction(1, 2 ** len(code)) for code in codes) <= 1  # Kraft's inequality
    entropy = entropy_nats(joint, range(3)) / math.log(2)
    mean = sum(float(width) * len(code) for code, width in zip(codes, p, strict=True))
    assert entropy <= mean < entropy + 2


@pytest.mark.equation("ar-code")
def test_the_code_of_the_chapter_by_hand():
    # p(x_1) = 1/2, 1/4, 1/4; after level 1: 1/2, 1/3, 1/6. The piece of (1, 2) is [17/24, 18/24), and
    # -log2(1/24) = 4.58, so 6 digits; 17/24 rounded up to 64ths is 46/64 = 0.101110.
    first = torch.tensor([1 / 2, 1 / 4, 1 / 4], dtype=F64)
    second = torch.tensor([1 / 2, 1 / 3, 1 / 6], dtype=F64)
    model = Tabled(first[:, None] * second)
    assert encode(model, torch.tensor([[1, 2]])) == ["101110"]


# Contexts and divergences


@pytest.mark.equation("ar-context")
@pytest.mark.parametrize(
    "contexts",
    [
        [(), (), (), ()],
        [(), (0,), (1,), (2,)],
        [(), (0,), (0,), (0, 2)],
        [(), (0,), (0, 1), (0, 1, 2)],
    ],
    ids=["nothing", "the last", "a choice", "everything"],
)
def test_a_short_sight_costs_conditional_mutual_information(contexts):
    joint = random_joint(2, 4)
    images = every(2, 4, (4,))
    with torch.no_grad():
        paid = -(joint.flatten() * Tabled(joint, contexts).log_prob(images)).sum().item()
    price = 0.0
    for i, seen in enumerate(contexts):
        before = set(range(i))
        # I(A; B | C) = H(A, C) + H(B, C) - H(A, B, C) - H(C), with A = x_i, B = the unseen, C = the seen
        price += entropy_nats(joint, {i, *seen}) + entropy_nats(joint, before)
        price -= entropy_nats(joint, before | {i}) + entropy_nats(joint, seen)
    assert paid - entropy_nats(joint, range(4)) == pytest.approx(price, abs=1e-12)
    assert (price > 1e-3) == (contexts[3] != (0, 1, 2))


@pytest.mark.equation("ar-kl")
@pytest.mark.parametrize("kind", NETWORKS)
def test_the_divergence_of_joints_is_the_sum_over_beginnings(kind):
    p_model, q_model = (perturbed(kind, levels=2, seed=seed) for seed in (0, 1))
    images = every(2, 4, p_model.shape)
    with torch.no_grad():
        log_p, log_q = p_model.log_prob(images), q_model.log_prob(images)
        p_bets, q_bets = (Categorical(logits=m(images).flatten(1, 3)) for m in (p_model, q_model))
        # The mean over whole images is a mean over beginnings: what follows does not move the bets.
        by_pixel = (log_p.exp()[:, None] * kl_divergence(p_bets, q_bets)).sum(0)  # (4,)
    total = kl_categorical(log_p, log_q).item()
    assert by_pixel.sum().item() == pytest.approx(total, rel=1e-10)
    assert total > 1e-3


# Masks and what a stack sees


@pytest.mark.equation("ar-mask")
@pytest.mark.parametrize("size", [1, 3, 5, 7])
@pytest.mark.parametrize("centre", [False, True])
def test_masks_keep_what_comes_first_in_raster_order(size, centre):
    # Number the places of a large image row by row; a weight is kept where its place has a smaller number.
    width = 100
    own = (size // 2) * width + size // 2
    expected = [[float(r * width + c < own + centre) for c in range(size)] for r in range(size)]
    assert raster_mask(size, centre).tolist() == expected


@pytest.mark.equation("ar-mask")
@pytest.mark.parametrize("centre", [False, True])
def test_masked_convolutions_have_zero_gradient_where_the_mask_is_zero(centre):
    with seeded(0):
        conv = MaskedConv2d(1, 4, raster_mask(5, centre)).double()
    x = torch.randn(1, 1, 9, 9, generator=rng(), dtype=F64, requires_grad=True)
    conv(x)[0, :, 4, 4].sum().backward()
    seen = x.grad[0, 0].flatten().nonzero().flatten().tolist()
    window = [r * 9 + c for r in range(2, 7) for c in range(2, 7)]
    assert seen == [place for place in window if place < 40 + centre]


@pytest.mark.equation("ar-reach")
@pytest.mark.parametrize(("r", "n"), [(1, 0), (1, 2), (2, 0), (2, 1), (1, 4)])
def test_what_a_stack_of_masked_convolutions_sees(r, n):
    height, width, row, column = 6, 11, 5, 4
    model = perturbed(PixelCNN, 2, (1, height, width), scale=0.05, width=4, first=2 * r + 1, layers=n)
    x = torch.randint(2, model.shape, generator=rng())
    change = dependence(model, x)[row * width + column].reshape(height, width)
    for place_row, place_column in itertools.product(range(height), range(width)):
        a, b = row - place_row, place_column - column
        above = 1 <= a <= r + n and -(r + n) <= b <= r + min(a - 1, n)
        beside = a == 0 and -(r + n) <= b <= -1
        assert (change[place_row, place_column] > 0) == (above or beside), (a, b)


# Two stacks


@pytest.mark.equation("ar-gate")
def test_two_gated_stacks_by_loops_over_single_pixels():
    height, width, channels = 3, 4, 2
    model = perturbed(GatedPixelCNN, 3, (1, height, width), width=channels, layers=2, first=3)
    x = torch.randint(3, (1, 1, height, width), generator=rng())

    def at(features, row, column):  # a pixel's channels, zero outside
        inside = 0 <= row < height and 0 <= column < width
        return features[:, row, column] if inside else torch.zeros(len(features), dtype=F64)

    def conv(layer, features, places):  # sum over the listed (u, v) only
        out = torch.empty(2 * channels, height, width, dtype=F64)
        for row, column in itertools.product(range(height), range(width)):
            terms = [layer.weight[:, :, 1 + u, 1 + v] @ at(features, row + u, column + v) for u, v in places]
            out[:, row, column] = layer.bias + torch.stack(terms).sum(0)
        return out

    def gate(h):
        a, b = h[:channels], h[channels:]
        return (a.exp() - (-a).exp()) / (a.exp() + (-a).exp()) / (1 + (-b).exp())

    def mix(layer, features):  # a 1x1 convolution
        out = torch.einsum("oi,ihw->ohw", layer.weight[:, :, 0, 0], features)
        return out + layer.bias[:, None, None]

    with torch.no_grad():
        grey = (x[0, 0] - 1).double()  # levels 0, 1, 2 as -1, 0, 1
        image = torch.stack([grey, torch.ones_like(grey)])
        above_places = [(-1, -1), (-1, 0), (-1, 1)]
        u = conv(model.vertical[0], image, above_places)
        v = gate(u)
        h = gate(conv(model.horizontal[0], image, [(0, -1)]) + mix(model.across[0], u))
        for layer in (1, 2):  # both stacks add to what they had
            u = conv(model.vertical[layer], v, [*above_places, (0, -1), (0, 0), (0, 1)])
            v = v + gate(u)
            h = h + gate(conv(model.horizontal[layer], h, [(0, -1), (0, 0)]) + mix(model.across[layer], u))
        out = mix(model.out[3], mix(model.out[1], h.clamp(min=0)).clamp(min=0))
        expected = out.movedim(0, -1)
        torch.testing.assert_close(model(x)[0, 0], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.equation("ar-gate")
def test_two_stacks_see_every_earlier_pixel_and_no_other():
    model = perturbed(GatedPixelCNN, 2, (1, 5, 6), scale=0.05, width=4, first=3, layers=5)
    change = dependence(model, torch.randint(2, model.shape, generator=rng()))
    assert torch.equal(change > 0, torch.ones(30, 30, dtype=torch.bool).tril(-1))


# The Transformer


@pytest.mark.equation("ar-attention")
def test_causal_attention_by_loops_and_by_torch():
    q, k, v = (torch.randn(2, 3, 7, 4, generator=rng(seed), dtype=F64) for seed in range(3))
    ours = attention(q, k, v, torch.ones(7, 7, dtype=torch.bool).tril())
    torch.testing.assert_close(ours, F.scaled_dot_product_attention(q, k, v, is_causal=True))
    for i in range(7):
        fits = [math.exp(float(q[1, 2, i] @ k[1, 2, j]) / 2) for j in range(i + 1)]  # sqrt(4) = 2
        mean = sum(fit / sum(fits) * v[1, 2, j] for j, fit in enumerate(fits))
        torch.testing.assert_close(ours[1, 2, i], mean)


@pytest.mark.equation("ar-attention")
def test_the_transformer_is_torchs_encoder_with_a_causal_mask():
    width, heads, layers = 12, 3, 2
    model = perturbed(PixelTransformer, 5, (1, 3, 4), scale=0.1, width=width, layers=layers, heads=heads)
    x = torch.randint(5, (4, 1, 3, 4), generator=rng())
    with seeded(0):
        theirs = [
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True, dtype=F64
            ).eval()
            for _ in range(layers)
        ]
    with torch.no_grad():
        for block, layer in zip(model.blocks, theirs, strict=True):
            layer.self_attn.in_proj_weight.copy_(block.qkv.weight)
            layer.self_attn.in_proj_bias.copy_(block.qkv.bias)
            layer.self_attn.out_proj.load_state_dict(block.out.state_dict())
            layer.linear1.load_state_dict(block.mlp[0].state_dict())
            layer.linear2.load_state_dict(block.mlp[2].state_dict())
            layer.norm1.load_state_dict(block.norm_1.state_dict())
            layer.norm2.load_state_dict(block.norm_2.state_dict())
        # Token i is pixel i - 1, token 0 the start; each gets its position.
        tokens = torch.stack(
            [model.first.weight[0].expand(4, -1)]
            + [model.level.weight[x.flatten(1)[:, i]] for i in range(11)],
            1,
        )
        h = tokens + model.position
        mask = nn.Transformer.generate_square_subsequent_mask(12, dtype=F64)  # -inf above the diagonal
        assert mask[0, 1] == -math.inf
        for layer in theirs:
            h = layer(h, src_mask=mask)
        expected = model.out(model.norm(h)).reshape(4, 1, 3, 4, 5)
        torch.testing.assert_close(model(x), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.equation("ar-cache")
def test_a_cache_gives_the_last_row_of_attention():
    q, k, v = (torch.randn(2, 3, 6, 4, generator=rng(seed), dtype=F64) for seed in range(3))
    cache = KeyValueCache(1, 6)
    for i in range(6):
        keys, values = cache.extend(0, k[:, :, i : i + 1], v[:, :, i : i + 1])
        cache.advance(1)
        assert keys.shape[2] == i + 1
        newest = attention(q[:, :, i : i + 1], keys, values)  # no mask
        whole = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        torch.testing.assert_close(newest, whole[:, :, i : i + 1])


@pytest.mark.equation("ar-cache")
def test_one_token_at_a_time_gives_the_logits_of_the_whole_pass():
    model = perturbed(PixelTransformer, 5, (1, 4, 4), width=16, layers=3)
    x = torch.randint(5, (3, 1, 4, 4), generator=rng())
    tokens = torch.cat([model.start_token(3, None), model.level(x.flatten(1)[:, :-1])], 1)
    cache = KeyValueCache(3, 16)
    with torch.no_grad():
        parts = [model.read(tokens[:, i : i + 1], cache) for i in range(16)]
        torch.testing.assert_close(torch.cat(parts, 1), model(x).flatten(1, 3), rtol=1e-9, atol=1e-10)


def counted_flops(run) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


@pytest.mark.equation("ar-cost")
@pytest.mark.parametrize(("side", "width"), [(3, 8), (4, 16)])
def test_multiplications_as_torch_counts_them(side, width):
    def flops(sampler, layers):
        with seeded(0):
            model = PixelTransformer(4, (1, side, side), width, layers, heads=2).eval()
        return counted_flops(lambda: sampler(model, 1, generator=rng(), progress=False))

    n, w = side**2, width
    # Two models that differ by one layer: what is left is that layer's. One multiplication is two flops.
    without = (flops(sample, 2) - flops(sample, 1)) / 2
    cached = (flops(sample_cached, 2) - flops(sample_cached, 1)) / 2
    assert without == n * (12 * w**2 * n + 2 * w * n**2)
    assert cached == 12 * w**2 * n + w * n * (n + 1)


# A label summed out


@pytest.mark.equation("ar-mixture")
@pytest.mark.parametrize("kind", NETWORKS)
def test_mixture_is_bayes_rule_by_enumeration(kind):
    prior = torch.tensor([0.2, 0.5, 0.3], dtype=F64)
    model = perturbed(kind, levels=2, classes=3)
    mixture = LabelMixture(model, prior)
    images = every(2, 4, model.shape)
    with torch.no_grad():
        parts = torch.stack([model.log_prob(images, torch.full((16,), k)).exp() for k in range(3)])
        joint = (prior[:, None] * parts).reshape(3, 2, 2, 2, 2)  # p(k, x_1, x_2, x_3, x_4)
        p_x = joint.sum(0)
        torch.testing.assert_close(mixture.log_prob(images), p_x.flatten().log(), rtol=1e-10, atol=1e-12)
        bets = mixture(images).softmax(-1).reshape(2, 2, 2, 2, 4, 2)
        belief = mixture.label_log_prob(images).exp().reshape(2, 2, 2, 2, 5, 3)
    for i in range(5):
        table = summed_out(joint, tuple(range(i + 1)))  # p(k, x_1 .. x_i)
        posterior = (table / table.sum(0)).expand_as(joint).movedim(0, -1)
        torch.testing.assert_close(belief[..., i, :], posterior, rtol=1e-9, atol=1e-12)
    for i in range(4):
        table = summed_out(p_x, tuple(range(i + 1)))
        conditional = (table / table.sum(i, keepdim=True)).expand_as(p_x).movedim(i, -1)
        torch.testing.assert_close(bets[..., i, :].select(i, 0), conditional, rtol=1e-9, atol=1e-12)
    assert (belief[..., -1, :] - prior).abs().max() > 0.05


# Temperature


@pytest.mark.equation("ar-temperature")
@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_levels_are_drawn_with_the_powers_of_the_probabilities(temperature):
    p = torch.tensor([0.1, 0.25, 0.6, 0.05], dtype=F64)
    u = (torch.arange(20_000, dtype=F64) + 0.5) / 20_000  # a grid in place of draws: exact to 1 / 20,000
    logits = (p.log() + 7.0).expand(20_000, -1)  # a constant cancels
    share = torch.bincount(draw_level(logits, u, temperature), minlength=4) / 20_000
    powers = torch.tensor([0.1, 0.25, 0.6, 0.05], dtype=F64).pow(1 / temperature)
    torch.testing.assert_close(share.double(), powers / powers.sum(), rtol=0, atol=1e-4)


@pytest.mark.equation("ar-temperature")
def test_cooling_every_pixel_is_not_cooling_the_joint():
    # The first bit is fair; after 0 the second is 0 for sure (all but), after 1 it is fair.
    joint = torch.tensor([[0.5 - 1e-9, 1e-9], [0.25, 0.25]], dtype=F64)
    drawn = sample(Tabled(joint), 4000, temperature=0.05, generator=rng(), progress=False)
    begins = (drawn[:, 0] == 1).double().mean().item()
    assert begins == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(4000))  # of the joint to the 20th: 2^-19
