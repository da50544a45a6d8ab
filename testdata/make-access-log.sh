#!/bin/bash
# make-access-log.sh [OUTPUT] - remake testdata/logs/access.log.
#
# Builds a small web site in a temporary folder, serves it with Debian's Apache
# on a loopback port, lets real clients use it for about a minute and a half and
# copies the access log, byte for byte as Apache wrote it, to OUTPUT.
#
# Needs, all from Debian: apache2 apache2-utils curl wget lynx chromium
# python3-requests. Nothing leaves the machine: every address is in 127.0.0.0/8.
set -euo pipefail
cd "$(dirname "$0")"

out=${1:-logs/access.log}
port=${PORT:-8099}
base=http://127.0.0.1:$port
seed=2026

missing=
for tool in /usr/sbin/apache2 htpasswd ab curl wget lynx chromium; do
	command -v "$tool" >/dev/null || missing="$missing $tool"
done
/usr/bin/python3 -c 'import requests' 2>/dev/null || missing="$missing python3-requests"
if [ -n "$missing" ]; then
	echo "make-access-log.sh: missing:$missing" >&2
	echo "  apt-get install apache2 apache2-utils curl wget lynx chromium python3-requests" >&2
	exit 1
fi

work=$(mktemp -d)
chmod 755 "$work"
stop() {
	status=$?
	[ -s "$work/httpd.pid" ] && kill "$(cat "$work/httpd.pid")" 2>/dev/null
	sleep 1
	rm -rf "$work"
	exit $status
}
trap stop EXIT

# ---------------------------------------------------------------- the site ---

site=$work/site
mkdir -p "$site/books" "$site/files" "$site/staff" "$site/private" "$site/img" "$work/cgi" "$work/run"

page() { # page FILE TITLE BODY
	cat >"$site/$1" <<PAGE
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$2</title>
<link rel="stylesheet" href="/style.css"><link rel="icon" href="/favicon.ico">
<script src="/site.js?v=3" defer></script></head>
<body><img src="/img/logo.svg" alt="Harbour Library"><h1>$2</h1>
$3
<p><a href="/">Home</a> <a href="/books/">Books</a> <a href="/about.html">About</a>
<a href="/files/atlas.bin">Atlas</a> <a href="/old/shelf.html">Old shelf</a></p></body></html>
PAGE
}

titles=("The Salt Road" "Nine Lighthouses" "A Field Guide to Fog" "Tidal Arithmetic" "Ropes and Knots"
	"Letters from a Pilot Boat" "The Cartographer's Cat" "Under the Keel" "Low Water" "Harbour Songs")
list=
for i in $(seq 1 48); do
	title="${titles[$((i % 10))]}, volume $i"
	words=$(seq -s ' ' "$i" $((i * 7)))
	page "books/$i.html" "$title" "<img src=\"/img/cover-$((i % 6)).svg\" alt=\"\"><p>$words</p>
<p><a href=\"$((i % 48 + 1)).html\">Next</a> <a href=\"/cgi-bin/search?q=volume+$i&amp;page=1\">Like this</a></p>"
	list="$list<li><a href=\"$i.html\">$title</a></li>"
done
for name in straße 日本語 "où est le port" "50% off & more" 'said "aye"'; do
	page "books/$name.html" "${name//&/&amp;}" "<p>A page with a name that has to be percent-encoded.</p>"
done
list="$list<li><a href=\"stra%C3%9Fe.html\">straße</a></li><li><a href=\"%E6%97%A5%E6%9C%AC%E8%AA%9E.html\">日本語</a></li>
<li><a href=\"o%C3%B9%20est%20le%20port.html\">où est le port</a></li><li><a href=\"50%25%20off%20&amp;%20more.html\">50% off</a></li>
<li><a href=\"said%20%22aye%22.html\">said aye</a></li><li><a href=\"lost.html\">A book we lost</a></li>"
page books/index.html "Books" "<ul>$list</ul>"
page index.html "Harbour Library" "<p>Welcome. <a href=\"/cgi-bin/search?q=fog\">Search for fog</a>, <a href=\"/missing.html\">a dead link</a>.</p>"
page about.html "About" "<p>Open from tide to tide.</p>"
page thanks.html "Thank you" "<p>Your loan is noted.</p>"
page staff/index.html "Staff" "<p>Staff only.</p>"
page private/index.html "Private" "<p>Nobody reads this.</p>"
page tour.html "Tour" "<script>
const stops = ['/books/', '/books/7.html', '/books/%E6%97%A5%E6%9C%AC%E8%AA%9E.html', '/about.html', '/missing.html', '/'];
const n = Number(new URLSearchParams(location.search).get('n') || 0);
Promise.all([fetch('/api/status?n=' + n), fetch('/cgi-bin/search?q=' + encodeURIComponent('tour «' + n + '»'))])
	.then(() => new Promise(r => { const f = document.createElement('iframe'); f.onload = r; f.src = stops[n % stops.length]; document.body.append(f); }))
	.then(() => { if (n < 11) location.href = '/tour.html?n=' + (n + 1); });
</script>"
printf 'body{font:16px/1.5 serif;margin:2em;background:url(/img/sea.svg)}\nh1{color:#024}\n' >"$site/style.css"
printf 'document.documentElement.dataset.ready = "yes";\n' >"$site/site.js"
for n in logo sea cover-0 cover-1 cover-2 cover-3 cover-4 cover-5; do
	printf '<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40"><text y="20">%s</text></svg>\n' "$n" >"$site/img/$n.svg"
done
head -c 318 /dev/zero >"$site/favicon.ico"
head -c 300000 <(seq 1 60000) >"$site/files/atlas.bin"
printf 'User-agent: *\nDisallow: /private/\n' >"$site/robots.txt"
printf '<?xml version="1.0"?><rss version="2.0"><channel><title>Harbour Library</title></channel></rss>\n' >"$site/feed.xml"

cat >"$work/cgi/search" <<'CGI'
#!/bin/sh
case $QUERY_STRING in
*crash*) exit 1 ;;
'' | q= | q=\&*) printf 'Status: 400 Bad Request\r\nContent-Type: text/plain\r\n\r\nno query\n' ;;
*) printf 'Content-Type: text/html; charset=utf-8\r\n\r\n<!doctype html><title>Search</title><p>%s results\n' "${#QUERY_STRING}" ;;
esac
CGI
cat >"$work/cgi/loan" <<'CGI'
#!/bin/sh
case $REQUEST_METHOD in
POST) printf 'Status: 303 See Other\r\nLocation: /thanks.html\r\nContent-Type: text/plain\r\n\r\n' ;;
PUT) printf 'Status: 201 Created\r\nContent-Type: application/json\r\n\r\n{"loan":"created"}\n' ;;
PATCH) printf 'Status: 200 OK\r\nContent-Type: application/json\r\n\r\n{"loan":"renewed"}\n' ;;
DELETE) printf 'Status: 204 No Content\r\n\r\n' ;;
*) printf 'Status: 405 Method Not Allowed\r\nAllow: POST, PUT, PATCH, DELETE\r\nContent-Type: text/plain\r\n\r\n' ;;
esac
CGI
cat >"$work/cgi/status" <<'CGI'
#!/bin/sh
printf 'Content-Type: application/json\r\nCache-Control: no-store\r\n\r\n{"tide":"%s","open":true}\n' "$(date +%S)"
CGI
chmod 755 "$work"/cgi/*
htpasswd -bc "$work/users" mara tide 2>/dev/null
htpasswd -b "$work/users" 'anna maria' tide 2>/dev/null

# -------------------------------------------------------------- the server ---

owner=
[ "$(id -u)" = 0 ] && owner=$'User www-data\nGroup www-data'
cat >"$work/httpd.conf" <<CONF
ServerRoot /usr/lib/apache2
ServerName library.example
ServerTokens Prod
Listen 127.0.0.1:$port
PidFile $work/httpd.pid
DefaultRuntimeDir $work/run
ErrorLog $work/error.log
$owner
LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule authz_user_module modules/mod_authz_user.so
LoadModule authn_core_module modules/mod_authn_core.so
LoadModule authn_file_module modules/mod_authn_file.so
LoadModule auth_basic_module modules/mod_auth_basic.so
LoadModule alias_module modules/mod_alias.so
LoadModule cgid_module modules/mod_cgid.so
LoadModule deflate_module modules/mod_deflate.so
LoadModule filter_module modules/mod_filter.so
LoadModule dir_module modules/mod_dir.so
LoadModule env_module modules/mod_env.so
LoadModule http2_module modules/mod_http2.so
LoadModule mime_module modules/mod_mime.so
LoadModule reqtimeout_module modules/mod_reqtimeout.so
LoadModule setenvif_module modules/mod_setenvif.so
TypesConfig /etc/mime.types
ScriptSock $work/run/cgisock
Protocols h2c http/1.1
KeepAlive On
MaxKeepAliveRequests 200
KeepAliveTimeout 3
RequestReadTimeout header=3-4,minrate=500
LimitRequestBody 65536
TraceEnable Off
DeflateAlterETag NoChange
AddOutputFilterByType DEFLATE text/html text/css application/javascript
DocumentRoot $site
<Directory />
	Require all denied
</Directory>
<Directory $site>
	DirectoryIndex index.html
	Require all granted
</Directory>
<Directory $site/private>
	Require all denied
</Directory>
<Directory $site/staff>
	AuthType Basic
	AuthName "Staff"
	AuthUserFile $work/users
	Require valid-user
</Directory>
<Directory $work/cgi>
	Require all granted
</Directory>
ScriptAlias /cgi-bin/ $work/cgi/
ScriptAlias /api/ $work/cgi/
Redirect 301 /old /books
Redirect 302 /random /books/4.html
Redirect 410 /gone
Redirect 503 /maintenance
LogFormat "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\"" combined
CustomLog $work/access.log combined
CONF
# The zone is a half-hour one on purpose: a parser that takes only +0000 or whole hours would not notice elsewhere.
TZ='<+0530>-5:30' /usr/sbin/apache2 -f "$work/httpd.conf" -k start
for _ in $(seq 1 50); do
	curl -s -o /dev/null --interface 127.0.0.1 -A 'readiness/1.0' "$base/robots.txt" && break
	sleep 0.1
done

# ------------------------------------------------------------- the clients ---

cat >"$work/visitors.py" <<'PY'
"""Visitors made with python-requests, one session (and loopback address) each."""
import random, sys, threading, time
import requests
from requests.adapters import HTTPAdapter

base, seed = sys.argv[1], int(sys.argv[2])
AGENTS = [
    None,  # what python-requests says of itself
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    'ReadingRoom/2.1 ("kiosk 4"; library.example)',
    "catalogue-bot/0.9 (+https://bot.example/about; [beta])",
    "back\\slash/1.0 C:\\Tools\\get.exe",
    "Bibliothèque/3.2 (données ouvertes)".encode(),
    "tab\there/1.0",
    "",
]
REFERERS = [
    None, None, base + "/", base + "/books/",
    "https://search.example/?q=%22harbour+library%22&hl=en",
    "https://social.example/@mara/112233445566#reply",
    'https://forum.example/t/he said "go there"/17',
    "android-app://com.example.reader/",
    "-",
]
QUERIES = ["fog", "salt road", "straße", "日本語", 'the "best" knots', "50% off", "a&b=c", "crash", "",
           "x' OR 1=1--", "<script>alert(1)</script>", "../../etc/passwd", "emoji ⚓", "plus+plus", "tab\there"]

class From(HTTPAdapter):
    def __init__(self, address):
        self.address = address
        super().__init__()
    def init_poolmanager(self, *args, **kw):
        kw["source_address"] = (self.address, 0)
        super().init_poolmanager(*args, **kw)

def visit(number):
    rng = random.Random(seed * 1000 + number)
    s = requests.Session()
    s.mount("http://", From("127.0.%d.%d" % (1 + number % 4, 10 + number)))
    agent = AGENTS[number % len(AGENTS)]
    if agent is not None:
        s.headers["User-Agent"] = agent
    tags = {}
    for _ in range(85):
        try:
            act(rng, s, tags)
        except requests.ConnectionError:
            pass  # the server closed a kept-alive connection first, as after a 413: a browser would try again
        time.sleep(rng.random() * 1.2)

def act(rng, s, tags):
    headers = {}
    ref = rng.choice(REFERERS)
    if ref is not None:
        headers["Referer"] = ref
    kind = rng.randrange(100)
    kw = dict(headers=headers, timeout=10, allow_redirects=rng.random() < 0.5)
    if kind < 40:
        path = "/books/%d.html" % rng.randint(1, 50)  # 49 and 50 do not exist
        if path in tags and rng.random() < 0.6:
            headers["If-None-Match"] = tags[path]
        r = s.get(base + path, **kw)
        tags[path] = r.headers.get("ETag", '""')
    elif kind < 60:
        s.get(base + "/cgi-bin/search", params={"q": rng.choice(QUERIES), "page": rng.randint(1, 9)}, **kw)
    elif kind < 66:
        a = rng.randrange(300000)
        headers["Range"] = "bytes=%d-%d" % (a, a + rng.randrange(5000))
        s.get(base + "/files/atlas.bin", **kw)
    elif kind < 68:
        headers["Range"] = "bytes=900000-"
        s.get(base + "/files/atlas.bin", **kw)
    elif kind < 74:
        s.post(base + "/cgi-bin/loan", data={"book": rng.randint(1, 48)}, **kw)
    elif kind < 77:
        s.request(rng.choice(["PUT", "DELETE", "PATCH", "GET"]), base + "/cgi-bin/loan?book=%d" % rng.randint(1, 48), **kw)
    elif kind < 80:
        s.head(base + rng.choice(["/", "/feed.xml", "/files/atlas.bin", "/nothing"]), **kw)
    elif kind < 82:
        s.options(base + "/books/", **kw)
    elif kind < 85:
        s.get(base + rng.choice(["/old/shelf.html", "/old", "/random", "/books"]), **kw)
    elif kind < 88:
        s.get(base + "/staff/", auth=rng.choice([None, ("mara", "tide"), ("mara", "ebb"), ("anna maria", "tide"),
                                                 ("nobody", "x"), ('q"uote', "x")]), **kw)
    elif kind < 90:
        s.get(base + rng.choice(["/private/", "/private/keys.txt"]), **kw)
    elif kind < 92:
        s.get(base + rng.choice(["/gone", "/maintenance", "/wp-login.php", "/.env", "/admin/config.php?x[]=1&x[]=2"]), **kw)
    elif kind < 93:
        s.post(base + "/cgi-bin/loan", data=b"x" * 70000, **kw)  # over LimitRequestBody
    elif kind < 94:
        s.request(rng.choice(["PROPFIND", "TRACE", "BREW", "LOCK"]), base + "/books/", **kw)
    else:
        s.get(base + rng.choice(["/books/straße.html", "/books/日本語.html", "/books/où est le port.html",
                                 "/books/50%25%20off%20&%20more.html", '/books/said "aye".html', "/books/%ff%fe.html",
                                 "/books/a%00b.html", "/books/%2e%2e/%2e%2e/etc/passwd", "/~mara/", "/books/7.html;v=1?a=b?c=d"]), **kw)

threads = [threading.Thread(target=visit, args=(n,)) for n in range(44)]
for t in threads:
    t.start()
for t in threads:
    t.join()
PY

cat >"$work/rude.py" <<'PY'
"""Raw TCP: what scanners, broken clients and half-open connections send."""
import socket, sys, time

port = int(sys.argv[1])
LINES = [
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: library.example\r\n\r\n",
    b"GET / HTTX/1.1\r\nHost: library.example\r\n\r\n",
    b"GET /two words HTTP/1.1\r\nHost: library.example\r\n\r\n",
    b"G\xc3\x8bT / HTTP/1.1\r\nHost: library.example\r\n\r\n",
    b"get /lower HTTP/1.1\r\nHost: library.example\r\n\r\n",
    b"GET /no-host HTTP/1.1\r\n\r\n",
    b"GET /old-protocol HTTP/1.0\r\n\r\n",
    b"GET /index.html\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: library.example\r\n\r\n",
    b"GET http://other.example:8080/x?y=z HTTP/1.1\r\nHost: other.example\r\n\r\n",
    b"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n",
    b'GET /"quoted"?a="b"&c=\\d HTTP/1.1\r\nHost: library.example\r\n\r\n',
    b"GET /raw-\xc3\xbc-\xff HTTP/1.1\r\nHost: library.example\r\n\r\n",
    b"GET /agent HTTP/1.1\r\nHost: library.example\r\nUser-Agent: \"\"\\\"\"\r\n\r\n",
    b"GET /agent HTTP/1.1\r\nHost: library.example\r\nUser-Agent: \xe8\xb0\xb7 \xff\xfe\r\nReferer: \"\r\n\r\n",
    b"GET /folded HTTP/1.1\r\nHost: library.example\r\nUser-Agent: one\r\n two\r\n\r\n",
    b"GET /bad-header HTTP/1.1\r\nHost: library.example\r\nno colon here\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(32)) + b"\r\n\r\n",
    b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00",
    b"\x00\x01\x02\x7f\x80\xff\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n",
    b"\r\n\r\n",
    b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: library.example\r\n\r\n",
    b"GET /" + b"b" * 9000 + b" HTTP/1.1\r\nHost: library.example\r\n\r\n",
    b"POST /cgi-bin/loan HTTP/1.1\r\nHost: library.example\r\nContent-Length: -5\r\n\r\n",
    b"GET /half-a-req",  # and then silence: 408
    b"",                 # a connection that says nothing
]
for turn in range(3):
    for i, line in enumerate(LINES):
        s = socket.create_connection(("127.0.0.1", port), timeout=6, source_address=("127.66.%d.%d" % (turn, i + 1), 0))
        try:
            s.sendall(line)
            if i < len(LINES) - 2:
                s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        except OSError:
            pass
        s.close()
        time.sleep(0.25)
PY

/usr/bin/python3 "$work/visitors.py" "$base" "$seed" &
clients="$!"
/usr/bin/python3 "$work/rude.py" "$port" &
clients="$clients $!"

( # Mirrors by wget, each from its own address; two honour conditional requests on a second pass.
	for n in 1 2 3 4 5; do
		dir=$work/mirror$n
		mkdir "$dir"
		for _ in 1 2; do
			wget -q -P "$dir" --bind-address=127.0.7.$n --mirror --page-requisites --wait=0.1 --random-wait \
				--user-agent="$([ $n -gt 3 ] && echo "Wget mirror \"nightly\" $n" || wget --version | sed -n '1s/GNU Wget \([0-9.]*\).*/Wget\/\1/p')" \
				"$base/" || true
			[ "$n" -le 2 ] || break
		done
	done
) &
clients="$clients $!"

( # curl: conditional requests, ranges, uploads, HTTP/1.0 and HTTP/2.
	c() { curl -s --interface 127.0.9.$((n % 20 + 1)) "$@" >/dev/null || true; }
	for n in $(seq 1 60); do
		c "$base/" "$base/style.css" "$base/img/logo.svg" "$base/favicon.ico"
		c -e "$base/" -z "$(date -u '+%a, %d %b %Y %H:%M:%S GMT')" "$base/about.html"
		c -r "$((n * 100))-$((n * 150))" "$base/files/atlas.bin"
		c -r 0-9,100-109 "$base/files/atlas.bin"
		c -r 999999- "$base/files/atlas.bin"
		c -I -A "uptime \"check\" $n" "$base/feed.xml"
		c -d "book=$n&name=Zo%C3%AB" -L "$base/cgi-bin/loan"
		c -T "$site/style.css" "$base/files/upload.css"
		c -X DELETE "$base/cgi-bin/loan?book=$n"
		c -0 "$base/robots.txt"
		c --http2-prior-knowledge "$base/books/$n.html" "$base/img/cover-$((n % 6)).svg"
		c -G --data-urlencode "q=knots & ropes ünter \"$n\"" "$base/cgi-bin/search"
		c "$base/cgi-bin/search?q=crash$n"
		c --path-as-is "$base/../../etc/passwd"
		c -u "mara:tide" "$base/staff/"
		c -H 'User-Agent:' -e 'https://search.example/?q=fog&page=2' "$base/books/3.html"
		sleep 0.3
	done
) &
clients="$clients $!"

( # A feed reader polling, a text browser, a load test, and a real browser.
	for n in 1 2 3 4 5 6; do
		lynx -dump -useragent="Lynx/2.9.0 (text; \"no pictures\")" "$base/books/" >/dev/null || true
		lynx -dump "$base/books/$n.html" >/dev/null || true
		lynx -head -dump "$base/about.html" >/dev/null || true
	done
	ab -q -n 400 -c 4 -B 127.0.11.1 "$base/books/12.html" >/dev/null 2>&1 || true
	ab -q -k -n 300 -c 2 -B 127.0.11.2 -H 'Referer: https://bench.example/' "$base/cgi-bin/search?q=load+test&n=%C3%A9" >/dev/null 2>&1 || true
	for page in / /books/ '/tour.html?n=0' '/cgi-bin/search?q=fog' '/tour.html?n=6'; do
		timeout 60 chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
			--disable-background-networking --disable-component-update --disable-sync \
			--user-data-dir="$work/profile" --virtual-time-budget=15000 --dump-dom "$base$page" >/dev/null 2>&1 || true
	done
) &
clients="$clients $!"

for pid in $clients; do
	wait "$pid"
done
sleep 4 # the last half-open connection times out
kill "$(cat "$work/httpd.pid")"
while kill -0 "$(cat "$work/httpd.pid" 2>/dev/null || echo 0x)" 2>/dev/null; do sleep 0.1; done

# --------------------------------------------------------------- the result ---

if grep -vqE '^127\.' "$work/access.log"; then
	echo "make-access-log.sh: a line does not start with a loopback address" >&2
	exit 1
fi
mkdir -p "$(dirname "$out")"
cp "$work/access.log" "$out"
chmod 644 "$out"
echo "$out: $(wc -l <"$out") lines, $(wc -c <"$out") bytes"
echo "status codes:"
grep -oE '" [1-5][0-9][0-9] ' "$out" | sort | uniq -c
