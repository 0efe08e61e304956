from mmengine.runner import Runner
from mmengine.config import Config
def build_runner(cfg: Config) -> Runner:
    for stage in ('train','val','test'):
        cfg[f'{stage}_dataloader'].setdefault('collate_fn', dict(type='default_collate'))
    return Runner.from_cfg(cfg)
