# Copyright (c) mmdckd contributors. All rights reserved.
"""Files that are whole or not there, whenever the process is killed."""

import os
import os.path as osp
import pprint

from mmengine.config import Config

from mmdckd.io.files import write_text


def append_line(path: str, line: str) -> None:
    """Append a line and see it on the disk.

    What a kill left of a line before, which has no end, is cut off first.

    Args:
        path (str): The file; it is made where there is none.
        line (str): The line, without its end.
    """
    with open(path, 'r+b' if osp.exists(path) else 'w+b') as file:
        file.seek(len(whole_lines(file.read())))
        file.truncate()
        file.write(line.encode() + b'\n')
        file.flush()
        os.fsync(file.fileno())


def whole_lines(content: bytes) -> bytes:
    """What a file holds up to the end of its last whole line."""
    return content[: content.rfind(b'\n') + 1]


def write_config(path: str, cfg: Config) -> None:
    """Write a config that reads back the same.

    ``Config.dump`` sorts the keys, and the order of the students of a mixed
    cohort says which is the first.

    Args:
        path (str): The file, a .py.
        cfg (Config): The config.
    """
    write_text(
        path,
        '\n'.join(
            f'{key} = {pprint.pformat(value, sort_dicts=False)}'
            for key, value in cfg.to_dict().items()
        )
        + '\n',
    )
