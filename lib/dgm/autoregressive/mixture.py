"""A labelled model with its label summed out: a mixture of autoregressive models is autoregressive again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dgm.autoregressive.base import Autoregressive
from dgm.tensor import check_shape

__all__ = ["LabelMixture"]


class LabelMixture(Autoregressive):
    r"""The distribution of x without its label, from a model with labels.

    $p(x) = \sum_{k} \pi_k\, p(x \mid k) = \prod_i \sum_k p(k \mid x_{<i})\, p(x_i \mid x_{<i}, k)$

    What has been seen of x says which label it may have: p(k | x_<i) is Bayes' rule, brought up to date by
    every pixel. So the label does what a latent does, and ten terms are a sum that one can write out.

    One pass costs as many passes of `model` as there are labels. To sample, draw labels from the prior and
    samples from `model`.

    Args:
        model: with labels; it is kept, not copied.
        prior: (K,), the probability of each label; positive, and divided by its sum.
        labels: the K labels of `model` that are summed; 0 .. K - 1 when None.

    Raises:
        ValueError: a model without labels, a prior of another shape or with a probability of 0 or less, or
            labels that are not the model's.

    Equation: ar-mixture
    Test: tests/equations/test_autoregressive.py::test_mixture_is_bayes_rule_by_enumeration
    """

    log_prior: Tensor
    labels: Tensor

    def __init__(self, model: Autoregressive, prior: Tensor, labels: Sequence[int] | None = None) -> None:
        super().__init__(model.levels, model.shape)
        chosen = list(range(len(prior))) if labels is None else list(labels)
        check_shape("prior", prior, (len(chosen),), "give one probability for each label")
        if not chosen or min(chosen) < 0 or max(chosen) >= model.classes:
            raise ValueError(f"labels must lie in 0 .. {model.classes - 1}, the model's, got {chosen}")
        if prior.min() <= 0:
            raise ValueError(
                f"prior must be positive, got {prior.tolist()}; leave out labels of probability 0"
            )
        self.model: nn.Module = model
        dtype = next(model.parameters()).dtype
        self.register_buffer("log_prior", (prior / prior.sum()).log().to(dtype))
        self.register_buffer("labels", torch.tensor(chosen))

    def label_log_prob(self, x: Tensor) -> Tensor:
        """What the pixels before each position say of the label: log p(k | x_<i).

        Args:
            x: (B, *shape), whole levels.
        Returns:
            (B, D + 1, K): log-probabilities; at 0 the prior's, at D those given the whole x.
        Raises:
            ValueError: as `forward`.
        """
        self.check(x, None)
        return self._components(x.long())[1]

    def logits(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Map checked levels (B, *shape), int64, to log-probabilities (B, *shape, L)."""
        log_p, label_log_p = self._components(x)
        mixed = torch.logsumexp(log_p + label_log_p[:, :-1, :, None], 2)  # (B, D, L)
        return mixed.reshape(*x.shape, self.levels)

    def _components(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x_i | x_<i, k), (B, D, K, L), and log p(k | x_<i), (B, D + 1, K)."""
        batch, count = len(x), len(self.labels)
        given = self.labels.repeat(batch)  # (B K,)
        logits = self.model(x.repeat_interleave(count, 0), given).reshape(batch, count, self.dims, -1)
        log_p = logits.log_softmax(-1).transpose(1, 2)  # (B, D, K, L)
        index = x.flatten(1)[:, :, None, None].expand(-1, -1, count, 1)  # (B, D, K, 1)
        seen = log_p.gather(-1, index).squeeze(-1).cumsum(1)  # (B, D, K): log p(x_<=i | k)
        before = torch.cat([torch.zeros_like(seen[:, :1]), seen], 1)  # (B, D + 1, K)
        return log_p, (self.log_prior + before).log_softmax(-1)
