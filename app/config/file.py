"""One YAML is one run: configs/default.yaml, the run's own file, what the command line asks for, and nothing else.

A wrong key, type or value stops the job before any work and names file, line,
key and the nearest match; all errors are told at once.
"""

import difflib
import json
import re
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from app.config.sections import Config
from app.errors import UserError


class Asked(NamedTuple):
    """A value that the command line or the environment asks for."""

    value: Any
    by: str  # in the user's words: WORKERS=4


Model = TypeVar("Model", bound=BaseModel)
Lines = dict[tuple[str, ...], int]  # where each key of a file stands


def load_config(path: Path, overrides: dict[str, Any] | None = None) -> Config:
    """The run's config: defaults, then `path`, then `overrides` (dotted key -> value).

    Raises UserError naming file, line, key and the nearest match.
    """
    return read_config(path, {key: Asked(value, key) for key, value in (overrides or {}).items()})


def read_config(path: Path, asked: dict[str, Asked]) -> Config:
    """As load_config, with who asked for what, for the messages."""
    return read_as(Config, path, asked, "configs/default.yaml shows every key; `make config` what a config comes to")


def read_as(model: type[Model], path: Path, asked: dict[str, Asked], fix: str) -> Model:
    """A YAML file as that model, all that is wrong in it told at once."""
    node, values = _parsed(path)
    lines: Lines = {}
    problems = [f"{path}:{problem}" for problem in _walk(node, (), lines)]
    for dotted, (value, by) in asked.items():
        *parents, leaf = dotted.split(".")
        place = values
        for parent in parents:
            place[parent] = place.get(parent) or {}
            place = place[parent]
            if not isinstance(place, dict):
                raise UserError(f"{by}: '{parent}' is no section", "configs/default.yaml shows every key")
        place[leaf] = value
    try:
        # JSON mode: strict about types, yet a YAML list is a tuple and 1 a float
        config = model.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        problems += [_explain(detail, path, lines, asked, model) for detail in error.errors()]
    if problems:
        raise UserError("\n".join(problems), fix)
    return config


def values_of(path: Path) -> dict[str, Any]:
    """What the file itself says, without defaults; UserError where it cannot be read."""
    return _parsed(path)[1]


def origins_of(config: Config, path: Path, asked: dict[str, Asked]) -> dict[str, str]:
    """Dotted key -> where its value comes from: a file and its line, what the user typed, or "default"."""
    lines: Lines = {}
    node, _ = _parsed(path)
    _walk(node, (), lines)
    found = {}
    for key in leaves_of(config.model_dump(mode="json")):
        place = tuple(key.split("."))
        line = lines.get(place)
        found[key] = f"{path}:{line}" if line else "default"
        for n in range(1, len(place) + 1):
            if one := asked.get(".".join(place[:n])):  # it replaces what the file says of all that is in it
                found[key] = one.by if _holds(one.value, place[n:]) else "default"
    return found


def _holds(value: Any, place: tuple[str, ...]) -> bool:
    for part in place:
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True


def leaves_of(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Dotted key -> value, of all that is no section; an empty section is a value."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{above}{name}"
        if isinstance(value, dict) and value:
            found |= leaves_of(value, f"{key}.")
        else:
            found[key] = value
    return found


def _parsed(path: Path) -> tuple[yaml.Node | None, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        there = ", ".join(sorted(p.name for p in path.parent.glob("*.yaml"))) or "none"
        raise UserError(
            f"{path}: cannot read the config ({error})", f"CONFIG=FILE; {path.parent} holds: {there}"
        ) from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = {} if node is None else yaml.safe_load(text)
        json.dumps(values, default=str)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}", "mend the line named above") from None
    except (ValueError, RecursionError, TypeError) as error:
        raise UserError(f"{path}: holds itself, or a key that is no name ({error})", "write it out") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: a config is a mapping of sections", "see configs/default.yaml")
    # a section whose keys are all commented out is one left as it is
    return node, {key: value for key, value in values.items() if value is not None}


def _walk(node: yaml.Node | None, at: tuple[str, ...], lines: Lines) -> list[str]:
    """Fills in the line of each key; returns a problem for each key given twice."""
    problems = []
    if isinstance(node, yaml.MappingNode):
        own: Lines = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == "tag:yaml.org,2002:merge":  # <<: *other; what stands here itself counts more
                for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    there: Lines = {}
                    problems += _walk(merged, at, there)
                    lines |= {place: known for place, known in there.items() if place not in lines}
                continue
            place = (*at, str(key.value))
            if place in own:
                problems.append(f"{line}: {'.'.join(place)}: given twice (first on line {own[place]})")
            if key.tag != "tag:yaml.org,2002:str":
                problems.append(f"{line}: {'.'.join(place)}: YAML does not read this as a name; put it in quotes")
            own[place] = lines[place] = line
            problems += _walk(value, place, lines)
    return problems


def _explain(detail: ErrorDetails, path: Path, lines: Lines, asked: dict[str, Asked], root: type[BaseModel]) -> str:
    """Where, which key, what is wrong with it, and what was found."""
    place = tuple(str(part) for part in detail["loc"])
    dotted = ".".join(place)
    by = next((one.by for key, one in asked.items() if dotted == key or dotted.startswith(f"{key}.")), None)
    line = next((lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in lines), 0)
    where = (by or (f"{path}:{line}" if line else str(path))) + (f": {dotted}: " if place else ": ")
    value = detail["input"]
    if detail["type"] == "extra_forbidden":
        if "." in place[-1]:
            section, _, rest = place[-1].partition(".")
            return f"{where}unknown key; a dot is for --set, here it is {section}: {{{rest}: ...}}"
        near = difflib.get_close_matches(place[-1], _keys_of(place[:-1], root), n=1, cutoff=0.4)
        known = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(_keys_of(place[:-1], root))}"
        return f"{where}unknown key; {known}"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "literal_error":
        allowed = [word.strip("' ") for word in str(detail["ctx"]["expected"]).replace(" or ", ",").split(",")]
        near = difflib.get_close_matches(str(value), allowed, n=1)
        message += f"; did you mean '{near[0]}'?" if near else ""
    elif detail["type"] in OUT_OF_RANGE:
        message = f"out of range, {_range_of(place, root) or _limit(detail['ctx'])}"
    elif isinstance(value, str) and re.fullmatch(r"[-+]?\d+[eE][-+]?\d+", value):
        digits, _, power = value.lower().partition("e")
        message += f"; YAML wants a point in such a number: {digits}.0e{power}"
    elif detail["type"] == "tuple_type" and not isinstance(value, dict):
        message = f"a list is wanted: [{value}]"
    elif detail["type"] in ("model_type", "model_attributes_type", "dict_type"):
        message = f"keys are wanted, one below the other or in braces{_for_example(place, root)}"
    elif detail["type"] == "string_pattern_mismatch" and place[-1] == "gpu_hours":
        message = 'hours from and to are wanted: "20:00-08:00"'
    elif isinstance(value, str) and detail["type"] == "bool_type":
        message += "; write true or false, without quotes"
    elif (
        isinstance(value, str) and detail["type"] in ("int_type", "float_type") and re.fullmatch(r"[-+]?[\d.]+", value)
    ):
        message += "; write the number without quotes"
    return where + message + (f" (found {value!r})" if place and not isinstance(value, dict) else "")


OUT_OF_RANGE = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")


def _for_example(place: tuple[str, ...], root: type[BaseModel]) -> str:
    keys = _keys_of(place, root)
    return f": {{{keys[0]}: ...}}" if keys else ""


def _limit(context: dict[str, Any]) -> str:
    """What a number in a list did not keep to."""
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    return next(f"it is {words[kind]} {context[kind]:g}" for kind in words if kind in context)


def _range_of(place: tuple[str, ...], root: type[BaseModel]) -> str:
    """The range of a key in words, or ""."""
    marks = getattr(_field_of(place, root), "metadata", ())
    bounds = {kind: getattr(mark, kind) for mark in marks for kind in ("ge", "gt", "le", "lt") if hasattr(mark, kind)}
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    if low is not None and high is not None:
        return f"it lies in {'[' if 'ge' in bounds else '('}{low:g}, {high:g}{']' if 'le' in bounds else ')'}"
    if low is not None:
        return f"it is {low:g} or more" if "ge" in bounds else f"it is above {low:g}"
    return ""


def _field_of(place: tuple[str, ...], root: type[BaseModel]) -> Any:
    model = _model_at(place[:-1], root)
    return model.model_fields.get(place[-1]) if model and place else None


def _keys_of(place: tuple[str, ...], root: type[BaseModel]) -> list[str]:
    model = _model_at(place, root)
    return list(model.model_fields) if model else []


def _model_at(place: tuple[str, ...], root: type[BaseModel]) -> type[BaseModel] | None:
    """The section that stands there: by its name in the section above, in a mapping of sections, or null instead."""
    found: Any = root
    for part in place:
        if get_origin(found) is dict:
            found = get_args(found)[1]
            continue
        field = found.model_fields.get(part) if _is_model(found) else None
        if field is None:
            return None
        kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if _is_model(kind)]
        found = field.annotation if get_origin(field.annotation) is dict else kinds[0] if kinds else None
    return found if _is_model(found) else None


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
