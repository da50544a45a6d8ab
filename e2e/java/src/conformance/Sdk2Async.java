package conformance;

import java.net.URI;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.reactivestreams.Subscriber;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.model.*;

/** The asynchronous client as it is by default: Netty, HTTP/2 for everything, CBOR but for SubscribeToShard. */
final class Sdk2Async extends Sdk2 {
  private static final Duration LIMIT = Duration.ofSeconds(120);

  private final KinesisAsyncClient client;

  Sdk2Async(KinesisAsyncClient client, ResourceTags resourceTags) {
    super(resourceTags);
    this.client = client;
  }

  /**
   * The client with nothing set but the endpoint, and how long it waits: by default it gives up
   * after seconds, which on a machine that is busy or stands still for a moment is no failure of
   * the service.
   */
  static KinesisAsyncClient client(URI endpoint) {
    var http =
        NettyNioAsyncHttpClient.builder()
            .connectionTimeout(LIMIT)
            .connectionAcquisitionTimeout(LIMIT)
            .tlsNegotiationTimeout(LIMIT)
            .readTimeout(LIMIT)
            .writeTimeout(LIMIT)
            // As KCL sets it.
            .http2Configuration(c -> c.healthCheckPingPeriod(Duration.ofSeconds(60)));
    return KinesisAsyncClient.builder().endpointOverride(endpoint).httpClientBuilder(http).build();
  }

  private static <T> T join(CompletableFuture<T> future) {
    try {
      return future.join();
    } catch (CompletionException e) {
      if (e.getCause() instanceof RuntimeException cause) {
        throw cause;
      }
      throw e;
    }
  }

  @Override
  CreateStreamResponse call(CreateStreamRequest r) {
    return join(client.createStream(r));
  }

  @Override
  DeleteStreamResponse call(DeleteStreamRequest r) {
    return join(client.deleteStream(r));
  }

  @Override
  DescribeStreamSummaryResponse call(DescribeStreamSummaryRequest r) {
    return join(client.describeStreamSummary(r));
  }

  @Override
  ListShardsResponse call(ListShardsRequest r) {
    return join(client.listShards(r));
  }

  @Override
  PutRecordResponse call(PutRecordRequest r) {
    return join(client.putRecord(r));
  }

  @Override
  PutRecordsResponse call(PutRecordsRequest r) {
    return join(client.putRecords(r));
  }

  @Override
  GetShardIteratorResponse call(GetShardIteratorRequest r) {
    return join(client.getShardIterator(r));
  }

  @Override
  GetRecordsResponse call(GetRecordsRequest r) {
    return join(client.getRecords(r));
  }

  @Override
  SplitShardResponse call(SplitShardRequest r) {
    return join(client.splitShard(r));
  }

  @Override
  MergeShardsResponse call(MergeShardsRequest r) {
    return join(client.mergeShards(r));
  }

  @Override
  UpdateShardCountResponse call(UpdateShardCountRequest r) {
    return join(client.updateShardCount(r));
  }

  @Override
  AddTagsToStreamResponse call(AddTagsToStreamRequest r) {
    return join(client.addTagsToStream(r));
  }

  @Override
  RemoveTagsFromStreamResponse call(RemoveTagsFromStreamRequest r) {
    return join(client.removeTagsFromStream(r));
  }

  @Override
  ListTagsForStreamResponse call(ListTagsForStreamRequest r) {
    return join(client.listTagsForStream(r));
  }

  @Override
  RegisterStreamConsumerResponse call(RegisterStreamConsumerRequest r) {
    return join(client.registerStreamConsumer(r));
  }

  @Override
  DescribeStreamConsumerResponse call(DescribeStreamConsumerRequest r) {
    return join(client.describeStreamConsumer(r));
  }

  @Override
  DeregisterStreamConsumerResponse call(DeregisterStreamConsumerRequest r) {
    return join(client.deregisterStreamConsumer(r));
  }

  @Override
  public boolean subscribes() {
    return true;
  }

  @Override
  public Subscription subscribe(String consumerArn, String shard, String after, Until until, Duration limit) {
    var position =
        after == null
            ? StartingPosition.builder().type(ShardIteratorType.TRIM_HORIZON).build()
            : StartingPosition.builder().type(ShardIteratorType.AFTER_SEQUENCE_NUMBER).sequenceNumber(after).build();
    var events = new Events(until);
    var handler =
        SubscribeToShardResponseHandler.builder()
            .subscriber(() -> events)
            .onError(events::fail)
            .build();
    var call =
        client.subscribeToShard(
            SubscribeToShardRequest.builder()
                .consumerARN(consumerArn)
                .shardId(shard)
                .startingPosition(position)
                .build(),
            handler);
    call.whenComplete((nothing, error) -> events.end(error));
    try {
      return events.result.get(limit.toMillis(), TimeUnit.MILLISECONDS);
    } catch (ExecutionException e) {
      refused(
          () -> {
            if (e.getCause() instanceof CompletionException c && c.getCause() instanceof RuntimeException r) {
              throw r;
            }
            if (e.getCause() instanceof RuntimeException r) {
              throw r;
            }
            throw new IllegalStateException(e.getCause());
          });
      throw new AssertionError("not reached");
    } catch (TimeoutException e) {
      throw new IllegalStateException("subscription to " + shard + ": nothing more after " + limit + ", " + events, e);
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  /** Collects events one at a time, so that the flow control of HTTP/2 is at work. */
  private static final class Events implements Subscriber<SubscribeToShardEventStream> {
    final CompletableFuture<Subscription> result = new CompletableFuture<>();
    private final Until until;
    private final List<Row> rows = new ArrayList<>();
    private org.reactivestreams.Subscription source;
    private String continuation;
    private List<Child> children = List.of();

    Events(Until until) {
      this.until = until;
    }

    @Override
    public void onSubscribe(org.reactivestreams.Subscription s) {
      source = s;
      s.request(1);
    }

    @Override
    public void onNext(SubscribeToShardEventStream item) {
      item.accept(
          SubscribeToShardResponseHandler.Visitor.builder()
              .onSubscribeToShardEvent(this::event)
              .build());
      if (until.enough(List.copyOf(rows))) {
        source.cancel();
        end(null);
      } else {
        source.request(1);
      }
    }

    private void event(SubscribeToShardEvent e) {
      e.records().forEach(r -> rows.add(row(r)));
      continuation = e.continuationSequenceNumber();
      children = Sdk2.children(e.childShards());
    }

    @Override
    public void onError(Throwable t) {
      fail(t);
    }

    @Override
    public void onComplete() {
      end(null);
    }

    void fail(Throwable t) {
      result.completeExceptionally(t);
    }

    void end(Throwable error) {
      if (error != null) {
        fail(error);
      } else {
        result.complete(new Subscription(List.copyOf(rows), continuation, children));
      }
    }

    @Override
    public String toString() {
      return rows.size() + " records, continuation " + continuation + ", children " + children;
    }
  }

  @Override
  public void close() {
    client.close();
  }
}
