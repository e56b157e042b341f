package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
)

// togetherMax bounds the requests of one message.
const togetherMax = 256

// flight holds when the calls in flight of one stream were sent.
type flight struct {
	mutex sync.Mutex
	sent  map[string]time.Time
}

func (f *flight) depart(id string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.sent[id] = time.Now()
}

// arrive returns how long the call took, and whether it was in flight.
func (f *flight) arrive(id string) (time.Duration, bool) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	sent, found := f.sent[id]
	delete(f.sent, id)
	return time.Since(sent), found
}

// stream keeps `callers` calls in flight on one stream. Requests and answers are the entries of field 1 of a message.
// The first key of a request is its id, which is field 1 of its answer. Requests that are ready together go in one
// message.
func stream(given options, until time.Time) (*tally, error) {
	connection, err := dial(given.address)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	both := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	opened, err := connection.NewStream(context.Background(), both, given.method)
	if err != nil {
		return nil, err
	}
	measured, inFlight := newTally(), &flight{sent: map[string]time.Time{}}
	room := make(chan struct{}, given.callers)
	ended := make(chan error, 1)
	go func() {
		ended <- receive(opened, inFlight, measured, room, given.expect)
	}()
	for time.Now().Before(until) {
		select {
		case room <- struct{}{}:
		case err := <-ended:
			return nil, fmt.Errorf("the stream ended early: %w", err)
		}
		message := ready(given.body, inFlight, room)
		if err := opened.SendMsg(&message); err != nil {
			return nil, fmt.Errorf("the stream takes no more: %w", <-ended)
		}
	}
	if err := opened.CloseSend(); err != nil {
		return nil, err
	}
	if err := <-ended; err != io.EOF {
		return nil, err
	}
	if left := len(inFlight.sent); left > 0 {
		return nil, fmt.Errorf("%d calls of the stream were not answered", left)
	}
	return measured, nil
}

// ready returns a message with one request, for which there is room, and more while there is room for them.
func ready(body *body, inFlight *flight, room chan<- struct{}) []byte {
	var message []byte
	for together := 1; ; together++ {
		request, id := body.request()
		inFlight.depart(id)
		message = protowire.AppendTag(message, 1, protowire.BytesType)
		message = protowire.AppendBytes(message, request)
		if together == togetherMax {
			return message
		}
		select {
		case room <- struct{}{}:
		default:
			return message
		}
	}
}

// receive counts the answers of a stream until it ends, and returns its error: io.EOF when the server closed it.
func receive(opened grpc.ClientStream, inFlight *flight, measured *tally, room <-chan struct{}, expect string) error {
	for {
		var message []byte
		if err := opened.RecvMsg(&message); err != nil {
			return err
		}
		for len(message) > 0 {
			answer, length := entry(message)
			if length < 0 {
				return fmt.Errorf("a message of the stream has other fields than answers")
			}
			message = message[length:]
			id, _ := entry(answer)
			took, found := inFlight.arrive(string(id))
			failure := unexpected(answer, expect)
			if !found {
				failure = "an answer to no call in flight"
			}
			measured.add(took, failure)
			<-room
		}
	}
}

// entry returns the content of field 1 at the start of a message, and its length there; a negative one without it.
func entry(message []byte) ([]byte, int) {
	number, kind, tag := protowire.ConsumeTag(message)
	if tag < 0 || number != 1 || kind != protowire.BytesType {
		return nil, -1
	}
	content, length := protowire.ConsumeBytes(message[tag:])
	if length < 0 {
		return nil, -1
	}
	return content, tag + length
}
