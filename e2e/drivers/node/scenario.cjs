// The records and the digest of the conformance tests, as ../../scenario and
// ../../README.md have them.
"use strict";
const { createHash } = require("node:crypto");

const span = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);

exports.steps = ["create", "put", "iterators", "split", "merge", "update_count", "drain", "fanout", "throttle", "tags", "delete"];
exports.put = span(0, 500);
exports.latest = span(500, 510);
exports.afterSplit = span(510, 610);
exports.afterMerge = span(610, 710);
exports.afterUpdate = span(710, 810);
exports.drained = span(0, 810);
exports.live = span(810, 830);
exports.renewed = span(830, 840);
exports.singly = 20; // records that go through PutRecord

exports.record = (n) => {
  const r = { PartitionKey: `key-${n % 50}-é中😀` };
  if (n % 10 === 9) {
    r.PartitionKey = `hash-${n}`;
    r.ExplicitHashKey = (BigInt(n % 500) << 119n).toString();
  }
  r.Data = n === 0 ? Buffer.alloc(0) : n === 1 ? Buffer.alloc(256) : Buffer.alloc(4 + ((n * 37) % 1021));
  if (n === 1) r.Data.forEach((_, i) => (r.Data[i] = i));
  if (n > 1) {
    for (let i = 4; i < r.Data.length; i++) r.Data[i] = (n * 31 + i * 7) & 255;
    r.Data.writeUInt32BE(n);
  }
  return r;
};

// number is that of the record with this data.
exports.number = (bytes) => {
  const data = Buffer.from(bytes);
  const n = data.length === 0 ? 0 : data.length === 256 && data.readUInt32BE() === 0x00010203 ? 1 : data.readUInt32BE();
  exports.check(n < 10000 && exports.record(n).Data.equals(data), `data that was not put: ${data.subarray(0, 30).toString("hex")}`);
  return n;
};

const sha256 = (x) => createHash("sha256").update(x).digest("hex");

exports.digest = (records) => sha256(records.map((r) => `${sha256(r.PartitionKey)}${sha256(r.Data)}\n`).sort().join(""));

exports.check = (ok, message) => {
  if (!ok) throw new Error(typeof message === "string" ? message : JSON.stringify(message));
};

exports.same = (got, want, what) => exports.check(JSON.stringify(got) === JSON.stringify(want), `${what}: ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);

// until asks again and again until done answers something.
exports.until = async (done, what) => {
  for (const end = Date.now() + 120_000; ; ) {
    const answer = await done();
    if (answer) return answer;
    exports.check(Date.now() < end, `${what}: not after 120 s`);
    await new Promise((next) => setTimeout(next, 200));
  }
};
