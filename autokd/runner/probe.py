"""The probe: a few timed training steps, from which the first forecast is made."""

from __future__ import annotations

import time

from autokd.contracts import TRAINING_FACTOR
from autokd.core.job import Job, Outcome
from autokd.engine.batches import LengthBuckets
from autokd.engine.precision import autocast
from autokd.models.slots import build, shape_of_slot
from autokd.pipeline import Pipeline
from autokd.runner.workspace import Workspace, job_device

_WARM_UP_STEPS = 1
_TIMED_STEPS = 4
_BATCH_SIZE = 16


def run_probe(job: Job) -> Outcome:
    """Time forward and backward passes of the base model on real batches; ``seconds_per_mac`` of one worker."""
    workspace = Workspace(job.spec, job_device(job.device))
    name = Pipeline.from_json(job.spec.pipeline).base_models()[0]
    slot = workspace.base(name, workspace.seeds)
    network = build(slot).to(workspace.device).train()
    rows = workspace.rows("train", slot)
    source = LengthBuckets(rows, _BATCH_SIZE, workspace.seeds.at("probe"))
    shape = shape_of_slot(slot)
    macs = seconds = 0.0
    for step in range(_WARM_UP_STEPS + _TIMED_STEPS):
        batch = source.next().to(workspace.device)
        started = time.perf_counter()
        with autocast(workspace.device, workspace.precision):
            logits = network(batch).logits
        logits.float().square().mean().backward()
        float(logits.detach().float().sum())  # waits for a GPU
        network.zero_grad()
        if step >= _WARM_UP_STEPS:
            seconds += time.perf_counter() - started
            macs += TRAINING_FACTOR * sum(shape.macs(int(n)) for n in batch.mask.sum(1))
    return Outcome("complete", 0.0, values={"seconds_per_mac": seconds / macs}, trained_macs=macs)
