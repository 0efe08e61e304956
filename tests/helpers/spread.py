# Copyright (c) mmdckd contributors. All rights reserved.
"""Runs whose students are in one process or in several."""

import copy

import torch

from helpers.networks import network
from helpers.resumed import Interrupt, Interrupted, assert_equal
from helpers.runs import run_config
from mmdckd.engine.runner.building import build_runner

#: AdamW divides by small numbers: eight steps multiply what rounding differs by.
TOLERANCE = 2e-5


def config(work_dir, **kwargs):
    """A run of two epochs of four iterations, with averages and an export."""
    architecture = network()
    architecture['backbone']['norm_cfg'] = dict(type='GN', num_groups=2)
    cohort = dict(architecture=architecture, num_students=2, parallel='cohort')
    cfg = run_config(work_dir, cohort)
    cfg.work_dir = str(work_dir)
    cfg.default_hooks.exact_resume = dict(type='mmdckd.ExactResumeHook')
    cfg.default_hooks.logger = dict(type='LoggerHook', interval=1)
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=3, max_keep_ckpts=2)
    cfg.custom_hooks = [
        dict(type='EMAHook', momentum=0.2),
        dict(type='mmdckd.PreemptionHook'),
        dict(type='mmdckd.CohortSummaryHook'),
        dict(type='mmdckd.ExportStudentHook'),
    ]
    cfg.optim_wrapper = dict(
        type='OptimWrapper',
        constructor='mmdckd.ClipEachStudentConstructor',
        optimizer=dict(type='AdamW', lr=0.01),
        clip_grad=dict(max_norm=1.0),
    )
    # The odd one is left to one of two processes.
    cfg.val_dataloader.dataset.indices = 99
    cfg.merge_from_dict(kwargs)
    return cfg


def run(rank, number, cfg, stop=None, resume=False):
    """Train, up to an iteration or from the last checkpoint on; tell what was
    logged last, and what this process holds."""
    cfg = copy.deepcopy(cfg)
    cfg.resume = resume
    cfg.experiment_name += '_resumed' * resume
    if number > 1:
        cfg.launcher = 'pytorch'
        cfg.train_dataloader.batch_size //= number
    runner = build_runner(cfg)
    if stop is not None:
        runner.register_hook(Interrupt('iter', stop))
    try:
        runner.train()
    except Interrupted:
        return
    model = runner.model.module if number > 1 else runner.model
    return dict(
        logged={
            name: float(scalars.current())
            for name, scalars in runner.message_hub.log_scalars.items()
            if 'time' not in name and 'memory' not in name
        },
        best=runner.message_hub.get_info('best_student'),
        held=held(model, runner.optim_wrapper.optimizer),
    )


def held(model, optimizer):
    """Numbers that a process keeps of the students and of the optimizer."""
    parts = [model.state_dict().values(), *map(dict.values, optimizer.state.values())]
    return sum(x.numel() for part in parts for x in part if not x.is_meta)


def load(folder):
    return torch.load(folder / 'iter_8.pth', weights_only=True, map_location='cpu')


def assert_close(one, other, tolerance=TOLERANCE):
    assert one.keys() == other.keys()
    for part in {'state_dict', 'ema_state_dict'} & one.keys():
        assert list(one[part]) == list(other[part])
        for name, value in one[part].items():
            assert (value - other[part][name]).abs().max() < tolerance, name
    for index, state in one['optimizer']['state'].items():
        for name, value in state.items():
            difference = value - other['optimizer']['state'][index][name]
            assert difference.abs().max() < tolerance
    for part in ('param_groups', 'base_param_settings'):
        assert_equal(one['optimizer'].get(part), other['optimizer'].get(part))


CONNECTED = dict(
    type='mmdckd.CollectiveDistiller',
    collective_losses=dict(
        loss_dckd=dict(type='mmdckd.DCKDLoss'),
        loss_map=dict(type='mmdckd.RelationMapLoss', recorder='last'),
    ),
    student_recorders=dict(last=dict(type='ModuleOutputs', source='backbone.layer4')),
    teacher_recorders=dict(last=dict(type='ModuleOutputs', source='backbone.layer4')),
    connectors=dict(
        adapt=dict(type='ConvModuleConnector', in_channel=32, out_channel=32)
    ),
    distill_losses=dict(loss_l2=dict(type='L2Loss', normalize=False, div_element=True)),
    loss_forward_mappings=dict(
        loss_l2=dict(
            s_feature=dict(recorder='last', from_student=True, connector='adapt'),
            t_feature=dict(recorder='last', from_student=False),
        )
    ),
)
