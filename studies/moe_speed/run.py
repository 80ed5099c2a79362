"""What a student of experts costs beside dense networks: counted work, sizes, and latency. See README.md."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from page import page
from torch import Tensor

import autokd
from autokd.contracts import Batch, Wants
from autokd.core.seeds import Seeds
from autokd.core.settings import DataSource
from autokd.core.shape import EncoderShape
from autokd.core.task import Task
from autokd.deploy.forms import add_int8, add_onnx, runtime_folder, shape_checkpoint
from autokd.deploy.runtimes import Inputs, load_classifier, open_runtime, random_inputs
from autokd.measure.cost import counted_macs
from autokd.models.assets import find_model
from autokd.models.encoder import Encoder
from autokd.models.hub import load_pretrained
from autokd.models.slots import build
from autokd.tasks.load import load_task

HERE = Path(__file__).parent
RUNTIMES = ("torch", "onnx", "onnx-int8")
ROUNDS = {1: 40, 32: 8}  # by batch size
ROUTINGS = ("hash", "gate_token", "gate_sentence")  # balanced_hash is the network of hash with another table
EXPERTS, WIDTH = 4, 0.25  # the paper's


def pipeline(routing: str) -> dict[str, Any]:
    """A short run of the method as it is meant to be used; gates learn to send tokens to all experts."""
    balance = [{"use": "moebert:LoadBalance", "weight": 1.0}] if routing.startswith("gate") else []
    objectives = [{"use": "basics:Labels"}, {"use": "moebert:LayerTransfer"}, *balance]
    adamw = {"use": "basics:AdamW", "lr": 1e-4}
    return {
        "stages": [
            {"use": "basics:FineTuneTeacher", "epochs": 1, "batch_size": 16},
            {"use": "moebert:ToExperts", "experts": EXPERTS, "width": WIDTH, "routing": routing},
            {"use": "basics:Distil", "objectives": objectives, "optimizer": adamw, "epochs": 2, "batch_size": 16},
        ]
    }


def make_models(task: Task, work: Path, threads: int) -> dict[str, Path]:
    """Checkpoints of the dense teacher's shape, of that with one expert's width, and of students by each routing."""
    asset = find_model("minilm")
    shape = EncoderShape.from_json(load_pretrained(asset.folder, task.n_outputs, Seeds(0)).config)
    narrow = shape.with_layers(tuple(replace(layer, ffn=int(layer.ffn * WIDTH)) for layer in shape.layers))
    found = {
        "dense": shape_checkpoint(shape, str(asset.folder), work / "dense" / "checkpoint"),
        "narrow": shape_checkpoint(narrow, str(asset.folder), work / "narrow" / "checkpoint"),
    }
    for routing in ROUTINGS:
        fit = autokd.Distiller(pipeline(routing), teacher="minilm", threads=threads, precision="float32")
        found[routing] = fit.fit(task, work / routing).checkpoint
        print(f"{routing}: made", flush=True)
    for checkpoint in found.values():
        add_onnx(checkpoint)
        add_int8(checkpoint)
    return found


def encoder_of(checkpoint: Path) -> Encoder:
    """The network in a checkpoint; the plain families' is loaded as one of this project's."""
    model = load_classifier(checkpoint)
    if hasattr(model, "encoder"):
        return cast(Encoder, model.encoder)
    slot = load_pretrained(checkpoint, model.config.num_labels, Seeds(0))
    return cast(Encoder, build(slot))


def cost(checkpoint: Path, length: int) -> dict[str, Any]:
    """Parameters stored and met by a token, multiply-accumulates of one text by the closed form and as counted."""
    encoder = encoder_of(checkpoint)
    batch = random_batch(encoder, 4, length)
    return {
        "params": encoder.shape.params(),
        "active_params": encoder.shape.active_params(),
        "macs": encoder.shape.macs(length),
        "counted_macs": counted_macs(encoder, batch) / len(batch),
        "size_bytes": {
            runtime: sum(file.stat().st_size for file in runtime_folder(checkpoint, runtime).glob("model.*"))
            for runtime in RUNTIMES
        },
    }


def random_batch(encoder: Encoder, rows: int, length: int) -> Batch:
    """The very token ids that are timed."""
    return as_batch(random_inputs(encoder.shape.vocabulary, rows, length))


def as_batch(inputs: Inputs) -> Batch:
    """The tokenizer's outputs as what an encoder reads."""
    ids, types, mask = (torch.from_numpy(inputs[name]) for name in ("input_ids", "token_type_ids", "attention_mask"))
    return Batch(ids, types, mask, torch.zeros(len(ids), dtype=torch.int64), torch.arange(len(ids)))


def fullest(checkpoint: Path, rows: int, length: int) -> float:
    """The share of the timed tokens that goes to the layer's fullest expert, in the mean over layers; 0.25 is even."""
    encoder = encoder_of(checkpoint)
    batch = random_batch(encoder, rows, length)
    with torch.no_grad():
        gates = encoder(batch, Wants(gates=True)).gates
    if gates:
        chosen: Iterable[Tensor] = (shares.argmax(-1) for shares in gates)
    else:
        chosen = (layer.ffn.route[batch.ids].long() for layer in encoder.layers)
    loads = [torch.bincount(experts.flatten(), minlength=EXPERTS) for experts in chosen]
    return float(torch.stack([load.max() / load.sum() for load in loads]).mean())


class OwnRuntime:
    """A checkpoint in torch as this project's own encoder, dense ones too: all then run by the same code."""

    def __init__(self, checkpoint: Path) -> None:
        self._encoder = encoder_of(checkpoint)
        self.vocabulary, self.positions = self._encoder.shape.vocabulary, self._encoder.shape.positions

    def run(self, inputs: Inputs) -> np.ndarray:
        """Logits [batch, n_outputs] of a batch."""
        with torch.inference_mode():
            return self._encoder(as_batch(inputs)).logits.numpy()


def speed(models: Mapping[str, Path], length: int, rounds: Mapping[int, int]) -> list[dict[str, Any]]:
    """Medians of all models in all runtimes, in turns within one loop for each batch size, one thread each."""
    found = []
    for batch, n_rounds in rounds.items():
        opened: dict[str, Any] = {f"{name}|torch": OwnRuntime(folder) for name, folder in models.items()}
        for runtime in RUNTIMES[1:]:
            for name, folder in models.items():
                opened[f"{name}|{runtime}"] = open_runtime(runtime, runtime_folder(folder, runtime))
        for key, times in in_turns(opened, batch, length, n_rounds).items():
            name, _, runtime = key.partition("|")
            cpu, wall = np.median(np.array(times), axis=0)
            told = {"cpu_ms": round(float(cpu), 4), "wall_ms": round(float(wall), 4), "repeats": len(times)}
            found.append({"model": name, "runtime": runtime, "batch": batch, **told})
        print(f"batch {batch}: timed", flush=True)
    return found


def in_turns(models: Mapping[str, Any], batch: int, length: int, n_rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Milliseconds (of the processor, of the clock) of each call; every round goes once round all models, in an order
    drawn anew: one call to warm up, then three that count.

    A model runs in the calling thread alone, so that its processor time is what the clock would show on a machine that
    does nothing else.
    """
    inputs = {name: random_inputs(model.vocabulary, batch, length) for name, model in models.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    names, draw = list(models), np.random.default_rng(0)
    for _ in range(n_rounds):
        for i in draw.permutation(len(names)):
            name = names[i]
            models[name].run(inputs[name])
            for _ in range(3):
                wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
                models[name].run(inputs[name])
                times[name].append(((time.thread_time_ns() - cpu) / 1e6, (time.perf_counter_ns() - wall) / 1e6))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=256, help="training rows of the short runs")
    parser.add_argument("--length", type=int, default=64, help="tokens of each timed text")
    parser.add_argument("--rounds", type=float, default=1.0, help="times so many rounds")
    parser.add_argument("--threads", type=int, default=1, help="while models are made; timing has one")
    parser.add_argument("--note", default="", help="what else the machine did")
    parser.add_argument("--output", type=Path, default=HERE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    task = load_task(DataSource("pydocs"), seed=0)
    few = {
        name: getattr(task, name).take(range(n)) for name, n in (("train", options.rows), ("valid", 64), ("test", 64))
    }
    packages = ("torch", "onnxruntime", "onnx", "transformers")
    with tempfile.TemporaryDirectory() as folder:
        models = make_models(replace(task, **few), Path(folder), options.threads)
        found: dict[str, Any] = {
            "about": {
                "cores": os.cpu_count(),
                "load_before": os.getloadavg()[0],
                "note": options.note,
                "length": options.length,
                "packages": {name: version(name) for name in packages},
            },
            "cost": {name: cost(checkpoint, options.length) for name, checkpoint in models.items()},
            "fullest": {name: fullest(models[name], max(ROUNDS), options.length) for name in ROUTINGS},
            "speed": speed(models, options.length, {b: max(1, round(n * options.rounds)) for b, n in ROUNDS.items()}),
        }
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.output / "results.md").write_text(page(found))
    print(f"wrote {options.output / 'results.md'}")


if __name__ == "__main__":
    main()
