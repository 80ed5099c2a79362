"""Bad data: each case is one clear line, and a study that is there stays as it is."""

from __future__ import annotations

from collections.abc import Callable

from tests.cli.refusals import Refusal, table

_SEARCH = "search --teacher teacher --space small.yaml --budget 2trials --runner pool -q --dataset "
_MINE = _SEARCH + "mine.csv "

CASES = [
    Refusal("missing file", _SEARCH + "{bad}/none.csv", ("must exist", "none.csv")),
    Refusal("missing data folder", _MINE + "--data-dir {bad}/nowhere", ("data folder", "nowhere")),
    Refusal("wrong label column", _MINE + "--label-column topic", ("column 'topic'", "Available: label, text")),
    Refusal("wrong text column", _MINE + "--text-column txt", ("column 'txt'", "Did you mean 'text'")),
    Refusal("wrong pair column", _MINE + "--text-pair-column b", ("column 'b'", "Available: label, text")),
    Refusal("one column twice", _MINE + "--text-column label", ("different columns", "label, label")),
    Refusal("columns without usual names", _SEARCH + "{bad}/values.csv", ("text, score", "--label-column")),
    Refusal("empty file", _SEARCH + "{bad}/empty.csv", ("at least one row", "empty.csv"), 1),
    Refusal("header without rows", _SEARCH + "{bad}/header_only.csv", ("at least one row", "header_only"), 1),
    Refusal("three rows", _SEARCH + "{bad}/three_rows.csv", ("rows", "3"), 1),
    Refusal("one class", _SEARCH + "{bad}/one_class.csv", ("at least 2 classes", "only good"), 1),
    Refusal(
        "a row for each of 500 classes",
        _SEARCH + "{bad}/rare_classes.csv",
        ("must repeat", "500 different labels in 500 rows"),
        1,
    ),
    Refusal("not UTF-8", _SEARCH + "{bad}/latin1.csv", ("UTF-8", "latin1.csv", "line 3"), 1),
    Refusal("NaN labels", _SEARCH + "{bad}/nan_labels.csv", ("every row needs a label", "2 have none", "line 42"), 1),
    Refusal("infinite labels", _SEARCH + "{bad}/infinite.csv", ("finite", "inf"), 1),
    Refusal("label unseen in train", _SEARCH + "{bad}/unseen", ("must occur in train", "mixed", "bad, good"), 1),
    Refusal("rows of different width", _SEARCH + "{bad}/ragged.csv", ("2 columns", "line 3 has 3"), 1),
    Refusal("broken quotes", _SEARCH + "{bad}/quotes.csv", ("line 2", "not valid csv"), 1),
    Refusal("broken parquet", _SEARCH + "{bad}/broken.parquet", ("readable parquet", "broken.parquet"), 1),
    Refusal("broken jsonl", _SEARCH + "{bad}/broken.jsonl", ("one JSON object", "line 3"), 1),
    Refusal("jsonl of lists", _SEARCH + "{bad}/array.jsonl", ("one JSON object", "line 1", "list"), 1),
    Refusal("open quote in a tsv", _SEARCH + "{bad}/open_quote.tsv", ("line 2", "not valid tsv", "JSON lines"), 1),
    Refusal("json of numbers", _SEARCH + "{bad}/numbers.json", ("objects", "row 1", "int"), 1),
    Refusal("json of one object", _SEARCH + "{bad}/one_object.json", ("line 1", "one array of objects"), 1),
    Refusal("parquet columns of one name", _SEARCH + "{bad}/twice.parquet", ("names must differ", "text, text"), 1),
    Refusal("csv columns of one name", _SEARCH + "{bad}/twice.csv", ("names must differ", "text, label, text"), 1),
    Refusal("hub name without its owner", _SEARCH + "imdb", ("owner", "'stanfordnlp/imdb'")),
    Refusal("unknown kind of file", _SEARCH + "{bad}/nothing.xlsx", (".csv", ".parquet", "nothing.xlsx")),
    Refusal("folder without splits", _SEARCH + "{bad}/no_splits", ("'train'", "nothing"), 1),
    Refusal("unknown data set", _SEARCH + "pydoc", ("unknown data set 'pydoc'", "Did you mean 'pydocs'")),
    Refusal("hub that cannot be reached", _SEARCH + "nobody/nothing", ("nobody/nothing",), 1),
    Refusal("subset of a file", _MINE + "--subset a", ("subsets are for data sets of the hub", "mine.csv")),
    Refusal("unlabelled texts that are missing", _MINE + "--unlabelled {bad}/none.txt", ("must exist", "none.txt")),
    Refusal("unlabelled texts of others", _MINE + "--unlabelled {bad}/broken.jsonl", ("line 3", "JSON"), 1),
    Refusal("unknown metric", _MINE + "--metric acuracy", ("metric 'acuracy'", "Did you mean 'accuracy'")),
    Refusal("metric of another problem", _MINE + "--metric pearson", ("'pearson'", "numbers", "'bad'")),
    Refusal("metric without a file", _MINE + "--metric {bad}/none.py:f", ("must exist", "none.py")),
    Refusal("metric without a function", _MINE + "--metric {bad}/metrics.py:f", ("function", "'f'", "fails, nan")),
]


@table(CASES)
def test_bad_data_is_refused_in_one_line(case: Refusal, refused: Callable[[Refusal], None]) -> None:
    refused(case)
