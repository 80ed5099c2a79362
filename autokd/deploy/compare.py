"""Whether two forms of one model agree, on batches of several sizes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from autokd.deploy.runtimes import Inputs, Runtime, first_word

# Rows' lengths of each batch: one token, one row, several rows with padding, longer ones.
_LENGTHS = ((1,), (6,), (9, 3, 1, 5), (40, 17))


def sample_batches(model: Runtime) -> list[Inputs]:
    """Padded batches of random token ids (fixed seed), as long as the model reads."""
    draw = np.random.default_rng(0)
    found: list[Inputs] = []
    for lengths in _LENGTHS:
        cut = np.minimum(lengths, model.positions)[:, None]
        steps = np.arange(int(cut.max()))
        mask = (steps < cut).astype(np.int64)
        ids = draw.integers(first_word(model.vocabulary), model.vocabulary, mask.shape) * mask
        types = ((steps >= cut // 2) * mask * (model.token_types > 1)).astype(np.int64)
        found.append({"input_ids": ids, "attention_mask": mask, "token_type_ids": types})
    return found


def worst_difference(made: Runtime, expected: Runtime, batches: Iterable[Inputs]) -> float:
    """The largest difference of logits: absolute, or relative to the expected logit where that is above 1.

    Infinite where a logit is not a number.
    """
    worst = 0.0
    for batch in batches:
        wanted = expected.run(batch)
        found = np.abs(made.run(batch) - wanted) / np.maximum(1.0, np.abs(wanted))
        worst = max(worst, float(found.max()) if np.isfinite(found).all() else float("inf"))
    return worst
