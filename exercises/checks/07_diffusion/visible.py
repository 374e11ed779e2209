# Generated from solutions/ by `python -m coursekit.authoring.generate`; do not edit.
"""Visible checks of 07_diffusion: known values and properties, with the hint that fits what went wrong."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import torch
import torch.nn.functional as F
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
    tensors,
)
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion, Task

from .probes import (
    COUNT,
    DIMS,
    EMBED_WIDTH,
    KINDS,
    LOSS_TABLE,
    NET_WIDTH,
    NUS,
    POINT,
    PROBES,
    ROWS,
    STEPS,
    TABLE,
    batch,
    betas,
    data_of_the_loss,
    gaussian,
    network_weights,
    pictures,
    predicted,
    table_of,
    two_times,
)

ANY_FLOAT = ("float32", "float64")

# --- jump --------------------------------------------------------------------------------------------


def alpha_bar(data: Plain, seed: int) -> str | None:
    beta = betas(seed)
    steps = [0.0, *torch.log1p(-beta).tolist()]
    right = torch.tensor([math.exp(sum(steps[: t + 1])) for t in range(STEPS + 1)], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    shrink = 1 - beta
    return explain(
        tensor(data, "table", (STEPS + 1,), meaning="an entry for each of t = 0, ..., T"),
        right,
        {
            "These are the alpha_t of single steps. alpha_bar_t is the product of all up to t.": torch.cat(
                [one, shrink]
            ),
            "This is the product of the beta. Each step keeps the share 1 - beta.": torch.cat(
                [one, beta.cumprod(0)]
            ),
            "The product stops one factor early: alpha_bar_1 is 1 - beta_1, not 1.": torch.cat(
                [one, one, shrink[:-1].cumprod(0)]
            ),
            "The product starts one factor late: beta_1 is left out, and 1 stands for t = 0 alone.": (
                torch.cat([one, shrink[1:].cumprod(0), shrink[1:].prod()[None]])
            ),
            "This is the product of the roots. alpha_bar is the product of alpha; its root comes later.": (
                right.sqrt()
            ),
            "exp of minus the sum of the beta is only nearly the product.": torch.cat(
                [one, (-beta.cumsum(0)).exp()]
            ),
        },
        "Not the table: entry 0 is 1, entry t is (1 - beta_1) ... (1 - beta_t).",
    )


def noisy(t: Tensor, x0: Tensor, eps: Tensor, table: Tensor) -> dict[str, Tensor]:
    """x_t, and what mistakes make of it."""
    shape = (-1, *[1] * (x0.ndim - 1))
    a, before = table[t].reshape(shape), table[t - 1].reshape(shape)
    step = a / before

    def mixed(keep: Tensor, rest: Tensor) -> Tensor:
        return keep * x0 + rest * eps

    return {
        "right": mixed(a.sqrt(), (1 - a).sqrt()),
        "variance": mixed(a.sqrt(), 1 - a),
        "no roots": mixed(a, 1 - a),
        "root of the noise only": mixed(a, (1 - a).sqrt()),
        "swapped": mixed((1 - a).sqrt(), a.sqrt()),
        "one step": mixed(step.sqrt(), (1 - step).sqrt()),
        "noise of one step": mixed(a.sqrt(), (1 - step).sqrt()),
        "early": mixed(before.sqrt(), (1 - before).sqrt()),
        "one minus the root": mixed(a.sqrt(), 1 - a.sqrt()),
    }


def noisy_points(data: Plain, seed: int) -> str | None:
    x0, t, eps = batch(seed, 5, 3)
    known = noisy(t, x0, eps, table_of(seed))
    return explain(
        tensor(data, "points", (5, 3)),
        known["right"],
        {
            "1 - alpha_bar is the variance of the noise. Multiply eps by its root.": known["variance"],
            "Neither factor has its root: variance one would not stay variance one.": known["no roots"],
            "The factor of x_0 is the root of alpha_bar.": known["root of the noise only"],
            "The two factors are swapped.": known["swapped"],
            "These are the factors of a single step, alpha_t. The jump needs alpha_bar_t.": known["one step"],
            "The data shrink by all steps, but the noise is that of the last step alone.": known[
                "noise of one step"
            ],
            "The table is read one entry early: its index is t itself, since entry 0 is there.": known[
                "early"
            ],
            "1 - sqrt(alpha_bar) is not sqrt(1 - alpha_bar).": known["one minus the root"],
            "The noise that you were given does not occur. Use eps; draw none.": x0
            * table_of(seed)[t].sqrt()[:, None],
        },
        "Not x_t. For alpha_bar = 0.64, x_0 = 1 and eps = 1 it is 0.8 + 0.6 = 1.4.",
    )


def snr(data: Plain, seed: int) -> str | None:
    _, t, _ = batch(seed, 5, 3)
    a = table_of(seed)[t]
    right = a.logit()
    return explain(
        tensor(data, "snr", (5,), meaning="one number per row"),
        right,
        {
            "The ratio is upside down: signal over noise.": -right,
            "This is the ratio. Take its logarithm.": right.exp(),
            "This is the ratio of the deviations. The SNR is that of their squares.": right / 2,
            "This is the logarithm to base 10. Nats are natural logarithms.": right / math.log(10),
            "These are decibels.": 10 * right / math.log(10),
            "The table is read one entry early. (At t = 1 that would be infinite.)": table_of(seed)[
                t - 1
            ].logit(),
            "This is the logarithm of the signal's share. Take that of the noise off it.": a.log(),
        },
        "Not the log-SNR. For alpha_bar = 0.8 it is log 4 = 1.386.",
    )


# --- convert -----------------------------------------------------------------------------------------


def of_eps(data: Plain, seed: int) -> str | None:
    value, x_t, a = predicted(seed)
    share, rest = a.sqrt(), (1 - a).sqrt()
    return explain(
        tensor(data, "eps", (6, 3)),
        x_t / share - rest / share * value,
        {
            "1 - alpha_bar is the variance of the noise. Take the root.": (x_t - (1 - a) * value) / share,
            "The division by sqrt(alpha_bar) is missing: the data have shrunk.": x_t - rest * value,
            "Divide by the root of alpha_bar, not by alpha_bar.": (x_t - rest * value) / a,
            "The noise is added. Take it off.": (x_t + rest * value) / share,
            "Only x_t is divided by sqrt(alpha_bar). The noise in it has to be, too.": x_t / share
            - rest * value,
        },
        "Not x_0. Solve x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps for x_0.",
    )


def of_v(data: Plain, seed: int) -> str | None:
    value, x_t, a = predicted(seed)
    share, rest = a.sqrt(), (1 - a).sqrt()
    return explain(
        tensor(data, "v", (6, 3)),
        torch.cat([x_t, value], 1).unflatten(1, (2, 3)).mul(torch.stack([share, -rest], 1)).sum(1),
        {
            "The sign of v is the wrong way round. At t near T the velocity is nearly -x_0.": share * x_t
            + rest * value,
            "This is the noise that v stands for. Turn the other way: x_0.": rest * x_t + share * value,
            "The two factors are swapped.": rest * x_t - share * value,
            "The roots are missing.": a * x_t - (1 - a) * value,
            "1 - alpha_bar stands where its root belongs.": share * x_t - (1 - a) * value,
            "v is taken for the noise.": (x_t - rest * value) / share,
        },
        "Not x_0. Put eps = (x_t - sqrt(alpha_bar) x_0) / sqrt(1 - alpha_bar) into v, and solve for x_0.",
    )


def of_score(data: Plain, seed: int) -> str | None:
    value, x_t, a = predicted(seed)
    share, rest = a.sqrt(), (1 - a).sqrt()
    return explain(
        tensor(data, "score", (6, 3)),
        x_t / share + (1 / a - a / a) * share * value,
        {
            "The factor of the score is 1 - alpha_bar, not its root: Tweedie's formula.": (x_t + rest * value)
            / share,
            "The sign is wrong: the score points towards the data.": (x_t - (1 - a) * value) / share,
            "The score is taken for the noise.": (x_t - rest * value) / share,
            "The division by sqrt(alpha_bar) is missing: this is the mean of sqrt(alpha_bar) x_0.": x_t
            + (1 - a) * value,
            "The score is the noise over -sqrt(1 - alpha_bar), not times it.": (x_t + value) / share,
        },
        "Not x_0. Tweedie: x_0 = (x_t + (1 - alpha_bar) score) / sqrt(alpha_bar).",
    )


def and_back(data: Plain, seed: int) -> str | None:
    value, _, a = predicted(seed)
    rest = (1 - a).sqrt()
    for kind in KINDS:
        if close(tensor(data, kind, (6, 3)), value):
            raise Trouble(f'`to_x0` returns "{kind}" as it is, so there is no way back yet.')
        got = tensor(data, f"{kind} back", (6, 3))
        if close(got, value, rtol=1e-6, atol=1e-7):
            continue
        if close(got, rest * value, rtol=1e-6) or close(got, value / rest, rtol=1e-6):
            return f'"{kind}", there and back, is off by a factor sqrt(1 - alpha_bar).'
        if close(got, -value, rtol=1e-6):
            return f'"{kind}", there and back, has changed its sign.'
        return (
            f'"{kind}": from_x0(kind, to_x0(kind, value)) is not the value. Solve your own equation for it; '
            "at a given x_t everything is linear."
        )
    return None


@cache
def grid() -> Tensor:
    return torch.linspace(-9, 9, 6001, dtype=torch.float64)


def best_guess(x_t: Tensor, a: Tensor, mean: Tensor, var: float) -> Tensor:
    """E[x_0 | x_t] by Bayes' rule on a grid."""
    x0 = mean[:, None] + math.sqrt(var) * grid()  # (3, N)
    log_p = -(grid() ** 2) / 2 - (x_t[..., None] - a.sqrt()[..., None] * x0) ** 2 / (2 * (1 - a)[..., None])
    return (log_p.softmax(-1) * x0).sum(-1)


def best(data: Plain, seed: int) -> str | None:
    _, x_t, a = predicted(seed)
    mean, var = gaussian(seed)
    right = best_guess(x_t, a, mean, var)
    share, centre, total = a.sqrt(), a.sqrt() * mean, a * var + 1 - a
    return explain(
        tensor(data, "best", (6, 3)),
        right,
        {
            "The data's mean is left out: far out there the best guess is drawn towards it.": best_guess(
                x_t, a, 0 * mean, var
            ),
            "`var` is the variance. You use it as a standard deviation.": best_guess(x_t, a, mean, var**2),
            "You take the root of `var`, which is a variance already.": best_guess(
                x_t, a, mean, math.sqrt(var)
            ),
            "p_t is centred at sqrt(alpha_bar) m, since the data have shrunk.": (
                x_t - (1 - a) * (x_t - mean) / total
            )
            / share,
            "The variance of x_t is alpha_bar var + 1 - alpha_bar. Yours does not have the noise in it.": (
                (x_t - (1 - a) * (x_t - centre) / (a * var)) / share
            ),
            "The variance of x_t is alpha_bar var + 1 - alpha_bar: the data's shrinks as well.": (
                x_t - (1 - a) * (x_t - centre) / (var + 1 - a)
            )
            / share,
            "The factor of the score is 1 - alpha_bar, not its root.": (
                x_t - (1 - a).sqrt() * (x_t - centre) / total
            )
            / share,
            "The division by sqrt(alpha_bar) is missing.": right * share,
            "This is the best noise prediction, or the score. The task asks for the data.": (x_t - centre)
            / total
            * (1 - a).sqrt(),
            "The sign of the score is wrong: it points towards the mean.": (
                x_t + (1 - a) * (x_t - centre) / total
            )
            / share,
        },
        "Not E[x_0 | x_t]. For m = 0, var = 1 it is sqrt(alpha_bar) x_t. How are x_t distributed?",
        rtol=1e-6,
        atol=1e-7,
    )


# --- step_back ---------------------------------------------------------------------------------------


def conditioned(a_t: Tensor, a_s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """c_t, c_0 and v of q(x_s | x_t, x_0), from the joint covariance of x_s and x_t."""
    covariance = (a_t / a_s).sqrt() * (1 - a_s)
    gain = covariance / (1 - a_t)
    return gain, a_s.sqrt() - gain * a_t.sqrt(), 1 - a_s - gain * covariance


def three(data: Plain, key: str) -> list[Tensor]:
    return tensors(data, key, [(6,)] * 3, meaning="the two factors and the variance, each (B,)")


def factor_of_x_t(data: Plain, seed: int) -> str | None:
    a_t, a_s = two_times(seed)
    c_t, c_0, _ = conditioned(a_t, a_s)
    step = a_t / a_s
    return explain(
        three(data, "posterior")[0],
        c_t,
        {
            "These are the factors in the wrong order: x_t comes first.": c_0,
            "alpha_bar_t stands for the shrinking from s to t. That is alpha_bar_t / alpha_bar_s.": (
                a_t.sqrt() * (1 - a_s) / (1 - a_t)
            ),
            "alpha_bar_s stands for the shrinking from s to t. That is alpha_bar_t / alpha_bar_s.": (
                a_s.sqrt() * (1 - a_s) / (1 - a_t)
            ),
            "A root is missing: x_t has sqrt(alpha_bar_t / alpha_bar_s) x_s in it.": step
            * (1 - a_s)
            / (1 - a_t),
            "s and t are swapped: the noise at s comes into the numerator.": step.sqrt()
            * (1 - a_t)
            / (1 - a_s),
            "This factor alone undoes the shrinking. The noise is still in x_t.": step.rsqrt(),
        },
        "Not the factor of x_t. With a_t = 0.25 and a_s = 0.64 it is 0.3.",
    )


def factor_of_x_0(data: Plain, seed: int) -> str | None:
    a_t, a_s = two_times(seed)
    c_t, c_0, _ = conditioned(a_t, a_s)
    step = a_t / a_s
    return explain(
        three(data, "posterior")[1],
        c_0,
        {
            "This is the factor of x_t. That of x_0 comes second.": c_t,
            "The noise from s to t has the variance 1 - alpha_bar_t / alpha_bar_s, not 1 - alpha_bar_t.": (
                a_s.sqrt()
            ),
            "A root is missing: x_s has sqrt(alpha_bar_s) x_0 in it.": a_s * (1 - step) / (1 - a_t),
            "The data at s have shrunk by sqrt(alpha_bar_s), not by sqrt(alpha_bar_t).": a_t.sqrt()
            * (1 - step)
            / (1 - a_t),
            "The difference of the two alpha_bar is not the variance of the noise added: divide by "
            "alpha_bar_s.": a_s.sqrt() * (a_s - a_t) / (1 - a_t),
        },
        "Not the factor of x_0. With a_t = 0.25 and a_s = 0.64 it is 0.65.",
    )


def variance_back(data: Plain, seed: int) -> str | None:
    a_t, a_s = two_times(seed)
    *_, v = conditioned(a_t, a_s)
    return explain(
        three(data, "posterior")[2],
        v,
        {
            "This is the standard deviation. Return the variance.": v.sqrt(),
            "This is the precision. Its inverse is the variance.": 1 / v,
            "This is the variance of the noise added from s to t, the large choice. x_0 is known: it is "
            "less.": 1 - a_t / a_s,
            "s and t are swapped in the fraction.": (1 - a_t / a_s) * (1 - a_t) / (1 - a_s),
            "The noise from s to t has the variance 1 - alpha_bar_t / alpha_bar_s, not 1 - alpha_bar_t.": (
                1 - a_s
            ),
            "The noise from s to t has the variance 1 - alpha_bar_t / alpha_bar_s, not the difference of the "
            "two.": (a_s - a_t) * (1 - a_s) / (1 - a_t),
        },
        "Not the variance. With a_t = 0.25 and a_s = 0.64 it is 0.2925.",
    )


def weight(data: Plain, seed: int) -> str | None:
    a_t, a_s = two_times(seed)
    _, c_0, v = conditioned(a_t, a_s)
    noise = (1 - a_t) / a_t  # squared error in x_0 for one of eps
    right = c_0.square() * noise / (2 * v)
    return explain(
        tensor(data, "weight", (6,), meaning="one number per pair"),
        right,
        {
            "Where is the ½ of the KL?": 2 * right,
            "This is the weight of the error in x_0. An error in eps is one in x_0 times "
            "sqrt((1 - alpha_bar_t) / alpha_bar_t).": right / noise,
            "An error in eps is multiplied by sqrt((1 - alpha_bar_t) / alpha_bar_t) on its way to x_0, and "
            "then squared. Yours is not squared.": right / noise.sqrt(),
            "That is the weight of the simple loss. The bound's is what it drops.": torch.ones(6),
            "You divide by the large variance. The KL is that of two Gaussians with the posterior's.": (
                c_0.square() * noise / (2 * (1 - a_t / a_s))
            ),
            "You divide by the deviation. The KL has the squared distance over the variance.": (
                c_0.square() * noise / (2 * v.sqrt())
            ),
            "The fraction of the two SNRs is upside down.": (a_t.logit() - a_s.logit()).expm1() / 2,
            "The logarithm of the fraction is right for small steps only.": (a_s.logit() - a_t.logit()) / 2,
            "This is the weight of the error in the velocity.": right * a_t,
            "The 1 is missing: at s = t there is no distance.": right + 0.5,
        },
        "Not the weight. With a_t = 0.25 and a_s = 0.64 it is 2.1667.",
    )


# --- loss_of -----------------------------------------------------------------------------------------

LAST = len(LOSS_TABLE) - 1


def seen(
    data: Plain, key: str, shape: Sequence[int], what: str, dtype: str | tuple[str, ...] = "float64"
) -> Tensor:
    """What the answer gave to the network, or Trouble."""
    value = returned(data, key)
    items, name = value.get("items"), value["name"]
    if not isinstance(items, list) or len(items) != 1:
        how = "never asks" if items == [] else "asks more than once"
        raise Trouble(f"`{name}` {how} the network. Ask once, about the whole batch.")
    return tensor({key: {"kind": "returned", "name": what, "value": items[0]}}, key, shape, dtype=dtype)


def told(data: Plain, key: str = "t") -> Tensor:
    t = seen(data, key, (ROWS,), "the step that the network is told", ("int64", "int32"))
    if bool((t < 0).any()) or bool((t > LAST).any()):
        raise Trouble(
            f"The network is told steps that are not there. With T = {LAST} they are 1, ..., {LAST}."
        )
    return t.long()


def noisy_rows(data: Plain, key: str = "x_t") -> Tensor:
    return seen(data, key, (ROWS, 2), "what the network sees")


def at_steps(values: Tensor, t: Tensor, of: Callable[[Tensor], Tensor]) -> Tensor:
    """`of` the rows at each step 1, ..., T; NaN where there are none."""
    found = [of(values[t == step]) if bool((t == step).any()) else math.nan for step in range(1, LAST + 1)]
    return torch.tensor([float(value) for value in found], dtype=torch.float64)


def spreads(data: Plain) -> tuple[Tensor, Tensor]:
    """Standard deviation of the noise in x_t (T,), and which steps occur."""
    t = told(data)
    spread = at_steps(noisy_rows(data), t, lambda rows: rows.square().mean().sqrt())
    return spread, ~spread.isnan()


def alike(got: Tensor, want: Tensor, there: Tensor) -> bool:
    return close(got[there], want[there], rtol=0.085, atol=0.02)  # five standard errors of 2000 draws


def follows_noise(data: Plain) -> bool:
    """Whether each row's loss is a multiple of its own noise squared, for a network that answers 0."""
    t, x_t = told(data), noisy_rows(data)
    share = tensor(data, "loss", (ROWS,), meaning="one number per image") / x_t.square().sum(1)
    return all(
        close(share[t == step], share[t == step][:1].expand(int((t == step).sum())), rtol=1e-5)
        for step in range(1, LAST + 1)
        if bool((t == step).any())
    )


def untouched(data: Plain) -> None:
    """Raise NotDone where all three mistakes are still there."""
    t, (spread, there) = told(data), spreads(data)
    a = torch.tensor(LOSS_TABLE[1:], dtype=torch.float64)
    given = int(t.min()) == 0 and int(t.max()) < LAST and alike(spread, 1 - a, there)
    if given and not follows_noise(data):
        raise NotDone("Not done yet: this still returns what the code that you were given returns.")


def steps_drawn(data: Plain, seed: int) -> str | None:
    untouched(data)
    t = told(data)
    a = torch.tensor(LOSS_TABLE, dtype=torch.float64)
    counts = torch.bincount(t, minlength=LAST + 1)
    if int((counts > 0).sum()) == 1:
        return "All rows have the same t. Draw one for each row."
    if int(counts[0]) and not int(counts[LAST]):
        if alike(spreads(data)[0][:-1], (1 - a[2:]).sqrt(), torch.ones(LAST - 1, dtype=torch.bool)):
            return "The network is told t - 1 where the noise is that of t. The two must be the same number."
        return f"t runs from 0 to T - 1. At 0 there is nothing to learn, and T = {LAST} never comes."
    if int(counts[0]):
        return "t = 0 occurs, where there is no noise to predict. The first step is 1."
    if not int(counts[LAST]):
        return "T never occurs: the upper end of `torch.randint` is left out. The sampler starts there."
    share = counts[1:] / ROWS
    if float((share - 1 / LAST).abs().max()) > 5 * math.sqrt(0.25 * 0.75 / ROWS):
        return "t is not uniform on 1, ..., T."
    return None


def noisy_image(data: Plain, seed: int) -> str | None:
    untouched(data)
    a = torch.tensor(LOSS_TABLE, dtype=torch.float64)
    before, a = a[:-1], a[1:]
    spread, there = spreads(data)
    if not bool(there.any()):
        raise Trouble("No row is at one of the steps 1, ..., T.")
    if not alike(spread, (1 - a).sqrt(), there):
        for hint, value in (
            ("1 - alpha_bar is the variance of the noise. Multiply eps by its root.", 1 - a),
            (
                "This is the noise of a single step, sqrt(beta_t): alpha for alpha_bar.",
                (1 - a / before).sqrt(),
            ),
            ("The noise has the size that belongs to the next step.", (1 - a.roll(-1)).sqrt()),
            ("The noise has the size that belongs to the step before.", (1 - before).sqrt()),
            ("The noise is as large as sqrt(alpha_bar). That belongs to the data.", a.sqrt()),
            ("eps goes in with the factor 1 at every step.", torch.ones(LAST)),
        ):
            if alike(spread[:-1], value[:-1], there[:-1]):
                return hint
        return "The noise in x_t should have the standard deviation sqrt(1 - alpha_bar_t)."
    t = told(data, "t placed")
    mean = at_steps(noisy_rows(data, "placed"), t, torch.Tensor.mean)
    there = ~mean.isnan()
    if bool(((mean - a.sqrt() * POINT).abs()[there] < 0.08).all()):  # five standard errors
        return None
    if bool(((mean - a * POINT).abs()[there] < 0.08).all()):
        return "The data go in with the factor alpha_bar. Take its root."
    if bool(((mean - (a / before).sqrt() * POINT).abs()[there] < 0.08).all()):
        return "The data have the factor of a single step: alpha for alpha_bar."
    return "The data should go into x_t with the factor sqrt(alpha_bar_t)."


def whose_noise(data: Plain, seed: int) -> str | None:
    untouched(data)
    loss = tensor(data, "loss", (ROWS,), meaning="one number per image")
    t, x_t = told(data), noisy_rows(data)
    spread, _ = spreads(data)
    if float(loss.abs().max()) < 1e-9:
        return "The target does not contain the noise. With all data at 0 and an answer of 0 your loss is 0."
    if not follows_noise(data):
        a = torch.tensor(LOSS_TABLE, dtype=torch.float64)[t].clamp_max(1 - 1e-9)[:, None]
        for scale in ((1 - a).sqrt(), 1 - a):
            own, some = (x_t / scale).square().sum(1)[t > 0], loss[t > 0]
            if len(own) > 0.9 * ROWS or len(own) == ROWS:
                same = torch.isin((own * 1e6).round(), (some * 1e6).round()).double().mean()
                if float(same) > 0.95:
                    return (
                        "The target is noise of this batch, but row for row that of another image: it is in "
                        "another order than x_t."
                    )
        return (
            "The target is noise that is not in x_t: drawn anew, or from elsewhere. Nothing can be learnt "
            "from it."
        )
    level = at_steps(loss, t, torch.Tensor.mean)
    there = ~level.isnan()
    a = torch.tensor(LOSS_TABLE[1:], dtype=torch.float64)
    if alike(level, torch.full((LAST,), 2.0).double(), there):
        return None
    for hint, value in (
        ("This is the mean over the dimensions. The loss is the sum.", torch.ones(LAST).double()),
        ("The target is the velocity. Here it is the noise.", 2 * a),
        ("The target is x_t itself, or the scaled noise. It is eps, of variance one.", 2 * spread.square()),
    ):
        if alike(level, value, there):
            return hint
    return "With an answer of 0 the loss should be the squared length of the noise eps."


def left(a: float, covariance: float, dims: int, var: float) -> float:
    """What the best prediction leaves of a target of unit variance with this covariance with x_t."""
    joint = torch.tensor([[a * var + 1 - a, covariance], [covariance, 1.0]], dtype=torch.float64)
    return dims * float(torch.linalg.det(joint)) / (a * var + 1 - a)


def least(data: Plain, seed: int) -> str | None:
    untouched(data)
    cases = data_of_the_loss(seed)

    def of(f: Callable[[float, float, int, float], float]) -> Tensor:
        return torch.tensor([f(*case) for case in cases], dtype=torch.float64)

    def got(target: str) -> Tensor:
        return torch.tensor([number(data, f"{target} {i}") for i in range(len(cases))], dtype=torch.float64)

    dims = of(lambda a, b, d, v: d)
    whole = of(lambda a, b, d, v: left(a, math.sqrt(1 - a), d, v))
    last = of(lambda a, b, d, v: left(a, math.sqrt(b), d, v))
    return (
        explain(
            got("whole"),
            whole,
            {
                "The best network does not reach 0: from x_t alone the noise cannot be known.": 0.0 * dims,
                "Those of all dimensions add up.": whole / dims,
                "This is what the best prediction explains. Take it off the whole.": dims - whole,
                "This is the error in x_0. The target is the noise.": of(
                    lambda a, b, d, v: d * v * (1 - a) / (a * v + 1 - a)
                ),
                "This is right for s = 1 only.": of(lambda a, b, d, v: d * a),
                "`var` is the variance. You use it as a standard deviation.": of(
                    lambda a, b, d, v: left(a, math.sqrt(1 - a), d, v * v)
                ),
            },
            '"whole": not the least loss. For s = 1 it is D alpha_bar_t. What does Cov(eps, x_t) tell?',
        )
        or explain(
            got("permuted"),
            dims,
            {
                "Two independent noises differ by 2 D. But the best network does not guess some noise: it "
                "knows that it knows nothing, and returns the mean, 0.": 2 * dims,
                "The noise of another image is not in x_t: the best answer is no better than 0.": whole,
                "Those of all dimensions add up.": torch.ones(len(cases)),
                "The loss cannot be 0: x_t says nothing about the noise of another image.": 0.0 * dims,
            },
            '"permuted": what is the best prediction of something that is independent of x_t?',
        )
        or explain(
            got("last"),
            last,
            {
                "The last step's noise is not all of the noise in x_t: its covariance with x_t is "
                "sqrt(beta_t).": whole,
                "The noise of the last step is in x_t, with the factor sqrt(beta_t). So something can be "
                "predicted.": dims,
                "The covariance is sqrt(beta_t), and its square is what counts.": of(
                    lambda a, b, d, v: d * (1 - math.sqrt(b) / (a * v + 1 - a))
                ),
                "The covariance is sqrt(beta_t): its square is beta_t, not beta_t squared.": of(
                    lambda a, b, d, v: d * (1 - b * b / (a * v + 1 - a))
                ),
                "This is right for s = 1 only.": of(lambda a, b, d, v: d * (1 - b)),
                "The variance of x_t has the data in it as well.": of(
                    lambda a, b, d, v: d * (1 - b / (1 - a))
                ),
                "`beta` is the variance of that noise in x_t; you use 1 - alpha_bar times it.": of(
                    lambda a, b, d, v: d * (1 - b * (1 - a) / (a * v + 1 - a))
                ),
            },
            '"last": x_t has sqrt(beta_t) eps_t in it. What is the variance of x_t?',
        )
    )


# --- ancestral ---------------------------------------------------------------------------------------

T = len(TABLE) - 1


def items_of(data: Plain, key: str) -> tuple[list[Plain], str]:
    value = returned(data, key)
    items = value.get("items")
    if not isinstance(items, list):
        raise Trouble(f"`{value['name']}` should return x_0.")
    return items, value["name"]


def order(data: Plain, seed: int) -> str | None:
    items, name = items_of(data, f"steps {NUS[0]}")
    tensor(data, f"x0 {NUS[0]}", (COUNT, DIMS))
    asked = []
    for item in items:
        alone = {"kind": "returned", "name": "the step that the network is told", "value": item}
        if isinstance(item, dict) and item.get("shape") == []:
            return "The rows of one batch are told different steps. In a sampler they are all at the same."
        asked.append(round(float(tensor({"t": alone}, "t", (1,), dtype=None))))
    right = list(range(T, 0, -1))
    if asked == right:
        return None
    if not asked:
        return f"`{name}` never asks the network."
    if asked == [t - 1 for t in right]:
        return f"With T = {T} the network is told {asked}: always one less than the step at which x is."
    if asked == right[::-1]:
        return "Backwards: the sampler goes from T down to 1."
    if asked == right[:-1]:
        return "The loop stops before x_0: the step from t = 1 is missing."
    if asked == right[1:]:
        return f"The loop starts at T - 1. x is at T = {T}."
    if len(asked) > T and 0 in asked:
        return "At t = 0 there is no noise left to predict. The last step is t = 1."
    return f"With T = {T} the network should be asked at {right}, once each; it is asked at {asked}."


def path(data: Plain, key: str) -> Tensor:
    """x_T, ..., x_0 of a run, (T + 1, COUNT, DIMS), or Trouble."""
    items, name = items_of(data, f"path {key}")
    end = tensor(data, f"x0 {key}", (COUNT, DIMS))
    if len(items) != T:
        raise Trouble(f"`{name}` asks the network {len(items)} times where there are {T} steps.")
    rows = [
        tensor({"x": {"kind": "returned", "name": "x_t", "value": item}}, "x", (COUNT, DIMS))
        for item in items
    ]
    return torch.stack([*rows, end])


def factors(data: Plain) -> tuple[Tensor, Tensor]:
    """Factors of x_t and of the prediction in each step, (T,) each, from runs with the same noise."""
    plain, shifted, pushed = (path(data, key) for key in (str(NUS[0]), "shifted", "pushed"))
    moved, pushed = shifted - plain, pushed - plain
    if float((moved - moved[:, :1, :1]).abs().max()) > 1e-6:
        raise Trouble(
            "Two runs with generators of one seed differ by more than their inputs do. Draw all noise from "
            "`generator`, one draw at each step, and treat every row alike."
        )
    moved, pushed = moved[:, 0, 0], pushed[:, 0, 0]
    if float(moved.abs().min()) < 1e-9:
        raise Trouble("Where the sampler starts makes no difference to where it ends.")
    of_x = moved[1:] / moved[:-1]
    return of_x, pushed[1:] - of_x * pushed[:-1]


def schedule() -> dict[str, Tensor]:
    """What belongs to the steps from t = T down to 1, (T,) each."""
    table = torch.tensor(TABLE, dtype=torch.float64)
    a, before = table[1:].flip(0), table[:-1].flip(0)
    beta = 1 - a / before
    return {"a": a, "alpha": a / before, "beta": beta, "small": beta * (1 - before) / (1 - a)}


def means(data: Plain, seed: int) -> str | None:
    s = schedule()
    a, alpha, beta = s["a"], s["alpha"], s["beta"]
    rest = (1 - a).sqrt()

    def both(of_x: Tensor, of_eps: Tensor) -> Tensor:
        return torch.stack([of_x, of_eps])

    grow = alpha.rsqrt()
    return explain(
        both(*factors(data)),
        both(grow, -grow * beta / rest),
        {
            "1 - alpha_bar stands where its root belongs, under the prediction.": both(
                grow, -grow * beta / (1 - a)
            ),
            "alpha for alpha_bar: the noise in x_t has the size sqrt(1 - alpha_bar_t), that of all steps.": (
                both(grow, -grow * beta / beta.sqrt())
            ),
            "This takes off all of the noise at once. One step takes off beta_t / sqrt(1 - alpha_bar_t) of "
            "the prediction.": both(grow, -grow * rest),
            "The prediction is added. It is noise: take it off.": both(grow, grow * beta / rest),
            "The whole bracket is divided by sqrt(alpha_t), the prediction too.": both(grow, -beta / rest),
            "alpha_bar for alpha: one step back undoes the shrinking of one step.": both(
                a.rsqrt(), -a.rsqrt() * beta / rest
            ),
            "x_t is multiplied by sqrt(alpha_t). Going back it grows: divide.": both(
                alpha.sqrt(), -alpha.sqrt() * beta / rest
            ),
            "Divide by the root of alpha_t, not by alpha_t.": both(1 / alpha, -beta / rest / alpha),
            "sigma_t stands where sqrt(1 - alpha_bar_t) belongs. The one is what a step adds, the other what "
            "is in x_t.": both(grow, -grow * beta / s["small"].sqrt()),
        },
        "Not the mean of a step: (x_t - beta_t eps_hat / sqrt(1 - alpha_bar_t)) / sqrt(alpha_t), with "
        "alpha_t = alpha_bar_t / alpha_bar_{t-1} and beta_t = 1 - alpha_t.",
        rtol=1e-5,
        atol=1e-7,
    )


def added(data: Plain) -> dict[float, Tensor]:
    """The noise that each step adds, by nu: (T, COUNT, DIMS); no prediction is in these runs."""
    of_x, _ = factors(data)
    paths = {nu: path(data, str(nu)) for nu in NUS}
    return {nu: x[1:] - of_x[:, None, None] * x[:-1] for nu, x in paths.items()}


def noise_added(data: Plain, seed: int) -> str | None:
    noise = {nu: z[:-1] for nu, z in added(data).items()}  # the last step is another criterion
    first = noise[NUS[0]]
    if close(first[:, 0], first[:, 1]) and float(first.abs().max()) > 1e-6:
        return "All rows get the same noise. Draw in the shape of x."
    beta, small = (schedule()[key][:-1] for key in ("beta", "small"))

    def spread(of: Callable[[float], Tensor]) -> Tensor:
        return torch.stack([of(nu) for nu in NUS])

    got = spread(lambda nu: noise[nu].square().mean((1, 2)).sqrt())

    def learned(nu: float) -> Tensor:
        return (nu * beta.log() + (1 - nu) * small.log()).exp()

    near = 0.055  # five standard errors of 4000 draws
    return explain(
        got,
        spread(lambda nu: learned(nu).sqrt()),
        {
            "No noise is added at all. Without it the chain gets too narrow.": 0.0 * got,
            "sigma² is the variance. Multiply the noise by sigma.": spread(learned),
            "The large variance, whatever nu is.": spread(lambda nu: beta.sqrt()),
            "The small variance, whatever nu is.": spread(lambda nu: small.sqrt()),
            "nu = 1 is the large variance, beta_t; yours is the other way round.": spread(
                lambda nu: learned(1 - nu).sqrt()
            ),
            "The two variances are mixed as they are. Their logarithms are.": spread(
                lambda nu: (nu * beta + (1 - nu) * small).sqrt()
            ),
            "The two deviations are mixed. The logarithms of the variances are.": spread(
                lambda nu: nu * beta.sqrt() + (1 - nu) * small.sqrt()
            ),
            "The noise is uniform. `torch.randn`, not `torch.rand`.": spread(
                lambda nu: learned(nu).sqrt() / math.sqrt(3)
            ),
        },
        "The noise of a step has not the size that nu asks for: exp of half the log-variance.",
        rtol=near,
        atol=1e-6,
    )


def last_step(data: Plain, seed: int) -> str | None:
    noise = added(data)
    if all(float(z.abs().max()) < 1e-6 for z in noise.values()):
        raise Trouble("No step adds any noise, so the last one proves nothing.")
    ends = {nu: float(z[-1].square().mean().sqrt()) for nu, z in noise.items()}
    if max(ends.values()) < 1e-6:
        return None
    if ends[0.0] < 1e-6:
        return (
            "The last step adds noise for nu > 0. The small variance is 0 at t = 1; the large one is not, "
            "and it must be left out there all the same."
        )
    return "The last step adds noise: grain that no data have. x_0 is the mean."


# --- who_pays ----------------------------------------------------------------------------------------

KEYS = ("half_linear", "half_cosine", "total", "early")


@cache
def sums() -> dict[str, float]:
    """The four numbers and some that are mistaken for them, by running it."""
    even = torch.linspace(10, -10, 1000, dtype=torch.float64)
    ratio = even.exp()
    kl = -ratio.diff() / (2 * (1 + ratio[1:]))
    steps = torch.arange(1, 1001, dtype=torch.float64)
    linear = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64).neg().log1p().cumsum(0).exp()
    cosine = ((steps / 1000 + 0.008) / 1.008 * 90).deg2rad().cos().square()
    signal = even[1:] > 0
    return {
        "half_linear": float((linear >= 0.5).sum()) + 0.5,
        "half_cosine": float((cosine >= 0.5).sum()) + 0.5,
        "total": float(kl.sum()),
        "early": float(kl[signal].sum() / kl.sum()),
    }


def guess(data: Plain, key: str, within: float, known: Mapping[str, float], otherwise: str) -> str | None:
    got = entry(table(data, "prediction", KEYS), key)
    if abs(got - sums()[key]) <= within:
        return None
    for hint, value in known.items():
        if abs(got - value) <= max(within, 0.01 * value):
            return hint
    return otherwise


def half_linear(data: Plain, seed: int) -> str | None:
    return guess(
        data,
        "half_linear",
        10.5,
        {
            "That is the middle of the chain. But the linear schedule's noise adds up faster.": 500.0,
            "There alpha_bar is ¼ and its root ½. Equal variances: alpha_bar is ½.": (367.0),
            "That is log 2 over the mean of all beta, 0.01. The first ones are far below the mean.": 69.0,
        },
        "SNR = 1 where alpha_bar = ½, so where the sum of all beta up to t is about log 2.",
    )


def half_cosine(data: Plain, seed: int) -> str | None:
    return guess(
        data,
        "half_cosine",
        10.5,
        {
            "There the cosine is ½. alpha_bar is its square, ¼.": 664.0,
            "That is 45° if the angle ended at 180°. It ends at 90°, where alpha_bar is 0.": 248.0,
            "There alpha_bar is ¾.": 328.0,
        },
        "alpha_bar is the square of a cosine. At which angle is that ½, and when is the angle reached?",
    )


def total(data: Plain, seed: int) -> str | None:
    return guess(
        data,
        "total",
        0.1,
        {
            "Where is the ½ in front of the squared error?": 10.0,
            "That is the sum for an error of 1 at every step. The best network's is 1 / (1 + SNR).": (
                math.exp(10) / 2
            ),
            "That is in bits. Leave it in nats.": 5 / math.log(2),
            "That is what is paid above SNR = 1 only.": 5 - math.log(2) / 2,
        },
        "Sum ½ (SNR(t-1) - SNR(t)) E(x_0 - x̂_0)², with error 1 / (1 + SNR): nearly an integral over the SNR.",
    )


def early(data: Plain, seed: int) -> str | None:
    return guess(
        data,
        "early",
        0.02,
        {
            "That is the share of the steps. What do they cost?": 0.5,
            "That is what is paid later.": 1 - sums()["early"],
            "That is the share in per cent. Write it as a number between 0 and 1.": 93.0,
            "All of it? A little is left to pay below SNR = 1: ½ log 2.": 1.0,
        },
        "The sum from SNR = 1 down to 0 is ½ log(1 + 1). What share is the rest?",
    )


# --- unet --------------------------------------------------------------------------------------------


def waves(data: Plain, seed: int) -> str | None:
    t = torch.tensor([1.0, 5.0, 60.0, 3.0], dtype=torch.float64)
    half = EMBED_WIDTH // 2

    def table_of_waves(
        exponents: Sequence[float], *, base: float = 1e4, turn: float = 1.0, flipped: bool = False
    ) -> Tensor:
        angles = torch.stack([turn * t * base**e for e in exponents], 1)
        parts = [angles.sin(), angles.cos()]
        return torch.cat(parts[::-1] if flipped else parts, 1)

    right = [-j / half for j in range(half)]
    order = torch.arange(EMBED_WIDTH).reshape(2, half).T.flatten()
    return explain(
        tensor(data, "embedded", (4, EMBED_WIDTH), dtype=ANY_FLOAT),
        table_of_waves(right),
        {
            "The frequencies rise. The exponent is negative: the first wave is the fastest.": table_of_waves(
                [-e for e in right]
            ),
            "Cosines come first here. The sines come first.": table_of_waves(right, flipped=True),
            "Sines and cosines alternate. All sines come first.": table_of_waves(right)[:, order],
            "The exponent is j over the number of frequencies, width / 2, not over width.": table_of_waves(
                [e / 2 for e in right]
            ),
            "The exponent goes up to 1: j is divided by width / 2 - 1.": table_of_waves(
                [-j / (half - 1) for j in range(half)]
            ),
            "There is a 2 pi too many.": table_of_waves(right, turn=2 * math.pi),
            "All frequencies are 1. Is the exponent divided as a whole number?": table_of_waves([0.0] * half),
            "The base is 10000, not 1000.": table_of_waves(right, base=1e3),
        },
        "Not the embedding: sin(t), sin(t · 10000^(-1/J)), ..., then the cosines.",
        rtol=1e-4,
        atol=5e-3,
    )


def conv(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.conv2d(x, weight, bias, padding=1)


def halved(x: Tensor) -> Tensor:
    return x[..., : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2].unfold(2, 2, 2).unfold(3, 2, 2).mean((-2, -1))


def repeated(x: Tensor, height: int, width: int) -> Tensor:
    """x at another resolution: each pixel is the nearest one's."""
    rows, columns = (torch.arange(n) * m // n for n, m in ((height, x.shape[2]), (width, x.shape[3])))
    return x[:, :, rows][:, :, :, columns]


def parts(seed: int, x: Tensor) -> dict[str, Tensor]:
    """What goes into the last convolution, without any time; and that convolution's two halves."""
    w = network_weights(seed)
    skip = F.silu(conv(x, w["first.weight"], w["first.bias"]))
    low = F.silu(conv(halved(skip), w["bottom.weight"], w["bottom.bias"]))
    own, from_below = w["last.weight"][:, 2 * NET_WIDTH :], w["last.weight"][:, : 2 * NET_WIDTH]
    return {"skip": skip, "low": low, "own": own, "from below": from_below, "bias": w["last.bias"]}


def as_given(data: Plain, seed: int) -> None:
    """Raise NotDone where both mistakes of `forward` are still there."""
    x = pictures(seed, 6, 8)
    p = parts(seed, x)
    pooled = repeated(conv(halved(p["skip"]), p["own"], p["bias"]), 6, 8)
    batch, alone = tensor(data, "batch", (3, 1, 6, 8)), tensor(data, "alone 1", (1, 1, 6, 8))
    if close(tensor(data, "skip", (3, 1, 6, 8)), pooled) and not close(batch[1:2], alone):
        raise NotDone("Not done yet: `forward` still returns what the code that you were given returns.")


def skipped(data: Plain, seed: int) -> str | None:
    as_given(data, seed)
    x = pictures(seed, 6, 8)
    p = parts(seed, x)
    pooled = halved(p["skip"])
    return explain(
        tensor(data, "skip", (3, 1, 6, 8)),
        conv(p["skip"], p["own"], p["bias"]),
        {
            "The output is still made at half the resolution: blocks of four equal pixels. Come up first, "
            "then join, then convolve.": repeated(conv(pooled, p["own"], p["bias"]), 6, 8),
            "The skip went down and up again, and has lost its detail. It is handed across as it is.": conv(
                repeated(pooled, 6, 8), p["own"], p["bias"]
            ),
            "Nothing comes across by the skip.": p["bias"].expand(3, 1, 6, 8),
            "The skip comes first. First what comes up, then the skip.": conv(
                p["skip"], p["from below"][:, :NET_WIDTH], p["bias"]
            ),
            "The skip starts before the activation. It is what goes down as well, after it.": conv(
                conv(x, network_weights(seed)["first.weight"], network_weights(seed)["first.bias"]),
                p["own"],
                p["bias"],
            ),
        },
        "With nothing from below, the output should be the last convolution of the skip, at full resolution.",
        rtol=1e-5,
        atol=1e-6,
    )


def from_below(data: Plain, seed: int) -> str | None:
    as_given(data, seed)
    x = pictures(seed, 6, 8)
    p = parts(seed, x)
    below = tensor(data, "both", (3, 1, 6, 8)) - tensor(data, "skip", (3, 1, 6, 8))
    w = network_weights(seed)
    never = F.silu(conv(p["skip"], w["bottom.weight"], w["bottom.bias"]))
    smooth = F.interpolate(p["low"], size=(6, 8), mode="bilinear")
    return explain(
        below,
        conv(repeated(p["low"], 6, 8), p["from below"]),
        {
            "The part from below is convolved at half the resolution and blown up afterwards. Come up before "
            "the last convolution.": repeated(conv(p["low"], p["from below"]), 6, 8),
            "Nothing arrives from the bottom.": 0.0 * below,
            "The bottom works at full resolution. It should see half of it: `F.avg_pool2d`.": conv(
                never, p["from below"]
            ),
            "The part from below is smoothed on its way up. Here each pixel is repeated.": conv(
                smooth, p["from below"]
            ),
            "What comes up is put where the skip belongs. First what comes up, then the skip.": conv(
                repeated(p["low"], 6, 8)[:, NET_WIDTH:], p["own"]
            )
            + conv(repeated(p["low"], 6, 8)[:, :NET_WIDTH], p["from below"][:, NET_WIDTH:]),
        },
        "What the bottom adds to the output should be its channels, repeated, in the last convolution.",
        rtol=1e-5,
        atol=1e-6,
    )


def own_time(data: Plain, seed: int) -> str | None:
    as_given(data, seed)
    batch, others = tensor(data, "batch", (3, 1, 6, 8)), tensor(data, "others", (3, 1, 6, 8))
    alone = torch.cat([tensor(data, f"alone {i}", (1, 1, 6, 8)) for i in range(3)])
    if close(batch, others):
        return "The output does not depend on t."
    if close(batch, alone, rtol=1e-5, atol=1e-6):
        return None
    if close(batch[:1], alone[:1], rtol=1e-5, atol=1e-6):
        return "All images of a batch are told the first one's time. Each row has its own: `embed(t, 16)`."
    return "An image in a batch should come out as it does alone. Its time is mixed with that of the others."


TASKS = [
    Task(
        "jump",
        "One jump to any step",
        "implement",
        5,
        PROBES["jump"],
        (
            Criterion("alpha_bar, with 1 for t = 0", 1, alpha_bar),
            Criterion("the noisy points", 2, noisy_points),
            Criterion("the log-SNR", 1, snr),
        ),
        (
            "`cumprod` multiplies up; the entry for t = 0 goes in front of it with `torch.cat`.",
            "`alpha_bar[t]` reads one entry for each row. For points it needs the shape (B, 1), for images "
            "(B, 1, 1, 1): `reshape(-1, *[1] * (x0.ndim - 1))` makes either.",
            "x_t is x_0 times the root of alpha_bar plus eps times the root of 1 - alpha_bar; the SNR is "
            "alpha_bar / (1 - alpha_bar).",
        ),
        (),
        "1 Derive: a thousand small steps, and one jump",
    ),
    Task(
        "convert",
        "Four ways to say the same",
        "implement",
        6,
        PROBES["convert"],
        (
            Criterion("from the noise", 1, of_eps),
            Criterion("from the velocity", 1, of_v),
            Criterion("from the score", 1, of_score),
            Criterion("and back to the same prediction", 1, and_back),
            Criterion("the best answer for Gaussian data", 1, best),
        ),
        (
            "Write x_t = sqrt(a) x_0 + sqrt(1 - a) eps under the definition of v: two equations for x_0 and "
            "eps. The score is -eps / sqrt(1 - a).",
            "v: multiply the first equation by sqrt(a), the second by sqrt(1 - a), and subtract.",
            "For Gaussian data x_t is Gaussian with mean sqrt(a) m and variance a var + 1 - a. The score of "
            "a Gaussian is minus the distance from its mean over its variance.",
        ),
        ("torch.distributions",),
        "7 Derive: what the best network answers",
    ),
    Task(
        "step_back",
        "One step back, or a hundred",
        "derive",
        6,
        PROBES["step_back"],
        (
            Criterion("the factor of x_t", 1, factor_of_x_t),
            Criterion("the factor of x_0", 1, factor_of_x_0),
            Criterion("the variance", 1, variance_back),
            Criterion("the weight of a squared error in the noise", 2, weight),
        ),
        (
            "From s to t: x_t = sqrt(r) x_s + sqrt(1 - r) times noise, with r = alpha_bar_t / alpha_bar_s.",
            "Follow section 3 with r for alpha_t, 1 - r for beta_t and s for t - 1. The precision is "
            "r / (1 - r) + 1 / (1 - alpha_bar_s).",
            "The KL of two Gaussians with the same variance v is their squared distance over 2 v. The means "
            "differ by c_0 (x_0 - x̂_0), and x_0 - x̂_0 is sqrt((1 - alpha_bar_t) / alpha_bar_t) times the "
            "error in the noise.",
        ),
        ("torch.distributions",),
        "3 Derive: one step back, for one who knows the data",
    ),
    Task(
        "loss_of",
        "Find the bugs: a loss that stays where it is",
        "find the bug",
        7,
        PROBES["loss_of"],
        (
            Criterion("t is uniform on 1, ..., T", 1, steps_drawn),
            Criterion("the noisy image", 1, noisy_image),
            Criterion("the target is the noise that is in the image", 2, whose_noise),
            Criterion("the least losses", 2, least),
        ),
        (
            "Follow one row: which t, which x_0, which eps go into its x_t, and which eps is it compared "
            "with?",
            "The bugs: the range of t; the factor of the noise; and the order of `eps` in the last line.",
            "Least loss: for a target of variance one, the best prediction from a Gaussian x_t leaves "
            "1 - Cov² / Var(x_t) in each dimension. What is the covariance of each target with x_t?",
        ),
        (),
        "6 Derive: the simple loss, and what it drops",
    ),
    Task(
        "ancestral",
        "The sampler, with any variance",
        "implement",
        6,
        PROBES["ancestral"],
        (
            Criterion("the network is asked at T, ..., 1", 1, order),
            Criterion("the mean of each step", 2, means),
            Criterion("the size of the noise", 1, noise_added),
            Criterion("no noise at the last step", 1, last_step),
        ),
        (
            "`for t in range(len(alpha_bar) - 1, 0, -1)`; alpha_t is the ratio of two neighbours in the "
            "table, and beta_t is 1 - alpha_t.",
            "Question 2 of the chapter's section 15 has the mean in terms of x_t and eps.",
            "sigma is exp of half the log-variance; the small variance is beta_t (1 - alpha_bar_{t-1}) / "
            "(1 - alpha_bar_t). Add noise for t > 1 only.",
        ),
        (),
        "8 Derive: how wide is a step back?",
    ),
    Task(
        "who_pays",
        "Predict, then run: where the work is",
        "predict",
        5,
        PROBES["who_pays"],
        (
            Criterion("half lost, linear schedule", 1, half_linear),
            Criterion("half lost, cosine schedule", 1, half_cosine),
            Criterion("the sum of the KLs", 2, total),
            Criterion("the share that is paid early", 1, early),
        ),
        (
            "SNR = 1 means alpha_bar = ½. For small beta, -log alpha_bar_t is about the sum of the beta, an "
            "area under a straight line.",
            "Data and noise of variance one: E[x_0 | x_t] = sqrt(alpha_bar) x_t leaves the squared error "
            "1 - alpha_bar = 1 / (1 + SNR).",
            "With small steps the sum is the integral of ½ / (1 + u) from the last SNR to the first. What is "
            "log(1 + e^10), nearly?",
        ),
        (),
        "5 Derive: four ways to write one squared error",
    ),
    Task(
        "unet",
        "Find the bugs: a U-Net that never comes up",
        "find the bug",
        5,
        PROBES["unet"],
        (
            Criterion("sines and cosines", 1, waves),
            Criterion("the skip keeps its detail", 1, skipped),
            Criterion("the bottom comes up", 1, from_below),
            Criterion("each image has its own time", 1, own_time),
        ),
        (
            "Write the shape behind every line. Where is the first tensor of half the size, and where the "
            "last?",
            "`F.interpolate(low, size=x.shape[2:])` belongs before `torch.cat`, and the skip needs no "
            "pooling. For the time: which rows does `t[:1]` hold?",
            "`torch.arange(half) / half` are the exponents; `t[:, None] * frequency` has the shape (B, J).",
        ),
        (),
        "12 Run: digits",
    ),
]
