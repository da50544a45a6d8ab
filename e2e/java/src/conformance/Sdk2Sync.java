package conformance;

import java.net.URI;
import java.time.Duration;
import software.amazon.awssdk.http.apache.ApacheHttpClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.*;

/** The synchronous client as it is by default: Apache's HTTP client, CBOR over HTTP/1.1. */
final class Sdk2Sync extends Sdk2 {
  private static final Duration LIMIT = Duration.ofSeconds(120);

  private final KinesisClient client;

  Sdk2Sync(KinesisClient client, ResourceTags resourceTags) {
    super(resourceTags);
    this.client = client;
  }

  /** The client with nothing set but the endpoint, and how long it waits, as in Sdk2Async. */
  static KinesisClient client(URI endpoint) {
    var http =
        ApacheHttpClient.builder()
            .connectionTimeout(LIMIT)
            .connectionAcquisitionTimeout(LIMIT)
            .socketTimeout(LIMIT);
    return KinesisClient.builder().endpointOverride(endpoint).httpClientBuilder(http).build();
  }

  @Override
  CreateStreamResponse call(CreateStreamRequest r) {
    return client.createStream(r);
  }

  @Override
  DeleteStreamResponse call(DeleteStreamRequest r) {
    return client.deleteStream(r);
  }

  @Override
  DescribeStreamSummaryResponse call(DescribeStreamSummaryRequest r) {
    return client.describeStreamSummary(r);
  }

  @Override
  ListShardsResponse call(ListShardsRequest r) {
    return client.listShards(r);
  }

  @Override
  PutRecordResponse call(PutRecordRequest r) {
    return client.putRecord(r);
  }

  @Override
  PutRecordsResponse call(PutRecordsRequest r) {
    return client.putRecords(r);
  }

  @Override
  GetShardIteratorResponse call(GetShardIteratorRequest r) {
    return client.getShardIterator(r);
  }

  @Override
  GetRecordsResponse call(GetRecordsRequest r) {
    return client.getRecords(r);
  }

  @Override
  SplitShardResponse call(SplitShardRequest r) {
    return client.splitShard(r);
  }

  @Override
  MergeShardsResponse call(MergeShardsRequest r) {
    return client.mergeShards(r);
  }

  @Override
  UpdateShardCountResponse call(UpdateShardCountRequest r) {
    return client.updateShardCount(r);
  }

  @Override
  AddTagsToStreamResponse call(AddTagsToStreamRequest r) {
    return client.addTagsToStream(r);
  }

  @Override
  RemoveTagsFromStreamResponse call(RemoveTagsFromStreamRequest r) {
    return client.removeTagsFromStream(r);
  }

  @Override
  ListTagsForStreamResponse call(ListTagsForStreamRequest r) {
    return client.listTagsForStream(r);
  }

  @Override
  RegisterStreamConsumerResponse call(RegisterStreamConsumerRequest r) {
    return client.registerStreamConsumer(r);
  }

  @Override
  DescribeStreamConsumerResponse call(DescribeStreamConsumerRequest r) {
    return client.describeStreamConsumer(r);
  }

  @Override
  DeregisterStreamConsumerResponse call(DeregisterStreamConsumerRequest r) {
    return client.deregisterStreamConsumer(r);
  }

  @Override
  public void close() {
    client.close();
  }
}
