# Copyright (c) mmdckd contributors. All rights reserved.
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from ..cpu_processes import use_cpu_processes
from ..hooks import CheckLabelsHook, CheckRunHook

#: The default hooks that MMEngine has by itself.
MMENGINE_HOOKS = (
    'runtime_info',
    'timer',
    'sampler_seed',
    'logger',
    'param_scheduler',
    'checkpoint',
)


def build_runner(cfg: Config) -> Runner:
    """Build the runner that a config asks for, by default MMEngine's.

    Args:
        cfg (Config): The config of the run, changed in place.

    Returns:
        Runner: The runner, with the checks that refuse a run that would
        silently be another.
    """
    default_hooks = dict(cfg.get('default_hooks') or {})
    # MMEngine drops a hook of its own that is None, and takes no other.
    for key, hook in default_hooks.items():
        if hook is None and key not in MMENGINE_HOOKS:
            del cfg.default_hooks[key]
    use_cpu_processes(cfg)
    if 'runner_type' in cfg:
        runner = RUNNERS.build(cfg)
    else:
        runner = Runner.from_cfg(cfg)
    _add_checks(runner, default_hooks)
    return runner


def _add_checks(runner: Runner, default_hooks: dict) -> None:
    """Add what refuses a run that would silently be another, to a config that
    does not name it; ``default_hooks.check_run=None`` leaves it out.

    Args:
        runner (Runner): The runner.
        default_hooks (dict): Those of the config.
    """
    for key, kind in dict(check_labels=CheckLabelsHook, check_run=CheckRunHook).items():
        if default_hooks.get(key, ()) is not None and not any(
            isinstance(hook, kind) for hook in runner.hooks
        ):
            runner.register_hook(kind())
