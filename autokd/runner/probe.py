"""The probe: a few timed training steps, from which the first forecast is made."""

from __future__ import annotations

import time

from autokd.contracts import TRAINING_FACTOR, Batch, NodeRows, Rows
from autokd.core.job import Job, Outcome
from autokd.core.shape import EncoderShape
from autokd.engine.batches import LengthBuckets
from autokd.engine.precision import autocast
from autokd.models.slots import build, shape_of_slot
from autokd.pipeline import Pipeline
from autokd.runner.workspace import Workspace, job_device

_WARM_UP_STEPS = 1
_TIMED_STEPS = 4
_BATCH_SIZE = 16


def _forward_macs(shape: EncoderShape, batch: Batch, rows: Rows) -> float:
    """Of one pass over a batch; where a pass is one over the whole graph, of that."""
    if isinstance(rows, NodeRows):
        return rows.graph.n_nodes * shape.macs(rows.graph.mean_extent)
    return float(sum(shape.macs(int(n)) for n in batch.mask.sum(1)))


def run_probe(job: Job) -> Outcome:
    """Time forward and backward passes of the teacher-to-be on real batches; ``seconds_per_mac`` of one worker."""
    workspace = Workspace(job.spec, job_device(job.device))
    slot = workspace.start(Pipeline.from_json(job.spec.pipeline))
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
            macs += TRAINING_FACTOR * _forward_macs(shape, batch, rows)
    return Outcome("complete", 0.0, values={"seconds_per_mac": seconds / macs}, trained_macs=macs)
