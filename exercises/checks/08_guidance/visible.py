# Generated from solutions/ by `python -m coursekit.authoring.generate`; do not edit.
"""Visible checks of 08_guidance: known values and properties, with the hint that fits what went wrong."""

import math
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor

from coursekit.exercises.judge import (
    NotDone,
    Trouble,
    close,
    entry,
    explain,
    number,
    returned,
    table,
    tensor,
)
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion, Task

from .probes import (
    CODE_SHARE,
    CODE_TIMES,
    COUNT,
    DIMS,
    ETA,
    ETAS,
    FACTORS,
    LABELS,
    NONE,
    NUMBERS,
    PATH,
    PROBES,
    SCALE,
    SCALES,
    SHARE,
    STEPS,
    code_table,
    draw,
    ends,
    labelled,
    many_labels,
    one_step,
    originals,
    path_table,
    slope_of,
    tables,
    with_label,
)

# --- ddim_step ---------------------------------------------------------------------------------------


def sizes(a_t: Tensor, a_s: Tensor, eta: float) -> dict[str, Tensor]:
    """Standard deviations of the fresh noise, right and mistaken."""
    # The variance of x_s that is not known once x_t and x_0 are: by conditioning one Gaussian on another.
    covariance = (a_t / a_s).sqrt() * (1 - a_s)
    known = (1 - a_s - covariance.square() / (1 - a_t)).sqrt()
    return {
        "right": eta * known,
        "squared eta": eta**2 * known,
        "root of eta": math.sqrt(eta) * known,
        "large": eta * (1 - a_t / a_s).sqrt(),
        "first root": eta * ((1 - a_s) / (1 - a_t)).sqrt(),
        "variance": (eta * known).square(),
        "whole": eta * (1 - a_s).sqrt(),
        "ratio turned": eta * known * (1 - a_t) / (1 - a_s),
        "no eta": known,
    }


def without_noise(data: Plain, seed: int) -> str | None:
    s = one_step(seed)
    x_t, eps, a_t, a_s = s["x_t"], s["eps_hat"], s["a_t"], s["a_s"]
    keep_t, keep_s, in_t, in_s = a_t.sqrt(), a_s.sqrt(), (1 - a_t).sqrt(), (1 - a_s).sqrt()
    shrink = keep_s / keep_t
    known = sizes(a_t, a_s, 1.0)["right"]
    return explain(
        tensor(data, "plain", (5, 3)),
        shrink * x_t + (in_s - shrink * in_t) * eps,
        {
            "This is the guess of x_0. Carry it to s: shrink it, and put the noise back.": (x_t - in_t * eps)
            / keep_t,
            "The noise is put back with the size that it had at t. At s there is less: sqrt(1 - "
            "alpha_bar_s).": (shrink * (x_t - in_t * eps) + in_t * eps),
            "No noise is put back: this is where the guessed data are at s.": shrink * (x_t - in_t * eps),
            "The division by sqrt(alpha_bar_t) is missing in the guess of x_0.": keep_s * (x_t - in_t * eps)
            + in_s * eps,
            "1 - alpha_bar_t stands where its root belongs, in the guess of x_0.": shrink
            * (x_t - (1 - a_t) * eps)
            + in_s * eps,
            "1 - alpha_bar_s stands where its root belongs, in the noise that is put back.": shrink
            * (x_t - in_t * eps)
            + (1 - a_s) * eps,
            "The guess of x_0 is not shrunk to s: it has the factor sqrt(alpha_bar_s).": (x_t - in_t * eps)
            / keep_t
            + in_s * eps,
            "Fresh noise comes in although eta is 0.": shrink * (x_t - in_t * eps)
            + (1 - a_s - known.square()).sqrt() * eps
            + known * s["z"],
            "eta = 0 is the step without fresh noise. Yours adds as much as there can be.": shrink
            * (x_t - in_t * eps)
            + in_s * s["z"],
            "sigma takes the prediction apart here. What is in x_t is sqrt(1 - alpha_bar_t).": shrink * x_t
            + in_s * eps,
        },
        "Not the step for eta = 0: sqrt(alpha_bar_s) times the guess of x_0, plus sqrt(1 - alpha_bar_s) "
        "times "
        "the predicted noise.",
    )


def share_of(outcome: Tensor, of: Tensor) -> Tensor:
    """The number that `of` was multiplied by, or Trouble."""
    factor = (outcome * of).sum() / of.square().sum()
    if not close(outcome, factor * of, rtol=1e-5, atol=1e-7):
        raise Trouble("For x_t = 0 and no predicted noise, the step should be a multiple of z.")
    return factor


def fresh_noise(data: Plain, seed: int) -> str | None:
    s = one_step(seed)
    got = torch.stack(
        [share_of(tensor(data, key, (5, 3)), s["z"]) for key in ("noise alone", "all noise alone")]
    )
    partly, wholly = (sizes(s["a_t"], s["a_s"], eta) for eta in (ETA, 1.0))

    def both(name: str) -> Tensor:
        return torch.stack([partly[name], wholly[name]])

    return explain(
        got,
        both("right"),
        {
            "eta is ignored: no fresh noise comes in.": torch.zeros(2),
            "eta is ignored: there is as much fresh noise as for eta = 1.": both("no eta"),
            "eta scales the deviation, so it is not squared once more.": both("squared eta"),
            "eta scales the deviation, not the variance.": both("root of eta"),
            "sigma² is the variance. z is multiplied by sigma.": both("variance"),
            "Only the second root is there: 1 - alpha_bar_t / alpha_bar_s.": both("large"),
            "Only the first root is there: (1 - alpha_bar_s) / (1 - alpha_bar_t).": both("first root"),
            "For eta = 1 this replaces all of the noise. DDPM keeps some of the old.": both("whole"),
            "The fraction of the first root is upside down.": both("ratio turned"),
        },
        "The fresh noise has not the size of the chapter's sigma. For alpha_bar of 0.25 and 0.64 and eta = 1 "
        "it is 0.5408.",
    )


def makes_room(data: Plain, seed: int) -> str | None:
    s = one_step(seed)
    sigma = share_of(tensor(data, "noise alone", (5, 3)), s["z"])  # the answer's own
    if float(sigma.abs()) < 1e-9:
        raise Trouble("No fresh noise comes in, so there is nothing to make room for.")
    left = 1 - s["a_s"] - sigma.square()
    if float(left) < 0:
        return "There is more fresh noise than noise at s: nothing is left of the old one."
    eps = s["eps_hat"]
    change = tensor(data, "old noise", (5, 3)) - tensor(data, "no old noise", (5, 3))
    in_s = (1 - s["a_s"]).sqrt()
    return explain(
        change,
        (left.sqrt() - in_s) * eps,
        {
            "The fresh noise comes on top of all of the old. Old and fresh together have the variance "
            "1 - alpha_bar_s.": 0 * eps,
            "Variances subtract, not deviations: sqrt(1 - alpha_bar_s - sigma²).": -sigma * eps,
            "sigma² is taken off outside the root.": -sigma.square() * eps,
            "You take sigma off under the root. It is the variance, sigma².": (
                (1 - s["a_s"] - sigma).clamp_min(0).sqrt() - in_s
            )
            * eps,
        },
        "With fresh noise of deviation sigma, the predicted noise should have the factor "
        "sqrt(1 - alpha_bar_s - sigma²).",
    )


# --- guided ------------------------------------------------------------------------------------------


def scales(data: Plain, seed: int) -> str | None:
    x, t, y = labelled(seed)
    knowing, blind = with_label(x, t, y), with_label(x, t, torch.full_like(y, NONE))
    zero = with_label(x, t, torch.zeros_like(y))

    def by_scale(f: Callable[[float], Tensor]) -> Tensor:
        return torch.stack([f(w) for w in SCALES])

    got = torch.stack([tensor(data, f"scale {w}", (6, 2)) for w in SCALES])
    return explain(
        got,
        by_scale(lambda w: torch.lerp(blind, knowing, w)),
        {
            "This is the paper's counting, in which 0 is the conditional model. Here 0 is unconditional.": (
                by_scale(lambda w: torch.lerp(blind, knowing, w + 1))
            ),
            "The sign of the guidance is wrong: away from the class. At w = 1 it must be the conditional "
            "model.": by_scale(lambda w: torch.lerp(blind, knowing, -w)),
            "The two models have changed places.": by_scale(lambda w: torch.lerp(knowing, blind, w)),
            "Guidance starts from the unconditional prediction, not from the conditional one.": by_scale(
                lambda w: knowing + w * (knowing - blind)
            ),
            "Label 0 is a class like the others. No label is `none`.": by_scale(
                lambda w: torch.lerp(zero, knowing, w)
            ),
            "The two predictions are added, with weights that do not sum to one.": by_scale(
                lambda w: blind + w * knowing
            ),
            "w does not count.": by_scale(lambda w: knowing),
        },
        "Not the guided prediction: unconditional, plus w times the way from there to the conditional one.",
    )


def labels(data: Plain, key: str) -> Tensor:
    return tensor(data, key, (LABELS,), meaning="one label per row", dtype="int64").long()


def dropped_share(data: Plain, seed: int) -> str | None:
    y, got = many_labels(seed), labels(data, "dropped")
    changed = got != y
    if not bool(changed.any()):
        return "No label is dropped. Is there one draw for the whole batch?"
    if bool((got[changed] != NONE).any()):
        if bool((got[changed] == 0).all()):
            return "A dropped label becomes 0, which is a class. It should become `none`."
        return "A label is either kept or replaced by `none`."
    share = float(changed.double().mean())
    if bool(changed.all()):
        return "All labels are dropped. Is there one draw for the whole batch?"
    near = 5 * math.sqrt(SHARE * (1 - SHARE) / LABELS)
    if abs(share - SHARE) < near:
        return None
    if abs(share - (1 - SHARE)) < near:
        return "The other way round: `share` of the labels are kept, and the rest is dropped."
    return f"With share = {SHARE} a fifth of {LABELS} labels should be dropped; {share:.3f} of them are."


def one_by_one(data: Plain, seed: int) -> str | None:
    y, got, other = many_labels(seed), labels(data, "dropped"), labels(data, "other")
    gone, gone_next = got != y, other != y
    if bool((gone == gone[0]).all()):
        return "Either all labels of the batch are dropped or none. Each has its own chance."
    if close(got, other):
        return "Every generator seed drops the same labels."
    count = int(gone.sum())
    if bool(gone[:count].all()) or bool(gone[-count:].all()):
        return "The first or the last labels of the batch are dropped. Draw for each one."
    for digit in range(NONE):
        if bool(gone[y == digit].all()):
            return "Whole classes are dropped. Draw for each label, whatever its class."
    both = float((gone & gone_next).double().mean())
    if abs(both - float(gone.double().mean()) * float(gone_next.double().mean())) > 5 * SHARE / math.sqrt(
        LABELS
    ):
        return "Two draws should have nothing to do with each other."
    return None


def of_the_paper(data: Plain, seed: int) -> str | None:
    got = torch.tensor([number(data, "paper 0"), number(data, "paper 6.5")], dtype=torch.float64)
    paper = torch.tensor([0.0, 6.5], dtype=torch.float64)
    return explain(
        got,
        paper + torch.ones(2),
        {
            "The two conventions differ: at the paper's 0 the model is conditional.": paper,
            "The other way round: this takes our scale to the paper's.": paper - 1,
            "The two run in the same direction.": -paper,
            "Compare the factors of the conditional prediction: 1 + w there, w here.": 1 - paper,
        },
        "Write the paper's formula as the unconditional prediction plus something times the difference.",
    )


# --- invert ------------------------------------------------------------------------------------------


def climb(
    seed: int,
    count: int,
    *,
    first: str = "at x_s",
    later: str = "t",
    compound: bool = False,
    sign: float = 1.0,
    on_top: bool = False,
    turned: bool = False,
) -> Tensor:
    """The code of the originals, or what a mistake makes of it; the network is a number times x."""
    x, a = originals(seed), code_table(seed)
    for s, t in pairwise(CODE_TIMES):
        ratio = (a[s] / a[t] if turned else a[t] / a[s]) ** 0.5
        held = ratio * x
        noise = sign * ((1 - a[t]) ** 0.5 - (0 if on_top else ratio * (1 - a[s]) ** 0.5))
        where, when = {
            "at x_s": (x, s) if s else (held, t),
            "shrunk": (held, t),
            "at x_s, told t": (x, t) if s else (held, t),
            "at x_0": (x, s),
        }[first]
        x = held
        for _ in range(count):
            x = held + noise * slope_of(seed, torch.tensor(when)) * where
            where, when = x, (s or t) if later == "s" else t
            held = ratio * x if compound else held
    return x


def codes(data: Plain, seed: int, k: int) -> str | None:
    right = climb(seed, k)
    known = {
        "The new x_t goes in for x_s as well. x_s stays: only the network's argument is replaced.": climb(
            seed, k, compound=True
        ),
        "The first iteration asks about the shrunk x_s, told t. It should ask about x_s, told s, as long "
        "as s > 0.": climb(seed, k, first="shrunk"),
        "The first iteration asks about x_s, told t. x_s has the noise of s.": climb(
            seed, k, first="at x_s, told t"
        ),
        "At s = 0 the network is asked about t = 0, where there is no noise to predict.": climb(
            seed, k, first="at x_0"
        ),
        "Guesses of x_t are told s. Tell the network t.": climb(seed, k, later="s"),
        "The sign of the bracket is wrong: going up, noise comes in.": climb(seed, k, sign=-1.0),
        "The bracket is not sqrt(1 - alpha_bar_t) alone: the noise that is in x_s already comes off.": climb(
            seed, k, on_top=True
        ),
        "The shrinking is upside down: alpha_bar_t / alpha_bar_s is below one.": climb(seed, k, turned=True),
        "This is x_0, unchanged.": originals(seed),
        "The iterations do not count: one is made at every step.": climb(seed, 1),
        "There is one iteration too many.": climb(seed, k + 1),
        "There is one iteration too few.": climb(seed, k - 1),
    }
    return explain(
        tensor(data, f"code {k}", (4, 3)),
        right,
        {hint: value for hint, value in known.items() if not close(value, right)},
        "Not the code. Follow one step from s to t on paper, with one iteration.",
    )


def one_iteration(data: Plain, seed: int) -> str | None:
    return codes(data, seed, 1)


def iterated(data: Plain, seed: int) -> str | None:
    hint = codes(data, seed, 3)
    if hint:
        return hint
    # Sixty iterations have settled: the sampler's step, back from the code, must land on the originals.
    x, a = tensor(data, "code 60", (4, 3)), code_table(seed)
    for t, s in pairwise(CODE_TIMES[::-1]):
        eps = slope_of(seed, torch.tensor(t)) * x
        x = a[s] ** 0.5 * (x - (1 - a[t]) ** 0.5 * eps) / a[t] ** 0.5 + (1 - a[s]) ** 0.5 * eps
    if close(x, originals(seed), rtol=1e-6, atol=1e-7):
        return None
    return "After sixty iterations DDIM should lead from the code back to x_0 exactly."


def told_times(data: Plain, seed: int) -> str | None:
    value = returned(data, "told 3")
    items = value.get("items")
    if not isinstance(items, list) or not items:
        raise Trouble(f"`{value['name']}` never asks the network.")
    told = [
        number({"t": {"kind": "returned", "name": "the step that the network is told", "value": item}}, "t")
        for item in items
    ]
    right = [when for s, t in pairwise(CODE_TIMES) for when in ((s or t), t, t)]
    if told == right:
        return None
    if told == [t for t in CODE_TIMES[1:] for _ in range(3)]:
        return "The network is told t each time. x_s, about which it is asked first, has the noise of s."
    if told == [when for s, t in pairwise(CODE_TIMES) for when in [s or t] * 3]:
        return "The network is told s each time. From the second iteration on it is asked about x_t."
    if 0 in told:
        return "The network is told 0, where there is no noise to predict."
    if len(told) != len(right):
        return (
            f"With 3 iterations and {len(CODE_TIMES) - 1} steps the network is asked {len(told)} times. "
            f"Three "
            "times in each step."
        )
    return f"For the times {CODE_TIMES} and 3 iterations the network should be told {right}, not {told}."


def arcs(a: Tensor, b: Tensor, share: float) -> Tensor:
    """Points on the arcs, by turning each row in the plane of the pair."""
    u = a.flatten(1)
    v = b.flatten(1)
    first = u / u.norm(dim=1, keepdim=True)
    rest = v - (v * first).sum(1, keepdim=True) * first
    second = rest / rest.norm(dim=1, keepdim=True)
    angle = torch.atan2((v * second).sum(1), (v * first).sum(1))[:, None]
    # The combination of u and v that lies in the direction turned by share of the angle.
    weights = torch.stack([((1 - share) * angle).sin(), (share * angle).sin()]) / angle.sin()
    return torch.einsum("kbo,kbd->bd", weights, torch.stack([u, v])).reshape(a.shape)


def on_the_arc(data: Plain, seed: int) -> str | None:
    a, b = ends(seed, 5, 3)
    whole = torch.acos((a * b).sum() / (a.norm() * b.norm()))
    one_angle = (((1 - CODE_SHARE) * whole).sin() * a + (CODE_SHARE * whole).sin() * b) / whole.sin()
    got = tensor(data, "arc", (5, 3))
    right = arcs(a, b, CODE_SHARE)
    if close(got, right) and not (
        close(tensor(data, "start", (5, 3)), a) and close(tensor(data, "end", (5, 3)), b)
    ):
        return "At share 0 the way is at a, at share 1 at b."
    middle = arcs(a, b, CODE_SHARE)
    angle = torch.acos((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)))[:, None]
    return explain(
        got,
        right,
        {
            "This is the straight line.": torch.lerp(a, b, CODE_SHARE),
            "There is one angle for the whole batch. Each row has its own.": one_angle,
            "From b to a: share 0 is a.": arcs(a, b, 1 - CODE_SHARE),
            "The division by the sine of the angle is missing.": middle * angle.sin(),
            "The straight line, lengthened. On the arc the angle grows evenly.": (
                torch.nn.functional.normalize(torch.lerp(a, b, CODE_SHARE), dim=1)
                * torch.lerp(a.norm(dim=1), b.norm(dim=1), CODE_SHARE)[:, None]
            ),
            "These points have length one. Those on the way are about as long as a and b.": arcs(
                a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True), CODE_SHARE
            ),
        },
        "Not on the arc: sin((1 - share) angle) a + sin(share angle) b, over sin(angle), row by row.",
    )


# --- few_steps ---------------------------------------------------------------------------------------

KEYS = ("one", "two", "ten", "needed")


@cache
def spread(n: int) -> float:
    """Standard deviation after n steps, by running the sampler's arithmetic."""
    x = 1.0
    for k in range(n, 0, -1):
        here, there = (j * math.pi / (2 * n) for j in (k, k - 1))
        a_t, a_s = math.cos(here) ** 2, math.cos(there) ** 2
        guess = math.sqrt(a_t) * x
        noise = math.sqrt(1 - a_t) * x
        x = math.sqrt(a_s) * guess + math.sqrt(1 - a_s) * noise
    return x


@cache
def least_steps() -> int:
    return next(n for n in range(1, 1000) if spread(n) >= 0.99)


def guess(
    data: Plain, key: str, right: float, within: float, known: Mapping[str, float], otherwise: str
) -> str | None:
    got = entry(table(data, "prediction", KEYS), key)
    if abs(got - right) <= within + 1e-12:
        return None
    for hint, value in known.items():
        if abs(got - value) <= within + 1e-12:
            return hint
    return otherwise


def after_one(data: Plain, seed: int) -> str | None:
    return guess(
        data,
        "one",
        0.0,
        0.005,
        {
            "A single step lands on the guess of x_0 from pure noise. Does that guess depend on x_T?": 1.0,
        },
        "At T the cosine is 0: x_T says nothing, and the guess is the mean of the data for all of them.",
    )


def after_two(data: Plain, seed: int) -> str | None:
    return guess(
        data,
        "two",
        spread(2),
        0.01,
        {
            "That is one of the two steps: each spans 45°, and there are two.": math.sqrt(0.5),
            "That is the variance. The standard deviation is its root.": 0.25,
            "Each step loses something: x is multiplied by the cosine of the angle that it spans.": 1.0,
            "After the first step x is not 0: there is old noise in it.": 0.0,
        },
        "Half way alpha_bar is ½. What does the step from 90° to 45° make of x_T, and the next one?",
    )


def after_ten(data: Plain, seed: int) -> str | None:
    return guess(
        data,
        "ten",
        spread(10),
        0.005,
        {
            "That is a single step of 9°. There are ten.": math.cos(math.pi / 20),
            "That is the variance after ten steps. Take its root.": spread(10) ** 2,
            "1 - pi²/(8n) is the first term. Take the cosine itself.": 1 - math.pi**2 / 80,
            "The quarter turn is divided by ten: 9°, not 18°.": math.cos(math.pi / 10) ** 10,
        },
        "Ten equal angles make 90°. What does each multiply x by?",
    )


def needed(data: Plain, seed: int) -> str | None:
    return guess(
        data,
        "needed",
        least_steps(),
        3,
        {
            "That is where the variance is 0.99 or so: the standard deviation loses half as much.": next(
                n for n in range(1, 1000) if spread(n) ** 2 >= 0.99
            ),
            "A standard deviation of 0.99 is asked for, not a variance of 0.9801 or a loss of 0.1.": 12,
            "The loss is pi²/(8n), not pi²/(4n) or 1/n.": 100,
            "Of second order? The loss of one step is of second order; there are n of them.": 11,
        },
        "n steps lose n (1 - cos(pi/2n)), which is nearly pi²/(8n).",
    )


# --- guided_sample -----------------------------------------------------------------------------------


def path_items(data: Plain, key: str) -> list[Plain]:
    value = returned(data, key)
    items = value.get("items")
    if not isinstance(items, list):
        raise Trouble(f"`{value['name']}` should return x_0.")
    return items


def trail(data: Plain, key: str) -> Tensor:
    """x at each of the times that the network is asked about, and at the end: (k + 1, COUNT, DIMS)."""
    end = tensor(data, f"x0 {key}", (COUNT, DIMS))
    rows = [
        tensor({"x": {"kind": "returned", "name": "x_t", "value": item}}, "x", (COUNT, DIMS))
        for item in path_items(data, f"path {key}")
    ]
    if not rows:
        raise Trouble("The network is never asked.")
    return torch.stack([*rows, end])


def moves(data: Plain) -> tuple[Tensor, Tensor, Tensor]:
    """Factors of x, of the prediction and of the slope in each step, (k,) each, from runs with like noise."""
    plain, shifted, pushed, pulled = (
        trail(data, key) for key in (str(ETAS[1]), "shifted", "pushed", "pulled")
    )
    if not plain.shape == shifted.shape == pushed.shape == pulled.shape:
        raise Trouble("The number of steps should not depend on what the network answers.")
    changes = [run - plain for run in (shifted, pushed, pulled)]
    for change in changes:
        if float((change - change[:, :1, :1]).abs().max()) > 1e-6:
            raise Trouble(
                "Two runs with generators of one seed differ by more than their inputs do. Draw all fresh "
                "noise from `generator`, one draw at each step, and treat every row alike."
            )
    by_x, by_eps, by_slope = (change[:, 0, 0] for change in changes)
    if float(by_x.abs().min()) < 1e-9:
        raise Trouble("Where the sampler starts makes no difference to where it ends.")
    of_x = by_x[1:] / by_x[:-1]
    return of_x, by_eps[1:] - of_x * by_eps[:-1], by_slope[1:] - of_x * by_slope[:-1]


def times_at(seed: int, steps: int) -> dict[str, Tensor]:
    """alpha_bar at both ends of the first steps of the path, and the size of fresh noise for eta = 1."""
    a = path_table(seed)[PATH]
    a_t, a_s = a[:-1][:steps], a[1:][:steps]
    covariance = (a_t / a_s).sqrt() * (1 - a_s)
    full = (1 - a_s - covariance.square() / (1 - a_t)).clamp_min(0).sqrt()
    return {"a_t": a_t, "a_s": a_s, "full": full}


def guidance_factor(data: Plain) -> Tensor:
    """What the slope is multiplied by on its way into the prediction, over -w: (k,)."""
    _, of_eps, of_slope = moves(data)
    return -of_slope / of_eps / SCALE


def stays_as_given(data: Plain, seed: int) -> None:
    """Raise NotDone where all three mistakes are still there."""
    short = len(path_items(data, f"path {ETAS[1]}")) == len(PATH) - 2
    if not short:
        return
    s = times_at(seed, len(PATH) - 2)
    if close(guidance_factor(data), ETAS[1] * s["full"]) and close(
        tensor(data, f"x0 {ETAS[0]}", (COUNT, DIMS)), tensor(data, f"x0 {ETAS[2]}", (COUNT, DIMS))
    ):
        raise NotDone("Not done yet: this still returns what the code that you were given returns.")


def all_the_way(data: Plain, seed: int) -> str | None:
    stays_as_given(data, seed)
    told = [
        number({"t": {"kind": "returned", "name": "the step that the network is told", "value": item}}, "t")
        for item in path_items(data, f"steps {ETAS[0]}")
    ]
    right = [float(t) for t in PATH[:-1]]
    tensor(data, f"x0 {ETAS[0]}", (COUNT, DIMS))
    if told == right:
        return None
    shown = [round(t) for t in told]
    if told == right[:-1]:
        return (
            f"For the times {PATH} the network is asked at {shown}: the loop stops at the lowest noise level "
            "and never steps to x_0."
        )
    if told == right[1:]:
        return f"For the times {PATH} the network is asked at {shown}: the first step is left out."
    if told == [float(t) for t in PATH[1:]]:
        return "The network is told s, the time that the step leads to. x is at t."
    if 0.0 in told:
        return "The network is asked at t = 0, where no noise is left."
    return f"For the times {PATH} the network should be asked at {PATH[:-1]}, once each, not at {shown}."


def right_factor(data: Plain, seed: int) -> str | None:
    stays_as_given(data, seed)
    got = guidance_factor(data)
    s = times_at(seed, len(got))
    in_x = (1 - s["a_t"]).sqrt()
    sigma = ETAS[1] * s["full"]
    return explain(
        got,
        in_x,
        {
            "sigma stands before the gradient, what the step adds. It is sqrt(1 - alpha_bar_t), what is in "
            "x_t.": sigma,
            "The factor sqrt(1 - alpha_bar_t) is left out. Multiply Bayes' rule by it, too.": torch.ones(
                len(got)
            ),
            "1 - alpha_bar_t stands before the gradient. The noise has the root of it.": 1 - s["a_t"],
            "The sign is wrong: this leads away from the class. The noise points away from the data, so the "
            "gradient comes off.": -in_x,
            "The guidance does not arrive at all.": 0 * in_x,
            "w does not count.": in_x / SCALE,
            "This is the noise at s, sqrt(1 - alpha_bar_s). The gradient is taken at t.": (
                1 - s["a_s"]
            ).sqrt(),
            "The sign is wrong, and sigma stands where sqrt(1 - alpha_bar_t) belongs.": -sigma,
        },
        "Before w times the gradient there should be sqrt(1 - alpha_bar_t), and a minus.",
        rtol=1e-5,
        atol=1e-7,
    )


def added(data: Plain) -> dict[float, Tensor]:
    """What each step adds at random, by eta: (k, COUNT, DIMS); network and slope are 0 in these runs."""
    of_x, *_ = moves(data)
    found = {}
    for eta in ETAS:
        x = trail(data, str(eta))
        found[eta] = x[1:] - of_x[:, None, None] * x[:-1]
    return found


def size_of_noise(data: Plain, seed: int) -> str | None:
    stays_as_given(data, seed)
    noise = added(data)
    s = times_at(seed, noise[ETAS[1]].shape[0])
    got = torch.stack([noise[eta].square().mean((1, 2)).sqrt() for eta in ETAS])
    first = noise[ETAS[2]]
    if close(first[:, 0], first[:, 1]) and float(first.abs().max()) > 1e-6:
        return "All rows get the same noise. Draw in the shape of x."
    of_x, of_eps, _ = moves(data)
    old = of_eps + of_x * (1 - s["a_t"]).sqrt()
    if float(first.abs().max()) < 1e-6 and not close(old, (1 - s["a_s"]).sqrt()):
        return "Room is made for fresh noise, but none comes in."

    def by_eta(f: Callable[[float], Tensor]) -> Tensor:
        return torch.stack([f(eta) for eta in ETAS])

    large = (1 - s["a_t"] / s["a_s"]).sqrt()
    return explain(
        got,
        by_eta(lambda eta: eta * s["full"]),
        {
            "eta is ignored: no step adds fresh noise.": 0.0 * got,
            "Noise of the same size comes in for every eta.": by_eta(lambda eta: s["full"]),
            "sigma² is the variance. The noise is multiplied by sigma.": by_eta(
                lambda eta: (eta * s["full"]).square()
            ),
            "The last step adds noise too. At s = 0 sigma is 0.": by_eta(
                lambda eta: eta * torch.where(s["a_s"] == 1, large, s["full"])
            ),
            "sigma was right as it was given.": by_eta(lambda eta: eta * large),
        },
        "The fresh noise of a step should have the standard deviation sigma.",
        rtol=0.075,
        atol=1e-6,
    )


def room_for_it(data: Plain, seed: int) -> str | None:
    stays_as_given(data, seed)
    of_x, of_eps, _ = moves(data)
    noise = added(data)[ETAS[1]]
    s = times_at(seed, len(of_x))
    old = of_eps + of_x * (1 - s["a_t"]).sqrt()  # the factor of the prediction, without its part in x_0
    sigma = ETAS[1] * s["full"]
    if float(noise.abs().max()) < 1e-6 and close(old, (1 - s["a_s"]).sqrt()):
        return "eta is ignored: the old noise fills x_s alone, whatever eta is."
    return explain(
        old,
        (1 - s["a_s"] - sigma.square()).clamp_min(0).sqrt(),
        {
            "The fresh noise comes on top of all of the old. Together they have the variance "
            "1 - alpha_bar_s.": (1 - s["a_s"]).sqrt(),
            "Variances subtract, not deviations: sqrt(1 - alpha_bar_s - sigma²).": (1 - s["a_s"]).sqrt()
            - sigma,
            "You take sigma off under the root. It is the variance, sigma².": (1 - s["a_s"] - sigma)
            .clamp_min(0)
            .sqrt(),
        },
        "The predicted noise goes into x_s with the factor sqrt(1 - alpha_bar_s - sigma²).",
        rtol=1e-5,
        atol=1e-7,
    )


# --- wrong_factor ------------------------------------------------------------------------------------


def in_the_step(factor: str, angle: float) -> float:
    return {"root": math.sin(angle), "none": 1.0, "variance": 1 - math.cos(angle) ** 2}[factor]


@cache
def run(factor: str, n: int, start: int = 0) -> float:
    """The mean after n steps by the sampler's arithmetic, for w = m = 1; start = 1: f at the later angle."""
    x = 0.0
    for k in range(n, 0, -1):
        t, s = k * math.pi / (2 * n), (k - 1) * math.pi / (2 * n)
        # At t = T the data have the factor 0; the limit of the step is what is computed here.
        push = in_the_step(factor, s if start else t)
        x = (math.cos(s) * math.cos(t) + math.sin(s) * math.sin(t)) * x + push * (
            math.cos(s) * math.sin(t) - math.sin(s) * math.cos(t)
        )
    return x


def count(seed: int) -> tuple[int, ...]:
    return (*NUMBERS, 4 + seed % 5)


def after_steps(data: Plain, seed: int, factor: str) -> str | None:
    numbers = count(seed)
    got = torch.tensor([number(data, f"{factor} {n}") for n in numbers], dtype=torch.float64)

    def of(f: Callable[[int], float]) -> Tensor:
        return torch.tensor([f(n) for n in numbers], dtype=torch.float64)

    def summed(n: int) -> float:
        turn = math.pi / 2 / n
        return sum(math.sin(turn) * in_the_step(factor, k * turn) for k in range(1, n + 1))

    return explain(
        got,
        of(lambda n: run(factor, n)),
        {
            "The factor is read at the angle that the step leads to. The network is asked at the angle "
            "that x "
            "is at.": of(lambda n: run(factor, n, 1)),
            "The pushes are added up, but each later step multiplies what is there by the cosine of delta.": (
                of(summed)
            ),
            "Each step pushes by f sin(delta), not by f delta.": of(
                lambda n: run(factor, n) * math.pi / (2 * n) / math.sin(math.pi / (2 * n))
            ),
            "The sign is wrong: guidance at a positive scale leads towards the class.": of(
                lambda n: -run(factor, n)
            ),
            "This is the limit for many steps. With n steps it is something else.": of(
                lambda n: {"root": 2.0, "none": math.pi / 2, "variance": math.pi / 4}[factor]
            ),
            "The classifier's gradient is m cos(phi): the mean of the class has shrunk at t.": of(
                lambda n: uncentred(factor, n)
            ),
        },
        "Not the mean after n steps. Put the guided noise into one DDIM step: what becomes of x, and what is "
        "added?",
    )


@cache
def uncentred(factor: str, n: int) -> float:
    """The mean where the gradient is taken for m at every noise level."""
    x = 0.0
    turn = math.pi / 2 / n
    for k in range(n, 0, -1):
        at = min(k * turn, math.pi / 2 - 1e-9)
        x = math.cos(turn) * x + in_the_step(factor, at) * math.sin(turn) / math.cos(at)
    return x


def with_root(data: Plain, seed: int) -> str | None:
    return after_steps(data, seed, "root")


def without_factor(data: Plain, seed: int) -> str | None:
    return after_steps(data, seed, "none")


@cache
def limit_of(factor: str) -> float:
    """The limit, from two large numbers of steps and an error of the first order."""
    return 2 * run(factor, 20_000) - run(factor, 10_000)


def in_the_limit(data: Plain, seed: int) -> str | None:
    got = {factor: number(data, f"{factor} limit") for factor in FACTORS}
    hint = explain(
        got["root"],
        1.0,
        {"With the right factor the samples have the class's mean at w = 1.": got["root"]},
        "With the right factor c is 1.",
        rtol=1e-6,
    )
    return (
        hint
        or explain(
            got["none"],
            limit_of("none"),
            {
                "With f = 1 every step pushes by delta. Over which range of angles?": 1.0,
                "The angle runs over a quarter turn, not over a half.": math.pi,
                "f = 1 is larger than sin(phi) everywhere: the mean must come out larger than 1.": 2
                / math.pi,
            },
            '"none": the integral of f over the angle, from 0 to a quarter turn. In closed form.',
            rtol=1e-6,
        )
        or explain(
            got["variance"],
            limit_of("variance"),
            {
                "The mean of sin² is ½, but the integral runs over a quarter turn, pi/2.": 0.5,
                "That is the integral of sin² over a half turn.": math.pi / 2,
                "sin² is smaller than sin: the mean must come out smaller than 1.": 4 / math.pi,
                "The integral of sin² is not that of sin³: the step pushes by f, and f alone.": 2 / 3,
            },
            '"variance": the integral of sin² over the angle, from 0 to a quarter turn. In closed form.',
            rtol=1e-6,
        )
    )


# --- choose_times ------------------------------------------------------------------------------------

TABLES = tables()
DATA = 4  # mixtures to try


def chosen(data: Plain, key: str, n: int) -> list[int]:
    """The answer's times as ints, or Trouble."""
    value = returned(data, key)
    if value.get("type") == "tensor" and value.get("dtype") in ("int64", "int32"):
        found = value.get("values")
    else:
        items = value.get("items")
        if value.get("type") != "list" or not isinstance(items, list):
            raise Trouble(f"`{value['name']}` should return a list of ints.")
        found = [item.get("value", *item.get("values", [])[:1]) for item in items]
    if not isinstance(found, list) or not all(type(t) is int for t in found):
        raise Trouble(f"`{value['name']}` should return whole numbers, as ints.")
    return found


def fault(times: list[int], last: int, n: int) -> str | None:
    if len(times) == n:
        return f"n = {n} evaluations are {n} steps, so {n + 1} times with both ends; there are {n}."
    if len(times) != n + 1:
        return f"For n = {n} there should be {n + 1} times; there are {len(times)}."
    if times[0] == 0 and times[-1] == last:
        return "From T down to 0: the times are in the order in which a sampler takes them."
    if times[0] != last:
        return f"The first time is T = {last}, where the sampler starts; yours is {times[0]}."
    if times[-1] != 0:
        return f"The last time is 0: a sampler that stops at {times[-1]} never gets to x_0."
    if any(b >= a for a, b in pairwise(times)):
        return "Two times are the same, or one is larger than the one before. They decrease strictly."
    return None


def valid(data: Plain, seed: int) -> str | None:
    for key in ("linear", "even", "cosine"):
        hint = fault(chosen(data, key, STEPS), len(TABLES[key]) - 1, STEPS)
        if hint:
            return hint
    return None


Mixture = tuple[Tensor, Tensor, Tensor]


def mixture(seed: int) -> Mixture:
    """Means (6, 2), standard deviations and shares (6,) of data with mean 0 and variance 1."""
    means, shares = 1.1 * draw(seed + 70, 6, 2), (0.7 * draw(seed + 72, 6)).softmax(0)
    std = 0.1 + 0.3 * draw(seed + 71, 6).sigmoid()
    means = means - shares @ means
    size = (shares @ (means.square().mean(1) + std.square())).sqrt()
    return means / size, std / size, shares


def noise_in(x: Tensor, a: Tensor, data: Mixture) -> Tensor:
    """E[eps | x_t] for a mixture of Gaussians, (B, 2)."""
    means, std, shares = data
    variance = a * std.square() + 1 - a  # (6,)
    away = x[:, None] - a.sqrt() * means
    log_w = shares.log() - variance.log() - away.square().sum(2) / (2 * variance)
    pull = log_w.softmax(1)[..., None] * away / variance[:, None]
    return (1 - a).sqrt() * pull.sum(1)


def walk(a: Tensor, data: Mixture, start: Tensor) -> Tensor:
    """Where the sampler ends that asks at these alpha_bar (n + 1,), of which the last is 1."""
    y = start / a[0].sqrt()  # x without its shrinking; r is the noise beside it
    r = ((1 - a) / a).sqrt()
    for i in range(len(a) - 1):
        y = y + (r[i + 1] - r[i]) * noise_in(y * a[i].sqrt(), a[i], data)
    return y


@cache
def problem(key: str, seed: int) -> tuple[Tensor, Tensor, float]:
    """Start points, their ends with very many steps, and the error of evenly spaced t."""
    start = draw(seed + 73, 200, 2)
    a, data = TABLES[key], mixture(seed)
    last = len(a) - 1
    many = torch.linspace(last, 0, min(400, last) + 1).round().long()
    end = walk(a[many], data, start)
    # Two grids, and the error of the first order that is left in the finer one taken off.
    rough = walk(a[torch.cat([many[:-1:2], many[-1:]])], data, start)
    end = 2 * end - rough
    evenly = torch.linspace(last, 0, STEPS + 1).round().long()
    return start, end, float((walk(a[evenly], data, start) - end).norm(dim=1).mean())


def against_even(times: list[int], key: str, seed: int) -> float:
    """Error of these times over that of evenly spaced ones, on some mixtures together."""
    a = TABLES[key][torch.tensor(times)]
    own = usual = 0.0
    for i in range(DATA):
        start, end, evenly = problem(key, 10 * seed + i)
        own += float((walk(a, mixture(10 * seed + i), start) - end).norm(dim=1).mean())
        usual += evenly
    return own / usual


def spaced(key: str, of: Callable[[Tensor], Tensor]) -> list[int]:
    """The times at which a function of the table takes evenly spaced values."""
    a = TABLES[key].clamp(1e-9, 1 - 1e-9)
    values = of(a)
    wanted = torch.lerp(values[-1], values[0], torch.linspace(0, 1, STEPS + 1, dtype=torch.float64))
    return [int((values - v).abs().argmin()) for v in wanted]


def rule_of(times: list[int], key: str) -> str:
    """A word on the rule that these times seem to follow."""
    last = len(TABLES[key]) - 1
    rules = {
        "These are evenly spaced t. ": torch.linspace(last, 0, STEPS + 1).tolist(),
        "These are times at which the log-SNR is evenly spaced: many lie where hardly anything changes. ": (
            spaced(key, torch.logit)
        ),
        "These are times at which alpha_bar is evenly spaced. ": spaced(key, lambda a: a),
        "These are times at which sqrt(alpha_bar) is evenly spaced: too few near the data. ": spaced(
            key, torch.sqrt
        ),
        "These are times at which the noise in x_t is evenly spaced: too few near pure noise. ": spaced(
            key, lambda a: (1 - a).sqrt()
        ),
        "These are squares of evenly spaced numbers, a rule for one schedule only. ": [
            last * (1 - i / STEPS) ** 2 for i in range(STEPS + 1)
        ],
    }
    for word, rule in rules.items():
        if max(abs(t - r) for t, r in zip(times, rule, strict=True)) <= 12:
            return word
    return ""


def beats(data: Plain, seed: int, key: str, limit: float) -> str | None:
    times = chosen(data, key, STEPS)
    if fault(times, len(TABLES[key]) - 1, STEPS):
        raise Trouble("These are no times for a sampler yet, so their error cannot be measured.")
    ratio = against_even(times, key, seed)
    if ratio <= limit:
        return None
    name = {"linear": "linear", "even": "even log-SNR", "cosine": "cosine"}[key]
    return (
        f"{rule_of(times, key)}Under the {name} schedule your error is {ratio:.2f} times that of evenly "
        f"spaced "
        f"t; at most {limit} times is asked for. Where does x_t change most from step to step?"
    )


def linear(data: Plain, seed: int) -> str | None:
    return beats(data, seed, "linear", 0.76)


def even_log_snr(data: Plain, seed: int) -> str | None:
    return beats(data, seed, "even", 0.76)


def cosine(data: Plain, seed: int) -> str | None:
    return beats(data, seed, "cosine", 1.1)


TASKS = [
    Task(
        "ddim_step",
        "One step of the family",
        "implement",
        5,
        PROBES["ddim_step"],
        (
            Criterion("the step without fresh noise", 2, without_noise),
            Criterion("the size of the fresh noise", 1, fresh_noise),
            Criterion("the old noise makes room for it", 1, makes_room),
        ),
        (
            "Three parts: the guess of x_0, shrunk to s; the predicted noise; z.",
            "The guess of x_0 is (x_t - sqrt(1 - alpha_bar_t) eps_hat) / sqrt(alpha_bar_t). sigma is eta "
            "times "
            "two roots: see equation (guide-eta).",
            "The predicted noise has the factor sqrt(1 - alpha_bar_s - sigma²), z the factor sigma.",
        ),
        (),
        "3 Derive: DDIM and eta",
    ),
    Task(
        "guided",
        "One network, with and without a label",
        "implement",
        6,
        PROBES["guided"],
        (
            Criterion("scales 0, 1 and beyond", 2, scales),
            Criterion("the share of dropped labels", 1, dropped_share),
            Criterion("each label by itself", 1, one_by_one),
            Criterion("the paper's counting", 1, of_the_paper),
        ),
        (
            "`torch.full_like(y, none)` is a batch of labels that say nothing.",
            "`torch.rand(y.shape, generator=generator) < share` is True with probability share, for each "
            "label "
            "by itself; `torch.where` does the rest.",
            "Sort the paper's formula by the two predictions, and ours as well. Compare the factors.",
        ),
        (),
        "7 Derive: guidance without a classifier",
    ),
    Task(
        "invert",
        "There, and along the arc",
        "implement",
        6,
        PROBES["invert"],
        (
            Criterion("one iteration", 1, one_iteration),
            Criterion("more of them, until DDIM leads back", 2, iterated),
            Criterion("the network is told the right time", 1, told_times),
            Criterion("along the arc, row by row", 1, on_the_arc),
        ),
        (
            "`pairwise(times)` yields the pairs (s, t). Within a step two things stay the same: the "
            "shrunk x_s "
            "and the bracket.",
            "Before the iterations: `at, told = (x, s) if s > 0 else (start, t)`. In each: x is `start` "
            "plus the bracket times what the network says of `at`; afterwards `at, told = x, t`.",
            "The arc: flatten each row, take its angle with `(u * v).sum(1)` and the norms, and give the "
            "angle "
            "the shape (B, 1).",
        ),
        (),
        "5 Derive: backwards, from an image to its noise",
    ),
    Task(
        "few_steps",
        "Predict, then run: what few steps lose",
        "predict",
        5,
        PROBES["few_steps"],
        (
            Criterion("one step", 1, after_one),
            Criterion("two steps", 1, after_two),
            Criterion("ten steps", 1, after_ten),
            Criterion("how many for one per cent", 2, needed),
        ),
        (
            "For data N(0, 1) the best guess of x_0 is sqrt(alpha_bar_t) x_t, and the best guess of the "
            "noise "
            "is sqrt(1 - alpha_bar_t) x_t. Write both with cos and sin.",
            "One step: (cos cos + sin sin) x_t. That is the cosine of a difference.",
            "n equal steps multiply x_T by cos(90°/n) to the power n. For a small angle d the cosine is "
            "about "
            "1 - d²/2.",
        ),
        (),
        "4 Derive: without noise, an ODE",
    ),
    Task(
        "guided_sample",
        "Find the bugs: guidance that is always a little weak",
        "find the bug",
        6,
        PROBES["guided_sample"],
        (
            Criterion("the loop goes all the way to x_0", 1, all_the_way),
            Criterion("what stands before the gradient", 2, right_factor),
            Criterion("the size of the fresh noise", 1, size_of_noise),
            Criterion("the old noise makes room for it", 1, room_for_it),
        ),
        (
            "Follow `sigma` through the loop: where is it used, and where should it be?",
            "Which pairs does `pairwise(times[:-1])` yield for times that end with 0?",
            "Section 14 of the chapter has the same three bugs in its list. Guidance: the factor is how "
            "much noise "
            "is in x_t. eta: sigma² comes off under the root of the old noise, and sigma times fresh "
            "noise is "
            "added.",
        ),
        (),
        "14 Break it: five bugs that run",
    ),
    Task(
        "wrong_factor",
        "What a wrong factor does to the samples",
        "derive",
        6,
        PROBES["wrong_factor"],
        (
            Criterion("n steps with the right factor", 1, with_root),
            Criterion("n steps without it", 2, without_factor),
            Criterion("infinitely many steps", 2, in_the_limit),
        ),
        (
            "At t all points are N(0, 1) and those of the class N(m cos(phi), 1). The classifier's "
            "gradient is the "
            "difference of the two scores.",
            "Put eps_hat = sin(phi) x - w f m cos(phi) into DDIM's step: x_s = cos(delta) x + w m f "
            "sin(delta).",
            "For small delta the cosine is 1 and the pushes add up to an integral over the angle, from 0 to "
            "pi/2.",
        ),
        (),
        "6 Derive: asking for a class, by Bayes' rule",
    ),
    Task(
        "choose_times",
        "Design: twenty steps out of a thousand",
        "design",
        6,
        PROBES["choose_times"],
        (
            Criterion("from T to 0, strictly decreasing", 1, valid),
            Criterion("the linear schedule", 2, linear),
            Criterion("the schedule of even log-SNR", 1, even_log_snr),
            Criterion("the cosine schedule", 1, cosine),
        ),
        (
            "DDIM's equation has no schedule in it. So choose by how much noise there is, not by t.",
            "Task 4: what does a step lose for the simplest data, and for which split of the way is the loss "
            "least?",
            "Find the steps at which arccos(sqrt(alpha_bar)) is evenly spaced: `(angle - "
            "wanted).abs().argmin()`. "
            "Then see to it that no step comes twice.",
        ),
        (),
        "10 Run: how many steps?",
    ),
]
