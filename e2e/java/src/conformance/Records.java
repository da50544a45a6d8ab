package conformance;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;

/** The records of the scenario, as e2e/README.md has them in words. */
final class Records {
  private Records() {}

  static Kinesis.Entry at(int n) {
    var key = "key-" + n % 50 + "-\u00e9\u4e2d\ud83d\ude00";
    String hash = null;
    if (n % 10 == 9) {
      key = "hash-" + n;
      hash = BigInteger.valueOf(n % 500).shiftLeft(119).toString();
    }
    byte[] data;
    if (n == 0) {
      data = new byte[0];
    } else if (n == 1) {
      data = new byte[256];
      for (var i = 0; i < data.length; i++) {
        data[i] = (byte) i;
      }
    } else {
      data = new byte[4 + n * 37 % 1021];
      ByteBuffer.wrap(data).putInt(n);
      for (var i = 4; i < data.length; i++) {
        data[i] = (byte) (n * 31 + i * 7);
      }
    }
    return new Kinesis.Entry(key, hash, data);
  }

  /** The number of the record with this data; data of no record is an error. */
  static int number(byte[] data) {
    var n = 0;
    if (data.length == 256 && data[1] == 1) {
      n = 1;
    } else if (data.length >= 4) {
      n = ByteBuffer.wrap(data).getInt() & 0xffffff;
    }
    if (!Arrays.equals(at(n).data(), data)) {
      throw new IllegalStateException("data of no record: " + HexFormat.of().formatHex(data));
    }
    return n;
  }

  static String digest(List<Kinesis.Row> rows) {
    try {
      var sha = MessageDigest.getInstance("SHA-256");
      var hex = HexFormat.of();
      var lines =
          rows.stream()
              .map(
                  r ->
                      hex.formatHex(sha.digest(r.key().getBytes(StandardCharsets.UTF_8)))
                          + hex.formatHex(sha.digest(r.data()))
                          + "\n")
              .sorted()
              .toList();
      lines.forEach(line -> sha.update(line.getBytes(StandardCharsets.US_ASCII)));
      return hex.formatHex(sha.digest());
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError(e);
    }
  }
}
