# Copyright (c) mmdckd contributors. All rights reserved.
import torch
from torch import nn

from mmdckd.sweep.cost import StepCostHook


def step(net, inputs):
    net(inputs).sum().backward()


def test_counts_a_step_written_out():
    # A linear layer from 7 to 5 for 3 rows: 2 * 3 * 7 * 5 operations
    # forward, as many for the weight's gradient, as many for the input's.
    net, inputs = nn.Linear(7, 5), torch.randn(3, 7, requires_grad=True)
    hook = StepCostHook()
    hook.before_train_iter(None, 0)
    step(net, inputs)
    hook.after_train_iter(None, 0)
    assert hook.flops == 3 * 2 * 3 * 7 * 5


def test_counts_a_convolution_and_a_teacher_without_gradient():
    # 4 x 4 places, 3 x 3 x 2 weights for each of 6 outputs, 5 images. The
    # input needs no gradient; the teacher has a forward pass only.
    student = nn.Conv2d(2, 6, 3, padding=1)
    teacher = nn.Conv2d(2, 6, 3, padding=1)
    inputs = torch.randn(5, 2, 4, 4)
    forward = 2 * 5 * 4 * 4 * 3 * 3 * 2 * 6
    hook = StepCostHook()
    hook.before_train_iter(None, 0)
    with torch.no_grad():
        teacher(inputs)
    step(student, inputs)
    hook.after_train_iter(None, 0)
    assert hook.flops == (1 + 2) * forward


def test_counts_the_first_step_only_and_changes_nothing():
    torch.manual_seed(0)
    counted, inputs = nn.Linear(7, 5), torch.randn(3, 7)
    plain = nn.Linear(7, 5)
    plain.load_state_dict(counted.state_dict())
    hook = StepCostHook()
    hook.before_train_iter(None, 0)
    step(counted, inputs)
    hook.after_train_iter(None, 0)
    first = hook.flops
    step(plain, inputs)
    assert torch.equal(counted.weight.grad, plain.weight.grad)
    hook.before_train_iter(None, 1)
    step(counted, torch.randn(99, 7))
    hook.after_train_iter(None, 1)
    assert hook.flops == first
