"""Studies in their Optuna storage. The names below load on first use: where files lie can be known without Optuna."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autokd.store.files import DEFAULT_STORAGE as DEFAULT_STORAGE
    from autokd.store.files import files_root as files_root
    from autokd.store.files import redacted as redacted
    from autokd.store.importance import importances as importances
    from autokd.store.study_store import StudyStore as StudyStore
    from autokd.store.summaries import StudySummary as StudySummary
    from autokd.store.summaries import list_studies as list_studies

_HOMES = {
    "DEFAULT_STORAGE": "autokd.store.files",
    "StudyStore": "autokd.store.study_store",
    "StudySummary": "autokd.store.summaries",
    "files_root": "autokd.store.files",
    "importances": "autokd.store.importance",
    "list_studies": "autokd.store.summaries",
    "redacted": "autokd.store.files",
}
__all__ = [
    "DEFAULT_STORAGE",
    "StudyStore",
    "StudySummary",
    "files_root",
    "importances",
    "list_studies",
    "redacted",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'autokd.store' has no attribute {name!r}")
