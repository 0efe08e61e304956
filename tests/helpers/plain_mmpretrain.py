# Copyright (c) mmdckd contributors. All rights reserved.
"""Run as a script: what a process can do with exported students that has
MMPretrain and can import neither mmdckd nor mmrazor.

The argument is a JSON file with a list of jobs, each a dict with ``config``
and ``checkpoint``, paths of an exported student; ``inputs``, a file with a
batch of packed images; ``images``, paths of image files; and, to test it as
MMPretrain does, ``data_root``. The results are saved as ``out``.
"""

import json
import sys
from importlib.abc import MetaPathFinder


class Blocked(MetaPathFinder):
    """Makes packages impossible to import."""

    packages = ('mmdckd', 'mmrazor')

    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in self.packages:
            raise ImportError(f'{name} is blocked')


def block():
    sys.meta_path.insert(0, Blocked())
    for name in Blocked.packages:
        try:
            __import__(name)
        except ImportError as error:
            assert str(error) == f'{name} is blocked'
        else:
            raise AssertionError(f'{name} can be imported')


def load_torchvision():
    """Where its compiled operators do not load, which is no fault of what is
    tested here, MMPretrain needs their declarations to be imported."""
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        assert 'torchvision::nms' in str(error)
        library = torch.library.Library('torchvision', 'DEF')
        for name in ('nms', 'qnms'):
            library.define(f'{name}(Tensor a, Tensor b, float c) -> Tensor')
        return library


def scores(samples):
    import torch

    return torch.stack([sample.pred_score for sample in samples])


def do(job):
    import torch
    from mmengine.config import Config
    from mmengine.runner import Runner
    from mmpretrain import ImageClassificationInferencer, get_model

    results = dict(
        loaded=torch.load(job['checkpoint'], weights_only=True),
        random_start=get_model(job['config']) is not None,
    )
    model = get_model(job['config'], pretrained=job['checkpoint'])
    results['classes'] = list(model._dataset_meta.get('classes', []))
    with torch.no_grad():
        results['get_model'] = scores(
            model.test_step(dict(inputs=torch.load(job['inputs'])))
        )
    # The config names the checkpoint that lies beside it.
    inferencer = ImageClassificationInferencer(job['config'])
    results['inferencer'] = scores(inferencer(job['images'], return_datasamples=True))
    results['pred_class'] = [
        result.get('pred_class') for result in inferencer(job['images'])
    ]
    if 'data_root' in job:
        cfg = Config.fromfile(job['config'])
        cfg.work_dir = job['out'] + '.work_dir'
        cfg.test_dataloader.dataset.data_root = job['data_root']
        results['metrics'] = Runner.from_cfg(cfg).test()
    torch.save(results, job['out'])


if __name__ == '__main__':
    block()
    library = load_torchvision()
    for job in json.load(open(sys.argv[1])):
        do(job)
    loaded = {name.partition('.')[0] for name in sys.modules}
    assert not loaded & set(Blocked.packages)
    print('done without', *Blocked.packages)
