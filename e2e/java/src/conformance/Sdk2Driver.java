package conformance;

import java.net.URI;

/** The driver of the AWS SDK for Java 2; its argument, sync or async, is the client to use. */
final class Sdk2Driver {
  private Sdk2Driver() {}

  private static Kinesis sync(URI endpoint) {
    var client = Sdk2Sync.client(endpoint);
    return new Sdk2Sync(client, Sdk2Tags.of(client));
  }

  private static Kinesis async(URI endpoint) {
    var client = Sdk2Async.client(endpoint);
    return new Sdk2Async(client, Sdk2Tags.of(client));
  }

  public static void main(String[] args) throws Exception {
    var name = "AWS SDK for Java 2, " + args[0];
    if (args[0].equals("sync")) {
      Driver.run(
          new Driver.Way(name, "CBOR, HTTP/1.1", false, Sdk2Driver::sync),
          new Driver.Way(name, "CBOR, HTTP/1.1 with TLS", true, Sdk2Driver::sync));
    } else {
      Driver.run(
          new Driver.Way(name, "CBOR, HTTP/2 without TLS", false, Sdk2Driver::async),
          new Driver.Way(name, "CBOR, HTTP/2 with TLS", true, Sdk2Driver::async));
    }
  }
}
