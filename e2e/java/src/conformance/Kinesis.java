package conformance;

import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;

/** What the scenario asks of a client; each SDK implements it with its own calls and nothing else. */
interface Kinesis extends AutoCloseable {
  /** What to put; hash is the explicit hash key, none if null. */
  record Entry(String key, String hash, byte[] data) {}

  record Put(String shard, String sequence, String error) {}

  record Shard(String id, String parent, String adjacentParent, String start, String end, String ending) {
    boolean open() {
      return ending == null;
    }
  }

  record Row(String sequence, String key, byte[] data, Instant arrival) {}

  record Child(String id, List<String> parents) {}

  record Page(List<Row> rows, String next, List<Child> children, Long behind) {}

  record Summary(String arn, String status, int openShards) {}

  /** What one subscription gave before it ended by itself or by {@code until}. */
  record Subscription(List<Row> rows, String continuation, List<Child> children) {}

  /** TagResource, UntagResource and ListTagsForResource. */
  interface ResourceTags {
    void tag(String arn, Map<String, String> tags);

    void untag(String arn, List<String> keys);

    Map<String, String> list(String arn);
  }

  /** Tells a subscription that it has seen enough. */
  interface Until {
    boolean enough(List<Row> rows);
  }

  /** An error of the service, with its AWS code. */
  final class Refused extends RuntimeException {
    private static final long serialVersionUID = 1L;
    final String code;

    Refused(String code, Throwable cause) {
      super(cause.getMessage(), cause);
      this.code = code;
    }
  }

  String version();

  void create(String stream, int shards);

  void delete(String stream);

  Summary describe(String stream);

  List<Shard> shards(String stream);

  Put put(String stream, Entry entry);

  List<Put> put(String stream, List<Entry> entries);

  String iterator(String stream, String shard, String type, String sequence, Instant time);

  Page read(String iterator, int limit);

  void split(String stream, String shard, String hash);

  void merge(String stream, String shard, String adjacent);

  int count(String stream, int target);

  void tag(String stream, Map<String, String> tags);

  void untag(String stream, List<String> keys);

  Map<String, String> tags(String stream);

  /** The tag calls that take any ARN; null for a client from before they were made. */
  ResourceTags resourceTags();

  /** Registers a consumer and gives its ARN. */
  String register(String arn, String consumer);

  String consumerStatus(String consumerArn);

  void deregister(String consumerArn);

  /** Whether this client has SubscribeToShard at all. */
  boolean subscribes();

  /** Reads a shard by subscription, after a sequence number or from the trim horizon if that is null. */
  Subscription subscribe(String consumerArn, String shard, String after, Until until, Duration limit);

  @Override
  void close();
}
