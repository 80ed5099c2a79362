"""Files that are wrong in one way each, for the table of bad input."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file

Rows = Iterable[tuple[str, str]]
_PLUG_IN = """
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from autokd.contracts import Facts, LossTerm, Wants


class Term(LossTerm):
    teacher_wants = None

    def forward(self, student, teacher, batch, dropout):
        return BEHAVIOUR


@dataclass(frozen=True)
class Loss:
    kind: ClassVar[str] = "objective"
    source: ClassVar[str] = ""
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts()
    weight: float = 1.0

    def build(self, models, ctx):
        return Term()

    def cost(self, sizes):
        return 0.0
"""
# A real shortage, a real full device, a real death: each as its worker would meet it.
_MISBEHAVES = (
    _PLUG_IN.replace("BEHAVIOUR", "self.behave(student)")
    .replace("    weight: float = 1.0\n", '    behaviour: str = "nan"\n')
    .replace("return Term()", "return Term(self.behaviour)")
    .replace(
        "    teacher_wants = None\n",
        """    teacher_wants = None

    def __init__(self, behaviour):
        super().__init__()
        self.behaviour = behaviour

    def behave(self, student):
        return getattr(self, self.behaviour)(student.logits.sum())

    def nan(self, loss):
        return loss * float("nan")

    def raises(self, loss):
        raise ValueError("this one raises")

    def hungry(self, loss):
        before = resource.getrlimit(resource.RLIMIT_AS)
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, before[1]))
        try:
            return loss + torch.cat([torch.ones(2**22) for _ in range(64)]).sum()
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)

    def full(self, loss):
        with open("/dev/full", "wb", buffering=0) as file:
            return loss + file.write(b"x")

    def killed(self, loss):
        os.kill(os.getpid(), 9)

    def leaves(self, loss):
        os._exit(3)
""",
    )
    .replace("import torch\n", "import os\nimport resource\n\nimport torch\n")
)
PLAIN = {
    "stages": [
        {"use": "basics:FineTuneTeacher", "epochs": 1},
        {"use": "basics:TruncateLayers", "keep": 1},
        {"use": "basics:Distil", "epochs": 1},
    ],
    "form": "float32",
}


def rows(n: int, labels: Iterable[str] = ("bad", "good")) -> list[tuple[str, str]]:
    """So many different texts, their labels in turn."""
    names = list(labels)
    return [(f"the film of day {i}", names[i % len(names)]) for i in range(n)]


def pipeline(**changes: Mapping[str, Any]) -> dict[str, Any]:
    """The plain pipeline with fields of its stages changed: ``distil={"epochs": 2}``."""
    names = ("teacher", "truncate", "distil")
    stages = [{**stage, **changes.get(name, {})} for name, stage in zip(names, PLAIN["stages"], strict=True)]
    return {"stages": stages, "form": "float32"}


def with_objective(use: str) -> dict[str, Any]:
    """The plain pipeline, distilled with this objective."""
    return pipeline(distil={"objectives": [{"use": use}]})


def write_data(folder: Path) -> None:
    """Data files and folders, each broken in the way that its name says."""
    _csv(folder / "three_rows.csv", rows(3))
    _csv(folder / "one_class.csv", rows(100, ["good"]))
    _csv(folder / "many_classes.csv", rows(1000, [f"c{i}" for i in range(500)]))
    _csv(folder / "rare_classes.csv", rows(500, [f"c{i}" for i in range(500)]))
    _csv(folder / "nan_labels.csv", [*rows(40, ["0", "1"]), ("one more", "NaN"), ("another", "")])
    _csv(folder / "long.csv", [(f"{i} " + "word " * 20_000, label) for i, (_, label) in enumerate(rows(60))])
    (folder / "empty.csv").write_text("")
    (folder / "header_only.csv").write_text("text,label\n")
    (folder / "ragged.csv").write_text("text,label\na b,good\na,b,bad\n")
    (folder / "quotes.csv").write_text('text,label\n"a "b" c,good\n')
    (folder / "latin1.csv").write_bytes("text,label\nplain,good\ncafé,bad\n".encode("latin-1"))
    (folder / "nothing.xlsx").write_bytes(b"PK")
    (folder / "open_quote.tsv").write_text('text\tlabel\n"so it goes\tgood\nand on\tbad\n')
    (folder / "numbers.json").write_text("[1, 2, 3]")
    (folder / "one_object.json").write_text('{\n "text": "a"\n}\n')
    (folder / "broken.jsonl").write_text('{"text": "a", "label": 1}\n{"text": "b", "label": 0}\n{"text": \n')
    (folder / "array.jsonl").write_text('[{"text": "a", "label": 1}]\n')
    (folder / "values.csv").write_text("text,score\n" + "".join(f"text {i},{i / 7}\n" for i in range(60)))
    (folder / "infinite.csv").write_text("text,label\n" + "".join(f"text {i},{i / 7}\n" for i in range(60)) + "x,inf\n")
    pq.write_table(pa.table({"text": ["a"] * 90, "label": [0, 1, 2] * 30}), folder / "whole.parquet")
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["text", "text"])
    pq.write_table(twice, folder / "twice.parquet")
    (folder / "twice.csv").write_text("text,label,text\na,good,b\n")
    (folder / "broken.parquet").write_bytes((folder / "whole.parquet").read_bytes()[:-20])
    (folder / "no_splits").mkdir()
    (folder / "unseen").mkdir()
    _csv(folder / "unseen" / "train.csv", rows(60))
    _csv(folder / "unseen" / "test.csv", [*rows(20), ("a new one", "mixed")])


def write_code(folder: Path) -> None:
    """Plug-ins, metrics, spaces and pipelines that go wrong."""
    (folder / "raises_at_import.py").write_text("raise RuntimeError('no such device')\n")
    (folder / "no_python.py").write_text("def broken(:\n")
    for name, behaviour in {
        "nan_loss": "student.logits.sum() * float('nan')",
        "raises_in_training": "[][1]",
        "hungry": "student.logits.sum() + torch.empty(2**48).sum()",
    }.items():
        (folder / f"{name}.py").write_text(_PLUG_IN.replace("BEHAVIOUR", behaviour))
        _json(folder / f"{name}.json", with_objective(f"{name}:Loss"))
    (folder / "misbehaves.py").write_text(_MISBEHAVES)
    build = _PLUG_IN.replace("return Term()", 'raise KeyError("layer")')
    (folder / "raises_at_build.py").write_text(build)
    _json(folder / "raises_at_build.json", with_objective("raises_at_build:Loss"))
    (folder / "metrics.py").write_text(
        "def nan(logits, labels):\n    return float('nan')\ndef fails(logits, labels):\n    return 1 / 0\n"
    )
    _json(folder / "plain.json", PLAIN)
    _json(folder / "not_named.json", with_objective("elsewhere:Loss"))
    _json(folder / "other_model.json", pipeline(teacher={"model": "other"}))
    _json(folder / "no_student.json", {"stages": [{"use": "basics:FineTuneTeacher"}]})
    _json(folder / "unknown_method.json", with_objective("basics:Logit"))
    _json(folder / "unknown_module.json", with_objective("basic:Logits"))
    _json(folder / "unknown_field.json", pipeline(distil={"epoch": 3}))
    _json(folder / "wrong_type.json", pipeline(distil={"epochs": "many"}))
    _json(folder / "explodes.json", pipeline(distil={"optimizer": {"use": "basics:AdamW", "lr": 1e30}, "epochs": 4}))
    _json(folder / "wrong_order.json", {"stages": [PLAIN["stages"][i] for i in (2, 0, 1)]})  # type: ignore[index]
    _json(folder / "wrong_form.json", {**PLAIN, "form": "int4"})
    (folder / "broken.json").write_text('{"stages": [')
    _json(folder / "list.json", [1, 2])
    for name, text in _SPACES.items():
        (folder / f"{name}.yaml").write_text(text)


def write_models(folder: Path, teacher: Path, student: Path) -> None:
    """Checkpoints that cannot be loaded, made of two good ones: a bare ``teacher`` and a trained ``student``."""
    shutil.copytree(student, folder / "student")
    (folder / "weights.txt").write_text("no folder at all")
    (folder / "nothing_inside").mkdir()
    for name in ("half_written", "no_weights", "text_weights", "only_bin", "bad_config", "remote", "other_labels"):
        shutil.copytree(student, folder / name)
    weights = (student / "model.safetensors").read_bytes()
    (folder / "half_written" / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    (folder / "no_weights" / "model.safetensors").unlink()
    (folder / "text_weights" / "model.safetensors").write_text("these are no tensors")
    (folder / "only_bin" / "model.safetensors").unlink()
    torch.save(load_file(student / "model.safetensors"), folder / "only_bin" / "pytorch_model.bin")
    (folder / "bad_config" / "config.json").write_text('{"model_type": ')
    _change_json(
        folder / "remote" / "config.json",
        model_type="own",
        auto_map={name: "code.Own" for name in ("AutoConfig", "AutoModelForSequenceClassification")},
    )
    (folder / "remote" / "code.py").write_text("raise SystemExit('code of a model ran')\n")
    _change_json(folder / "other_labels" / "config.json", id2label={"0": "x", "1": "y"}, label2id={"x": 0, "y": 1})
    shutil.copytree(teacher, folder / "half_teacher")
    weights = (teacher / "model.safetensors").read_bytes()
    (folder / "half_teacher" / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    (folder / "pickle").mkdir()
    shutil.copy(student / "config.json", folder / "pickle")
    torch.save({"weight": _Evil()}, folder / "pickle" / "pytorch_model.bin")


def write_storages(folder: Path, whole: Path) -> None:
    """Storages that hold no study that can be read, one of them made of a good one."""
    (folder / "not_a.db").write_text("this is no database, whatever its name says")
    (folder / "not_a.journal").write_text("this is no journal\n")
    optuna.create_study(storage=f"sqlite:///{folder / 'foreign.db'}", study_name="foreign")
    with closing(sqlite3.connect(whole)) as source, closing(sqlite3.connect(folder / "newer.db")) as copy:
        source.backup(copy)
        copy.execute("UPDATE study_user_attributes SET value_json = '99' WHERE key = 'schema'")
        copy.commit()


def write_archives(folder: Path, whole: Path) -> None:
    """Studies' archives that must not be unpacked, made of a good one."""
    with zipfile.ZipFile(whole) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members["manifest.json"])
    study = next(name for name in members if name.endswith("task.json.gz"))
    _zip(folder / "changed.zip", {**members, study: members[study][:-1] + b"x"})
    _zip(folder / "cut.zip", members)
    (folder / "cut.zip").write_bytes((folder / "cut.zip").read_bytes()[:-2000])
    _zip(folder / "incomplete.zip", {name: text for name, text in members.items() if name != study})
    _zip(folder / "newer.zip", {**members, "manifest.json": json.dumps({**manifest, "schema": 99}).encode()})
    _zip(folder / "other.zip", {"readme.txt": b"no study"})
    (folder / "no_zip.zip").write_text("no archive at all")
    for name, member in (("outside", "../../evil.txt"), ("absolute", "/tmp/evil.txt")):
        listed = {**manifest, "files": {**manifest["files"], member: {"size": 1, "sha256": "0"}}}
        _zip(folder / f"{name}.zip", {**members, "manifest.json": json.dumps(listed).encode(), member: b"x"})
    _zip(folder / "link.zip", members)
    with zipfile.ZipFile(folder / "link.zip", "a") as archive:
        link = zipfile.ZipInfo("trials/link.json")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")


class _Evil:
    """An object that runs something when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this must never run",))


def _csv(path: Path, found: Rows) -> None:
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in found))


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def _change_json(path: Path, **changes: Any) -> None:
    _json(path, {**json.loads(path.read_text()), **changes})


def _zip(path: Path, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)


_TEACHER = "  - {use: basics:FineTuneTeacher, model: {name: teacher, pick: [auto]}}\n"
_STUDENT = "  - {use: basics:TruncateLayers, keep: {name: layers, pick: [1]}}\n"
_DISTIL = "  - {use: basics:Distil}\n"
_SPACES = {
    "misbehaves": f"stages:\n{_TEACHER}{_STUDENT}  - use: basics:Distil\n    objectives: [{{use: misbehaves:Loss, "
    "behaviour: {name: behaviour, pick: [nan, raises, hungry, full, killed, leaves]}}]\n",
    "malformed": "stages: [{use: basics:Distil\n",
    "twice": f"stages:\n{_TEACHER}{_STUDENT}  - use: basics:Distil\n    epochs: 2\n    epochs: 3\n",
    "exponent": f"stages:\n{_TEACHER}{_STUDENT}"
    "  - use: basics:Distil\n    optimizer: {use: basics:AdamW, lr: {name: lr, low: 1e-5, high: 1e-3}}\n",
    "no_stages": "steps: []\n",
    "same_names": f"stages:\n{_TEACHER}{_STUDENT}  - {{use: basics:Distil, epochs: {{name: layers, pick: [1, 2]}}}}\n",
    "low_above_high": f"stages:\n{_TEACHER}{_STUDENT}"
    "  - {use: basics:Distil, temperature: {name: t, low: 4.0, high: 1.0}}\n",
    "space_method": f"stages:\n{_TEACHER}{_STUDENT}  - {{use: basics:Destil}}\n",
    "space_field": f"stages:\n{_TEACHER}{_STUDENT}  - {{use: basics:Distil, epoch: 3}}\n",
    "space_order": f"stages:\n{_STUDENT}{_TEACHER}{_DISTIL}",
    "space_two_documents": f"stages:\n{_TEACHER}{_STUDENT}{_DISTIL}---\nstages: []\n",
    "space_object": "stages: !!python/object/apply:os.system ['true']\n",
}
