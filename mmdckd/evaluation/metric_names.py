# Copyright (c) mmdckd contributors. All rights reserved.
"""Find the names of an evaluator's metrics before the first validation."""

import copy
from typing import Any, Dict, Optional

import torch
from mmengine.evaluator import BaseMetric, DumpResults, Evaluator

from mmdckd.console.messages import warn

_NUM_SAMPLES = 4


def metrics_to_come(evaluator: Evaluator, num_classes: int) -> Optional[Dict[str, Any]]:
    """Evaluate made-up predictions to find the names of the metrics.

    Args:
        evaluator (Evaluator): The evaluator; it is not changed.
        num_classes (int): C.

    Returns:
        Dict[str, Any], optional: Metric to a meaningless value of the right
        type. None if a metric cannot evaluate made-up class predictions; the
        log names it.
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
            values.update(_evaluate(metric))
        except Exception as error:
            # A custom metric may need other inputs. Its names are known after
            # the first validation.
            warn(
                'Monitors are not checked before training, as the names of the '
                f'metrics are unknown until the first validation: '
                f'{type(metric).__name__} cannot evaluate made-up predictions of '
                f'{num_classes} classes ({error}).'
            )
            return None
    return values


def _evaluate(metric: Any) -> Dict[str, Any]:
    """Evaluate as ``BaseMetric`` does, but without the other processes.

    There the main process computes the values; if it failed, the others would
    wait for them forever.
    """
    if type(metric).evaluate is not BaseMetric.evaluate:
        return metric.evaluate(_NUM_SAMPLES)
    values = metric.compute_metrics(metric.results)
    prefix = f'{metric.prefix}/' if metric.prefix else ''
    return {f'{prefix}{name}': value for name, value in values.items()}
