"""Chains of methods: a legal one trains, ships and comes back equal; an illegal one is refused in one line.

Both tables are meant to grow: a new method adds a row with its neighbours, written as pipelines are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autokd.contracts import BaseModel, Sizes, Slot
from autokd.core.errors import SpecError
from autokd.core.task import Task
from autokd.deploy.export import export_checkpoint
from autokd.deploy.gate import admit
from autokd.deploy.runtimes import open_runtime
from autokd.engine.evaluate import predict
from autokd.models.elastic import matrices_of, shape_of
from autokd.models.slots import build
from autokd.models.tiny import tiny_shape
from autokd.pipeline import Pipeline, task_facts
from autokd.testing.context import tiny_context
from autokd.testing.methods import run_stages
from autokd.testing.tiny import tiny_regression, tiny_task

Stage = Mapping[str, Any]


def distil(*objectives: Mapping[str, Any], **fields: Any) -> Stage:
    """A short distillation; without objectives it follows the teacher's logits in a form that every task has."""
    named = list(objectives) or [MSE]
    return {"use": "basics:Distil", "objectives": named, "epochs": 1, "batch_size": 16, "optimizer": ADAMW, **fields}


ADAMW = {"use": "basics:AdamW", "lr": 0.003}
TEACHER = {"use": "basics:FineTuneTeacher", "epochs": 1, "batch_size": 16, "optimizer": ADAMW}
TRUNCATE = {"use": "basics:TruncateLayers", "keep": 1}
SHAPED = {"use": "basics:PruneToShape", "layers": 1.0, "hidden": 0.6, "heads": 0.5, "ffn": 0.4, "widths": "per_layer"}
LOAD = {"use": "basics:LoadStudent", "model": "small"}
EXPERTS = {"use": "moebert:ToExperts", "experts": 2, "width": 0.5}
OF_STUDENT = {**EXPERTS, "of": "student"}
TOKEN_GATED, SENTENCE_GATED = ({**EXPERTS, "routing": f"gate_{of}"} for of in ("token", "sentence"))
SPARSIFY = {"use": "stark:SparsifyTeacher", "share": 0.4}
ZERO = {**SPARSIFY, "granularity": "weights"}
REWIND = {"use": "basics:Rewind"}

LABELS = {"use": "basics:Labels", "weight": 0.5}
KL, CE, MSE = ({"use": "basics:Logits", "form": form} for form in ("kl", "ce", "mse"))
HIDDEN = {"use": "basics:HiddenMSE"}
TRANSFER, BALANCE = {"use": "moebert:LayerTransfer"}, {"use": "moebert:LoadBalance"}
MI = {"use": "mi_alpha:MutualInformation", "hidden": 16, "out": 8}
COSINE, PKD, HIDDEN_CE = ({"use": f"distiller:{name}", "layers": "emd"} for name in ("Cosine", "PKD", "HiddenCE"))
LEARN_FILTERS = {"use": "ted:LearnFilters", "epochs": 1, "batch_size": 16}
FILTERED, PROJECTED = {"use": "ted:FilteredHidden"}, {"use": "ted:ProjectedHidden"}

PRUNE = {"hooks": [{"use": "basics:MagnitudePruning", "sparsity": 0.6, "begin": 0.0, "end": 0.5, "every": 1}]}
MIXUP = {"augmenters": [{"use": "basics:Mixup"}]}
MASKED = {"use": "distiller:ContextualSubstitution", "model": "masked"}
POLICY_AND_MIXUP = {"augmenters": [{"use": "basics:WordSwap"}, MASKED, {"use": "basics:Mixup"}]}
PLATON = {"hooks": [{"use": "platon:Platon", "keep": 0.5, "every": 2}]}
CUT = {"hooks": [{"use": "platon:StructuredPlaton", "keep": 0.5, "every": 2}]}
EMPTIED = {"hooks": [{"use": "platon:StructuredPlaton", "keep": 0.0, "every": 1}]}
ADASHIFT = {"optimizer": {"use": "adashift:AdaShift", "lr": 0.01, "keep": 1}}
SWAP_AND_MIXUP = {"augmenters": [{"use": "basics:WordSwap"}, {"use": "basics:Mixup"}]}
STARK = (TEACHER, TRUNCATE, distil(), SPARSIFY, REWIND)

# Legal for classes and for numbers alike: what compares distributions stands in CLASSES below.
LEGAL = {
    "plain": (TEACHER, TRUNCATE, distil()),
    "fine-tuned": (TEACHER, TRUNCATE, distil(LABELS)),
    "distilled twice": (TEACHER, TRUNCATE, distil(HIDDEN), distil(MSE, LABELS)),
    "rewound": (TEACHER, TRUNCATE, distil(), REWIND, distil(MSE, HIDDEN)),
    "pruned to a shape": (TEACHER, SHAPED, distil()),
    "pruned to a shape, with everything": (
        TEACHER,
        {**SHAPED, "widths": "uniform"},
        distil(LABELS),
        SPARSIFY,
        REWIND,
        distil(LABELS),
        LEARN_FILTERS,
        distil(MSE, LABELS, FILTERED, HIDDEN, MI, **MIXUP),
        distil(TRANSFER, **CUT),
    ),
    "experts of a shape": (TEACHER, SHAPED, OF_STUDENT, distil(MSE, HIDDEN)),
    "experts": (TEACHER, EXPERTS, distil(MSE, HIDDEN)),
    "experts of few layers": (TEACHER, TRUNCATE, OF_STUDENT, distil(MSE, MI)),
    "experts of balanced words": (TEACHER, {**EXPERTS, "routing": "balanced_hash"}, distil(LABELS, TRANSFER)),
    "experts by gate": (TEACHER, TOKEN_GATED, distil(LABELS, TRANSFER, BALANCE)),
    "experts by the gate of a sentence, and mixup": (
        TEACHER,
        LOAD,
        {**SENTENCE_GATED, "of": "student"},
        distil(MSE, BALANCE, **MIXUP),
        SPARSIFY,
        REWIND,
        distil(MSE, BALANCE, **PLATON),
    ),
    "another student after experts by gate": (TEACHER, TOKEN_GATED, distil(), TRUNCATE, distil(MSE, **CUT)),
    "experts of layers without a neuron": (TEACHER, TRUNCATE, distil(**EMPTIED), OF_STUDENT, distil(MSE)),
    "experts of a trained student": (TEACHER, TRUNCATE, distil(), OF_STUDENT, distil(MSE, **PRUNE)),
    "pretrained": (TEACHER, LOAD, distil(MSE, HIDDEN, **MIXUP)),
    "pretrained into experts": (TEACHER, LOAD, OF_STUDENT, distil(MSE, MI)),
    "stark": (*STARK, distil(MSE, LABELS)),
    "stark with everything": (*STARK, distil(MSE, LABELS, HIDDEN, MI, **PRUNE, **SWAP_AND_MIXUP)),
    "stark without rewinding": (TEACHER, TRUNCATE, distil(), SPARSIFY, distil(MSE, MI)),
    "stark of weights": (TEACHER, TRUNCATE, distil(), ZERO, REWIND, distil(MSE, MI, **MIXUP)),
    "stark for experts": (TEACHER, EXPERTS, distil(), SPARSIFY, REWIND, distil(MSE, HIDDEN, **PRUNE)),
    "stark for a pretrained student": (TEACHER, LOAD, distil(), SPARSIFY, REWIND, distil(MSE, HIDDEN)),
    "stark twice": (*STARK, distil(), {**SPARSIFY, "share": 0.7}, REWIND, distil()),
    "ted": (TEACHER, TRUNCATE, distil(LABELS), LEARN_FILTERS, distil(MSE, LABELS, FILTERED)),
    "ted's start without ted": (TEACHER, TRUNCATE, distil(LABELS), distil(MSE, PROJECTED, **ADASHIFT)),
    "stark, ted and all the rest": (
        *STARK,
        distil(LABELS),
        LEARN_FILTERS,
        distil(MSE, LABELS, FILTERED),
        distil(MSE, MI, **PLATON, **MIXUP, **ADASHIFT),
    ),
    "ted of a pretrained student": (TEACHER, LOAD, distil(LABELS), LEARN_FILTERS, distil(MSE, FILTERED, **CUT)),
    "platon of experts": (TEACHER, EXPERTS, distil(MSE, COSINE, **PLATON, **ADASHIFT)),
    "cut while it learns, then distilled": (TEACHER, TRUNCATE, distil(MSE, HIDDEN, **CUT), distil(MSE, PKD)),
    "every objective": (TEACHER, TRUNCATE, distil(MSE, HIDDEN, COSINE, PKD, HIDDEN_CE, MI, **POLICY_AND_MIXUP)),
    "another student after stark": (*STARK, {**TRUNCATE, "take": "last"}, distil(MSE, LABELS)),
}
CLASSES = {
    "the paper's stark": (
        TEACHER,
        TRUNCATE,
        distil({**CE, "weight": 0.5}, LABELS),
        SPARSIFY,
        REWIND,
        distil(CE, LABELS),
    ),
    "stark, MI and mixup": (*STARK, distil(KL, MI, **PRUNE, **MIXUP)),
    "experts as in their paper": (TEACHER, EXPERTS, distil(LABELS, TRANSFER)),
}
ROWS = [
    *(pytest.param(stages, tiny_task(), id=name) for name, stages in {**LEGAL, **CLASSES}.items()),
    *(pytest.param(stages, tiny_regression(), id=f"{name}, numbers") for name, stages in LEGAL.items()),
]


def trained(stages: tuple[Stage, ...], task: Task, root: Path) -> Slot:
    """The student of a chain that was checked, built from JSON and run."""
    pipeline = Pipeline.from_json({"stages": list(stages)})
    pipeline.check(task_facts(task))
    models = run_stages(pipeline.stages, task, root)
    assert models["student"].content != models["student_init"].content
    return models["student"]


@pytest.mark.parametrize(("stages", "task"), ROWS)
def test_a_legal_chain_trains_ships_and_comes_back(stages: tuple[Stage, ...], task: Task, tmp_path: Path) -> None:
    student = trained(stages, task, tmp_path)
    rows = tiny_context(tmp_path, task, "basics:Distil").rows("valid", student)
    admitted = admit(student, tmp_path / "checkpoint", task, rows)
    shipped = export_checkpoint(tmp_path / "checkpoint", tmp_path / "shipped", "hf", rows=rows)
    found = open_runtime("torch", shipped.folder).logits(rows)
    expected = predict(build(student), rows, torch.device("cpu"), torch.float32).numpy()
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)
    assert admitted.params == shape_of(student).params()


@pytest.mark.slow
@pytest.mark.parametrize(("stages", "task"), ROWS)
def test_a_legal_chain_ships_in_onnx(stages: tuple[Stage, ...], task: Task, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    student = trained(stages, task, tmp_path)
    rows = tiny_context(tmp_path, task, "basics:Distil").rows("valid", student)
    admitted = admit(student, tmp_path / "checkpoint", task, rows)
    shipped = export_checkpoint(tmp_path / "checkpoint", tmp_path / "onnx", "onnx", rows=rows)
    found = open_runtime("onnx", shipped.folder).logits(rows)
    np.testing.assert_allclose(found, admitted.logits, atol=1e-4, rtol=1e-4)


def test_magnitude_pruning_leaves_its_zeros_in_what_ships(tmp_path: Path) -> None:
    student = trained(LEGAL["stark with everything"], tiny_task(), tmp_path)
    values = [student.weights[name] for names in matrices_of(shape_of(student)) for name in names]
    zeros, n = sum(int((value == 0).sum()) for value in values), sum(value.numel() for value in values)
    assert zeros == round(0.6 * n)


# The one line that a user reads, where classes are to be told apart.
ILLEGAL = {
    "no student": (
        (TEACHER, distil()),
        "stage 2 (basics:Distil) needs student; "
        "before it there are classification, dense_teacher, encoder_teacher, teacher, text.",
    ),
    "no teacher": (
        (TRUNCATE, distil(LABELS)),
        "stage 1 (basics:TruncateLayers) needs dense_teacher, encoder_teacher; "
        "before it there are classification, text.",
    ),
    "nothing trained": (
        (TEACHER, TRUNCATE),
        "a pipeline must end with a trained student; at the end of this one there are "
        "classification, dense_teacher, encoder_teacher, student, student_init, teacher, text.",
    ),
    "stark without a trial": (
        (TEACHER, TRUNCATE, SPARSIFY, distil()),
        "stage 3 (stark:SparsifyTeacher) needs trained_student; before it there are "
        "classification, dense_teacher, encoder_teacher, student, student_init, teacher, text.",
    ),
    "stark of a rewound trial": (
        (TEACHER, TRUNCATE, distil(), REWIND, SPARSIFY, distil()),
        "stage 5 (stark:SparsifyTeacher) needs trained_student; before it there are "
        "classification, dense_teacher, encoder_teacher, student, student_init, teacher, text.",
    ),
    "stark of another student than the trial's": (
        (TEACHER, TRUNCATE, distil(), EXPERTS, SPARSIFY, distil()),
        "stage 5 (stark:SparsifyTeacher) needs trained_student; before it there are "
        "classification, dense_teacher, encoder_teacher, hash_routed, student, student_init, teacher, text.",
    ),
    "stark twice over one trial": (
        (TEACHER, TRUNCATE, distil(), SPARSIFY, SPARSIFY, distil()),
        "stage 5 (stark:SparsifyTeacher) needs trained_student; before it there are "
        "classification, dense_teacher, encoder_teacher, student, student_init, teacher, text.",
    ),
    "a sparse teacher that teaches nobody": (
        (TEACHER, TRUNCATE, distil(), SPARSIFY),
        "a pipeline must end with a trained student; at the end of this one there are "
        "classification, dense_teacher, encoder_teacher, student, student_init, teacher, text.",
    ),
    "rewound at the end": (
        (*STARK[:3], REWIND),
        "a pipeline must end with a trained student; at the end of this one there are "
        "classification, dense_teacher, encoder_teacher, student, student_init, teacher, text.",
    ),
    "nothing to rewind to": (
        (TEACHER, REWIND, distil()),
        "stage 2 (basics:Rewind) needs student_init; "
        "before it there are classification, dense_teacher, encoder_teacher, teacher, text.",
    ),
    "filters for a student that knows nothing": (
        (TEACHER, TRUNCATE, LEARN_FILTERS, distil(MSE, FILTERED)),
        "stage 3 (ted:LearnFilters) needs trained_student; before it there are "
        "classification, dense_teacher, encoder_teacher, student, student_init, teacher, text.",
    ),
    "filters of a teacher that became another": (
        (*STARK[:3], LEARN_FILTERS, SPARSIFY, REWIND, distil(MSE, FILTERED)),
        "ted:FilteredHidden in stage 7 (basics:Distil) needs ted_filters; before it there are "
        "classification, dense_teacher, encoder_teacher, student, student_init, teacher, text.",
    ),
    "filters of a student that was rewound": (
        (TEACHER, TRUNCATE, distil(LABELS), LEARN_FILTERS, REWIND, distil(MSE, FILTERED)),
        "ted:FilteredHidden in stage 6 (basics:Distil) needs ted_filters; before it there are "
        "classification, dense_teacher, encoder_teacher, student, student_init, teacher, text.",
    ),
    "experts cut while they learn": (
        (TEACHER, EXPERTS, distil(**CUT)),
        "platon:StructuredPlaton in stage 3 (basics:Distil) cannot run where hash_routed holds; before it there are "
        "classification, dense_teacher, encoder_teacher, hash_routed, student, student_init, teacher, text.",
    ),
    "experts by gate cut while they learn": (
        (TEACHER, TOKEN_GATED, distil(**CUT)),
        "platon:StructuredPlaton in stage 3 (basics:Distil) cannot run where gated holds; before it there are "
        "classification, dense_teacher, encoder_teacher, gated, student, student_init, teacher, text.",
    ),
    "balance without a gate": (
        (TEACHER, EXPERTS, distil(MSE, BALANCE)),
        "moebert:LoadBalance in stage 3 (basics:Distil) needs gated; before it there are "
        "classification, dense_teacher, encoder_teacher, hash_routed, student, student_init, teacher, text.",
    ),
    "experts made of experts": (
        (TEACHER, TOKEN_GATED, OF_STUDENT, distil()),
        "stage 3 (moebert:ToExperts) cannot run where gated holds; before it there are "
        "classification, dense_teacher, encoder_teacher, gated, student, student_init, teacher, text.",
    ),
    "mixed tokens for experts": (
        (TEACHER, EXPERTS, distil(**MIXUP)),
        "basics:Mixup in stage 3 (basics:Distil) cannot run where hash_routed holds; before it there are "
        "classification, dense_teacher, encoder_teacher, hash_routed, student, student_init, teacher, text.",
    ),
    "mixed tokens for experts of few layers": (
        (TEACHER, TRUNCATE, distil(**MIXUP), OF_STUDENT, distil(HIDDEN, **SWAP_AND_MIXUP)),
        "basics:Mixup in stage 5 (basics:Distil) cannot run where hash_routed holds; before it there are "
        "classification, dense_teacher, encoder_teacher, hash_routed, student, student_init, teacher, text.",
    ),
}

# The same where numbers are to be told: a softmax over one logit is constant.
ILLEGAL_FOR_NUMBERS = {
    f"a distribution of numbers: {form}": (
        (TEACHER, TRUNCATE, distil(LABELS, {"use": "basics:Logits", "form": form})),
        "basics:Logits in stage 3 (basics:Distil) cannot run where regression holds; before it there are "
        "dense_teacher, encoder_teacher, regression, student, student_init, teacher, text.",
    )
    for form in ("kl", "ce", "symmetric_kl")
}
# What names of models stand for: their tokenizers, and whether they are encoders that can be cut.
OTHER_WORDS = {"auto": BaseModel("auto", tokenizer="a"), "small": BaseModel("small", tokenizer="b")}
FOREIGN = {"auto": BaseModel("auto", is_encoder=False), "small": BaseModel("small")}
APART = "needs the same tokens in teacher and student, but they have different tokenizers; objectives that compare "
ILLEGAL_FOR_MODELS = {
    "hidden states of other tokens": (
        (TEACHER, LOAD, distil(MI), distil(HIDDEN)),
        OTHER_WORDS,
        f"basics:HiddenMSE in stage 4 (basics:Distil) {APART}",
    ),
    "mixtures of other tokens": (
        (TEACHER, LOAD, distil(**MIXUP)),
        OTHER_WORDS,
        f"basics:Mixup in stage 3 (basics:Distil) {APART}",
    ),
    "stark over other tokens": (
        (TEACHER, LOAD, distil(), SPARSIFY, REWIND, distil()),
        OTHER_WORDS,
        f"stage 4 (stark:SparsifyTeacher) {APART}",
    ),
    "layers of a teacher that cannot be cut": (
        (TEACHER, TRUNCATE, distil()),
        FOREIGN,
        "stage 2 (basics:TruncateLayers) needs encoder_teacher; "
        "before it there are classification, dense_teacher, teacher, text.",
    ),
    "the best parts of a teacher that cannot be cut": (
        (TEACHER, SHAPED, distil()),
        FOREIGN,
        "stage 2 (basics:PruneToShape) needs encoder_teacher; "
        "before it there are classification, dense_teacher, teacher, text.",
    ),
    "experts of a teacher that cannot be cut": (
        (TEACHER, EXPERTS, distil()),
        FOREIGN,
        "stage 2 (moebert:ToExperts) needs encoder_teacher; "
        "before it there are classification, dense_teacher, teacher, text.",
    ),
    "a teacher that cannot be cut made sparse": (
        (TEACHER, LOAD, distil(), ZERO, REWIND, distil()),
        FOREIGN,
        "stage 4 (stark:SparsifyTeacher) needs encoder_teacher; before it there are "
        "classification, dense_teacher, student, student_init, teacher, text, trained_student.",
    ),
}


# What only the networks' shapes and the number of rows tell: here a teacher of 2 layers, a student of 3, 48 rows.
DEEPER = "layers 'last' needs a teacher with at least as many layers as the student, but got 2 and 3."
ILLEGAL_FOR_SIZES = {
    f"the last layers of too few: {objective['use']}": (
        (TEACHER, LOAD, distil({**objective, "layers": "last"})),
        DEEPER,
    )
    for objective in (HIDDEN, COSINE, PKD, HIDDEN_CE, MI)
} | {
    "more layers than there are": (
        (TEACHER, {**TRUNCATE, "keep": 9}, distil()),
        "at most 2 layers can be kept of 2, but got 9.",
    ),
    "phases longer than the loop": (
        (TEACHER, TRUNCATE, distil(hooks=[{"use": "platon:Platon", "initial": 500}])),
        "Platon.initial and .final must fit into the loop's 3 steps, but together take 500.9.",
    ),
    "a window as long as the loop": (
        (TEACHER, TRUNCATE, distil(optimizer={"use": "adashift:AdaShift", "keep": 3})),
        "AdaShift.keep must be below the loop's 3 steps, or nothing is trained, but got 3.",
    ),
}


# What a stage refuses by itself, whatever stands before it.
ILLEGAL_HOOKS = {
    f"{names[0]} beside {names[1]}": (
        (TEACHER, TRUNCATE, distil(hooks=[*one["hooks"], *other["hooks"]])),
        f"Distil.hooks must be a list with at most one that prunes, but got {names!r}.",
    )
    for one, other, names in (
        (PLATON, CUT, ["Platon", "StructuredPlaton"]),
        (CUT, PRUNE, ["StructuredPlaton", "MagnitudePruning"]),
        (PLATON, PRUNE, ["Platon", "MagnitudePruning"]),
    )
}


def refusal(stages: tuple[Stage, ...], task: Task, bases: Mapping[str, BaseModel]) -> str:
    with pytest.raises(SpecError) as caught:
        Pipeline.from_json({"stages": list(stages)}).check(task_facts(task), bases)
    return str(caught.value)


@pytest.mark.parametrize("name", [*ILLEGAL, *ILLEGAL_HOOKS])
def test_an_illegal_chain_says_why(name: str) -> None:
    stages, message = (ILLEGAL | ILLEGAL_HOOKS)[name]
    assert refusal(stages, tiny_task(), {}) == message


@pytest.mark.parametrize("name", ILLEGAL_FOR_NUMBERS)
def test_a_chain_that_numbers_forbid_says_why(name: str) -> None:
    stages, message = ILLEGAL_FOR_NUMBERS[name]
    assert refusal(stages, tiny_regression(), {}) == message
    Pipeline.from_json({"stages": list(stages)}).check(task_facts(tiny_task()))


@pytest.mark.parametrize("name", ILLEGAL_FOR_SIZES)
def test_a_chain_that_sizes_forbid_is_refused_by_its_forecast(name: str) -> None:
    stages, message = ILLEGAL_FOR_SIZES[name]
    pipeline = Pipeline.from_json({"stages": list(stages)})
    pipeline.check(task_facts(tiny_task()))
    bases = {"auto": tiny_shape(depth=2), "small": tiny_shape(depth=3)}
    with pytest.raises(SpecError) as caught:
        pipeline.forecast(Sizes(48, 8.0, bases["auto"], bases=bases))
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ILLEGAL_FOR_MODELS)
def test_a_chain_that_models_forbid_says_why(name: str) -> None:
    stages, bases, message = ILLEGAL_FOR_MODELS[name]
    told = refusal(stages, tiny_task(), bases)
    assert told.startswith(message)
    if message.endswith(APART):  # which ones remain grows with every method
        assert told.removeprefix(message).startswith("whole rows remain: basics:Labels, basics:Logits, ")
    else:
        assert told == message
    Pipeline.from_json({"stages": list(stages)}).check(task_facts(tiny_task()))
