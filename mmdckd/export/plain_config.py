# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, Iterator, List, Optional, Sequence, Tuple

from mmengine.config import Config
from mmengine.registry import DATASETS, METRICS, MODELS, TRANSFORMS, Registry
from mmpretrain.datasets import CIFAR10, CIFAR100, MNIST, FashionMNIST

from mmdckd.datasets import LoadImage
from mmdckd.datasets.inner_dataset import InnerDataset
from mmdckd.io.config_text import as_plain, check_values
from mmdckd.models.networks import NetworkSpec, resolve_network

from .config_types import walk_types

#: The packages that a plain config must not need.
FOREIGN = ('mmdckd', 'mmrazor')
#: The exception: a wrapper of a network that no config can describe.
HOLDER = 'mmdckd.ModuleBackbone'
#: The arguments of `LoadImage` that `LoadImageFromFile` does not have.
_ONLY_OURS = ('_scope_', 'on_broken', 'max_pixels', 'max_aspect')
#: The functions that only build a network, whatever their arguments. A config that
#: is not trusted may name no others.
HARMLESS = ('mmdckd.models.backbones.torchvision_network.build_network',)


def plain_config(
    cfg: Config,
    name: str,
    classes: Optional[Sequence[str]] = None,
    trusted: bool = True,
) -> Config:
    """Build the plain MMPretrain config of one student of a cohort.

    It contains the student's complete ``model``, its ``data_preprocessor`` and,
    if the run has them, the settings of its test. A dataset that MMPretrain does
    not have, or that has no image files (CIFAR, MNIST), is replaced by a
    ``CustomDataset`` with the same pipeline, whose ``data_root`` the user has to
    set. Its pipeline first makes of an image file what the dataset has, also
    inside a ``DatasetPart`` or ``WrongLabels``. For a network inside a
    :class:`~mmdckd.models.backbones.ModuleBackbone`, which MMPretrain does not
    have, the config imports mmdckd and the function that builds the network.

    Args:
        cfg (Config): The config of the run.
        name (str): The name of the student.
        classes (Sequence[str], optional): The names of the classes. Defaults
            to None.
        trusted (bool): Whether the config files that ``cfg_path`` names may
            be run; see :func:`~mmdckd.models.networks.resolve_network`.
            Defaults to True.

    Returns:
        Config: The plain config. It has no ``test_dataloader`` if the run has
        none, or its dataset has no ``pipeline``.

    Raises:
        ValueError: If the config does not have the student, or the student or
            the test pipeline needs parts of mmdckd or mmrazor, or a value is not
            plain; the message names it.
    """
    spec = _student_spec(cfg, name, trusted)
    made_by = list(_made_by(spec.model))
    held = bool(made_by) and (trusted or set(made_by) <= {*HARMLESS})
    if made_by and not held:
        raise ValueError(
            f'Invalid student {name!r}: expected a function that a checkpoint may '
            f'name, got {made_by[0]!r}. Give the config of its run (--config), or, '
            'if you trust the source of the checkpoint, --trust-checkpoint.'
        )
    packages = _require_plain(
        spec.model, MODELS, 'mmpretrain', spec.key, (HOLDER,) if held else ()
    )
    plain = dict(default_scope='mmpretrain', model=as_plain(spec.model))
    if spec.data_preprocessor is not None:
        packages += _require_plain(
            spec.data_preprocessor, MODELS, 'mmpretrain', 'data_preprocessor'
        )
        plain['data_preprocessor'] = as_plain(spec.data_preprocessor)

    scope = cfg.get('default_scope') or 'mmengine'
    stage = 'test' if cfg.get('test_dataloader') else 'val'
    loader = _with_plain_loading(cfg.get(f'{stage}_dataloader'), scope)
    if _pipeline(loader) is not None:
        packages += _require_plain(
            _pipeline(loader), TRANSFORMS, scope, f'{stage}_dataloader.dataset.pipeline'
        )
        plain.update(
            test_dataloader=_test_dataloader(loader, scope, classes),
            test_evaluator=_evaluators(cfg.get(f'{stage}_evaluator'), scope),
            test_cfg=dict(),
        )

    imports = [
        module
        for module in (cfg.get('custom_imports') or {}).get('imports', [])
        if module.partition('.')[0] in packages
    ]
    if held:
        imports.insert(0, 'mmdckd')
    if imports:
        plain['custom_imports'] = dict(imports=imports, allow_failed_imports=False)
    for key, value in plain.items():
        check_values(value, key)
    return Config(plain)


def _student_spec(cfg: Config, name: str, trusted: bool) -> NetworkSpec:
    """Resolve a student's network from the run's config, as the cohort does."""
    model = cfg.get('model') or {}
    if model.get('students'):
        key, network = f'students.{name}', model['students'].get(name)
    else:
        key, network = 'architecture', model.get('architecture')
    if network is None:
        raise ValueError(
            f'Invalid `model`: expected a config with `model.{key}`, as the '
            f'checkpoint has a student {name!r}, got none. Give the config of the '
            'run that wrote the checkpoint.'
        )
    spec = resolve_network(network, key, trusted)
    preprocessor = model.get('data_preprocessor', cfg.get('data_preprocessor'))
    if preprocessor is not None:
        spec.data_preprocessor = preprocessor
    return spec


def _pipeline(loader: Any) -> Optional[list]:
    dataset = loader.get('dataset') if isinstance(loader, dict) else None
    return dataset.get('pipeline') if isinstance(dataset, dict) else None


def _with_plain_loading(loader: Any, scope: str) -> Any:
    """Replace :class:`.LoadImage`, which gives the same pixels, by what MMPretrain
    has."""
    pipeline = []
    for transform in _pipeline(loader) or []:
        kind, inner = transform.get('type'), transform.get('_scope_', scope)
        if isinstance(kind, str):
            kind = _find(kind, TRANSFORMS, inner)
        if kind is LoadImage:
            kept = {k: v for k, v in transform.items() if k not in _ONLY_OURS}
            transform = dict(kept, type='LoadImageFromFile')
        pipeline.append(transform)
    if not pipeline:
        return loader
    return dict(loader, dataset=dict(loader['dataset'], pipeline=pipeline))


def _test_dataloader(
    loader: dict, scope: str, classes: Optional[Sequence[str]]
) -> dict:
    loading = _loading(loader['dataset'], scope)
    if loading is None and not _foreign(loader, DATASETS, scope):
        return as_plain(loader)
    pipeline = as_plain(loader['dataset']['pipeline'])
    if not any(t['type'].endswith('LoadImageFromFile') for t in pipeline):
        pipeline = (loading or [dict(type='LoadImageFromFile')]) + pipeline
    dataset = dict(type='CustomDataset', data_root='data/test', pipeline=pipeline)
    if classes:
        dataset['classes'] = list(classes)
    return dict(
        batch_size=loader.get('batch_size', 1),
        num_workers=loader.get('num_workers', 0),
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dataset,
    )


def _loading(dataset: dict, scope: str) -> Optional[List[dict]]:
    """Return the transforms that make of an image file what a dataset of MMPretrain
    without files has, also inside one of ours; None for another dataset."""
    kind, scope = dataset.get('type'), dataset.get('_scope_', scope)
    if isinstance(kind, str):
        kind = _find(kind, DATASETS, scope)
    if isinstance(kind, type) and issubclass(kind, InnerDataset):
        inner = dataset.get('dataset')
        loading = _loading(inner, scope) if isinstance(inner, dict) else None
        if loading and dataset.get('rgb'):  # it has three channels, BGR as of a file
            return [dict(type='LoadImageFromFile'), loading[1]]
        return loading
    if kind in (CIFAR10, CIFAR100):
        return [
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(32, 32)),
            # Files are read as BGR; these images are RGB.
            dict(type='NumpyToPIL', to_rgb=True),
            dict(type='PILToNumpy'),
        ]
    if kind in (MNIST, FashionMNIST):
        return [
            dict(type='LoadImageFromFile', color_type='grayscale'),
            dict(type='Resize', scale=(28, 28)),
        ]
    return None


def _evaluators(evaluators: Any, scope: str) -> List[dict]:
    if not isinstance(evaluators, (list, tuple)):
        evaluators = [evaluators]
    return [
        as_plain(evaluator)
        for evaluator in evaluators
        if isinstance(evaluator, dict) and not _foreign(evaluator, METRICS, scope)
    ] or [dict(type='Accuracy', topk=(1,))]


def _made_by(part: Any) -> Iterator[str]:
    """Yield the functions that build networks that no config can describe."""
    if isinstance(part, dict):
        if part.get('type') == HOLDER:
            yield str(part.get('module'))
        part = list(part.values())
    if isinstance(part, (list, tuple)):
        for each in part:
            yield from _made_by(each)


def _require_plain(
    cfg: Any, registry: Registry, scope: str, key: str, allowed: Sequence[str] = ()
) -> List[str]:
    """Check that MMPretrain can build a config; return the packages it needs."""
    foreign = _foreign(cfg, registry, scope, key, allowed)
    if foreign:
        raise ValueError(
            'Invalid student: expected only parts of MMPretrain, got parts of '
            f'{" or ".join(FOREIGN)}: {"; ".join(foreign)}.'
        )
    return [package for _, _, package in _types(cfg, registry, scope, key)]


def _foreign(
    cfg: Any, registry: Registry, scope: str, key: str = '', allowed: Sequence[str] = ()
) -> List[str]:
    return [
        f'`{path}`={kind!r}'
        for path, kind, package in _types(cfg, registry, scope, key)
        if package in FOREIGN and kind not in allowed
    ]


def _types(
    cfg: Any, registry: Registry, scope: str, path: str
) -> Iterator[Tuple[str, Any, str]]:
    """Yield the key, the value and the package of every ``type`` in a config."""
    for where, kind, inner in walk_types(cfg, path, scope):
        yield where, kind, _package_of(kind, registry, inner)


def _package_of(kind: Any, registry: Registry, scope: str) -> str:
    """Return the package that a type comes from."""
    if not isinstance(kind, str):
        return kind.__module__.partition('.')[0]
    package = kind.partition('.')[0]
    if package in FOREIGN:
        return package
    found = _find(kind, registry, scope)
    if scope in FOREIGN and found is not _find(kind, registry, 'mmpretrain'):
        return scope
    return getattr(found, '__module__', package).partition('.')[0]


def _find(kind: str, registry: Registry, scope: str) -> Any:
    with registry.switch_scope_and_registry(scope) as scoped:
        return scoped.get(kind)
