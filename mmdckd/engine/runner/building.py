# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional, Type

from mmengine.config import Config
from mmengine.hooks import Hook, LoggerHook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmdckd.console.calm_console import CalmConsole

from ..cpu_processes import use_cpu_processes
from ..hooks import CheckLabelsHook, CheckRunHook, CohortSummaryHook
from ..hooks.console_hook import ConsoleHook
from ..parallel.spread_runner import is_spread, spread_over_processes
from .console_runner import with_console

#: The default hooks that MMEngine has by itself.
MMENGINE_HOOKS = (
    'runtime_info',
    'timer',
    'sampler_seed',
    'logger',
    'param_scheduler',
    'checkpoint',
)


def build_runner(
    cfg: Config,
    console: Optional[CalmConsole] = None,
    only_student: Optional[str] = None,
) -> Runner:
    """Build the runner that a config asks for, by default MMEngine's.

    Args:
        cfg (Config): The config of the run, changed in place.
        console (CalmConsole, optional): The console that shows the run.
            Defaults to None, which means MMEngine's output.
        only_student (str, optional): What the console calls the only student
            of the run. Defaults to None: its name.

    Returns:
        Runner: The runner, with the checks that stop a run that would silently
        do something other than its config says.
    """
    if cfg.get('phases') is not None:
        raise ValueError(
            'Invalid `phases`: expected the config of one phase, got several. Train '
            'them with `mmdckd train` or mmdckd.engine.runner.phases.train_phases.'
        )
    default_hooks = dict(cfg.get('default_hooks') or {})
    # MMEngine removes its own hooks that are None, but fails on others.
    for key, hook in default_hooks.items():
        if hook is None and key not in MMENGINE_HOOKS:
            del cfg.default_hooks[key]
    use_cpu_processes(cfg)
    kind = cfg.get('runner_type', Runner)
    if isinstance(kind, str):
        kind = RUNNERS.get(kind)
    if kind is not None and is_spread(cfg):
        kind = spread_over_processes(kind)
    if kind is None:
        runner = RUNNERS.build(cfg)  # which raises an error with the name
    elif console is None:
        runner = kind.from_cfg(cfg)
    else:
        runner = with_console(kind, console).from_cfg(cfg)
    _add_missing(
        runner, default_hooks, check_labels=CheckLabelsHook, check_run=CheckRunHook
    )
    if 'max_iters' in (cfg.get('train_cfg') or {}):
        _log_by_iteration(runner)
    if console is not None:
        runner.register_hook(ConsoleHook(console, only_student))
        _add_missing(runner, default_hooks, cohort_summary=CohortSummaryHook)
        _name_student(runner, only_student)
    return runner


def _add_missing(runner: Runner, default_hooks: dict, **kinds: Type[Hook]) -> None:
    """Add the hooks that a config does not list itself.

    ``default_hooks.check_run=None`` leaves one out.

    Args:
        runner (Runner): The runner.
        default_hooks (dict): The default hooks of the config.
        **kinds (type): The classes of the hooks, by their keys there.
    """
    for key, kind in kinds.items():
        if default_hooks.get(key, ()) is not None and not any(
            isinstance(hook, kind) for hook in runner.hooks
        ):
            runner.register_hook(kind())


def _log_by_iteration(runner: Runner) -> None:
    """Log the validations of a run by iterations under their iterations.

    MMEngine's default logs all of them under epoch 0, as a single point.
    """
    for hook in runner.hooks:
        if isinstance(hook, LoggerHook):
            hook.log_metric_by_epoch = False


def _name_student(runner: Runner, only_student: Optional[str]) -> None:
    for hook in runner.hooks:
        if isinstance(hook, CohortSummaryHook):
            hook.only_student = only_student
