"""What `cuda_graphs=True` refuses; what it does needs a GPU, tests/gpu."""
import pytest
from test_recomputation import FEATURES, distiller
from tiny import distil


@pytest.mark.parametrize('kwargs, why', [
    (dict(memory='checkpoint'), 'memory='),
    (dict(teacher_trainable=True), 'teacher_trainable'),
    (dict(distiller=distiller(**FEATURES)), 'recording more than logits'),
])
def test_what_happens_inside_a_graph_is_refused(kwargs, why):
    with pytest.raises(ValueError, match=f'Invalid `cuda_graphs`.*{why}'):
        distil(cuda_graphs=True, **kwargs)
