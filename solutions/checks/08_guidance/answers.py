"""Wrong answers of 08_guidance with the hint each must get, and other right ways to write the answers."""

from coursekit.exercises.task import Equivalent, Variant, Wrong

X_0 = "(x_t - (1 - a_t).sqrt() * eps_hat) / a_t.sqrt()"
SIGMA = "eta * ((1 - a_s) / (1 - a_t)).sqrt() * (1 - a_t / a_s).sqrt()"
OLD = "(1 - a_s - sigma**2).sqrt()"
STEP = "a_s.sqrt() * x0_hat + old * eps_hat + sigma * z"


def family(x0_hat: str = X_0, sigma: str = SIGMA, old: str = OLD, step: str = STEP) -> str:
    """The answer cell of the step with these expressions."""
    return f"""
def ddim_step(x_t, eps_hat, a_t, a_s, eta, z):
    sigma = {sigma}
    x0_hat = {x0_hat}
    old = {old}
    return {step}
"""


MIXED = "(1 - w) * blind + w * knowing"
EMPTY = "torch.full_like(y, none)"
GONE = "torch.rand(len(y), generator=generator) < share"
DROPPED = "torch.where(gone, torch.full_like(y, none), y)"


def labels(
    mixed: str = MIXED, empty: str = EMPTY, gone: str = GONE, dropped: str = DROPPED, paper: str = "1 + w"
) -> str:
    """The answer cell of the guidance without a classifier with these expressions."""
    return f"""
def guided(network, x_t, t, y, none, w):
    knowing, blind = network(x_t, t, y), network(x_t, t, {empty})
    return {mixed}

def drop(y, share, none, generator):
    gone = {gone}
    return {dropped}

def from_paper(w):
    return {paper}
"""


BRACKET = "(1 - alpha_bar[t]).sqrt() - shrink * (1 - alpha_bar[s]).sqrt()"
RATIO = "(alpha_bar[t] / alpha_bar[s]).sqrt()"
ANGLE = "torch.acos((cosine).clamp(-1, 1)).reshape(-1, *[1] * (a.ndim - 1))"
ARC = "torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b"


def inversions(
    bracket: str = BRACKET,
    ratio: str = RATIO,
    first: str = "(x, s) if s > 0 else (shrink * x, t)",
    again: str = "start + bracket * network(where, torch.full((len(x),), told))",
    later_told: str = "t",
    rounds: str = "iterations",
    cosine: str = "(a * b).flatten(1).sum(1) / (a.flatten(1).norm(dim=1) * b.flatten(1).norm(dim=1))",
    arc: str = f"({ARC}) / torch.sin(angle)",
    flat: str = "torch.where(torch.sin(angle) > 1e-6, point, (1 - share) * a + share * b)",
) -> str:
    """The answer cell of the inversion with these expressions."""
    return f"""
def invert(network, x0, times, alpha_bar, iterations):
    x = x0
    for s, t in zip(times[:-1], times[1:]):
        shrink = {ratio}
        bracket = {bracket}
        where, told = {first}
        start = shrink * x
        x = start
        for _ in range({rounds}):
            x = {again}
            where, told = x, {later_told}
    return x

def between(a, b, share):
    cosine = {cosine}
    angle = {ANGLE}
    point = {arc}
    return {flat}
"""


def answered(one: float = 0, two: float = 0.5, ten: float = 0.8835, needed: float = 123) -> str:
    return f"prediction = {{'one': {one}, 'two': {two}, 'ten': {ten}, 'needed': {needed}}}"


PAIRS = "zip(times[:-1], times[1:])"
SIZE = "eta * ((1 - a_s) / (1 - a_t) * (1 - a_t / a_s)).sqrt()"
GUIDED = "network(x, told) - w * (1 - a_t).sqrt() * slope"
KEPT = "(1 - a_s - sigma**2).sqrt()"
FRESH = "sigma * torch.randn(x.shape, generator=generator, dtype=x.dtype)"


def samplers(
    pairs: str = PAIRS,
    sigma: str = SIZE,
    guided: str = GUIDED,
    kept: str = KEPT,
    fresh: str = FRESH,
    told: str = "t",
    end: str = "x",
) -> str:
    """The answer cell of the guided sampler with these expressions."""
    return f"""
def guided_sample(network, log_prob, x, times, alpha_bar, w, eta, generator):
    for t, s in {pairs}:
        a_t, a_s = alpha_bar[t], alpha_bar[s]
        told = torch.full((len(x),), {told})
        sigma = {sigma}
        point = x.detach().clone().requires_grad_(True)
        slope = torch.autograd.grad(log_prob(point, told).sum(), point)[0]
        eps_hat = {guided}
        x0_hat = (x - (1 - a_t).sqrt() * eps_hat) / a_t.sqrt()
        x = a_s.sqrt() * x0_hat + {kept} * eps_hat + {fresh}
    return {end}
"""


PUSH = "math.sin(k * d) ** power"
MEAN = "math.cos(d) * x + math.sin(d) * push"


def factors(
    push: str = PUSH,
    mean: str = MEAN,
    root: str = "1",
    none: str = "math.pi / 2",
    variance: str = "math.pi / 4",
    result: str = "x",
) -> str:
    """The answer cell of the wrong factor with these expressions."""
    return f"""
def after(factor, n):
    power = ("none", "root", "variance").index(factor)
    d, x = math.pi / 2 / n, 0.0
    for k in reversed(range(1, n + 1)):
        push = {push}
        x = {mean}
    return {result}

def limit(factor):
    if factor == "root":
        return {root}
    return {none} if factor == "none" else {variance}
"""


def by_angle(
    values: str = "torch.acos(alpha_bar.sqrt().clamp(max=1))",
    wanted: str = "torch.linspace(float(values[-1]), float(values[0]), n + 1)",
    times: str = "[int((values - v).abs().argmin()) for v in wanted]",
    after: str = "",
) -> str:
    """Times at which `values` are evenly spaced, made to differ."""
    return f"""
def choose_times(alpha_bar, n):
    T = len(alpha_bar) - 1
    inner = alpha_bar.clamp(1e-9, 1 - 1e-9)
    values = {values}
    wanted = {wanted}
    times = {times}
    times[0], times[-1] = T, 0
    for i in range(1, n):
        times[i] = min(times[i], times[i - 1] - 1)
    for i in reversed(range(1, n)):
        times[i] = max(times[i], times[i + 1] + 1)
    {after}
    return times
"""


PLAIN, FRESHLY, ROOM = (
    "the step without fresh noise",
    "the size of the fresh noise",
    "the old noise makes room for it",
)
SCALES, SHARE, EACH, PAPER = (
    "scales 0, 1 and beyond",
    "the share of dropped labels",
    "each label by itself",
    "the paper's counting",
)
ONE, MORE, TOLD, ALONG = (
    "one iteration",
    "more of them, until DDIM leads back",
    "the network is told the right time",
    "along the arc, row by row",
)
STEP_1, STEP_2, STEP_10, HOW_MANY = "one step", "two steps", "ten steps", "how many for one per cent"
WAY, FACTOR, NOISE, MADE_ROOM = (
    "the loop goes all the way to x_0",
    "what stands before the gradient",
    "the size of the fresh noise",
    "the old noise makes room for it",
)
WITH_ROOT, WITHOUT, INFINITE = (
    "n steps with the right factor",
    "n steps without it",
    "infinitely many steps",
)
VALID, LINEAR, EVEN, COSINE = (
    "from T to 0, strictly decreasing",
    "the linear schedule",
    "the schedule of even log-SNR",
    "the cosine schedule",
)

WRONG = {
    "ddim_step": (
        Wrong(
            "eta ignored",
            family(sigma="torch.zeros_like(a_t)"),
            "no fresh noise comes in",
            fails=(FRESHLY, ROOM),
        ),
        Wrong(
            "eta ignored, and always one",
            family(sigma=SIGMA.replace("eta", "1.0")),
            "Fresh noise comes in although eta is 0",
            fails=(PLAIN, FRESHLY, ROOM),
        ),
        Wrong(
            "eta squared",
            family(sigma=SIGMA.replace("eta", "eta**2")),
            "not squared once more",
            fails=(FRESHLY,),
        ),
        Wrong(
            "the second root only",
            family(sigma="eta * (1 - a_t / a_s).sqrt()", old="(1 - a_s - sigma**2).clamp(min=0).sqrt()"),
            "Only the second root",
            fails=(FRESHLY,),
        ),
        Wrong(
            "the first root only",
            family(
                sigma="eta * ((1 - a_s) / (1 - a_t)).sqrt()", old="(1 - a_s - sigma**2).clamp(min=0).sqrt()"
            ),
            "Only the first root",
            fails=(FRESHLY,),
        ),
        Wrong(
            "variance for deviation",
            family(step="a_s.sqrt() * x0_hat + old * eps_hat + sigma**2 * z"),
            "z is multiplied by sigma",
            fails=(FRESHLY, ROOM),
        ),
        Wrong(
            "all noise fresh",
            family(sigma="eta * (1 - a_s).sqrt()", old="(1 - a_s - sigma**2).clamp(min=0).sqrt()"),
            "DDPM keeps some of the old",
            fails=(FRESHLY,),
        ),
        Wrong("no room", family(old="(1 - a_s).sqrt()"), "on top of all of the old", fails=(ROOM,)),
        Wrong(
            "deviations subtracted",
            family(old="(1 - a_s).sqrt() - sigma"),
            "Variances subtract",
            fails=(ROOM,),
        ),
        Wrong(
            "sigma under the root",
            family(old="(1 - a_s - sigma).clamp(min=0).sqrt()"),
            "It is the variance, sigma²",
            fails=(ROOM,),
        ),
        Wrong(
            "stops at the guess",
            family(step="x0_hat + sigma * z"),
            "This is the guess of x_0",
            fails=(PLAIN, ROOM),
        ),
        Wrong(
            "noise of t put back",
            family(old="(1 - a_t - sigma**2).sqrt()"),
            "the size that it had at t",
            fails=(PLAIN, ROOM),
        ),
        Wrong(
            "variance in the guess",
            family(x0_hat="(x_t - (1 - a_t) * eps_hat) / a_t.sqrt()"),
            "root belongs, in the guess of x_0",
            fails=(PLAIN,),
        ),
        Wrong(
            "guess not divided",
            family(x0_hat="x_t - (1 - a_t).sqrt() * eps_hat"),
            "division by sqrt(alpha_bar_t) is missing",
            fails=(PLAIN,),
        ),
        Wrong(
            "sigma for the noise in x_t",
            family(x0_hat="(x_t - sigma * eps_hat) / a_t.sqrt()"),
            "sigma takes the prediction apart",
            fails=(PLAIN, ROOM),
        ),
    ),
    "guided": (
        Wrong(
            "the paper's counting",
            labels("(1 + w) * knowing - w * blind"),
            "This is the paper's counting",
            fails=(SCALES,),
        ),
        Wrong("sign", labels("blind - w * (knowing - blind)"), "away from the class", fails=(SCALES,)),
        Wrong("models swapped", labels("(1 - w) * knowing + w * blind"), "changed places", fails=(SCALES,)),
        Wrong("label 0 for none", labels(empty="torch.zeros_like(y)"), "Label 0 is a class", fails=(SCALES,)),
        Wrong("weights", labels("blind + w * knowing"), "do not sum to one", fails=(SCALES,)),
        Wrong("w ignored", labels("knowing"), "w does not count", fails=(SCALES,)),
        Wrong(
            "the rest dropped",
            labels(gone="torch.rand(len(y), generator=generator) > share"),
            "The other way round",
            fails=(SHARE,),
        ),
        Wrong(
            "zeros for dropped labels",
            labels(dropped="torch.where(gone, torch.zeros_like(y), y)"),
            "becomes 0, which is a class",
            fails=(SHARE,),
        ),
        Wrong(
            "the whole batch at once",
            labels(gone="(torch.rand(1, generator=generator) < share).expand(len(y))"),
            "Is there one draw for the whole batch",
            fails=(SHARE, EACH),
        ),
        Wrong(
            "the first ones",
            labels(gone="torch.arange(len(y)) < share * len(y)"),
            "Every generator seed",
            fails=(EACH,),
        ),
        Wrong(
            "a random beginning",
            labels(
                gone="torch.arange(len(y)) < share * len(y) "
                "* (0.99 + 0.02 * torch.rand(1, generator=generator))"
            ),
            "first or the last labels",
            fails=(EACH,),
        ),
        Wrong(
            "whole classes",
            labels(gone="torch.isin(y, torch.randperm(10, generator=generator)[:2])"),
            "Whole classes are dropped",
            fails=(EACH,),
        ),
        Wrong("no difference", labels(paper="w"), "The two conventions differ", fails=(PAPER,)),
        Wrong("the other way round", labels(paper="w - 1"), "takes our scale to the paper's", fails=(PAPER,)),
        Wrong("minus", labels(paper="1 - w"), "Compare the factors", fails=(PAPER,)),
        Wrong(
            "draws from elsewhere",
            labels(gone="torch.rand(len(y)) < share"),
            "Pass `generator=generator`",
            fails=(),
        ),
    ),
    "invert": (
        Wrong(
            "iterations compound",
            inversions(
                again="start + bracket * network(where, torch.full((len(x),), told)); start = shrink * x"
            ),
            "The new x_t goes in for x_s",
            fails=(MORE,),
        ),
        Wrong(
            "starts from the shrunk point",
            inversions(first="shrink * x, t"),
            "The first iteration asks about the shrunk x_s",
            fails=(ONE, MORE, TOLD),
        ),
        Wrong(
            "off-by-one t",
            inversions(first="(x, t) if s > 0 else (shrink * x, t)"),
            "x_s has the noise of s",
            fails=(ONE, MORE, TOLD),
        ),
        Wrong(
            "asks about t = 0",
            inversions(first="x, s"),
            "At s = 0 the network is asked about t = 0",
            fails=(ONE, MORE, TOLD),
        ),
        Wrong(
            "goes on telling s",
            inversions(later_told="s or t"),
            "Guesses of x_t are told s",
            fails=(MORE, TOLD),
        ),
        Wrong("sign", inversions(f"-({BRACKET})"), "sign of the bracket", fails=(ONE, MORE)),
        Wrong(
            "noise comes on top",
            inversions("(1 - alpha_bar[t]).sqrt()"),
            "not sqrt(1 - alpha_bar_t) alone",
            fails=(ONE, MORE),
        ),
        Wrong(
            "shrinking upside down",
            inversions(ratio="(alpha_bar[s] / alpha_bar[t]).sqrt()"),
            "upside down",
            fails=(ONE, MORE),
        ),
        Wrong(
            "iterations ignored", inversions(rounds="1"), "The iterations do not count", fails=(MORE, TOLD)
        ),
        Wrong(
            "one too many",
            inversions(rounds="iterations + 1"),
            "one iteration too many",
            fails=(ONE, MORE, TOLD),
        ),
        Wrong(
            "one too few",
            inversions(rounds="iterations - 1"),
            "one iteration too few",
            fails=(ONE, MORE, TOLD),
        ),
        Wrong(
            "straight line", inversions(arc="(1 - share) * a + share * b"), "straight line.", fails=(ALONG,)
        ),
        Wrong(
            "one angle for the batch",
            inversions(cosine="((a * b).sum() / (a.norm() * b.norm())).expand(len(a))"),
            "one angle for the whole batch",
            fails=(ALONG,),
        ),
        Wrong(
            "from b to a",
            inversions(
                arc="(torch.sin(share * angle) * a + torch.sin((1 - share) * angle) * b) / torch.sin(angle)"
            ),
            "From b to a",
            fails=(ALONG,),
        ),
        Wrong("not divided by the sine", inversions(arc=ARC), "division by the sine", fails=(ALONG,)),
        Wrong(
            "lengthened line",
            inversions(
                arc="((1 - share) * a + share * b) / ((1 - share) * a + share * b).norm(dim=-1, keepdim=True)"
                " * ((1 - share) * a.norm(dim=-1, keepdim=True) + share * b.norm(dim=-1, keepdim=True))"
            ),
            "The straight line, lengthened",
            fails=(ALONG,),
        ),
        Wrong("not a number where they are equal", inversions(flat="point"), "NaN", fails=()),
    ),
    "few_steps": (
        Wrong("one step: all of it", answered(one=1), "Does that guess depend on x_T", fails=(STEP_1,)),
        Wrong("one of two", answered(two=0.707), "one of the two steps", fails=(STEP_2,)),
        Wrong("variance of two", answered(two=0.25), "its root", fails=(STEP_2,)),
        Wrong("nothing lost", answered(two=1.0), "Each step loses something", fails=(STEP_2,)),
        Wrong("nothing left", answered(two=0.0), "there is old noise in it", fails=(STEP_2,)),
        Wrong("one of ten", answered(ten=0.988), "a single step of 9°", fails=(STEP_10,)),
        Wrong("variance of ten", answered(ten=0.781), "Take its root", fails=(STEP_10,)),
        Wrong("eighteen degrees", answered(ten=0.605), "9°, not 18°", fails=(STEP_10,)),
        Wrong("for the variance", answered(needed=246), "loses half as much", fails=(HOW_MANY,)),
        Wrong("one over n", answered(needed=100), "not pi²/(4n) or 1/n", fails=(HOW_MANY,)),
        Wrong("a tenth", answered(needed=13), "a loss of 0.1", fails=(HOW_MANY,)),
    ),
    "guided_sample": (
        Wrong(
            "sigma left",
            samplers(guided="network(x, told) - w * sigma * slope"),
            "sigma stands before",
            fails=(FACTOR,),
        ),
        Wrong(
            "the caller's tensor",
            samplers().replace("x.detach().clone().requires_grad_(True)", "x.requires_grad_()"),
            "switches `requires_grad` of its argument `x`",
            fails=(WAY, FACTOR, NOISE, MADE_ROOM),
        ),
        Wrong(
            "the guess as it is",
            samplers().replace("a_s.sqrt() * x0_hat", "x0_hat"),
            "The guess of x_0 goes into x_s with",
            fails=(),
        ),
        Wrong(
            "factor left out", samplers(guided="network(x, told) - w * slope"), "left out", fails=(FACTOR,)
        ),
        Wrong(
            "variance for deviation",
            samplers(guided="network(x, told) - w * (1 - a_t) * slope"),
            "1 - alpha_bar_t stands before",
            fails=(FACTOR,),
        ),
        Wrong(
            "guidance's sign",
            samplers(guided="network(x, told) + w * (1 - a_t).sqrt() * slope"),
            "leads away from the class",
            fails=(FACTOR,),
        ),
        Wrong(
            "w ignored",
            samplers(guided="network(x, told) - (1 - a_t).sqrt() * slope"),
            "w does not count",
            fails=(FACTOR,),
        ),
        Wrong(
            "the noise at s",
            samplers(guided="network(x, told) - w * (1 - a_s).sqrt() * slope"),
            "The gradient is taken at t",
            fails=(FACTOR,),
        ),
        Wrong(
            "stops before x_0",
            samplers(pairs="zip(times[:-2], times[1:-1])"),
            "never steps to x_0",
            fails=(WAY,),
        ),
        Wrong(
            "first step left out",
            samplers(pairs="zip(times[1:-1], times[2:])"),
            "first step is left out",
            fails=(WAY, FACTOR, NOISE, MADE_ROOM),
        ),
        Wrong("told s", samplers(told="s"), "The network is told s", fails=(WAY,)),
        Wrong(
            "eta ignored", samplers(sigma="0.0 * a_t"), "no step adds fresh noise", fails=(NOISE, MADE_ROOM)
        ),
        Wrong("no room", samplers(kept="(1 - a_s).sqrt()"), "on top of all of the old", fails=(MADE_ROOM,)),
        Wrong("room, but no noise", samplers(fresh="0.0"), "Room is made", fails=(NOISE,)),
        Wrong(
            "variance of the noise",
            samplers(fresh="sigma**2 * torch.randn(x.shape, generator=generator, dtype=x.dtype)"),
            "sigma² is the variance",
            fails=(NOISE,),
        ),
        Wrong(
            "one noise for all rows",
            samplers(fresh="sigma * torch.randn(1, x.shape[1], generator=generator, dtype=x.dtype)"),
            "All rows get the same noise",
            fails=(NOISE,),
        ),
        Wrong(
            "noise at the last step",
            samplers(
                fresh="(sigma if s else eta * (1 - a_t / a_s).sqrt())"
                " * torch.randn(x.shape, generator=generator, dtype=x.dtype)"
            ),
            "The last step adds noise",
            fails=(NOISE,),
        ),
        Wrong(
            "deviations subtracted",
            samplers(kept="((1 - a_s).sqrt() - sigma)"),
            "Variances subtract",
            fails=(MADE_ROOM,),
        ),
        Wrong(
            "noise from elsewhere",
            samplers(fresh="sigma * torch.randn_like(x)"),
            "Draw all fresh noise from `generator`",
            fails=(FACTOR, NOISE, MADE_ROOM),
        ),
    ),
    "wrong_factor": (
        Wrong(
            "read at the later angle",
            factors(push="math.sin((k - 1) * d) ** power"),
            "at the angle that the step leads to",
            fails=(WITH_ROOT,),
        ),
        Wrong(
            "added up",
            factors(mean="x + math.sin(d) * push"),
            "The pushes are added up",
            fails=(WITH_ROOT, WITHOUT),
        ),
        Wrong(
            "delta for its sine",
            factors(mean="math.cos(d) * x + d * push"),
            "not by f delta",
            fails=(WITH_ROOT, WITHOUT),
        ),
        Wrong(
            "sign",
            factors(mean="math.cos(d) * x - math.sin(d) * push"),
            "leads towards the class",
            fails=(WITH_ROOT, WITHOUT),
        ),
        Wrong(
            "gradient not shrunk",
            factors(mean="math.cos(d) * x + math.sin(d) * push / math.cos(min(k * d, math.pi / 2 - 1e-9))"),
            "the mean of the class has shrunk",
            fails=(WITH_ROOT, WITHOUT),
        ),
        Wrong("the limit for all n", factors(result="limit(factor)"), "This is the limit", fails=(WITHOUT,)),
        Wrong("one", factors(none="1.0"), "Over which range of angles", fails=(INFINITE,)),
        Wrong("a half turn", factors(none="math.pi"), "not over a half", fails=(INFINITE,)),
        Wrong("upside down", factors(none="2 / math.pi"), "must come out larger", fails=(INFINITE,)),
        Wrong("mean of sin²", factors(variance="0.5"), "The mean of sin² is ½", fails=(INFINITE,)),
        Wrong(
            "sin² over a half turn",
            factors(variance="math.pi / 2"),
            "integral of sin² over a half",
            fails=(INFINITE,),
        ),
        Wrong("sin³", factors(variance="2 / 3"), "not that of sin³", fails=(INFINITE,)),
        Wrong(
            "many steps for the limit",
            factors(none="after(factor, 500)"),
            "estimate from random draws",
            fails=(INFINITE,),
        ),
        Wrong("right factor, wrong limit", factors(root="2"), "the class's mean at w = 1", fails=(INFINITE,)),
    ),
    "choose_times": (
        Wrong(
            "evenly spaced t",
            by_angle(values="torch.arange(T + 1.0)"),
            "These are evenly spaced t",
            fails=(LINEAR, EVEN),
        ),
        Wrong(
            "even log-SNR",
            by_angle(values="-torch.logit(inner)"),
            "the log-SNR is evenly spaced",
            fails=(LINEAR, EVEN, COSINE),
        ),
        Wrong(
            "a square",
            by_angle(values="torch.arange(T + 1.0).sqrt()"),
            "a rule for one schedule only",
            fails=(LINEAR, EVEN, COSINE),
        ),
        Wrong(
            "even alpha_bar",
            by_angle(values="alpha_bar", wanted="torch.linspace(float(alpha_bar[-1]), 1, n + 1)"),
            "alpha_bar is evenly spaced",
            fails=(LINEAR, EVEN, COSINE),
        ),
        Wrong(
            "even sqrt(alpha_bar)",
            by_angle(values="alpha_bar.sqrt()"),
            "too few near the data",
            fails=(LINEAR, EVEN, COSINE),
        ),
        Wrong(
            "even noise",
            by_angle(values="(1 - alpha_bar).sqrt()"),
            "too few near pure noise",
            fails=(LINEAR, EVEN, COSINE),
        ),
        Wrong(
            "stops before x_0",
            by_angle(after="times[-1] = 1"),
            "that stops at 1 never gets to x_0",
            fails=(VALID, LINEAR, EVEN, COSINE),
        ),
        Wrong(
            "starts at T - 1",
            by_angle(after="times[0] = T - 1"),
            "The first time is T",
            fails=(VALID, LINEAR, EVEN, COSINE),
        ),
        Wrong(
            "upwards",
            by_angle(after="times = times[::-1]"),
            "From T down to 0",
            fails=(VALID, LINEAR, EVEN, COSINE),
        ),
        Wrong(
            "n times", by_angle(after="del times[3]"), "with both ends", fails=(VALID, LINEAR, EVEN, COSINE)
        ),
        Wrong(
            "twice the same",
            by_angle(after="times[5] = times[4]"),
            "Two times are the same",
            fails=(VALID, LINEAR, EVEN, COSINE),
        ),
        Wrong(
            "nothing done about duplicates",
            """
def choose_times(alpha_bar, n):
    angle = alpha_bar.clamp(max=1).sqrt().acos()
    wanted = torch.linspace(float(angle[-1]), 0, n + 1)
    return [int((angle - a).abs().argmin()) for a in wanted]
""",
            "With n = 20 and T = 20",
            fails=(),
        ),
    ),
}

VARIANTS = {
    "ddim_step": (
        Variant("two roots", family()),
        Variant(
            "from the posterior's variance, without x_0",
            """
def ddim_step(x_t, eps_hat, a_t, a_s, eta, z):
    ratio = a_s / a_t
    added = (1 - a_s) * (1 - 1 / ratio) / (1 - a_t)
    old = math.sqrt(1 - a_s - eta**2 * added) - math.sqrt(ratio * (1 - a_t))
    return math.sqrt(ratio) * x_t + old * eps_hat + eta * math.sqrt(added) * z
""",
        ),
    ),
    "guided": (
        Variant("weights", labels()),
        Variant(
            "one call with both",
            """
def guided(network, x_t, t, y, none, w):
    blank = y.clone().fill_(none)
    both = network(torch.cat([x_t, x_t]), torch.cat([t, t]), torch.cat([y, blank]))
    knowing, blind = both.chunk(2)
    return torch.lerp(blind, knowing, w)

def drop(y, share, none, generator):
    keep = torch.bernoulli(torch.full(y.shape, 1.0 - share), generator=generator).bool()
    return y.masked_fill(~keep, none)

def from_paper(w):
    return 1.0 + w
""",
        ),
    ),
    "invert": (
        Variant("named parts", inversions()),
        Variant(
            "without the shrinking, and with a plane",
            """
def invert(network, x0, times, alpha_bar, iterations):
    noise = ((1 - alpha_bar) / alpha_bar).sqrt()
    size = alpha_bar.sqrt()
    y = x0 / size[times[0]]
    for s, t in pairwise(times):
        first = s if s else t
        eps = network(y * size[first], torch.tensor([first] * len(x0)))
        for _ in range(iterations - 1):
            eps = network((y + (noise[t] - noise[s]) * eps) * size[t], torch.tensor([t] * len(x0)))
        y = y + (noise[t] - noise[s]) * eps
    return y * alpha_bar[times[-1]].sqrt()

def between(a, b, share):
    rows = []
    for u, v in zip(a, b):
        cosine = float((u * v).sum() / (u.norm() * v.norm()))
        angle = math.acos(max(-1.0, min(1.0, cosine)))
        if angle < 1e-6:
            rows.append(u + share * (v - u))
        else:
            rows.append((math.sin((1 - share) * angle) * u + math.sin(share * angle) * v) / math.sin(angle))
    return torch.stack(rows)
""",
        ),
    ),
    "few_steps": (
        Variant("rounded", answered(0.0, 0.5, 0.88, 124)),
        Variant("to the digit", answered(0.0, 0.5, 0.88346, 122)),
    ),
    "guided_sample": (
        Variant("always drawn", samplers()),
        Variant(
            "other names, enabled gradients",
            """
def guided_sample(network, log_prob, x, times, alpha_bar, w, eta, generator):
    for i in range(len(times) - 1):
        now, then = times[i], times[i + 1]
        a, b = alpha_bar[now].item(), alpha_bar[then].item()
        t = torch.full((x.shape[0],), now)
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            log_prob(leaf, t).sum().backward()
        noise = network(x, t) - w * math.sqrt(1 - a) * leaf.grad
        var = eta**2 * (1 - b) / (1 - a) * (1 - a / b)
        mean = math.sqrt(b / a) * (x - math.sqrt(1 - a) * noise) + math.sqrt(1 - b - var) * noise
        z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        x = mean + math.sqrt(var) * z if then else mean
    return x
""",
        ),
    ),
    "wrong_factor": (
        Variant("a loop", factors()),
        Variant(
            "sums",
            """
def after(factor, n):
    if factor == "root":
        return 1.0
    d = math.pi / (2 * n)
    f = (lambda angle: 1.0) if factor == "none" else (lambda angle: math.sin(angle) ** 2)
    return sum(math.sin(d) * math.cos(d) ** (k - 1) * f(k * d) for k in range(1, n + 1))

def limit(factor):
    return math.sqrt(math.pi) * {
        "root": math.gamma(1) / (2 * math.gamma(1.5)) * 1.0,
        "none": math.gamma(0.5) / (2 * math.gamma(1)),
        "variance": math.gamma(1.5) / (2 * math.gamma(2)),
    }[factor]
""",
        ),
    ),
    "choose_times": (
        Variant("made to differ from both ends", by_angle()),
        Variant(
            "by searching, as a tensor",
            by_angle(
                times="(T - torch.searchsorted(values.flip(0).neg(), wanted.to(values).neg())).tolist()",
                after="times = torch.tensor(times)",
            ),
        ),
    ),
}

# Mutants of the solution that get full marks, and why they may (see coursekit.grading.proof).
EQUIVALENT = {
    "guided": (
        Equivalent(
            "dropped = torch.rand(y.shape, generator=generator) <= share",
            "A uniform number is equal to the share with probability zero.",
        ),
    ),
    "invert": (
        Equivalent(
            "near = sine <= 1e-06",
            "No sine is 1e-6 exactly.",
        ),
        Equivalent(
            "near = sine < 2e-06",
            "At such angles arc and straight line are the same to twelve digits.",
        ),
        Equivalent(
            "sine = torch.where(near, 2.0, sine)",
            "What replaces the sine there keeps 0 / 0 out and is not used.",
        ),
        Equivalent(
            "angle = cosine.clamp(-2, 1).acos()[:, None]",
            "The lower bound matters for opposite codes only, between which there is no one arc.",
        ),
    ),
    "few_steps": (
        Equivalent(
            "prediction = {'one': 0.0, 'two': 0.5, 'ten': 0.883, 'needed': 124}",
            "Within the tolerance that the task states.",
        ),
    ),
    "guided_sample": (
        Equivalent(
            "if sigma >= 0:",
            "Where sigma is 0 the noise is multiplied by 0.",
        ),
        Equivalent(
            "x = x - sigma * torch.randn(x.shape, generator=generator, dtype=x.dtype)",
            "Noise with the other sign has the same distribution.",
        ),
    ),
    "choose_times": (
        Equivalent(
            "times[i] = max(n - i, min(times[i], times[i - 1] - 1))",
            "The larger of two has no order.",
        ),
        Equivalent(
            "times[i] = max(min(times[i - 1] - 1, times[i]), n - i)",
            "The smaller of two has no order.",
        ),
        Equivalent(
            "times[1], times[-1] = (len(alpha_bar) - 1, 0)",
            "The first is T already, and the second is held below it by the loop.",
        ),
        Equivalent(
            "wanted = torch.linspace(float(angle[-2]), 0, n + 1)",
            "Angles from the last step but one: the first time is T all the same, the rest move by "
            "less than a step.",
        ),
        Equivalent(
            "times[i] = max(min(times[i], times[i - 1] - 2), n - i)",
            "Where times are crowded, gaps of two where there is room: as good a choice of times.",
        ),
        Equivalent(
            "angle = alpha_bar.clamp(0, 2).sqrt().acos()",
            "alpha_bar does not exceed one.",
        ),
    ),
}
