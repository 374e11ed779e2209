"""Train one family on 28x28 images, measure it, and store figures and samples.

A run that is stopped (Ctrl-C, `timeout -s INT 570`, a kill) goes on where it was when the same command is
given again. Several processes on one machine: torchrun --nproc-per-node=2 -m dgm.recipes.full ...
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import torch

from dgm.parallel import processes
from dgm.recipes.full.results import full_result, run_full
from dgm.recipes.full.training import FULL, PRECISIONS

STOPPED = 130  # exit status of a run that was interrupted and can go on


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog="python -m dgm.recipes.full",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(
            f"{name}: {recipe.steps} steps of {recipe.batch} images" for name, recipe in FULL.items()
        ),
    )
    made.add_argument("family", choices=tuple(FULL))
    made.add_argument(
        "--data", default="data", help="folder with MNIST's files, or one idx file of images (default: data)"
    )
    made.add_argument(
        "--download", action="store_true", help="fetch MNIST by torchvision where it is missing"
    )
    made.add_argument(
        "--out", default="chapters/results", help="folder of the results (default: chapters/results)"
    )
    made.add_argument("--steps", type=int, help="of training (default: the recipe's)")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--device", help="cuda or cpu (default: cuda where there is one)")
    made.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the networks")
    made.add_argument(
        "--checkpoints", default="build/full", help="folder of what a stopped run goes on from; '' for none"
    )
    made.add_argument("--samples", type=int, default=2000, help="drawn for the figures (default: 2000)")
    made.add_argument("--rate", type=int, help="test images whose bits are taken (default: all)")
    made.add_argument("--commit", help="of the code, for the record (default: what git says)")
    made.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field of the recipe"
    )
    return made


def changes_of(family: str, settings: Sequence[str]) -> dict[str, Any]:
    """The fields that `--set` changes, each `FIELD=VALUE`; a ValueError names a field that there is not."""
    fields = {field.name for field in dataclasses.fields(FULL[family])}
    changes = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or name not in fields:
            raise ValueError(f"--set {setting}: give FIELD=VALUE with one of {', '.join(sorted(fields))}")
        try:
            changes[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            changes[name] = value  # a name, such as that of a likelihood
    return changes


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; exit status 0, 2 for what is wrong with the arguments, 130 when interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given)
    try:
        changes = changes_of(options.family, options.set)
        with processes(options.device) as (shard, device):
            torch.backends.cudnn.benchmark = True  # every batch has one size: the fastest kernels pay
            path = run_full(
                options.family,
                options.data,
                options.out,
                download=options.download,
                changes=changes,
                steps=options.steps,
                device=device,
                precision=options.precision,
                seed=options.seed,
                shard=shard,
                checkpoints=options.checkpoints or None,
                samples=options.samples,
                rated=options.rate,
                commit=options.commit,
                command=f"python -m dgm.recipes.full {shlex.join(given)}",
            )
    except KeyboardInterrupt as interrupt:
        print(f"{interrupt or 'interrupted'}; the same command goes on from there", file=sys.stderr)
        return STOPPED
    except (OSError, ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if path is not None:
        print(full_result(options.family, folder=options.out).text)
        print(f"stored: {path} and {path.with_suffix('.png').name}")
    return 0
