"""transformers without its progress bars and its tables of what a checkpoint lacks: callers say what matters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers.utils import logging as _logging

logging: Any = _logging


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Within, only errors are logged and no progress bar is drawn."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
