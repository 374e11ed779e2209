"""Hidden checks of 07_diffusion: criteria that only the grader knows, on the same probes."""

import torch

from coursekit.exercises.judge import close, number, tensor
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion

from .probes import COUNT, DIMS, IMAGES, NUS, WIDE, batch, gaussian, pictures, predicted, table_of, two_times
from .visible import as_given, conditioned, conv, noisy, parts, repeated, three, untouched


def images(data: Plain, seed: int) -> str | None:
    x0, t, eps = batch(seed + 10, 4, 1, 4, 4)
    if close(tensor(data, "images", (4, 1, 4, 4)), noisy(t, x0, eps, table_of(seed))["right"]):
        return None
    return "Wrong for four images of 4 x 4 pixels: the factors run along the wrong dimension."


def extremes(data: Plain, seed: int) -> str | None:
    _, x_t, a = predicted(seed)
    mean, _ = gaussian(seed)
    if not close(tensor(data, "point", (6, 3)), mean.expand(6, 3)):
        return "If all data are one point (var = 0), the best guess is that point."
    if close(tensor(data, "anywhere", (6, 3)), x_t / a.sqrt(), rtol=100 / WIDE + 1e-6):
        return None
    return "If the data could be anywhere (var very large), the best guess is x_t without its shrinking."


def ends(data: Plain, seed: int) -> str | None:
    a_t, a_s = two_times(seed)
    of_x_t, of_x_0, v = three(data, "to the data")
    if not (close(of_x_t, 0 * a_t) and close(of_x_0, torch.ones(6)) and close(v, 0 * a_t)):
        return "At s = 0 the step ends at x_0 itself, with variance 0."
    very_faint = torch.full_like(a_t, 1e-9)
    got = zip(three(data, "from noise"), conditioned(very_faint, a_s), strict=True)
    if not all([close(mine, right, atol=1e-9) for mine, right in got]):
        return "Wrong for a jump from nearly pure noise."
    right = a_s / (1 - a_s) * (1 - very_faint) / very_faint / 2 - 0.5
    return None if close(tensor(data, "weight from noise", (6,)), right) else "Wrong weight from pure noise."


def one_point(data: Plain, seed: int) -> str | None:
    untouched(data)
    if number(data, "whole 0") == number(data, "whole 1"):
        return "The least loss should depend on the data."
    if not close(tensor(data, "again", None), tensor(data, "loss", None)):
        return "The same generator seed gives another loss. Draw everything from `generator`."
    if close(tensor(data, "known", IMAGES[:1]), torch.zeros(IMAGES[0]), atol=1e-6):
        return None
    return "For images that are all the same, and a network that knows which, the loss is not 0."


def repeatable(data: Plain, seed: int) -> str | None:
    again, first = (tensor(data, key, (COUNT, DIMS)) for key in ("x0 again", f"x0 {NUS[2]}"))
    if not close(again, first):
        return "The same generator seed gives other samples. Pass `generator=generator` where you draw."
    small = tensor(data, f"x0 {NUS[0]}", (COUNT, DIMS))
    return "The samples are the same for every nu." if close(small, first) else None


def odd_sizes(data: Plain, seed: int) -> str | None:
    as_given(data, seed=seed)
    p = parts(seed, pictures(seed + 1, 7, 5))
    up = repeated(p["low"], 7, 5)
    right = conv(p["skip"], p["own"], p["bias"]) + conv(up, p["from below"])
    if close(tensor(data, "odd", (3, 1, 7, 5)), right, rtol=1e-5, atol=1e-6):
        return None
    return "Wrong for images of 7 x 5 pixels."


HIDDEN = {
    "jump": (Criterion("images", 1, images),),
    "convert": (Criterion("a point, and data that could be anywhere", 1, extremes),),
    "step_back": (Criterion("to the data, and from noise", 1, ends),),
    "loss_of": (Criterion("images, and one draw for one seed", 1, one_point),),
    "ancestral": (Criterion("repeatable", 1, repeatable),),
    "who_pays": (),
    "unet": (Criterion("odd sizes", 1, odd_sizes),),
}
