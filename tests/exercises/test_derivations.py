"""The answers of the tasks to derive, against draws: what no formula of the checks had a hand in."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from coursekit.authoring import notebooks as nb
from coursekit.authoring.generate import tagged

SOLUTIONS = Path(__file__).parents[2] / "solutions"


def answers_of(slug: str, name: str) -> dict[str, Any]:
    notebook = nb.read_py(SOLUTIONS / f"{slug}.py")
    names: dict[str, Any] = {}
    exec("\n".join([*tagged(notebook, "setup"), *tagged(notebook, f"answer-{name}")]), names)
    return names


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_gap_is_the_evidence_minus_the_mean_of_log_weights() -> None:
    answers = answers_of("02_vae", "elbo_gap")
    x, b = draw(0, 2, 5)
    m, u = draw(1, 2, 3)
    w, s2 = draw(2, 5, 3), torch.tensor(0.7, dtype=torch.float64)
    v = (0.4 * u).exp()
    cov = w @ w.T + s2 * torch.eye(5, dtype=torch.float64)
    evidence = MultivariateNormal(b, cov).log_prob(x)
    z = m + v.sqrt() * draw(3, 200_000, 3)
    log_w = (
        Normal(torch.zeros_like(m), 1.0).log_prob(z).sum(1)
        + Normal(z @ w.T + b, s2.sqrt()).log_prob(x).sum(1)
        - Normal(m, v.sqrt()).log_prob(z).sum(1)
    )
    error = log_w.std() / math.sqrt(len(log_w))
    assert abs(evidence - log_w.mean() - answers["elbo_gap"](x, m, v, w, b, s2)) < 4.5 * error


def test_least_gap_is_where_gradient_descent_on_the_gap_ends() -> None:
    answers = answers_of("02_vae", "elbo_gap")
    x, b = draw(0, 2, 5)
    w, s2 = draw(2, 5, 3), torch.tensor(0.7, dtype=torch.float64)
    w = w + w[:, :1]
    m, logvar = (torch.zeros(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    optimiser = torch.optim.LBFGS([m, logvar], max_iter=200, line_search_fn="strong_wolfe")

    def gap() -> Tensor:
        return answers["elbo_gap"](x, m, logvar.exp(), w, b, s2)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = gap()
        loss.backward()
        return loss

    optimiser.step(closure)
    least = answers["least_gap"](w, s2)
    assert abs(gap().item() - least.item()) < 1e-6
    assert least > 0.05  # there is something to find


def test_score_variance_and_best_baseline_against_draws() -> None:
    answers = answers_of("02_vae", "score_variance")
    mu, u = draw(4, 2, 1, 4)
    sigma = (0.3 * u).exp()
    eps = draw(5, 400_000, 4)
    f, score = (mu + sigma * eps).square().sum(1), eps[:, 0] / sigma[0, 0]

    def squares(b: float) -> Tensor:  # their mean is the variance
        return ((f - b) * score - 2 * mu[0, 0]).square()

    best = answers["best_baseline"](mu, sigma).item()
    for b in (0.0, 2.5, -1.0, best):
        found = squares(b)
        error = found.std() / math.sqrt(len(found))
        formula = answers["score_variance"](mu, sigma, torch.tensor([b], dtype=torch.float64)).item()
        assert abs(found.mean() - formula) < 4.5 * error, b
    # The same draws on both sides, so that the noise mostly cancels.
    for b in (best - 0.5, best + 0.5, f.mean().item()):
        more = squares(b) - squares(best)
        assert more.mean() > 4.5 * more.std() / math.sqrt(len(more))
