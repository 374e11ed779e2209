"""Wrong answers of 04_wgan with the hint each must get, and other right ways to write the answers."""

from coursekit.exercises.task import Equivalent, Variant, Wrong

# w1

EQUAL, OTHER = "as many points on both sides", "six points against four"


def w1(*lines: str) -> str:
    """The answer cell of the distance with these lines."""
    return "\ndef w1(x, y):\n" + "".join(f"    {line}\n" for line in lines)


STAIRS = (
    "ends = torch.cat([torch.arange(1, len(x) + 1) / len(x), torch.arange(1, len(y) + 1) / len(y)]).double()",
    "ends = ends.sort().values",
    "width = ends.diff(prepend=torch.zeros(1).double())",
    "middle = ends - width / 2",
    "at_x = x.sort().values[(middle * len(x)).long().clamp_max(len(x) - 1)]",
    "at_y = y.sort().values[(middle * len(y)).long().clamp_max(len(y) - 1)]",
)

W1_WRONG = (
    Wrong(
        "not sorted",
        w1("n = min(len(x), len(y))", "return (x[:n] - y[:n]).abs().mean()"),
        "in the order in which they come",
        fails=(EQUAL, OTHER),
    ),
    Wrong(
        "means",
        w1("return (x.mean() - y.mean()).abs()"),
        "It is less than W1 as soon as",
        fails=(EQUAL, OTHER),
    ),
    Wrong(
        "W2",
        w1(*STAIRS, "return (width * (at_x - at_y) ** 2).sum().sqrt()"),
        "This is W2",
        fails=(EQUAL, OTHER),
    ),
    Wrong(
        "W2 squared",
        w1(*STAIRS, "return (width * (at_x - at_y) ** 2).sum()"),
        "the square of W2",
        fails=(EQUAL, OTHER),
    ),
    Wrong(
        "sum",
        w1(*STAIRS, "return len(x) * (width * (at_x - at_y).abs()).sum()"),
        "the sum of the distances",
        fails=(EQUAL, OTHER),
    ),
    Wrong(
        "all pairs",
        w1("return (x[:, None] - y).abs().mean()"),
        "all pairs",
        fails=(EQUAL, OTHER),
    ),
    Wrong(
        "nearest points",
        w1("return (x[:, None] - y).abs().min(1).values.mean()"),
        "to its nearest one",
        fails=(EQUAL, OTHER),
    ),
    Wrong(
        "the longer sample cut",
        w1("n = min(len(x), len(y))", "return (x.sort().values[:n] - y.sort().values[:n]).abs().mean()"),
        "its largest points are lost",
        fails=(OTHER,),
    ),
    Wrong(
        "cut before sorting",
        w1("n = min(len(x), len(y))", "return (x[:n].sort().values - y[:n].sort().values).abs().mean()"),
        "before it is sorted",
        fails=(OTHER,),
    ),
    Wrong(
        "interpolated quantiles",
        w1(
            "s = torch.linspace(0, 1, max(len(x), len(y)), dtype=x.dtype)",
            "return (x.quantile(s) - y.quantile(s)).abs().mean()",
        ),
        "joined by straight lines",
        fails=(OTHER,),
    ),
    Wrong(
        "a grid of levels",
        w1(
            "s = (torch.arange(1000) + 0.5) / 1000",
            "at_x = x.sort().values[(s * len(x)).long()]",
            "return (at_x - y.sort().values[(s * len(y)).long()]).abs().mean()",
        ),
        "an estimate from random draws or coarse steps",
        fails=(EQUAL, OTHER),
    ),
)

W1_RIGHT = (
    Variant("staircases of quantiles", w1(*STAIRS, "return (width * (at_x - at_y).abs()).sum()")),
    Variant(
        "every point repeated",
        w1(
            "size = math.lcm(len(x), len(y))",
            "long = [t.sort().values.repeat_interleave(size // len(t)) for t in (x, y)]",
            "return (long[0] - long[1]).abs().mean()",
        ),
    ),
    Variant(
        "carrying earth from pile to pile",
        w1(
            "left, right = ([[v, 1 / len(t)] for v in sorted(t.tolist())] for t in (x, y))",
            "cost = 0.0",
            "while left and right:",
            "    load = min(left[0][1], right[0][1])",
            "    cost += load * abs(left[0][0] - right[0][0])",
            "    for pile in (left, right):",
            "        pile[0][1] -= load",
            "        if pile[0][1] < 1e-12:",
            "            pile.pop(0)",
            "return cost",
        ),
    ),
)

# penalty

LINE, SLOPE, REACHES = (
    "one point on each line from real to forged",
    "the slope of the whole sample, against 1",
    "its gradient reaches the critic",
)
ONE_EACH = "torch.rand(len(real), *[1] * (real.ndim - 1), generator=generator, dtype=real.dtype)"


def penalty(
    eps: str = ONE_EACH,
    result: str = "(g.flatten(1).norm(dim=1) - 1) ** 2",
    *,
    of: str = "critic(x).sum()",
    graph: bool = True,
    at: str = "eps * real + (1 - eps) * fake",
) -> str:
    """The answer cell of the penalty with these expressions."""
    return f"""
def penalty(critic, real, fake, generator):
    eps = {eps}
    x = ({at}).detach().requires_grad_()
    g = torch.autograd.grad({of}, x, create_graph={graph})[0]
    return {result}
"""


PENALTY_WRONG = (
    Wrong(
        "epsilon for every pixel",
        penalty("torch.rand(real.shape, generator=generator, dtype=real.dtype)"),
        "Every pixel has an epsilon of its own",
        fails=(LINE,),
    ),
    Wrong(
        "one epsilon for the batch",
        penalty("torch.rand(1, generator=generator, dtype=real.dtype)"),
        "All samples of the batch have the same epsilon",
        fails=(LINE,),
    ),
    Wrong(
        "Gaussian epsilon",
        penalty(ONE_EACH.replace("rand(", "randn(")),
        "`rand`, not `randn`",
        fails=(LINE,),
    ),
    Wrong(
        "at the real samples",
        penalty(at="real + 0 * eps"),
        "at the samples themselves",
        fails=(LINE,),
    ),
    Wrong(
        "noise around the real samples",
        penalty("torch.randn(real.shape, generator=generator, dtype=real.dtype)", at="real + 0.5 * eps"),
        "do not lie on the straight lines",
        fails=(LINE,),
    ),
    Wrong(
        "norm over the channels",
        penalty(result="((g.norm(2, dim=1) - 1) ** 2).flatten(1).mean(1)"),
        "each is pulled to 1",
        fails=(SLOPE,),
    ),
    Wrong(
        "norm over the channels, then a mean",
        penalty(result="(g.norm(2, dim=1).flatten(1).mean(1) - 1) ** 2"),
        "the slopes of the pixels are averaged",
        fails=(SLOPE,),
    ),
    Wrong(
        "no root",
        penalty(result="(g.flatten(1).square().sum(1) - 1) ** 2"),
        "Take the root first",
        fails=(SLOPE,),
    ),
    Wrong(
        "pulled to zero",
        penalty(result="g.flatten(1).square().sum(1)"),
        "The target is 1",
        fails=(SLOPE,),
    ),
    Wrong(
        "one-sided",
        penalty(result="F.relu(g.flatten(1).norm(dim=1) - 1) ** 2"),
        "the one-sided penalty",
        fails=(SLOPE,),
    ),
    Wrong(
        "gradient of the mean",
        penalty(of="critic(x).mean()"),
        "divided by the size of the batch",
        fails=(SLOPE,),
    ),
    Wrong(
        "a number for the batch",
        penalty(result="((g.flatten(1).norm(dim=1) - 1) ** 2).mean()"),
        "averages everything, the batch too",
        fails=(SLOPE,),
    ),
    Wrong("no graph", penalty(graph=False), "No gradient flows", fails=(REACHES,)),
    Wrong(
        "the norm detached",
        penalty(
            result="(g.flatten(1).norm(dim=1) - 1) * (g.flatten(1).norm(dim=1) - 1).detach()",
        ),
        "Only a part of the gradient",
        fails=(REACHES,),
    ),
    Wrong(
        "global random numbers",
        penalty(ONE_EACH.replace("generator=generator, ", "")),
        "The same generator seed gives other points",
        fails=(),
    ),
)

PENALTY_RIGHT = (
    Variant(
        "lerp, and gradients of ones",
        """
def penalty(critic, real, fake, generator):
    eps = torch.rand(real.shape[0], generator=generator, dtype=real.dtype)
    x = torch.lerp(real, fake, eps.view(-1, *(1,) * (real.dim() - 1))).requires_grad_(True)
    value = critic(x)
    g, = torch.autograd.grad(value, x, torch.ones_like(value), create_graph=True, retain_graph=True)
    return (g.square().sum(dim=tuple(range(1, g.dim()))).sqrt() - 1).pow(2)
""",
    ),
    Variant(
        "sample by sample",
        """
def penalty(critic, real, fake, generator):
    points = []
    for x, y in zip(real, fake):
        share = torch.empty((), dtype=x.dtype).uniform_(generator=generator)
        points.append(y + share * (x - y))
    points = torch.stack(points).requires_grad_()
    values = critic(points)
    slopes = [torch.autograd.grad(v, points, create_graph=True)[0][i] for i, v in enumerate(values)]
    return torch.stack([(s.reshape(-1).norm() - 1) ** 2 for s in slopes])
""",
    ),
)

# critic_step

BOX, CLIMBS, STRETCH, LEFT = (
    "the critic is in the box after the step",
    "the critic climbs its own estimate",
    "the largest stretch of a layer",
    "what the wrong stretch leaves",
)
LOSS = "critic(fake).mean() - critic(real).mean()"
UPDATE = (
    "optimiser.zero_grad()",
    "loss.backward()",
    "optimiser.step()",
)
CLIP = (
    "with torch.no_grad():",
    "    for parameter in critic.parameters():",
    "        parameter.clamp_(-limit, limit)",
)
ITERATE = (
    "for _ in range(steps):",
    "    v = F.normalize(weight.T @ u, dim=0)",
    "    u = F.normalize(weight @ v, dim=0)",
)
GIVEN_ITERATE = (*ITERATE[:2], "    u = weight @ v")
SIGMA = "return u @ weight @ v, u"


def critic_step(
    *step: str, stretch: tuple[str, ...] = (*ITERATE, SIGMA), left_over: str = "1 / sigma"
) -> str:
    """The answer cell of the bug hunt with these lines; the step is the right one if there are none."""
    step = step or (f"loss = {LOSS}", *UPDATE, *CLIP)
    body = "\n".join(f"    {line}" for line in step)
    other = "\n".join(f"    {line}" for line in stretch)
    return f"""
def critic_step(critic, optimiser, real, fake, limit):
{body}
    return -loss.item()

def stretch(weight, u, steps):
{other}

def left_over(sigma):
    return {left_over}
"""


SQUASHED = "critic(fake).sigmoid().mean() - critic(real).sigmoid().mean()"

CRITIC_STEP_WRONG = (
    Wrong(
        "the code as it was given",
        critic_step(*CLIP, f"loss = {SQUASHED}", *UPDATE, stretch=(*GIVEN_ITERATE, SIGMA)),
        "what the code that you were given does",
        fails=(BOX, CLIMBS, STRETCH),
    ),
    Wrong(
        "clipped before the step",
        critic_step(*CLIP, f"loss = {LOSS}", *UPDATE),
        "takes the parameters out of the box again",
        fails=(BOX,),
    ),
    Wrong(
        "clamp without its underscore",
        critic_step(f"loss = {LOSS}", *UPDATE, *(line.replace("clamp_", "clamp") for line in CLIP)),
        "`clamp` returns a new tensor",
        fails=(BOX,),
    ),
    Wrong(
        "the gradients clipped",
        critic_step(
            f"loss = {LOSS}",
            *UPDATE[:2],
            "[p.grad.clamp_(-limit, limit) for p in critic.parameters()]",
            UPDATE[2],
        ),
        "lies outside the box of",
        fails=(BOX,),
    ),
    Wrong(
        "only the matrices clipped",
        critic_step(
            f"loss = {LOSS}",
            *UPDATE,
            *CLIP[:2],
            "        if parameter.ndim > 1:",
            "            parameter.clamp_(-limit, limit)",
        ),
        "Only matrices are clipped",
        fails=(BOX,),
    ),
    Wrong(
        "the sigmoid left",
        critic_step(f"loss = {SQUASHED}", *UPDATE, *CLIP),
        "still ends in a sigmoid",
        fails=(CLIMBS,),
    ),
    Wrong(
        "downhill",
        critic_step("loss = critic(real).mean() - critic(fake).mean()", *UPDATE, *CLIP),
        "learns to value forgeries",
        fails=(CLIMBS,),
    ),
    Wrong(
        "sums",
        critic_step("loss = critic(fake).sum() - critic(real).sum()", *UPDATE, *CLIP),
        "The means have become sums",
        fails=(CLIMBS,),
    ),
    Wrong(
        "never cleared",
        critic_step(f"loss = {LOSS}", *UPDATE[1:], *CLIP),
        "still there in the second",
        fails=(CLIMBS,),
    ),
    Wrong(
        "not shortened",
        critic_step(stretch=(*GIVEN_ITERATE, SIGMA)),
        "the square of the largest singular value",
        fails=(STRETCH,),
    ),
    Wrong(
        "Frobenius norm",
        critic_step(stretch=("return weight.square().sum().sqrt(), F.normalize(u, dim=0)",)),
        "as if the layer were one long row",
        fails=(STRETCH,),
    ),
    Wrong(
        "u forgotten",
        critic_step(stretch=(*ITERATE[:2], "return (weight.T @ u).norm() / u.norm(), u")),
        "does not take its own result up",
        fails=(STRETCH,),
    ),
    Wrong(
        "root of it",
        critic_step(stretch=(*ITERATE, "return (u @ weight @ v).sqrt(), u")),
        "This is the root of it",
        fails=(STRETCH,),
    ),
    Wrong("one is left", critic_step(left_over="sigma / sigma"), "would leave 1", fails=(LEFT,)),
    Wrong("what it returns", critic_step(left_over="sigma**2"), "what the function returns", fails=(LEFT,)),
    Wrong(
        "the weight forgotten",
        critic_step(left_over="1 / sigma**2"),
        "The weight itself stretches by sigma",
        fails=(LEFT,),
    ),
    Wrong(
        "u of any length",
        critic_step(stretch=(*GIVEN_ITERATE, "return u.norm(), u")),
        "return u with length one",
        fails=(),
    ),
    Wrong(
        "the estimate after the update",
        critic_step(f"loss = {LOSS}", *UPDATE, *CLIP, f"loss = {LOSS}"),
        "as the critic was before the update",
        fails=(),
    ),
)

CRITIC_STEP_RIGHT = (
    Variant(
        "the estimate, and data",
        critic_step(
            "estimate = critic(real).mean() - critic(fake).mean()",
            "loss = -estimate",
            "for parameter in critic.parameters():",
            "    parameter.grad = None",
            *UPDATE[1:],
            "for parameter in critic.parameters():",
            "    parameter.data = torch.clamp(parameter.data, -limit, limit)",
            stretch=(*GIVEN_ITERATE, "    u = u / u.norm()", "return (weight @ v).norm(), u"),
            left_over="sigma / sigma**2",
        ),
    ),
    Variant(
        "clipped before and after",
        critic_step(
            *CLIP,
            "values = critic(torch.cat([real, fake]))",
            "loss = values[len(real) :].mean() - values[: len(real)].mean()",
            *UPDATE,
            *CLIP,
            stretch=(
                "v = weight.T @ u",
                "for _ in range(steps):",
                "    v = v / v.square().sum().sqrt()",
                "    u = weight @ v",
                "    sigma = u.square().sum().sqrt()",
                "    u = u / sigma",
                "    v = weight.T @ u",
                "return sigma, u",
            ),
            left_over="torch.ones_like(sigma).div(sigma)",
        ),
    ),
)

# slide


def slide(**changes: str) -> str:
    """The answer cell of the prediction: the right numbers but for these."""
    numbers = {
        "js_at_3": "math.log(2)",
        "js_slope_at_3": "0",
        "w1_at_3": "3",
        "w1_slope_at_3": "0.5",
        "best_place": "0",
    } | changes
    return "slide = {" + ", ".join(f'"{key}": {value}' for key, value in numbers.items()) + "}\n"


JS, JS_SLOPE, W1, W1_SLOPE, PLACE = (
    "JS, between the lumps",
    "the slope of JS there",
    "W1, between the lumps",
    "the slope of W1 there",
    "the best place by W1",
)

SLIDE_WRONG = (
    Wrong("in bits", slide(js_at_3="1.0"), "in bits", fails=(JS,)),
    Wrong("as if equal", slide(js_at_3="0.0"), "the two are equal", fails=(JS,)),
    Wrong("twice JS", slide(js_at_3="2 * math.log(2)"), "That is 2 JS", fails=(JS,)),
    Wrong("by shares", slide(js_at_3="0.75 * math.log(2)"), "shares don't come into it", fails=(JS,)),
    Wrong("JS as a distance", slide(js_slope_at_3="0.5"), "JS doesn't know how far", fails=(JS_SLOPE,)),
    Wrong("a little slope", slide(js_slope_at_3="0.1"), "which of the densities meet", fails=(JS_SLOPE,)),
    Wrong("distance of the means", slide(w1_at_3="1.5"), "the distance of the means", fails=(W1,)),
    Wrong("both ways in full", slide(w1_at_3="6.0"), "as if it were everything", fails=(W1,)),
    Wrong("one way only", slide(w1_at_3="2.25"), "Only the three quarters are carried", fails=(W1,)),
    Wrong("slope's sign", slide(w1_slope_at_3="-0.5"), "The sign", fails=(W1_SLOPE,)),
    Wrong("slope of one lump", slide(w1_slope_at_3="1.0"), "for a quarter", fails=(W1_SLOPE,)),
    Wrong("balanced", slide(w1_slope_at_3="0.0"), "they don't carry the same", fails=(W1_SLOPE,)),
    Wrong("the mean", slide(best_place="1.5"), "The mean is best for squared distances", fails=(PLACE,)),
    Wrong("halfway", slide(best_place="3.0"), "Halfway is as good", fails=(PLACE,)),
    Wrong("the lighter lump", slide(best_place="6.0"), "the lighter lump", fails=(PLACE,)),
)

SLIDE_RIGHT = (
    Variant("rounded", slide(js_at_3="0.7", w1_at_3="2.95", best_place="0.02")),
    Variant(
        "computed",
        """
weights, places = torch.tensor([0.75, 0.25]), torch.tensor([0.0, 6.0])

def carried(a):
    return float((weights * (places - a).abs()).sum())

slide = {
    "js_at_3": torch.tensor(2.0).log(),
    "js_slope_at_3": 0.0,
    "w1_at_3": carried(3.0),
    "w1_slope_at_3": (carried(3.1) - carried(2.9)) / 0.2,
    "best_place": min((i / 10 for i in range(61)), key=carried),
}
""",
    ),
)

# certified

NEVER, TIGHT, SCALE, PROVES = (
    "never above W1, whatever the critic",
    "W1 itself for a best critic",
    "the critic's scale, shift and sign do not count",
    "what the critic proves, no more and no less",
)


def certified(*lines: str) -> str:
    """The answer cell of the bound with these lines, from the values `a` and `b` and their mean `gain`."""
    return """
def certified(critic, real, fake):
    a, b = critic(real), critic(fake)
    gain = a.mean() - b.mean()
    points, values = torch.cat([real, fake]), torch.cat([a, b])
""" + "".join(f"    {line}\n" for line in lines)


EVERY = (
    "distance = torch.cdist(points, points)",
    "rise = (values[:, None] - values).abs()",
    "k = (rise[distance > 0] / distance[distance > 0]).max()",
)
SAFE = "return gain.abs() / k if k > 0 else gain * 0"

CERTIFIED_WRONG = (
    Wrong(
        "the estimate as it is",
        certified("return gain"),
        "This is the critic's own estimate",
        fails=(NEVER, SCALE, PROVES),
    ),
    Wrong(
        "slopes at the points",
        certified(
            "x = points.clone().requires_grad_()",
            "value = critic(x).sum()",
            "if not value.requires_grad:",
            "    return gain.abs() / 1e-9",
            "(g,) = torch.autograd.grad(value, x)",
            "return gain.abs() / g.norm(dim=1).max()",
        ),
        "no gradient at a point sees the rise",
        fails=(NEVER, SCALE, PROVES),
    ),
    Wrong(
        "the average rise",
        certified(*EVERY[:2], "k = (rise[distance > 0] / distance[distance > 0]).mean()", SAFE),
        "Too large: for",
        fails=(NEVER, TIGHT, PROVES),
    ),
    Wrong(
        "range over diameter",
        certified(*EVERY[:1], "k = (values.max() - values.min()) / distance.max()", SAFE),
        "you certify",
        fails=(NEVER, TIGHT, PROVES),
    ),
    Wrong(
        "no absolute value",
        certified(*EVERY, "return gain / k if k > 0 else gain * 0"),
        "Negative where the critic is upside down",
        fails=(SCALE,),
    ),
    Wrong(
        "a shared point",
        certified(
            "k = ((a[:, None] - b).abs() / torch.cdist(real, fake)).max()",
            "return gain.abs() / k if k != 0 else 0.0 * gain",
        ),
        "where a point is in both samples",
        fails=(),
    ),
    Wrong("zero", certified("return 0.0 * gain"), "Zero is always safe", fails=(TIGHT, PROVES)),
    Wrong(
        "too careful",
        certified(
            *EVERY[:1],
            "k = (values.max() - values.min()) / distance[distance > 0].min()",
            SAFE,
        ),
        "held back by more than",
        fails=(TIGHT, PROVES),
    ),
    Wrong(
        "W1 itself",
        """
def certified(critic, real, fake):
    n = math.lcm(len(real), len(fake))
    cost = torch.cdist(*(t.repeat_interleave(n // len(t), 0) for t in (real, fake)))
    row, col, owner = [0.0] * (n + 1), [0.0] * (n + 1), [0] * (n + 1)
    for i in range(1, n + 1):  # the Hungarian method
        owner[0], j, least, way, done = i, 0, [math.inf] * (n + 1), [0] * (n + 1), [False] * (n + 1)
        while owner[j]:
            done[j] = True
            for k in range(1, n + 1):
                price = float(cost[owner[j] - 1, k - 1]) - row[owner[j]] - col[k]
                if not done[k] and price < least[k]:
                    least[k], way[k] = price, j
            delta, j = min((least[k], k) for k in range(1, n + 1) if not done[k])
            for k in range(n + 1):
                if done[k]:
                    row[owner[k]] += delta
                    col[k] -= delta
                else:
                    least[k] -= delta
        while j:
            owner[j], j = owner[way[j]], way[j]
    return -col[0] / n
""",
        "whatever the critic is",
        fails=(PROVES,),
    ),
    Wrong(
        "constant critic",
        certified(*EVERY, "return gain.abs() / k"),
        "should be a finite number",
        fails=(),
    ),
)

CERTIFIED_RIGHT = (
    Variant("all pairs of points", certified(*EVERY, SAFE)),
    Variant(
        "rises only",
        certified(
            "sign = 1 if gain > 0 else -1",
            "rise = sign * (a[:, None] - b) / torch.cdist(real, fake).clamp_min(1e-300)",
            "return float(gain.abs() / rise.max()) if gain != 0 else 0.0",
        ),
    ),
    Variant(
        "in loops",
        certified(
            "k = 0.0",
            "for x, f in zip(real, a):",
            "    for y, h in zip(fake, b):",
            "        k = max(k, float((f - h).abs() / (x - y).norm()))",
            "return abs(float(gain)) / k if k else 0.0",
        ),
    ),
)

# gaussians

WIDTHS, MEANS, BOTH, CRITIC = "equal widths", "equal means", "both differ", "the best critic"
CLOSED = (
    "b * math.sqrt(2 / math.pi) * torch.exp(-(a**2) / (2 * b**2).clamp_min(1e-300))"
    " + a * torch.erf(a / (b * math.sqrt(2)).clamp_min(1e-150))"
)


def gaussians(
    w1: str = CLOSED,
    critic: str = "(s1 - s2).sign() * (x - turn).abs()",
    turn: str = "(m1 * s2 - m2 * s1) / (s2 - s1)",
) -> str:
    """The answer cell of the closed form with these expressions; a and b are the absolute differences."""
    return f"""
def w1_gaussians(m1, s1, m2, s2):
    a, b = (m1 - m2).abs(), (s1 - s2).abs()
    return {w1}

def best_critic(x, m1, s1, m2, s2):
    turn = {turn}
    return {critic}
"""


GAUSSIANS_WRONG = (
    Wrong("W2", gaussians("(a**2 + b**2).sqrt()"), "This is W2", fails=(MEANS, BOTH)),
    Wrong("means only", gaussians("a"), "The standard deviations do not count", fails=(MEANS, BOTH)),
    Wrong(
        "a sum of both",
        gaussians("a + b * math.sqrt(2 / math.pi)"),
        "they trade off",
        fails=(BOTH,),
    ),
    Wrong("no factor", gaussians("a + b"), "is √(2/π), not 1", fails=(MEANS, BOTH)),
    Wrong(
        "signed",
        gaussians("m1 - m2"),
        "a distance is never negative",
        fails=(WIDTHS, MEANS, BOTH),
    ),
    Wrong(
        "half of the levels",
        gaussians(f"({CLOSED} + m1 - m2) / 2"),
        "every quantile moves by m1 - m2",
        fails=(WIDTHS, MEANS, BOTH),
    ),
    Wrong(
        "variances",
        gaussians(CLOSED.replace("b ", "(s1**2 - s2**2).abs() ").replace("(b", "((s1**2 - s2**2).abs()")),
        "Those are variances",
        fails=(MEANS, BOTH),
    ),
    Wrong(
        "half of the spread",
        gaussians(CLOSED.replace("math.sqrt(2 / math.pi)", "math.sqrt(1 / (2 * math.pi))", 1)),
        "This lacks a factor",
        fails=(MEANS, BOTH),
    ),
    Wrong(
        "0 / 0",
        gaussians(CLOSED.replace(".clamp_min(1e-300)", "").replace(".clamp_min(1e-150)", "")),
        "returns NaN",
        fails=(),
    ),
    Wrong(
        "upside down",
        gaussians(critic="(s2 - s1).sign() * (x - turn).abs()"),
        "Upside down",
        fails=(CRITIC,),
    ),
    Wrong("a straight line", gaussians(critic="(m1 - m2).sign() * x"), "never turns", fails=(CRITIC,)),
    Wrong(
        "turns halfway",
        gaussians(turn="(m1 + m2) / 2"),
        "where do they cross",
        fails=(CRITIC,),
    ),
    Wrong(
        "the log-ratio",
        gaussians(critic="((x - m2) / s2) ** 2 / 2 - ((x - m1) / s1) ** 2 / 2"),
        "Without a limit on the slope",
        fails=(CRITIC,),
    ),
    Wrong(
        "a V whatever is wider",
        gaussians(critic="(x - turn).abs()"),
        "Where the data are the narrow ones",
        fails=(),
    ),
)

GAUSSIANS_RIGHT = (
    Variant(
        "with the standard Gaussian's distribution function",
        """
def w1_gaussians(m1, s1, m2, s2):
    a, b = m1 - m2, (s1 - s2).abs()
    z = torch.where(b > 0, a / torch.where(b > 0, b, 1.0), 40.0 * a.sign())
    phi = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return a * (2 * torch.special.ndtr(z) - 1) + 2 * b * phi

def best_critic(x, m1, s1, m2, s2):
    behind = (x - m1) / s1 > (x - m2) / s2  # F is the larger one
    turn = (m1 / s1 - m2 / s2) / (1 / s1 - 1 / s2)
    return torch.where(behind, -1.0, 1.0) * (x - turn).sign() * (x - turn) * (x - turn).sign() + 5
""",
    ),
    Variant(
        "by Gauss and Legendre",
        """
def w1_gaussians(m1, s1, m2, s2):
    result = []
    for a, b in zip((m1 - m2).tolist(), (s1 - s2).tolist()):
        if b == 0:
            result.append(abs(a))
            continue
        z0 = -a / b
        tail = 0.5 * math.erfc(z0 / math.sqrt(2))
        bell = math.exp(-z0 * z0 / 2) / math.sqrt(2 * math.pi)
        result.append(abs(a * (2 * tail - 1) + 2 * b * bell))
    return torch.tensor(result, dtype=m1.dtype)

def best_critic(x, m1, s1, m2, s2):
    z = (m2 - m1) / (s1 - s2)
    v = (x - (m1 + s1 * z)).abs()
    return v if s1 > s2 else -v
""",
    ),
)

WRONG = {
    "w1": W1_WRONG,
    "penalty": PENALTY_WRONG,
    "critic_step": CRITIC_STEP_WRONG,
    "slide": SLIDE_WRONG,
    "certified": CERTIFIED_WRONG,
    "gaussians": GAUSSIANS_WRONG,
}

VARIANTS = {
    "w1": W1_RIGHT,
    "penalty": PENALTY_RIGHT,
    "critic_step": CRITIC_STEP_RIGHT,
    "slide": SLIDE_RIGHT,
    "certified": CERTIFIED_RIGHT,
    "gaussians": GAUSSIANS_RIGHT,
}

# Mutants of the solution that get full marks, and why they may (see coursekit.grading.proof).
EQUIVALENT = {
    "penalty": (
        Equivalent(
            "x = (eps * real + (1 - eps) * fake).requires_grad_()",
            "The inputs are data. The penalty, and its gradient in the critic's weights, are the same.",
        ),
    ),
    "critic_step": (
        Equivalent(
            "return -loss",
            "A tensor with one value passes for a number.",
        ),
    ),
    "gaussians": (
        Equivalent(
            "a, b = (m1 - m2, (s1 - s2).abs().clamp_min(1e-150))",
            "The formula is even in a: a erf(a / b) and a squared.",
        ),
        Equivalent(
            "a, b = ((m1 - m2).abs(), (s1 - s2).abs().clamp_min(2e-150))",
            "Both bounds are far below every difference of two widths, and keep 0 / 0 out.",
        ),
    ),
}
