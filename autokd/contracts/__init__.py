"""What the parts of a compression pipeline agree on. Read this file first.

A pipeline is a list of *stages*. Each takes and returns ``Models``, an immutable map of named network values, and
may use the five other kinds of method: objectives, hooks, samplers, augmenters, optimizers. Every method is a frozen
dataclass whose fields are its hyperparameters and which has one method that builds something; what it builds carries
its own state and can be saved and restored exactly.

==========  ==================================================  ===============================================
kind        its one method                                      what is built
==========  ==================================================  ===============================================
Stage       ``run(models, ctx) -> Models``                      new network values
Objective   ``build(models, ctx) -> LossTerm``                  an nn.Module: projections, critics train along
Hook        ``build(model, plan) -> HookRun``                   acts after each optimizer step
Sampler     ``build(rows, plan) -> BatchSource``                decides which rows, and neighbours, a step sees
Augmenter   ``rewrite(rows, ctx) -> Split`` or                  other texts once, or a recipe for each batch
            ``transform(batch, draw) -> Batch``
Optimizer   ``build(groups) -> torch.optim.Optimizer``          the optimizer itself
==========  ==================================================  ===============================================

Before anything runs, methods *declare*: ``facts`` (what must hold and what will hold), ``wants`` (which tensors of a
forward pass), and ``cost`` (multiply-accumulates in closed form). From these come the order check, the teacher cache
and the budget forecast.
"""

from autokd.contracts.batches import Batch, Dropout, ManyNetworks, Network, Outputs, Rows, Transform
from autokd.contracts.built import BatchSource, HookRun, LossTerm, ParameterGroup
from autokd.contracts.context import Context, Proposer, Timer, TrainPlan
from autokd.contracts.declarations import (
    ANY_DATA,
    ASSET_KINDS,
    GRAPH,
    TEXT,
    TRAINING_FACTOR,
    BaseModel,
    Corpus,
    Cost,
    Facts,
    Sizes,
    TextModel,
    Wants,
)
from autokd.contracts.graphs import Block, GraphBatch, GraphOutputs, NodeGraph, NodeRows, SparseRows
from autokd.contracts.kinds import (
    KINDS,
    BatchTransformer,
    Hook,
    MaskingHook,
    Method,
    NeedsAssets,
    NeedsSteps,
    Objective,
    OptimizerMethod,
    ReshapingHook,
    Sampler,
    Stage,
    StartsFresh,
    StartsFromBase,
    TextAugmenter,
)
from autokd.contracts.models import Models, Slot

__all__ = [
    "ANY_DATA",
    "ASSET_KINDS",
    "GRAPH",
    "KINDS",
    "TEXT",
    "TRAINING_FACTOR",
    "BaseModel",
    "Batch",
    "BatchSource",
    "BatchTransformer",
    "Block",
    "Context",
    "Corpus",
    "Cost",
    "Dropout",
    "Facts",
    "GraphBatch",
    "GraphOutputs",
    "Hook",
    "HookRun",
    "LossTerm",
    "ManyNetworks",
    "MaskingHook",
    "Method",
    "Models",
    "NeedsAssets",
    "NeedsSteps",
    "Network",
    "NodeGraph",
    "NodeRows",
    "Objective",
    "OptimizerMethod",
    "Outputs",
    "ParameterGroup",
    "Proposer",
    "ReshapingHook",
    "Rows",
    "Sampler",
    "Sizes",
    "Slot",
    "SparseRows",
    "Stage",
    "StartsFresh",
    "StartsFromBase",
    "TextAugmenter",
    "TextModel",
    "Timer",
    "TrainPlan",
    "Transform",
    "Wants",
]
