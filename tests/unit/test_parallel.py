"""dgm.parallel: parts of a batch, and what is said where no processes are. See also test_full.py."""

import pytest
import torch
from torch import nn

from dgm.parallel import Shard, average_gradients, check_equal, mean_over, meet, processes

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_the_parts_of_all_processes_are_the_batch():
    x = torch.arange(24.0).reshape(12, 2)
    for world in (1, 2, 3, 4):
        parts = [Shard(rank, world).take(x) for rank in range(world)]
        assert {len(part) for part in parts} == {12 // world}
        assert torch.equal(torch.cat(parts), x)


def test_a_batch_that_does_not_divide_is_refused_with_one_that_does():
    with pytest.raises(ValueError, match=r"a batch of 7 does not divide into 2 equal parts.*such as 8"):
        Shard(0, 2).take(torch.zeros(7))
    with pytest.raises(ValueError, match=r"rank must lie in 0 \.\. world - 1 = 1, got 2"):
        Shard(2, 2)


def test_a_process_on_its_own_joins_nothing():
    with processes("cpu") as (shard, device):
        assert shard == Shard()
        assert shard.leads
        assert device == torch.device("cpu")
        assert not torch.distributed.is_initialized()
        weight = nn.Parameter(torch.ones(3))
        weight.sum().backward()
        average_gradients([weight], shard)
        check_equal([weight], shard)
        meet(shard)
        assert torch.equal(weight.grad, torch.ones(3))
        mean = mean_over(weight.sum(), shard)
        assert mean.item() == 3
        assert not mean.requires_grad
    assert not Shard(1, 2).leads


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ({"WORLD_SIZE": "2"}, "RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT"),
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "MASTER_ADDR, MASTER_PORT"),
    ],
)
def test_half_of_what_torchrun_sets_is_an_error_that_says_what_to_do(monkeypatch, there, missing):
    for name, value in there.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RuntimeError, match=f"set, but not {missing}: start with `torchrun"), processes("cpu"):
        pass


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(RuntimeError, match="torch finds no GPU; use device='cpu'"), processes("cuda"):
        pass
