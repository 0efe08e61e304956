# Copyright (c) mmdckd contributors. All rights reserved.
"""Which samples have labels, and which have none on purpose."""

from typing import Any, List, Optional, Sequence

import torch
from mmengine.structures import BaseDataElement

#: What a sample keeps its labels in.
FIELDS = ('gt_label', 'gt_score')
#: The meta information of a sample by which it has no labels on purpose.
UNLABELED = 'unlabeled'
#: The class index of an image without labels.
NO_LABEL = -1


def has_labels(samples: Optional[Sequence[BaseDataElement]]) -> bool:
    """Whether every sample of a batch has labels.

    Args:
        samples (Sequence[DataSample], optional): B data samples.
    """
    return bool(samples) and not without_labels(samples or ())


def without_labels(samples: Sequence[BaseDataElement]) -> List[int]:
    """The places of the samples that have no labels.

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
    """The error of a batch without the labels that a term needs.

    Args:
        term (str): What needs them, by its config key.
        samples (Sequence[DataSample], optional): The B data samples.
        remedy (str): What to do about it.
    """
    samples = samples or []
    without = without_labels(samples)
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
    """Remove the labels of a sample, and note that this is meant.

    Args:
        sample (DataSample): The sample.
    """
    for key in FIELDS:
        if key in sample:
            delattr(sample, key)
    sample.set_metainfo({UNLABELED: True})


def is_unlabeled(sample: BaseDataElement) -> bool:
    """Whether a sample has no labels on purpose.

    Args:
        sample (DataSample): The sample.
    """
    return bool(sample.get(UNLABELED, False))


def labeled_rows(samples: Optional[Sequence[BaseDataElement]]) -> Optional[List[int]]:
    """The places of the samples with labels, where the others have none on
    purpose.

    Args:
        samples (Sequence[DataSample], optional): B data samples.

    Returns:
        List[int], optional: Places, ascending; none of a batch without labels.
        None where there are no samples, or one lacks labels and does not say
        that this is meant.
    """
    if not samples:
        return None
    without = set(without_labels(samples))
    if not all(is_unlabeled(samples[i]) for i in without):
        return None
    return [i for i in range(len(samples)) if i not in without]


def drop_partial_labels(module, args: tuple, kwargs: dict) -> None:
    """Treat a batch as one without labels if some of its samples lack them.

    A pre-hook of the data preprocessor. MMPretrain's looks at the first
    sample and takes the others to be like it. So samples that are without
    labels on purpose get empty ones on their way through it, which
    :func:`remove_empty_labels` removes.

    Raises:
        ValueError: If images with and without labels would be mixed into one.
    """
    samples = _samples_of(args[0] if args else kwargs.get('data'))
    without = without_labels(samples)
    if not 0 < len(without) < len(samples):
        return
    if not all(is_unlabeled(samples[i]) for i in without):
        for sample in samples:
            for key in FIELDS:
                if key in sample:
                    delattr(sample, key)
        return
    if getattr(module, 'batch_augments', None):
        raise ValueError(
            'Invalid `train_cfg.augments`: expected none with images without '
            'labels, which mixup and CutMix would mix with labeled ones, got '
            f'{module.batch_augments}.'
        )
    labeled = next(sample for sample in samples if not is_unlabeled(sample))
    for i in without:
        if 'gt_score' in labeled:
            samples[i].set_gt_score(torch.zeros_like(labeled.gt_score))
        if 'gt_label' in labeled:
            samples[i].set_gt_label(labeled.gt_label.new_empty(0))


def remove_empty_labels(module, args: tuple, kwargs: dict, output: Any) -> None:
    """Remove what :func:`drop_partial_labels` has added: a hook of the data
    preprocessor."""
    for sample in _samples_of(output):
        if is_unlabeled(sample):
            remove_labels(sample)


def _samples_of(data: Any) -> Sequence[BaseDataElement]:
    samples = data.get('data_samples') if isinstance(data, dict) else None
    return samples if isinstance(samples, (list, tuple)) else ()
