// The driver of @aws-sdk/client-kinesis. Its client speaks HTTP/2 always: with
// http from the first byte, with https as ALPN says.
"use strict";
const kinesis = require("@aws-sdk/client-kinesis");
const s = require("./scenario.cjs");
const { check, same, until } = s;
const { version } = require("@aws-sdk/client-kinesis/package.json");

class Driver {
  constructor(endpoint, suffix) {
    this.options = { endpoint };
    this.client = new kinesis.KinesisClient(this.options);
    this.StreamName = process.env.FIREHOSED_STREAM + suffix;
    this.throttled = process.env.FIREHOSED_THROTTLED_STREAM;
    this.shards = new Map();
  }

  call(operation, input, client = this.client) {
    return client.send(new kinesis[`${operation}Command`](input));
  }

  async putSpan(numbers, more = {}) {
    for (let i = 0; i < numbers.length; i += 200) {
      const Records = numbers.slice(i, i + 200).map((n) => ({ ...s.record(n), ...more }));
      const out = await this.call("PutRecords", { StreamName: this.StreamName, Records });
      check(out.FailedRecordCount === 0 && out.Records.length === Records.length, `PutRecords answers FailedRecordCount ${out.FailedRecordCount}`);
    }
  }

  async listShards() {
    const shards = [];
    for (let page = { StreamName: this.StreamName }; page; ) {
      const out = await this.call("ListShards", { ...page, MaxResults: 2 });
      shards.push(...out.Shards);
      page = out.NextToken && { NextToken: out.NextToken };
    }
    return shards;
  }

  async settled() {
    await kinesis.waitUntilStreamExists({ client: this.client, maxWaitTime: 120, minDelay: 1, maxDelay: 1 }, { StreamName: this.StreamName });
    return this.listShards();
  }

  took(r) {
    const n = s.number(r.Data);
    same(r.PartitionKey, s.record(n).PartitionKey, `partition key of ${n}`);
    check(BigInt(r.SequenceNumber).toString(2).length === 186, `sequence number ${r.SequenceNumber}`);
    check(r.ApproximateArrivalTimestamp instanceof Date && !isNaN(r.ApproximateArrivalTimestamp), `arrival of ${n}`);
    return { n, number: r.SequenceNumber, at: r.ApproximateArrivalTimestamp, PartitionKey: r.PartitionKey, Data: r.Data };
  }

  async iterator(ShardId, ShardIteratorType, more = {}) {
    return (await this.call("GetShardIterator", { StreamName: this.StreamName, ShardId, ShardIteratorType, ...more })).ShardIterator;
  }

  // readFrom reads to the end of a closed shard, with its children, or to the tip of an open one.
  async readFrom(it) {
    const records = [];
    for (;;) {
      const out = await this.call("GetRecords", { ShardIterator: it });
      records.push(...out.Records.map((r) => this.took(r)));
      if (out.NextShardIterator === undefined) return { records, children: out.ChildShards.map((c) => c.ShardId) };
      check(out.NextShardIterator !== it && !out.ChildShards?.length, "the same iterator again, or children beside one");
      it = out.NextShardIterator;
      if (out.Records.length === 0 && out.MillisBehindLatest === 0) return { records };
    }
  }

  async create() {
    await this.call("CreateStream", { StreamName: this.StreamName, ShardCount: 2 });
    same((await this.settled()).length, 2, "shards");
  }

  async put() {
    for (const n of s.put.slice(0, s.singly)) {
      const out = await this.call("PutRecord", { StreamName: this.StreamName, ...s.record(n) });
      check(out.ShardId && out.SequenceNumber, `PutRecord ${n}`);
    }
    await this.putSpan(s.put.slice(s.singly));
    return s.digest(s.put.map(s.record));
  }

  async iterators() {
    const shards = (await this.listShards()).map((x) => x.ShardId);
    const kept = [];
    for (const shard of shards) kept.push((await this.readFrom(await this.iterator(shard, "TRIM_HORIZON"))).records);
    const all = kept.flat();
    same(all.length, s.put.length, "TRIM_HORIZON");
    const first = kept[0];
    const middle = Math.floor(first.length / 2);
    const since = first.findIndex((r) => r.at >= first[middle].at);
    for (const [type, more, want] of [
      ["AT_SEQUENCE_NUMBER", { StartingSequenceNumber: first[middle].number }, first.slice(middle)],
      ["AFTER_SEQUENCE_NUMBER", { StartingSequenceNumber: first[middle].number }, first.slice(middle + 1)],
      ["AT_TIMESTAMP", { Timestamp: first[middle].at }, first.slice(since)],
    ]) {
      const { records } = await this.readFrom(await this.iterator(shards[0], type, more));
      same(records.map((r) => [r.n, r.number, r.at]), want.map((r) => [r.n, r.number, r.at]), type);
    }
    const latest = await Promise.all(shards.map((shard) => this.iterator(shard, "LATEST")));
    await this.putSpan(s.latest);
    const tip = [];
    for (const it of latest) tip.push(...(await this.readFrom(it)).records);
    same(tip.map((r) => r.n).sort((a, b) => a - b), s.latest, "LATEST");
    return s.digest(all);
  }

  async split() {
    const [parent] = await this.listShards();
    const NewStartingHashKey = ((BigInt(parent.HashKeyRange.StartingHashKey) + BigInt(parent.HashKeyRange.EndingHashKey)) / 2n).toString();
    await this.call("SplitShard", { StreamName: this.StreamName, ShardToSplit: parent.ShardId, NewStartingHashKey });
    const shards = await this.settled();
    check(shards[0].SequenceNumberRange.EndingSequenceNumber, "the split shard has no end");
    const children = shards.filter((x) => x.ParentShardId === parent.ShardId);
    same(children.map((c) => c.HashKeyRange.StartingHashKey), ["0", NewStartingHashKey], "children");
    await this.putSpan(s.afterSplit);
  }

  async merge() {
    const before = await this.listShards();
    const pair = before.filter((x) => x.ParentShardId === before[0].ShardId).map((x) => x.ShardId);
    await this.call("MergeShards", { StreamName: this.StreamName, ShardToMerge: pair[0], AdjacentShardToMerge: pair[1] });
    const merged = (await this.settled()).at(-1);
    same([merged.ParentShardId, merged.AdjacentParentShardId], pair, "parents of the merged shard");
    await this.putSpan(s.afterMerge);
  }

  async update_count() {
    const out = await this.call("UpdateShardCount", { StreamName: this.StreamName, TargetShardCount: 4, ScalingType: "UNIFORM_SCALING" });
    same([out.CurrentShardCount, out.TargetShardCount], [2, 4], "UpdateShardCount");
    const open = (await this.settled()).filter((x) => x.SequenceNumberRange.EndingSequenceNumber === undefined);
    const ranges = open.map((x) => x.HashKeyRange).sort((a, b) => (BigInt(a.StartingHashKey) < BigInt(b.StartingHashKey) ? -1 : 1));
    const quarters = [0n, 1n, 2n, 3n].map((i) => ({ EndingHashKey: `${((i + 1n) << 126n) - 1n}`, StartingHashKey: `${i << 126n}` }));
    same(ranges.map((r) => [r.StartingHashKey, r.EndingHashKey]), quarters.map((r) => [r.StartingHashKey, r.EndingHashKey]), "open shards");
    await this.putSpan(s.afterUpdate);
  }

  async drain() {
    const shards = await this.listShards();
    const read = (parent) => parent === undefined || this.shards.has(parent);
    while (this.shards.size < shards.length) {
      const ready = shards.filter((x) => !this.shards.has(x.ShardId) && read(x.ParentShardId) && read(x.AdjacentParentShardId));
      check(ready.length, "no shard is left whose parents are listed and read");
      for (const x of ready) {
        const { records, children } = await this.readFrom(await this.iterator(x.ShardId, "TRIM_HORIZON"));
        const want = shards.filter((c) => [c.ParentShardId, c.AdjacentParentShardId].includes(x.ShardId)).map((c) => c.ShardId);
        same(children !== undefined, x.SequenceNumberRange.EndingSequenceNumber !== undefined, `${x.ShardId} ended`);
        same((children ?? []).sort(), want.sort(), `children of ${x.ShardId}`);
        this.shards.set(x.ShardId, records);
      }
    }
    const all = [...this.shards.values()].flat();
    same(all.map((r) => r.n).sort((a, b) => a - b), s.drained, "records");
    const last = new Map();
    for (const r of all) {
      check(!(last.get(r.PartitionKey) >= r.n), `key ${r.PartitionKey}: record ${r.n} comes after ${last.get(r.PartitionKey)}`);
      last.set(r.PartitionKey, r.n);
    }
    return s.digest(all);
  }

  async fanout() {
    const { StreamARN } = (await this.call("DescribeStreamSummary", { StreamName: this.StreamName })).StreamDescriptionSummary;
    const { ConsumerARN } = (await this.call("RegisterStreamConsumer", { StreamARN, ConsumerName: "fan" })).Consumer;
    const status = async () => (await this.call("DescribeStreamConsumer", { ConsumerARN })).ConsumerDescription.ConsumerStatus;
    await until(async () => (await status()) === "ACTIVE", "consumer ACTIVE");
    const ShardId = (await this.listShards()).find((x) => !x.SequenceNumberRange.EndingSequenceNumber && x.HashKeyRange.StartingHashKey === "0").ShardId;
    const old = this.shards.get(ShardId);
    const first = await this.subscribe({ ConsumerARN, ShardId, StartingPosition: { Type: "TRIM_HORIZON" } }, old.length, s.live);
    same(first.records.slice(0, old.length).map((r) => r.number), old.map((r) => r.number), "old records");
    await this.putSpan(s.renewed, { ExplicitHashKey: "0" });
    const again = await this.subscribe({ ConsumerARN, ShardId, StartingPosition: { Type: "AFTER_SEQUENCE_NUMBER", SequenceNumber: first.position } }, s.renewed.length, []);
    const live = [...first.records.slice(old.length), ...again.records];
    same(live.map((r) => r.n), [...s.live, ...s.renewed], "live records");
    await this.call("DeregisterStreamConsumer", { ConsumerARN });
    await until(() => status().then(() => false, (e) => e instanceof kinesis.ResourceNotFoundException || Promise.reject(e)), "consumer gone");
    return s.digest(live);
  }

  // subscribe receives old records, then puts some more and receives those too.
  async subscribe(input, old, put) {
    const out = await until(
      () => this.call("SubscribeToShard", input).catch((e) => (e instanceof kinesis.ResourceInUseException ? undefined : Promise.reject(e))),
      "SubscribeToShard",
    );
    const records = [];
    let waiting = true;
    for await (const event of out.EventStream) {
      const e = event.SubscribeToShardEvent;
      check(e && e.ContinuationSequenceNumber && e.MillisBehindLatest >= 0, event);
      records.push(...e.Records.map((r) => this.took(r)));
      check(records.length <= old + put.length, "more records than were put");
      if (waiting && records.length === old) {
        waiting = false;
        if (put.length) await this.putSpan(put, { ExplicitHashKey: "0" });
      }
      if (records.length === old + put.length) return { records, position: e.ContinuationSequenceNumber };
    }
    throw new Error(`the subscription ended after ${records.length} of ${old + put.length} records`);
  }

  async throttle() {
    const once = new kinesis.KinesisClient({ ...this.options, maxAttempts: 1 });
    const patient = new kinesis.KinesisClient({ ...this.options, maxAttempts: 12 });
    const StreamName = this.throttled;
    const Records = Array.from({ length: 100 }, (_, n) => ({ Data: Buffer.alloc(40960, n), PartitionKey: "k" }));
    const out = await this.call("PutRecords", { StreamName, Records });
    const refused = out.Records.filter((r) => r.ErrorCode !== undefined);
    check(refused.length > 0 && refused.length < 100 && refused.length === out.FailedRecordCount, `${refused.length} records are refused, FailedRecordCount ${out.FailedRecordCount}`);
    check(refused.every((r) => r.ErrorCode === "ProvisionedThroughputExceededException" && r.ErrorMessage), refused[0]);
    const { ShardIterator } = await this.call("GetShardIterator", { StreamName, ShardId: "shardId-000000000000", ShardIteratorType: "LATEST" }, patient);
    for (const [operation, input] of [
      ["PutRecord", { StreamName, Data: Buffer.alloc(204800), PartitionKey: "k" }],
      ["GetRecords", { ShardIterator }],
    ]) {
      // Again where they were too slow, on a machine that is busy.
      let exceeded = false;
      for (let i = 0; i < 20 && !exceeded; i++) {
        const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => this.call(operation, input, once)));
        exceeded = outcomes.some((o) => o.reason instanceof kinesis.ProvisionedThroughputExceededException);
      }
      check(exceeded, `20 calls of ${operation} at once are not refused`);
      await this.call(operation, input, patient);
    }
    once.destroy();
    patient.destroy();
  }

  async tags() {
    const { StreamName } = this;
    await this.call("AddTagsToStream", { StreamName, Tags: { team: "search", Zürich: "x y" } });
    const out = await this.call("ListTagsForStream", { StreamName });
    same([out.Tags, out.HasMoreTags], [[{ Key: "Zürich", Value: "x y" }, { Key: "team", Value: "search" }], false], "ListTagsForStream");
    await this.call("RemoveTagsFromStream", { StreamName, TagKeys: ["Zürich"] });
    const ResourceARN = (await this.call("DescribeStreamSummary", { StreamName })).StreamDescriptionSummary.StreamARN;
    await this.call("TagResource", { ResourceARN, Tags: { stage: "test" } });
    await this.call("UntagResource", { ResourceARN, TagKeys: ["team"] });
    same((await this.call("ListTagsForResource", { ResourceARN })).Tags, [{ Key: "stage", Value: "test" }], "ListTagsForResource");
  }

  async delete() {
    const { StreamName } = this;
    await this.call("DeleteStream", { StreamName });
    await kinesis.waitUntilStreamNotExists({ client: this.client, maxWaitTime: 120, minDelay: 1, maxDelay: 1 }, { StreamName });
  }
}

async function run(endpoint, protocol, suffix) {
  const driver = new Driver(endpoint, suffix);
  let sound = true;
  try {
    for (const step of s.steps) {
      const line = { client: "@aws-sdk/client-kinesis", version, protocol, step };
      const began = Date.now();
      try {
        Object.assign(line, { ok: true, detail: (await driver[step]()) ?? "" });
      } catch (e) {
        console.error(e);
        Object.assign(line, { ok: false, detail: `${e.name}: ${e.message}` });
      }
      console.error(`${protocol} ${step}: ${Date.now() - began} ms`);
      console.log(JSON.stringify(line));
      sound = sound && line.ok; // steps behind one that failed are tried too
    }
    return sound;
  } finally {
    driver.client.destroy();
  }
}

(async () => {
  let ok = await run(process.env.FIREHOSED_ENDPOINT, "JSON, HTTP/2 without TLS", "");
  if (process.env.FIREHOSED_TLS_ENDPOINT) ok = (await run(process.env.FIREHOSED_TLS_ENDPOINT, "JSON, HTTP/2 with TLS", "-tls")) && ok;
  process.exit(ok ? 0 : 1);
})();
