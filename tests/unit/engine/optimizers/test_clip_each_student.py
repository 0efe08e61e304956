# Copyright (c) mmdckd contributors. All rights reserved.
import pytest
import torch
from mmengine.optim import build_optim_wrapper

from helpers.networks import digits, distil, network
from helpers.runs import run_config, train

EACH = 'mmdckd.ClipEachStudentConstructor'
NOTHING = dict(type='mmdckd.CollectiveDistiller')


def wrapper_of(model, **kwargs):
    cfg = dict(
        constructor=EACH,
        optimizer=dict(type='SGD', lr=1.0),
        clip_grad=dict(max_norm=0.5),
    )
    cfg.update(kwargs)
    return build_optim_wrapper(model, cfg)


def updates(scale, **kwargs):
    """What a step changes, the task loss of the last student being scaled."""
    model = distil(**kwargs.pop('model', {}))
    wrapper = wrapper_of(model, **kwargs)
    loss = list(model.cohort.students.values())[-1].head.loss_module
    loss.loss_weight *= scale
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    model.train_step(digits(), wrapper)
    return {n: p.detach() - before[n] for n, p in model.named_parameters()}


def norm(changes, owner):
    return (
        torch.cat([c.flatten() for n, c in changes.items() if f'.{owner}.' in n])
        .norm()
        .item()
    )


@pytest.mark.parametrize('wrapper', ['OptimWrapper', 'mmdckd.CPUAmpOptimWrapper'])
@pytest.mark.parametrize('scale', [1e4, 1e25])
def test_one_students_explosion_leaves_the_others_alone(wrapper, scale):
    kinds = dict(type=wrapper)
    if wrapper != 'OptimWrapper':
        kinds['dtype'] = 'bfloat16'
    calm, wild = updates(1.0, **kinds), updates(scale, **kinds)
    for name in calm:
        if '.student0.' in name:
            assert torch.equal(calm[name], wild[name])
    assert norm(calm, 'student0') == pytest.approx(0.5, rel=1e-3)
    if scale == 1e4:
        assert norm(wild, 'student1') == pytest.approx(0.5, rel=1e-3)


def test_a_student_is_clipped_as_if_alone():
    alone = updates(
        1.0,
        constructor='DefaultOptimWrapperConstructor',
        model=dict(num_students=1, teacher=None, distiller=NOTHING),
    )
    among = updates(1.0, model=dict(teacher=None, distiller=NOTHING))
    assert norm(alone, 'student0') == pytest.approx(0.5, rel=1e-3)
    for name, change in alone.items():
        assert torch.equal(change, among[name])


def test_the_largest_gradient_may_be_clipped():
    model = distil()
    wrapper = wrapper_of(model, clip_grad=dict(max_norm=0.5, norm_type='inf'))
    parameters = list(model.parameters())
    for number, parameter in enumerate(parameters):
        parameter.grad = torch.full_like(parameter, float(number))
    norm = wrapper.clip_func(parameters, **wrapper.clip_grad_kwargs)
    assert norm == len(parameters) - 1


def test_a_run_logs_the_norm_of_each(tmp_path):
    runner = train(
        run_config(
            tmp_path,
            optim_wrapper=dict(
                constructor=EACH,
                optimizer=dict(type='SGD', lr=0.05),
                clip_grad=dict(max_norm=2.0),
            ),
        )
    )
    scalars = runner.message_hub.log_scalars
    each = [scalars[f'train/grad_norm.student{i}'].current() for i in range(2)]
    whole = scalars['train/grad_norm'].current()
    assert whole == pytest.approx(sum(x * x for x in each) ** 0.5, rel=1e-5)


def test_owners():
    model = distil(
        teacher_trainable=True,
        teacher=network(),
        distiller=dict(
            type='mmdckd.CollectiveDistiller',
            collective_losses=dict(
                loss=dict(
                    type='mmdckd.GatedEnsembleLoss', num_students=2, num_classes=10
                )
            ),
        ),
    )
    wrapper = wrapper_of(model)
    owners = set(wrapper.clip_func._owners.values())
    assert owners == {'student0', 'student1', 'teachers', 'distiller'}


@pytest.mark.parametrize('clip', [None, dict(type='value', clip_value=1.0)])
def test_without_a_norm_to_clip(clip):
    with pytest.raises(ValueError, match='Invalid `optim_wrapper.clip_grad`'):
        wrapper_of(distil(), clip_grad=clip)
