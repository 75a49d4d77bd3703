package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// record is one call: when it began within its phase, how long it took, how it ended.
type record struct {
	start, latency, late time.Duration
	code                 string
	wrong                bool
}

// load is a set of connections and the messages that go over them in turns.
type load struct {
	connections []*grpc.ClientConn
	messages    []pair
	method      string
	deadline    time.Duration
	random      *rand.Rand
}

// raw takes bytes for messages.
type raw struct{}

func (raw) Marshal(message any) ([]byte, error) { return *message.(*[]byte), nil }

func (raw) Unmarshal(content []byte, message any) error {
	*message.(*[]byte) = content
	return nil
}

func (raw) Name() string { return "proto" }

// shortestNap is what a sleep may miss its end by; nearer moments are not slept for.
const shortestNap = 60 * time.Microsecond

func connect(asked job, messages []pair) (*load, error) {
	made := &load{
		messages: messages,
		method:   asked.Method,
		deadline: time.Duration(asked.Deadline * float64(time.Second)),
		random:   rand.New(rand.NewPCG(asked.Seed, 0)),
	}
	for range asked.Connections {
		connection, err := grpc.NewClient(
			"passthrough:///"+asked.Target,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})),
			grpc.WithDisableServiceConfig(),
		)
		if err != nil {
			return nil, err
		}
		made.connections = append(made.connections, connection)
	}
	// A connection is made by its first call; that is no part of any phase.
	for i := range made.connections {
		if first := made.call(i, time.Now()); first.code != "OK" || first.wrong {
			return nil, fmt.Errorf("the first call over connection %d ended with %s, wrong: %t", i, first.code, first.wrong)
		}
	}
	return made, nil
}

// call makes the call of that number; the phase began at `began`.
func (l *load) call(number int, began time.Time) record {
	ctx, cancel := context.WithTimeout(context.Background(), l.deadline)
	defer cancel()
	message := &l.messages[number%len(l.messages)]
	var answer []byte
	start := time.Now()
	err := l.connections[number%len(l.connections)].Invoke(ctx, l.method, &message.request, &answer)
	told := record{start: start.Sub(began), latency: time.Since(start), code: status.Code(err).String()}
	told.wrong = err == nil && len(message.answer) > 0 && !bytes.Equal(answer, message.answer)
	return told
}

// closed keeps as many calls in flight as asked: each is followed by the next.
func (l *load) closed(began time.Time, asked phase) []record {
	end := began.Add(seconds(asked.Seconds))
	parts := make([][]record, asked.InFlight)
	var running sync.WaitGroup
	for i := range parts {
		running.Go(func() {
			for number := i; time.Now().Before(end); number += asked.InFlight {
				parts[i] = append(parts[i], l.call(number, began))
			}
		})
	}
	running.Wait()
	var records []record
	for _, part := range parts {
		records = append(records, part...)
	}
	return records
}

// open sends at random moments of the asked rate (a Poisson process), whatever became of the calls before.
// What it returns waits for the answers.
func (l *load) open(began time.Time, asked phase) func() []record {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var (
		lock    sync.Mutex
		records []record
		running sync.WaitGroup
	)
	number := 0
	for due := time.Duration(0); due < seconds(asked.Seconds); due += seconds(l.random.ExpFloat64() / asked.Rate) {
		if left := due - time.Since(began); left > shortestNap {
			// The runtime's own timers are only good to a millisecond.
			nap := syscall.NsecToTimespec((left - shortestNap).Nanoseconds())
			_ = syscall.Nanosleep(&nap, nil)
		}
		late := max(time.Since(began)-due, 0)
		this := number
		number++
		running.Go(func() {
			told := l.call(this, began)
			told.late = late
			lock.Lock()
			records = append(records, told)
			lock.Unlock()
		})
	}
	return func() []record {
		running.Wait()
		return records
	}
}

func seconds(value float64) time.Duration { return time.Duration(value * float64(time.Second)) }
