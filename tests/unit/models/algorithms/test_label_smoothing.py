# Copyright (c) mmdckd contributors. All rights reserved.
"""MMPretrain's label smoothing in the head of the students, with every
method."""

import pytest
import torch
from mmengine.config import Config

from helpers.networks import digits, distil, network
from helpers.paths import CONFIGS

#: With `held_out` a student sees a part of the batch.
METHODS = sorted(
    path
    for path in (CONFIGS / '_base_' / 'methods').glob('*.py')
    if path.stem != 'held_out'
)
EPSILON = 0.1


def losses_of(method, loss):
    student = network()
    student['head']['loss'] = loss
    content = Config.fromfile(method)
    cfg = content.model.to_dict()
    cfg.pop('teacher_ckpt', None)
    if content.get('phases'):  # The last one learns from those before.
        cfg['finished_peers'] = [network()]
    model = distil(architecture=student, **cfg)
    data = model.data_preprocessor(digits(), True)
    heads = [each.head for each in model.cohort.students.values()]
    logits = []
    for head in heads:
        head.register_forward_hook(lambda *args: logits.append(args[-1]))
    losses = model(**data, mode='loss')
    labels = torch.cat([each.gt_label for each in data['data_samples']])
    return losses, logits, labels


@pytest.mark.parametrize('method', METHODS, ids=lambda path: path.stem)
def test_smoothed_labels_are_the_task_alone(method):
    smooth, logits, labels = losses_of(
        method, dict(type='LabelSmoothLoss', label_smooth_val=EPSILON)
    )
    plain, _, _ = losses_of(method, dict(type='CrossEntropyLoss'))
    assert smooth.keys() == plain.keys()
    for index, z in enumerate(logits):
        log_probs = z.log_softmax(-1)
        of_label = log_probs[torch.arange(len(labels)), labels]
        expected = -((1 - EPSILON) * of_label + EPSILON * log_probs.mean(-1))
        torch.testing.assert_close(
            smooth.pop(f'student.student{index}.loss'), expected.mean()
        )
        assert plain.pop(f'student.student{index}.loss') != expected.mean()
    for name, value in smooth.items():
        assert torch.equal(value, plain[name]), name
