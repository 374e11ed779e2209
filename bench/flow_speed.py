"""How fast RealNVP runs beside zuko's and normflows': `python bench/flow_speed.py`.

The same architecture in all three: 8 affine couplings on alternating halves, conditioners of two hidden
layers of 64 ReLUs, base N(0, I), float32, one thread; parameter counts agree within 5 %. The figure of a cell
is the time of the better of the two divided by dgm's: at least 1.2 in every cell. Rounds alternate
between the libraries, and each time is the median over the rounds, so what else runs on the machine weighs on
all three alike; the spread is over five such repeats. One minute on an idle core.

zuko and normflows are in the environment that `make peers` builds.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any

import torch
from common import Figure, count_parameters, finish, need, parse_options, race, table
from torch import Tensor, nn

from dgm.flows import FlowModel, RealNVP, StandardNormal
from dgm.nn import seeded

LAYERS, HIDDEN = 8, (64, 64)
SIZES = ((2, 2048), (64, 512))  # dimensions, batch
ROUNDS, REPEATS = 5, 5  # of each repeat, and of the measurement
PEERS = ("zuko", "normflows")
AT_LEAST = 1.2


class Contestant:
    """One library's model under one interface.

    Args:
        model: what holds the parameters.
        log_prob: from points (B, D) to (B,).
        sample: from a number n to points (n, D).
    """

    def __init__(
        self, model: nn.Module, log_prob: Callable[[Tensor], Tensor], sample: Callable[[int], Tensor]
    ) -> None:
        self.model, self.log_prob, self.sample = model, log_prob, sample

    def forward_backward(self, x: Tensor) -> None:
        """One training step without the optimiser's part."""
        self.model.zero_grad()
        (-self.log_prob(x).mean()).backward()


def build(dims: int) -> dict[str, Contestant]:
    """The three models, ours first."""
    import normflows
    import zuko

    with seeded(0):
        ours = FlowModel(StandardNormal(dims), RealNVP(dims, LAYERS, HIDDEN, start=1.0))
        theirs = zuko.flows.RealNVP(dims, transforms=LAYERS, hidden_features=HIDDEN)
        blocks: list[nn.Module] = []
        for _ in range(LAYERS):
            network = normflows.nets.MLP([dims // 2, *HIDDEN, dims])
            blocks += [
                normflows.flows.AffineCouplingBlock(network),
                normflows.flows.Permute(dims, mode="swap"),
            ]
        base = normflows.distributions.DiagGaussian(dims, trainable=False)
        blocky = normflows.NormalizingFlow(base, blocks)
    return {
        "dgm": Contestant(ours, ours.log_prob, ours.sample),
        "zuko": Contestant(theirs, lambda x: theirs().log_prob(x), lambda n: theirs().sample((n,))),
        "normflows": Contestant(blocky, blocky.log_prob, lambda n: blocky.sample(n)[0]),
    }


def cells(dims: int, batch: int, quick: bool) -> list[dict[str, Any]]:
    """The rows of the table for one size."""
    models = build(dims)
    counts = {name: count_parameters(model.model) for name, model in models.items()}
    if max(counts.values()) > 1.05 * min(counts.values()):
        sys.exit(f"parameter counts differ by more than 5 %: {counts}")
    x = torch.randn(batch, dims, generator=torch.Generator().manual_seed(1))

    def without_gradients(call: Callable[[Any], Any], argument: Any) -> Callable[[], Any]:
        return torch.no_grad()(lambda: call(argument))

    operations = {
        "log_prob": {name: without_gradients(m.log_prob, x) for name, m in models.items()},
        "sample": {name: without_gradients(m.sample, batch) for name, m in models.items()},
        "forward and backward": {name: (lambda m=m: m.forward_backward(x)) for name, m in models.items()},
    }
    rows: list[dict[str, Any]] = []
    for operation, calls in operations.items():
        milliseconds, ratios = race(calls, *((2, 1) if quick else (ROUNDS, REPEATS)))
        rows.append(
            {
                "row": f"d = {dims}, batch {batch}, {operation}",
                **{f"{name}_ms": value for name, value in milliseconds.items()},
                "ratios": ratios,
                **{f"{name}_parameters": n for name, n in counts.items()},
            }
        )
    return rows


def main(options: argparse.Namespace) -> None:
    """Time every cell of the table once; seeds would only change the numbers that are multiplied."""
    need("flow_speed", PEERS, "make peers")
    options.seeds = 1
    rows = [row for dims, batch in SIZES for row in cells(dims, batch, options.quick)]
    print(f"{LAYERS} affine couplings, conditioners {HIDDEN}")
    print("milliseconds of CPU per call, the best of the repeats' medians; the ratio is their median")
    figures = {
        row["row"]: Figure(
            row.pop("ratios"), "times the better peer's speed", at_least=AT_LEAST, by_median=True
        )
        for row in rows
    }
    columns = ("", "dgm", *PEERS, "ratio")
    print(table(columns, [[*list(row.values())[:4], figures[row["row"]].judged] for row in rows]))
    finish("flow_speed", figures, options=options, rows=rows, peers=PEERS)


if __name__ == "__main__":
    main(parse_options(__doc__.splitlines()[0]))
