# Copyright (c) mmdckd contributors. All rights reserved.
"""A run that starts from weights of others, and always asks to resume, as the
script of a job does."""

import pytest
import torch

from helpers.commands import run_tool

# Without an optimizer's step, weights stay what they were.
OPTIONS = (
    'train_dataloader.dataset.indices=128',
    'train_cfg.max_epochs=1',
    'optim_wrapper.optimizer.lr=0.0',
)
FINISHED = ('model.teacher_ckpt=None', 'model.allow_random_teacher=True')


def first_weights(folder):
    path = max(folder.glob('epoch_*.pth'))
    state = torch.load(path, weights_only=True)['state_dict']
    keys = [key for key in state if key.endswith('backbone.conv1.weight')]
    return path, state[keys[0]]


@pytest.mark.slow
@pytest.mark.parametrize(
    'config, options',
    [
        ('configs/teachers/resnet34_digits.py', ()),
        ('configs/finished/finished_r18_digits.py', FINISHED),
    ],
)
def test_without_a_checkpoint_it_starts_from_the_given_weights(
    config, options, tmp_path
):
    def weights(folder, *others):
        chosen = ['--cfg-options', *OPTIONS, *options, *others]
        run_tool('train.py', config, '--work-dir', folder, '--resume', *chosen)
        return first_weights(folder)

    start, before = weights(tmp_path / 'first', 'randomness.seed=1')
    _, after = weights(tmp_path / 'second', f'load_from={start}')
    assert torch.equal(before, after)
    if options:
        # They are for the last phase.
        _, peer = first_weights(tmp_path / 'second' / 'phase0')
        assert not torch.equal(before, peer)
