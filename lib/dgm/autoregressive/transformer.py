"""A decoder-only Transformer over pixels or codes, with a key-value cache for sampling."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from dgm.autoregressive.base import Autoregressive
from dgm.autoregressive.sampling import draw_level, exhaust, start
from dgm.nn import attention

__all__ = ["KeyValueCache", "PixelTransformer", "sample_cached"]


class KeyValueCache:
    """Keys and values of the positions that a Transformer has read, layer by layer.

    A position's keys and values depend on itself and on earlier positions, which never change while sampling:
    they are computed once and kept, so a new position costs one token instead of the whole sequence.

    Args:
        layers: number of attention layers.
        capacity: the largest number of positions.

    Equation: ar-cache
    Test: tests/equations/test_autoregressive.py::test_a_cache_gives_the_last_row_of_attention
    """

    def __init__(self, layers: int, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append the keys and values of new positions (B, heads, n, D); return all of them so far.

        The positions count as read only after `advance`, since every layer extends by the same ones.

        Raises:
            ValueError: more positions than the capacity.
        """
        end = self.length + k.shape[2]
        if end > self.capacity:
            raise ValueError(
                f"the cache holds {self.capacity} positions, got {end}; make a new one per sample"
            )
        keys, values = self._keys[layer], self._values[layer]
        if keys is None or values is None:  # memory is taken once
            keys = self._keys[layer] = k.new_zeros(*k.shape[:2], self.capacity, k.shape[3])
            values = self._values[layer] = torch.zeros_like(keys)
        keys[:, :, self.length : end], values[:, :, self.length : end] = k, v
        return keys[:, :, :end], values[:, :, :end]

    def advance(self, positions: int) -> None:
        """Count positions as read, after all layers have been extended by them."""
        self.length += positions


class _Block(nn.Module):
    """Causal attention, then an MLP, each on a normalised input and added to it."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, cache: KeyValueCache | None = None, layer: int = 0) -> Tensor:
        batch, n, width = h.shape
        qkv = self.qkv(self.norm_1(h)).reshape(batch, n, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, n, D)
        if cache is not None:
            k, v = cache.extend(layer, k, v)  # (B, heads, M, D), M = read before + n
        m = k.shape[2]
        # Query i is position m - n + i of the sequence: it looks at itself and what came before.
        mask = torch.ones(n, m, dtype=torch.bool, device=h.device).tril(m - n)
        mixed = attention(q, k, v, mask).transpose(1, 2).reshape(batch, n, width)
        h = h + self.dropout(self.out(mixed))
        return h + self.dropout(self.mlp(self.norm_2(h)))


class PixelTransformer(Autoregressive):
    """A GPT over the positions of an image or of any array of codes.

    The input at position i is the level at i - 1 (a learned start, or the label's, at the first), so the
    output at i knows only what came before it.

    Args:
        levels: L.
        shape: of one x: (1, 8, 8) for grey images, (4, 4) for codes.
        width: channels of a token.
        layers: number of blocks.
        heads: of the attention; they divide the width.
        dropout: after every attention, every MLP and the embeddings.
        classes: number of labels; 0 for none.
    Raises:
        ValueError: heads that do not divide the width.

    Source: Radford et al. 2018; Chen et al. 2020, "Generative pretraining from pixels", section 3.2.
    Equation: ar-attention
    Test: tests/equations/test_autoregressive.py::test_the_transformer_is_torchs_encoder_with_a_causal_mask
    """

    def __init__(
        self,
        levels: int,
        shape: tuple[int, ...],
        width: int = 64,
        layers: int = 3,
        *,
        heads: int = 4,
        dropout: float = 0.0,
        classes: int = 0,
    ) -> None:
        super().__init__(levels, shape, classes)
        if heads < 1 or width % heads:
            raise ValueError(f"heads must divide width, got {heads} heads for a width of {width}")
        self.level = nn.Embedding(levels, width)
        self.first = nn.Embedding(max(classes, 1), width)  # what stands before position 0
        self.position = nn.Parameter(torch.zeros(self.dims, width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(_Block(width, heads, dropout) for _ in range(layers))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, levels)
        for embedding in (self.level.weight, self.first.weight, self.position):
            nn.init.normal_(embedding, std=0.5 / width**0.5)
        with torch.no_grad():  # the sum over the blocks starts with the variance of one
            for name, weight in self.blocks.named_parameters():
                if name.endswith(("out.weight", "mlp.2.weight")):
                    weight.mul_((2 * layers) ** -0.5)

    def start_token(self, batch: int, y: Tensor | None) -> Tensor:
        """(B, 1, width): what stands before the first position."""
        index = torch.zeros(batch, dtype=torch.int64, device=self.position.device) if y is None else y
        token: Tensor = self.first(index)[:, None]
        return token

    def logits(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Map checked levels (B, *shape), int64, and labels (B,) or None to logits (B, *shape, L)."""
        tokens = self.level(x.flatten(1)[:, :-1])  # (B, N - 1, width)
        h = torch.cat([self.start_token(len(x), y), tokens], 1)  # (B, N, width)
        return self.read(h).reshape(*x.shape, self.levels)

    def read(self, tokens: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """Map the next n embedded tokens to the logits of the positions that follow them.

        Args:
            tokens: (B, n, width), without their positions.
            cache: of the tokens before these; None where these are the first. It is extended.
        Returns:
            (B, n, L).
        """
        begin, n = (cache.length if cache is not None else 0), tokens.shape[1]
        h = self.dropout(tokens + self.position[begin : begin + n])  # (B, n, width)
        for layer, block in enumerate(self.blocks):
            h = block(h, cache, layer)
        if cache is not None:
            cache.advance(n)
        logits: Tensor = self.out(self.norm(h))  # (B, n, L)
        return logits


@torch.no_grad()
def sample_cached(
    model: PixelTransformer,
    n: int,
    y: Tensor | None = None,
    *,
    given: Tensor | None = None,
    known: int = 0,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Tensor:
    """Draw n samples with a key-value cache: the same as `sample`, one token a position instead of all.

    Args:
        model: in eval mode.
        n: number of samples.
        y: (n,) labels, for a model with classes.
        given: (n, *shape), images whose first `known` positions (raster order) are kept.
        known: how many positions are kept.
        temperature: divides the logits.
        generator: of the draws, one uniform number for each sample and position.
        progress: show a bar over the positions.
    Returns:
        (n, *shape) int64 levels.
    Raises:
        ValueError: as `sample_steps`.
    """
    x = start(model, n, given, known)
    model.check(x, y)

    def steps() -> Iterator[Tensor]:
        flat = x.view(n, -1)
        cache = KeyValueCache(len(model.blocks), model.dims)
        # The beginning is read at once: the start token and all known levels but the last, which comes next.
        new = torch.cat([model.start_token(n, y), model.level(flat[:, :known])], 1)  # (n, known + 1, width)
        for position in range(known, model.dims):
            logits = model.read(new, cache)[:, -1]  # (n, L)
            u = torch.rand(n, generator=generator, device=generator.device if generator else x.device)
            flat[:, position] = draw_level(logits, u.to(x.device), temperature)
            new = model.level(flat[:, position : position + 1])  # (n, 1, width)
            yield x

    return exhaust(steps(), x, model.dims - known, progress)
