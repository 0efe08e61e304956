# Copyright (c) mmdckd contributors. All rights reserved.
"""Finds the config key that an error comes from.

While a run is watched, the functions that build or run a part of the config
report it to a :class:`_Watch`: ``Registry.build``, the methods of MMEngine's
runner that serve one key, hooks, transforms, evaluators, the optimizer wrapper
and the data preprocessor. Between them, the last call of the hooks tells
whether a batch was being loaded or a step was running. The wrappers are
removed when the watch ends.
"""

import functools
import re
from contextlib import ExitStack, contextmanager
from typing import Any, Callable, Iterator, List, Optional, Set, Tuple, Union
from weakref import WeakKeyDictionary

from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseDataPreprocessor
from mmengine.optim import OptimWrapper
from mmengine.registry import Registry
from mmengine.runner import Runner

from .config_keys import RUNNER_KEYS, RUNNER_METHODS
from .errors import keep_traceback, message_of

#: The beginning of messages that name a checkpoint instead of a config key.
_KEYLESS = 'Invalid checkpoint'
#: A config key, or a part of the config.
Part = Union[str, dict]

#: Advice for a machine that runs out of something, by the error messages that
#: this causes.
_REMEDIES = (
    (
        r'shared memory|Bus error|/dev/shm|/torch_\d+',
        ' Data loader workers pass batches through shared memory (/dev/shm), '
        'which is full: enlarge it, or set '
        '`train_dataloader.num_workers=0` and `val_dataloader.num_workers=0`.',
    ),
    (
        r"^MemoryError|out of memory|allocate memory|can't start new thread|"
        r'Worker.* (exited unexpectedly|is killed by signal: Killed)',
        ' Out of memory: lower `train_dataloader.batch_size`, '
        '`train_dataloader.num_workers` or the number of students, or raise the '
        "process's memory limit.",
    ),
)


@contextmanager
def naming_config_keys(
    cfg: Optional[Config] = None, folder: Optional[str] = None
) -> Iterator[None]:
    """Turn any error into one message that names the config key it comes from.

    The command exits with this message; a second line names the file with the
    traceback.

    Args:
        cfg (Config, optional): The config of the run. Defaults to None: that of
            each runner that is built. Errors that come from no runner, or name
            their key themselves, are left as they are then.
        folder (str, optional): The folder of the traceback file. Defaults to
            None, which means the folder for temporary files.
    """
    watch = _Watch(None if cfg is None else cfg.to_dict())
    try:
        with watch.watching():
            yield
    except Exception as error:
        key = watch.key_of(error)
        reason = message_of(error)
        named = re.match(r'(?:Invalid )?`(\w+)', reason)
        if named and named[1] in RUNNER_KEYS or reason.startswith(_KEYLESS):
            key = None  # the message already begins with the key
        if cfg is None and key is None:
            raise
        if not isinstance(error, ValueError):
            reason = f'{type(error).__name__}: {reason}'
        if isinstance(error, KeyError) and not watch.cfg.get('default_scope'):
            reason += (
                ' `default_scope` is not set; most configs set '
                "`default_scope='mmpretrain'`."
            )
        reason += _remedy_for(error)
        raise SystemExit(
            f'error: {f"`{key}`: " if key else ""}{reason}\n{keep_traceback(folder)}'
        ) from error


class _Watch:
    """Knows which part of a config is being built or run right now.

    Args:
        cfg (dict, optional): The config. Defaults to None: that of the runner that
            was built last.
    """

    def __init__(self, cfg: Optional[dict]) -> None:
        self.cfg = cfg or {}
        self._of_runners = cfg is None
        # What is in progress, outermost first: config keys, and parts of the
        # config as a registry receives them.
        self._doing: List[Part] = []
        self._failed: Optional[Tuple[Exception, List[Part]]] = None
        self._stage = 'train'
        self._next: Optional[str] = None
        self._parts: WeakKeyDictionary = WeakKeyDictionary()
        self._kinds: Set[type] = set()
        self._wrapped = ExitStack()

    def key_of(self, error: Exception) -> Optional[str]:
        """Return the dotted key of the innermost part in which an error was
        raised; None if no part of the config was being built or run."""
        key = self._next
        if self._failed is not None and self._failed[0] in _chain(error):
            for part in self._failed[1]:
                key = part if isinstance(part, str) else _locate(part, self.cfg, key)
        return key

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Wrap the functions that build and run parts of the config."""
        with self._wrapped:
            self._wrap(Registry, 'build', self._build)
            if self._of_runners:
                self._wrap(Runner, '__init__', self._init)
                for name in ('train', 'val', 'test'):
                    self._wrap(Runner, name, self._whole)
            for name, key in RUNNER_METHODS.items():
                self._wrap(Runner, name, self._naming(key))
            loader = self._naming('{stage}_dataloader')
            self._wrap(Runner, 'build_dataloader', loader, staticmethod)
            self._wrap(Runner, 'build_evaluator', self._naming('{stage}_evaluator'))
            self._wrap(Runner, 'call_hook', self._call_hook)
            self._wrap(Compose, '__call__', self._transform)
            self._wrap(Evaluator, 'process', self._naming('{stage}_evaluator'))
            self._wrap(Evaluator, 'evaluate', self._naming('{stage}_evaluator'))
            self._wrap(OptimWrapper, 'update_params', self._naming('optim_wrapper'))
            yield

    def _wrap(
        self, owner: type, name: str, wrapper: Callable, kind: Callable = lambda f: f
    ) -> None:
        """Wrap a method of a class until :meth:`watching` ends."""
        method, own = getattr(owner, name), vars(owner).get(name)

        @functools.wraps(method)
        def wrapped(*args, **kwargs) -> Any:
            return wrapper(method, *args, **kwargs)

        setattr(owner, name, kind(wrapped))
        self._wrapped.callback(
            *((delattr, owner, name) if own is None else (setattr, owner, name, own))
        )

    @contextmanager
    def _at(self, *parts: Part) -> Iterator[None]:
        """Mark parts as in progress, and remember them if they fail."""
        self._doing += parts
        try:
            yield
        except Exception as error:
            if self._failed is None or self._failed[0] not in _chain(error):
                self._failed = error, [*self._doing]
            raise
        else:
            self._failed = None  # an error inside was caught there
        finally:
            del self._doing[-len(parts) :]

    def _naming(self, key: str) -> Callable:
        """Make a wrapper for a method that serves one key."""

        def run(method: Callable, *args, **kwargs) -> Any:
            with self._at(key.format(stage=self._stage_of_now())):
                return method(*args, **kwargs)

        return run

    def _init(self, init: Callable, runner: Runner, *args, **kwargs) -> None:
        """Build a runner, and take its config."""
        self.cfg = dict(kwargs.get('cfg') or {})
        init(runner, *args, **kwargs)

    def _whole(self, method: Callable, runner: Runner) -> Any:
        """Run all of a stage, after which none is running."""
        result = method(runner)
        self._next = None
        return result

    def _stage_of_now(self) -> str:
        """Return the stage whose loop is being built, or else is running."""
        for stage in ('train', 'val', 'test'):
            if f'{stage}_cfg' in self._doing:
                return stage
        return self._stage

    def _build(
        self, build: Callable, registry: Registry, cfg: Any, *args, **kwargs
    ) -> Any:
        with self._at(cfg):
            built = build(registry, cfg, *args, **kwargs)
        if isinstance(built, (BaseTransform, Hook)):
            self._parts[built] = cfg
        if isinstance(built, BaseDataPreprocessor) and type(built) not in self._kinds:
            self._kinds.add(type(built))
            self._wrap(type(built), 'forward', self._naming('data_preprocessor'))
        return built

    def _call_hook(
        self, call: Callable, runner: Runner, fn_name: str, **kwargs
    ) -> None:
        """Call the hooks as MMEngine does, and note what comes next."""
        for hook in runner.hooks:
            if hasattr(hook, fn_name):
                with self._at('default_hooks', self._parts.get(hook, 'default_hooks')):
                    getattr(hook, fn_name)(runner, **kwargs)
        moment, _, rest = fn_name.partition('_')
        stage, _, unit = rest.partition('_')
        if stage in ('train', 'val', 'test'):
            self._stage = stage
            loads = (moment == 'before') != (unit == 'iter')
            step = 'model' if unit == 'iter' else f'{stage}_cfg'
            self._next = f'{stage}_dataloader' if loads else step

    def _transform(
        self, call: Callable, compose: Compose, data: dict
    ) -> Optional[dict]:
        """Call the transforms as MMEngine does."""
        dataloader = f'{self._stage}_dataloader'
        for transform in compose.transforms:
            with self._at(dataloader, self._parts.get(transform, dataloader)):
                data = transform(data)
            if data is None:
                return None
        return data


def _chain(error: Optional[BaseException]) -> List[BaseException]:
    """Return an error and the errors that caused it."""
    errors: List[BaseException] = []
    while error is not None and error not in errors:
        errors.append(error)
        error = error.__cause__ or error.__context__
    return errors


def _locate(part: Any, cfg: dict, key: Optional[str]) -> Optional[str]:
    """Find the key of an equal part of the config; prefer one below ``key`` if
    there are several, and return ``key`` if there is none."""
    found = [
        path
        for path, node in _walk(cfg)
        if node
        and isinstance(part, dict)
        and all(k in part and _same(v, part[k]) for k, v in node.items())
    ]
    below = [path for path in found if key and path.startswith(key)]
    return max(below or found[:1], key=len, default=key)


def _walk(node: Any, path: str = '') -> Iterator[Tuple[str, dict]]:
    if isinstance(node, dict):
        if path:
            yield path, node
        for key, value in node.items():
            yield from _walk(value, f'{path}.{key}' if path else str(key))
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _walk(value, f'{path}[{index}]')


def _same(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except Exception:  # arrays and other values without a plain comparison
        return False


def _remedy_for(error: BaseException) -> str:
    text = f'{type(error).__name__}: {error}'
    return next(
        (remedy for pattern, remedy in _REMEDIES if re.search(pattern, text, re.I)), ''
    )
