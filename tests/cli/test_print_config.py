# Copyright (c) mmdckd contributors. All rights reserved.
import pytest

from helpers import warm
from helpers.commands import COHORT, TEACHER, call
from mmdckd.cli import show


def printed_for(*arguments):
    process = call(warm.python(), 'tools/print_config.py', COHORT, *arguments)
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_table_needs_no_weights():
    printed = printed_for(
        '--cfg-options', 'model.num_students=2', 'model.teacher_ckpt=gone.pth'
    )
    members = [line.split()[0] for line in printed.splitlines() if line[0] not in ' -']
    assert members == ['member', 'teacher', 'student0', 'student1', 'all']
    assert '335.15 k' in printed and '11.42 k' in printed
    assert 'loss_dckd.collective: student1' in printed


def test_size_is_that_of_the_images():
    small, large = (
        printed_for('--size', side).splitlines()[-1].replace('|', '')
        for side in ('8', '16')
    )
    assert small.split()[1:3] == large.split()[1:3]
    assert float(large.split()[3]) > 3 * float(small.split()[3])


def test_what_is_no_cohort_is_told():
    process = call(warm.python(), 'tools/print_config.py', TEACHER)
    assert process.returncode == 1
    assert process.stderr.strip().splitlines()[-1] == (
        'error: Invalid `model.type`: expected mmdckd.CollectiveDistill, got '
        f'ImageClassifier in {TEACHER!r}.'
    )


def test_weights_to_start_from_are_left_out():
    pretrained = dict(type='Pretrained', checkpoint='gone.pth')
    model = dict(
        architecture=dict(init_cfg=[dict(type='Kaiming'), pretrained]),
        teacher=[dict(init_cfg=pretrained, pretrained=True), 'refused later'],
        students=dict(a=dict(init_cfg=dict(type='Kaiming'), new_head=True)),
        finished_peers=[dict(init_cfg=pretrained)],
        teacher_ckpt='gone.pth',
    )
    show.drop_weights(model)
    assert model == dict(
        architecture={},
        teacher=[{}, 'refused later'],
        students=dict(a=dict(init_cfg=dict(type='Kaiming'))),
        finished_peers=[{}],
        allow_random_teacher=True,
    )


@pytest.mark.parametrize('size', [['0'], ['8', '-8'], ['8', '8', '8']])
def test_a_size_that_is_none_is_refused(size, capsys):
    with pytest.raises(SystemExit):
        show.parse_args([COHORT, '--size', *size])
    assert 'argument --size: expected one or two numbers' in capsys.readouterr().err
