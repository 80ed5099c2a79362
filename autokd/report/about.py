"""What a study was asked, where it ran, what it spent, and how to repeat it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, fields

from autokd.core.budget import Budget
from autokd.core.latency import LatencySpec
from autokd.core.result import StudyResult
from autokd.core.settings import DataSource, StudySettings
from autokd.store.files import redacted

_WRITTEN = re.compile(r"([\d.]+)\s*(\S+)")


@dataclass(frozen=True)
class Amount:
    """One limit of the budget in the unit that the user wrote; ``scale`` base units (seconds, trials) make one."""

    limit: float
    spent: float
    unit: str
    scale: float

    @property
    def share(self) -> float:
        return self.spent / self.limit


def amounts(result: StudyResult) -> list[Amount]:
    """The limits of the budget, in the order in which they were written."""
    found = []
    for part in result.settings.budget.split(","):
        written = _WRITTEN.fullmatch(part.strip())
        assert written is not None  # the settings hold a budget that was parsed
        limit, number = Budget.parse(part).limits[0], float(written[1])
        scale = limit.amount / number
        found.append(Amount(number, result.spent.get(limit.unit, 0.0) / scale, written[2], scale))
    return found


def budget_line(result: StudyResult) -> str:
    """What was allowed and what was spent, as one line."""
    return ", ".join(f"{a.spent:.4g} of {a.limit:.4g} {a.unit} ({a.share:.0%})" for a in amounts(result))


def reproduce(result: StudyResult) -> list[tuple[str, str]]:
    """Commands with what each is for: repeat the search, take a student away, go on, write the report, train alone."""
    settings = result.settings
    where = f" --storage {shlex.quote(redacted(result.storage))}" if result.storage else ""
    study = shlex.quote(settings.study)
    given = _data_options(settings.data) + _training_options(settings)
    train = f"autokd train pipeline.json{given} --output student"
    commands = {
        "Go on with a larger budget": f"autokd resume {study}{where} --budget BUDGET",
        "Write this report again": f"autokd report {study}{where} --output report.html",
        "Train one pipeline of the table above alone, from its JSON": train,
    }
    repeated = {"Repeat the search": _without_passwords(settings.command)} if settings.command else {}
    return [*(repeated | _export(result, f"{study}{where}") | commands).items()]


def _export(result: StudyResult, study: str) -> dict[str, str]:
    """How to get the first of the frontier, in the form that is fastest; ``study`` is named with its storage."""
    if not result.front:
        return {}
    fastest = result.front[0].fastest
    form = f" --format {fastest}" if fastest.startswith("onnx") else ""
    purpose = "Take the student with the best validation score away"
    return {purpose: f"autokd export {study}{form} --output my-student"}


def _data_options(data: DataSource) -> str:
    """How the command line names this data set again."""
    named = {
        "--dataset": data.name,
        "--data-dir": data.data_dir,
        "--text-column": data.text_column,
        "--text-pair-column": data.text_pair_column,
        "--label-column": data.label_column,
        "--metric": data.metric,
        "--subset": data.subset,
        "--unlabelled": data.unlabelled,
    }
    return "".join(f" {option} {shlex.quote(value)}" for option, value in named.items() if value)


def _training_options(settings: StudySettings) -> str:
    """What else decides how a pipeline is trained, where it is not what the command line takes by default."""
    defaults = {field.name: field.default for field in fields(StudySettings)}
    found = [f" --methods {shlex.quote(path)}" for path in settings.method_files]
    if settings.max_length != defaults["max_length"]:
        found.append(f" --max-length {settings.max_length}")
    if settings.seed != defaults["seed"]:
        found.append(f" --seed {settings.seed}")
    if settings.trust_remote_code:
        found.append(" --trust-remote-code")
    return "".join(found)


def _without_passwords(command: str) -> str:
    """The command, redacted word by word: a password ends where its word does."""
    try:
        words = shlex.split(command)
    except ValueError:  # somebody's own text with an open quote
        return redacted(command)
    return shlex.join(map(redacted, words))


def environment(result: StudyResult) -> dict[str, str]:
    """Versions and machine; a value that trials disagree on (several machines) lists all of them."""
    seen: dict[str, dict[str, None]] = {name: {value: None} for name, value in result.settings.environment.items()}
    for record in result.records:
        for name, value in record.environment.items():
            seen.setdefault(name, {})[value] = None
    return {name: ", ".join(values) for name, values in seen.items()}


def _unit(s: StudySettings) -> str:
    return " (a pass over the whole graph)" if s.kind == "graph" else f" ({s.latency_length} tokens)"


def _row_length(s: StudySettings) -> dict[str, str]:
    """What the multiply-accumulates of a row are counted for."""
    if s.kind == "graph":
        return {
            "neighbours": f"{s.median_length:.2f} nodes a node reads in the mean, itself included; MACs are per node"
        }
    return {"tokens": f"at most {s.max_length}; median {s.median_length:g}, on which MACs are counted"}


def settings_table(result: StudyResult) -> dict[str, str]:
    """What the study was asked for, resolved."""
    s = result.settings
    gpus = f", {s.gpus_per_trial:g} GPUs each" if s.device == "gpu" else ""
    unlabelled = f", {s.unlabelled_rows:,} unlabelled ones" if s.unlabelled_rows else ""
    return {
        "data set": f"{s.task_name} ({s.train_rows:,} training rows{unlabelled})",
        "metric": s.metric,
        "teachers" if len(s.teachers) > 1 else "teacher": ", ".join(s.teachers),
        "space": s.space_name,
        "objectives": ", ".join(s.objectives),
        "constraints": ", ".join(s.constraints) or "none",
        "budget": s.budget,
        **_row_length(s),
        **({"latency": LatencySpec.parse(s.latency).text + _unit(s)} if s.latency_length else {}),
        "precision": s.precision,
        "device": f"{s.device}, {s.workers} workers" + gpus,
        "runner": s.runner,
        "seed": str(s.seed),
        **({"remote code": "trusted: models may bring code of their own"} if s.trust_remote_code else {}),
    }
