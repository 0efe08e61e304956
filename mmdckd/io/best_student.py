# Copyright (c) mmdckd contributors. All rights reserved.
"""Find the best student according to a checkpoint."""

from typing import NamedTuple, Optional

from mmengine.logging import MessageHub


class BestStudent(NamedTuple):
    """The best student of a validation.

    Attributes:
        name (str): Its name.
        note (str): The validation that chose it, if it was not one of the
            weights in the checkpoint; otherwise ``''``.
    """

    name: str
    note: str


def best_student_of(checkpoint: dict) -> Optional[BestStudent]:
    """Return the student that was best in the last validation before a checkpoint
    was saved.

    Args:
        checkpoint (dict): A checkpoint of MMEngine's runner. Its message hub has
            ``best_student`` and ``best_student_by``, recorded by
            :class:`~mmdckd.engine.loops.CollectiveValLoop`, or, if it is older,
            ``last_val_iter``.

    Returns:
        BestStudent, optional: None if there was no validation by
        :class:`~mmdckd.engine.loops.CollectiveValLoop`.
    """
    hub = checkpoint.get('message_hub')
    if isinstance(hub, MessageHub):
        hub = hub.state_dict()
    info = (hub or {}).get('runtime_info', {})
    name = info.get('best_student')
    if name is None:
        return None
    # Older versions recorded only the iteration, or nothing.
    chosen = info.get('best_student_by') or dict(iter=info.get('last_val_iter'))
    if not isinstance(chosen, dict) or 'iter' not in chosen:  # damaged
        chosen = dict(iter=None)
    meta = checkpoint.get('meta') or {}
    if chosen['iter'] is None or 'iter' not in meta:
        note = f'It does not record which validation chose the best student, {name}'
    elif chosen['iter'] == meta['iter']:
        return BestStudent(name, '')
    else:
        epoch = f' (epoch {chosen["epoch"]})' if 'epoch' in chosen else ''
        note = (
            f'It was saved after iteration {meta["iter"]} (epoch '
            f'{meta.get("epoch")}) without a validation: its best student, '
            f'{name}, is that of the validation after '
            f'iteration {chosen["iter"]}{epoch}'
        )
    return BestStudent(name, note)
