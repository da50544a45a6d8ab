package kpl;

import com.google.common.util.concurrent.ListenableFuture;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.TreeSet;
import software.amazon.kinesis.producer.KinesisProducer;
import software.amazon.kinesis.producer.KinesisProducerConfiguration;
import software.amazon.kinesis.producer.UserRecordFailedException;
import software.amazon.kinesis.producer.UserRecordResult;

/**
 * Puts numbered records with the Kinesis Producer Library, which aggregates them. Its native part
 * speaks TLS only and verifies the certificate.
 */
public final class Producer {
  private Producer() {}

  /** Arguments: stream, number of records, number of partition keys, a folder for the native part. */
  public static void main(String[] args) throws Exception {
    var endpoint = URI.create(System.getenv("FIREHOSED_TLS_ENDPOINT"));
    var records = Integer.parseInt(args[1]);
    var keys = Integer.parseInt(args[2]);
    var config =
        new KinesisProducerConfiguration()
            .setRegion(System.getenv("AWS_REGION"))
            .setKinesisEndpoint(endpoint.getHost())
            .setKinesisPort(endpoint.getPort())
            .setCloudwatchEndpoint(endpoint.getHost())
            .setCloudwatchPort(endpoint.getPort())
            .setStsEndpoint(endpoint.getHost())
            .setStsPort(endpoint.getPort())
            .setCaCertFile(Path.of(System.getenv("FIREHOSED_CA_FILE")).toAbsolutePath().toString())
            .setMetricsUploadDelay(1000)
            // By default a record is given up after 30 s, and a request after 6 s.
            .setRecordTtl(600_000)
            .setRequestTimeout(120_000)
            .setConnectTimeout(30_000)
            .setMetricsNamespace("kpl-" + args[0])
            .setTempDirectory(args[3]);
    var producer = new KinesisProducer(config);
    var results = new ArrayList<ListenableFuture<UserRecordResult>>();
    for (var n = 0; n < records; n++) {
      var key = "k" + n % keys;
      results.add(
          producer.addUserRecord(
              args[0], key, ByteBuffer.wrap((key + ":" + n / keys).getBytes(StandardCharsets.US_ASCII))));
    }
    producer.flush();
    var failed = 0;
    var retried = 0;
    var shards = new TreeSet<String>();
    for (var r : results) {
      try {
        var result = r.get();
        shards.add(result.getShardId());
        retried += result.getAttempts().size() - 1;
      } catch (java.util.concurrent.ExecutionException e) {
        failed++;
        if (e.getCause() instanceof UserRecordFailedException f) {
          f.getResult()
              .getAttempts()
              .forEach(a -> System.err.println(a.getErrorCode() + ": " + a.getErrorMessage()));
        } else {
          e.printStackTrace();
        }
      }
    }
    System.out.printf(
        "{\"records\":%d,\"failed\":%d,\"retries\":%d,\"shards\":%d}%n",
        records, failed, retried, shards.size());
    producer.flushSync();
    producer.destroy();
    System.exit(failed == 0 ? 0 : 1);
  }
}
