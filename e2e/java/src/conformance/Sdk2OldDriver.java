package conformance;

import java.net.URI;

/**
 * The driver of the last AWS SDK for Java 2 before 2.30. Over TLS its asynchronous client offers no
 * ALPN and begins to speak HTTP/2 right after the handshake.
 */
final class Sdk2OldDriver {
  private Sdk2OldDriver() {}

  private static Kinesis async(URI endpoint) {
    return new Sdk2Async(Sdk2Async.client(endpoint), null);
  }

  public static void main(String[] args) throws Exception {
    Driver.run(
        new Driver.Way("AWS SDK for Java 2.29, async", "CBOR, HTTP/2 without TLS", false, Sdk2OldDriver::async),
        new Driver.Way("AWS SDK for Java 2.29, async", "CBOR, HTTP/2 with TLS, no ALPN", true, Sdk2OldDriver::async));
  }
}
