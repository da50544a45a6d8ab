package e2e;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.opensearch.analysis.common.CommonAnalysisPlugin;
import org.opensearch.common.logging.LogConfigurator;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.index.mapper.MapperExtrasPlugin;
import org.opensearch.index.reindex.ReindexPlugin;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

/**
 * One OpenSearch node on 127.0.0.1 that keeps everything below a folder.
 *
 * <p>It is the server itself with the modules given to its constructor, instead of the start script
 * and the plugin folders of a distribution, which Maven repositories do not hold. The bootstrap of a
 * distribution, which refuses to run as root, is not part of it. There is no security plugin.
 */
final class SingleNode extends Node {
  private static final long CLOSE_SECONDS = 10;

  private SingleNode(Environment environment) {
    super(
        environment,
        List.of(
            Netty4Plugin.class,
            CommonAnalysisPlugin.class,
            MapperExtrasPlugin.class,
            ReindexPlugin.class),
        false);
  }

  public static void main(String[] args) throws Exception {
    if (args.length != 3) {
      System.err.println("usage: SingleNode FOLDER HTTP-PORT NODE-NAME");
      System.exit(2);
    }
    Path home = Path.of(args[0]).toAbsolutePath();
    String name = args[2];
    Files.createDirectories(home.resolve("config"));
    Settings settings =
        Settings.builder()
            .put("path.home", home.toString())
            .put("path.data", home.resolve("data").toString())
            .put("path.logs", home.resolve("logs").toString())
            .put("cluster.name", "firehosed-e2e")
            .put("node.name", name)
            .put("discovery.type", "single-node")
            .put("network.host", "127.0.0.1")
            .put("http.port", args[1])
            .put("transport.port", "0") // nobody connects to it; 0 takes any free port
            // A disk that others have filled must not make indexes read-only here.
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .put("logger.level", "INFO")
            .build();
    Environment environment =
        InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> name);
    LogConfigurator.configureWithoutConfig(environment.settings());

    SingleNode node = new SingleNode(environment);
    CountDownLatch closed = new CountDownLatch(1);
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  try {
                    node.close();
                    if (!node.awaitClose(CLOSE_SECONDS, TimeUnit.SECONDS)) {
                      System.err.println("node not closed after " + CLOSE_SECONDS + " s");
                    }
                  } catch (Exception e) {
                    e.printStackTrace();
                  }
                  closed.countDown();
                },
                "close"));
    try {
      node.start();
    } catch (Exception e) {
      e.printStackTrace();
      System.exit(1); // the node's own threads would keep the program alive
    }
    closed.await();
  }
}
