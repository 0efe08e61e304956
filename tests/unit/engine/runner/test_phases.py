# Copyright (c) mmdckd contributors. All rights reserved.
import copy
import hashlib
import json
import os
import os.path as osp
import time
import weakref
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmpretrain.models import ImageClassifier

from helpers.runs import run_config, shallow_cohort, train
from mmdckd.engine.runner.building import build_runner
from mmdckd.engine.runner.phases import (
    last_phase,
    phases_of,
    train_phases,
    with_untrained_peers,
)
from mmdckd.io.latest import point_to, pointed_to

BETA = 'model.distiller.collective_losses.loss_dckd.beta'
PHASES = [
    {'model.num_students': 2, BETA: 0.0},
    {'model.finished_peers': 'phase0', 'train_cfg.max_epochs': 3},
]


def config(tmp_path, phases=PHASES, **kwargs):
    cfg = run_config(tmp_path, shallow_cohort(1), phases=phases, **kwargs)
    # The only peer of one student is in a phase before it.
    cfg.model.distiller.collective_losses.loss_dckd.gamma = 0.0
    return cfg


def states(runner):
    return runner.model.state_dict()


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert torch.equal(value, other[key]), key


def test_each_phase_has_its_settings_and_its_folder(tmp_path):
    cfg = config(tmp_path, load_from='a.pth')
    first, last = phases_of(cfg)
    assert first.config.model.num_students == 2
    assert first.config.train_cfg.max_epochs == 2
    assert first.config.work_dir == osp.join(cfg.work_dir, 'phase0')
    assert first.config.randomness.seed == 1001
    assert first.config.load_from is None
    assert last.config.model.num_students == 1
    assert last.config.train_cfg.max_epochs == 3
    assert last.config.work_dir == cfg.work_dir
    assert last.config.randomness.seed == 1
    assert last.config.load_from == 'a.pth'
    assert 'phases' in cfg and 'phases' not in last.config


def test_each_phase_has_another_seed(tmp_path):
    phases = phases_of(config(tmp_path, [*PHASES, PHASES[1]]))
    assert [each.config.randomness.seed for each in phases] == [2001, 1001, 1]


def test_phases_of_one_second_share_no_history(tmp_path, monkeypatch):
    clock = SimpleNamespace(
        time=lambda: 0.0, strftime=time.strftime, localtime=time.localtime
    )
    monkeypatch.setattr('mmengine.runner.runner.time', clock)
    runners = []

    def trained(cfg):
        runners.append(build_runner(cfg))
        runners[-1].train()
        return runners[-1]

    # A longer phase first: what it recorded does not fit the second.
    phases = [dict(PHASES[0], times=4), dict(PHASES[1], **{'train_cfg.max_epochs': 1})]
    train_phases(config(tmp_path, phases, experiment_name='one_second'), trained)
    hubs = [runner.message_hub for runner in runners]
    assert hubs[0] is not hubs[1]
    assert hubs[1].get_info('max_epochs') == 1


@pytest.mark.parametrize(
    'given, filename, expected',
    [
        (None, None, 'phase0'),
        (None, 'configs/two.py', 'two_phase0'),
        ('mine', 'configs/two.py', 'mine_phase0'),
    ],
)
def test_the_name_of_a_phase(tmp_path, given, filename, expected):
    cfg = config(tmp_path, experiment_name=given)
    object.__setattr__(cfg, '_filename', filename)
    assert [phase.config.experiment_name for phase in phases_of(cfg)] == [
        expected,
        given,
    ]


def test_a_phase_may_take_several_times_as_long(tmp_path):
    scheduler = [
        dict(type='LinearLR', end=2),
        dict(type='CosineAnnealingLR', begin=2, T_max=8, end=10),
        dict(type='MultiStepLR', milestones=[3, 5]),
    ]
    for schedulers in (scheduler, dict(optimizer=scheduler), scheduler[1]):
        cfg = config(
            tmp_path,
            [dict(), dict(times=2.5)],
            param_scheduler=copy.deepcopy(schedulers),
        )
        first, last = phases_of(cfg)
        assert first.config.train_cfg.max_epochs == 2
        assert first.config.param_scheduler == cfg.param_scheduler
        assert last.config.train_cfg.max_epochs == 5
        assert last.config.train_cfg.val_interval == 1
        found = last.config.param_scheduler
        if isinstance(schedulers, dict) and 'optimizer' in schedulers:
            found = found.optimizer
        if schedulers is scheduler[1]:
            assert found == dict(scheduler[1], begin=5, T_max=20, end=25)
        else:
            assert found[0].end == 5
            assert found[1] == dict(scheduler[1], begin=5, T_max=20, end=25)
            assert found[2].milestones == [8, 12]


def test_all_lengths_of_a_run_by_iterations_are_stretched(tmp_path):
    cfg = config(tmp_path, [dict(times=3)])
    cfg.train_cfg = dict(by_epoch=False, max_iters=8, val_begin=2, val_interval=2)
    cfg.param_scheduler = [
        dict(type='CosineRestartLR', periods=[2, 6], restart_weights=[1, 0.5]),
        dict(type='StepLR', step_size=3, gamma=0.5),
        dict(type='OneCycleLR', total_steps=8),
        dict(type='ConstantLR', total_iters=4),
    ]
    (last,) = phases_of(cfg)
    assert last.config.train_cfg == dict(
        by_epoch=False, max_iters=24, val_begin=6, val_interval=2
    )
    assert last.config.param_scheduler == [
        dict(type='CosineRestartLR', periods=[6, 18], restart_weights=[1, 0.5]),
        dict(type='StepLR', step_size=9, gamma=0.5),
        dict(type='OneCycleLR', total_steps=24),
        dict(type='ConstantLR', total_iters=12),
    ]


def test_the_first_validation_of_a_longer_phase_is_later(tmp_path):
    cfg = config(tmp_path, [dict(), dict(times=3)])
    cfg.train_cfg.val_begin = 2
    assert [p.config.train_cfg.val_begin for p in phases_of(cfg)] == [2, 6]


def test_a_config_without_phases_is_its_only_phase(tmp_path):
    cfg = run_config(tmp_path)
    (only,) = phases_of(cfg)
    assert only.config is cfg


def test_the_run_is_that_of_its_phases_one_by_one(tmp_path):
    runner = train_phases(config(tmp_path))
    by_hand = phases_of(config(tmp_path / 'by_hand'))
    train(by_hand[0].config)
    by_hand[1].config.model.finished_peers = osp.join(
        by_hand[0].config.work_dir, 'epoch_2.pth'
    )
    assert_same(states(runner), states(train(by_hand[1].config)))
    assert osp.isfile(osp.join(runner.work_dir, 'best.pth'))


@pytest.mark.slow
def test_a_resumed_run_trains_what_is_left(tmp_path):
    cfg = config(tmp_path)
    whole = train_phases(cfg.copy())
    trained = []

    def interrupt(phase):
        trained.append(osp.basename(phase.work_dir))
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train(phase)

    cfg = config(tmp_path / 'resumed')
    name = osp.basename(cfg.work_dir)
    with pytest.raises(KeyboardInterrupt):
        train_phases(cfg, interrupt)
    assert trained == ['phase0', name]
    cfg.resume = True
    trained = [None, None]
    resumed = train_phases(cfg, interrupt)
    assert trained[2:] == [name]
    assert_same(states(whole), states(resumed))


def pretend(trained, killed_in=None, saves=True):
    """A training that only records its config, and where its checkpoint is."""

    def training(cfg):
        trained.append(cfg)
        killed = osp.basename(cfg.work_dir) == killed_in
        if saves or not killed:
            point_to(cfg.work_dir, 'epoch_1.pth' if killed else 'epoch_2.pth')
        if killed:
            raise KeyboardInterrupt
        return SimpleNamespace(hooks=[], work_dir=cfg.work_dir)

    return training


@pytest.mark.parametrize('saves', [True, False])
@pytest.mark.parametrize('lr', [0.05, 0.01])
def test_a_fresh_start_uses_nothing_of_an_earlier_run(tmp_path, lr, saves):
    cfg = config(tmp_path)
    train_phases(cfg.copy(), pretend([]))
    cfg.optim_wrapper.optimizer.lr = lr
    with pytest.raises(KeyboardInterrupt):
        train_phases(cfg.copy(), pretend([], 'phase0', saves))
    cfg.resume, trained = True, []
    train_phases(cfg, pretend(trained))
    assert [each.work_dir for each in trained] == [
        osp.join(cfg.work_dir, 'phase0'),
        cfg.work_dir,
    ]
    assert [each.resume for each in trained] == [saves, False]


class Runner(SimpleNamespace):
    """It can be referred to weakly."""


def test_a_phase_has_the_memory_of_the_one_before(tmp_path):
    """Its networks, optimizer and graphs stayed on the GPU during the next phase."""
    earlier, alive, pretended = [], [], pretend([])

    def training(cfg):
        alive.append([each() for each in earlier if each() is not None])
        runner = Runner(**vars(pretended(cfg)))
        earlier.append(weakref.ref(runner))
        return runner

    train_phases(config(tmp_path, [*PHASES, PHASES[1]]), training)
    assert alive == [[], [], []]


def test_a_phase_that_is_trained_again_renews_those_after_it(tmp_path):
    cfg = config(tmp_path, [*PHASES, PHASES[1]])
    train_phases(cfg.copy(), pretend([]))
    # As older versions left it after a fresh start that was killed.
    os.remove(osp.join(cfg.work_dir, 'phase0', 'phase.json'))
    cfg.resume, trained = True, []
    train_phases(cfg, pretend(trained))
    assert [each.resume for each in trained] == [True, False, False]


def test_a_run_that_is_refused_leaves_the_earlier_one(tmp_path):
    cfg = finished(tmp_path)
    refused = cfg.copy()
    refused.val_evaluator.type = 'Acuracy'
    with pytest.raises(KeyError, match='Acuracy'):
        train_phases(refused, pretend([]))
    first = phases_of(cfg)[0]
    assert first.has_finished() and pointed_to(first.config.work_dir) == 'epoch_2.pth'


def test_a_phase_learns_from_checkpoints_in_another_folder(tmp_path):
    saved = tmp_path / 'saved'
    cfg = config(tmp_path, [dict(PHASES[0], **{'train_cfg.max_epochs': 1}), PHASES[1]])
    cfg.default_hooks.checkpoint.out_dir = str(saved)
    train_phases(cfg)
    expected = saved / osp.basename(cfg.work_dir) / 'phase0' / 'epoch_1.pth'
    assert osp.isfile(expected)
    assert last_phase(cfg).model.finished_peers == str(expected)


@pytest.mark.parametrize('end', ['', '/'])
def test_phases_of_two_runs_save_to_two_folders(tmp_path, end):
    cfg = config(tmp_path, [*PHASES, PHASES[1]])
    run, saved = osp.basename(cfg.work_dir), str(tmp_path / 'saved')
    cfg.work_dir += end
    cfg.default_hooks.checkpoint.out_dir = saved
    found = [phase.config for phase in phases_of(cfg)]
    assert [each.default_hooks.checkpoint.out_dir for each in found] == [
        osp.join(saved, run),
        osp.join(saved, run),
        saved,
    ]
    # MMEngine adds nothing to the folder of the run itself.
    cfg.default_hooks.checkpoint.out_dir = cfg.work_dir
    assert phases_of(cfg)[0].config.default_hooks.checkpoint.out_dir == cfg.work_dir


@pytest.mark.parametrize(
    'saving, got',
    [
        (dict(interval=2, save_last=False), 'interval=2 and save_last=False'),
        (dict(interval=8, save_last=False, by_epoch=False), 'interval=8 and'),
        (None, 'none'),
    ],
)
def test_a_phase_that_would_not_save_its_last_epoch_is_refused(tmp_path, saving, got):
    cfg = config(tmp_path, [dict(PHASES[0], **{'train_cfg.max_epochs': 3}), PHASES[1]])
    cfg.default_hooks.checkpoint = saving and dict(type='CheckpointHook', **saving)
    message = f'`default_hooks.checkpoint`: .* last epoch of phase0, 3, .* got {got}'
    with pytest.raises(ValueError, match=message):
        train_phases(cfg, pretend([]))


@pytest.mark.parametrize(
    'saving', [dict(interval=3, save_last=False), dict(interval=-1)]
)
def test_a_phase_that_saves_its_last_epoch_is_accepted(tmp_path, saving):
    cfg = config(tmp_path, [dict(PHASES[0], **{'train_cfg.max_epochs': 3}), PHASES[1]])
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', **saving)
    trained = []
    train_phases(cfg, pretend(trained))
    assert len(trained) == 2


def test_a_phase_without_a_checkpoint_is_named(tmp_path):
    first, _ = phases_of(config(tmp_path))
    with pytest.raises(ValueError, match='`default_hooks.checkpoint`: .* of phase0'):
        first.finish(first.config.work_dir)


def test_a_finished_phase_of_another_config_is_not_used(tmp_path):
    cfg = config(tmp_path)
    train_phases(cfg)
    cfg.resume = True
    cfg.phases[0]['optim_wrapper.optimizer.lr'] = 0.01
    with pytest.raises(ValueError, match='expected the config that phase0'):
        train_phases(cfg)


def finished(tmp_path):
    """A config whose first phase has finished, without training it."""
    cfg = config(tmp_path)
    first = phases_of(cfg)[0]
    point_to(first.config.work_dir, 'epoch_2.pth')
    first.finish(first.config.work_dir)
    assert phases_of(cfg)[0].has_finished()
    return cfg


@pytest.mark.parametrize(
    'change',
    [
        {'data_preprocessor.mean': [0.0] * 3},
        {
            'data_preprocessor.batch_augments': dict(
                augments=[dict(type='Mixup', alpha=1.0)]
            )
        },
        {'custom_hooks': [dict(type='EMAHook')]},
        {'default_hooks.average': dict(type='mmdckd.WeightAverageHook')},
        {'train_dataloader.batch_sampler': dict(type='mmdckd.MixedBatchSampler')},
        {'train_dataloader.drop_last': True},
        {'auto_scale_lr': dict(enable=True, base_batch_size=256)},
        {'sync_bn': 'torch'},
    ],
)
def test_all_settings_of_a_finished_phase_count(tmp_path, change):
    cfg = finished(tmp_path)
    cfg.merge_from_dict(change)
    with pytest.raises(ValueError, match='expected the config that phase0'):
        phases_of(cfg)[0].has_finished()


def test_a_phase_that_an_older_version_finished_is_used(tmp_path):
    cfg = finished(tmp_path)
    path = osp.join(cfg.work_dir, 'phase0', 'phase.json')
    with open(path) as file:
        note = json.load(file)
    content = phases_of(cfg)[0].config.to_dict()
    keys = ('model', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'randomness')
    loader = content['train_dataloader']
    parts = [content.get(key) for key in keys]
    parts += [loader.get(key) for key in ('dataset', 'batch_size', 'sampler')]
    text = json.dumps(parts, sort_keys=True, default=str)
    note['config'] = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    with open(path, 'w') as file:
        json.dump(note, file)
    assert phases_of(cfg)[0].has_finished()
    cfg.optim_wrapper.optimizer.lr = 0.01
    with pytest.raises(ValueError, match='expected the config that phase0'):
        phases_of(cfg)[0].has_finished()


@pytest.mark.slow
def test_what_is_logged_may_change(tmp_path):
    cfg = config(tmp_path)
    train_phases(cfg)
    cfg.resume = True
    cfg.merge_from_dict({'default_hooks.logger': dict(type='LoggerHook', interval=1)})
    train_phases(cfg)


@pytest.mark.slow
def test_the_last_phase_is_what_is_tested(tmp_path):
    cfg = config(tmp_path)
    train_phases(cfg)
    last = last_phase(cfg)
    assert last.model.finished_peers == osp.join(cfg.work_dir, 'phase0', 'epoch_2.pth')
    note = json.load(open(osp.join(cfg.work_dir, 'phase0', 'phase.json')))
    assert note['checkpoint'] == 'epoch_2.pth'


@pytest.mark.parametrize(
    'phases, message',
    [
        ([], 'Invalid `phases`: expected a list of dicts'),
        (3, 'Invalid `phases`: expected a list of dicts'),
        ([dict(), 'phase0'], 'Invalid `phases`: expected a list of dicts'),
        ([{'model.finished_peers': 'phase0'}], r'phases\[0\].*expected None'),
        ([{'times': 0}], r'phases\[0\].times.*more than 0, got 0'),
        ([{}, {'times': '4'}], r'phases\[1\].times.*more than 0'),
        ([{'times': float('nan')}], r'phases\[0\].times.*more than 0, got nan'),
        ([{'times': float('inf')}], r'phases\[0\].times.*more than 0, got inf'),
        ([{}, {'model.finished_peers': 'phase2'}], r"phases\[1\].*expected 'phase0'"),
    ],
)
def test_bad_phases_are_refused(tmp_path, phases, message):
    cfg = Config(dict(work_dir=str(tmp_path), model=dict(), phases=phases))
    with pytest.raises(ValueError, match=message):
        phases_of(cfg)


def test_peers_of_a_lazy_config_keep_its_names(tmp_path):
    path = tmp_path / 'lazy.py'
    path.write_text(
        'from mmengine.config import read_base\n'
        'from mmpretrain.models import ImageClassifier\n\n'
        'with read_base():\n'
        '    from mmdckd.configs.dckd_r34_r18_imagenet_lazy import *\n\n'
        "model['architecture'] = dict(type=ImageClassifier)\n"
        "phases = [{}, {'model.finished_peers': 'phase0'}]\n"
    )
    phases = phases_of(Config.fromfile(str(path)))
    cfg = with_untrained_peers(phases[1], phases)
    assert len(cfg.model.finished_peers) == 4
    assert cfg.model.finished_peers[0].type is ImageClassifier
    # As text, which a run writes to its work folder, a class has no form.
    assert '<class' not in cfg.pretty_text
