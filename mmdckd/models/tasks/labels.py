# Copyright (c) mmdckd contributors. All rights reserved.
"""Which samples have labels."""

from typing import List, Optional, Sequence

from mmengine.structures import BaseDataElement

#: What a sample keeps its labels in.
FIELDS = ('gt_label', 'gt_score')


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


def drop_partial_labels(module, args: tuple, kwargs: dict) -> None:
    """Treat a batch as one without labels if some of its samples have none.

    A pre-hook of the data preprocessor. MMPretrain's looks at the first
    sample and takes the others to be like it.
    """
    data = args[0] if args else kwargs.get('data')
    samples = data.get('data_samples') if isinstance(data, dict) else None
    if not isinstance(samples, (list, tuple)):
        return
    if 0 < len(without_labels(samples)) < len(samples):
        for sample in samples:
            for key in FIELDS:
                if key in sample:
                    delattr(sample, key)
