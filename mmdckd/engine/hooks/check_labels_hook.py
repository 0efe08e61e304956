from typing import Iterable, Iterator, Tuple

import numpy as np
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mmdckd.models.networks import num_classes_of
from mmdckd.registry import HOOKS


@HOOKS.register_module()
class CheckLabelsHook(Hook):
    """Looks at all labels before the first step.

    A label out of range is otherwise met in the middle of an epoch, and on a
    GPU as an error of the device that names nothing.

    The labels are those that the datasets of training and validation give by
    ``get_gt_labels`` (MMPretrain's do), also inside MMEngine's dataset
    wrappers. The number of classes is that of the heads of the cohort, or of
    the one network that is trained.

    Raises:
        ValueError: If a split is empty, or a label is not in
            ``0, ..., num_classes - 1``; the message names the split, the
            sample and the label.
    """
    priority = 'VERY_HIGH'

    def before_train(self, runner) -> None:
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        cohort = getattr(model, 'cohort', None)
        num_classes = (cohort.num_classes if cohort else num_classes_of(model))
        loops = dict(train=runner.train_loop, val=runner.val_loop)
        for split, loop in loops.items():
            if loop is None:
                continue
            dataset = loop.dataloader.dataset
            if len(dataset) == 0:
                raise ValueError(f'`{split}_dataloader.dataset` is empty: '
                                 'no sample was found.')
            if num_classes is not None:
                for part in _labelled_parts(dataset):
                    _check_range(part, split, num_classes)


def _labelled_parts(dataset) -> Iterator:
    """The datasets with labels inside MMEngine's wrappers."""
    if hasattr(dataset, 'get_gt_labels'):
        yield dataset
        return
    inner: Iterable = getattr(dataset, 'datasets', None) or [
        part
        for part in [getattr(dataset, 'dataset', None)] if part is not None
    ]
    for part in inner:
        yield from _labelled_parts(part)


def _check_range(dataset, split: str, num_classes: int) -> None:
    for index, label in _labels(dataset):
        if not 0 <= label < num_classes:
            path = dataset.get_data_info(index).get('img_path')
            raise ValueError(
                f'`{split}_dataloader.dataset` gives sample {index}'
                f'{f" ({path})" if path else ""} the label {label}, but the '
                f'`head.num_classes` of the model is {num_classes}: labels '
                f'are 0 to {num_classes - 1}.')


def _labels(dataset) -> Iterator[Tuple[int, int]]:
    """The smallest and largest label with the samples they are of."""
    labels = dataset.get_gt_labels()
    if labels.ndim == 1 and labels.dtype != object:
        for index in (int(np.argmin(labels)), int(np.argmax(labels))):
            yield index, int(labels[index])
