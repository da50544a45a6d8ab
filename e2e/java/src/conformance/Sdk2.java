package conformance;

import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Supplier;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.core.util.VersionInfo;
import software.amazon.awssdk.services.kinesis.model.*;

/** What both clients of the AWS SDK for Java 2 share: requests and answers are the same classes. */
abstract class Sdk2 implements Kinesis {
  private final ResourceTags resourceTags;

  Sdk2(ResourceTags resourceTags) {
    this.resourceTags = resourceTags;
  }

  abstract CreateStreamResponse call(CreateStreamRequest r);

  abstract DeleteStreamResponse call(DeleteStreamRequest r);

  abstract DescribeStreamSummaryResponse call(DescribeStreamSummaryRequest r);

  abstract ListShardsResponse call(ListShardsRequest r);

  abstract PutRecordResponse call(PutRecordRequest r);

  abstract PutRecordsResponse call(PutRecordsRequest r);

  abstract GetShardIteratorResponse call(GetShardIteratorRequest r);

  abstract GetRecordsResponse call(GetRecordsRequest r);

  abstract SplitShardResponse call(SplitShardRequest r);

  abstract MergeShardsResponse call(MergeShardsRequest r);

  abstract UpdateShardCountResponse call(UpdateShardCountRequest r);

  abstract AddTagsToStreamResponse call(AddTagsToStreamRequest r);

  abstract RemoveTagsFromStreamResponse call(RemoveTagsFromStreamRequest r);

  abstract ListTagsForStreamResponse call(ListTagsForStreamRequest r);

  abstract RegisterStreamConsumerResponse call(RegisterStreamConsumerRequest r);

  abstract DescribeStreamConsumerResponse call(DescribeStreamConsumerRequest r);

  abstract DeregisterStreamConsumerResponse call(DeregisterStreamConsumerRequest r);

  static <T> T refused(Supplier<T> call) {
    try {
      return call.get();
    } catch (AwsServiceException e) {
      throw new Refused(e.awsErrorDetails().errorCode(), e);
    }
  }

  @Override
  public String version() {
    return VersionInfo.SDK_VERSION;
  }

  @Override
  public void create(String stream, int shards) {
    refused(() -> call(CreateStreamRequest.builder().streamName(stream).shardCount(shards).build()));
  }

  @Override
  public void delete(String stream) {
    refused(() -> call(DeleteStreamRequest.builder().streamName(stream).enforceConsumerDeletion(true).build()));
  }

  @Override
  public Summary describe(String stream) {
    var s =
        refused(() -> call(DescribeStreamSummaryRequest.builder().streamName(stream).build()))
            .streamDescriptionSummary();
    return new Summary(s.streamARN(), s.streamStatusAsString(), s.openShardCount());
  }

  @Override
  public List<Shard> shards(String stream) {
    var r = refused(() -> call(ListShardsRequest.builder().streamName(stream).build()));
    if (r.nextToken() != null) {
      throw new IllegalStateException("ListShards has a NextToken for a handful of shards");
    }
    return r.shards().stream()
        .map(
            s ->
                new Shard(
                    s.shardId(),
                    s.parentShardId(),
                    s.adjacentParentShardId(),
                    s.hashKeyRange().startingHashKey(),
                    s.hashKeyRange().endingHashKey(),
                    s.sequenceNumberRange().endingSequenceNumber()))
        .toList();
  }

  @Override
  public Put put(String stream, Entry e) {
    var r =
        refused(
            () ->
                call(
                    PutRecordRequest.builder()
                        .streamName(stream)
                        .partitionKey(e.key())
                        .explicitHashKey(e.hash())
                        .data(SdkBytes.fromByteArray(e.data()))
                        .build()));
    return new Put(r.shardId(), r.sequenceNumber(), null);
  }

  @Override
  public List<Put> put(String stream, List<Entry> entries) {
    var in =
        entries.stream()
            .map(
                e ->
                    PutRecordsRequestEntry.builder()
                        .partitionKey(e.key())
                        .explicitHashKey(e.hash())
                        .data(SdkBytes.fromByteArray(e.data()))
                        .build())
            .toList();
    var r = refused(() -> call(PutRecordsRequest.builder().streamName(stream).records(in).build()));
    var failed = r.records().stream().filter(p -> p.errorCode() != null).count();
    if (r.failedRecordCount() != failed) {
      throw new IllegalStateException(
          "FailedRecordCount " + r.failedRecordCount() + " with " + failed + " errors");
    }
    return r.records().stream()
        .map(p -> new Put(p.shardId(), p.sequenceNumber(), p.errorCode()))
        .toList();
  }

  @Override
  public String iterator(String stream, String shard, String type, String sequence, Instant time) {
    return refused(
            () ->
                call(
                    GetShardIteratorRequest.builder()
                        .streamName(stream)
                        .shardId(shard)
                        .shardIteratorType(type)
                        .startingSequenceNumber(sequence)
                        .timestamp(time)
                        .build()))
        .shardIterator();
  }

  static Row row(software.amazon.awssdk.services.kinesis.model.Record r) {
    return new Row(
        r.sequenceNumber(),
        r.partitionKey(),
        r.data().asByteArray(),
        r.approximateArrivalTimestamp());
  }

  static List<Child> children(List<ChildShard> children) {
    return children.stream().map(c -> new Child(c.shardId(), c.parentShards())).toList();
  }

  @Override
  public Page read(String iterator, int limit) {
    var r =
        refused(
            () -> call(GetRecordsRequest.builder().shardIterator(iterator).limit(limit).build()));
    return new Page(
        r.records().stream().map(Sdk2::row).toList(),
        r.nextShardIterator(),
        children(r.childShards()),
        r.millisBehindLatest());
  }

  @Override
  public void split(String stream, String shard, String hash) {
    refused(
        () ->
            call(
                SplitShardRequest.builder()
                    .streamName(stream)
                    .shardToSplit(shard)
                    .newStartingHashKey(hash)
                    .build()));
  }

  @Override
  public void merge(String stream, String shard, String adjacent) {
    refused(
        () ->
            call(
                MergeShardsRequest.builder()
                    .streamName(stream)
                    .shardToMerge(shard)
                    .adjacentShardToMerge(adjacent)
                    .build()));
  }

  @Override
  public int count(String stream, int target) {
    return refused(
            () ->
                call(
                    UpdateShardCountRequest.builder()
                        .streamName(stream)
                        .targetShardCount(target)
                        .scalingType(ScalingType.UNIFORM_SCALING)
                        .build()))
        .targetShardCount();
  }

  @Override
  public void tag(String stream, Map<String, String> tags) {
    refused(() -> call(AddTagsToStreamRequest.builder().streamName(stream).tags(tags).build()));
  }

  @Override
  public void untag(String stream, List<String> keys) {
    refused(
        () -> call(RemoveTagsFromStreamRequest.builder().streamName(stream).tagKeys(keys).build()));
  }

  @Override
  public Map<String, String> tags(String stream) {
    var out = new TreeMap<String, String>();
    refused(() -> call(ListTagsForStreamRequest.builder().streamName(stream).build()))
        .tags()
        .forEach(t -> out.put(t.key(), t.value()));
    return out;
  }

  @Override
  public ResourceTags resourceTags() {
    return resourceTags;
  }

  @Override
  public String register(String arn, String consumer) {
    return refused(
            () ->
                call(
                    RegisterStreamConsumerRequest.builder()
                        .streamARN(arn)
                        .consumerName(consumer)
                        .build()))
        .consumer()
        .consumerARN();
  }

  @Override
  public String consumerStatus(String consumerArn) {
    return refused(
            () -> call(DescribeStreamConsumerRequest.builder().consumerARN(consumerArn).build()))
        .consumerDescription()
        .consumerStatusAsString();
  }

  @Override
  public void deregister(String consumerArn) {
    refused(() -> call(DeregisterStreamConsumerRequest.builder().consumerARN(consumerArn).build()));
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
}
