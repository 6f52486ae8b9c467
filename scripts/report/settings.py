"""Settings: what the notebooks' parameters may be. One schema for the command line, notebooks and `settings`.

A parameter's name, default and meaning are written once, in the cell of its notebook that is tagged `parameters`; its
type, range or choices once, in `TYPES` below.
"""

from __future__ import annotations

import ast
import difflib
import io
import json
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, TypeAdapter, ValidationError

from scripts import REPOSITORY
from scripts.errors import InputError, one_line

NOTEBOOKS = REPOSITORY / "notebooks"
RESERVED = {"dataset": "--dataset", "run_dir": "--run"}  # parameters that the chain sets


def _number(expected: str) -> BeforeValidator:
    """Refuses true and false, which Python takes for 1 and 0; the message is what is expected."""

    def check(value: object) -> object:
        if isinstance(value, bool):
            raise ValueError(expected)
        return value

    return BeforeValidator(check)


def _flag(value: object) -> object:
    if not isinstance(value, bool | str):  # papermill -p hands on "true" as text
        raise ValueError("true or false")
    return value


def _expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error:
        raise ValueError("a regular expression") from None
    return value


Flag = Annotated[bool, BeforeValidator(_flag)]
FlagOrNone = Optional[Flag]  # noqa: UP045  (Annotated knows no |)
Whole = Annotated[int, _number("a whole number")]
Real = Annotated[float, _number("a number"), Field(allow_inf_nan=False)]  # YAML reads 1e-3 as text
Text = Annotated[str, Field(strict=True)]
Count = Annotated[Whole, Field(ge=1)]  # one or more
CountOrNone = Annotated[Whole, Field(ge=0)]  # none, too
CountOrAuto = Optional[CountOrNone]  # noqa: UP045  (Annotated knows no |)
Several = Annotated[Whole, Field(ge=2)]  # to be compared with each other
Seed = Annotated[Whole, Field(ge=0, lt=2**32)]
Positive = Annotated[Real, Field(gt=0)]
NotNegative = Annotated[Real, Field(ge=0)]
Share = Annotated[Real, Field(gt=0, lt=1)]
Counts = Annotated[list[Count], Field(min_length=1)]

TYPES: dict[str, Any] = {
    "dataset": Annotated[Text, StringConstraints(min_length=1)],
    "run_dir": Annotated[Text, StringConstraints(min_length=1)],
    # 01_data
    "csv_safe": Flag,
    "normalize_total": FlagOrNone,
    "log1p": FlagOrNone,
    "scale": FlagOrNone,
    "memory_gb": NotNegative,
    "layer": Text,
    "label": Text,
    "drop_empty": Flag,
    "drop_identical": Flag,
    "min_counts": CountOrNone,
    "max_judged_cells": CountOrNone,
    "max_counts": CountOrNone,
    "min_genes": CountOrNone,
    "max_genes": CountOrNone,
    "max_pct_mt": Annotated[Real, Field(ge=0, le=100)],
    "max_doublet_score": NotNegative,
    "min_cells": CountOrNone,
    "n_mads": NotNegative,
    "batch": Text,
    "regress": list[Text],
    "k_neighbors": Count,
    "n_freq_comps": CountOrNone,
    "metric": Literal["cosine", "euclidean"],
    "graph_genes": CountOrAuto,
    "graph_components": CountOrAuto,
    "use_rep": Text,
    "use_graph": Text,
    "graph_weights": Literal["unweighted", "gaussian", "fuzzy"],
    "laplacian": Literal["unnormalized", "normalized"],
    "unconnected": Literal["error", "largest"],
    "random_state": Seed,
    # 02_visualize
    "umap_neighbors": Several,
    "max_cells": Count,
    "layout_seed": Seed,
    "n_rebuilt": CountOrNone,
    # 03_train
    "model": Literal["closed form", "gradient descent"],
    "main_components": Count,
    "pair_components": Counts,
    "input_components": CountOrNone,
    "d_hidden": Count,
    "n_epochs": Count,
    "lr": Positive,
    "batch_size": Count,
    "loss_fn": Literal["mse", "l1", "huber"],
    "bias": Flag,
    "standardize": Flag,
    "l2": NotNegative,
    "weight_decay": NotNegative,
    "input_noise": NotNegative,
    "dropout": Annotated[Real, Field(ge=0, lt=1)],
    "patience": CountOrNone,
    "n_fits": Count,
    "device": Literal["cpu", "cuda", "mps"],
    "n_splits": Count,
    "n_subsamples": Several,
    "n_seeds": Several,
    "n_inductive": CountOrNone,
    # 04_interpret
    "n_modules": Count,
    "pole_genes": Count,
    "n_shown": Count,
    "same_axis": Annotated[Real, Field(ge=0, le=1)],
    "min_stability": Annotated[Real, Field(ge=0, le=1)],
    "hide_genes": Annotated[Text, AfterValidator(_expression)],
    "n_pairs": Count,
    "n_bootstraps": Annotated[Whole, Field(ge=10)],  # fewer give no interval
    "n_surrogates": CountOrNone,
    "cell": Text,
    # 05_compare
    "panel_genes": Count,
    "rbo_p": Share,
    "n_permutations": Count,
    "panel_sizes": Counts,
    "n_panel_splits": Count,
    "n_centres": Count,
    "n_panel_subsamples": Several,
    # 06_go_terms
    "gene_sets": list[Text],
    "list_genes": Count,
    "end_share": Annotated[Real, Field(gt=0, le=0.5)],
    "term_fdr": Share,
    "min_set_size": Count,
    "max_set_size": Count,
    "fold_at": Positive,
    "n_random_lists": Count,
    "n_random_directions": Count,
    "expressed_share": Share,
    "min_axis_correlation": Share,
    "ranked_min_size": Count,
    "permutation_num": Count,
    "enrichr_online": Flag,
    "noncommercial_sets": Flag,
    "disease_sets": Flag,
    # 07_programs
    "program_genes": Count,
    "program_shown": Count,
    "hide_program_genes": Annotated[Text, AfterValidator(_expression)],
    "n_divisions": Count,
    # 08_hierarchy
    "max_tree_cells": Annotated[Whole, Field(ge=50)],
    "cluster_numbers": Annotated[list[Several], Field(min_length=1)],
    "n_repeats": Annotated[Whole, Field(ge=19)],  # fewer cannot give a p of 0.05
    "n_groups": Several,
    "group_genes": Count,
    # 09_classes
    "classes": Text,
    "min_class_cells": Annotated[Whole, Field(ge=8)],  # fewer are not in all parts of the cells
    "max_class_cells": Annotated[Whole, Field(ge=50)],
    "class_components": Count,
    "class_products": Count,
    "class_epochs": Count,
    "class_splits": Count,
    "class_modules": Count,
    "class_genes": Count,
    "class_shown": Count,
    # appendix_planted_truth
    "planted_cells": Annotated[Whole, Field(ge=50)],  # fewer hardly fill five branches
    "planted_pairs": Count,
    "planted_noise_genes": Count,
    "planted_dispersion": Positive,
    "planted_dropout": Annotated[Real, Field(ge=0, lt=1)],
    "planted_interactions": Annotated[list[Annotated[Real, Field(ge=0, le=1)]], Field(min_length=1)],
    "planted_shares": Annotated[list[Annotated[Real, Field(gt=0, lt=1)]], Field(min_length=1)],
    "planted_seeds": Count,
    "planted_seed": Seed,
    "network_seeds": Count,
}
BY_DEFAULT: dict[type, Any] = {
    bool: Flag,
    int: Whole,
    float: Real,
    str: Text,
}  # types of parameters that TYPES does not name
RENAMED = {  # settings that have had another name, or a name that meant two things
    "n_components": "graph_components (of 01_data) or main_components (of 03_train)",
    "krumsiek_seeds": "network_seeds (of the appendix on planted truth)",
    "n_genes": "pole_genes (of 04_interpret), panel_genes (of 05_compare) or list_genes (of 06_go_terms)",
}
EXPECTED = {  # what pydantic found wrong, as a user would say it; numbers and choices are filled in
    "literal_error": "one of {expected}",
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "finite_number": "a finite number",
    "too_short": "a list that is not empty",
    "string_too_short": "text that is not empty",
}
KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "string": "text", "list": "a list"}


def stored(notebook: str) -> Path:
    """File of a notebook by its name: that of the folder one works in, else the project's own."""
    file = Path(f"{notebook}.ipynb").resolve()
    return file if file.is_file() else NOTEBOOKS / file.name


@dataclass(frozen=True)
class Parameter:
    """One setting of a notebook: its default and, from the comment beside it, its meaning."""

    default: Any
    meaning: str


@cache
def parameters(notebook: Path) -> dict[str, Parameter]:
    """Settings of a notebook by name, from its cell that is tagged `parameters`."""
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    source = "".join("".join(cell["source"]) + "\n" for cell in tagged)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    return {
        node.targets[0].id: Parameter(ast.literal_eval(node.value), comments.get(node.lineno, ""))
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def checked(notebook: Path, given: Mapping[str, object]) -> dict[str, Any]:
    """All settings of a notebook in their types: those given, and its defaults for the others.

    Parameters
    ----------
    notebook : Path
    given : mapping
        May hold other names, too: they are passed over.

    Raises
    ------
    InputError
        Naming the setting, what was found, and what is expected.
    """
    known = parameters(notebook)
    values = {
        name: _value(name, given.get(name, parameter.default), parameter.default) for name, parameter in known.items()
    }
    if {"min_set_size", "max_set_size"} <= values.keys() and values["min_set_size"] > values["max_set_size"]:
        raise InputError(
            f"setting 'min_set_size': expected at most max_set_size ({values['max_set_size']}), "
            f"found {values['min_set_size']}"
        )
    if values.get("enrichr_online") and not values["noncommercial_sets"]:
        raise InputError("setting 'enrichr_online': expected false, as noncommercial_sets is, found true")
    return values


def _value(name: str, value: object, default: object) -> Any:
    try:
        return _adapter(name, type(default)).validate_python(value)
    except ValidationError as error:
        expected = _expected(error.errors()[0])
        raise InputError(f"setting {name!r}: expected {expected}, found {one_line(repr(value))}") from None


@cache
def _adapter(name: str, kind: type) -> TypeAdapter:
    declared: Any = TYPES.get(name) or BY_DEFAULT.get(kind, Any)
    return TypeAdapter(declared)


def _expected(problem: Any) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in EXPECTED:
        return EXPECTED[kind].format(**context)
    return next((words for prefix, words in KINDS.items() if kind.startswith(prefix)), problem["msg"])


def from_file(file: str, notebooks: list[Path]) -> dict[str, object]:
    """Settings of a YAML file, their names checked against those of the notebooks."""
    try:
        given = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; check the path of the settings") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is no YAML file: {one_line(error)}") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}): name a YAML file of settings") from None
    if not isinstance(given, dict):
        raise InputError(f"{file}: expected lines such as 'n_epochs: 100'")
    known = set().union(*map(parameters, notebooks)) - set(RESERVED)
    for key in map(str, given):
        if key in RESERVED:
            raise InputError(f"{file}: {key!r} is set by {RESERVED[key]}, not in this file")
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"
            hint = f"it is called {RENAMED[key]} now" if key in RENAMED else hint
            raise InputError(f"{file}: no notebook has a setting {one_line(repr(key))}; {hint}")
    return given


def check_name(name: str) -> None:
    """InputError for a run name that is no plain name of a folder."""
    if name.startswith(".") or name != name.strip() or not name or not name.isprintable() or {"/", "\\"} & set(name):
        raise InputError(
            f"run name {one_line(repr(name))}: a folder's name is needed, with neither '/' nor '.' at its start; "
            "name the run with --run"
        )


def listed(notebook: Path) -> list[tuple[str, str, str]]:
    """Settings of a notebook that a user may choose: name, default as YAML, and meaning."""
    return [
        (
            name,
            yaml.safe_dump(parameter.default, default_flow_style=True, width=1000).splitlines()[0],
            parameter.meaning,
        )
        for name, parameter in parameters(notebook).items()
        if name not in RESERVED
    ]


def described(notebooks: list[Path]) -> str:
    """All settings as text: by notebook, each with its default and meaning."""
    lines = []
    for notebook in notebooks:
        lines += ["", f"# {notebook.stem}"]
        lines += [f"{name}: {default}  # {meaning}" for name, default, meaning in listed(notebook)]
    return "\n".join(lines[1:])
