"""The Wasserstein-1 distance, exactly: by quantiles on the line, by linear programming anywhere small."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dgm.tensor import check_same_shape, check_shape


def wasserstein_1d(
    x: Tensor, y: Tensor, *, x_weights: Tensor | None = None, y_weights: Tensor | None = None
) -> Tensor:
    r"""W1 between two weighted sets of points on the line.

    $W_1 = \int_0^1 | F^{-1}(s) - G^{-1}(s) |\, ds$, F and G the two distribution functions; with as many
    points of equal weight, the mean distance of the sorted ones.

    Args:
        x: (N,) points.
        y: (M,) points.
        x_weights: (N,) not negative, scaled to sum to 1; equal when None.
        y_weights: (M,) likewise.

    Returns:
        () units of x; differentiable by the points.

    Raises:
        ValueError: on other shapes, or weights that are negative or all zero.

    Source: Villani 2003, section 2.2.
    Equation: wgan-1d
    Test: tests/unit/test_gan.py::test_wasserstein_1d_is_scipys
    """
    x, cdf_x = _sorted(x, x_weights, "x")
    y, cdf_y = _sorted(y, y_weights, "y")
    # Between two neighbouring steps of either distribution function both quantile functions are constant.
    levels = torch.cat([cdf_x, cdf_y]).sort().values.clamp(max=1.0)  # (N + M,)
    width = levels.diff(prepend=levels.new_zeros(1))  # (N + M,)
    middle = levels - width / 2
    quantile_x = x[torch.searchsorted(cdf_x, middle)]  # the last step is 1 to the last bit, and middle below
    quantile_y = y[torch.searchsorted(cdf_y, middle)]
    return (width * (quantile_x - quantile_y).abs()).sum()


class Transport(NamedTuple):
    """An optimal plan and the prices that prove it optimal."""

    value: float  # sum of plan * cost = p . potential_p + q . potential_q
    plan: Tensor  # (N, M), row sums p, column sums q
    potential_p: Tensor  # (N,) with potential_p[i] + potential_q[j] <= cost[i, j]
    potential_q: Tensor  # (M,)


def optimal_transport(cost: Tensor, p: Tensor, q: Tensor) -> Transport:
    r"""The cheapest way to turn one discrete distribution into another, by linear programming.

    $\min_{\pi \ge 0} \sum_{ij} \pi_{ij} c_{ij}$ with row sums p and column sums q; with c a distance it is
    W1. The dual $\max\, p \cdot \phi + q \cdot \psi$ with $\phi_i + \psi_j \le c_{ij}$ comes along.

    Args:
        cost: (N, M), e.g. torch.cdist(x, y). A few thousand entries take milliseconds, a million minutes.
        p: (N,) probabilities of the sources.
        q: (M,) probabilities of the targets.

    Returns:
        value (units of the cost), plan (N, M), potentials (N,) and (M,), in float64.

    Raises:
        ValueError: on other shapes, negative weights, or sums that differ from 1.
        RuntimeError: if the solver fails.

    Source: Villani 2003, chapter 1; Peyré & Cuturi 2019, section 3.1.
    Equation: wgan-primal
    Test: tests/unit/test_gan.py::test_linear_programme_plan_and_potentials_prove_each_other
    """
    from scipy import sparse

    costs, weights_p, weights_q = _problem(cost, p, q)
    n, m = costs.shape
    rows = sparse.kron(sparse.eye(n), np.ones((1, m)))  # (N, N M): sums over j
    columns = sparse.kron(np.ones((1, n)), sparse.eye(m))  # (M, N M): sums over i
    result = _solve(
        costs.ravel(),
        A_eq=sparse.vstack([rows, columns]).tocsr(),
        b_eq=np.concatenate([weights_p, weights_q]),
    )
    prices = np.asarray(result.eqlin.marginals)
    return Transport(
        float(result.fun),
        torch.from_numpy(np.asarray(result.x).reshape(n, m).copy()),
        torch.from_numpy(prices[:n].copy()),
        torch.from_numpy(prices[n:].copy()),
    )


def lipschitz_dual(distance: Tensor, p: Tensor, q: Tensor) -> tuple[float, Tensor]:
    r"""The best 1-Lipschitz critic between two distributions on the same points, by linear programming.

    $\max_f \sum_k (p_k - q_k) f_k$ with $f_i - f_j \le d_{ij}$: the Kantorovich-Rubinstein dual, equal to W1.

    Args:
        distance: (K, K), a metric on the K points.
        p: (K,) probabilities of the data.
        q: (K,) probabilities of the generator.

    Returns:
        the value (units of the distance), and f (K,) with f[0] = 0, in float64.

    Raises:
        ValueError: on other shapes, negative weights, or sums that differ from 1.
        RuntimeError: if the solver fails.

    Source: Villani 2003, theorem 1.14.
    Equation: wgan-dual
    Test: tests/unit/test_gan.py::test_lipschitz_dual_equals_the_primal
    """
    from scipy import sparse

    costs, weights_p, weights_q = _problem(distance, p, q)
    k = len(costs)
    if costs.shape != (k, k):
        raise ValueError(f"distance must be (K, K), got {tuple(distance.shape)}; p and q share their points")
    i, j = np.nonzero(~np.eye(k, dtype=bool))
    pairs, ones = np.arange(len(i)), np.ones(len(i))
    differences = sparse.csr_matrix((ones, (pairs, i)), (len(i), k)) - sparse.csr_matrix(
        (ones, (pairs, j)), (len(i), k)
    )
    bounds = [(0.0, 0.0)] + [(None, None)] * (k - 1)  # f is free up to a constant
    result = _solve(weights_q - weights_p, A_ub=differences, b_ub=costs[i, j], bounds=bounds)
    return -float(result.fun), torch.from_numpy(np.asarray(result.x).copy())


def _solve(objective: np.ndarray, **problem: object):  # type: ignore[no-untyped-def]  # scipy has no types
    from scipy.optimize import linprog  # lazily: a second of imports

    result = linprog(objective, method="highs", **problem)
    if not result.success:
        raise RuntimeError(f"the linear programme was not solved: {result.message}")
    return result


def _problem(cost: Tensor, p: Tensor, q: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    check_shape("p", p, ("N",))
    check_shape("q", q, ("M",))
    check_shape("cost", cost, (len(p), len(q)), "use torch.cdist(x, y) for p at x and q at y")
    arrays = [t.detach().cpu().double().numpy() for t in (cost, p, q)]
    for name, weights in (("p", arrays[1]), ("q", arrays[2])):
        if weights.min() < 0 or abs(weights.sum() - 1) > 1e-6:
            raise ValueError(
                f"{name} must be probabilities with sum 1, got sum {weights.sum():.6g} and minimum "
                f"{weights.min():.3g}; divide by the sum"
            )
    # Equal to the last bit, or the solver finds the equality constraints contradictory.
    return arrays[0], arrays[1] / arrays[1].sum(), arrays[2] / arrays[2].sum()


def _sorted(points: Tensor, weights: Tensor | None, name: str) -> tuple[Tensor, Tensor]:
    """The points in order, and the distribution function at each."""
    if points.ndim != 1 or not len(points):
        raise ValueError(f"{name} must have shape (N,) with N at least 1, got {tuple(points.shape)}")
    if weights is None:
        weights = torch.ones_like(points)
    check_same_shape(f"{name}_weights", weights, name, points, "give one weight per point")
    if bool((weights < 0).any()) or not bool(weights.sum() > 0):
        raise ValueError(f"{name}_weights must not be negative nor all zero")
    points, order = points.sort()
    cdf = weights[order].to(points.dtype).cumsum(0)
    return points, cdf / cdf[-1]
