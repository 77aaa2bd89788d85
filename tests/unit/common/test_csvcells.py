"""What the cells of CSV files mean, as the hub and its client read them."""

import pytest

from mlhub.common.csvcells import boolean_of, cells_of, delimiter_of, is_heading, number_of


@pytest.mark.parametrize(
    ("line", "delimiter", "cells"),
    [
        ("1,2", ",", ["1", "2"]),
        ("1;2,5", ";", ["1", "2,5"]),
        ("a\tb;c", "\t", ["a", "b;c"]),
        ("1", ",", ["1"]),
        ('"a,b",c', ",", ["a,b", "c"]),
        ("", ",", []),
        ("a\nb", ",", []),
    ],
)
def test_lines_are_taken_apart(line: str, delimiter: str, cells: list[str]) -> None:
    assert delimiter_of(line) == delimiter
    assert cells_of(line, delimiter) == cells


@pytest.mark.parametrize(
    ("cell", "value"), [("True", True), (" 0 ", False), ("1", True), ("yes", None), ("", None), ("2", None)]
)
def test_truth_values(cell: str, value: bool | None) -> None:
    assert boolean_of(cell) is value


@pytest.mark.parametrize(
    ("cell", "value"), [("7", 7), (" -7 ", -7), ("7.0", 7.0), ("1e3", 1000.0), ("x", None), ("", None)]
)
def test_numbers(cell: str, value: float | None) -> None:
    found = number_of(cell)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("cells", "heading"),
    [
        (["a", "b"], True),
        (["a", ""], True),
        (["a", "nan"], True),
        (["a", "1"], False),
        (["1", "2"], False),
        (["", ""], False),
        (["nan", "inf"], False),
        ([], False),
    ],
)
def test_a_heading_has_names_and_no_numbers(cells: list[str], heading: bool) -> None:
    assert is_heading(cells) is heading
