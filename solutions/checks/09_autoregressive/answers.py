"""Wrong answers of 09_autoregressive with the hint each must get, and other right ways to write them."""

from coursekit.exercises.task import Equivalent, Variant, Wrong

LOG_P = "torch.log_softmax(logits, -1).gather(-1, x.unsqueeze(-1)).squeeze(-1)"
PER_DIM = "-log_p.mean(dim=(1, 2, 3)) / math.log(2)"
DIGITS = "torch.ceil(each.sum(1)).long() + 1"


def priced(per_dim: str = PER_DIM, digits: str = DIGITS, log_p: str = LOG_P, safe: str = LOG_P) -> str:
    """The answer cell of the bits with these expressions; each of the two functions has its own log_p."""
    return f"""
def bits(logits, x):
    log_p = {log_p}
    return {per_dim}

def code_length(logits, x):
    log_p = {safe}
    each = -log_p.flatten(1) / math.log(2)
    return {digits}
"""


PLACE_A = "i < r or (i == r and j < c)"
PLACE_B = "i < r or (i == r and j <= c)"
ROOM = "r, c = rows // 2, columns // 2"
CENTRE = "i < o or (i == o and kind == 'B')"


def masks(
    a: str = PLACE_A, b: str = PLACE_B, centre: str = CENTRE, elsewhere: str = "True", room: str = ROOM
) -> str:
    """The answer cell of the masks with these conditions: row i and column j; output o and input i."""
    return f"""
def raster_mask(kind, rows, columns):
    {room}
    mask = torch.zeros(rows, columns)
    for i in range(rows):
        for j in range(columns):
            mask[i, j] = float(({a}) if kind == "A" else ({b}))
    return mask

def colour_mask(kind, rows, columns, colours):
    R, C = rows // 2, columns // 2
    mask = torch.zeros(colours, colours, rows, columns)
    for o in range(colours):
        for i in range(colours):
            if {elsewhere}:
                mask[o, i, :R] = 1
                mask[o, i, R, :C] = 1
            mask[o, i, R, C] = float({centre})
    return mask
"""


def predicted(
    whole: float = 0.4773,
    two_back: float = 0.69,
    leak: float = 236.2,
    saved: float = 149,
    cached: float = 111,
) -> str:
    return (
        f"prediction = {{'whole': {whole}, 'two_back': {two_back}, 'leak': {leak}, 'saved': {saved}, "
        f"'cached': {cached}}}"
    )


SCORES = "q @ k.mT / q.shape[-1] ** 0.5"
WEIGHTS = "(scores + torch.full((n, n), -math.inf).triu(1)).softmax(-1)"
SHIFTED = "torch.cat([torch.full((len(x), 1), start), x[:, :-1]], 1)"
TOTAL = "own.sum(1)"


def decoders(
    scores: str = SCORES,
    weights: str = WEIGHTS,
    tokens: str = SHIFTED,
    total: str = TOTAL,
    target: str = "x",
) -> str:
    """The answer cell of the decoder with these expressions."""
    return f"""
def attend(q, k, v):
    n = q.shape[-2]
    scores = {scores}
    weights = {weights}
    return weights @ v

def log_prob(network, x, start):
    logits = network({tokens})
    own = torch.log_softmax(logits, 2).gather(2, ({target}).unsqueeze(2))[:, :, 0]
    return {total}
"""


WHOLE = "torch.logsumexp(log_cond.sum(2) + log_prior[:, None], 0)"
BELIEF = "so_far.softmax(0).permute(1, 2, 0)"
BETS = "(so_far[:, :, :-1].log_softmax(0) + log_cond).logsumexp(0)"
SO_FAR = "torch.cat([0 * log_cond[:, :, :1], log_cond.cumsum(2)], 2) + log_prior[:, None, None]"


def mixtures(whole: str = WHOLE, belief: str = BELIEF, bets: str = BETS) -> str:
    """The answer cell of the mixture with these expressions."""
    return f"""
def log_likelihood(log_cond, log_prior):
    prior = log_prior[:, None]
    return {whole}

def belief(log_cond, log_prior):
    flat = log_prior[:, None, None]
    so_far = {SO_FAR}
    return {belief}

def bets(log_cond, log_prior):
    flat = log_prior[:, None, None]
    so_far = {SO_FAR}
    return {bets}
"""


LOOP = "range(known, x.shape[1])"
COOLED = "torch.softmax(logits / temperature, 1)"
LEVEL = "(torch.cumsum(p, 1)[:, :-1] <= u[:, i, None]).sum(1)"


def completions(
    begin: str = "x.clone()",
    loop: str = LOOP,
    asked: str = "logits_of(out, i)",
    cooled: str = COOLED,
    level: str = LEVEL,
    zero: str = "if temperature == 0:",
) -> str:
    """The answer cell of the completion with these expressions."""
    return f"""
def complete(logits_of, x, known, u, temperature):
    out = {begin}
    for i in {loop}:
        logits = {asked}
        {zero}
            out[:, i] = logits.argmax(1)
            continue
        p = {cooled}
        out[:, i] = {level}
    return out
"""


PER, CODE = "bits per dimension", "the length of the code"
A, B, COLOURS = "kind A", "kind B", "three colours"
SCALE, WHO, ONE, TOKENS = (
    "the scale of the scores",
    "who may answer",
    "the weights sum to one",
    "the likelihood",
)
LIKELIHOOD, BELIEFS, OWN_BETS = "the likelihood", "the belief", "the mixture's bets"
TURN, PICKED, HEAT, KEPT = (
    "each pixel in its turn",
    "the level that u picks",
    "the temperature",
    "known pixels stay",
)
ALL, TWO, LEAK, MESSAGE, CACHE = (
    "all pixels in sight",
    "one pixel, two back",
    "the sum of a leaking model",
    "one message for all",
    "with a cache",
)
FLAT = "logits.flatten(1, 3)"

WRONG = {
    "bits": (
        Wrong("a float", priced(digits="torch.ceil(each.sum(1)) + 1"), "counted in int64", fails=(CODE,)),
        Wrong("nats", priced("-log_p.mean(dim=(1, 2, 3))"), "These are nats", fails=(PER,)),
        Wrong(
            "multiplied by log 2",
            priced("-log_p.mean(dim=(1, 2, 3)) * math.log(2)"),
            "and you multiply",
            fails=(PER,),
        ),
        Wrong(
            "bits of the image",
            priced("-log_p.sum(dim=(1, 2, 3)) / math.log(2)"),
            "bits of the whole image",
            fails=(PER,),
        ),
        Wrong("sign", priced("log_p.mean(dim=(1, 2, 3)) / math.log(2)"), "bits are paid", fails=(PER,)),
        Wrong(
            "base L",
            priced("-log_p.mean(dim=(1, 2, 3)) / math.log(logits.shape[-1])"),
            "has the base L",
            fails=(PER,),
        ),
        Wrong(
            "softmax over the channels",
            priced(log_p="logits.log_softmax(1).gather(-1, x[..., None])[..., 0]"),
            "runs over the channels",
            fails=(PER,),
        ),
        Wrong(
            "next pixel",
            priced(
                "-log_p.mean(1) / math.log(2)",
                log_p=f"{FLAT}[:, :-1].log_softmax(-1).gather(-1, x.flatten(1)[:, 1:, None])[..., 0]",
            ),
            "compared with the next pixel. Here",
            fails=(PER,),
        ),
        Wrong(
            "next pixel, divided by all",
            priced(
                "-log_p.sum(1) / x[0].numel() / math.log(2)",
                log_p=f"{FLAT}[:, :-1].log_softmax(-1).gather(-1, x.flatten(1)[:, 1:, None])[..., 0]",
            ),
            "one pixel is missing",
            fails=(PER,),
        ),
        Wrong(
            "mean of the probabilities",
            priced("-log_p.exp().mean(dim=(1, 2, 3)).log2()"),
            "logarithm of a mean",
            fails=(PER,),
        ),
        Wrong(
            "channels not counted",
            priced("-log_p.sum(dim=(1, 2, 3)) / math.log(2) / x[0, 0].numel()"),
            "divide by H W",
            fails=(PER,),
        ),
        Wrong(
            "logits as they are",
            priced(log_p="logits.gather(-1, x[..., None])[..., 0]"),
            "become log-probabilities",
            fails=(PER,),
        ),
        Wrong("whole batch", priced("-log_p.mean() / math.log(2)"), "the batch too", fails=(PER,)),
        Wrong(
            "no spare digit",
            priced(digits="each.sum(1).ceil().long()"),
            "no point",
            fails=(CODE,),
        ),
        Wrong(
            "rounded at each pixel",
            priced(digits="each.ceil().sum(1).long() + 1"),
            "rounded up on its own",
            fails=(CODE,),
        ),
        Wrong(
            "a message for each pixel",
            priced(digits="(each.ceil() + 1).sum(1).long()"),
            "An image is one message",
            fails=(CODE,),
        ),
        Wrong(
            "a word for each pixel",
            priced(digits="each.ceil().sum(1).long()"),
            "whole digits for each symbol",
            fails=(CODE,),
        ),
        Wrong(
            "two spare", priced(digits="each.sum(1).ceil().long() + 2"), "One digit too many", fails=(CODE,)
        ),
        Wrong("not whole", priced(digits="each.sum(1) + 1"), "no part of a digit", fails=(CODE,)),
        Wrong(
            "of one dimension",
            priced(digits="each.mean(1).ceil().long() + 1"),
            "code of one dimension",
            fails=(CODE,),
        ),
        Wrong(
            "natural digits",
            priced(digits="(-log_p.flatten(1).sum(1)).ceil().long() + 1"),
            "The logarithm is natural",
            fails=(CODE,),
        ),
        Wrong(
            "softmax, then log",
            priced(log_p="logits.softmax(-1).log().gather(-1, x[..., None])[..., 0]"),
            "large logits",
            fails=(),
        ),
    ),
    "mask": (
        Wrong("B for A", masks(a=PLACE_B), "This is kind B", fails=(A,)),
        Wrong("A for B", masks(b=PLACE_A), "This is kind A", fails=(B,)),
        Wrong("A down the columns", masks(a="j < c or (j == c and i < r)"), "A goes down", fails=(A,)),
        Wrong("B down the columns", masks(b="j < c or (j == c and i <= r)"), "B goes down", fails=(B,)),
        Wrong("A: rows above only", masks(a="i < r"), "A sees the rows above only", fails=(A,)),
        Wrong(
            "B: rows above and the centre",
            masks(b="i < r or (i == r and j == c)"),
            "B sees the rows above only",
            fails=(B,),
        ),
        Wrong("A turned round", masks(a="i > r or (i == r and j > c)"), "A has the later half", fails=(A,)),
        Wrong("B turned round", masks(b="i > r or (i == r and j >= c)"), "B has the later half", fails=(B,)),
        Wrong(
            "A: the corner",
            masks(a="i <= r and j <= c and (i, j) != (r, c)"),
            "A sees the upper left",
            fails=(A,),
        ),
        Wrong("B: the corner", masks(b="i <= r and j <= c"), "B sees the upper left", fails=(B,)),
        Wrong(
            "A: the right neighbour",
            masks(a="i < r or (i == r and j <= c + 1 and j != c)"),
            "A reads one entry too far",
            fails=(A,),
        ),
        Wrong("B: one too far", masks(b="i < r or (i == r and j <= c + 1)"), "B reads one", fails=(B,)),
        Wrong("A: the own row", masks(a="i == r and j < c"), "A sees only the own row", fails=(A,)),
        Wrong(
            "A: what is forbidden",
            masks(a="i > r or (i == r and j >= c)"),
            "A is the wrong way round",
            fails=(A,),
        ),
        Wrong(
            "in and out swapped",
            masks(centre="o < i or (i == o and kind == 'B')"),
            "Input and output are swapped",
            fails=(COLOURS,),
        ),
        Wrong(
            "colours blind to one another",
            masks(centre="i == o and kind == 'B'"),
            "no colour sees another",
            fails=(COLOURS,),
        ),
        Wrong(
            "all colours or none",
            masks(centre="kind == 'B'"),
            "sees all colours, or none",
            fails=(COLOURS,),
        ),
        Wrong(
            "kinds exchanged in colour",
            masks(centre="i < o or (i == o and kind == 'A')"),
            "exchanged in colour",
            fails=(COLOURS,),
        ),
        Wrong("A sees its colour", masks(centre="i <= o"), "Kind A sees its own colour", fails=(COLOURS,)),
        Wrong("B does not", masks(centre="i < o"), "Kind B does not see", fails=(COLOURS,)),
        Wrong(
            "later colours cut everywhere",
            masks(elsewhere="i <= o"),
            "At earlier pixels all colours",
            fails=(COLOURS,),
        ),
        Wrong(
            "square kernels only",
            masks(room="r = c = rows // 2"),
            "kernels of another shape",
            fails=(),
        ),
    ),
    "price": (
        Wrong("first pixel free", predicted(whole=0.469), "It costs a whole bit", fails=(ALL,)),
        Wrong("nats", predicted(whole=0.331), "That is in nats", fails=(ALL,)),
        Wrong("copies only", predicted(whole=0.152), "what a copy costs", fails=(ALL,)),
        Wrong("the image", predicted(whole=30.5), "That is the whole image", fails=(ALL,)),
        Wrong("nothing learnt", predicted(whole=1), "The neighbour tells something", fails=(ALL,)),
        Wrong("two copies only", predicted(two_back=0.710), "Two changes cancel", fails=(TWO,)),
        Wrong("as before", predicted(two_back=0.477), "all pixels in sight", fails=(TWO,)),
        Wrong("two pixels free", predicted(two_back=0.680), "Two pixels have nobody", fails=(TWO,)),
        Wrong("twice a step", predicted(two_back=0.938), "twice the entropy", fails=(TWO,)),
        Wrong("an honest one", predicted(leak=1), "for an honest model", fails=(LEAK,)),
        Wrong("certain", predicted(leak=256), "eight times", fails=(LEAK,)),
        Wrong("once uncertain", predicted(leak=253.4), "eight factors", fails=(LEAK,)),
        Wrong("sum over pixels", predicted(leak=15.84), "sum over pixels", fails=(LEAK,)),
        Wrong("no gain", predicted(saved=0), "Nothing?", fails=(MESSAGE,)),
        Wrong("spare digit forgotten", predicted(saved=150), "The long message", fails=(MESSAGE,)),
        Wrong("spare digits only", predicted(saved=99), "spare digits alone", fails=(MESSAGE,)),
        Wrong("rounding only", predicted(saved=50), "the rounding alone", fails=(MESSAGE,)),
        Wrong("the bound", predicted(saved=200), "the most that it could be", fails=(MESSAGE,)),
        Wrong("tokens only", predicted(cached=100), "counts the tokens", fails=(CACHE,)),
        Wrong("N squared", predicted(cached=10_000), "a power of N", fails=(CACHE,)),
        Wrong("growing passes", predicted(cached=52.4), "drawn or not", fails=(CACHE,)),
    ),
    "decoder": (
        Wrong("divided by d", decoders("q @ k.mT / q.shape[-1]"), "divided by d. Their", fails=(SCALE,)),
        Wrong("not divided", decoders("q @ k.mT"), "not divided at all", fails=(SCALE,)),
        Wrong(
            "root of the length",
            decoders("q @ k.mT / math.sqrt(q.shape[-2])"),
            "number of positions",
            fails=(SCALE,),
        ),
        Wrong("multiplied", decoders("q @ k.mT * math.sqrt(q.shape[-1])"), "are multiplied", fails=(SCALE,)),
        Wrong(
            "keys ask",
            decoders("k @ q.mT / math.sqrt(q.shape[-1])"),
            "Queries and keys are exchanged",
            fails=(SCALE,),
        ),
        Wrong(
            "one too many",
            decoders(weights="(scores + torch.full((n, n), -math.inf).triu(2)).softmax(-1)"),
            "One position too many",
            fails=(WHO,),
        ),
        Wrong(
            "not itself",
            decoders(weights="(scores + torch.full((n, n), -math.inf).triu(0)).softmax(-1)"),
            "does not answer itself",
            fails=(WHO,),
        ),
        Wrong("no mask", decoders(weights="scores.softmax(-1)"), "Where is the mask?", fails=(WHO,)),
        Wrong("zero for minus infinity", decoders(weights="scores.tril().softmax(-1)"), "e^0", fails=(WHO,)),
        Wrong(
            "mask after the softmax",
            decoders(weights="scores.softmax(-1).tril()"),
            "the denominator has seen",
            fails=(ONE,),
        ),
        Wrong("not shifted", decoders(tokens="x"), "The tokens are not shifted", fails=(TOKENS,)),
        Wrong(
            "rolled",
            decoders(tokens="x.roll(1, 1)"),
            "The last pixel stands in front",
            fails=(TOKENS,),
        ),
        Wrong(
            "next pixel as the target",
            decoders(tokens="x", target="x.roll(-1, 1)", total="own[:, :-1].sum(1)"),
            "With the start token in front",
            fails=(TOKENS,),
        ),
        Wrong(
            "first pixel for nothing",
            decoders(total="own[:, 1:].sum(1)"),
            "left out of the sum",
            fails=(TOKENS,),
        ),
        Wrong(
            "the other way",
            decoders(tokens="torch.cat([x[:, 1:], torch.full((len(x), 1), start)], 1)"),
            "shifted the other way",
            fails=(TOKENS,),
        ),
        Wrong("mean", decoders(total="own.mean(1)"), "mean over positions", fails=(TOKENS,)),
        Wrong("a loss", decoders(total="-own.sum(1)"), "The sign", fails=(TOKENS,)),
        Wrong(
            "zero as the start",
            decoders(tokens="F.pad(x[:, :-1], (1, 0))"),
            "The start token is level 0",
            fails=(TOKENS,),
        ),
        Wrong(
            "one head",
            decoders("torch.einsum('...id,...jd->...ij', q, k) / 2").replace(
                "weights @ v", "(weights @ v).contiguous() if v.ndim == 2 else weights.mean(1, True) @ v"
            ),
            "several heads",
            fails=(),
        ),
    ),
    "mixture": (
        Wrong(
            "average of the logarithms",
            mixtures("(prior.exp() * log_cond.sum(2)).sum(0)"),
            "This is the average of the K log-likelihoods",
            fails=(LIKELIHOOD,),
        ),
        Wrong(
            "even average of the logarithms",
            mixtures("log_cond.sum(2).mean(0)"),
            "all labels alike. Average",
            fails=(LIKELIHOOD,),
        ),
        Wrong(
            "a label for each pixel",
            mixtures("(log_cond + log_prior[:, None, None]).logsumexp(0).sum(1)"),
            "each pixel gets a new label",
            fails=(LIKELIHOOD,),
        ),
        Wrong(
            "no prior", mixtures("log_cond.sum(2).logsumexp(0)"), "without its weight", fails=(LIKELIHOOD,)
        ),
        Wrong(
            "even prior",
            mixtures("log_cond.sum(2).logsumexp(0) - math.log(len(log_prior))"),
            "All labels have the same weight here",
            fails=(LIKELIHOOD,),
        ),
        Wrong(
            "best label",
            mixtures("(log_cond.sum(2) + prior).amax(0)"),
            "This is the best label alone",
            fails=(LIKELIHOOD,),
        ),
        Wrong(
            "prior at each pixel",
            mixtures("(log_cond + log_prior[:, None, None]).sum(2).logsumexp(0)"),
            "The label is drawn once",
            fails=(LIKELIHOOD,),
        ),
        Wrong("a loss", mixtures("-(log_cond.sum(2) + prior).logsumexp(0)"), "The sign", fails=(LIKELIHOOD,)),
        Wrong(
            "last pixel alone",
            mixtures(belief="(F.pad(log_cond, (1, 0)) + flat).softmax(0).permute(1, 2, 0)"),
            "Only the last pixel is weighed",
            fails=(BELIEFS,),
        ),
        Wrong(
            "belief without prior",
            mixtures(belief="(so_far - flat).softmax(0).permute(1, 2, 0)"),
            "The prior is left out. Before",
            fails=(BELIEFS,),
        ),
        Wrong(
            "prior again and again",
            mixtures(belief="(so_far + flat * torch.arange(so_far.shape[2])).softmax(0).permute(1, 2, 0)"),
            "counted anew",
            fails=(BELIEFS,),
        ),
        Wrong(
            "a pixel late",
            mixtures(belief="torch.cat([so_far[..., :1], so_far[..., :-1]], 2).softmax(0).permute(1, 2, 0)"),
            "one pixel late",
            fails=(BELIEFS,),
        ),
        Wrong(
            "joint",
            mixtures(belief="so_far.exp().permute(1, 2, 0)"),
            "These are the joint probabilities",
            fails=(BELIEFS,),
        ),
        Wrong(
            "normalised over pixels",
            mixtures(belief="so_far.softmax(2).permute(1, 2, 0)"),
            "over the images or pixels",
            fails=(BELIEFS,),
        ),
        Wrong(
            "logarithm of the belief",
            mixtures(belief="so_far.log_softmax(0).permute(1, 2, 0)"),
            "logarithm of the belief",
            fails=(BELIEFS,),
        ),
        Wrong(
            "weights of the prior",
            mixtures(bets="(flat + log_cond).logsumexp(0)"),
            "the prior's at every pixel",
            fails=(OWN_BETS,),
        ),
        Wrong(
            "belief after the pixel",
            mixtures(bets="(so_far[:, :, 1:].log_softmax(0) + log_cond).logsumexp(0)"),
            "votes on its own bet",
            fails=(OWN_BETS,),
        ),
        Wrong(
            "belief over logarithms",
            mixtures(bets="(so_far[:, :, :-1].softmax(0) * log_cond).sum(0)"),
            "averages logarithms",
            fails=(OWN_BETS,),
        ),
        Wrong(
            "bet of the best label",
            mixtures(bets="log_cond.gather(0, so_far[:, :, :-1].argmax(0, keepdim=True))[0]"),
            "most probable label alone",
            fails=(OWN_BETS,),
        ),
        Wrong(
            "all pixels so far",
            mixtures(bets="so_far[:, :, 1:].logsumexp(0)"),
            "log p of all pixels so far",
            fails=(OWN_BETS,),
        ),
        Wrong(
            "through probabilities",
            mixtures("((log_cond.sum(2) + prior).exp()).sum(0).log()"),
            "too small for a float",
            fails=(),
        ),
    ),
    "complete": (
        Wrong(
            "backwards",
            completions(loop="range(x.shape[1] - 1, known - 1, -1)"),
            "from the last to the first",
            fails=(TURN,),
        ),
        Wrong(
            "known pixels drawn again",
            completions(loop="range(x.shape[1])"),
            "The known pixels are drawn",
            fails=(TURN, KEPT),
        ),
        Wrong(
            "all at once",
            completions(asked="logits_of(x, i)"),
            "from the image as it was given",
            fails=(TURN,),
        ),
        Wrong(
            "one pixel behind",
            completions(asked="logits_of(torch.cat([out[:, :i - 1], x[:, i - 1:]], 1) if i else out, i)"),
            "does not see the pixels that you drew",
            fails=(TURN,),
        ),
        Wrong(
            "level itself left out",
            completions(level="((torch.cumsum(p, 1) - p) <= u[:, i, None]).sum(1).clamp(max=p.shape[1] - 1)"),
            "lacks the level itself",
            fails=(PICKED,),
        ),
        Wrong(
            "one too low",
            completions(level="(torch.cumsum(p, 1) <= u[:, i, None]).sum(1).sub(1).clamp_min(0)"),
            "One level too low",
            fails=(PICKED,),
        ),
        Wrong("argmax", completions(level="p.argmax(1)"), "always. That is temperature 0", fails=(PICKED,)),
        Wrong(
            "the same u for all",
            completions(level="(torch.cumsum(p, 1)[:, :-1] <= u[:, :1]).sum(1)"),
            "All pixels use the same u",
            fails=(PICKED,),
        ),
        Wrong(
            "from the top",
            completions(
                level="p.shape[1] - 1 - (torch.cumsum(p.flip(1), 1)[:, :-1] <= u[:, i, None]).sum(1)"
            ),
            "from the top down",
            fails=(PICKED,),
        ),
        Wrong(
            "equal parts",
            completions(level="(u[:, i] * p.shape[1]).long()"),
            "cut into equal parts",
            fails=(PICKED,),
        ),
        Wrong(
            "up to and including",
            completions(level="(torch.cumsum(p, 1)[:, :-1] < u[:, i, None]).sum(1)"),
            "Where u is F_k exactly",
            fails=(),
        ),
        Wrong(
            "dice of one's own",
            completions(level="(torch.rand_like(u[:, :1]) >= p.cumsum(1)).sum(1)"),
            "All randomness comes from",
            fails=(PICKED, HEAT),
        ),
        Wrong(
            "probabilities divided and normalised",
            completions(cooled="F.normalize(torch.softmax(logits, 1) / temperature, p=1, dim=1)"),
            "The temperature changes nothing",
            fails=(HEAT,),
        ),
        Wrong(
            "hot and cold exchanged",
            completions(cooled="torch.softmax(logits * temperature, 1)"),
            "Hot and cold are exchanged",
            fails=(HEAT,),
        ),
        Wrong(
            "probabilities divided",
            completions(cooled="torch.softmax(logits, 1) / temperature"),
            "It belongs to the logits, before softmax",
            fails=(HEAT,),
        ),
        Wrong(
            "from zeros",
            completions(begin="torch.zeros_like(x)"),
            "you start from zeros",
            fails=(KEPT,),
        ),
        Wrong(
            "into the argument",
            completions(begin="x"),
            "changes its argument `x` in place",
            fails=(TURN, PICKED, HEAT, KEPT),
        ),
        Wrong(
            "no temperature zero",
            completions(zero="if temperature < 0:"),
            "At temperature 0 it should be",
            fails=(),
        ),
    ),
}

VARIANTS = {
    "bits": (
        Variant("one line each", priced()),
        Variant(
            "by cross-entropy, written out",
            """
def bits(logits, x):
    rest = torch.logsumexp(logits, dim=-1) - torch.take_along_dim(logits, x[..., None], dim=-1)[..., 0]
    return rest.reshape(len(x), -1).sum(1) / (x[0].numel() * math.log(2))

def code_length(logits, x):
    return (bits(logits, x) * (x.numel() // len(x)) + 1).ceil().to(torch.int64)
""",
        ),
    ),
    "mask": (
        Variant("entry by entry", masks()),
        Variant(
            "slices",
            """
def raster_mask(kind, rows, columns):
    mask = torch.ones(rows, columns)
    mask[rows // 2, columns // 2 + (kind == "B"):] = 0
    mask[rows // 2 + 1:] = 0
    return mask

def colour_mask(kind, rows, columns, colours):
    a, b = (raster_mask(k, rows, columns) for k in "AB")
    colour = torch.arange(colours)
    before = colour[:, None] >= colour if kind == "B" else colour[:, None] > colour
    return torch.where(before[:, :, None, None], b, a)
""",
        ),
    ),
    "price": (
        Variant("rounded", predicted()),
        Variant("to the digit", predicted(0.47728, 0.69008, 236.22, 149.0, 111.39)),
    ),
    "decoder": (
        Variant("minus infinity added", decoders()),
        Variant(
            "masked late, then divided once more",
            decoders(weights="F.normalize(scores.softmax(-1).tril(), p=1, dim=-1)", total="own.sum(-1)"),
        ),
        Variant(
            "pixel by pixel",
            """
def attend(q, k, v):
    rows = []
    for i in range(q.shape[-2]):
        fit = (q[..., i : i + 1, :] * k[..., : i + 1, :]).sum(-1) * q.shape[-1] ** -0.5
        rows.append((torch.softmax(fit, -1)[..., None] * v[..., : i + 1, :]).sum(-2))
    return torch.stack(rows, -2)

def log_prob(network, x, start):
    tokens = x.roll(1, dims=1)
    tokens[:, 0] = start
    logits = network(tokens)
    return -F.cross_entropy(logits.transpose(1, 2), x, reduction="none").sum(1)
""",
        ),
    ),
    "mixture": (
        Variant("log-sum-exp", mixtures()),
        Variant(
            "Bayes' rule, pixel after pixel",
            """
def belief(log_cond, log_prior):
    now = log_prior[:, None].repeat(1, log_cond.shape[1])
    beliefs = [now]
    for i in range(log_cond.shape[2]):
        now = torch.log_softmax(now + log_cond[:, :, i], 0)
        beliefs.append(now)
    return torch.stack(beliefs, 0).exp().permute(2, 0, 1)

def bets(log_cond, log_prior):
    before = belief(log_cond, log_prior)[:, :-1]  # (B, D, K)
    return (before * log_cond.exp().permute(1, 2, 0)).sum(2).log()

def log_likelihood(log_cond, log_prior):
    return bets(log_cond, log_prior).sum(1)
""",
        ),
    ),
    "complete": (
        Variant("counted", completions()),
        Variant(
            "searched",
            """
def complete(logits_of, x, known, u, temperature):
    pixels = list(x.unbind(1))
    while known < len(pixels):
        logits = logits_of(torch.stack(pixels, 1), known)
        if temperature > 0:
            up_to = (logits / temperature).log_softmax(1).exp().cumsum(1)
            level = torch.searchsorted(up_to, u[:, known : known + 1].contiguous(), right=True)[:, 0]
            pixels[known] = level.clamp_max(logits.shape[1] - 1)
        else:
            pixels[known] = logits.max(1).indices
        known += 1
    return torch.stack(pixels, 1)
""",
        ),
    ),
}

# Mutants of the solution that get full marks, and why they may (see coursekit.grading.proof).
EQUIVALENT = {
    "mask": (
        Equivalent(
            "return place <= centre if kind == 'B' else place < centre",
            "True and False are 1 and 0: weights are multiplied by either.",
        ),
    ),
    "price": (
        Equivalent(
            "prediction = {'whole': 0.477, 'two_back': 0.69, 'leak': 237, 'saved': 149, 'cached': 111.4}",
            "Within the tolerance that the task states.",
        ),
        Equivalent(
            "prediction = {'whole': 0.477, 'two_back': 0.69, 'leak': 236, 'saved': 149, 'cached': 112.4}",
            "Within the tolerance that the task states.",
        ),
    ),
    "decoder": (
        Equivalent(
            "scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])",
            "The same two dimensions change places.",
        ),
        Equivalent(
            "later = torch.ones(scores.shape[-3:], dtype=torch.bool).triu(diagonal=1)",
            "The same triangle for every head, in place of one that is broadcast.",
        ),
        Equivalent(
            "later = torch.ones(scores.shape[-4:], dtype=torch.bool).triu(diagonal=1)",
            "The same triangle for every head, in place of one that is broadcast.",
        ),
    ),
    "complete": (
        Equivalent(
            "up_to[:, -1] = 2.0",
            "u is below one: any bound from one on closes the gap.",
        ),
    ),
}
