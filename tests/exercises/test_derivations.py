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


def test_triangular_bound_is_tight_at_the_critic_and_the_least_squares_judge_pays_what_is_left() -> None:
    answers = answers_of("03_gan", "triangular")
    p = Normal(torch.zeros((), dtype=torch.float64), 1.0)
    q = Normal(torch.ones((), dtype=torch.float64), 1.5)
    x, y = draw(6, 400_000), 1 + 1.5 * draw(7, 400_000)
    at_x, at_y = p.log_prob(x) - q.log_prob(x), p.log_prob(y) - q.log_prob(y)
    divergence = (at_y.exp() - 1).square() / (at_y.exp() + 1)  # E_q f(p / q), one term per draw

    def bound(shift: float, tilt: float) -> tuple[Tensor, Tensor]:  # of a critic that is off
        t_x, t_y = (answers["best_critic"](tilt * r) - shift for r in (at_x, at_y))
        return t_x, answers["conjugate"](t_y)

    real, fake = bound(0.0, 1.0)
    gap = divergence - (real - fake)
    assert abs(gap.mean()) < 4.5 * gap.std() / math.sqrt(len(gap))
    for off in ((0.3, 1.0), (1.0, 1.0), (0.0, 0.8), (0.0, 1.25)):  # the same draws on both sides
        r, f = bound(*off)
        loss = (real - fake) - (r - f)
        assert loss.mean() > 4.5 * loss.std() / math.sqrt(len(loss))

    def pays(tilt: float) -> Tensor:  # the judge of least squares, his logit multiplied
        return (1 - (tilt * at_x).sigmoid()).square() + (tilt * at_y).sigmoid().square()

    left = pays(1.0) - answers["least_loss"](divergence)  # least_loss is linear
    assert abs(left.mean()) < 4.5 * left.std() / math.sqrt(len(left))
    for tilt in (0.8, 1.25):
        more = pays(tilt) - pays(1.0)
        assert more.mean() > 4.5 * more.std() / math.sqrt(len(more))


def test_leaking_weight_is_what_backward_leaves_in_the_forger() -> None:
    weight = answers_of("03_gan", "train_step")["weight"]
    for logit in (-2.0, 0.0, 0.7, 3.0):
        score = torch.tensor(logit, dtype=torch.float64, requires_grad=True)
        (torch.nn.functional.softplus(score) + torch.nn.functional.softplus(-score)).backward()
        assert score.grad is not None
        assert torch.allclose(score.grad, weight(score.detach().sigmoid()))


def test_prediction_of_the_forger_that_leaves_out_against_draws() -> None:
    prediction = answers_of("03_gan", "left_out")["left_out"]
    g = torch.Generator().manual_seed(8)
    angle = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
    centres = 2 * torch.stack([angle.cos(), angle.sin()], 1)
    n = 200_000
    x = centres[torch.randint(8, (n,), generator=g)] + 0.1 * draw(9, n, 2)
    y = centres[[0, 3]][torch.randint(2, (n,), generator=g)] + 0.1 * draw(10, n, 2)
    y.requires_grad_()

    def logit(points: Tensor) -> Tensor:
        each = -50 * (points[:, None] - centres).square().sum(2)
        return each.logsumexp(1) - math.log(8) - each[:, [0, 3]].logsumexp(1) + math.log(2)

    (slope,) = torch.autograd.grad(logit(y).sum(), y)
    real, fake = logit(x).detach(), logit(y).detach()
    drawn, missed = real < 0, real > 0
    paid = torch.nn.functional.softplus(-real) + torch.nn.functional.softplus(fake)
    error = paid.std() / math.sqrt(n)
    assert abs(paid.mean() - prediction["judge_loss"]) < 4.5 * error + 1e-4  # written to four digits
    assert abs((math.log(4) - paid.mean()) / 2 - prediction["js"]) < 4.5 * error + 1e-4
    assert torch.allclose(real[drawn].sigmoid(), torch.tensor(prediction["belief_drawn"]).double())
    assert torch.allclose(real[missed].sigmoid(), torch.tensor(prediction["belief_left_out"]).double())
    assert slope.abs().max() < 1e-6 + prediction["slope"]


def test_floor_of_the_flow_that_never_swaps_against_draws() -> None:
    floor = answers_of("05_flow", "stack_log_prob")["kl_floor"]
    mean, raw = draw(20, 2, 3)
    std = (0.5 * raw).exp()
    x = mean + std * draw(21, 200_000, 3)
    ratio = (Normal(mean, std).log_prob(x) - Normal(torch.zeros_like(mean), 1.0).log_prob(x)).sum(1)
    assert abs(ratio.mean() - floor(mean, std)) < 4.5 * ratio.std() / math.sqrt(len(ratio))


def test_prediction_of_the_bridge_against_the_exact_map_and_draws() -> None:
    prediction = answers_of("05_flow", "bridge")["prediction"]
    normal = Normal(torch.zeros((), dtype=torch.float64), 1.0)
    x = torch.zeros((), dtype=torch.float64, requires_grad=True)
    z = normal.icdf((normal.cdf((x + 2) / 0.5) + normal.cdf((x - 2) / 0.5)) / 2)  # f, made of CDFs
    (slope,) = torch.autograd.grad(z, x)
    assert abs(-slope.log() - prediction["log_slope"]) < 0.005  # written to two digits
    assert prediction["layers"] == math.ceil(-slope.log().item() / 2)
    z = draw(22, 1_000_000)
    steepest = z.clamp(-math.exp(-2), math.exp(-2)) * math.exp(2)  # leaves (-1, 1) as early as it may
    share = (steepest.abs() < 1).double()
    assert abs(share.mean() - prediction["bridge"]) < 4.5 * share.std() / 1000 + 0.0005


def test_gaps_of_the_noise_against_draws() -> None:
    answers = answers_of("05_flow", "uniform_gap")
    n, levels = 400_000, torch.arange(3.0, dtype=torch.float64)
    for i, (rate, tilt) in enumerate(((1.0, 3.0), (4.0, 1.5), (6.0, 9.0))):
        p = torch.distributions.Exponential(torch.tensor(rate, dtype=torch.float64))
        log_mass = (p.cdf(levels + 1) - p.cdf(levels)).log()[:, None]
        v = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(30 + i))
        leaning = -torch.log1p(-v * (1 - math.exp(-tilt))) / tilt  # by the inverse of its own CDF
        log_q = math.log(tilt) - tilt * leaning - math.log(1 - math.exp(-tilt))
        both = torch.tensor([rate]).double(), torch.tensor([tilt]).double()
        for u, log_noise, formula in (
            (v, torch.zeros_like(v), answers["uniform_gap"](both[0])),
            (leaning, log_q, answers["tilted_gap"](*both)),
        ):
            gap = log_mass - p.log_prob(levels[:, None] + u) + log_noise  # (3, n), the same for each level
            error = gap.std(1) / math.sqrt(n)
            assert bool(((gap.mean(1) - formula).abs() < 4.5 * error).all()), (rate, tilt)


def test_temperature_against_draws_from_flows() -> None:
    answers = answers_of("06_glow", "temperature")
    n, dims, t = 200_000, 4, 0.7
    base, cold = (Normal(torch.zeros(dims, dtype=torch.float64), s) for s in (1.0, t))
    z = t * draw(40, n, dims)
    weight = draw(41, dims, dims)
    x = (z + z**3) @ weight.T  # a flow whose log-determinant is not the same everywhere

    def log_p(x: Tensor, latent: Normal) -> Tensor:
        y = torch.linalg.solve(weight, x.T).T
        root = torch.zeros_like(y)
        for _ in range(25):  # Newton, for the root of root + root^3 = y
            root = root - (root + root**3 - y) / (1 + 3 * root**2)
        logdet = (1 + 3 * root**2).log().sum(1) + torch.linalg.slogdet(weight).logabsdet
        return latent.log_prob(root).sum(1) - logdet

    ratio = log_p(x, cold) - log_p(x, base)
    error = ratio.std() / math.sqrt(n)
    assert abs(ratio.mean() - answers["temperature_kl"](dims, t)) < 4.5 * error
    model = MultivariateNormal(torch.zeros(dims).double(), weight @ weight.T)  # a linear flow
    gain = model.log_prob(z @ weight.T) - model.log_prob(draw(42, n, dims) @ weight.T)
    error = gain.std() / math.sqrt(n)
    assert abs(gain.mean() - answers["likelihood_gain"](dims, t)) < 4.5 * error


def test_distance_of_two_gaussians_and_its_critic_against_sorted_draws() -> None:
    answers = answers_of("04_wgan", "gaussians")
    n = 400_000
    for i, pair in enumerate(((0.3, 1.7, -0.5, 0.8), (0.3, 0.8, -0.5, 1.7), (1.0, 0.6, 1.0, 1.1))):
        m1, s1, m2, s2 = torch.tensor(pair, dtype=torch.float64)
        x, y = m1 + s1 * draw(30 + i, n), m2 + s2 * draw(40 + i, n)
        distance = answers["w1_gaussians"](m1[None], s1[None], m2[None], s2[None]).item()
        found = (x.sort().values - y.sort().values).abs().mean().item()
        error = math.hypot(s1, s2) / math.sqrt(n)  # |a + b Z| moves by no more than the draws' means do
        assert abs(found - distance) < 5 * error
        f_x, f_y = answers["best_critic"](x, m1, s1, m2, s2), answers["best_critic"](y, m1, s1, m2, s2)
        error = math.hypot(f_x.std(), f_y.std()) / math.sqrt(n)
        assert abs(f_x.mean() - f_y.mean() - distance) < 4.5 * error
        rise, run = (f_x - f_y).abs(), (x - y).abs()
        assert bool((rise <= run * (1 + 1e-9) + 1e-12).all())


def test_prediction_of_the_slide_against_sorted_draws() -> None:
    prediction = answers_of("04_wgan", "slide")["slide"]
    g = torch.Generator().manual_seed(11)
    n = 200_000
    nature = 6.0 * (torch.rand(n, generator=g).double() < 0.25) + 0.05 * draw(12, n)
    nature, lump = nature.sort().values, (0.05 * draw(13, n)).sort().values

    def w1(place: float) -> float:
        return (nature - place - lump).abs().mean().item()

    assert abs(w1(3.0) - prediction["w1_at_3"]) < 0.05  # the lumps are 0.05 wide
    assert abs((w1(3.1) - w1(2.9)) / 0.2 - prediction["w1_slope_at_3"]) < 0.01
    places = [i / 50 - 1 for i in range(400)]
    assert abs(min(places, key=w1) - prediction["best_place"]) < 0.05
    assert prediction["js_at_3"] == round(math.log(2), 3)  # nothing overlaps: 3 is sixty widths away
    assert prediction["js_slope_at_3"] == 0.0


def test_what_the_wrong_stretch_leaves_of_a_layer() -> None:
    answers = answers_of("04_wgan", "critic_step")
    weight = draw(14, 6, 4)
    sigma = torch.linalg.svdvals(weight)[0]
    u = draw(15, 6)
    for _ in range(500):  # as it was given: u is never shortened
        v = torch.nn.functional.normalize(weight.T @ u, dim=0)
        u = weight @ v
    left = torch.linalg.svdvals(weight / (u @ weight @ v))[0]
    assert torch.allclose(left, answers["left_over"](sigma))
    assert abs(sigma - 1) > 0.5  # or it would not matter


def test_step_back_over_any_distance_against_draws_of_the_chain() -> None:
    answers = answers_of("07_diffusion", "step_back")
    n, x0 = 400_000, 0.6
    a_t, a_s = torch.tensor([0.2], dtype=torch.float64), torch.tensor([0.7], dtype=torch.float64)
    x_s = a_s.sqrt() * x0 + (1 - a_s).sqrt() * draw(50, n)
    x_t = (a_t / a_s).sqrt() * x_s + (1 - a_t / a_s).sqrt() * draw(51, n)
    of_x_t, of_x_0, v = answers["posterior"](a_t, a_s)
    rest = x_s - of_x_t * x_t - of_x_0 * x0  # what x_t and x_0 do not tell about x_s
    for what, variance in ((rest, v), (rest * x_t, v * x_t.square().mean()), (rest.square() - v, 2 * v * v)):
        assert abs(what.mean()) < 4.5 * (variance / n).sqrt()
    # The KL, from draws of x_s under the first of two Gaussians that differ in their guess of x_0.
    guess, at = 0.1, 0.3
    means = [of_x_t * at + of_x_0 * x for x in (x0, guess)]
    y = means[0] + v.sqrt() * draw(52, n)
    ratio = Normal(means[0], v.sqrt()).log_prob(y) - Normal(means[1], v.sqrt()).log_prob(y)
    noises = [(at - a_t.sqrt() * x) / (1 - a_t).sqrt() for x in (x0, guess)]
    kl = answers["eps_weight"](a_t, a_s) * (noises[0] - noises[1]).square()
    assert abs(ratio.mean() - kl) < 4.5 * ratio.std() / math.sqrt(n)


def test_least_losses_are_what_the_best_linear_network_leaves_of_draws() -> None:
    least_loss = answers_of("07_diffusion", "loss_of")["least_loss"]
    n, dims, var, before, beta = 400_000, 3, 0.4, 0.7, 0.1
    a = before * (1 - beta)
    x0, old, last, other = math.sqrt(var) * draw(53, n), draw(54, n), draw(55, n), draw(56, n)
    x_t = (
        math.sqrt(1 - beta) * (math.sqrt(before) * x0 + math.sqrt(1 - before) * old) + math.sqrt(beta) * last
    )
    whole = (x_t - math.sqrt(a) * x0) / math.sqrt(1 - a)
    for name, target in (("whole", whole), ("permuted", other), ("last", last)):
        slope = (target * x_t).mean() / x_t.square().mean()
        squares = (target - slope * x_t).square()
        error = 4.5 * squares.std() / math.sqrt(n)
        assert abs(squares.mean() - least_loss(name, a, beta, dims, var) / dims) < error, name


def test_prediction_of_who_pays_against_the_schedules_one_step_after_the_other() -> None:
    prediction = answers_of("07_diffusion", "who_pays")["prediction"]
    for name in ("half_linear", "half_cosine"):
        left, t = 1.0, 0
        while left > 0.5:
            t += 1
            angles = [((u / 1000 + 0.008) / 1.008) * math.pi / 2 for u in (t - 1, t)]
            beta = 1 - (math.cos(angles[1]) / math.cos(angles[0])) ** 2
            left *= 1 - (1e-4 + (t - 1) / 999 * (0.02 - 1e-4) if name == "half_linear" else beta)
        assert abs(prediction[name] - t) <= 2, name
    # The KL of each step by the two Gaussians themselves, averaged over draws of x_0 and x_t.
    log_snr = torch.linspace(10, -10, 1000, dtype=torch.float64)
    a = log_snr.sigmoid()
    x0, eps = draw(57, 2, 4000, 1)
    total = early = 0.0
    for t in range(1, 1000):
        x_t = a[t].sqrt() * x0 + (1 - a[t]).sqrt() * eps
        step = a[t] / a[t - 1]
        gain, var = a[t - 1].sqrt() * (1 - step) / (1 - a[t]), (1 - a[t - 1]) / (1 - a[t]) * (1 - step)
        kl = ((gain * (x0 - a[t].sqrt() * x_t)).square() / (2 * var)).mean().item()
        total += kl
        early += kl * (log_snr[t] > 0).item()
    assert abs(prediction["total"] - total) < 0.02 * total + 0.05  # the draws' own error, and the rounding
    assert abs(prediction["early"] - early / total) < 0.01


def test_prediction_of_few_steps_and_wrong_factors_against_a_walk_of_draws() -> None:
    prediction = answers_of("08_guidance", "few_steps")["prediction"]
    answers = answers_of("08_guidance", "wrong_factor")
    m, w, x_T = 0.8, 1.5, draw(58, 200)
    x_T = (x_T - x_T.mean()) / x_T.std()

    def walk(n: int, factor: str | None = None) -> Tensor:  # DDIM, with scores by autograd
        x = x_T
        for k in range(n, 0, -1):
            t, s = (torch.tensor(j * math.pi / (2 * n), dtype=torch.float64) for j in (k, k - 1))
            t = t.clamp_max(math.pi / 2 - 1e-7)  # no division by 0
            y = x.clone().requires_grad_()
            everything, own = Normal(0 * y, 1.0), Normal(0 * y + t.cos() * m, 1.0)
            (score,) = torch.autograd.grad(everything.log_prob(y).sum(), y, retain_graph=True)
            (slope,) = torch.autograd.grad((own.log_prob(y) - everything.log_prob(y)).sum(), y)
            eps = -t.sin() * score
            if factor:
                eps = eps - w * {"root": t.sin(), "none": 1.0, "variance": t.sin() ** 2}[factor] * slope
            x = s.cos() * (x - t.sin() * eps) / t.cos() + s.sin() * eps
        return x

    for name, n in (("one", 1), ("two", 2), ("ten", 10)):
        assert abs(walk(n).std() - prediction[name]) < 0.001, name
    at = round(prediction["needed"])
    assert walk(at).std() >= 0.99 > walk(at - 1).std()
    for factor in ("root", "none", "variance"):
        for n in (1, 3, 20):
            found = walk(n, factor).mean() / (w * m)
            assert abs(found - answers["after"](factor, n)) < 1e-5, (factor, n)
        # Of first order in the step: two numbers of steps give the limit.
        found = (2 * walk(200, factor).mean() - walk(100, factor).mean()) / (w * m)
        assert abs(found - answers["limit"](factor)) < 1e-4, factor


def test_mixture_of_labels_against_the_table_of_all_images() -> None:
    answers = answers_of("09_autoregressive", "mixture")
    joint = draw(59, 3, 2, 3, 2).exp()  # p(k, x_1, x_2, x_3), every entry of it
    joint /= joint.sum()
    images = torch.cartesian_prod(*(torch.arange(n) for n in joint.shape[1:]))  # (12, 3)
    up_to = [joint.sum((1, 2, 3)), joint.sum((2, 3)), joint.sum(3), joint]  # p(k, x_1 .. x_i)
    seen = torch.stack(
        [table[:, *images[:, :i].T].reshape(3, -1).expand(3, 12) for i, table in enumerate(up_to)]
    )
    log_cond = (seen[1:] / seen[:-1]).log().permute(1, 2, 0)  # (K, B, D)
    given = log_cond, joint.sum((1, 2, 3)).log()
    whole = joint.sum(0)  # p(x): what one sees who is never told the label
    torch.testing.assert_close(answers["log_likelihood"](*given).exp(), whole.flatten())
    for i in range(4):
        told = up_to[i].reshape(3, -1) / up_to[i].reshape(3, -1).sum(0)
        found = answers["belief"](*given)[:, i].T
        index = torch.zeros(12, dtype=torch.int64)
        for pixel in range(i):
            index = index * joint.shape[pixel + 1] + images[:, pixel]
        torch.testing.assert_close(found, told[:, index])
    first, second = whole.sum((1, 2)), whole.sum(2)
    bets = torch.stack(
        [first[:, None, None].expand_as(whole), (second / first[:, None])[..., None].expand_as(whole)]
    )
    bets = torch.cat([bets, (whole / second[..., None])[None]]).flatten(1).T
    torch.testing.assert_close(answers["bets"](*given).exp(), bets)


def test_prediction_of_the_prices_against_sums_over_all_rows() -> None:
    prediction = answers_of("09_autoregressive", "price")["prediction"]
    step = torch.tensor([[0.9, 0.1], [0.1, 0.9]], dtype=torch.float64)
    rows = torch.cartesian_prod(*[torch.arange(2)] * 12)  # every row of 12 pixels; the rest goes on alike
    p = 0.5 * step[rows[:, :-1], rows[:, 1:]].prod(1)

    def entropy(*pixels: int) -> float:
        table = torch.zeros(2 ** len(pixels), dtype=torch.float64)
        number = sum(rows[:, k] * 2**i for i, k in enumerate(pixels))
        return -torch.special.xlogy(q := table.index_add(0, number, p), q).sum().item() / math.log(2)

    more = entropy(*range(12)) - entropy(*range(11))  # for one pixel more
    assert abs((entropy(*range(12)) + 52 * more) / 64 - prediction["whole"]) < 0.001
    short = entropy(0) + entropy(1) + 62 * (entropy(9, 11) - entropy(9))
    assert abs(short / 64 - prediction["two_back"]) < 0.001
    assert abs(sum(0.99**8 for _ in range(2**8)) - prediction["leak"]) < 1
    # Digits until two pieces of width 2^-n fit into an interval of width 2^-bits.
    apart, together = (next(n for n in range(10**4) if 1 - n <= -bits) for bits in (30.5, 100 * 30.5))
    assert prediction["saved"] == 100 * apart - together
    # Multiplications counted one product after the other, as of matrices (a, b) @ (b, c).
    w, total = 64, 100

    def one_pass(new: int, seen: int) -> int:
        products = [
            (new, w, 3 * w),
            (new, w, w),
            (new, w, 4 * w),
            (new, 4 * w, w),
            (new, w, seen),
            (new, seen, w),
        ]
        return sum(a * b * c for a, b, c in products)

    ratio = total * one_pass(total, total) / sum(one_pass(1, i) for i in range(1, total + 1))
    assert abs(ratio - prediction["cached"]) < 0.1


def test_bias_of_unlike_features_against_draws_and_the_size_from_which_on_the_better_model_wins() -> None:
    answers = answers_of("10_evaluation", "unlike")
    var, repeats = torch.tensor([3.0, 1.0, 0.2, 0.0], dtype=torch.float64), 4000
    reads = {}
    for n in (60, 240):
        x = draw(71 + n, repeats, n, 4) * var.sqrt()
        mean, centred = x.mean(1), x - x.mean(1, keepdim=True)
        cov = centred.mT @ centred / (n - 1)
        overlap = torch.linalg.svdvals(centred * var.sqrt() / math.sqrt(n - 1)).sum(1)
        d2 = mean.square().sum(1) + var.sum() + cov.diagonal(dim1=1, dim2=2).sum(1) - 2 * overlap
        reads[n] = d2.mean().item(), d2.std().item() / math.sqrt(repeats)
    (small, error_small), (large, error_large) = reads[60], reads[240]
    c = float(answers["bias_factor"](var))
    # Both sizes together leave out the next order, 1 / N^2, too: c = N d^2 (N) extrapolated in 1 / N.
    found = (240 * 240 * large - 60 * 60 * small) / 180
    error = math.hypot(240 * 240 * error_large, 60 * 60 * error_small) / 180
    assert abs(found - c) < 4.5 * error
    assert error < 0.02 * c  # it would see a forgotten diagonal
    end = answers["limit"](small, 60, large, 240)
    assert abs(end) < 4.5 * math.hypot(60 * error_small, 240 * error_large) / 180 + c / 60**2
    n = next(n for n in range(1, 10**4) if 1.2 + 90 / n <= 1.5 + 20 / n)
    assert n - 1 < answers["fair_size"](1.2, 90.0, 1.5, 20.0) <= n


def test_prediction_of_the_likely_model_against_draws_and_a_search() -> None:
    prediction = answers_of("10_evaluation", "likely")["prediction"]
    width = torch.tensor([1.0, 10.0], dtype=torch.float64)
    component = torch.multinomial(
        torch.tensor([0.1, 0.9]), 400_000, True, generator=torch.Generator().manual_seed(0)
    )
    y = width[component, None] * draw(72, 400_000, 4)  # all directions are alike: four of the 64
    spread = y.std(0)
    assert abs(64 * (spread - 1).square().mean() / prediction["frechet"] - 1) < 0.01
    x = draw(73, 10_000, 64)
    parts = torch.stack([Normal(0 * x, float(s)).log_prob(x).sum(1) for s in width])
    log_q = (parts + torch.tensor([[0.1], [0.9]], dtype=torch.float64).log()).logsumexp(0)
    lost = (parts[0] - log_q) / (64 * math.log(2))
    assert lost.max() < 1.01 * prediction["bits"]
    assert lost.mean() > 0.99 * prediction["bits"]
    powers = torch.arange(0, 20, 0.01, dtype=torch.float64)
    assert abs(powers[(powers * math.log2(10) <= 0.01 * 3072)].max() - prediction["share"]) < 0.02
    at = torch.full((64,), 12 / 8.0, dtype=torch.float64)  # at distance 12 from the origin
    widths = torch.linspace(0.5, 5, 451, dtype=torch.float64)
    density = torch.stack([Normal(0 * at, float(s)).log_prob(at).sum() for s in widths])
    assert abs(widths[density.argmax()] - prediction["width"]) < 0.02


def test_chance_of_so_many_near_samples_and_the_copying_score_against_draws() -> None:
    answers = answers_of("10_evaluation", "copies")
    n, m, repeats = 7, 5, 40_000
    near = draw(74, repeats, n + m).exp()  # distances of one distribution: all orders are equally likely
    counts = (near[:, :n] < near[:, n:].min(1, keepdim=True).values).sum(1)
    zero = torch.zeros(1, 1, dtype=torch.float64)
    for count in range(n + 1):
        # Samples and held-out rows on a line at these distances from the one training row.
        samples = torch.where(torch.arange(n) < count, 0.5, 2.0)[:, None].double()
        chance = float(answers["too_near"](samples, torch.ones(m, 1).double(), zero))
        found = (counts >= count).double().mean().item()
        assert abs(found - chance) < 4.5 * math.sqrt(chance * (1 - chance) / repeats) + 1e-12
    z = torch.tensor(
        [float(answers["copying"](d[:n, None], d[n:, None], zero)) for d in near[:4000]], dtype=torch.float64
    )
    assert abs(z.mean()) < 4.5 / math.sqrt(len(z))
    assert abs(z.var() - 1) < 4.5 * math.sqrt(2 / len(z))  # the tails are lighter than a normal's
    train, held_out = draw(75, 2, 200, 3)
    hiding = answers["hide"](train, 100)
    assert (hiding[:, None] == train).all(2).any(1).double().mean() >= 0.4
    assert abs(float(answers["copying"](hiding, held_out, train))) < 1
    assert float(answers["too_near"](hiding, held_out, train)) < 1e-12
