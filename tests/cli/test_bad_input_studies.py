"""Studies that are unknown, held, newer or out of reach, and what one asks of them."""

from __future__ import annotations

from collections.abc import Callable

from tests.cli.refusals import Refusal, table

_DATABASE = "--storage postgresql://me:secret@127.0.0.1:1/autokd "
_SEARCH = "search --dataset mine.csv --teacher teacher --space small.yaml --budget 2trials --runner pool -q "

CASES = [
    *(
        Refusal(f"unknown study in {verb}", f"{verb} frist {rest}", ("unknown study 'frist'", "Did you mean 'first'"))
        for verb, rest in {
            "resume": "",
            "report": "",
            "studies show": "",
            "studies delete": "--yes",
            "studies export": "--output {new}/x.zip",
            "export": "--output {new}/x",
            "enqueue": "{bad}/plain.json",
            "budget": "--add 2trials",
        }.items()
    ),
    Refusal("study of a name that is taken", _SEARCH + "--study first", ("'first' exists", "another name")),
    Refusal("unknown trial", "export first --trial 99 --output {new}/x", ("no trial 99", "Those with one: ")),
    Refusal("trial that is no number", "export first --trial best --output {new}/x", ("--trial", "best")),
    Refusal("unknown format", "export first --format onx --output {new}/x", ("'onx'", "Did you mean 'onnx'")),
    Refusal("export over files", "export first --output {bad}", ("new or empty", "holds something")),
    Refusal("delete without a terminal", "studies delete first", ("--yes", "no terminal")),
    # enqueue and budget
    Refusal("enqueue an unknown method", "enqueue first {bad}/unknown_method.json", ("'Logit'", "'Logits'")),
    Refusal("enqueue an illegal order", "enqueue first {bad}/wrong_order.json", ("stage 1", "needs student")),
    Refusal("enqueue a model that is not there", "enqueue first {bad}/other_model.json", ("'other'", "teacher")),
    Refusal("enqueue broken JSON", "enqueue first {bad}/broken.json", ("one JSON object", "broken.json")),
    Refusal("budget in another unit", "budget first --add 2cpu-h", ("'2trials'", "'2cpu-h'", "unit")),
    Refusal("malformed addition", "budget first --add much", ("a number and a unit", "'much'")),
    Refusal("smaller total", "resume first --budget 1trials", ("larger budget", "2trials", "1trials")),
    # storages
    Refusal("unknown kind of storage", "studies --storage mongodb://here", ("a storage is", "mongodb://here")),
    Refusal("storage that does not exist", "resume first --storage {new}/none.db", ("no storage", "none.db"), 1),
    Refusal("storage that is no database", "studies --storage {bad}/not_a.db", ("not_a.db", "not a database"), 1),
    Refusal(
        "journal that is no journal", "studies --storage {bad}/not_a.journal", ("a journal holds", "not_a.journal"), 1
    ),
    Refusal("storage of someone else", "resume foreign --storage {bad}/foreign.db", ("not made by autokd",), 1),
    Refusal("schema of a newer version", "resume first --storage {bad}/newer.db", ("schema 99", "reads schema 1"), 1),
    Refusal(
        "storage below a file",
        _SEARCH + "--storage {kept}/mine.csv/studies.db",
        ("mine.csv/studies.db.files", "--storage"),
        1,
    ),
    Refusal(
        "unreachable Ray",
        "resume first --budget 9trials --runner ray --address 127.0.0.1:1",
        ("127.0.0.1:1", "refused"),
        1,
    ),
    Refusal("malformed address", "resume first --budget 9trials --runner ray --address here", ("HOST:PORT", "'here'")),
    Refusal("unreachable database", _SEARCH + _DATABASE + "--artifacts {new}", ("postgresql://me:***@",), 1),
    Refusal("database without artifacts", _SEARCH + _DATABASE, ("artifacts", "me:***@")),
    Refusal("artifacts that are a file", _SEARCH + "--artifacts {kept}/mine.csv", ("--artifacts", "mine.csv")),
    Refusal(
        "report that cannot be written",
        "report first --output {kept}/mine.csv/x.html",
        ("cannot be read or written", "mine.csv"),
        1,
    ),
    # archives
    Refusal("missing archive", "studies import {bad}/none.zip", ("none.zip", "exists")),
    Refusal("archive of a study that is there", "studies import {bad}/study.zip", ("'first' exists", "--as")),
    *(
        Refusal(f"archive {why}", f"studies import {{bad}}/{file}.zip --as second", words, 1)
        for why, file, words in (
            ("that is none", "no_zip", ("no_zip.zip", "studies export")),
            ("that is cut", "cut", ("cut.zip", "not all of it")),
            ("of something else", "other", ("manifest.json",)),
            ("of a newer version", "newer", ("99", "reads archives")),
            ("with a changed file", "changed", ("task.json.gz", "content")),
            ("without a file", "incomplete", ("exactly the files",)),
            ("that leaves its folder", "outside", ("'../../evil.txt'", "inside")),
            ("with an absolute path", "absolute", ("'/tmp/evil.txt'", "inside")),
            ("with a link", "link", ("plain files only", "trials/link.json")),
        )
    ),
    Refusal("archive over a file", "studies export first --output {bad}/study.zip", ("new file", "study.zip")),
    Refusal("archive in no folder", "studies export first --output {bad}/none/x.zip", ("must exist", "none")),
]


@table(CASES)
def test_a_study_is_refused_in_one_line(case: Refusal, refused: Callable[[Refusal], None]) -> None:
    refused(case)
