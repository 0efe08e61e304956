# Copyright (c) mmdckd contributors. All rights reserved.
"""Checkpoints that are missing, damaged or cannot be written."""

import os
import random
import re
import resource
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from helpers.resumed import assert_equal
from helpers.runs import run_config, train
from mmdckd.io.latest import find_latest, point_to, pointed_to


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The work folder of a run of three epochs, each with a checkpoint."""
    cfg = run_config(tmp_path_factory.mktemp('trained'))
    cfg.train_cfg.max_epochs = 3
    cfg.default_hooks.checkpoint.interval = 1
    train(cfg)
    for epoch in (1, 2, 3):
        path = Path(cfg.work_dir, f'epoch_{epoch}.pth')
        os.utime(path, (epoch, epoch))
    return cfg


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of it, as if it had been trained there."""
    folder = Path(shutil.copytree(trained.work_dir, tmp_path / 'copy'))
    (folder / 'last_checkpoint').write_text(str(folder / 'epoch_3.pth'))
    return folder


def find(folder, caplog):
    """What is resumed from, and what is said of it."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        return find_latest(str(folder)), caplog.text
    finally:
        logger.removeHandler(caplog.handler)


def cut(path):
    """What a full disk or a crash of the machine leaves of a file."""
    path.write_bytes(path.read_bytes()[:-1000])


def flip(path):
    """A bit of a weight that a bad disk has changed."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_checkpoint_that_is_named_is_taken_without_a_word(folder, caplog):
    (folder / 'last_checkpoint').write_text(str(folder / 'epoch_2.pth'))
    found, said = find(folder, caplog)
    assert found == str(folder / 'epoch_2.pth')
    assert not said


@pytest.mark.parametrize(
    'damage', [cut, flip, Path.unlink, lambda path: path.write_bytes(b'')]
)
def test_a_damaged_checkpoint_is_not_resumed_from(folder, caplog, damage):
    last = folder / 'epoch_3.pth'
    damage(last)
    found, said = find(folder, caplog)
    assert found == str(folder / 'epoch_2.pth')
    assert re.search(rf'{last} (is damaged|does not exist|cannot be read)', said)
    assert f'Resuming from {found}' in said


@pytest.mark.parametrize('content', [None, b'', b'\xff\xfe\x00', b'epoch_9'])
def test_a_damaged_pointer_is_made_up_for(folder, caplog, content):
    pointer = folder / 'last_checkpoint'
    pointer.unlink()
    if content is not None:
        pointer.write_bytes(content)
    # Weights alone, and half a file, are nothing to resume from.
    torch.save(dict(state_dict={}), folder / 'weights.pth')
    (folder / 'epoch_4.pth.77.tmp').write_bytes(b'half')
    found, said = find(folder, caplog)
    assert found == str(folder / 'epoch_3.pth')
    assert f'Resuming from {found}' in said
    assert not list(folder.glob('*.tmp'))


def test_a_folder_that_was_moved_is_resumed_in(folder, caplog):
    moved = folder.rename(folder.with_name('moved'))
    found, said = find(moved, caplog)
    assert found == str(moved / 'epoch_3.pth')
    assert not said


def test_where_nothing_can_be_read_it_begins_anew(folder, caplog):
    for path in folder.glob('*.pth'):
        cut(path)
    found, said = find(folder, caplog)
    assert found is None
    assert 'None was found: training starts from the beginning' in said


@pytest.fixture
def two(tmp_path):
    """Two small checkpoints with the state of a training."""
    for iteration in (1, 2):
        torch.save(
            dict(
                meta=dict(iter=iteration),
                state_dict={
                    f'weight{i}': torch.full((3,), float(iteration)) for i in range(4)
                },
                optimizer=dict(state={}, param_groups=[]),
            ),
            tmp_path / f'iter_{iteration}.pth',
        )
    (tmp_path / 'last_checkpoint').write_text('iter_2.pth')
    return tmp_path


def test_any_bit_of_the_directory_of_a_file_may_be_flipped(two, caplog):
    """Whatever it leads to, resuming takes the checkpoint before, or the
    file where it is still what it was."""
    last = two / 'iter_2.pth'
    whole = last.read_bytes()
    expected = torch.load(last, weights_only=True)
    begin = whole.index(b'PK\x01\x02')  # the first entry of the directory
    draw = random.Random(0)
    damaged = 0
    for place in range(begin, len(whole)):
        content = bytearray(whole)
        content[place] ^= 1 << draw.randrange(8)
        last.write_bytes(content)
        found, said = find(two, caplog)
        caplog.clear()
        if found == str(last):
            assert not said
            assert_equal(torch.load(last, weights_only=True), expected)
        else:
            damaged += 1
            assert found == str(two / 'iter_1.pth')
            assert f'{last} is damaged (' in said
            assert f'Resuming from {found}' in said
    assert damaged > 100


@pytest.mark.parametrize('named', ['{}', 'https://host/epoch_9.pth', '..'])
def test_a_pointer_to_no_file_of_the_folder_is_not_followed(two, caplog, named):
    named = named.format(two)
    (two / 'last_checkpoint').write_text(named)
    found, said = find(two, caplog)
    assert found == str(two / 'iter_2.pth')
    assert f'names {named!r}, which is not a file in {two}' in said


def test_a_pointer_to_another_folder_names_a_file_of_this_one(two, tmp_path):
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    shutil.copy(two / 'iter_2.pth', elsewhere / 'iter_1.pth')
    (two / 'last_checkpoint').write_text(str(elsewhere / 'iter_1.pth'))
    assert find_latest(str(two)) == str(two / 'iter_1.pth')


def test_a_pointer_to_another_storage_hides_no_file_of_the_folder(two, caplog):
    (two / 'last_checkpoint').write_text('s3://bucket/run/iter_2.pth')
    found, said = find(two, caplog)
    assert found == str(two / 'iter_2.pth')
    assert "names 's3://bucket/run/iter_2.pth', which is not a file" in said


class SmallDisk(Hook):
    """Lets no file grow beyond half a checkpoint, once there is one."""

    def after_train_epoch(self, runner):
        path = Path(runner.work_dir, 'epoch_1.pth')
        if path.exists():
            _, limit = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size // 2, limit))


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    cfg = run_config(tmp_path)
    cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=1)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(SmallDisk())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    second = os.path.join(cfg.work_dir, 'epoch_2.pth')
    try:
        with pytest.raises(OSError) as error:
            runner.train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    message = str(error.value)
    assert repr(second) in message
    assert re.search(r'\d+\.\d MB that are free', message)
    assert not list(Path(cfg.work_dir).glob('*.tmp'))
    first = os.path.join(cfg.work_dir, 'epoch_1.pth')
    assert find_latest(cfg.work_dir) == first

    cfg.resume = True
    cfg.experiment_name += '_resumed'
    train(cfg)
    assert find_latest(cfg.work_dir) == second
    assert not os.path.exists(first)


def test_later_epochs_count_more_than_iterations(two, caplog):
    """With larger batches since the first, an epoch has fewer iterations."""
    for epoch, iteration in ((1, 900), (2, 400)):
        path = two / f'iter_{epoch}.pth'
        content = torch.load(path, weights_only=True)
        content['meta'] = dict(epoch=epoch, iter=iteration)
        torch.save(content, path)
    (two / 'last_checkpoint').unlink()
    assert find(two, caplog)[0] == str(two / 'iter_2.pth')


def test_a_state_that_led_to_no_finite_loss_is_not_resumed_from(two, caplog):
    """Its run would stop there again."""
    content = torch.load(two / 'iter_2.pth', weights_only=True)
    content['meta'] = dict(epoch=3, iter=900)
    torch.save(content, two / 'stopped_at_iter_900.pth')
    (two / 'last_checkpoint').unlink()
    assert find(two, caplog)[0] == str(two / 'iter_2.pth')


@pytest.mark.parametrize('path', ['epoch_1.pth', '/old/place/epoch_1.pth'])
def test_a_pointer_has_no_folder_that_could_move(tmp_path, path):
    assert pointed_to(str(tmp_path)) == ''
    point_to(str(tmp_path), path)
    assert pointed_to(str(tmp_path)) == 'epoch_1.pth'
    point_to(str(tmp_path), 's3://bucket/epoch_1.pth')
    assert pointed_to(str(tmp_path)) == 's3://bucket/epoch_1.pth'
