package conformance;

import com.amazonaws.AmazonServiceException;
import com.amazonaws.ClientConfiguration;
import com.amazonaws.client.builder.AwsClientBuilder.EndpointConfiguration;
import com.amazonaws.services.kinesis.AmazonKinesis;
import com.amazonaws.services.kinesis.AmazonKinesisClientBuilder;
import com.amazonaws.services.kinesis.model.*;
import com.amazonaws.util.VersionInfoUtils;
import java.net.URI;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.Instant;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Supplier;

/** The AWS SDK for Java 1 as it is by default: CBOR over HTTP/1.1. */
final class Sdk1 implements Kinesis {
  private final AmazonKinesis client;

  Sdk1(URI endpoint) {
    client =
        AmazonKinesisClientBuilder.standard()
            // As in Sdk2Async.
            .withClientConfiguration(
                new ClientConfiguration().withConnectionTimeout(120_000).withSocketTimeout(120_000))
            .withEndpointConfiguration(
                new EndpointConfiguration(endpoint.toString(), Driver.environment("AWS_REGION")))
            .build();
  }

  public static void main(String[] args) throws Exception {
    Driver.run(
        new Driver.Way("AWS SDK for Java 1", "CBOR, HTTP/1.1", false, Sdk1::new),
        new Driver.Way("AWS SDK for Java 1", "CBOR, HTTP/1.1 with TLS", true, Sdk1::new));
  }

  private static <T> T refused(Supplier<T> call) {
    try {
      return call.get();
    } catch (AmazonServiceException e) {
      throw new Refused(e.getErrorCode(), e);
    }
  }

  @Override
  public String version() {
    return VersionInfoUtils.getVersion();
  }

  @Override
  public void create(String stream, int shards) {
    refused(() -> client.createStream(new CreateStreamRequest().withStreamName(stream).withShardCount(shards)));
  }

  @Override
  public void delete(String stream) {
    refused(
        () ->
            client.deleteStream(
                new DeleteStreamRequest().withStreamName(stream).withEnforceConsumerDeletion(true)));
  }

  @Override
  public Summary describe(String stream) {
    var s =
        refused(() -> client.describeStreamSummary(new DescribeStreamSummaryRequest().withStreamName(stream)))
            .getStreamDescriptionSummary();
    return new Summary(s.getStreamARN(), s.getStreamStatus(), s.getOpenShardCount());
  }

  @Override
  public List<Shard> shards(String stream) {
    var r = refused(() -> client.listShards(new ListShardsRequest().withStreamName(stream)));
    if (r.getNextToken() != null) {
      throw new IllegalStateException("ListShards has a NextToken for a handful of shards");
    }
    return r.getShards().stream()
        .map(
            s ->
                new Shard(
                    s.getShardId(),
                    s.getParentShardId(),
                    s.getAdjacentParentShardId(),
                    s.getHashKeyRange().getStartingHashKey(),
                    s.getHashKeyRange().getEndingHashKey(),
                    s.getSequenceNumberRange().getEndingSequenceNumber()))
        .toList();
  }

  @Override
  public Put put(String stream, Entry e) {
    var r =
        refused(
            () ->
                client.putRecord(
                    new PutRecordRequest()
                        .withStreamName(stream)
                        .withPartitionKey(e.key())
                        .withExplicitHashKey(e.hash())
                        .withData(ByteBuffer.wrap(e.data()))));
    return new Put(r.getShardId(), r.getSequenceNumber(), null);
  }

  @Override
  public List<Put> put(String stream, List<Entry> entries) {
    var in =
        entries.stream()
            .map(
                e ->
                    new PutRecordsRequestEntry()
                        .withPartitionKey(e.key())
                        .withExplicitHashKey(e.hash())
                        .withData(ByteBuffer.wrap(e.data())))
            .toList();
    var r = refused(() -> client.putRecords(new PutRecordsRequest().withStreamName(stream).withRecords(in)));
    var failed = r.getRecords().stream().filter(p -> p.getErrorCode() != null).count();
    if (r.getFailedRecordCount() != failed) {
      throw new IllegalStateException(
          "FailedRecordCount " + r.getFailedRecordCount() + " with " + failed + " errors");
    }
    return r.getRecords().stream()
        .map(p -> new Put(p.getShardId(), p.getSequenceNumber(), p.getErrorCode()))
        .toList();
  }

  @Override
  public String iterator(String stream, String shard, String type, String sequence, Instant time) {
    return refused(
            () ->
                client.getShardIterator(
                    new GetShardIteratorRequest()
                        .withStreamName(stream)
                        .withShardId(shard)
                        .withShardIteratorType(type)
                        .withStartingSequenceNumber(sequence)
                        .withTimestamp(time == null ? null : Date.from(time))))
        .getShardIterator();
  }

  @Override
  public Page read(String iterator, int limit) {
    var r =
        refused(
            () -> client.getRecords(new GetRecordsRequest().withShardIterator(iterator).withLimit(limit)));
    var rows =
        r.getRecords().stream()
            .map(
                x -> {
                  var data = new byte[x.getData().remaining()];
                  x.getData().get(data);
                  return new Row(
                      x.getSequenceNumber(),
                      x.getPartitionKey(),
                      data,
                      x.getApproximateArrivalTimestamp().toInstant());
                })
            .toList();
    var children = r.getChildShards() == null ? List.<ChildShard>of() : r.getChildShards();
    return new Page(
        rows,
        r.getNextShardIterator(),
        children.stream().map(c -> new Child(c.getShardId(), c.getParentShards())).toList(),
        r.getMillisBehindLatest());
  }

  @Override
  public void split(String stream, String shard, String hash) {
    refused(
        () ->
            client.splitShard(
                new SplitShardRequest()
                    .withStreamName(stream)
                    .withShardToSplit(shard)
                    .withNewStartingHashKey(hash)));
  }

  @Override
  public void merge(String stream, String shard, String adjacent) {
    refused(
        () ->
            client.mergeShards(
                new MergeShardsRequest()
                    .withStreamName(stream)
                    .withShardToMerge(shard)
                    .withAdjacentShardToMerge(adjacent)));
  }

  @Override
  public int count(String stream, int target) {
    return refused(
            () ->
                client.updateShardCount(
                    new UpdateShardCountRequest()
                        .withStreamName(stream)
                        .withTargetShardCount(target)
                        .withScalingType(ScalingType.UNIFORM_SCALING)))
        .getTargetShardCount();
  }

  @Override
  public void tag(String stream, Map<String, String> tags) {
    refused(() -> client.addTagsToStream(new AddTagsToStreamRequest().withStreamName(stream).withTags(tags)));
  }

  @Override
  public void untag(String stream, List<String> keys) {
    refused(
        () ->
            client.removeTagsFromStream(
                new RemoveTagsFromStreamRequest().withStreamName(stream).withTagKeys(keys)));
  }

  private static Map<String, String> tags(List<Tag> tags) {
    var out = new TreeMap<String, String>();
    tags.forEach(t -> out.put(t.getKey(), t.getValue()));
    return out;
  }

  @Override
  public Map<String, String> tags(String stream) {
    return tags(
        refused(() -> client.listTagsForStream(new ListTagsForStreamRequest().withStreamName(stream))).getTags());
  }

  @Override
  public ResourceTags resourceTags() {
    return null;
  }

  @Override
  public String register(String arn, String consumer) {
    return refused(
            () ->
                client.registerStreamConsumer(
                    new RegisterStreamConsumerRequest().withStreamARN(arn).withConsumerName(consumer)))
        .getConsumer()
        .getConsumerARN();
  }

  @Override
  public String consumerStatus(String consumerArn) {
    return refused(
            () ->
                client.describeStreamConsumer(
                    new DescribeStreamConsumerRequest().withConsumerARN(consumerArn)))
        .getConsumerDescription()
        .getConsumerStatus();
  }

  @Override
  public void deregister(String consumerArn) {
    refused(
        () ->
            client.deregisterStreamConsumer(
                new DeregisterStreamConsumerRequest().withConsumerARN(consumerArn)));
  }

  @Override
  public boolean subscribes() {
    return false;
  }

  @Override
  public Subscription subscribe(
      String consumerArn, String shard, String after, Until until, Duration limit) {
    throw new UnsupportedOperationException("the client has no SubscribeToShard");
  }

  @Override
  public void close() {
    client.shutdown();
  }
}
