#!/usr/bin/env python3
"""Reads delivered objects back, independently of the program that wrote them.

    readback.py SOURCE --format parquet|ndjson|raw|csv|opensearch [options]

SOURCE is a folder, a file, s3://bucket/prefix, or, with --format opensearch,
http://host:port/index. For S3 the endpoint and the keys come from the usual
variables: AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_DEFAULT_REGION.

It prints each row as a line of canonical JSON, the lines sorted; with --count
it prints one JSON object with the numbers of objects, bytes and rows instead.

Canonical means: keys sorted, no spaces, characters as they are; a null is left
out of its object, because a Parquet file cannot tell it from a missing key; a
number without a fraction has no decimal point, however it was stored; a time
is its UTC instant in microseconds as 2015-05-17T10:05:03.000000Z, one without a
zone being taken for UTC; bytes that are UTF-8 are text, others {"base64": ...}. With --format raw a row is a line of
the object, as a JSON string.

Names that begin with a dot or an underscore are passed over, as readers of data
lakes do. Compression is told from the first bytes of an object, except Hadoop's
block format of snappy, which has no mark and must be named.

The exit status is 0, or 2 with a message when something cannot be read.
"""

import argparse
import base64
import contextlib
import csv
import datetime
import decimal
import gzip
import io
import json
import math
import os
import pathlib
import struct
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile

FORMATS = ("parquet", "ndjson", "raw", "csv", "opensearch")
READERS = ("pyarrow", "duckdb")
COMPRESSIONS = ("auto", "none", "gzip", "zstd", "snappy", "hadoop_snappy", "zip")
SCROLL_PAGE = 1000
HTTP_TIMEOUT = 60  # seconds

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZIP_MAGIC = b"PK\x03\x04"
SNAPPY_FRAME_MAGIC = b"\xff\x06\x00\x00sNaPpY"
XERIAL_MAGIC = b"\x82SNAPPY\x00"
XERIAL_HEADER = len(XERIAL_MAGIC) + 8  # and two versions of four bytes


class Unreadable(Exception):
    """Something cannot be read; the text names it."""


# Objects: where they are.


def _hidden(name):
    return any(part.startswith((".", "_")) for part in name.split("/"))


def _local_objects(source, suffix):
    root = pathlib.Path(source)
    if root.is_file():
        yield str(root), root
        return
    if not root.is_dir():
        raise Unreadable(f"{source}: no such file or folder")
    for file in sorted(root.rglob("*")):
        name = file.relative_to(root).as_posix()
        if file.is_file() and not _hidden(name) and name.endswith(suffix):
            yield str(file), file


def _s3_objects(source, suffix, folder):
    import boto3
    import botocore.config
    import botocore.exceptions

    url = urllib.parse.urlparse(source)
    bucket, prefix = url.netloc, url.path.lstrip("/")
    client = boto3.client(
        "s3", config=botocore.config.Config(s3={"addressing_style": "path"})
    )
    try:
        for page in client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=prefix
        ):
            for entry in page.get("Contents", ()):
                key = entry["Key"]
                if key.endswith("/") or _hidden(key) or not key.endswith(suffix):
                    continue
                file = pathlib.Path(folder) / "object"
                client.download_file(bucket, key, str(file))
                yield f"s3://{bucket}/{key}", file
                file.unlink()
    except (
        botocore.exceptions.BotoCoreError,
        botocore.exceptions.ClientError,
    ) as error:
        raise Unreadable(f"{source}: {error}") from error


@contextlib.contextmanager
def objects(source, suffix=""):
    """Gives an iterator of (name, local file) over the objects of a source.

    An object of S3 is on disk only until the next one is asked for.
    """
    if source.startswith("s3://"):
        with tempfile.TemporaryDirectory() as folder:
            yield _s3_objects(source, suffix, folder)
    else:
        yield _local_objects(source, suffix)


# Compression.


def _xerial_blocks(data):
    """The stream of snappy-java: a header, then blocks with their length."""
    import cramjam

    at, out = XERIAL_HEADER, bytearray()
    while at < len(data):
        if data.startswith(XERIAL_MAGIC, at):  # streams written one after another
            at += XERIAL_HEADER
            continue
        if at + 4 > len(data):
            raise ValueError("snappy block without a length")
        (size,) = struct.unpack_from(">I", data, at)
        at += 4
        if at + size > len(data):
            raise ValueError("snappy block is cut off")
        out += bytes(cramjam.snappy.decompress_raw(data[at : at + size]))
        at += size
    return bytes(out)


def _hadoop_blocks(data):
    """Hadoop's BlockCompressorStream: blocks of chunks, each with its length."""
    import cramjam

    at, out = 0, bytearray()
    while at < len(data):
        (want,) = struct.unpack_from(">I", data, at)
        at += 4
        have = 0
        while have < want:
            (size,) = struct.unpack_from(">I", data, at)
            at += 4
            if at + size > len(data):
                raise ValueError("snappy chunk is cut off")
            chunk = bytes(cramjam.snappy.decompress_raw(data[at : at + size]))
            at += size
            have += len(chunk)
            out += chunk
        if have != want:
            raise ValueError(f"snappy block holds {have} bytes and announces {want}")
    return bytes(out)


def _zstd(data):
    import zstandard

    out = io.BytesIO()
    rest = data
    while rest:
        frame = zstandard.ZstdDecompressor().decompressobj()
        out.write(frame.decompress(rest))
        if not frame.eof:
            raise ValueError("zstd frame is cut off")
        rest = frame.unused_data
    return out.getvalue()


def _zip(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return b"".join(archive.read(entry) for entry in archive.infolist())


def decompress(data, compression="auto"):
    """Gives the bytes inside. Damage of any kind raises an exception."""
    import cramjam

    if compression == "auto":
        for magic, found in (
            (GZIP_MAGIC, "gzip"),
            (ZSTD_MAGIC, "zstd"),
            (ZIP_MAGIC, "zip"),
            (SNAPPY_FRAME_MAGIC, "snappy"),
            (XERIAL_MAGIC, "snappy"),
        ):
            if data.startswith(magic):
                compression = found
                break
        else:
            compression = "none"
    if compression == "none":
        return data
    if compression == "gzip":
        return gzip.decompress(data)
    if compression == "zstd":
        return _zstd(data)
    if compression == "zip":
        return _zip(data)
    if compression == "hadoop_snappy":
        return _hadoop_blocks(data)
    if data.startswith(XERIAL_MAGIC):
        return _xerial_blocks(data)
    if data.startswith(SNAPPY_FRAME_MAGIC):
        return bytes(cramjam.snappy.decompress(data))
    raise ValueError("neither the framing format of snappy nor that of snappy-java")


# Rows.


def canonical(value):
    """Gives the canonical form of a value, for json.dumps to write."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return int(value) if value.is_integer() and abs(value) < 2**63 else value
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        raw = bytes(value)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(raw).decode("ascii")}
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc)
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, dict):
        return {
            str(key): canonical(inner)
            for key, inner in value.items()
            if inner is not None
        }
    if isinstance(value, (list, tuple)):
        return [canonical(inner) for inner in value]
    raise Unreadable(f"a value of type {type(value).__name__} has no canonical form")


def line(value):
    """Gives a value as one line of canonical JSON."""
    return json.dumps(
        canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


def _has_map(kind):
    import pyarrow

    if pyarrow.types.is_map(kind):
        return True
    return any(_has_map(kind.field(i).type) for i in range(kind.num_fields))


def _batch_rows(batch):
    """Rows of an Arrow batch. Maps become objects, timestamps microseconds."""
    import pyarrow

    columns = []
    for field, column in zip(batch.schema, batch.columns):
        if pyarrow.types.is_timestamp(field.type) and field.type.unit == "ns":
            column = column.cast(pyarrow.timestamp("us", tz=field.type.tz), safe=False)
        options = {"maps_as_pydicts": "strict"} if _has_map(field.type) else {}
        columns.append(column.to_pylist(**options))
    names = batch.schema.names
    for values in zip(*columns):
        yield dict(zip(names, values))


def _parquet_rows(file, reader):
    if reader == "duckdb":
        import duckdb

        # The values cross over as Arrow; the Parquet file itself is read by DuckDB.
        # What is not built into it would be fetched from a server: never here.
        settings = {"threads": 1, "autoinstall_known_extensions": False}
        with duckdb.connect(config=settings) as connection:
            path = str(file).replace("'", "''")
            found = connection.sql(
                "SELECT * FROM read_parquet('" + path + "', hive_partitioning = false)"
            )
            for batch in found.to_arrow_reader(8192):
                yield from _batch_rows(batch)
        return
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size=8192):
            yield from _batch_rows(batch)


def _refuse_constant(name):
    raise ValueError(f"{name} is not JSON")


def _json(text):
    return json.loads(text, parse_constant=_refuse_constant)


def _lines(data):
    """Lines of an object; the last may lack its newline."""
    parts = data.split(b"\n")
    if parts and parts[-1] == b"":
        parts.pop()
    return parts


def _ndjson_rows(data):
    for number, text in enumerate(_lines(data), 1):
        try:
            yield _json(text)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}: {text[:200]!r}") from error


def _csv_rows(data, columns):
    table = csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True)
    for number, fields in enumerate(table):
        if columns is None:
            columns = fields
            continue
        if len(fields) != len(columns):
            raise ValueError(
                f"line {number + 1}: {len(fields)} fields, not {len(columns)}"
            )
        yield dict(zip(columns, fields))


def _request(method, url, body):
    request = urllib.request.Request(
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise Unreadable(
            f"{method} {url}: status {error.code}: {error.read()[:500]!r}"
        ) from error
    except (OSError, ValueError) as error:
        raise Unreadable(f"{method} {url}: {error}") from error


def opensearch_hits(source):
    """Yields the hits (_index, _id, _source) of all documents of an index."""
    url = urllib.parse.urlparse(source)
    if url.scheme not in ("http", "https") or not url.path.strip("/"):
        raise Unreadable(f"{source}: want http://host:port/index")
    base, index = f"{url.scheme}://{url.netloc}", url.path.strip("/")
    _request("POST", f"{base}/{index}/_refresh", None)
    page = _request(
        "POST",
        f"{base}/{index}/_search?scroll=1m",
        {"size": SCROLL_PAGE, "sort": ["_doc"]},
    )
    try:
        while page["hits"]["hits"]:
            yield from page["hits"]["hits"]
            page = _request(
                "POST",
                f"{base}/_search/scroll",
                {"scroll": "1m", "scroll_id": page["_scroll_id"]},
            )
    finally:
        _request(
            "DELETE", f"{base}/_search/scroll", {"scroll_id": page["_scroll_id"]}
        )


class Tally:
    """How much has been read."""

    def __init__(self):
        self.objects = 0
        self.bytes = 0
        self.rows = 0


def rows(
    source,
    format,
    reader="pyarrow",
    compression="auto",
    suffix="",
    columns=None,
    tally=None,
):
    """Yields the rows of a source as Python values, not yet canonical."""
    tally = tally or Tally()
    if format == "opensearch":
        for hit in opensearch_hits(source):
            tally.objects += 1
            tally.rows += 1
            tally.bytes += len(json.dumps(hit["_source"]))
            yield hit["_source"]
        return
    with objects(source, suffix) as found:
        for name, file in found:
            tally.objects += 1
            tally.bytes += file.stat().st_size
            try:
                if format == "parquet":
                    inside = _parquet_rows(file, reader)
                else:
                    data = decompress(file.read_bytes(), compression)
                    if format == "ndjson":
                        inside = _ndjson_rows(data)
                    elif format == "csv":
                        inside = _csv_rows(data, columns)
                    else:
                        inside = _lines(data)
                for row in inside:
                    tally.rows += 1
                    yield row
            except Unreadable:
                raise
            except Exception as error:  # each decoder has exceptions of its own
                raise Unreadable(f"{name}: {type(error).__name__}: {error}") from error


def add_source(parser):
    """Adds the arguments that say what to read."""
    parser.add_argument("source", help="folder, file, s3://bucket/prefix or http://host:port/index")
    parser.add_argument("--format", required=True, choices=FORMATS)
    parser.add_argument("--reader", default="pyarrow", choices=READERS, help="of Parquet")
    parser.add_argument("--compression", default="auto", choices=COMPRESSIONS)
    parser.add_argument("--suffix", default="", help="read only names that end in this")
    parser.add_argument(
        "--header",
        metavar="A,B,...",
        help="names of the columns of CSV that has no header line",
    )


def rows_of(arguments, tally=None):
    """Yields the rows that the arguments of add_source name."""
    return rows(
        arguments.source,
        arguments.format,
        reader=arguments.reader,
        compression=arguments.compression,
        suffix=arguments.suffix,
        columns=arguments.header.split(",") if arguments.header else None,
        tally=tally,
    )


def utf8_output():
    """Lets any string of JSON be printed, lone surrogates too, in any locale."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="surrogatepass")


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_source(parser)
    parser.add_argument("--count", action="store_true", help="print numbers instead of rows")
    parser.add_argument(
        "--unsorted",
        action="store_true",
        help="print rows as they are read, without holding them all in memory",
    )
    chosen = parser.parse_args(arguments)
    utf8_output()
    tally = Tally()
    try:
        found = rows_of(chosen, tally)
        if chosen.count:
            for _ in found:
                pass
            print(
                json.dumps(
                    {"objects": tally.objects, "bytes": tally.bytes, "rows": tally.rows}
                )
            )
        else:
            lines = map(line, found)
            for text in lines if chosen.unsorted else sorted(lines):
                print(text)
    except Unreadable as error:
        print(f"readback.py: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
