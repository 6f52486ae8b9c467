"""Settings of a run: names and types, checked against the notebooks."""

from __future__ import annotations

import ast
import contextlib
import difflib
import re
from pathlib import Path

import yaml

from scripts.report.run import one_line

RESERVED = {"dataset": "--dataset", "run_dir": "--run"}  # parameters that the chain sets


def check_name(name: str) -> None:
    """ValueError for a run name that is no plain name of a folder."""
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
        raise ValueError(f"run name {name!r}: use letters, digits, '.', '_' and '-', and no '.' at the start")


def read_params(file: str, known: set[str]) -> dict:
    """Settings of a YAML file, their names checked against those of the notebooks."""
    try:
        params = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is no YAML file: {one_line(error)}") from error
    if not isinstance(params, dict):
        raise ValueError(f"{file}: expected lines such as 'n_epochs: 100'")
    for key in map(str, params):
        if key in RESERVED:
            raise ValueError(f"{file}: {key!r} is set by {RESERVED[key]}, not in this file")
        if key not in known:
            close = difflib.get_close_matches(key, known - set(RESERVED), n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known - set(RESERVED)))}"
            raise ValueError(f"{file}: no notebook has a setting {key!r}; {hint}")
    return params


def like_default(name: str, value: object, parameter: dict) -> object:
    """Value in the type of the notebook's default: YAML reads 1e-3 as text."""
    try:
        kind = type(ast.literal_eval(parameter["default"]))
    except (ValueError, SyntaxError):
        return value
    kind = float if kind is int and parameter["inferred_type_name"] == "float" else kind
    if value is None or kind not in (bool, int, float, str) or type(value) is kind:
        return value
    if kind in (int, float) and not isinstance(value, bool):
        with contextlib.suppress(TypeError, ValueError):
            number = float(value)
            if kind is float or number.is_integer():
                return kind(number)
    expected = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[kind]
    raise ValueError(f"setting {name!r}: expected {expected}, found {value!r}")
