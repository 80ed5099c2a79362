"""From a checkpoint whose weights are a pickle to one of safetensors: read once, tensors only, nothing executed."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from pathlib import Path

import torch
from torch import Tensor

from autokd.core.errors import DataError, UsageError
from autokd.models.assets import FILES, WEIGHTS
from autokd.models.folders import atomic_folder
from autokd.models.weights import write_weights

PICKLE = "pytorch_model.bin"
_INDEX = f"{PICKLE}.index.json"


def convert(folder: Path, output: Path) -> Path:
    """Write a checkpoint's weights, configuration and tokenizer to ``output`` with its weights as safetensors.

    ``folder`` holds ``pytorch_model.bin``, or the parts that ``pytorch_model.bin.index.json`` lists. They are read as
    tensors alone (torch's ``weights_only``). Weights that share memory are written in full. Gives the new folder,
    which appears whole or not at all. Raises UsageError where there is nothing to convert or ``output`` holds files,
    DataError where a file is damaged or holds more than tensors.
    """
    if not (folder / "config.json").is_file():
        raise UsageError(f"a checkpoint's folder has a config.json, but {str(folder)!r} has none.")
    if any(folder.glob(WEIGHTS)):
        raise UsageError(f"only a folder without safetensors needs converting, but {str(folder)!r} has them already.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"the folder for a converted model must be new or empty, but {str(output)!r} is not.")
    tensors: dict[str, Tensor] = {}
    for file in _parts(folder):
        tensors.update(_tensors(file))
    with atomic_folder(output) as work:
        write_weights(tensors, work / "model.safetensors")
        for pattern in FILES:
            for file in sorted(folder.glob(pattern)):
                shutil.copyfile(file, work / file.name)
    return output


def _parts(folder: Path) -> list[Path]:
    """The files that together hold the weights; all of them lie in the folder itself."""
    index = folder / _INDEX
    if not index.is_file():
        if not (folder / PICKLE).is_file():
            raise UsageError(f"what is converted is a {PICKLE}, but {str(folder)!r} has none.")
        return [folder / PICKLE]
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise DataError(f"a list of weight files is JSON with a weight_map, but {str(index)!r} is not.") from error
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise DataError(f"the parts of a model lie in its own folder, but {str(index)!r} names {name!r}.")
    return [folder / name for name in names]


def _tensors(file: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles of other versions: they load, or they are an error
            found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make the reader fail in any way
        raise DataError(
            f"a {PICKLE} must hold tensors and nothing else, but {str(file)!r} cannot be read as such: {_why(error)}"
        ) from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise DataError(f"a {PICKLE} maps names to tensors, but {str(file)!r} holds something else.")
    return {str(name): value.detach().clone().contiguous() for name, value in found.items()}


def _why(error: Exception) -> str:
    """What is wrong with the file. Of torch's refusal only the name counts: the rest advises to unpickle it."""
    named = re.search(r"GLOBAL (\S+)", str(error))
    if named:
        return f"it names {named[1]}, which is no tensor."
    if isinstance(error, OSError | RuntimeError) and str(error).strip():
        return str(error).strip().splitlines()[0]
    return f"it is damaged, or no file of weights ({type(error).__name__})."
