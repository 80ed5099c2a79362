"""What a supernet's shared weights are worth, as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainings.tables import table, told

NAMES = {"plain": "plain sharing (AutoDistil)", "mixture": "Mixture-of-Supernets"}
GOAL_SHARE, GOAL_HALVES = 0.05, 0.9


def page(found: Mapping[str, Any]) -> str:
    """The whole page."""
    facts = found["plain"]["supernet"]
    head = (
        "# What shared weights are worth\n\n"
        f"Sub-space {facts['space']} of MiniLM: {facts['subnets']} sub-networks of {facts['params'][0] / 1e6:.1f}M to "
        f"{facts['params'][1] / 1e6:.1f}M parameters; {facts['steps']} steps of {facts['batch_size']} texts of at most "
        f"{facts['max_length']} tokens. Losses are of relations, on texts that nobody was trained on; less is better."
    )
    return "\n\n".join([head, _ranking(found), _networks(found), _search(found)]) + "\n"


def _ranking(found: Mapping[str, Any]) -> str:
    rows = []
    for kind, name in NAMES.items():
        against = found[kind]["against_alone"]
        rows.append([name, told(against["kendall"]), told(against["ratio"])])
    size = found["plain"]["against_alone"]["kendall_size"]
    head = ["supernet", "Kendall's tau [95 %]", "shared loss / alone [95 %]"]
    return (
        "## Shared against alone\n\nEach of these sub-networks was also trained by itself, from the same leading parts "
        "of the teacher, for as many steps. tau: do the shared weights rank them as training alone does? 1 is the same "
        f"order. Ranking them by multiply-accumulates alone, the larger the better, has a tau of {size:.4f}. Intervals "
        f"resample networks and texts.\n\n{table(head, rows)}"
    )


def _networks(found: Mapping[str, Any]) -> str:
    alone = found["alone"]
    losses = [found["plain"]["against_alone"]["alone"], *(found[kind]["against_alone"]["shared"] for kind in NAMES)]
    rows = [
        [
            f"{shape['layers']} x {shape['hidden']}, {shape['heads']} heads, {shape['ffn']} neurons",
            f"{macs / 1e6:.0f}M",
            *(f"{own[i]:.3f}" for own in losses),
        ]
        for i, (shape, macs) in enumerate(zip(alone["architectures"], alone["macs"], strict=True))
    ]
    return "## The networks\n\n" + table(["sub-network", "MACs", "alone", *NAMES.values()], rows)


def _search(found: Mapping[str, Any]) -> str:
    rows = []
    for kind, name in NAMES.items():
        for search in found[kind]["searches"]:
            share, halves = search["share_of_training"], search["split_half"]
            rows.append(
                [
                    name,
                    str(search["rows"]),
                    f"{100 * share:.1f} %",
                    _met(share <= GOAL_SHARE),
                    f"{halves['mean']:.3f} ({halves['least']:.3f})",
                    _met(halves["least"] >= GOAL_HALVES),
                ]
            )
    head: Sequence[str] = ["supernet", "texts", "cost", "at most 5 %", "split halves, mean (least)", "at least .9"]
    return (
        "## Searching all sub-networks\n\nEvery sub-network is scored, without a gradient. Cost: its seconds over "
        "those of the supernet's training, whose steps were timed in the same process. Split halves: the rank "
        f"correlation of all losses on one half of the texts and on the other, over 20 splits.\n\n{table(head, rows)}"
    )


def _met(met: bool) -> str:
    return "met" if met else "not met"
