# Copyright (c) mmdckd contributors. All rights reserved.
"""Which samples have labels, and which are unlabeled on purpose."""

from typing import Any, List, Optional, Sequence

import torch
from mmengine.structures import BaseDataElement

#: The fields of a sample that hold labels.
FIELDS = ('gt_label', 'gt_score')
#: The meta information that marks a sample as unlabeled on purpose.
UNLABELED = 'unlabeled'
#: The meta information that marks a sample that had a label in a batch in which others
#: have none by mistake.
_HAD_LABEL = 'had_label'
#: The class index of an image without labels.
NO_LABEL = -1


def has_labels(samples: Optional[Sequence[BaseDataElement]]) -> bool:
    """Tell whether every sample of a batch has labels.

    Args:
        samples (Sequence[DataSample], optional): B data samples.
    """
    return bool(samples) and not without_labels(samples or ())


def without_labels(samples: Sequence[BaseDataElement]) -> List[int]:
    """Return the indices of the samples without labels.

    Args:
        samples (Sequence[DataSample]): B data samples.
    """
    return [
        i
        for i, sample in enumerate(samples)
        if not any(key in sample for key in FIELDS)
    ]


def missing_labels(
    term: str, samples: Optional[Sequence[BaseDataElement]], remedy: str
) -> ValueError:
    """Make the error of a batch that lacks the labels a term needs.

    Args:
        term (str): What needs labels, by its config key.
        samples (Sequence[DataSample], optional): The B data samples.
        remedy (str): What to do about it.
    """
    samples = samples or []
    without = [
        i for i in without_labels(samples) if not samples[i].get(_HAD_LABEL, False)
    ]
    without = [i for i in without if not is_unlabeled(samples[i])] or without
    which = 'there are no data samples'
    if without:
        first = samples[without[0]].get('img_path')
        which = f'{len(without)} of {len(samples)} samples have none' + (
            f', the first is {first}' if first else ''
        )
    return ValueError(
        f'Invalid batch: {term} needs labels (`gt_label` or '
        f'`gt_score` of each sample), but {which}. Give all '
        f'images labels, or {remedy}.'
    )


def remove_labels(sample: BaseDataElement) -> None:
    """Remove the labels of a sample, and mark it as unlabeled.

    Args:
        sample (DataSample): The sample.
    """
    _delete_labels(sample)
    sample.set_metainfo({UNLABELED: True})


def _delete_labels(sample: BaseDataElement) -> None:
    for key in FIELDS:
        if key in sample:
            delattr(sample, key)


def is_unlabeled(sample: BaseDataElement) -> bool:
    """Tell whether a sample is marked as unlabeled.

    Args:
        sample (DataSample): The sample.
    """
    return bool(sample.get(UNLABELED, False))


def labeled_rows(samples: Optional[Sequence[BaseDataElement]]) -> Optional[List[int]]:
    """Return the indices of the labeled samples, if all others are marked.

    Args:
        samples (Sequence[DataSample], optional): B data samples.

    Returns:
        List[int], optional: Sorted indices; an empty list for a batch of
        unlabeled images. None if there are no samples, or one lacks labels
        without being marked as unlabeled.
    """
    if not samples:
        return None
    without = set(without_labels(samples))
    if not all(is_unlabeled(samples[i]) for i in without):
        return None
    return [i for i in range(len(samples)) if i not in without]


def drop_partial_labels(module, args: tuple, kwargs: dict) -> None:
    """Make MMPretrain's data preprocessor accept partly labeled batches.

    A forward pre-hook. The preprocessor assumes that all samples have the
    fields of the first one. So samples that are unlabeled on purpose get empty
    labels on their way through it, which :func:`remove_empty_labels` removes.

    Raises:
        ValueError: If batch augments would mix labeled and unlabeled images.
    """
    samples = _samples_of(args[0] if args else kwargs.get('data'))
    without = without_labels(samples)
    if not 0 < len(without) < len(samples):
        return
    if not all(is_unlabeled(samples[i]) for i in without):
        for i, sample in enumerate(samples):
            if i not in without:
                _delete_labels(sample)
                sample.set_metainfo({_HAD_LABEL: True})
        return
    if getattr(module, 'batch_augments', None):
        raise ValueError(
            'Invalid `train_cfg.augments`: expected None with unlabeled images, '
            'which mixup and CutMix would mix with labeled ones, got '
            f'{module.batch_augments}.'
        )
    labeled = next(sample for sample in samples if not is_unlabeled(sample))
    for i in without:
        if 'gt_score' in labeled:
            samples[i].set_gt_score(torch.zeros_like(labeled.gt_score))
        if 'gt_label' in labeled:
            samples[i].set_gt_label(labeled.gt_label.new_empty(0))


def remove_empty_labels(module, args: tuple, kwargs: dict, output: Any) -> None:
    """Remove the labels that :func:`drop_partial_labels` added; a forward
    hook."""
    for sample in _samples_of(output):
        if is_unlabeled(sample):
            remove_labels(sample)


def _samples_of(data: Any) -> Sequence[BaseDataElement]:
    samples = data.get('data_samples') if isinstance(data, dict) else None
    return samples if isinstance(samples, (list, tuple)) else ()
