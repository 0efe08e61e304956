# Copyright (c) mmdckd contributors. All rights reserved.
"""Memory, copies, and how often a step makes the host wait."""

import traceback
import warnings
from collections import Counter

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from small import DCKD, amp, cohort, network, preprocess, quick

from helpers.networks import digits
from mmdckd.engine.optimizers.cpu_amp import amp_type

pytestmark = pytest.mark.gpu


def optim_wrapper(model, kind='float32', **kwargs):
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)
    if kind == 'float32':
        return OptimWrapper(optimizer, **kwargs)
    return amp(optimizer=optimizer, dtype=kind, **kwargs)


def test_peak_memory_is_flat(cuda, measure):
    model = cohort(cuda, num_students=2, lagged_peers=dict(momentum=0.5))
    optim = optim_wrapper(model)
    batches = [digits(start=16 * i) for i in range(10)]
    allocated, peaks = [], []
    for step in range(500):
        if step % 50 == 0:
            torch.cuda.reset_peak_memory_stats()
        model.train_step(batches[step % 10], optim)
        if step % 50 == 49:
            allocated.append(torch.cuda.memory_allocated())
            peaks.append(torch.cuda.max_memory_allocated())
    measure(
        'memory: growth of the peak, steps 100 to 500, in bytes',
        max(peaks[2:]) - max(peaks[:2]),
        0,
    )
    measure(
        'memory: growth of what is held, in bytes',
        max(allocated[2:]) - max(allocated[:2]),
        0,
    )


def test_pinned_images_arrive(cuda):
    model = cohort(cuda)
    expected = preprocess(model)['inputs']
    for _ in range(20):
        batch = digits()
        batch['inputs'] = batch['inputs'].contiguous().pin_memory()
        data = model.data_preprocessor(batch, True)
        del batch  # its memory may be taken again
        torch.empty(16, 3, 8, 8, dtype=torch.uint8).pin_memory().fill_(7)
        assert torch.equal(data['inputs'], expected)


COHORTS = dict(
    dckd=dict(),
    several_teachers=dict(teacher=[network(), network()]),
    lagged_peers=dict(lagged_peers=dict(interval=2)),
    weighted=dict(
        distiller=dict(
            DCKD,
            collective_losses=dict(
                loss=dict(
                    type='mmdckd.DCKDLoss',
                    collector=dict(type='weighted', weights=[1.0, 2.0, 3.0]),
                    correlation='non_target',
                )
            ),
        )
    ),
    norm=dict(
        teacher=dict(
            **network(), data_preprocessor=dict(mean=[70.0] * 3, std=[80.0] * 3)
        )
    ),
)


def synchronizations(function):
    """Where a function makes the host wait for the device, counted."""
    places = Counter()

    def note(message, *args, **kwargs):
        if 'called a synchronizing' not in str(message):
            return
        frames = [
            frame
            for frame in traceback.extract_stack()
            if '/torch/' not in frame.filename
            and frame.filename not in (__file__, warnings.__file__)
        ]
        where = frames[-1]
        places[f'{where.filename}:{where.lineno} {where.line}'] += 1

    with warnings.catch_warnings():
        warnings.simplefilter('always')
        warnings.showwarning = note
        torch.cuda.set_sync_debug_mode('warn')
        try:
            function()
        finally:
            torch.cuda.set_sync_debug_mode('default')
    return places


@pytest.mark.parametrize('name', COHORTS)
def test_synchronizations_of_a_step(cuda, measure, name):
    model = cohort(cuda, **COHORTS[name])
    optim = optim_wrapper(model)
    check_synchronizations(model, optim, f'{name}', measure, 1)


@pytest.mark.parametrize('kind', ['float16', 'bfloat16'])
def test_synchronizations_of_a_step_in_mixed_precision(cuda, measure, kind):
    model = cohort(cuda)
    check_synchronizations(model, optim_wrapper(model, kind), kind, measure, 2)


@pytest.mark.parametrize(
    'kind, every, limit', [('float32', 1, 1), ('float16', 1, 2), ('float32', 10, 0)]
)
def test_synchronizations_of_an_iteration(cuda, measure, tmp_path, kind, every, limit):
    """Of a step with the hooks of a run, between two lines of the log."""
    cfg = quick(
        tmp_path,
        custom_hooks=[
            dict(type='mmdckd.DataTimeHook'),
            dict(type='mmdckd.ExactResumeHook'),
            dict(type='mmdckd.PreemptionHook'),
            dict(type='mmdckd.SaveOnNonFiniteHook'),
        ],
    )
    cfg.model.check_finite_every = every
    cfg.default_hooks.logger.interval = 50
    cfg.train_dataloader.pin_memory = True
    if kind == 'float16':
        cfg.optim_wrapper.update(type=amp_type(), dtype=kind)
    runner = Runner.from_cfg(cfg)
    loop, counts = runner.build_train_loop(cfg.train_cfg), []
    runner._train_loop = loop
    loop.run_iter = lambda *args: counts.append(
        synchronizations(lambda: type(loop).run_iter(loop, *args))
    )
    runner.train()
    for place, number in counts[2].items():
        print(f'{number} x {place}')
    measure(
        f'host synchronizations an iteration: {kind}, checked every {every}',
        sum(counts[2].values()),
        limit,
    )


def test_synchronizations_of_a_step_that_clips(cuda, measure):
    model = cohort(cuda)
    optim = optim_wrapper(model, clip_grad=dict(max_norm=5.0))
    check_synchronizations(model, optim, 'clip_grad', measure, 2)


def check_synchronizations(model, optim, name, measure, limit):

    def batch(step):
        data = digits(start=16 * step)
        data['inputs'] = data['inputs'].contiguous().pin_memory()
        return data

    for step in range(3):  # the first looks at more
        model.train_step(batch(step), optim)
    data = batch(3)
    places = synchronizations(lambda: model.train_step(data, optim))
    for place, number in places.items():
        print(f'{number} x {place}')
    measure(f'host synchronizations a step: {name}', sum(places.values()), limit)
