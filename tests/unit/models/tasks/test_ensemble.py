# Copyright (c) mmdckd contributors. All rights reserved.
import pytest
import torch
from mmpretrain.models.heads import LinearClsHead, MultiLabelClsHead
from mmpretrain.structures import DataSample

from mmdckd.models.tasks import Classification, MultiLabel


def predictions(*scores):
    return [
        [DataSample().set_pred_score(torch.tensor(each)) for each in row]
        for row in scores
    ]


MEMBERS = predictions(
    [[0.1, 0.7, 0.2], [0.6, 0.3, 0.1]], [[0.5, 0.3, 0.2], [0.9, 0.7, 0.6]]
)


def labels(task, head):
    return [sample.pred_label.tolist() for sample in task.ensemble(MEMBERS, head)]


def test_scores_are_means_and_the_largest_is_the_label():
    ensemble = Classification.ensemble(MEMBERS)
    assert torch.allclose(ensemble[0].pred_score, torch.tensor([0.3, 0.5, 0.2]))
    assert torch.allclose(ensemble[1].pred_score, torch.tensor([0.75, 0.5, 0.35]))
    head = LinearClsHead(num_classes=3, in_channels=4)
    for each in (None, head):
        assert labels(Classification, each) == [[1], [0]]


@pytest.mark.parametrize(
    'rule, expected',
    [
        (dict(thr=0.4), [[1], [0, 1]]),
        (dict(thr=0.6), [[], [0]]),
        (dict(topk=2), [[1, 0], [0, 1]]),
        (dict(), [[1], [0, 1]]),
    ],
)
def test_labels_of_several_follow_the_head(rule, expected):
    head = MultiLabelClsHead(**rule)
    assert labels(MultiLabel, head) == expected
    # The head says the same of one member with these scores.
    scores = torch.stack([s.pred_score for s in MultiLabel.ensemble(MEMBERS, head)])
    alone = head._get_predictions(torch.logit(scores) + 1e-6, None)
    assert [s.pred_label.tolist() for s in alone] == expected
