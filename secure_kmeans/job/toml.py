"""A job as the text of its file."""

from __future__ import annotations

import json
import re
from typing import Any

from secure_kmeans.job.job import Job


def to_toml(job: Job, comment: str = "") -> str:
    """The text of a job file from which the same job is read, without defaults and keys that follow from others.

    Parameters
    ----------
    job : Job
        Without keys that a job file may not have.
    comment : str, optional
        Lines that stand at the top.
    """
    values = json.loads(job.model_dump_json(exclude_defaults=True, exclude=set(job.FOLLOWING)))
    values = {"protocol": job.protocol} | {key: value for key, value in values.items() if value is not None}
    tables = {key: value for key, value in values.items() if _is_table(value)}
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    lines += ["", *(f"{key} = {_value(value)}" for key, value in values.items() if key not in tables)]
    for key, value in tables.items():
        rows = [(f"[{key}]", value)] if isinstance(value, dict) else [(f"[[{key}]]", row) for row in value]
        for heading, table in rows:
            lines += ["", heading, *(f"{_key(name)} = {_value(each)}" for name, each in table.items())]
    return "\n".join(lines).lstrip("\n") + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items() if each is not None) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    # Texts, numbers and truth values are written alike in JSON and in TOML, but for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)
