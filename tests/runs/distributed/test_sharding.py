# Copyright (c) mmdckd contributors. All rights reserved.
import pytest
import torch
from mmengine.model.wrappers import MMFullyShardedDataParallel

from helpers.networks import digits, distil
from helpers.processes import run_processes


def shard(rank):
    MMFullyShardedDataParallel(distil())


def test_torch_shards_nothing_on_the_cpu():
    if torch.cuda.is_available():
        pytest.skip('there is an accelerator')
    with pytest.raises(RuntimeError, match='accelerator'):
        run_processes(shard)


def test_a_cohort_is_not_sharded():
    model = distil()
    # What FSDP leaves on the modules that it takes over.
    model._is_fsdp_managed_module = True
    with pytest.raises(RuntimeError, match='need unsharded students'):
        model(**model.data_preprocessor(digits(), True), mode='loss')
