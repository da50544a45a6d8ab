"""The scenario of the conformance tests, as ../../scenario and ../../README.md
have it, over any client that can call an operation by its name."""

import datetime
import hashlib
import json
import os
import struct
import sys
import time

STEPS = ["create", "put", "iterators", "split", "merge", "update_count", "drain", "fanout", "throttle", "tags", "delete"]
PUT, LATEST, SPLIT, MERGE, UPDATE = range(0, 500), range(500, 510), range(510, 610), range(610, 710), range(710, 810)
DRAINED, LIVE, RENEWED = range(0, 810), range(810, 830), range(830, 840)
LIMIT = 120  # seconds that anything is waited for


class Skip(Exception):
    """The client cannot do the step."""


class Failed(Exception):
    """A call was answered with an error; the first argument is its code."""

    @property
    def code(self):
        return self.args[0]


def record(n):
    key, explicit = f"key-{n % 50}-é中😀", None
    if n % 10 == 9:
        key, explicit = f"hash-{n}", str((n % 500) << 119)
    if n == 0:
        data = b""
    elif n == 1:
        data = bytes(range(256))
    else:
        data = struct.pack(">I", n) + bytes((n * 31 + i * 7) & 255 for i in range(4, 4 + n * 37 % 1021))
    return key, explicit, data


def number(data):
    n = 0 if not data else 1 if len(data) == 256 and data[:3] == b"\0\1\2" else struct.unpack(">I", data[:4])[0]
    check(n < 10000 and record(n)[2] == data, f"data that was not put: {data[:30].hex()}")
    return n


def digest(pairs):
    lines = sorted(hashlib.sha256(k.encode()).hexdigest() + hashlib.sha256(d).hexdigest() + "\n" for k, d in pairs)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check(ok, message):
    if not ok:
        raise AssertionError(message)


def until(done, what):
    end = time.monotonic() + LIMIT
    while not done():
        check(time.monotonic() < end, f"{what}: not after {LIMIT} s")
        time.sleep(0.2)


class Read:
    """A record as it was read."""

    def __init__(self, r):
        self.data, self.key, self.sequence = r["Data"], r["PartitionKey"], r["SequenceNumber"]
        self.n = number(self.data)
        self.arrival = r["ApproximateArrivalTimestamp"]
        if isinstance(self.arrival, str):
            self.arrival = datetime.datetime.fromisoformat(self.arrival)
        if isinstance(self.arrival, datetime.datetime):
            self.arrival = self.arrival.timestamp()
        check(self.key == record(self.n)[0], f"record {self.n} has partition key {self.key!r}")
        check(int(self.sequence).bit_length() == 186, f"record {self.n} has sequence number {self.sequence}")

    def __eq__(self, other):
        return (self.n, self.sequence, self.arrival) == (other.n, other.sequence, other.arrival)


class Scenario:
    """call(operation, **members) gives the output, or raises Failed; the
    subclass says how, and how it waits for a stream to be there or gone."""

    client = version = protocol = None
    page_size = 2  # of ListShards
    singly = range(20)  # the records that go through PutRecord

    def __init__(self):
        self.stream = os.environ["FIREHOSED_STREAM"]
        self.throttled = os.environ["FIREHOSED_THROTTLED_STREAM"]
        self.shards = {}

    def run(self):
        """Goes through the steps, those behind one that failed too, and tells
        whether all went well."""
        failed = False
        for step in STEPS:
            line = {"client": self.client, "version": self.version, "protocol": self.protocol, "step": step}
            began = time.monotonic()
            try:
                line |= {"ok": True, "detail": getattr(self, step)() or ""}
            except Skip as why:
                line |= {"skip": str(why)}
            except Exception as e:  # whatever a client raises is a step that failed
                line |= {"ok": False, "detail": f"{type(e).__name__}: {e}"}
                import traceback

                traceback.print_exc()
            print(f"{step}: {time.monotonic() - began:.2f} s", file=sys.stderr)
            print(json.dumps(line), flush=True)
            failed = failed or "skip" not in line and not line["ok"]
        return not failed

    def sent_time(self, seconds):
        """What the client makes of a time, to the precision that it sends."""
        return seconds

    def list_shards(self):
        shards, page = [], {"StreamName": self.stream}
        while page:
            out = self.call("ListShards", MaxResults=self.page_size, **page)
            shards += out["Shards"]
            page = {"NextToken": out["NextToken"]} if "NextToken" in out else None
        return shards

    def put_span(self, span, **more):
        for i in range(0, len(span), 250):
            entries = []
            for n in span[i : i + 250]:
                key, explicit, data = record(n)
                entries.append({"Data": data, "PartitionKey": key} | ({"ExplicitHashKey": explicit} if explicit else {}) | more)
            out = self.call("PutRecords", StreamName=self.stream, Records=entries)
            check(out["FailedRecordCount"] == 0 and len(out["Records"]) == len(entries), f"PutRecords of {span}: {out}")

    def read(self, shard, kind, **more):
        it = self.call("GetShardIterator", StreamName=self.stream, ShardId=shard, ShardIteratorType=kind, **more)["ShardIterator"]
        return self.read_from(it)

    def read_from(self, it):
        """All records, and the children that a closed shard names at its end."""
        records = []
        while True:
            out = self.call("GetRecords", ShardIterator=it)
            records += [Read(r) for r in out["Records"]]
            before, it = it, out.get("NextShardIterator")
            if it is None:
                return records, [c["ShardId"] for c in out["ChildShards"]]
            check(it != before and not out.get("ChildShards"), "the same iterator again, or children beside one")
            if not out["Records"] and out["MillisBehindLatest"] == 0:
                return records, None

    def create(self):
        self.call("CreateStream", StreamName=self.stream, ShardCount=2)
        check(len(self.settled()) == 2, "not 2 shards")

    def settled(self):
        self.wait_exists()
        return self.list_shards()

    def put(self):
        for n in self.singly:
            key, explicit, data = record(n)
            out = self.call("PutRecord", StreamName=self.stream, Data=data, PartitionKey=key, **({"ExplicitHashKey": explicit} if explicit else {}))
            check(out["ShardId"] and out["SequenceNumber"], f"PutRecord answers {out}")
        self.put_span([n for n in PUT if n not in self.singly])
        return digest((k, d) for k, _, d in map(record, PUT))

    def iterators(self):
        shards = [s["ShardId"] for s in self.list_shards()]
        kept = {s: self.read(s, "TRIM_HORIZON")[0] for s in shards}
        everything = [r for records in kept.values() for r in records]
        check(len(everything) == len(PUT), f"TRIM_HORIZON reads {len(everything)} records")
        first, shard = kept[shards[0]], shards[0]
        mid = len(first) // 2
        moment = self.sent_time(first[mid].arrival)
        since = next(i for i, r in enumerate(first) if r.arrival >= moment)
        for kind, more, want in (
            ("AT_SEQUENCE_NUMBER", {"StartingSequenceNumber": first[mid].sequence}, first[mid:]),
            ("AFTER_SEQUENCE_NUMBER", {"StartingSequenceNumber": first[mid].sequence}, first[mid + 1 :]),
            ("AT_TIMESTAMP", {"Timestamp": moment}, first[since:]),
        ):
            got, _ = self.read(shard, kind, **more)
            check(got == want, f"{kind} reads {len(got)} records, want {len(want)}, or others")
        latest = [self.call("GetShardIterator", StreamName=self.stream, ShardId=s, ShardIteratorType="LATEST")["ShardIterator"] for s in shards]
        self.put_span(LATEST)
        got = sorted(r.n for it in latest for r in self.read_from(it)[0])
        check(got == list(LATEST), f"LATEST reads {got}")
        return digest((r.key, r.data) for r in everything)

    def split(self):
        parent = self.list_shards()[0]
        low, high = (int(parent["HashKeyRange"][k]) for k in ("StartingHashKey", "EndingHashKey"))
        middle = str((low + high) // 2)
        self.call("SplitShard", StreamName=self.stream, ShardToSplit=parent["ShardId"], NewStartingHashKey=middle)
        shards = self.settled()
        check("EndingSequenceNumber" in shards[0]["SequenceNumberRange"], "the split shard has no end")
        children = [s for s in shards if s.get("ParentShardId") == parent["ShardId"]]
        check(len(children) == 2 and children[1]["HashKeyRange"]["StartingHashKey"] == middle, f"children {children}")
        self.put_span(SPLIT)

    def merge(self):
        shards = self.list_shards()
        pair = [s["ShardId"] for s in shards if s.get("ParentShardId") == shards[0]["ShardId"]]
        self.call("MergeShards", StreamName=self.stream, ShardToMerge=pair[0], AdjacentShardToMerge=pair[1])
        merged = self.settled()[-1]
        check([merged.get("ParentShardId"), merged.get("AdjacentParentShardId")] == pair, f"merged shard {merged}")
        self.put_span(MERGE)

    def update_count(self):
        out = self.call("UpdateShardCount", StreamName=self.stream, TargetShardCount=4, ScalingType="UNIFORM_SCALING")
        check((out["CurrentShardCount"], out["TargetShardCount"]) == (2, 4), f"UpdateShardCount answers {out}")
        ranges = sorted(
            (int(s["HashKeyRange"]["StartingHashKey"]), int(s["HashKeyRange"]["EndingHashKey"]))
            for s in self.settled()
            if "EndingSequenceNumber" not in s["SequenceNumberRange"]
        )
        check(ranges == [(i << 126, (i + 1 << 126) - 1) for i in range(4)], f"open shards {ranges}")
        self.put_span(UPDATE)

    def drain(self):
        shards, order = self.list_shards(), []
        while len(order) < len(shards):
            ready = [
                s
                for s in shards
                if s["ShardId"] not in self.shards and all(s.get(p) is None or s[p] in self.shards for p in ("ParentShardId", "AdjacentParentShardId"))
            ]
            check(ready, "no shard is left whose parents are listed and read")
            for s in ready:
                name = s["ShardId"]
                records, children = self.read(name, "TRIM_HORIZON")
                want = [c["ShardId"] for c in shards if name in (c.get("ParentShardId"), c.get("AdjacentParentShardId"))]
                closed = "EndingSequenceNumber" in s["SequenceNumberRange"]
                check((children is not None) == closed, f"{name}: closed {closed}, children at the end {children}")
                check(sorted(children or []) == sorted(want), f"{name} names the children {children}, ListShards {want}")
                self.shards[name] = records
                order.append(name)
        everything = [r for name in order for r in self.shards[name]]
        check(sorted(r.n for r in everything) == list(DRAINED), "not every record once")
        last = {}
        for r in everything:
            check(last.get(r.key, -1) < r.n, f"key {r.key}: record {r.n} comes after {last.get(r.key)}")
            last[r.key] = r.n
        return digest((r.key, r.data) for r in everything)

    def register(self):
        arn = self.call("DescribeStreamSummary", StreamName=self.stream)["StreamDescriptionSummary"]["StreamARN"]
        consumer = self.call("RegisterStreamConsumer", StreamARN=arn, ConsumerName="fan")["Consumer"]["ConsumerARN"]
        until(lambda: self.call("DescribeStreamConsumer", ConsumerARN=consumer)["ConsumerDescription"]["ConsumerStatus"] == "ACTIVE", "consumer ACTIVE")
        listed = self.call("ListStreamConsumers", StreamARN=arn)["Consumers"]
        check([c["ConsumerARN"] for c in listed] == [consumer], f"ListStreamConsumers answers {listed}")
        return consumer

    def deregister(self, consumer):
        self.call("DeregisterStreamConsumer", ConsumerARN=consumer)
        until(lambda: self.code("DescribeStreamConsumer", ConsumerARN=consumer) == "ResourceNotFoundException", "consumer gone")

    def code(self, operation, **members):
        """The code of the error that a call is answered with, or None."""
        try:
            self.call(operation, **members)
        except Failed as e:
            return e.code
        return None

    def big_put(self):
        """4 MiB at once to a shard that takes 1 MiB a second."""
        out = self.call(
            "PutRecords", StreamName=self.throttled, Records=[{"Data": bytes([97 + n % 26]) * 40960, "PartitionKey": "k"} for n in range(100)]
        )
        refused = [r for r in out["Records"] if "ErrorCode" in r]
        check(0 < len(refused) < 100 and len(refused) == out["FailedRecordCount"], f"{len(refused)} records are refused, FailedRecordCount {out['FailedRecordCount']}")
        check(all(r["ErrorCode"] == "ProvisionedThroughputExceededException" and r["ErrorMessage"] for r in refused), f"refused: {refused[0]}")

    def tags(self):
        self.call("AddTagsToStream", StreamName=self.stream, Tags={"team": "search", "Zürich": "x y"})
        out = self.call("ListTagsForStream", StreamName=self.stream)
        check(out["Tags"] == [{"Key": "Zürich", "Value": "x y"}, {"Key": "team", "Value": "search"}] and not out["HasMoreTags"], f"ListTagsForStream answers {out}")
        self.call("RemoveTagsFromStream", StreamName=self.stream, TagKeys=["Zürich"])
        arn = self.call("DescribeStreamSummary", StreamName=self.stream)["StreamDescriptionSummary"]["StreamARN"]
        self.call("TagResource", ResourceARN=arn, Tags={"stage": "test"})
        self.call("UntagResource", ResourceARN=arn, TagKeys=["team"])
        out = self.call("ListTagsForResource", ResourceARN=arn)
        check(out["Tags"] == [{"Key": "stage", "Value": "test"}], f"ListTagsForResource answers {out}")

    def delete(self):
        self.call("DeleteStream", StreamName=self.stream)
        self.wait_gone()
        check(self.code("DescribeStreamSummary", StreamName=self.stream) == "ResourceNotFoundException", "the stream is still there")
