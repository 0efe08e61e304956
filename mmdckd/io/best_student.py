# Copyright (c) mmdckd contributors. All rights reserved.
"""The student that a checkpoint says is best."""

from typing import NamedTuple, Optional

from mmengine.logging import MessageHub


class BestStudent(NamedTuple):
    """The student that a validation has chosen.

    Attributes:
        name (str): Its name.
        note (str): Where the validation was not of the weights in the
            checkpoint, which one it was; ``''`` where it was.
    """

    name: str
    note: str


def best_student_of(checkpoint: dict) -> Optional[BestStudent]:
    """The student that was best in the last validation before a checkpoint
    was written.

    Args:
        checkpoint (dict): A checkpoint of MMEngine's runner. Read are
            ``best_student`` and ``best_student_by`` in its message hub, which
            :class:`~mmdckd.engine.loops.CollectiveValLoop` notes, or, for
            older ones, ``last_val_iter``.

    Returns:
        BestStudent or None: None where no validation by
        :class:`~mmdckd.engine.loops.CollectiveValLoop` came before.
    """
    hub = checkpoint.get('message_hub')
    if isinstance(hub, MessageHub):
        hub = hub.state_dict()
    info = (hub or {}).get('runtime_info', {})
    name = info.get('best_student')
    if name is None:
        return None
    # Older versions note the iteration alone, those before nothing.
    chosen = info.get('best_student_by') or dict(iter=info.get('last_val_iter'))
    meta = checkpoint.get('meta') or {}
    if chosen['iter'] is None or 'iter' not in meta:
        note = f'It does not say which validation chose the best student, {name}'
    elif chosen['iter'] == meta['iter']:
        return BestStudent(name, '')
    else:
        epoch = f' (epoch {chosen["epoch"]})' if 'epoch' in chosen else ''
        note = (
            f'It was saved after iteration {meta["iter"]} (epoch '
            f'{meta.get("epoch")}) and has no validation of its own: its '
            f'best student, {name}, is that of the validation after '
            f'iteration {chosen["iter"]}{epoch}'
        )
    return BestStudent(name, note)
