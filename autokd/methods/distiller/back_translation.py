"""Back-translation: texts go through another language and come back in other words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import ClassVar

from autokd.contracts import Context, Cost, Facts, Sizes, TextModel
from autokd.core.task import Split
from autokd.engine.text_files import Rewrite, written_texts
from autokd.methods.basics import checks
from autokd.models.folders import folder_content
from autokd.models.translator import Translator


@dataclass(frozen=True)
class BackTranslation:
    """Rewrites texts: each is translated into another language and back.

    What: two translation models, one after the other, by beam search; both texts of a pair are changed, the label is
        the source row's. A text of which nothing comes back stays as it is.
    Equation: ``text' = back(forth(text))``
    Symbols: forth, back: hub ids or folders of the two Marian models; language: the token by which forth is told the
        language, empty where it knows one only; beams: width of the beam, 1 is greedy.
    Source: Distiller, arXiv:2109.11105 (its augmentation "back-translation": English to French and back).
    Differences: nothing is drawn at random, so that all seeds of a study share the texts; a translation that is longer
        than twice its source is cut, and so are texts beyond the models' positions.
    """

    kind: ClassVar[str] = "augmenter"
    source: ClassVar[str] = "2109.11105"
    version: ClassVar[int] = 1
    facts: ClassVar[Facts] = Facts(needs=frozenset({"text"}))
    assets: ClassVar[Mapping[str, str]] = MappingProxyType({"forth": "translator", "back": "translator"})

    forth: str = "Helsinki-NLP/opus-mt-en-ROMANCE"
    back: str = "Helsinki-NLP/opus-mt-ROMANCE-en"
    language: str = ">>fr<<"
    beams: int = 4

    def __post_init__(self) -> None:
        for field in ("forth", "back"):
            if not getattr(self, field):
                raise checks.refusal(self, field, "a hub id or a folder", getattr(self, field))
        checks.whole(self, "beams", 1)

    def rewrite(self, rows: Split, ctx: Context) -> Split:
        """The rows in other words. Raises SpecError where a model is none, or does not write the language."""
        forth, back = ctx.asset(self.forth), ctx.asset(self.back)

        def load() -> Rewrite:
            there = Translator(forth, ctx.device, self.beams, self.language)
            here = Translator(back, ctx.device, self.beams)

            def rewrite(texts: Sequence[str], start: int) -> list[str]:
                made = here.translate(there.translate(texts))
                return [new if new.strip() else old for old, new in zip(texts, made, strict=True)]

            return rewrite

        models = {"forth": folder_content(str(forth)), "back": folder_content(str(back))}
        key = ["distiller:BackTranslation", self.version, {**asdict(self), **models}]
        return rows.with_texts(written_texts(rows.texts, key, load, ctx))

    def cost(self, sizes: Sizes) -> Cost:
        """Each model reads every token once and writes about as many, once for each beam."""
        models = [sizes.assets.get(name) for name in (self.forth, self.back)]
        each = [model.read_macs + self.beams * model.write_macs for model in models if isinstance(model, TextModel)]
        return Cost(sizes.length * sum(each), known=len(each) == len(models))
