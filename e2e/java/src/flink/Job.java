package flink;

import java.util.Properties;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kinesis.sink.KinesisStreamsSink;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.connectors.kinesis.FlinkKinesisConsumer;

/**
 * A Flink job in a cluster of its own inside this process: it reads a stream from the trim horizon
 * and writes what it reads, with a mark in front, to another. It runs until it is killed.
 */
public final class Job {
  private Job() {}

  /** Arguments: the stream to read, the stream to write, POLLING or EFO. */
  // The connector of this version calls its only source with fan-out deprecated.
  @SuppressWarnings("deprecation")
  public static void main(String[] args) throws Exception {
    var properties = new Properties();
    properties.setProperty("aws.region", System.getenv("AWS_REGION"));
    properties.setProperty("aws.endpoint", System.getenv("FIREHOSED_ENDPOINT"));
    properties.setProperty("aws.credentials.provider", "BASIC");
    properties.setProperty(
        "aws.credentials.provider.basic.accesskeyid", System.getenv("AWS_ACCESS_KEY_ID"));
    properties.setProperty(
        "aws.credentials.provider.basic.secretkey", System.getenv("AWS_SECRET_ACCESS_KEY"));

    var source = new Properties();
    source.putAll(properties);
    source.setProperty("flink.stream.initpos", "TRIM_HORIZON");
    source.setProperty("flink.stream.recordpublisher", args[2]);
    source.setProperty("flink.stream.efo.consumername", "flink");
    source.setProperty("flink.shard.discovery.intervalmillis", "1000");

    var configuration = new Configuration();
    configuration.setString("taskmanager.memory.network.min", "16mb");
    configuration.setString("taskmanager.memory.network.max", "16mb");
    configuration.setString("taskmanager.memory.managed.size", "16mb");
    configuration.setString("taskmanager.numberOfTaskSlots", "1");
    var env = StreamExecutionEnvironment.createLocalEnvironment(1, configuration);
    env.enableCheckpointing(500);
    env.addSource(new FlinkKinesisConsumer<>(args[0], new SimpleStringSchema(), source))
        .map(text -> "flink " + text)
        .sinkTo(
            KinesisStreamsSink.<String>builder()
                .setKinesisClientProperties(properties)
                .setSerializationSchema(new SimpleStringSchema())
                .setPartitionKeyGenerator(text -> String.valueOf(text.hashCode()))
                .setStreamName(args[1])
                .setMaxTimeInBufferMS(200)
                .setFailOnError(false)
                .build());
    env.execute("copy");
  }
}
