package kcl;

import java.io.IOException;
import java.io.OutputStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.atomic.AtomicInteger;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.common.KinesisClientUtil;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.exceptions.InvalidStateException;
import software.amazon.kinesis.exceptions.ShutdownException;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ProcessRecordsInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.processor.RecordProcessorCheckpointer;
import software.amazon.kinesis.processor.ShardRecordProcessor;
import software.amazon.kinesis.processor.SingleStreamTracker;
import software.amazon.kinesis.retrieval.RetrievalConfig;
import software.amazon.kinesis.retrieval.fanout.FanOutConfig;
import software.amazon.kinesis.retrieval.polling.PollingConfig;

/**
 * A worker of a KCL application that writes what it processed to a file, a line each, before it
 * checkpoints. All three clients have the one endpoint of firehosed. SIGTERM ends it in good order.
 *
 * <p>The lines are separated by tabs: the time in milliseconds, what happened (initialize, record,
 * ended, lost, requested), the shard, the number of the record processor in this process, and for a
 * record its sequence number, sub-sequence number, partition key and data.
 */
public final class Worker {
  private final OutputStream journal;
  private final AtomicInteger processors = new AtomicInteger();

  private Worker(Path file) throws IOException {
    journal = Files.newOutputStream(file, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
  }

  /** Arguments: application, worker, stream, polling or fanout, file. */
  public static void main(String[] args) throws Exception {
    var endpoint = URI.create(System.getenv("FIREHOSED_ENDPOINT"));
    var worker = new Worker(Path.of(args[4]));
    var kinesis =
        KinesisClientUtil.createKinesisAsyncClient(
            KinesisAsyncClient.builder().endpointOverride(endpoint));
    var dynamo = DynamoDbAsyncClient.builder().endpointOverride(endpoint).build();
    var cloudWatch = CloudWatchAsyncClient.builder().endpointOverride(endpoint).build();
    var tracker =
        new SingleStreamTracker(
            args[2],
            InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON));
    var config =
        new ConfigsBuilder(
            tracker, args[0], kinesis, dynamo, cloudWatch, args[1], () -> worker.new Processor());

    var retrieval = new RetrievalConfig(kinesis, tracker, args[0]);
    if (args[3].equals("fanout")) {
      retrieval.retrievalSpecificConfig(
          new FanOutConfig(kinesis).streamName(args[2]).applicationName(args[0]));
    } else {
      retrieval.retrievalSpecificConfig(
          new PollingConfig(args[2], kinesis).idleTimeBetweenReadsInMillis(200));
    }
    retrieval.listShardsBackoffTimeInMillis(500);

    var leases = config.leaseManagementConfig();
    // Times for a test: workers that die are missed after three seconds, not ten.
    leases
        .failoverTimeMillis(3000)
        .shardSyncIntervalMillis(2000)
        .leasesRecoveryAuditorExecutionFrequencyMillis(2000)
        .listShardsBackoffTimeInMillis(500);
    Tuning.apply(leases);
    var coordinator =
        config
            .coordinatorConfig()
            .parentShardPollIntervalMillis(500)
            .shardConsumerDispatchPollIntervalMillis(250);
    var metrics = config.metricsConfig().metricsBufferTimeMillis(2000);

    var scheduler =
        new Scheduler(
            config.checkpointConfig(),
            coordinator,
            leases,
            config.lifecycleConfig(),
            metrics,
            config.processorConfig(),
            retrieval);
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  try {
                    Tuning.stop(scheduler);
                    // The JVM ends with 143 after SIGTERM; this says that it ended well.
                    worker.write("stopped\t-\t0\n");
                  } catch (Exception e) {
                    e.printStackTrace();
                  }
                }));
    scheduler.run();
  }

  /** Whole lines in one write: a worker that is killed leaves at most its last line torn. */
  private synchronized void write(String text) {
    var b = new StringBuilder();
    var now = System.currentTimeMillis();
    text.lines().forEach(line -> b.append(now).append('\t').append(line).append('\n'));
    try {
      journal.write(b.toString().getBytes(StandardCharsets.UTF_8));
    } catch (IOException e) {
      e.printStackTrace();
      Runtime.getRuntime().halt(3);
    }
  }

  private final class Processor implements ShardRecordProcessor {
    private final int number = processors.incrementAndGet();
    private String shard;

    private String line(String what) {
      return what + "\t" + shard + "\t" + number;
    }

    @Override
    public void initialize(InitializationInput in) {
      shard = in.shardId();
      write(line("initialize") + "\n");
    }

    @Override
    public void processRecords(ProcessRecordsInput in) {
      if (in.records().isEmpty()) {
        return;
      }
      var b = new StringBuilder();
      for (var r : in.records()) {
        b.append(line("record"))
            .append('\t')
            .append(r.sequenceNumber())
            .append('\t')
            .append(r.subSequenceNumber())
            .append('\t')
            .append(r.partitionKey())
            .append('\t')
            .append(StandardCharsets.UTF_8.decode(r.data()))
            .append('\n');
      }
      write(b.toString());
      checkpoint(in.checkpointer());
    }

    private void checkpoint(RecordProcessorCheckpointer checkpointer) {
      try {
        checkpointer.checkpoint();
      } catch (ShutdownException e) {
        // Another worker has the lease; it will process the records once more.
        System.err.println(shard + ": " + e);
      } catch (InvalidStateException | RuntimeException e) {
        // The next checkpoint covers this one.
        System.err.println(shard + ": " + e);
      }
    }

    @Override
    public void leaseLost(LeaseLostInput in) {
      write(line("lost") + "\n");
    }

    @Override
    public void shardEnded(ShardEndedInput in) {
      write(line("ended") + "\n");
      try {
        in.checkpointer().checkpoint();
      } catch (Exception e) {
        // KCL calls again.
        throw new IllegalStateException(e);
      }
    }

    @Override
    public void shutdownRequested(ShutdownRequestedInput in) {
      write(line("requested") + "\n");
      checkpoint(in.checkpointer());
    }
  }
}
