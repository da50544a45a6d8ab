package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// checker finds problems that lie between values. It does not look at what the
// decoder has found wrong already.
type checker struct {
	c        *Config
	problems *collector
}

func (k *checker) all() {
	k.http()
	k.path("data_dir", k.c.DataDir)
	k.encryption("storage.encryption", &k.c.Storage.Encryption)
	k.service("s3", k.c.API.S3)
	k.service("lambda", k.c.API.Lambda)
	for _, name := range k.c.deliveryNames() {
		k.delivery(name, k.c.DeliveryStreams[name])
	}
	k.outputs()
}

// encryption checks the master keys.
func (k *checker) encryption(at string, e *Encryption) {
	if e.Key == nil && len(e.OldKeys) == 0 && k.c.Given(at) {
		k.report(at, "names no key, so nothing would be encrypted; give key, or remove it")
	}
	one := func(at string, m *MasterKey) {
		k.path(at+".file", m.File)
		if k.c.Given(at+".env") && (!envName.MatchString(m.Env) || len(m.Env) > 42) {
			// Not shown: it may be a key, which is longer.
			k.report(at+".env", "is not the name of a variable; a key itself must not stand in the file")
		}
		switch {
		case !k.c.Given(at + ".command"):
		case len(m.Command) == 0:
			k.report(at+".command", "is empty; it must name a program")
		case m.Command[0] == "":
			k.report(at+".command[0]", "is empty; it must name a program")
		}
	}
	if e.Key != nil {
		one(at+".key", e.Key)
	}
	for i := range e.OldKeys {
		one(Path("storage", "encryption", "old_keys", i), &e.OldKeys[i])
	}
}

// service checks where the delivery streams of the API find a service.
func (k *checker) service(name string, s *Service) {
	if s == nil {
		return
	}
	path := Path("api", name)
	k.address(pathKey(path, "endpoint"), s.Endpoint)
	k.credentials(path, s.AccessKey, s.SecretKey, s.SessionToken, s.Profile)
	if s.PathStyle && name != "s3" {
		k.report(pathKey(path, "path_style"), "is for s3; remove it")
	}
}

// report adds a problem of a path, unless there is one there already.
func (k *checker) report(path, format string, args ...any) {
	if !k.problems.bad[path] {
		k.problems.add(k.c.problemAt(path, path+": "+fmt.Sprintf(format, args...)))
	}
}

func (k *checker) note(path, format string, args ...any) {
	if len(k.c.notes) < maxProblems {
		k.c.notes = append(k.c.notes, k.c.problemAt(path, path+": "+fmt.Sprintf(format, args...)))
	}
}

// show renders a value for a message, or where it came from.
func (k *checker) show(path, value string) string {
	if at := k.c.places[path]; at.origin != "" {
		return "value from " + at.origin
	}
	return "`" + clip(value) + "`"
}

func (k *checker) http() {
	h := &k.c.HTTP
	seen := map[string]int{}
	for i, key := range h.Keys {
		path := Path("http", "keys", i, "access_key")
		if first, ok := seen[key.AccessKey]; ok && key.AccessKey != "" {
			k.report(path, "stands in http.keys[%d] already", first)
			continue
		}
		seen[key.AccessKey] = i
	}
	switch {
	case h.Auth == "sigv4" && len(h.Keys) == 0:
		k.report("http.auth", "sigv4 needs keys; give http.keys")
	case h.Auth == "none" && len(h.Keys) > 0:
		k.report("http.auth", "none would ignore http.keys; remove one of the two")
	}
	k.hosts(h.Hosts)
	if h.TLS != nil {
		k.path("http.tls.cert", h.TLS.Cert)
		k.path("http.tls.key", h.TLS.Key)
	}
	loopback, err := isLoopback(h.Listen)
	switch {
	case err != nil:
		k.report("http.listen", "%s %v; write an address such as 127.0.0.1:4573", k.show("http.listen", h.Listen), err)
	case !loopback && h.Auth == "none" && !k.c.Given("http.auth"):
		k.report("http.listen", "%s can be reached from other machines and there are no keys; give http.keys, or write http.auth: none to serve anyone",
			k.show("http.listen", h.Listen))
	}
}

// maxHosts is that of package access.
const maxHosts = 32

// hosts checks the other names of the daemon: what stands in a Host header.
func (k *checker) hosts(hosts []string) {
	if len(hosts) > maxHosts {
		k.report("http.hosts", "has %d names; at most %d are possible", len(hosts), maxHosts)
	}
	if len(hosts) > 0 && k.c.HTTP.Auth == "none" {
		k.report("http.hosts", "is for signatures, and without http.keys none is checked; remove it, or give keys")
	}
	k.distinct("http.hosts", hosts)
	for i, h := range hosts {
		at := pathIndex("http.hosts", i)
		u, err := url.Parse("//" + h)
		if err != nil || h == "" || u.Host != h || u.Hostname() == "" || strings.ContainsAny(h, " \t") {
			k.report(at, "%s is not a host or host:port, as it stands in an address after http://", k.show(at, h))
		}
	}
}

// isLoopback reports whether only this machine can reach an address.
func isLoopback(listen string) (bool, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return false, fmt.Errorf("is not host:port")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return false, fmt.Errorf("has no port from 0 to 65535")
	}
	if strings.EqualFold(host, "localhost") {
		return true, nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false, nil // a name, or empty for all addresses
	}
	return addr.Unmap().IsLoopback(), nil
}

// address checks an http or https URL. Passwords in it would be logged with it,
// so there must be none.
func (k *checker) address(path, value string) {
	if value == "" {
		return
	}
	u, err := url.Parse(value)
	switch {
	case err != nil:
		// The parser repeats the value in its error.
		k.report(path, "%s is not an address; write http://host:port or https://host", k.show(path, value))
	case u.User != nil:
		k.report(path, "must not hold a user and password; there are keys of their own for them")
	case u.Scheme != "http" && u.Scheme != "https":
		k.report(path, "%s does not begin with http:// or https://", k.show(path, value))
	case u.Hostname() == "":
		k.report(path, "%s names no host", k.show(path, value))
	case u.Fragment != "":
		k.report(path, "%s has a fragment (#...), which is never sent", k.show(path, value))
	}
}

// path checks the path of a file or directory.
func (k *checker) path(at, value string) {
	switch {
	case value == "~" || strings.HasPrefix(value, "~/"):
		k.report(at, "%s begins with ~, which only a shell replaces; write the whole path", k.show(at, value))
	case value == "" && k.c.Given(at):
		k.report(at, "is empty")
	}
}

// credentials checks the keys of one AWS client that belong together.
func (k *checker) credentials(path, access string, secret, token Secret, profile string) {
	switch {
	case access != "" && secret.Empty():
		k.report(pathKey(path, "access_key"), "needs secret_key beside it")
	case access == "" && !secret.Empty():
		k.report(pathKey(path, "secret_key"), "needs access_key beside it")
	case access == "" && !token.Empty():
		k.report(pathKey(path, "session_token"), "needs access_key and secret_key beside it")
	case access != "" && profile != "":
		k.report(pathKey(path, "profile"), "cannot stand beside access_key; remove one of the two")
	}
}

// oneCharacter checks a delimiter between columns.
func (k *checker) oneCharacter(path, value string) {
	if len([]rune(value)) != 1 || strings.ContainsAny(value, "\"\r\n") {
		k.report(path, "%s must be one character, and not a quote or a line end", k.show(path, value))
	}
}

// distinct checks a list of names.
func (k *checker) distinct(path string, names []string) {
	seen := map[string]int{}
	for i, n := range names {
		at := pathIndex(path, i)
		if n == "" {
			k.report(at, "is empty")
		} else if first, ok := seen[n]; ok {
			k.report(at, "%s stands in the list twice, first as number %d", k.show(at, n), first+1)
		} else {
			seen[n] = i
		}
	}
}
