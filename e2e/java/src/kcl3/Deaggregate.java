package kcl;

import java.net.URI;
import java.nio.charset.StandardCharsets;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.model.ShardIteratorType;
import software.amazon.kinesis.common.KinesisClientUtil;
import software.amazon.kinesis.retrieval.AggregatorUtil;
import software.amazon.kinesis.retrieval.KinesisClientRecord;

/**
 * Reads a stream to its tip and takes aggregated records apart with the code of KCL. Prints a line a
 * user record, with tabs: shard, sequence number, sub-sequence number, whether it was in an
 * aggregate, partition key, data.
 */
public final class Deaggregate {
  private Deaggregate() {}

  public static void main(String[] args) throws Exception {
    var out = new StringBuilder();
    try (var kinesis =
        KinesisClientUtil.createKinesisAsyncClient(
            KinesisAsyncClient.builder()
                .endpointOverride(URI.create(System.getenv("FIREHOSED_ENDPOINT"))))) {
      for (var shard : kinesis.listShards(b -> b.streamName(args[0])).get().shards()) {
        var it =
            kinesis
                .getShardIterator(
                    b ->
                        b.streamName(args[0])
                            .shardId(shard.shardId())
                            .shardIteratorType(ShardIteratorType.TRIM_HORIZON))
                .get()
                .shardIterator();
        while (it != null) {
          var at = it;
          var page = kinesis.getRecords(b -> b.shardIterator(at)).get();
          var records = page.records().stream().map(KinesisClientRecord::fromRecord).toList();
          for (var r :
              new AggregatorUtil()
                  .deaggregate(
                      records,
                      shard.hashKeyRange().startingHashKey(),
                      shard.hashKeyRange().endingHashKey())) {
            out.append(shard.shardId())
                .append('\t')
                .append(r.sequenceNumber())
                .append('\t')
                .append(r.subSequenceNumber())
                .append('\t')
                .append(r.aggregated())
                .append('\t')
                .append(r.partitionKey())
                .append('\t')
                .append(StandardCharsets.UTF_8.decode(r.data()))
                .append('\n');
          }
          it = records.isEmpty() && page.millisBehindLatest() == 0 ? null : page.nextShardIterator();
        }
      }
    }
    System.out.print(out);
    System.out.flush();
    System.exit(0);
  }
}
