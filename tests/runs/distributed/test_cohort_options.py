# Copyright (c) mmdckd contributors. All rights reserved.
"""Options of a run whose students are in two processes, against one process."""

import copy
from types import SimpleNamespace

import pytest
import torch

from helpers.networks import network
from helpers.processes import run_processes
from helpers.resumed import assert_equal
from helpers.spread import CONNECTED, assert_close, config, load, run
from mmdckd.engine.optimizers import CPUAmpOptimWrapper
from mmdckd.engine.parallel.spread_runner import _SpreadRunner
from mmdckd.engine.parallel.whole_gradients import see_all_gradients
from mmdckd.models.cohorts.cohort_mesh import CohortMesh
from mmdckd.models.teachers import FrozenTeacher

SGD = dict(type='SGD', lr=0.01, momentum=0.9)


def tiny(work_dir, **kwargs):
    """A run of two epochs of four iterations, without an average."""
    cfg = config(work_dir, **kwargs)
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook.type != 'EMAHook']
    return cfg


def lagged(work_dir):
    return tiny(work_dir, model=dict(lagged_peers=dict(interval=3, momentum=0.5)))


def folds(work_dir):
    cfg = tiny(work_dir, model=dict(num_students=4, folds=dict(num_folds=2)))
    loss = dict(type='mmdckd.DCKDLoss', collector='held_out')
    cfg.model.distiller = dict(
        type='mmdckd.CollectiveDistiller', collective_losses=dict(loss_dckd=loss)
    )
    cfg.default_hooks.folds = dict(type='mmdckd.FoldsHook')
    cfg.train_dataloader.dataset.indices = 120  # the last batch is of 24
    return cfg


def finished(work_dir):
    return tiny(work_dir, model=dict(finished_peers=[network(34), network()]))


def checkpointed(work_dir):
    return tiny(work_dir, model=dict(memory='checkpoint'))


def frozen(work_dir):
    """Only the connectors of the students train."""
    return tiny(
        work_dir,
        model=dict(
            distiller=CONNECTED, student_trainable=False, calculate_student_loss=False
        ),
    )


def clipped(work_dir):
    cfg = tiny(work_dir)
    cfg.optim_wrapper = dict(
        type='OptimWrapper', optimizer=SGD, clip_grad=dict(max_norm=0.5)
    )
    return cfg


def half(work_dir):
    """In float16, at first with a scale with which gradients are not finite."""
    cfg = tiny(work_dir)
    cfg.optim_wrapper = dict(
        type='mmdckd.CPUAmpOptimWrapper',
        dtype='float16',
        loss_scale=dict(init_scale=2.0**24, growth_interval=3),
        optimizer=SGD,
        clip_grad=dict(max_norm=0.5),
    )
    cfg.custom_hooks.append(dict(type='mmdckd.LossScaleHook'))
    return cfg


def several(rank, number, cfgs):
    return [run(rank, number, cfg) for cfg in cfgs]


@pytest.mark.slow
def test_options_train_as_in_one_process(tmp_path):
    makers = (lagged, folds, finished, checkpointed, frozen, clipped, half)
    one = several(0, 1, [make(tmp_path / make.__name__ / '1') for make in makers])
    cfgs = [make(tmp_path / make.__name__ / '2') for make in makers]
    first, second = run_processes(several, 2, cfgs)
    for make, alone, spread, other in zip(makers, one, first, second):
        name, tolerance = make.__name__, 5e-3 if make is half else 2e-5
        assert spread['logged'] == other['logged'], name
        assert list(spread['logged']) == list(alone['logged']), name
        for scalar, value in alone['logged'].items():
            if not scalar.startswith('val/'):
                assert spread['logged'][scalar] == pytest.approx(
                    value, abs=tolerance
                ), (name, scalar)
        assert_close(
            load(tmp_path / name / '1'), load(tmp_path / name / '2'), tolerance
        )
    logged = dict(zip(makers, one))[half]['logged']
    assert 0 < logged['train/amp/skipped_steps'] < 8


def cached(work_dir):
    """Batches of 32, 32, 32 and 8 images, and a cache of everything."""
    cfg = tiny(work_dir, model=dict(finished_peers=[network()]))
    cfg.train_dataloader.dataset.indices = 104
    cfg.custom_hooks.append(
        dict(
            type='mmdckd.TeacherCacheHook',
            folder=str(work_dir.parent / 'logits'),
            dtype='float32',
        )
    )
    return cfg


def counting(rank, plain, cfg):
    """Runs without a cache, with an empty one and with a full one; tell how
    many images the teacher has seen."""
    seen, call = [], FrozenTeacher.__call__

    def count(self, inputs, samples=None):
        seen.append(len(inputs))
        return call(self, inputs, samples)

    FrozenTeacher.__call__ = count
    counts = []
    for each in (plain, cfg, cfg):
        seen.clear()
        each = copy.deepcopy(each)
        each.experiment_name += str(len(counts))
        run(rank, 2, each)
        counts.append(sum(seen))
    return counts


@pytest.mark.slow
def test_each_process_looks_up_its_share_of_the_images(tmp_path):
    cfg = cached(tmp_path / 'cached')
    plain = cached(tmp_path / 'plain')
    del plain.custom_hooks[-1]
    counts = run_processes(counting, plain, cfg)
    images = 2 * 2 * (3 * 16 + 4)  # epochs, networks and images of the first
    # Two images tell the shape, and one share is compared.
    assert counts[0] == [images, images + 4, 4 + 2 * 16]
    assert_equal(
        load(tmp_path / 'cached')['state_dict'], load(tmp_path / 'plain')['state_dict']
    )
    # One process finds what two have stored.
    alone = cached(tmp_path / 'cached')
    alone.work_dir = str(tmp_path / 'alone')
    run(0, 1, alone)
    assert_close(load(tmp_path / 'alone'), load(tmp_path / 'plain'))


def moved(rank):
    """What three steps change of a weight in each of two processes."""
    mesh, outcomes = CohortMesh(['a', 'b']), []
    for fused in (False, True):
        for clip_grad in (None, dict(max_norm=1.0)):
            weight = torch.nn.Parameter(torch.zeros(2))
            wrapper = CPUAmpOptimWrapper(
                loss_scale=dict(init_scale=4.0),
                optimizer=torch.optim.SGD([weight], lr=1.0, fused=fused),
                clip_grad=clip_grad,
            )
            see_all_gradients(wrapper, mesh)
            slopes = [3.0 + rank, float('inf') if rank else 1.0, 3.0 + rank]
            for slope in slopes:
                wrapper.update_params(weight[rank] * slope)
            scale = wrapper.loss_scaler.get_scale()
            outcomes.append((weight.tolist(), scale))
    return outcomes


def test_a_step_is_clipped_and_skipped_by_the_gradients_of_all_students():
    first, second = run_processes(moved)
    assert first == [([-6.0, 0.0], 2.0), ([pytest.approx(-1.2), 0.0], 2.0)] * 2
    assert second == [([0.0, -8.0], 2.0), ([0.0, pytest.approx(-1.6)], 2.0)] * 2


class _Returns:
    """Stands in for MMEngine's runner."""

    def wrap_model(self, wrapper, model):
        return wrapper


def test_a_wrapper_without_a_type_is_that_of_mmengine():
    model = torch.nn.Linear(2, 2)
    model.exchange = SimpleNamespace(mesh=SimpleNamespace(data='group'))
    runner = type('Runner', (_SpreadRunner, _Returns), dict(cfg={}))()
    given = dict(find_unused_parameters=True)
    assert runner.wrap_model(given, model) == dict(
        given, process_group='group', type='MMDistributedDataParallel'
    )
