# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Callable, Iterator, Set

from mmengine.hooks import Hook
from mmengine.logging import print_log

from mmdckd.console.messages import warn
from mmdckd.datasets import Unlabeled
from mmdckd.engine.unwrapping import unwrapped
from mmdckd.io.checkpoints import class_names_in
from mmdckd.models.networks import num_classes_of
from mmdckd.registry import HOOKS

from ..checks.checkpoint import source_of
from ..checks.class_names import (
    Names,
    check_class_names,
    names_of_dataset,
    names_of_members,
    names_of_test_split,
)
from ..inner_datasets import inner_datasets


@HOOKS.register_module()
class CheckLabelsHook(Hook):
    """Checks all labels and class names before the first step.

    Otherwise a label out of range shows up in the middle of an epoch, on a GPU
    as a device error that names nothing, and an empty split or a class without
    images goes unnoticed.

    Class names (``metainfo['classes']``) must be the same, in the same order,
    in the training, validation and test splits, the checkpoints of teachers and
    students, and the checkpoint that a run resumes, starts from or tests: a
    folder that only one split has shifts all labels after it. Unknown names are
    not compared; the log says whose they are.

    The labels are those that datasets return from ``get_cat_ids`` (MMPretrain's
    do), also inside MMEngine's dataset wrappers. The number of classes is that
    of the heads of the cohort, or of the single network.

    Args:
        allow_missing (bool): Whether a split may have no image of a class.
            Defaults to False: only if the class has an (empty) folder.
        allow_other_names (bool): Whether class names may differ, because they
            are different names for the same classes in the same order. Defaults
            to False.

    Raises:
        ValueError: If class names differ, a split is empty, a label is not in
            ``0, ..., num_classes - 1``, or the training or validation split has
            no image of a class. The message names the split, the sample and the
            label, or the classes.
    """

    priority = 'VERY_HIGH'

    def __init__(
        self, allow_missing: bool = False, allow_other_names: bool = False
    ) -> None:
        self.allow_missing = allow_missing
        self.allow_other_names = allow_other_names
        self._loaded: Names = {}

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Read the class names from a checkpoint."""
        source, path = source_of(runner)
        self._loaded = {f'{source} ({path!r})': class_names_in(checkpoint)}

    def before_train(self, runner) -> None:
        """Check the training and validation splits."""
        datasets = {
            split: loop.dataloader.dataset
            for split, loop in dict(
                train=runner.train_loop, val=runner.val_loop
            ).items()
            if loop is not None
        }
        self._check_names(
            runner,
            {
                f'`{split}_dataloader.dataset`': names_of_dataset(dataset)
                for split, dataset in datasets.items()
            },
            lambda: names_of_test_split(runner.cfg),
        )
        for split, dataset in datasets.items():
            self._check(runner.model, split, dataset, self.allow_missing)

    def check_settings(self, runner) -> None:
        """Check a run that will not be trained, as a rehearsal does."""
        self.before_train(runner)

    def before_test(self, runner) -> None:
        """Check the test split, which may lack some classes."""
        dataset = runner.test_loop.dataloader.dataset
        self._check_names(
            runner, {'`test_dataloader.dataset`': names_of_dataset(dataset)}
        )
        self._check(runner.model, 'test', dataset, True)

    def _check_names(
        self, runner, names: Names, more: Callable[[], Names] = dict
    ) -> None:
        if self.allow_other_names:
            return
        model = runner.model
        unknown = check_class_names(
            {**names, **more(), **self._loaded, **names_of_members(unwrapped(model))}
        )
        if unknown:
            print_log(
                f'Class names are unknown and were not compared: {", ".join(unknown)}.',
                logger='current',
            )

    @staticmethod
    def _check(model, split: str, dataset, allow_missing: bool) -> None:
        key = f'`{split}_dataloader.dataset`'
        if len(dataset) == 0:
            raise ValueError(
                f'Invalid {key}: expected images, got none. Check `data_root`, '
                '`data_prefix` and `ann_file`.'
            )
        model = unwrapped(model)
        num_classes = num_classes_of(model)
        if num_classes is None:
            return
        classes, found = set(range(num_classes)), set()
        needed = split != 'train' or getattr(model, 'calculate_student_loss', True)
        for part in _labeled_parts(dataset):
            for index in range(len(part)):
                labels = _labels_of(part, index, key, needed)
                if not labels <= classes:
                    raise ValueError(
                        _out_of_range(part, index, labels - classes, key, num_classes)
                    )
                found |= labels
        missing = classes - found
        if not found or not missing or allow_missing:
            return
        names = names_of_dataset(dataset)
        listed = [
            f'{label} ({names[label]})' if names and label < len(names) else str(label)
            for label in sorted(missing)
        ]
        lacking = (
            f'{len(missing)} of the {num_classes} classes of `head.num_classes`: '
            f'{", ".join(listed[:8])}{", ..." if listed[8:] else ""}.'
        )
        if missing <= _with_folder(dataset):
            warn(f'{key} has no images of {lacking}')
            return
        raise ValueError(
            f'Invalid {key}: expected images of every class, got none of {lacking} '
            'Use a split with all of them, or set `head.num_classes` to the number '
            'of classes there are; if it is intended, set '
            '`default_hooks.check_labels.allow_missing=True`.'
        )


def _with_folder(dataset) -> Set[int]:
    """Return the labels of the classes that have a folder, empty or not."""
    return {
        label
        for part in _labeled_parts(dataset)
        for label in (getattr(part, 'folder_to_idx', None) or {}).values()
    }


def _labeled_parts(dataset) -> Iterator:
    """Yield the labeled datasets inside MMEngine's wrappers."""
    if isinstance(dataset, Unlabeled):
        return
    if hasattr(dataset, 'get_gt_labels'):
        yield dataset
        return
    for part in inner_datasets(dataset):
        yield from _labeled_parts(part)


def _labels_of(dataset, index: int, key: str, needed: bool) -> Set[int]:
    """Return the labels of a sample; none if it has and needs none."""
    try:
        return {int(label) for label in dataset.get_cat_ids(index)}
    except KeyError as error:
        if not needed:
            return set()
        hint = ''
        if key.startswith('`train'):
            hint = ' Did you mean mmdckd.Unlabeled or `calculate_student_loss=False`?'
        raise ValueError(
            f'Invalid {key}: expected images with labels, got none for sample '
            f'{index}{_path_of(dataset, index)}.{hint}'
        ) from error
    except TypeError as error:
        raise ValueError(
            f'Invalid {key}: expected `get_cat_ids` to list the labels of an image, '
            f'got an error for sample {index}{_path_of(dataset, index)}: {error}. That '
            "of MMPretrain's BaseDataset expects one label. For several labels, define "
            'it as in its MultiLabelDataset.'
        ) from error


def _path_of(dataset, index: int) -> str:
    path = dataset.get_data_info(index).get('img_path')
    return f' ({path})' if path else ''


def _out_of_range(
    dataset, index: int, labels: Set[int], key: str, num_classes: int
) -> str:
    return (
        f'Invalid {key}: expected labels from 0 to {num_classes - 1}, as '
        f'`head.num_classes` is {num_classes}, got {min(labels)} for sample '
        f'{index}{_path_of(dataset, index)}.'
    )
