# Copyright (c) mmdckd contributors. All rights reserved.
import pytest
import torch
from mmpretrain.models.heads import ConformerHead
from torch import nn

from mmdckd.models.distillers.recorders import LogitsRecorder


class Network(nn.Module):
    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, feats):
        return self.head(feats)


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, feats):
        return self.first(feats), self.second(feats)


def recorded(network, feats):
    recorder = LogitsRecorder(network, None, 'distiller.student_logits')
    with recorder:
        network(feats)
    return recorder.pop()


def test_several_classifiers_count_alike():
    head, feats = TwoHeads(), torch.randn(2, 4)
    expected = (head.first(feats) + head.second(feats)) / 2
    assert torch.allclose(recorded(Network(head), feats), expected)


def test_conformer_learns_from_what_it_predicts_from():
    head = ConformerHead(num_classes=3, in_channels=[4, 5])
    feats = ([torch.randn(2, 4), torch.randn(2, 5)],)
    scores = torch.stack([s.pred_score for s in head.predict(feats)])
    logits = recorded(Network(head), feats)
    assert torch.allclose(logits.softmax(1), scores)


def test_several_tasks_are_refused():

    class Tasks(nn.Module):
        def forward(self, feats):
            return dict(color=feats, shape=feats)

    with pytest.raises(TypeError, match='returned a dict'):
        recorded(Network(Tasks()), torch.randn(2, 4))
