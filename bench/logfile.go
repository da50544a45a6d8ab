package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
)

// writeLog writes n lines of nested JSON of about 400 bytes, as services log
// them: ten keys at the top, two objects, a list, random identifiers. The same
// n gives the same bytes.
func writeLog(name string, n int) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	rng := rand.New(rand.NewPCG(3, 3))
	pick := func(s ...string) string { return s[rng.IntN(len(s))] }
	for i := range n {
		fmt.Fprintf(w, `{"ts":"2026-08-01T%02d:%02d:%02d.%03dZ","level":%q,"service":%q,"message":"order %d %s after %d attempts",`,
			i/3600%24, i/60%60, i%60, rng.IntN(1000), pick("info", "info", "info", "warn", "error"),
			pick("checkout", "catalog", "search", "payment", "mail"), rng.IntN(1e6), pick("accepted", "rejected", "queued"), rng.IntN(5))
		fmt.Fprintf(w, `"user":{"id":%d,"country":%q,"premium":%t,"session":"%016x"},`,
			rng.IntN(1e6), pick("DE", "FR", "US", "JP", "BR"), rng.IntN(4) == 0, rng.Uint64())
		fmt.Fprintf(w, `"http":{"method":%q,"path":"/api/v1/%s/%d","status":%d,"bytes":%d},"tags":[%q,%q],`,
			pick("GET", "POST", "PUT"), pick("orders", "items", "users"), rng.IntN(1e5),
			[]int{200, 200, 200, 201, 404, 500}[rng.IntN(6)], rng.IntN(50000), pick("web", "mobile", "batch"), pick("blue", "green"))
		fmt.Fprintf(w, `"duration_ms":%d.%03d,"retries":%d,"trace_id":"%016x%016x"}`+"\n",
			rng.IntN(900), rng.IntN(1000), rng.IntN(3), rng.Uint64(), rng.Uint64())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// logColumns are the columns of writeLog's lines, for a declared schema.
var logColumns = [][2]string{
	{"ts", "timestamp"},
	{"level", "string"},
	{"service", "string"},
	{"message", "string"},
	{"user", "struct<id:bigint,country:string,premium:boolean,session:string>"},
	{"http", "struct<method:string,path:string,status:int,bytes:bigint>"},
	{"tags", "array<string>"},
	{"duration_ms", "double"},
	{"retries", "int"},
	{"trace_id", "string"},
}
