# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmpretrain.datasets import CustomDataset

from mmdckd.datasets import DatasetPart, Digits, WrongLabels
from mmdckd.datasets.folds import (
    Folds,
    fold_table,
    image_identity,
    image_roots,
    image_source,
)


@st.composite
def images(draw):
    """Labels, distinct identities, and a number of folds that fits."""
    num_folds = draw(st.integers(2, 5))
    counts = draw(st.lists(st.integers(num_folds, 13), min_size=1, max_size=6))
    labels = np.repeat(np.arange(len(counts)), counts)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    identities = rng.choice(2**40, len(labels), replace=False).astype(np.uint64)
    return labels, identities, num_folds, draw(st.integers(0, 2**31))


@settings(deadline=None)
@given(images())
def test_every_fold_has_its_share_of_every_class(drawn):
    labels, identities, num_folds, seed = drawn
    folds = fold_table(labels, identities, num_folds, seed)
    for label in np.unique(labels):
        counts = np.bincount(folds[labels == label], minlength=num_folds)
        assert len(counts) == num_folds
        assert counts.min() >= 1 and counts.max() - counts.min() <= 1


@settings(deadline=None)
@given(images(), st.data())
def test_a_fold_depends_on_the_images_of_its_class_alone(drawn, data):
    labels, identities, num_folds, seed = drawn
    folds = fold_table(labels, identities, num_folds, seed)
    order = np.array(data.draw(st.permutations(range(len(labels)))))
    again = fold_table(labels[order], identities[order], num_folds, seed)
    np.testing.assert_array_equal(again, folds[order])
    # Without another class, and with copies.
    label = data.draw(st.sampled_from(sorted(set(labels))))
    one = np.flatnonzero(labels == label)
    one = np.concatenate([one, one[: data.draw(st.integers(0, len(one)))]])
    again = fold_table(labels[one], identities[one], num_folds, seed)
    np.testing.assert_array_equal(again, folds[one])


@settings(deadline=None)
@given(images(), st.data())
def test_copies_share_a_fold_whatever_their_labels(drawn, data):
    labels, identities, num_folds, seed = drawn
    copied = data.draw(st.lists(st.integers(0, len(labels) - 1), max_size=9))
    others = data.draw(
        st.lists(
            st.integers(-1, int(labels.max())),
            min_size=len(copied),
            max_size=len(copied),
        )
    )
    labels = np.concatenate([labels, np.array(others, int)])
    identities = np.concatenate([identities, identities[copied]])
    try:
        folds = fold_table(labels, identities, num_folds, seed)
    except ValueError:
        assume(False)
    by_identity = {}
    for identity, fold in zip(identities, folds):
        assert by_identity.setdefault(identity, fold) == fold
    # A copy without a label is in the fold of the one that has one.
    assert (folds >= 0).all()


def test_seeds_divide_differently():
    labels = np.zeros(64, int)
    tables = {tuple(fold_table(labels, range(64), 4, seed)) for seed in range(5)}
    assert len(tables) == 5


def test_folds_are_those_of_the_first_release():
    # A table that another release divides is of no use to a run that goes on.
    folds = fold_table([0] * 4 + [1] * 4 + [-1], range(9), 2, 0)
    assert folds.tolist() == [0, 0, 1, 1, 1, 0, 1, 0, -1]


@pytest.mark.parametrize('number', [1, 0, -1, 2.0, True, None, '4'])
def test_numbers_of_folds_that_cannot_be(number):
    with pytest.raises(ValueError, match='Invalid `num_folds`: expected a whole'):
        fold_table([0, 0], [1, 2], number, 0)


def test_identities_are_those_of_the_first_release():
    img = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert image_identity(dict(img=img)) == 11223258736299171171
    info = dict(img_path='/data/photos/cat/0.png')
    assert image_identity(info, ['/data/photos']) == 8392267091375964282


def test_the_path_of_an_image_is_that_below_its_own_folder(monkeypatch, tmp_path):
    info = dict(img_path='/data/photos/cat/0.png')
    identity = image_identity(info, ['/data/photos'])
    roots = ['/data', '/data/photos', '/data/photos/cat/0']
    assert image_identity(info, roots) == identity
    # The name of this one only begins like that of a folder above.
    assert image_identity(info, ['/data/photo']) == image_identity(info)
    monkeypatch.chdir(tmp_path)
    for key, value in (('data_root', 'a'), ('data_prefix', dict(img_path='a'))):
        roots = image_roots(SimpleNamespace(**{key: value}))
        assert roots == [str(tmp_path / 'a')]
        info = dict(img_path=osp.join('a', 'cat', '0.png'))
        assert image_identity(info, roots) == identity


def test_a_source_is_a_file_or_all_but_the_label(tmp_path):
    path, link = tmp_path / 'a.png', tmp_path / 'b.png'
    link.symlink_to(path)
    one, other = (image_source(dict(img_path=str(each))) for each in (path, link))
    assert one == other
    info = dict(img=np.arange(4).reshape(2, 2), font=3, gt_label=0, sample_idx=0)
    same = dict(info, gt_label=1, gt_score=[0, 1], sample_idx=9)
    assert image_source(info) == image_source(same)
    for change in (dict(font=4), dict(img=np.zeros((2, 2)))):
        assert image_source(info) != image_source({**info, **change})


def test_an_unknown_image_has_no_fold():
    folds = Folds([2, 4, 6, 8], [0, 0, 1, 1], 2, 0)
    assert [folds.fold_of(identity) for identity in (1, 5, 9)] == [None] * 3
    assert [folds.fold_of(identity) for identity in (2, 8)] == [
        folds.folds[0],
        folds.folds[3],
    ]


def test_a_class_with_too_few_images_is_named():
    with pytest.raises(ValueError, match='at most 2, .* class 1, got 3'):
        fold_table([0] * 3 + [1] * 3, [1, 2, 3, 4, 5, 5], 3, 0)


def test_a_class_that_is_in_one_fold_alone_is_named():
    # Its images are copies of images of class 0, all in one fold.
    identities = list(range(8))
    folds = fold_table([0] * 8, identities, 2, 0)
    copies = [i for i in identities if folds[i] == 0][:3]
    with pytest.raises(ValueError, match='class 1 in two .*all in fold 0'):
        fold_table([0] * 8 + [1] * 3, identities + copies, 2, 0)


def test_wrappers_keep_the_folds():
    digits = Digits()
    folds = Folds.of(digits, 4, 0)
    repeated = Folds.of(RepeatDataset(digits, 2), 4, 0)
    np.testing.assert_array_equal(repeated.folds, np.tile(folds.folds, 2))
    both = Folds.of(ConcatDataset([Digits(split='val'), digits]), 4, 0)
    assert both.digest != folds.digest
    assert len(both.folds) == 360 + 1077


def test_a_fold_is_found_by_the_pixels():
    digits = Digits()
    folds = Folds.of(digits, 4, 0)
    for index in (0, 5, 1076):
        identity = image_identity(digits.get_data_info(index))
        assert folds.fold_of(identity) == folds.folds[index]
    unknown = image_identity(Digits(split='test').get_data_info(0))
    assert folds.fold_of(unknown) is None


def test_a_folder_may_move(tmp_path):
    tables = []
    for root in (tmp_path / 'a', tmp_path / 'b' / 'c'):
        for name in ('cat', 'dog'):
            (root / name).mkdir(parents=True)
            for number in range(5):
                (root / name / f'{number}.png').touch()
        tables.append(Folds.of(CustomDataset(data_root=str(root)), 2, 3))
    assert tables[0].digest == tables[1].digest
    np.testing.assert_array_equal(tables[0].folds, tables[1].folds)


def test_digest_is_of_images_labels_and_division_in_any_order():
    folds = Folds(np.arange(8), np.array([0, 1] * 4), 2, 0)
    order = np.array([3, 1, 0, 2, 7, 6, 4, 5])
    same = Folds(np.arange(8)[order], np.array([0, 1] * 4)[order], 2, 0)
    assert same.digest == folds.digest
    others = [
        Folds(np.arange(1, 9), np.array([0, 1] * 4), 2, 0),
        Folds(np.arange(8), np.array([1, 0] * 4), 2, 0),
        Folds(np.arange(8), np.array([0, 1] * 4), 2, 1),
        Folds(np.arange(8), np.array([0, 1] * 4), 4, 0),
    ]
    assert len({folds.digest, *(each.digest for each in others)}) == 5


def test_a_file_is_what_was_saved(tmp_path):
    path = str(tmp_path / 'folds.npz')
    folds = Folds.of(Digits(), 4, 7)
    folds.save(path)
    loaded = Folds.load(path)
    assert loaded.digest == folds.digest
    np.testing.assert_array_equal(loaded.folds, folds.folds)
    arrays = dict(np.load(path))
    arrays['folds'] = arrays['folds'][::-1]
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match='Invalid file'):
        Folds.load(path)
    (tmp_path / 'folds.npz').write_bytes(b'PK')
    with pytest.raises(ValueError, match='Invalid file'):
        Folds.load(path)


def test_several_labels_have_no_folds():
    class Several(Digits):
        def load_data_list(self):
            return [dict(each, gt_label=[0, 1]) for each in super().load_data_list()]

    with pytest.raises(ValueError, match=r'expected one label .* got \[0, 1\]'):
        Folds.of(Several(), 4, 0)


@pytest.mark.parametrize(
    'wrap', [WrongLabels, DatasetPart], ids=lambda wrap: wrap.__name__
)
def test_a_dataset_made_of_another_has_its_folds_wherever_it_is(wrap, tmp_path):
    tables = []
    for folder in ('here', 'elsewhere'):
        for i in range(24):
            path = tmp_path / folder / 'ab'[i % 2] / f'{i}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        images = dict(type='CustomDataset', data_root=str(tmp_path / folder))
        options = dict(share=0) if wrap is WrongLabels else {}
        tables.append(Folds.of(wrap(images, **options), 3, 0))
        plain = CustomDataset(data_root=str(tmp_path / folder))
        assert Folds.of(plain, 3, 0).digest == tables[-1].digest
    assert tables[0].digest == tables[1].digest
