# Copyright (c) mmdckd contributors. All rights reserved.
"""The options and the exit code that all fuzzers share."""

import argparse
import json
import sys
from typing import Any

from mmdckd.io.files import write_text


def fuzz_parser(about: str, example: str, cases: int) -> argparse.ArgumentParser:
    """Parse the options of a fuzzer; ``cases`` is the default number of cases."""
    parser = argparse.ArgumentParser(
        description=about,
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--cases', type=int, default=cases)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', help='the file to write the result to')
    return parser


def finish(args: argparse.Namespace, script: str, **result: Any) -> None:
    """Print and write a result; exit with 1 if a case failed."""
    command = f'studies/stress/{script}.py --cases {args.cases} --seed {args.seed}'
    for failure in result['failures']:
        print(json.dumps(failure, indent=2))
    print(json.dumps(result['outcomes']))
    if args.out:
        write_text(args.out, json.dumps(dict(command=command, **result), indent=2))
    sys.exit(bool(result['failures']))
