# Copyright (c) mmdckd contributors. All rights reserved.
"""Writes the generated pages of docs/reference/; `make docs` runs it.

config_keys.md comes from the signatures and docstrings of the registered
classes, command_line.md from the parsers of the commands. Both are made anew for
every build and are not committed. models.md comes from the metafiles, and is.
"""

import contextlib
import inspect
import io
import os
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import yaml

from mmdckd import registry
from mmdckd.cli import convert
from mmdckd.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / 'docs' / 'reference'
TITLES = dict(
    MODELS='Algorithms, losses, collectors and networks',
    HOOKS='Hooks',
    LOOPS='Loops',
    LOG_PROCESSORS='Log processors',
    DATASETS='Datasets',
    DATA_SAMPLERS='Samplers',
    TRANSFORMS='Transforms',
    METRICS='Metrics',
    EVALUATOR='Evaluators',
    OPTIM_WRAPPERS='Optimizer wrappers',
    OPTIM_WRAPPER_CONSTRUCTORS='Optimizer wrapper constructors',
    VISUALIZERS='Visualizers',
)


def registered(name: str) -> Dict[str, type]:
    """The classes that mmdckd adds to one of its registries."""
    parts = getattr(registry, name)
    parts.import_from_location()
    return {
        key: part
        for key, part in sorted(parts.module_dict.items())
        if inspect.isclass(part) and part.__module__.startswith('mmdckd.')
    }


def to_markdown(text: str) -> str:
    """The roles and literals of a docstring as Markdown, in one line."""
    text = ' '.join(text.split())
    text = re.sub(r':math:`([^`]*)`', r'$\1$', text)
    text = re.sub(r':\w+:`[~.]*([^`]*)`', lambda m: f'`{m[1].split(".")[-1]}`', text)
    text = re.sub(r'`([^`<]*) <([^`>]*)>`_+', r'[\1](\2)', text)
    text = text.replace('``', '`')
    return text.replace('|', r'\|')


def documented(part: type) -> Dict[str, Tuple[str, str]]:
    """Type and meaning of the arguments, from the docstring's Args."""
    found = re.search(
        r'^Args:\n(.*?)(?=^\S|\Z)', inspect.getdoc(part) or '', re.M | re.S
    )
    if not found:
        return {}
    args = re.findall(
        r'^    \*{0,2}(\w+) \((.*?)\): (.*?)(?=^    \S|\Z)', found[1], re.M | re.S
    )
    return {name: (kind, meaning) for name, kind, meaning in args}


def arguments(part: type) -> Iterator[Tuple[str, str, str, str]]:
    """Key, type, default and meaning; those of its bases where it passes them on."""
    seen = set()
    for each in part.__mro__:
        if '__init__' not in vars(each) or not each.__module__.startswith('mmdckd.'):
            continue
        parameters = list(inspect.signature(each.__init__).parameters.values())[1:]
        docs = documented(part) | documented(each)
        for parameter in parameters:
            if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                continue
            if parameter.name not in seen:
                seen.add(parameter.name)
                kind, meaning = docs.get(parameter.name, ('', ''))
                yield parameter.name, kind, default_of(parameter), meaning
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            return


def default_of(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return 'required'
    return f'`{parameter.default!r}`'.replace('|', r'\|')


def config_keys() -> str:
    """The page of config keys."""
    lines = [
        '# Config keys',
        '',
        'Every class that a config can name as `type="mmdckd.X"`, with its keys. '
        'The page is generated from the code; [API](api.md) has the full docstrings.',
    ]
    for name, title in TITLES.items():
        classes = registered(name)
        if classes:
            lines += ['', f'## {title}']
        for key, part in classes.items():
            summary = (inspect.getdoc(part) or '').partition('\n\n')[0]
            lines += ['', f'### {key}', '', to_markdown(summary), '']
            rows = list(arguments(part))
            if rows:
                lines += [
                    '| key | type | default | meaning |',
                    '| --- | --- | --- | --- |',
                ]
            for argument, kind, default, meaning in rows:
                meaning = re.sub(
                    r' *Defaults to [^.]*(?:\.\d+)?\.$', '', ' '.join(meaning.split())
                )
                cells = (
                    f'`{argument}`',
                    to_markdown(kind),
                    default,
                    to_markdown(meaning),
                )
                lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) + '\n'


def command_line() -> str:
    """The page of what ``mmdckd COMMAND --help`` prints."""
    names = [name for name in COMMANDS if name != 'convert']
    names += [f'convert {name}' for name in convert.COMMANDS]
    lines = [
        '# Command line',
        '',
        'What `mmdckd COMMAND --help` prints. [Commands](commands.md) says what '
        'each is for, what it prints and how it ends.',
    ]
    os.environ.update(COLUMNS='80', NO_COLOR='1')
    for name in names:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            main([*name.split(), '--help'])
        lines += [
            '',
            f'## mmdckd {name}',
            '',
            '```text',
            printed.getvalue().rstrip(),
            '```',
        ]
    return '\n'.join(lines) + '\n'


def metafiles() -> Iterator[Tuple[Dict[str, Any], Dict[str, Any]]]:
    """Collection and model, in the order of model-index.yml, which MIM reads."""
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text(encoding='utf-8'))
    for path in index['Import']:
        meta = yaml.safe_load((ROOT / path).read_text(encoding='utf-8'))
        collections = {each['Name']: each for each in meta.get('Collections', [])}
        for model in meta.get('Models', []):
            yield collections[model['In Collection']], model


def measured(model: Dict[str, Any]) -> str:
    """What came out, linked to its sweep."""
    results = [
        f'{number}' if metric == 'Top 1 Accuracy' else f'{number} ({metric})'
        for result in model.get('Results', [])
        for metric, number in result['Metrics'].items()
    ]
    sweep = Path(model.get('Metadata', {}).get('Sweep', '')).stem
    text = ', '.join(results)
    return f'[{text}](benchmark.md#{sweep})' if text and sweep else text


def models() -> str:
    """The page of methods and configs."""
    lines: List[str] = [
        '# Methods and configs',
        '',
        'Every method with its paper, and every config with what was measured. '
        'The figures are means over the runs of a sweep, on the test split, and are '
        '**not those of the papers**; without a figure, no full training was made. '
        'No weights are published. `make docs` writes this page from the metafiles '
        'that `mim search mmdckd` reads.',
        '',
        '## Methods',
        '',
        '| method | paper |',
        '| --- | --- |',
    ]
    rows = list(metafiles())
    for name, collection in {each['Name']: each for each, _ in rows}.items():
        paper = collection.get('Paper') or {}
        link = f'[{paper["Title"]}]({paper["URL"]})' if paper else ''
        lines.append(f'| {name} | {link} |')
    lines += [
        '',
        '## Configs',
        '',
        '| method | config | data | students | top-1, % |',
        '| --- | --- | --- | ---: | ---: |',
    ]
    for collection, model in rows:
        data = model.get('Metadata', {})
        cells = (
            collection['Name'],
            f'[{model["Name"]}](../../{model["Config"]})',
            str(data.get('Training Data', '')),
            str(data.get('Students', 1)),
            measured(model),
        )
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) + '\n'


PAGES = {
    'config_keys.md': config_keys,
    'command_line.md': command_line,
    'models.md': models,
}

if __name__ == '__main__':
    for page, make in PAGES.items():
        (FOLDER / page).write_text(make(), encoding='utf-8')
