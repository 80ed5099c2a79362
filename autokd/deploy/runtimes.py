"""Models as they run after deployment: onnxruntime (float32 or int8) and torch (float32 or bfloat16), one interface."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from transformers import CONFIG_MAPPING, AutoModelForSequenceClassification

import autokd.auto  # noqa: F401 - registers the classes that load shapes plain transformers cannot
from autokd.contracts import Batch, Rows
from autokd.core.errors import AutokdError, DataError, UsageError, unknown
from autokd.core.latency import RUNTIMES
from autokd.deploy.folders import kind_of, limits_of, onnx_missing, read_json
from autokd.deploy.graph_runtime import open_graph_runtime
from autokd.engine.batches import scoring_batches
from autokd.models.quiet import quiet_transformers
from autokd.models.remote import code_refused

Inputs = Mapping[str, np.ndarray]
Between = Callable[[], None]
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_BATCH = 64
_AHEAD = 8  # batches that wait for each caller
_KINDS = {"onnx": "onnx", "onnx-int8": "onnx-int8", "torch": "hf", "torch-bf16": "hf"}


def nothing() -> None:
    """What happens between batches where nobody wants to stop."""


class Runtime(Protocol):
    """A loaded model. ``vocabulary, positions, token_types`` bound the token ids, length and segment ids that it
    reads, ``names`` are the inputs that it takes."""

    @property
    def name(self) -> str: ...

    @property
    def threads(self) -> int: ...

    @property
    def vocabulary(self) -> int: ...

    @property
    def positions(self) -> int: ...

    @property
    def token_types(self) -> int: ...

    @property
    def pad_id(self) -> int: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    def run(self, inputs: Inputs) -> np.ndarray:
        """Logits [batch, n_outputs] of one batch: the tokenizer's outputs, int64 [batch, length] each.

        ``input_ids, attention_mask, token_type_ids`` may all be given; what the model does not read is left out.
        """

    def logits(
        self, rows: Rows, batch_size: int | None = None, *, callers: int = 1, between: Between = nothing
    ) -> np.ndarray:
        """Logits [n_rows, n_outputs], float32, in row order.

        ``batch_size`` None: 64 rows at a time, but int8 models one by one. They scale activations over a whole batch,
        padding included, so that only a row on its own has logits that do not depend on its company.

        ``callers`` batches are computed at once, each on the runtime's threads; torch computes one after the other, on
        as many times its threads. No batch changes by that. ``between`` is called between batches, and may raise to
        end the work.
        """


def open_runtime(name: str, folder: Path, *, threads: int = 1, trust_remote_code: bool = False) -> Runtime:
    """Load a folder (as ``forms.runtime_folder`` names it, or any of that form) into one of ``RUNTIMES``.

    Raises UsageError for an unknown runtime or one that is not installed and for a model whose own code may not run,
    DataError for a folder of another form or one that does not load.
    """
    if name not in RUNTIMES:
        raise UsageError(unknown("runtime", name, RUNTIMES))
    kind = kind_of(folder)
    if kind == "graph" and name == "torch":
        return open_graph_runtime(folder, threads)
    if kind != _KINDS[name]:
        raise DataError(f"the runtime {name} reads a folder of the form {_KINDS[name]}, but {str(folder)!r} is {kind}.")
    if kind == "hf" and not trust_remote_code and _brings_code(folder):
        raise code_refused(str(folder))
    try:
        if kind == "hf":
            return TorchRuntime(name, folder, threads, trust_remote_code)
        return OnnxRuntime(name, folder, threads)
    except AutokdError:
        raise
    except Exception as error:  # each library has errors of its own for files that are not what they should be
        reason = str(error).strip().splitlines() or [repr(error)]
        raise DataError(f"the model in {str(folder)!r} cannot be loaded: {reason[0]}") from error


def _brings_code(folder: Path) -> bool:
    """Whether a checkpoint is of a type that only code beside it can build."""
    config = read_json(folder)
    return bool(config.get("auto_map")) and config.get("model_type") not in CONFIG_MAPPING


def default_runtime(folder: Path) -> str:
    """The float32 (or int8) runtime that reads a folder of whatever form. Raises DataError as ``kind_of``."""
    kind = kind_of(folder)
    return "torch" if kind in ("hf", "graph") else kind


def random_inputs(vocabulary: int, batch: int, length: int, seed: int = 0) -> dict[str, np.ndarray]:
    """A batch without padding, of token ids drawn evenly from the vocabulary but its first few (which mean padding)."""
    ids = np.random.default_rng(seed).integers(first_word(vocabulary), vocabulary, (batch, length))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def as_inputs(batch: Batch, pad_id: int = 0) -> dict[str, np.ndarray]:
    """A batch as the tokenizer's outputs, each [batch, length], padded with the model's own id.

    Decoders need that: they read the last token that is not padding, whatever the mask says.
    """
    ids = batch.ids.masked_fill(batch.mask == 0, pad_id)
    return dict(zip(_INPUTS, (ids.numpy(), batch.mask.numpy(), batch.types.numpy()), strict=True))


def first_word(vocabulary: int) -> int:
    """A token id from which on no id means padding; 0 in vocabularies of a few words."""
    return 5 if vocabulary > 10 else 0


def session(path: Path, threads: int) -> Any:
    """An onnxruntime session on the CPU with this many threads. Raises UsageError where onnxruntime is missing."""
    missing = onnx_missing()
    if missing:
        raise UsageError(missing)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    # Threads that wait for the next call would take time from whatever is measured beside this session.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def load_classifier(folder: Path, trust_remote_code: bool = False) -> Any:
    """A checkpoint as its transformers model, float32, in evaluation mode.

    Raises DataError where the checkpoint lacks weights that the model has: a bare encoder is no classifier.
    """
    with quiet_transformers():
        model, told = AutoModelForSequenceClassification.from_pretrained(
            folder,
            dtype=torch.float32,
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    if told["missing_keys"]:
        names = ", ".join(sorted(told["missing_keys"])[:3])
        raise DataError(f"a classifier's checkpoint holds all its weights, but {str(folder)!r} lacks {names}.")
    return model.eval()


class OnnxRuntime:
    """A folder's ``model.onnx`` in onnxruntime, on the CPU."""

    def __init__(self, name: str, folder: Path, threads: int) -> None:
        self.name, self.threads = name, threads
        limits = limits_of(folder)
        self.vocabulary, self.positions, self.token_types = limits.vocabulary, limits.positions, limits.token_types
        self.pad_id = limits.pad_id
        self._session = session(folder / "model.onnx", threads)
        self.names = tuple(value.name for value in self._session.get_inputs())

    def run(self, inputs: Inputs) -> np.ndarray:
        found: np.ndarray = self._session.run(["logits"], {name: inputs[name] for name in self.names})[0]
        return found

    def logits(
        self, rows: Rows, batch_size: int | None = None, *, callers: int = 1, between: Between = nothing
    ) -> np.ndarray:
        """As ``Runtime.logits``."""
        batches = _inputs(self, rows, batch_size or (1 if self.name == "onnx-int8" else _BATCH), between)
        if callers == 1:
            return _in_order(rows, ((places, self.run(inputs)) for places, inputs in batches))
        # A session may be called by several threads, and computes outside of Python's lock.
        with ThreadPoolExecutor(callers) as pool:
            return _in_order(rows, _at_once(pool, callers, self.run, batches))


class TorchRuntime:
    """A checkpoint in transformers, on the CPU, its weights in float32 or bfloat16."""

    def __init__(self, name: str, folder: Path, threads: int, trust_remote_code: bool) -> None:
        self.name, self.threads = name, threads
        limits = limits_of(folder)
        self.vocabulary, self.positions, self.token_types = limits.vocabulary, limits.positions, limits.token_types
        self.pad_id = limits.pad_id
        self._model = load_classifier(folder, trust_remote_code)
        if name == "torch-bf16":
            self._model = self._model.to(torch.bfloat16)
        taken = inspect.signature(self._model.forward).parameters
        self.names = tuple(name for name in _INPUTS if name in taken)

    def run(self, inputs: Inputs) -> np.ndarray:
        return self._run(inputs, self.threads)

    def _run(self, inputs: Inputs, threads: int) -> np.ndarray:
        tensors = {name: torch.from_numpy(inputs[name]) for name in self.names if name in inputs}
        with torch.inference_mode(), on_threads(threads):
            found: np.ndarray = self._model(**tensors).logits.float().numpy()
        return found

    def logits(
        self, rows: Rows, batch_size: int | None = None, *, callers: int = 1, between: Between = nothing
    ) -> np.ndarray:
        """As ``Runtime.logits``."""
        batches, threads = _inputs(self, rows, batch_size or _BATCH, between), self.threads * callers
        return _in_order(rows, ((places, self._run(inputs, threads)) for places, inputs in batches))


def _inputs(runtime: Runtime, rows: Rows, batch_size: int, between: Between) -> Iterator[tuple[np.ndarray, Inputs]]:
    """Each batch, with the places of its rows."""
    for batch in scoring_batches(rows, batch_size):
        between()
        yield batch.rows.numpy(), as_inputs(batch, runtime.pad_id)


def _at_once(
    pool: ThreadPoolExecutor,
    callers: int,
    run: Callable[[Inputs], np.ndarray],
    batches: Iterable[tuple[np.ndarray, Inputs]],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The batches' logits as they are made; only a few batches wait at a time."""
    waiting: deque[tuple[np.ndarray, Future[np.ndarray]]] = deque()
    for places, inputs in batches:
        waiting.append((places, pool.submit(run, inputs)))
        if len(waiting) > _AHEAD * callers:
            done, made = waiting.popleft()
            yield done, made.result()
    for done, made in waiting:
        yield done, made.result()


def _in_order(rows: Rows, parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Logits by row, from those of batches."""
    found = None
    for places, logits in parts:
        if found is None:
            found = np.empty((len(rows), logits.shape[1]), dtype=np.float32)
        found[places] = logits
    assert found is not None  # splits have rows
    return found


@contextmanager
def on_threads(n: int) -> Iterator[None]:
    """Within, torch computes on ``n`` threads of the CPU."""
    before = torch.get_num_threads()
    if before == n:
        yield
        return
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
