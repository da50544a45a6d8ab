package conformance;

import java.math.BigInteger;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BooleanSupplier;
import java.util.stream.IntStream;

/** The scenario of e2e/README.md with one client. */
final class Scenario {
  /** Takes how a step went. */
  interface Report {
    void step(String name, boolean ok, String skip, String detail);
  }

  /** Why a step is not asked of a client. */
  private static final class Skip extends RuntimeException {
    private static final long serialVersionUID = 1L;

    Skip(String why) {
      super(why);
    }
  }

  private interface Step {
    String run() throws Exception;
  }

  /** Generous: a busy machine is no failure. */
  private static final Duration LIMIT = Duration.ofSeconds(120);

  private static final BigInteger KEYS = BigInteger.ONE.shiftLeft(128);
  private static final Object THROTTLED = new Object();

  private final Kinesis client;
  private final String stream;
  private final String throttled;

  Scenario(Kinesis client, String stream, String throttled) {
    this.client = client;
    this.stream = stream;
    this.throttled = throttled;
  }

  /** Tells whether all steps went well; the steps behind one that failed are left out. */
  boolean run(Report report) {
    var steps = new ArrayList<Map.Entry<String, Step>>();
    steps.add(Map.entry("create", this::create));
    steps.add(Map.entry("put", this::put));
    steps.add(Map.entry("iterators", this::iterators));
    steps.add(Map.entry("split", this::split));
    steps.add(Map.entry("merge", this::merge));
    steps.add(Map.entry("update_count", this::updateCount));
    steps.add(Map.entry("drain", this::drain));
    steps.add(Map.entry("fanout", this::fanOut));
    steps.add(Map.entry("throttle", this::throttle));
    steps.add(Map.entry("tags", this::tags));
    steps.add(Map.entry("delete", this::delete));
    for (var step : steps) {
      try {
        report.step(step.getKey(), true, "", step.getValue().run());
      } catch (Skip e) {
        report.step(step.getKey(), false, e.getMessage(), "");
      } catch (Exception e) {
        explain(e);
        report.step(step.getKey(), false, "", e.toString());
        return false;
      }
    }
    return true;
  }

  /** The errors with the lines of this program: the SDK's own frames say nothing about the service. */
  private static void explain(Throwable e) {
    for (; e != null; e = e.getCause()) {
      System.err.println(e);
      for (var at : e.getStackTrace()) {
        if (at.getClassName().startsWith(Scenario.class.getPackageName() + ".")) {
          System.err.println("\tat " + at);
        }
      }
    }
  }

  private static void check(boolean ok, Object... what) {
    if (!ok) {
      var b = new StringBuilder();
      for (var w : what) {
        b.append(w);
      }
      throw new IllegalStateException(b.toString());
    }
  }

  private static void await(String what, BooleanSupplier done) throws InterruptedException {
    var end = Instant.now().plus(LIMIT);
    while (!done.getAsBoolean()) {
      check(Instant.now().isBefore(end), what, ": not after ", LIMIT);
      Thread.sleep(50);
    }
  }

  private void active() throws InterruptedException {
    await("status ACTIVE", () -> client.describe(stream).status().equals("ACTIVE"));
  }

  private List<Kinesis.Shard> open() {
    return client.shards(stream).stream().filter(Kinesis.Shard::open).toList();
  }

  private Kinesis.Shard shard(String id) {
    return client.shards(stream).stream()
        .filter(s -> s.id().equals(id))
        .findFirst()
        .orElseThrow(() -> new IllegalStateException("no shard " + id));
  }

  private void putAll(int from, int to) {
    var puts = client.put(stream, IntStream.range(from, to).mapToObj(Records::at).toList());
    check(puts.size() == to - from, puts.size(), " answers for ", to - from, " records");
    for (var p : puts) {
      check(p.error() == null && !p.sequence().isEmpty() && !p.shard().isEmpty(), "put: ", p);
    }
  }

  private String create() throws Exception {
    client.create(stream, 2);
    active();
    check(open().size() == 2, open());
    return "2 shards";
  }

  private String put() {
    for (var n = 0; n < 20; n++) {
      var p = client.put(stream, Records.at(n));
      check(!p.sequence().isEmpty() && !p.shard().isEmpty(), "put: ", p);
    }
    putAll(20, 500);
    return Records.digest(
        IntStream.range(0, 500)
            .mapToObj(Records::at)
            .map(e -> new Kinesis.Row(null, e.key(), e.data(), null))
            .toList());
  }

  /** Reads from an iterator to the tip, or to the end of a closed shard. */
  private Kinesis.Page read(String iterator) throws InterruptedException {
    var rows = new ArrayList<Kinesis.Row>();
    var end = Instant.now().plus(LIMIT);
    while (true) {
      var page = client.read(iterator, 1000);
      rows.addAll(page.rows());
      if (page.next() == null || page.rows().isEmpty() && page.behind() == 0) {
        return new Kinesis.Page(rows, page.next(), page.children(), page.behind());
      }
      check(Instant.now().isBefore(end), "not at the tip after ", LIMIT, ": ", page.behind(), " ms behind");
      iterator = page.next();
    }
  }

  private static List<String> sequences(List<Kinesis.Row> rows) {
    return rows.stream().map(Kinesis.Row::sequence).toList();
  }

  private String iterators() throws Exception {
    var all = new ArrayList<Kinesis.Row>();
    List<Kinesis.Row> one = List.of();
    String id = null;
    for (var s : open()) {
      var rows = read(client.iterator(stream, s.id(), "TRIM_HORIZON", null, null)).rows();
      all.addAll(rows);
      if (rows.size() > one.size()) {
        one = rows;
        id = s.id();
      }
    }
    var middle = one.size() / 2;
    var at = one.get(middle);
    var got = read(client.iterator(stream, id, "AT_SEQUENCE_NUMBER", at.sequence(), null)).rows();
    check(sequences(got).equals(sequences(one.subList(middle, one.size()))), "AT_SEQUENCE_NUMBER: ", sequences(got));
    got = read(client.iterator(stream, id, "AFTER_SEQUENCE_NUMBER", at.sequence(), null)).rows();
    check(
        sequences(got).equals(sequences(one.subList(middle + 1, one.size()))),
        "AFTER_SEQUENCE_NUMBER: ",
        sequences(got));
    got = read(client.iterator(stream, id, "AT_TIMESTAMP", null, at.arrival())).rows();
    var since = one.stream().filter(r -> !r.arrival().isBefore(at.arrival())).toList();
    check(sequences(got).equals(sequences(since)), "AT_TIMESTAMP ", at.arrival(), ": ", sequences(got));
    var age = Duration.between(at.arrival(), Instant.now());
    check(!age.isNegative() && age.compareTo(Duration.ofHours(1)) < 0, "arrival ", at.arrival());

    var latest = new ArrayList<String>();
    for (var s : open()) {
      latest.add(client.iterator(stream, s.id(), "LATEST", null, null));
    }
    putAll(500, 510);
    var tip = new ArrayList<Kinesis.Row>();
    for (var it : latest) {
      tip.addAll(read(it).rows());
    }
    numbers("LATEST", tip, 500, 510);
    return Records.digest(all);
  }

  /** Demands each of the numbers once, with the partition key that was put. */
  private static void numbers(String what, List<Kinesis.Row> rows, int from, int to) {
    var seen = new HashSet<Integer>();
    for (var r : rows) {
      var n = Records.number(r.data());
      check(n >= from && n < to && seen.add(n), what, ": record ", n, " is unexpected or there twice");
      check(r.key().equals(Records.at(n).key()), what, ": record ", n, " with key ", r.key());
    }
    check(seen.size() == to - from, what, ": ", seen.size(), " records, want ", to - from);
  }

  private String split() throws Exception {
    var parent = open().get(0);
    var half = new BigInteger(parent.start()).add(new BigInteger(parent.end())).shiftRight(1);
    client.split(stream, parent.id(), half.toString());
    active();
    putAll(510, 610);
    check(!shard(parent.id()).open(), parent.id(), " is open");
    check(children(parent.id()).size() == 2, "children: ", children(parent.id()));
    return parent.id();
  }

  private List<Kinesis.Shard> children(String parent) {
    return client.shards(stream).stream()
        .filter(s -> parent.equals(s.parent()) || parent.equals(s.adjacentParent()))
        .toList();
  }

  private String merge() throws Exception {
    var first =
        client.shards(stream).stream().filter(s -> s.parent() != null).map(Kinesis.Shard::parent).findFirst();
    var pair = children(first.orElseThrow());
    client.merge(stream, pair.get(0).id(), pair.get(1).id());
    active();
    putAll(610, 710);
    var merged = children(pair.get(0).id());
    check(merged.size() == 1, "children: ", merged);
    check(
        Set.of(merged.get(0).parent(), merged.get(0).adjacentParent())
            .equals(Set.of(pair.get(0).id(), pair.get(1).id())),
        "parents of ",
        merged);
    return merged.get(0).id();
  }

  private String updateCount() throws Exception {
    var target = client.count(stream, 4);
    check(target == 4, "TargetShardCount ", target);
    active();
    putAll(710, 810);
    var open =
        open().stream()
            .sorted((a, b) -> new BigInteger(a.start()).compareTo(new BigInteger(b.start())))
            .toList();
    check(open.size() == 4, "open shards: ", open);
    var width = KEYS.shiftRight(2);
    for (var i = 0; i < 4; i++) {
      var start = width.multiply(BigInteger.valueOf(i));
      check(
          open.get(i).start().equals(start.toString())
              && open.get(i).end().equals(start.add(width).subtract(BigInteger.ONE).toString()),
          "open shards: ",
          open);
    }
    return "4 shards";
  }

  private String drain() throws Exception {
    var shards = client.shards(stream);
    var rows = new ArrayList<Kinesis.Row>();
    var done = new HashSet<String>();
    while (done.size() < shards.size()) {
      var before = done.size();
      for (var s : shards) {
        if (done.contains(s.id())
            || s.parent() != null && !done.contains(s.parent())
            || s.adjacentParent() != null && !done.contains(s.adjacentParent())) {
          continue;
        }
        var page = read(client.iterator(stream, s.id(), "TRIM_HORIZON", null, null));
        rows.addAll(page.rows());
        check(s.open() == (page.next() != null), s, " ends with the iterator ", page.next());
        if (!s.open()) {
          checkChildren(s.id(), page.children());
        }
        done.add(s.id());
      }
      check(done.size() > before, "shards wait for each other: ", shards);
    }
    numbers("all shards", rows, 0, 810);
    var last = new HashMap<String, Integer>();
    for (var r : rows) {
      var n = Records.number(r.data());
      var earlier = last.put(r.key(), n);
      check(earlier == null || earlier < n, "key ", r.key(), ": record ", n, " behind ", earlier);
    }
    return Records.digest(rows);
  }

  private void checkChildren(String parent, List<Kinesis.Child> children) {
    var want = new HashMap<String, Set<String>>();
    for (var c : children(parent)) {
      want.put(c.id(), c.adjacentParent() == null ? Set.of(c.parent()) : Set.of(c.parent(), c.adjacentParent()));
    }
    var got = new HashMap<String, Set<String>>();
    children.forEach(c -> got.put(c.id(), Set.copyOf(c.parents())));
    check(!want.isEmpty() && got.equals(want), "ChildShards of ", parent, ": ", got, ", want ", want);
  }

  private String fanOut() throws Exception {
    if (!client.subscribes()) {
      throw new Skip("the client has no SubscribeToShard");
    }
    var arn = client.register(client.describe(stream).arn(), "java");
    await("consumer ACTIVE", () -> client.consumerStatus(arn).equals("ACTIVE"));
    var shard =
        open().stream().filter(s -> s.start().equals("0")).findFirst().orElseThrow();
    var old = read(client.iterator(stream, shard.id(), "TRIM_HORIZON", null, null)).rows();
    var live = new boolean[1];
    var first =
        client.subscribe(
            arn,
            shard.id(),
            null,
            rows -> {
              if (!live[0] && rows.size() >= old.size()) {
                live[0] = true;
                // From another thread: the one that reads events must not wait for an answer.
                new Thread(() -> putToFirst(810, 830)).start();
              }
              return rows.size() >= old.size() + 20;
            },
            LIMIT);
    check(
        sequences(first.rows()).subList(0, old.size()).equals(sequences(old)),
        "the subscription has other records than GetRecords");
    check(first.continuation() != null, "no ContinuationSequenceNumber");
    putToFirst(830, 840);
    var again = resubscribe(arn, shard.id(), first.continuation());
    var rows = new ArrayList<>(first.rows().subList(old.size(), first.rows().size()));
    rows.addAll(again.rows());
    numbers("subscriptions", rows, 810, 840);
    client.deregister(arn);
    await(
        "the end of the consumer",
        () -> {
          try {
            client.consumerStatus(arn);
            return false;
          } catch (Kinesis.Refused e) {
            check(e.code.equals("ResourceNotFoundException"), e);
            return true;
          }
        });
    return Records.digest(rows);
  }

  private void putToFirst(int from, int to) {
    var entries =
        IntStream.range(from, to)
            .mapToObj(Records::at)
            .map(e -> new Kinesis.Entry(e.key(), "0", e.data()))
            .toList();
    for (var p : client.put(stream, entries)) {
      check(p.error() == null, "put: ", p);
    }
  }

  private Kinesis.Subscription resubscribe(String arn, String shard, String after) throws InterruptedException {
    var end = Instant.now().plus(LIMIT);
    while (true) {
      try {
        return client.subscribe(arn, shard, after, rows -> rows.size() >= 10, LIMIT);
      } catch (Kinesis.Refused e) {
        check(e.code.equals("ResourceInUseException") && Instant.now().isBefore(end), "subscribe again: ", e);
        Thread.sleep(500);
      }
    }
  }

  private String throttle() throws Exception {
    // One at a time: the ways to use the client share the stream.
    synchronized (THROTTLED) {
      var entries =
          // 4 MiB at once, to a shard that takes 1 MiB a second: however slow this program is.
          IntStream.range(0, 100).mapToObj(n -> new Kinesis.Entry("k", null, new byte[40960])).toList();
      var refused = 0;
      var end = Instant.now().plus(LIMIT);
      while (refused == 0) {
        for (var p : client.put(throttled, entries)) {
          if (p.error() != null) {
            check(p.error().equals("ProvisionedThroughputExceededException"), "put: ", p);
            refused++;
          }
        }
        check(Instant.now().isBefore(end), "nothing was throttled in ", LIMIT);
      }
      var put = client.put(throttled, new Kinesis.Entry("k", null, new byte[1024]));
      check(!put.sequence().isEmpty(), "put: ", put);
      var shard = client.shards(throttled).get(0).id();
      // Beyond five calls a second; a record of 1 KiB a call keeps the bytes out of it.
      var it = client.iterator(throttled, shard, "TRIM_HORIZON", null, null);
      for (var i = 0; i < 8; i++) {
        it = client.read(it, 1).next();
      }
      return refused + " records refused";
    }
  }

  private String tags() {
    var arn = client.describe(stream).arn();
    client.tag(stream, Map.of("team", "ingest", "gr\u00f6\u00dfe", "\u00e9 \u4e2d = + - % @ :", "empty", ""));
    check(
        client.tags(stream).equals(Map.of("team", "ingest", "gr\u00f6\u00dfe", "\u00e9 \u4e2d = + - % @ :", "empty", "")),
        client.tags(stream));
    client.untag(stream, List.of("team", "empty"));
    var left = Map.of("gr\u00f6\u00dfe", "\u00e9 \u4e2d = + - % @ :");
    check(client.tags(stream).equals(left), client.tags(stream));
    var resource = client.resourceTags();
    if (resource == null) {
      return "this version has no TagResource";
    }
    resource.tag(arn, Map.of("size", "L"));
    var want = Map.of("gr\u00f6\u00dfe", "\u00e9 \u4e2d = + - % @ :", "size", "L");
    check(resource.list(arn).equals(want), resource.list(arn));
    resource.untag(arn, List.of("gr\u00f6\u00dfe"));
    check(client.tags(stream).equals(Map.of("size", "L")), client.tags(stream));
    return "1 tag left";
  }

  private String delete() throws Exception {
    client.delete(stream);
    await(
        "ResourceNotFoundException",
        () -> {
          try {
            client.describe(stream);
            return false;
          } catch (Kinesis.Refused e) {
            check(e.code.equals("ResourceNotFoundException"), e);
            return true;
          }
        });
    return "";
  }
}
