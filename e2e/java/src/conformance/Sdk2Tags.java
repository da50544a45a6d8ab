package conformance;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.*;

/** The tag calls of the AWS SDK for Java 2 since 2.31. */
record Sdk2Tags(
    Function<TagResourceRequest, TagResourceResponse> tagging,
    Function<UntagResourceRequest, UntagResourceResponse> untagging,
    Function<ListTagsForResourceRequest, ListTagsForResourceResponse> listing)
    implements Kinesis.ResourceTags {

  static Sdk2Tags of(KinesisClient c) {
    return new Sdk2Tags(c::tagResource, c::untagResource, c::listTagsForResource);
  }

  static Sdk2Tags of(KinesisAsyncClient c) {
    return new Sdk2Tags(
        r -> c.tagResource(r).join(),
        r -> c.untagResource(r).join(),
        r -> c.listTagsForResource(r).join());
  }

  @Override
  public void tag(String arn, Map<String, String> tags) {
    tagging.apply(TagResourceRequest.builder().resourceARN(arn).tags(tags).build());
  }

  @Override
  public void untag(String arn, List<String> keys) {
    untagging.apply(UntagResourceRequest.builder().resourceARN(arn).tagKeys(keys).build());
  }

  @Override
  public Map<String, String> list(String arn) {
    var out = new TreeMap<String, String>();
    listing
        .apply(ListTagsForResourceRequest.builder().resourceARN(arn).build())
        .tags()
        .forEach(t -> out.put(t.key(), t.value()));
    return out;
  }
}
