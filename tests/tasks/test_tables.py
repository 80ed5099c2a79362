from __future__ import annotations

from pathlib import Path

import pytest

from autokd.core.errors import DataError, UsageError
from autokd.tasks.tables import read_table, read_unquoted


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_tsv_is_split_at_tabs_and_line_feeds_only(tmp_path: Path) -> None:
    """Quotes within a cell, form feeds and Unicode line separators are part of the text."""
    text = 'say "hi\u2028there\x0b\x85'
    for read in (read_table, read_unquoted):
        table = read(write(tmp_path / "a.tsv", f"text\tlabel\n{text}\tgood\n\nplain\tbad\n"))
        assert table.column("text") == (text, "plain")
        assert table.labels("label") == ("good", "bad")
        assert table.lines == (2, 4)


def test_a_quoted_cell_of_a_tsv_loses_its_quotes(tmp_path: Path) -> None:
    rows = '"one, ""two"""\tgood\n"a\ttab"\tbad\n"two\nlines"\tgood\n5" wide\t"bad"\n'
    table = read_table(write(tmp_path / "a.tsv", "text\tlabel\n" + rows))
    assert table.column("text") == ('one, "two"', "a\ttab", "two\nlines", '5" wide')
    assert table.labels("label") == ("good", "bad", "good", "bad")
    assert table.lines == (2, 3, 5, 6)


@pytest.mark.parametrize("parent", ["text", "glue", "GLUE"])
def test_published_tsv_files_are_never_quoted(parent: str, tmp_path: Path) -> None:
    (tmp_path / parent / "mr").mkdir(parents=True)
    table = read_table(write(tmp_path / parent / "mr" / "train.tsv", 'text\tlabel\n"so good\t1\n"so" bad\t0\n'))
    assert table.column("text") == ('"so good', '"so" bad')


_AND_THEN = "so says the line after\tbad\nand one more\tgood\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"so good\tgood\n' + _AND_THEN, r"record that begins on line 2 and breaks off on line \d is not valid tsv"),
        ('"so good\tgood\nhe said "\tbad\n', "begins on line 2 and breaks off on line 3 .* as if its closing quote"),
        ('plain\tgood\n"so" good\tbad\n', "line 3 is not valid tsv: .*save the file as JSON lines, or put it into"),
        ('plain\t"good\nanother"\tbad\n', "line 3 has 3 with line feeds within quotes: is a quote missing"),
    ],
)
def test_a_quote_without_its_other_swallows_no_rows(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_table(write(tmp_path / "a.tsv", "text\tlabel\n" + text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json"])
def test_what_only_looks_like_nothing_is_text(name: str, tmp_path: Path) -> None:
    spelled = ("NA", "null", "None", "nan", "N/A", "NaN")
    if name.startswith("a.j"):
        text = "\n".join(f'{{"text": "{word}", "label": "{word}"}}' for word in spelled)
    else:
        mark = "," if name == "a.csv" else "\t"
        text = "\n".join(mark.join((word, word)) for word in ("text", *spelled)).replace("text\ttext", "text\tlabel")
        text = text.replace("text,text", "text,label")
    table = read_table(write(tmp_path / name, text + "\n"))
    assert table.column("text") == table.labels("label") == spelled


def test_nan_among_numbers_is_no_number(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "a.csv", "text,label\na,1\nb,NaN\nc,0\n"))
    with pytest.raises(DataError, match=r"1 have none \(first: line 3\)"):
        table.labels("label")


def test_windows_line_ends_and_byte_order_mark_are_dropped(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "a.tsv", b"\xef\xbb\xbfQuality\ttext\r\n1\tone\r\n"))
    assert table.columns == ("Quality", "text")
    assert table.column("text") == ("one",)


def test_csv_cells_may_hold_commas_quotes_and_line_feeds(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "a.csv", 'text,label\n"one, ""two""\nthree",good\r\nfour,bad\n'))
    assert table.column("text") == ('one, "two"\nthree', "four")
    assert table.lines == (3, 4)


def test_a_given_header_leaves_the_first_row_alone(tmp_path: Path) -> None:
    table = read_unquoted(write(tmp_path / "a.tsv", "x\t1\ny\t0\n"), header=("text", "label"))
    assert table.column("text") == ("x", "y")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsv", "", "at least one row"),
        ("a.csv", "text,label\n", "at least one row"),
        ("a.tsv", "text\tlabel\none\tgood\ntwo\n", r"needs 2 columns \(text, label\), but line 3 has 1"),
        ("a.csv", "text,label\none,two,good\n", "line 2 has 3"),
        ("a.csv", 'text,label\n"one"x,good\n', "line 2 is not valid csv"),
        ("a.tsv", 'text\tlabel\n"one"x\tgood\n', "line 2 is not valid tsv: a tab expected after"),
        ("a.csv", "text;label\none;good\n", "separates its columns by commas, but .* has semicolons: 'text;label'"),
        ("a.tsv", "text,label\none,good\n", "separates its columns by tabs, but .* has commas"),
        ("a.tsv", "text\ttext\none\tgood\n", "column names must differ"),
        ("a.tsv", b"text\tlabel\n\xff\tgood\n", "must be UTF-8 text, but .* is not at byte 11"),
    ],
)
def test_a_broken_file_is_one_clear_error(tmp_path: Path, name: str, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_table(write(tmp_path / name, text))


def test_a_missing_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be readable"):
        read_table(tmp_path / "none.tsv")


def test_a_row_without_label_is_named(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "a.tsv", "text\tlabel\none\tgood\ntwo\t \nthree\t\n"))
    with pytest.raises(DataError, match="2 have none \\(first: line 3\\)"):
        table.labels("label")


def test_an_unknown_column_lists_those_there_are(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "a.tsv", "review\tlabel\none\tgood\n"))
    with pytest.raises(UsageError, match=r"Did you mean 'review'.*Available: label, review"):
        table.column("reviews")
