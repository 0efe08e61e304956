# Copyright (c) mmdckd contributors. All rights reserved.
import json
import os.path as osp
import pickle

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from helpers import warm
from helpers.commands import COHORT, REPO, STUDENTS, TEACHER, call, run_tool
from mmdckd.cli import test
from mmdckd.datasets import Digits
from mmdckd.registry import MODELS


@pytest.fixture(scope='module')
def images():
    """The test split as the networks see it, (360, 3, 8, 8), and labels."""
    dataset = Digits(split='test')
    inputs = torch.stack(
        [
            torch.from_numpy(dataset[i]['img']).permute(2, 0, 1)
            for i in range(len(dataset))
        ]
    )
    return (inputs - 77.8) / 95.9, torch.tensor(dataset.get_gt_labels())


def build(config, images, seed):
    """The model of a config, at random but for its BatchNorm statistics."""
    cfg = Config.fromfile(osp.join(REPO, config))
    if 'teacher' in cfg.model:
        cfg.model.teacher = cfg.model.teacher_ckpt = None
        cfg.model.distiller.collective_losses = None
    cfg.model.data_preprocessor = cfg.data_preprocessor
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    with torch.no_grad():
        for _ in range(20):
            model.train()(images[0], mode='tensor')
    return model.eval()


def save(model, path):
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return path


@torch.no_grad()
def probabilities(network, images):
    return network(images[0], mode='tensor').softmax(1)


def top(probability, images, k):
    """Per cent of the images whose label is among the k likeliest."""
    hits = probability.topk(k).indices.eq(images[1][:, None]).any(1)
    return 100 * hits.float().mean().item()


def test_tests_every_member_and_draws(images, tmp_path):
    cohort = build(COHORT, images, 0)
    teacher = build(TEACHER, images, 1)
    run_tool(
        'test.py',
        COHORT,
        save(cohort, tmp_path / 'cohort.pth'),
        '--work-dir',
        tmp_path / 'run',
        '--out',
        tmp_path / 'out.json',
        '--out-item',
        'metrics',
        '--show-dir',
        tmp_path / 'drawn',
        '--interval',
        '90',
        '--cfg-options',
        f'model.teacher_ckpt={save(teacher, tmp_path / "teacher.pth")}',
    )

    members = {
        name: probabilities(student, images) for name, student in cohort.cohort.items()
    }
    members['ensemble'] = torch.stack(list(members.values())).mean(0)
    members['teacher'] = probabilities(teacher, images)
    members['best'] = members[
        max(STUDENTS, key=lambda name: top(members[name], images, 1))
    ]
    expected = {
        f'{name}/accuracy/top{k}': top(probability, images, k)
        for name, probability in members.items()
        for k in (1, 5)
    }
    assert len(set(expected.values())) > 6
    metrics = json.loads((tmp_path / 'out.json').read_text())
    assert metrics == pytest.approx(expected)
    assert len(list((tmp_path / 'drawn').glob('*.png'))) == 4


@pytest.mark.parametrize('amp', [False, True])
def test_tests_a_model_of_mmpretrain(images, tmp_path, amp):
    model = build(TEACHER, images, 0)
    run_tool(
        'test.py',
        TEACHER,
        save(model, tmp_path / 'teacher.pth'),
        '--work-dir',
        tmp_path / 'run',
        '--out',
        tmp_path / 'out.pkl',
        *(['--amp'] if amp else []),
    )
    with open(tmp_path / 'out.pkl', 'rb') as file:
        predictions = pickle.load(file)
    scores = torch.stack([sample['pred_score'] for sample in predictions])
    labels = torch.cat([sample['gt_label'] for sample in predictions])
    expected = probabilities(model, images)
    assert torch.equal(labels, images[1])
    error = (scores.float() - expected).abs().max()
    # bfloat16 has eight bits: with --amp it shows, and it is not much.
    assert (1e-4 < error < 0.1) if amp else (error < 1e-5)


def test_a_missing_file_is_one_line(tmp_path):
    checkpoint = str(tmp_path / 'nowhere.pth')
    process = call(warm.python(), osp.join('tools', 'test.py'), COHORT, checkpoint)
    assert process.returncode == 1
    assert process.stdout == ''
    assert process.stderr == (
        f'error: Invalid `checkpoint`: expected an existing file, got {checkpoint!r}.\n'
    )


def test_help_has_every_flag_and_an_example():
    printed = run_tool('test.py', '--help')
    for flag in (
        '--work-dir',
        '--out OUT',
        '--out-item {metrics,pred}',
        '--amp',
        '--show-dir',
        '--show',
        '--interval',
        '--wait-time',
        '--no-pin-memory',
        '--cfg-options',
        '--launcher {none,pytorch,slurm,mpi}',
        '--local_rank',
        '--local-rank',
    ):
        assert flag in printed
    assert f'python tools/test.py {COHORT}' in printed


@pytest.fixture
def main(monkeypatch):
    """Run the tool in this process."""
    monkeypatch.chdir(REPO)
    # So that it is taken back, whatever happens to it.
    monkeypatch.setenv('LOCAL_RANK', '')
    monkeypatch.delenv('LOCAL_RANK')

    def main(*arguments):
        test.main([*map(str, arguments)])

    return main


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--out-item', 'pred'], '--out-item needs --out'),
        (['--out', 'pred.json'], 'argument --out: expected a file that ends with'),
        (['--out', 'metrics.txt', '--out-item', 'metrics'], "got 'metrics.txt'"),
        (['--out', 'x.json', '--out-item', 'pred'], "got 'x.json'"),
        (['--interval', '0'], 'argument --interval: expected 1 or more, got 0'),
    ],
)
def test_an_unusable_argument_is_refused(main, capsys, arguments, message):
    with pytest.raises(SystemExit) as error:
        main(TEACHER, 'epoch_1.pth', *arguments)
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_predictions_of_a_cohort_are_refused(main, tmp_path):
    (tmp_path / 'none.pth').touch()
    with pytest.raises(SystemExit, match='Invalid `--out`: .* the predictions'):
        main(COHORT, tmp_path / 'none.pth', '--out', tmp_path / 'out.pkl')


@pytest.mark.parametrize(
    'out, message',
    [
        ('none.pth/out.pkl', 'expected a folder to write to, got .*none.pth'),
        ('folder.pkl', 'expected a file, got the folder'),
    ],
)
def test_where_nothing_can_be_written_is_refused_before_the_test(
    main, tmp_path, out, message
):
    (tmp_path / 'none.pth').touch()
    (tmp_path / 'folder.pkl').mkdir()
    with pytest.raises(SystemExit, match=f'Invalid `--out`: {message}'):
        main(TEACHER, tmp_path / 'none.pth', '--out', tmp_path / out)


def test_mixed_precision_needs_a_loop(main, tmp_path):
    (tmp_path / 'none.pth').touch()
    with pytest.raises(SystemExit, match='Invalid `test_cfg`: .* with --amp'):
        main(
            TEACHER,
            tmp_path / 'none.pth',
            *('--work-dir', tmp_path, '--amp', '--cfg-options', 'test_cfg=None'),
        )


def test_drawing_needs_its_hook(main, tmp_path):
    (tmp_path / 'none.pth').touch()
    with pytest.raises(SystemExit, match='Invalid `default_hooks.visualization`'):
        main(
            TEACHER,
            tmp_path / 'none.pth',
            '--show-dir',
            tmp_path,
            '--cfg-options',
            'default_hooks.visualization=None',
        )


@pytest.mark.parametrize(
    'arguments, drawn',
    [
        (['--show', '--wait-time', '0.5'], dict(show=True, wait_time=0.5)),
        (['--show-dir', 'drawn'], dict(out_dir='drawn')),
        (['--show-dir', 'drawn', '--interval', '3'], dict(out_dir='drawn', interval=3)),
    ],
)
def test_arguments_reach_the_config(tmp_path, arguments, drawn):
    checkpoint = str(tmp_path / 'none.pth')
    (tmp_path / 'none.pth').touch()
    hooks = dict(visualization=dict(type='VisualizationHook'))
    cfg = Config(dict(test_cfg={}, default_hooks=hooks, resume=True))
    test.merge_args(cfg, test.parse_args([TEACHER, checkpoint, '--amp', *arguments]))
    assert (cfg.load_from, cfg.resume, cfg.test_cfg) == (
        checkpoint,
        False,
        dict(fp16=True),
    )
    usual = dict(enable=True, show=False, wait_time=2, out_dir=None, interval=1)
    hook = dict(type='VisualizationHook', **{**usual, **drawn})
    assert cfg.default_hooks.visualization == hook
