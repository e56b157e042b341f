// Command loadgen sends prepared bytes to a server and prints what it measured as JSON.
//
// ghz renders each message from a template, and cannot bound the calls in flight of a stream. loadgen sends the same
// bytes again and only replaces the key in them, so that little of the machine goes to the load.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"time"
)

type options struct {
	address     string
	method      string
	callers     int
	connections int
	seconds     float64
	expect      string
	body        *body
}

// A sender sends calls until the deadline and returns what it measured.
type sender func(options, time.Time) (*tally, error)

var senders = map[string]sender{"unary": unary, "stream": stream, "http": post}

func main() {
	var given options
	var kind, file string
	flag.StringVar(&kind, "kind", "unary", "unary (gRPC), stream (gRPC, both directions) or http (POST)")
	flag.StringVar(&given.address, "address", "", "host:port, or the URL for http")
	flag.StringVar(&given.method, "method", "", "gRPC method, such as /package.Service/Method")
	flag.IntVar(&given.callers, "callers", 1, "calls in flight")
	flag.IntVar(&given.connections, "connections", 1, "connections of unary calls")
	flag.Float64Var(&given.seconds, "seconds", 3, "how long to send; calls in flight are awaited")
	flag.StringVar(&given.expect, "expect", "", "text that each answer must contain")
	flag.StringVar(&file, "body", "", "file with the bytes of one request")
	flag.Parse()
	if err := run(kind, file, given); err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
}

func run(kind, file string, given options) error {
	send, known := senders[kind]
	if !known {
		return fmt.Errorf("-kind %q: use unary, stream or http", kind)
	}
	template, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	given.body = newBody(template)
	started := time.Now()
	measured, err := send(given, started.Add(time.Duration(given.seconds*float64(time.Second))))
	if err != nil {
		return err
	}
	return report(measured, time.Since(started))
}

func report(measured *tally, took time.Duration) error {
	if len(measured.took) == 0 {
		return fmt.Errorf("no call succeeded: %v", measured.failures)
	}
	sort.Slice(measured.took, func(a, b int) bool { return measured.took[a] < measured.took[b] })
	at := func(share float64) float64 {
		return float64(measured.took[int(share*float64(len(measured.took)-1))]) / 1e6
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"calls":      len(measured.took),
		"per_second": float64(len(measured.took)) / took.Seconds(),
		"p50_ms":     at(0.5),
		"p99_ms":     at(0.99),
		"failures":   measured.failures,
	})
}
