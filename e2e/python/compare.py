#!/usr/bin/env python3
"""Compares delivered rows with what was put in, each row as often as it was.

    compare.py EXPECTED SOURCE --format F [--column NAME] [options]

EXPECTED has one value per line. With --column, or --format raw, a value is text
and is compared with that column, or with the whole line; NAME may be a path
like request.path. Otherwise a value is a JSON document and is compared with the
whole row, both in the canonical form that readback.py describes. SOURCE and the
other options are those of readback.py.

It prints one JSON object:

    expected    lines of EXPECTED
    found       rows of the source
    missing     expected and not found, each as often as it lacks
    duplicates  found more often than expected, counting only the surplus
    unexpected  found and never expected
    examples    up to --examples values of each of the three

The exit status is 0 when nothing is missing or unexpected (with --exactly-once:
or duplicate), 1 when something is, 2 when something cannot be read.
"""

import argparse
import collections
import json
import sys

import readback


def expected_values(file, as_json, ignore):
    """Counts the lines of a file, as canonical text."""
    values = collections.Counter()
    try:
        with open(file, "rb") as stream:
            for number, text in enumerate(stream, 1):
                text = text.removesuffix(b"\n")
                if not as_json:
                    values[_text(text)] += 1
                    continue
                try:
                    values[readback.line(_without(json.loads(text), ignore))] += 1
                except ValueError as error:
                    raise readback.Unreadable(
                        f"{file}: line {number}: {error}: {text[:200]!r}"
                    ) from error
    except OSError as error:
        raise readback.Unreadable(str(error)) from error
    return values


def _text(value):
    value = readback.canonical(value)
    return value if isinstance(value, str) else readback.line(value)


def _without(row, ignore):
    if ignore and isinstance(row, dict):
        return {key: value for key, value in row.items() if key not in ignore}
    return row


def _at(row, path):
    """The value of a column, of a column inside a column for a dotted path."""
    if isinstance(row, dict) and path in row:
        return row[path]
    for name in path.split("."):
        if not isinstance(row, dict) or name not in row:
            raise readback.Unreadable(
                f"a row has no column {path!r}: {readback.line(row)[:300]}"
            )
        row = row[name]
    return row


def found_values(rows, column, whole_line, ignore):
    """Counts rows, as the same canonical text."""
    values = collections.Counter()
    for row in rows:
        if column is not None:
            values[_text(_at(row, column))] += 1
        elif whole_line:
            values[_text(row)] += 1
        else:
            values[readback.line(_without(row, ignore))] += 1
    return values


def compare(expected, found, examples=5):
    """Gives the numbers and examples as the module describes them."""
    missing = expected - found
    surplus = found - expected
    duplicates = collections.Counter(
        {value: n for value, n in surplus.items() if value in expected}
    )
    unexpected = collections.Counter(
        {value: n for value, n in surplus.items() if value not in expected}
    )
    parts = {"missing": missing, "duplicates": duplicates, "unexpected": unexpected}
    return {
        "expected": expected.total(),
        "found": found.total(),
        **{name: values.total() for name, values in parts.items()},
        "examples": {
            name: sorted(values)[:examples] for name, values in parts.items() if values
        },
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("expected", help="file with one expected value per line")
    readback.add_source(parser)
    parser.add_argument("--column", help="compare this column as text")
    parser.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="NAME",
        help="leave this column out of both sides; may be repeated",
    )
    parser.add_argument("--exactly-once", action="store_true", help="duplicates count as wrong")
    parser.add_argument("--examples", type=int, default=5)
    chosen = parser.parse_args(arguments)
    whole_line = chosen.format == "raw"
    if whole_line and chosen.column:
        parser.error("--column: the rows of --format raw have no columns")
    readback.utf8_output()
    as_text = whole_line or chosen.column is not None
    try:
        expected = expected_values(chosen.expected, not as_text, chosen.ignore)
        found = found_values(
            readback.rows_of(chosen), chosen.column, whole_line, chosen.ignore
        )
    except readback.Unreadable as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 2
    result = compare(expected, found, chosen.examples)
    print(json.dumps(result, ensure_ascii=False))
    wrong = result["missing"] + result["unexpected"]
    if chosen.exactly_once:
        wrong += result["duplicates"]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
