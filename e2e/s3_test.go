package e2e

import (
	"fmt"

	"github.com/firehosed/firehosed/e2e/servers/versity"
)

// bucket is the configuration of a bucket of a real server.
func bucket(s *versity.S3, key versity.Key, name, prefix string) string {
	return fmt.Sprintf("{ bucket: %s, prefix: %q, region: %s, endpoint: %q, path_style: true, access_key: %s, secret_key: %s }",
		name, prefix, versity.Region, s.Endpoint, key.Access, key.Secret)
}
