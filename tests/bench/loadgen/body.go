package main

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// placeholder marks where each request has a key that no other request has. A key has the same length.
const placeholder = "KEYKEYKEYKEYKEYKEYKEYKEYKEYKEYKE"

// A body makes requests from one template.
type body struct {
	template []byte
	places   []int
	next     atomic.Uint64
	prefix   string
}

func newBody(template []byte) *body {
	made := &body{template: template, prefix: fmt.Sprintf("%08x%08x", uint32(time.Now().UnixNano()), uint32(os.Getpid()))}
	for from := 0; ; {
		found := bytes.Index(template[from:], []byte(placeholder))
		if found < 0 {
			return made
		}
		made.places = append(made.places, from+found)
		from += found + len(placeholder)
	}
}

// request returns the bytes of a new request, and its first key.
func (b *body) request() ([]byte, string) {
	made := bytes.Clone(b.template)
	first := ""
	for _, place := range b.places {
		key := fmt.Sprintf("%s%016x", b.prefix, b.next.Add(1))
		copy(made[place:], key)
		if first == "" {
			first = key
		}
	}
	return made, first
}

// A tally holds what was measured. It may be used by several goroutines.
type tally struct {
	mutex    sync.Mutex
	took     []int64 // nanoseconds of each call that succeeded
	failures map[string]int
}

func newTally() *tally {
	return &tally{failures: map[string]int{}}
}

// add counts one call: `failure` is "" for one that succeeded.
func (t *tally) add(took time.Duration, failure string) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if failure != "" {
		t.failures[failure]++
		return
	}
	t.took = append(t.took, int64(took))
}

// unexpected returns why an answer is wrong, "" for a right one.
func unexpected(answer []byte, expect string) string {
	if bytes.Contains(answer, []byte(expect)) {
		return ""
	}
	return fmt.Sprintf("the answer lacks %q", expect)
}
