# Copyright (c) mmdckd contributors. All rights reserved.
"""What metrics an evaluator returns, before anything was predicted."""

import copy
from typing import Any, Dict, Optional

import torch
from mmengine.evaluator import DumpResults, Evaluator

from mmdckd.console.messages import warn

_NUM_SAMPLES = 4


def metrics_to_come(evaluator: Evaluator, num_classes: int) -> Optional[Dict[str, Any]]:
    """Evaluate made-up predictions, to know the names of the metrics.

    Args:
        evaluator (Evaluator): The evaluator; it is left as it is.
        num_classes (int): C.

    Returns:
        Dict[str, Any]: The names and values, which mean nothing but what type
        they are of; None where a metric does not take predictions of classes.
        The log names it.
    """
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(_NUM_SAMPLES, num_classes, generator=generator)
    scores = scores.softmax(1)
    samples = []
    for index, score in enumerate(scores):
        label = torch.tensor([index % num_classes])
        wanted = torch.zeros(num_classes)
        wanted[label] = 1.0
        samples.append(
            dict(
                pred_score=score,
                pred_label=score.argmax(0, keepdim=True),
                gt_label=label,
                gt_score=wanted,
            )
        )
    values: Dict[str, Any] = {}
    for metric in evaluator.metrics:
        if isinstance(metric, DumpResults):
            continue
        metric = copy.deepcopy(metric)
        try:
            metric.process(None, copy.deepcopy(samples))
            values.update(metric.evaluate(_NUM_SAMPLES))
        except Exception as error:
            # A metric of one's own may want what is not made up here. What it
            # returns is known after the first validation.
            warn(
                'The names of the metrics are not known before the first '
                f'validation, and monitors are not checked: '
                f'{type(metric).__name__} cannot evaluate made-up '
                f'predictions of {num_classes} classes ({error}).'
            )
            return None
    return values
