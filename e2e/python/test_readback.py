"""Tests of readback.py and compare.py on files made here."""

import contextlib
import datetime
import decimal
import gzip
import io
import json
import pathlib
import struct
import tempfile
import unittest
import zipfile

import cramjam
import pyarrow
import pyarrow.parquet
import zstandard

import compare
import readback

TEXT = b'{"b":1,"a":"x"}\n{"a":null}\n{"a":[1.0,2.5,{"z":1e3}]}\n'
ROWS = ['{"a":"x","b":1}', '{"a":[1,2.5,{"z":1000}]}', "{}"]


def raw_snappy(data):
    return bytes(cramjam.snappy.compress_raw(data))


def xerial(data, block=20):
    out = readback.XERIAL_MAGIC + struct.pack(">II", 1, 1)
    for at in range(0, len(data), block):
        packed = raw_snappy(data[at : at + block])
        out += struct.pack(">I", len(packed)) + packed
    return out


def hadoop(data, block=30, chunk=20):
    out = b""
    for at in range(0, len(data), block):
        part = data[at : at + block]
        out += struct.pack(">I", len(part))
        for inner in range(0, len(part), chunk):
            packed = raw_snappy(part[inner : inner + chunk])
            out += struct.pack(">I", len(packed)) + packed
    return out


def zipped(data):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("object", data)
    return out.getvalue()


COMPRESSED = {
    "none": TEXT,
    "gzip": gzip.compress(TEXT),
    "gzip members": gzip.compress(TEXT[:20]) + gzip.compress(TEXT[20:]),
    "zstd": zstandard.compress(TEXT),
    "zstd frames": zstandard.compress(TEXT[:20]) + zstandard.compress(TEXT[20:]),
    "zip": zipped(TEXT),
    "snappy": bytes(cramjam.snappy.compress(TEXT)),
    "snappy-java": xerial(TEXT),
    "snappy-java twice": xerial(TEXT[:20]) + xerial(TEXT[20:]),
}


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def file(self, name, data):
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return str(file)

    def run_main(self, main, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main([str(a) for a in arguments])
        return status, out.getvalue(), err.getvalue()


class Compression(Folder):
    def test_every_kind_gives_the_same_rows(self):
        for kind, data in COMPRESSED.items():
            with self.subTest(kind):
                self.assertEqual(readback.decompress(data), TEXT)
                status, out, err = self.run_main(
                    readback.main, self.file("object", data), "--format", "ndjson"
                )
                self.assertEqual((status, out.splitlines(), err), (0, ROWS, ""))

    def test_hadoop_has_to_be_named(self):
        self.assertEqual(readback.decompress(hadoop(TEXT), "hadoop_snappy"), TEXT)

    def test_a_cut_object_is_an_error(self):
        kinds = dict(COMPRESSED, hadoop_snappy=hadoop(TEXT))
        del kinds["none"]
        for kind, data in kinds.items():
            for cut in (1, 3, 7):
                with self.subTest(kind, cut=cut):
                    how = kind if kind == "hadoop_snappy" else "auto"
                    status, out, err = self.run_main(
                        readback.main,
                        self.file("cut", data[:-cut]),
                        "--format=raw",
                        f"--compression={how}",
                    )
                    self.assertEqual((status, out), (2, ""))
                    self.assertIn("cut", err)

    def test_wrong_name_is_an_error(self):
        for how in ("gzip", "zstd", "zip", "snappy", "hadoop_snappy"):
            with self.subTest(how):
                status, _, err = self.run_main(
                    readback.main,
                    self.file("plain", TEXT),
                    "--format=raw",
                    f"--compression={how}",
                )
                self.assertEqual(status, 2, err)


class Objects(Folder):
    def test_names(self):
        for name in ("a.x", "d/b.x", "d/c.y", ".hidden.x", "_marker.x", ".d/e.x"):
            self.file(name, b"1\n")
        for suffix, want in (("", 3), (".x", 2), (".z", 0)):
            status, out, _ = self.run_main(
                readback.main, self.folder, "--format=ndjson", "--count", "--suffix", suffix
            )
            self.assertEqual(status, 0)
            self.assertEqual(
                json.loads(out), {"objects": want, "bytes": 2 * want, "rows": want}
            )

    def test_missing(self):
        status, _, err = self.run_main(
            readback.main, self.folder / "none", "--format=raw"
        )
        self.assertEqual(status, 2)
        self.assertIn("none: no such file or folder", err)


class Text(Folder):
    def rows(self, data, *arguments):
        status, out, err = self.run_main(
            readback.main, self.file("object", data), *arguments
        )
        self.assertEqual(status, 0, err)
        return out.splitlines()

    def test_raw(self):
        got = self.rows("ü\n\n b\r\nlast".encode() + b"\xff", "--format=raw", "--unsorted")
        self.assertEqual(
            got, ['"ü"', '""', '" b\\r"', '{"base64":"bGFzdP8="}']
        )

    def test_csv(self):
        data = b'name,n\r\n"a ""b""\nc",1\r\n,2\r\n'
        want = ['{"n":"1","name":"a \\"b\\"\\nc"}', '{"n":"2","name":""}']
        self.assertEqual(self.rows(data, "--format=csv"), want)
        headless = data.split(b"\r\n", 1)[1]
        self.assertEqual(self.rows(headless, "--format=csv", "--header=name,n"), want)

    def test_bad_lines_are_named(self):
        for data, format in (
            (b'{"a":1}\n{"a":\n', "ndjson"),
            (b'{"a":1}\n\n', "ndjson"),
            (b'{"a":1}\n{"a":NaN}\n', "ndjson"),
            (b"a,b\n1\n", "csv"),
        ):
            with self.subTest(data):
                status, _, err = self.run_main(
                    readback.main, self.file("bad", data), "--format", format
                )
                self.assertEqual(status, 2)
                self.assertIn("bad: ValueError: line 2", err)


class Parquet(Folder):
    TABLE = pyarrow.table(
        {
            "n": pyarrow.array([1, None, 2**60], pyarrow.int64()),
            "f": pyarrow.array([1.0, 0.5, float("nan")], pyarrow.float64()),
            "t": pyarrow.array(
                [datetime.datetime(2015, 5, 17, 10, 5, 3, 7, datetime.timezone.utc), None, None],
                pyarrow.timestamp("us", "UTC"),
            ),
            "ns": pyarrow.array([1_000_000_007, None, None], pyarrow.timestamp("ns", "UTC")),
            "ms": pyarrow.array([1_001, None, None], pyarrow.timestamp("ms")),
            "d": pyarrow.array([datetime.date(2015, 5, 17), None, None]),
            "c": pyarrow.array([decimal.Decimal("1.50"), None, None], pyarrow.decimal128(9, 2)),
            "s": pyarrow.array(["ü", "", None]),
            "x": pyarrow.array([b"\xff", b"ok", None], pyarrow.binary()),
            "b": pyarrow.array([True, False, None]),
            "l": pyarrow.array([[1, None], [], None], pyarrow.list_(pyarrow.int32())),
            "o": pyarrow.array([{"k": 1, "z": None}, {"k": None, "z": "q"}, None]),
            "m": pyarrow.array(
                [[("k", 1)], [], None], pyarrow.map_(pyarrow.string(), pyarrow.int32())
            ),
        }
    )
    WANT = [
        '{"b":false,"f":0.5,"l":[],"m":{},"o":{"z":"q"},"s":"","x":"ok"}',
        '{"b":true,"c":1.5,"d":"2015-05-17","f":1,"l":[1,null],"m":{"k":1},'
        '"ms":"1970-01-01T00:00:01.001000Z","n":1,"ns":"1970-01-01T00:00:01.000000Z","o":{"k":1},'
        '"s":"ü","t":"2015-05-17T10:05:03.000007Z","x":{"base64":"/w=="}}',
        '{"f":"nan","n":1152921504606846976}',
    ]

    def test_both_readers_agree(self):
        file = str(self.folder / "dt=2015-05-17" / "it's.parquet")
        pathlib.Path(file).parent.mkdir()
        for codec in ("none", "snappy", "gzip", "zstd", "lz4"):
            pyarrow.parquet.write_table(self.TABLE, file, compression=codec)
            for reader in readback.READERS:
                with self.subTest(reader, codec=codec):
                    status, out, err = self.run_main(
                        readback.main, self.folder, "--format=parquet", "--reader", reader
                    )
                    self.assertEqual((status, err), (0, ""))
                    self.assertEqual(out.splitlines(), self.WANT)

    def test_damage_is_named(self):
        file = self.folder / "t.parquet"
        pyarrow.parquet.write_table(self.TABLE, file)
        good = file.read_bytes()
        for what, data in (("cut", good[:-9]), ("empty", b""), ("text", TEXT)):
            file.write_bytes(data)
            for reader in readback.READERS:
                with self.subTest(what, reader=reader):
                    status, _, err = self.run_main(
                        readback.main, self.folder, "--format=parquet", "--reader", reader
                    )
                    self.assertEqual(status, 2)
                    self.assertIn("t.parquet", err)


class Compare(Folder):
    def compare(self, expected, found, *arguments):
        status, out, err = self.run_main(
            compare.main,
            self.file("expected", expected),
            self.file("found", found),
            *arguments,
        )
        return status, json.loads(out) if out else err

    def test_counts(self):
        for name, expected, found, missing, duplicates, unexpected, status in (
            ("equal", b"a\nb\n", b"b\na\n", 0, 0, 0, 0),
            ("no last newline", b"a\nb", b"b\na\n", 0, 0, 0, 0),
            ("repeated on both sides", b"a\na\n", b"a\na\n", 0, 0, 0, 0),
            ("missing", b"a\nb\n", b"a\n", 1, 0, 0, 1),
            ("missing one of two", b"a\na\n", b"a\n", 1, 0, 0, 1),
            ("duplicate", b"a\nb\n", b"a\nb\na\na\n", 0, 2, 0, 0),
            ("unexpected", b"a\n", b"a\nc\nc\n", 0, 0, 2, 1),
            ("empty values", b"\n\n", b"\n", 1, 0, 0, 1),
            ("all at once", b"a\nb\nc\n", b"a\na\nx\n", 2, 1, 1, 1),
            ("nothing at all", b"", b"", 0, 0, 0, 0),
        ):
            with self.subTest(name):
                got, result = self.compare(expected, found, "--format=raw")
                self.assertEqual(
                    (result["missing"], result["duplicates"], result["unexpected"]),
                    (missing, duplicates, unexpected),
                )
                self.assertEqual(got, status)

    def test_exactly_once(self):
        status, result = self.compare(b"a\n", b"a\na\n", "--format=raw", "--exactly-once")
        self.assertEqual((status, result["duplicates"]), (1, 1))

    def test_column(self):
        found = b'{"m":"a b","n":7}\n{"m":"c","n":8,"o":{"p":"q"}}\n'
        status, result = self.compare(b"a b\nc\n", found, "--format=ndjson", "--column=m")
        self.assertEqual((status, result["found"]), (0, 2))
        status, result = self.compare(b"8\n7\n", found, "--format=ndjson", "--column=n")
        self.assertEqual(status, 0)
        status, result = self.compare(b"x\n", found, "--format=ndjson", "--column=o.p")
        self.assertEqual(status, 2)
        self.assertIn("no column 'o.p'", result)
        status, result = self.compare(
            b"q\n", found.split(b"\n")[1], "--format=ndjson", "--column=o.p"
        )
        self.assertEqual(status, 0)

    def test_whole_rows(self):
        expected = b'{"a":1.0,"b":null,"id":1}\n{"a":2,"id":2}\n'
        found = b'{"id":9,"a":2}\n{"a":1}\n{"a":3}\n'
        status, result = self.compare(
            expected, found, "--format=ndjson", "--ignore=id"
        )
        self.assertEqual(status, 1)
        self.assertEqual(
            result,
            {
                "expected": 2,
                "found": 3,
                "missing": 0,
                "duplicates": 0,
                "unexpected": 1,
                "examples": {"unexpected": ['{"a":3}']},
            },
        )

    def test_bad_expectation(self):
        status, err = self.compare(b"{\n", b"", "--format=ndjson")
        self.assertEqual(status, 2)
        self.assertIn("expected: line 1", err)

    def test_any_bytes(self):
        status, result = self.compare(b"\xff\n", b"\xff\n", "--format=raw")
        self.assertEqual((status, result["missing"]), (0, 0))


if __name__ == "__main__":
    unittest.main()
