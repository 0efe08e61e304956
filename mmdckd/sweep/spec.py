# Copyright (c) mmdckd contributors. All rights reserved.
"""Read the file that describes a sweep."""

from dataclasses import dataclass
from typing import Any, Dict, Optional, Sequence, Tuple, Union

from mmdckd.errors import invalid
from mmdckd.io.config_file import read_config
from mmdckd.values import is_whole

from .entries import check_file, check_keys, entries
from .yaml_keys import check_unique_keys

#: The ways to reduce the students of a run to one figure.
FIGURES = ('mean', 'first', 'best', 'ensemble')
CLUSTERS = ('slurm', 'local')


@dataclass(frozen=True)
class Recipe:
    """How a network or a cohort is trained, apart from the seed.

    Attributes:
        configs (Tuple[str]): Config files; later ones override earlier ones.
        cfg_options (Tuple[dict]): Settings that override them in turn, as with
            ``--cfg-options``.
    """

    configs: Tuple[str, ...]
    cfg_options: Tuple[Dict[str, Any], ...]


@dataclass(frozen=True)
class Teacher:
    """A teacher that is trained before its students.

    Attributes:
        name (str): Its name.
        recipe (Recipe): How it is trained.
        seed (int | str): Its seed, the same for all seeds of the students;
            'each' trains one teacher for every seed.
    """

    name: str
    recipe: Recipe
    seed: Union[int, str]


@dataclass(frozen=True)
class Method:
    """A line of the table.

    Attributes:
        name (str): Its name.
        pair (str): Its pair; '' if there is only one.
        recipe (Recipe): How it is trained.
        teacher (str, optional): The teacher of its students, if their config
            has one.
        figure (str): How its students are reduced to one figure.
        group (str): The group of methods that differ in one setting only, such
            as the number of students; plots connect them.
    """

    name: str
    pair: str
    recipe: Recipe
    teacher: Optional[str]
    figure: str
    group: str


@dataclass(frozen=True)
class Spec:
    """A sweep; see :func:`load_spec`."""

    path: str
    name: str
    about: str
    metric: str
    seeds: Tuple[int, ...]
    compare_with: Tuple[str, ...]
    teachers: Dict[str, Teacher]
    pairs: Tuple[str, ...]
    methods: Tuple[Method, ...]
    executor: Dict[str, Any]


def load_spec(path: str) -> Spec:
    """Read the file of a sweep.

    It is a config of MMEngine (.yaml, .py or .json) and may inherit from
    another. Paths in it are relative to the current folder, as for
    ``tools/train.py``. Top-level names that start with an underscore are
    ignored.

    .. code-block:: yaml

        name: digits
        seeds: [0, 1, 2, 3, 4]
        teachers:
          resnet34: {config: configs/teachers/resnet34_digits.py}
        methods:
          kd: {config: configs/kd/kd_r18_digits.py}
          dckd: {config: configs/dckd_r34_r18_digits.py}
          dckd of two:
            config: configs/dckd_r34_r18_digits.py
            cfg_options: {model.num_students: 2}

    ================ ======================================================
    key              meaning
    ================ ======================================================
    name             the name of the sweep and of the folder of its runs
    about            an introduction to its report. Defaults to none
    metric           a metric of the evaluator, greater is better. Defaults to
                     ``accuracy/top1``
    seeds            the seeds of every method (``randomness.seed``)
    compare_with     the methods with which all others are compared, seed by
                     seed. Defaults to ``kd`` and ``dml``, if present
    teachers         name to ``config``, ``cfg_options`` and ``seed``, which
                     is a number (defaults to 0) or ``each``: one teacher for
                     every seed. A teacher is trained once; its last epoch is
                     used
    pairs            name to ``config``, ``cfg_options`` and ``teacher``.
                     Every method is run for every pair; its own config and
                     options override the pair's. Defaults to one empty pair
    methods          name to ``config``, ``cfg_options``, ``teacher``,
                     ``figure``, ``group`` and ``pairs``: the names of those
                     for which alone it is run
    executor         where the runs train, if not on this machine: ``cluster``
                     (``slurm`` or ``local``) and parameters of submitit, such
                     as ``gpus_per_node: 1`` and ``timeout_min`` (defaults to a
                     day)
    ================ ======================================================

    A ``config`` is a file or a list of files; later ones override earlier ones.
    The checkpoint of the teacher (named by the method or the pair, or the only
    one) is set as ``model.teacher_ckpt`` if the config's model has a
    ``teacher``. Without ``teachers``, the config has to name its teacher's
    weights.

    A cohort has several students; ``figure`` of its method says how they are
    reduced to one figure (defaults to ``mean``):

    - ``mean``: the mean over its students. It is the most precise figure for
      similar students, without choosing one.
    - ``first``: the first student by name, which is chosen before training, so
      that its spread is comparable with that of a single student. For cohorts of
      different students.
    - ``best``: the best student in validation.
    - ``ensemble``: the mean of the students' probabilities.

    All of them are stored and reported.

    Args:
        path (str): The file.

    Returns:
        Spec: The sweep.

    Raises:
        ValueError: If a key is unknown or twice in a YAML file, or a value is
            invalid; the message names the key.
        FileNotFoundError: If a file that it names does not exist.
    """
    check_file('sweep', path)
    if path.endswith(('.yaml', '.yml')):
        check_unique_keys(path)
    raw = read_config(path).to_dict()
    raw = {key: value for key, value in raw.items() if key[0] != '_'}
    check_keys(
        '',
        raw,
        [
            'name',
            'about',
            'metric',
            'seeds',
            'compare_with',
            'teachers',
            'pairs',
            'methods',
            'executor',
        ],
        ['name', 'seeds', 'methods'],
    )
    for key in ('about', 'metric'):
        if not isinstance(raw.get(key, ''), str):
            raise invalid(key, 'text', raw[key])
    teachers = {
        name: _teacher(name, entry) for name, entry in entries('teachers', raw).items()
    }
    pairs = entries('pairs', raw) or {'': {}}
    methods = []
    for pair, shared in pairs.items():
        check_keys(f'pairs.{pair}', shared, ['config', 'cfg_options', 'teacher'], [])
        for name, entry in entries('methods', raw).items():
            if pair in _pairs_of(name, entry, pairs):
                methods.append(_method(name, entry, pair, shared, teachers))
    return Spec(
        path=path,
        name=str(raw['name']),
        about=raw.get('about', '').strip(),
        metric=raw.get('metric', 'accuracy/top1'),
        seeds=_seeds(raw['seeds']),
        compare_with=_compare_with(raw),
        teachers=teachers,
        pairs=tuple(pairs),
        methods=tuple(methods),
        executor=_executor(raw.get('executor')),
    )


def _executor(settings: Any) -> Dict[str, Any]:
    if settings is None:
        return {}
    if not isinstance(settings, dict) or settings.get('cluster') not in CLUSTERS:
        raise invalid(
            'executor', f'a dict with a `cluster` among {list(CLUSTERS)}', settings
        )
    return settings


def _teacher(name: str, entry: dict) -> Teacher:
    where = f'teachers.{name}'
    check_keys(where, entry, ['config', 'cfg_options', 'seed'], ['config'])
    seed = entry.get('seed', 0)
    if seed != 'each' and not is_whole(seed, least=0):
        raise ValueError(
            f'Invalid `{where}.seed`: expected a whole number from 0 on or '
            f"'each', got {seed!r}."
        )
    return Teacher(name, _recipe(where, entry), seed)


def _method(
    name: str, entry: dict, pair: str, shared: dict, teachers: Dict[str, Teacher]
) -> Method:
    where = f'methods.{name}'
    figure = entry.get('figure', 'mean')
    if figure not in FIGURES:
        raise ValueError(
            f'Invalid `{where}.figure`: expected one of {list(FIGURES)}, '
            f'got {figure!r}.'
        )
    default = next(iter(teachers)) if len(teachers) == 1 else None
    teacher = entry.get('teacher', shared.get('teacher', default))
    if teacher is not None and teacher not in [*teachers]:
        key = where if 'teacher' in entry else f'pairs.{pair}'
        raise ValueError(
            f'Invalid `{key}.teacher`: expected one of {list(teachers)}, '
            f'got {teacher!r}.'
        )
    recipe, own = _recipe(f'pairs.{pair}', shared), _recipe(where, entry)
    recipe = Recipe(recipe.configs + own.configs, recipe.cfg_options + own.cfg_options)
    if not recipe.configs:
        raise ValueError(
            f'Invalid `{where}.config`: expected the path of a config, got none.'
        )
    group = entry.get('group', '')
    if not isinstance(group, str):
        raise invalid(f'{where}.group', 'a name', group)
    return Method(name, pair, recipe, teacher, figure, group)


def _pairs_of(name: str, entry: dict, pairs: Dict[str, dict]) -> Sequence[str]:
    where = f'methods.{name}'
    known = ['config', 'cfg_options', 'teacher', 'figure', 'group', 'pairs']
    check_keys(where, entry, known, [])
    chosen = entry.get('pairs', [*pairs])
    if (
        not isinstance(chosen, (list, tuple))
        or not chosen
        or any(pair not in [*pairs] for pair in chosen)
    ):
        raise invalid(f'{where}.pairs', f'names among {[*pairs]}', chosen)
    return chosen


def _recipe(where: str, entry: dict) -> Recipe:
    configs = entry.get('config', ())
    configs = [configs] if isinstance(configs, str) else configs
    if not isinstance(configs, (list, tuple)) or not all(
        isinstance(config, str) for config in configs
    ):
        raise invalid(f'{where}.config', 'a path or a list of paths', configs)
    for config in configs:
        check_file(f'`{where}.config`', config)
    options = entry.get('cfg_options') or {}
    if not isinstance(options, dict):
        raise ValueError(
            f'Invalid `{where}.cfg_options`: expected a dict of settings, '
            f'got {options!r}.'
        )
    return Recipe(tuple(configs), (options,))


def _compare_with(raw: dict) -> Tuple[str, ...]:
    named = raw.get('compare_with')
    if named is None:
        return tuple(name for name in ('kd', 'dml') if name in raw['methods'])
    if not isinstance(named, (list, tuple)):
        raise invalid('compare_with', 'a list of methods', named)
    for name in named:
        if name not in raw['methods']:
            raise ValueError(
                f'Invalid `compare_with`: expected names among '
                f'{list(raw["methods"])}, got {name!r}.'
            )
    return tuple(named)


def _seeds(seeds: Any) -> Tuple[int, ...]:
    if (
        not isinstance(seeds, (list, tuple))
        or not seeds
        or not all(is_whole(seed, least=0) for seed in seeds)
        or len(set(seeds)) < len(seeds)
    ):
        raise ValueError(
            'Invalid `seeds`: expected a list of different whole numbers from '
            f'0 on, got {seeds!r}.'
        )
    return tuple(seeds)
