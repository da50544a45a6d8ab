"""The driver of boto3."""

import concurrent.futures
import os
import re
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from scenario import LIVE, RENEWED, Failed, Read, Scenario, check, digest, record, until

FAST = {"Delay": 1, "MaxAttempts": 120}


class Boto3(Scenario):
    client, version = "boto3", boto3.__version__

    def __init__(self, endpoint, protocol, suffix):
        super().__init__()
        self.protocol, self.stream = protocol, self.stream + suffix
        settings = {"endpoint_url": endpoint}
        if endpoint.startswith("https:"):
            settings["verify"] = os.environ["FIREHOSED_CA_FILE"]
        self.kinesis = boto3.client("kinesis", **settings)
        self.once = boto3.client("kinesis", config=Config(retries={"total_max_attempts": 1}), **settings)
        self.patient = boto3.client("kinesis", config=Config(retries={"mode": "standard", "total_max_attempts": 12}), **settings)

    def call(self, operation, by=None, **members):
        method = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
        try:
            return getattr(by or self.kinesis, method)(**members)
        except ClientError as e:
            raise Failed(e.response["Error"]["Code"], str(e)) from e

    def wait_exists(self):
        self.kinesis.get_waiter("stream_exists").wait(StreamName=self.stream, WaiterConfig=FAST)

    def wait_gone(self):
        self.kinesis.get_waiter("stream_not_exists").wait(StreamName=self.stream, WaiterConfig=FAST)

    def fanout(self):
        consumer = self.register()
        shard = next(
            s["ShardId"] for s in self.list_shards() if "EndingSequenceNumber" not in s["SequenceNumberRange"] and s["HashKeyRange"]["StartingHashKey"] == "0"
        )
        old = self.shards[shard]
        got, position = self.subscribe(consumer, shard, {"Type": "TRIM_HORIZON"}, len(old), LIVE)
        check(got[: len(old)] == old, "the subscription gives other old records than GetRecords")
        self.put_lowest(RENEWED)
        again, _ = self.subscribe(consumer, shard, {"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": position}, len(RENEWED), [])
        live = got[len(old) :] + again
        check([r.n for r in live] == [*LIVE, *RENEWED], f"live records {[r.n for r in live]}")
        self.deregister(consumer)
        return digest((r.key, r.data) for r in live)

    def put_lowest(self, span):
        if span:
            self.put_span(span, ExplicitHashKey="0")

    def subscribe(self, consumer, shard, start, old, put):
        answer = []

        def subscribed():
            try:
                answer.append(self.call("SubscribeToShard", ConsumerARN=consumer, ShardId=shard, StartingPosition=start))
            except Failed as e:
                if e.code != "ResourceInUseException":  # for the first seconds of the one before
                    raise
            return answer

        until(subscribed, "SubscribeToShard")
        got, waiting, events = [], True, answer[0]["EventStream"]
        for event in events:
            event = event["SubscribeToShardEvent"]
            position = event["ContinuationSequenceNumber"]
            check(event["MillisBehindLatest"] >= 0, f"event {event}")
            got += map(Read, event["Records"])
            if waiting and len(got) >= old:
                waiting = False
                self.put_lowest(put)
            if len(got) >= old + len(put):
                events.close()
                return got, position
        raise AssertionError(f"the subscription ended after {len(got)} of {old + len(put)} records")

    def throttle(self):
        self.big_put()
        shard = {"StreamName": self.throttled, "ShardId": "shardId-000000000000", "ShardIteratorType": "LATEST"}
        it = self.call("GetShardIterator", by=self.patient, **shard)["ShardIterator"]
        for operation, members in (
            ("PutRecord", {"StreamName": self.throttled, "Data": b"x" * 409600, "PartitionKey": "k"}),
            ("GetRecords", {"ShardIterator": it}),
        ):
            # Until one is refused: on a machine that is busy they may be too slow at first.
            codes, calls = set(), 0
            with concurrent.futures.ThreadPoolExecutor(8) as at_once:
                while calls < 480 and "ProvisionedThroughputExceededException" not in codes:
                    codes |= set(at_once.map(lambda _: self.refused(operation, members), range(24)))
                    calls += 24
            check("ProvisionedThroughputExceededException" in codes, f"{calls} calls of {operation}, eight at once, are answered with {codes}")
            self.call(operation, by=self.patient, **members)

    def refused(self, operation, members):
        try:
            self.call(operation, by=self.once, **members)
        except Failed as e:
            return e.code
        return None


sound = [
    Boto3(endpoint, protocol, suffix).run()
    for endpoint, protocol, suffix in (
        (os.environ["FIREHOSED_ENDPOINT"], "JSON, HTTP/1.1", ""),
        (os.environ.get("FIREHOSED_TLS_ENDPOINT"), "JSON, HTTP/1.1 with TLS", "-tls"),
    )
    if endpoint
]
sys.exit(0 if all(sound) else 1)
