"""What `cuda_graphs=True` refuses; what it does needs a GPU, tests/gpu."""
from contextlib import nullcontext

import pytest
import torch
from test_recomputation import FEATURES, distiller
from tiny import distil


def test_a_compiled_step_has_no_graphs_of_ours(batch):
    model = distil()
    assert not isinstance(model._replaying(batch['inputs']), nullcontext)
    model.train_step = torch.compile(model.train_step, backend='eager')
    assert isinstance(model._replaying(batch['inputs']), nullcontext)


@pytest.mark.parametrize('kwargs, why', [
    (dict(memory='checkpoint'), 'memory='),
    (dict(teacher_trainable=True), 'teacher_trainable'),
    (dict(distiller=distiller(**FEATURES)), 'recording more than logits'),
])
def test_what_happens_inside_a_graph_is_refused(kwargs, why):
    with pytest.raises(ValueError, match=f'Invalid `cuda_graphs`.*{why}'):
        distil(cuda_graphs=True, **kwargs)


def test_graphs_are_the_default_where_they_can_be():
    assert distil()._graphs is not None
    assert distil(cuda_graphs=False)._graphs is None
    assert distil(distiller=distiller(**FEATURES))._graphs is None
    assert distil(memory='checkpoint')._graphs is None
