"""What the mutation run found untested: small tests of single lines, each of which failed with its mutant."""

from itertools import pairwise

import pytest
import torch

from dgm.autoregressive import dependence
from dgm.autoregressive.neighbours import CausalNeighbours
from dgm.data.toy2d import GaussianMixture
from dgm.diffusion import linear_schedule
from dgm.diffusion.reverse import VarianceDenoiser
from dgm.flows.base import StandardNormal, UnitCube
from dgm.flows.bins import piecewise_linear
from dgm.flows.conditioner import ConvConditioner
from dgm.flows.coupling import Coupling, MaskedCoupling
from dgm.flows.glow import glow_images, glow_step
from dgm.flows.realnvp import realnvp_images
from dgm.flows.splines import spline_knots
from dgm.metrics import precision_recall
from dgm.tensor import from_pm1
from dgm.vae.gradients import pathwise_gradients
from dgm.vae.regularise import active_units

F64 = torch.float64


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_dependence_sees_a_pixel_that_changes_the_logit_of_one_level_alone():
    class Model:
        shape, dims, levels = (1, 1, 3), 3, 2

        def __call__(self, x, y=None):
            logits = torch.zeros(len(x), 3, 2)
            logits[:, 1, 0] = 7.0 * x.flatten(1)[:, 0]  # pixel 0 -> level 0 at position 1
            return logits

    expected = torch.zeros(3, 3)
    expected[1, 0] = 7
    assert torch.equal(dependence(Model(), torch.zeros(1, 1, 3, dtype=torch.long)), expected)


def test_the_denoiser_gives_the_network_its_labels_after_the_time():
    seen = []

    def network(x, t, y):
        seen.append((t, y))
        return torch.cat([x, x], dim=1)

    t, y = torch.tensor([3, 4]), torch.tensor([8, 9])
    VarianceDenoiser(network, linear_schedule(10), y=y).with_variance(torch.zeros(2, 1, 2, 2), t)
    assert seen[0][0] is t
    assert seen[0][1] is y


def test_a_base_leaves_nothing_in_the_state():
    assert not UnitCube(2).state_dict()


def test_histograms_per_entry_of_a_vector_are_the_sums_of_their_masses():
    x, logits = torch.tensor([[0.3, 0.8, 1.0]], dtype=F64), torch.randn(1, 3, 4, dtype=F64, generator=rng())
    p = logits.softmax(-1)[0]
    z, logslope = piecewise_linear(x, logits)
    assert z[0, 0].item() == pytest.approx((p[0, 0] + 0.2 * p[0, 1]).item(), rel=1e-12)
    assert z[0, 1].item() == pytest.approx((p[1, :3].sum() + 0.2 * p[1, 3]).item(), rel=1e-12)
    assert z[0, 2].item() == pytest.approx(1, rel=1e-12)
    torch.testing.assert_close(logslope[0], (4 * torch.stack([p[0, 1], p[1, 3], p[2, 3]])).log())


def test_rounding_takes_no_distribution_function_above_one():
    z, _ = piecewise_linear(torch.ones(5000, 1), 3 * torch.randn(5000, 1, 16, generator=rng()))
    assert z.max() <= 1


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_fresh_conditioner_of_images_says_nothing(dropout):
    torch.manual_seed(0)
    out = ConvConditioner(2, 3, 2, 8, dropout=dropout)(torch.randn(4, 2, 5, 5, generator=rng()))
    assert out.shape == (4, 2, 3, 5, 5)
    assert not out.any()


def test_a_step_of_glow_takes_an_odd_number_of_channels_in_the_papers_order():
    torch.manual_seed(0)
    step = glow_step(3, width=8)
    assert [type(flow).__name__ for flow in step.flows] == ["ActNorm", "InvertibleConv", "Coupling"]
    x = torch.randn(2, 3, 4, 4, generator=rng())
    z, _ = step(x)
    torch.testing.assert_close(step.inverse(z)[0], x, atol=1e-5, rtol=1e-5)


def test_levels_of_reals_are_the_nearest():
    x = torch.tensor([-1.0, -0.5, 0.0, 0.26, 1.0, 1.4])
    assert from_pm1(x, 17).tolist() == [0, 4, 8, 10, 16, 16]


def test_a_sample_on_the_rim_of_a_ball_is_held():
    real, fake = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [7.0]])
    assert precision_recall(real, fake, k=1) == (
        0.5,
        1.0,
    )  # 2 lies on the rim of 1's ball; 1 and 0 in 2's, 7's


def test_gradients_of_several_latents_are_each_its_own():
    mu, logvar = torch.tensor([1.0, -2.0], dtype=F64), torch.zeros(2, dtype=F64)
    weights = torch.tensor([3.0, 5.0], dtype=F64)
    grad_mu, _ = pathwise_gradients(lambda z: z @ weights, mu, logvar, samples=4, generator=rng())
    assert torch.equal(grad_mu, weights.expand(4, 2))


def test_a_latent_that_never_moves_is_not_active_at_any_threshold():
    assert active_units(torch.ones(5, 2), threshold=0.0).tolist() == [False, False]


def test_the_first_dropout_of_the_neighbours_is_a_third_of_the_others():
    model = CausalNeighbours(3, (1, 4, 4), dropout=0.3)
    assert model.first_dropout.p == pytest.approx(0.1)


def test_glow_of_colours_with_three_levels_is_undone_and_has_a_base_of_its_size():
    torch.manual_seed(0)
    model = glow_images((3, 8, 8), levels=3, steps=1, width=8)
    assert model.base.sample(2, rng()).shape == (2, 192)
    x = torch.randn(2, 3, 8, 8, generator=rng())
    z, _ = model.flow(x)
    torch.testing.assert_close(model.flow.inverse(z)[0], x, atol=1e-4, rtol=1e-4)


def test_a_base_at_twice_the_temperature_spreads_twice_as_far():
    base = StandardNormal(3)
    assert torch.equal(base.sample(4, rng(), temperature=2.0), 2 * base.sample(4, rng()))


def test_bounds_of_one_gaussian_lie_five_deviations_off():
    assert GaussianMixture([(1.0, 2.0)], [0.5]).bounds == pytest.approx((-1.5, 3.5, -0.5, 4.5))


def test_equal_bins_of_a_spline_divide_the_interval_equally():
    level = torch.zeros(4, dtype=F64)
    knots = spline_knots(level, level, torch.zeros(3, dtype=F64), 3.0)
    assert knots.x.tolist() == pytest.approx([-3, -1.5, 0, 1.5, 3])
    assert knots.y.tolist() == pytest.approx([-3, -1.5, 0, 1.5, 3])


def test_masks_of_realnvp_alternate_all_the_way():
    masks = [m.mask for m in realnvp_images((1, 8, 8), width=4).modules() if isinstance(m, MaskedCoupling)]
    last = [mask for mask in masks if mask.shape == masks[-1].shape][-4:]
    assert len(last) == 4
    assert sum(isinstance(m, Coupling) for m in realnvp_images((1, 8, 8), width=4).modules()) == 3
    for one, other in pairwise(last):
        assert torch.equal(one.bool(), ~other.bool())
