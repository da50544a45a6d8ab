package conformance;

import java.io.InputStream;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Function;

/** Runs the scenario for the ways to use a client, beside each other, and prints a line a step. */
final class Driver {
  /** One row of the table. */
  record Way(String client, String protocol, boolean tls, Function<URI, Kinesis> open) {}

  private Driver() {}

  /** Leaves out the ways that have no endpoint; ends the program. */
  static void run(Way... ways) throws Exception {
    trust();
    var failed = false;
    var pool = Executors.newCachedThreadPool();
    try {
      var running = new ArrayList<Future<Boolean>>();
      for (var i = 0; i < ways.length; i++) {
        var way = ways[i];
        var endpoint = System.getenv(way.tls() ? "FIREHOSED_TLS_ENDPOINT" : "FIREHOSED_ENDPOINT");
        if (endpoint == null || endpoint.isEmpty()) {
          continue;
        }
        var stream = environment("FIREHOSED_STREAM") + "-" + i;
        running.add(
            pool.submit(
                () -> {
                  try (var client = way.open().apply(URI.create(endpoint))) {
                    return new Scenario(client, stream, environment("FIREHOSED_THROTTLED_STREAM"))
                        .run((step, ok, skip, detail) -> print(way, client.version(), step, ok, skip, detail));
                  }
                }));
      }
      for (var r : running) {
        failed |= !r.get();
      }
    } finally {
      pool.shutdownNow();
    }
    System.exit(failed ? 1 : 0);
  }

  static String environment(String name) {
    var value = System.getenv(name);
    if (value == null || value.isEmpty()) {
      throw new IllegalStateException(name + " is not set");
    }
    return value;
  }

  /**
   * Makes a trust store of the authority, as keytool -importcert does, and names it to the runtime;
   * no client is told anything.
   */
  static void trust() throws Exception {
    var pem = System.getenv("FIREHOSED_CA_FILE");
    if (pem == null || pem.isEmpty()) {
      return;
    }
    var store = KeyStore.getInstance("PKCS12");
    store.load(null, null);
    try (InputStream in = Files.newInputStream(Path.of(pem))) {
      store.setCertificateEntry(
          "firehosed", CertificateFactory.getInstance("X.509").generateCertificate(in));
    }
    var file = Files.createTempFile("firehosed-trust", ".p12");
    file.toFile().deleteOnExit();
    try (var out = Files.newOutputStream(file)) {
      store.store(out, "changeit".toCharArray());
    }
    System.setProperty("javax.net.ssl.trustStore", file.toString());
    System.setProperty("javax.net.ssl.trustStorePassword", "changeit");
  }

  private static synchronized void print(
      Way way, String version, String step, boolean ok, String skip, String detail) {
    var fields = new ArrayList<String>();
    for (var f :
        List.of(
            List.of("client", way.client()),
            List.of("version", version),
            List.of("protocol", way.protocol()),
            List.of("step", step),
            List.of("skip", skip),
            List.of("detail", detail))) {
      if (!f.get(1).isEmpty()) {
        fields.add(quote(f.get(0)) + ":" + quote(f.get(1)));
      }
    }
    fields.add("\"ok\":" + ok);
    System.out.println("{" + String.join(",", fields) + "}");
    System.out.flush();
  }

  /** A JSON string in ASCII. */
  static String quote(String s) {
    var b = new StringBuilder("\"");
    for (var c : s.toCharArray()) {
      if (c == '"' || c == '\\' || c < ' ' || c > '~') {
        b.append(String.format("\\u%04x", (int) c));
      } else {
        b.append(c);
      }
    }
    return b.append('"').toString();
  }
}
