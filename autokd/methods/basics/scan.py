"""One pass over a data set that adds up scores of a network's parts, and that can be interrupted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

from torch import Tensor

from autokd.contracts import Batch, Context, Rows
from autokd.core.errors import Paused
from autokd.engine.batches import scoring_batches
from autokd.engine.checkpoint import has_state, load_state, save_state


def scan(measure: Callable[[Batch], Sequence[Tensor]], rows: Rows, batch_size: int, ctx: Context) -> list[Tensor]:
    """The sums over all batches of what ``measure`` returns for each, on the context's device.

    When the context asks for a pause, the sums so far are saved in its folder and Paused is raised; the next call
    goes on from there, to the same result bit for bit. Batches depend on the rows and ``batch_size`` alone. The
    state stays in the folder, as a loop's does, until the stage's result is safe.
    """
    folder = ctx.folder / "scan"
    done, sums = 0, list[Tensor]()
    if has_state(folder):
        state = load_state(folder)
        done, sums = int(state["done"]), [value.to(ctx.device) for value in state["sums"]]
    for batch in islice(scoring_batches(rows, batch_size), done, None):
        if ctx.should_pause():
            save_state(folder, {"done": done, "sums": sums})
            raise Paused
        found = measure(batch.to(ctx.device))
        sums = [old + new for old, new in zip(sums, found, strict=True)] if sums else list(found)
        done += 1
    return sums
