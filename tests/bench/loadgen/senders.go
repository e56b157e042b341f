package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// pause is how long a caller waits after a call that failed, as an overloaded server asks it to.
const pause = 100 * time.Millisecond

// raw is a codec for messages that are bytes already.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }

func (raw) Unmarshal(content []byte, message any) error {
	*message.(*[]byte) = bytes.Clone(content)
	return nil
}

func dial(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient(
		address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})),
	)
}

// each runs `call` again and again from `callers` goroutines until the deadline.
func each(callers int, until time.Time, call func() string) *tally {
	measured := newTally()
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for time.Now().Before(until) {
				started := time.Now()
				failure := call()
				measured.add(time.Since(started), failure)
				if failure != "" {
					time.Sleep(pause)
				}
			}
		})
	}
	running.Wait()
	return measured
}

// unary sends one gRPC call after another from each caller. Callers take turns on the connections.
func unary(given options, until time.Time) (*tally, error) {
	connections := make(chan *grpc.ClientConn, given.callers)
	opened := make([]*grpc.ClientConn, given.connections)
	for number := range opened {
		connection, err := dial(given.address)
		if err != nil {
			return nil, err
		}
		defer connection.Close()
		opened[number] = connection
	}
	for caller := range given.callers {
		connections <- opened[caller%len(opened)]
	}
	return each(given.callers, until, func() string {
		connection := <-connections
		defer func() { connections <- connection }()
		request, _ := given.body.request()
		var answer []byte
		if err := connection.Invoke(context.Background(), given.method, &request, &answer); err != nil {
			return status.Code(err).String()
		}
		return unexpected(answer, given.expect)
	}), nil
}

// post sends one HTTP request after another from each caller, over as many connections as callers.
func post(given options, until time.Time) (*tally, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: given.callers}}
	return each(given.callers, until, func() string {
		request, _ := given.body.request()
		response, err := client.Post(given.address, "application/json", bytes.NewReader(request))
		if err != nil {
			return err.Error()
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err != nil {
			return err.Error()
		}
		if response.StatusCode != http.StatusOK {
			return response.Status
		}
		return unexpected(answer, given.expect)
	}), nil
}
