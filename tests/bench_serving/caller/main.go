// Caller sends prepared gRPC messages to one server, in closed or open loop, and tells how it was answered.
//
// The benchmark starts it with one JSON job on standard input; it answers with one JSON document. Messages are bytes:
// nothing is encoded or decoded, so that a call costs the client a small part of what it costs the server.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

// job is what to send, where, and how.
type job struct {
	Target string `json:"target"`
	Method string `json:"method"`
	// Requests and Answers are files of messages, each after its length (4 bytes, little-endian), in the same order.
	Requests    string  `json:"requests"`
	Answers     string  `json:"answers"`
	Connections int     `json:"connections"`
	Deadline    float64 `json:"deadline"`
	Seed        uint64  `json:"seed"`
	Phases      []phase `json:"phases"`
}

// phase is a stretch of one kind of load: closed with so many calls in flight, or open at a rate.
type phase struct {
	Seconds  float64 `json:"seconds"`
	InFlight int     `json:"inFlight"`
	Rate     float64 `json:"rate"`
}

// outcome is what came of a phase. An open loop lasts as long as it was asked to, a closed one until its last answer.
type outcome struct {
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpuSeconds"`
	// Right counts the right answers that came within the phase, Wrong the others with the code OK.
	Right int              `json:"right"`
	Wrong int              `json:"wrong"`
	Calls map[string]calls `json:"calls"`
	// Lateness is how far the open loop fell behind its own schedule: the 99th percentile.
	Lateness float64 `json:"lateness"`
	Bins     []bin   `json:"bins"`
}

func main() {
	// A core of its own gives the runtime one scheduler, which looks at the connections only every 10 ms while it is busy:
	// answers and refusals would seem to take that long. Of two, one waits for them.
	runtime.GOMAXPROCS(2)
	// Hardly anything here outlives its call.
	debug.SetGCPercent(800)
	var asked job
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		fatal(err)
	}
	messages, err := readPairs(asked.Requests, asked.Answers)
	if err != nil {
		fatal(err)
	}
	load, err := connect(asked, messages)
	if err != nil {
		fatal(err)
	}
	endings := make([]func() outcome, 0, len(asked.Phases))
	for _, each := range asked.Phases {
		endings = append(endings, run(load, each))
	}
	outcomes := make([]outcome, 0, len(endings))
	for _, end := range endings {
		outcomes = append(outcomes, end())
	}
	if err := json.NewEncoder(os.Stdout).Encode(outcomes); err != nil {
		fatal(err)
	}
}

// run makes the calls of a phase. Those of an open loop may still be on their way when it returns, so that the next
// phase finds the server as this one left it; what is returned waits for them.
func run(load *load, asked phase) func() outcome {
	before, began := cpuSeconds(), time.Now()
	var records func() []record
	length := seconds(asked.Seconds)
	if asked.Rate > 0 {
		records = load.open(began, asked)
	} else {
		found := load.closed(began, asked)
		records, length = func() []record { return found }, time.Since(began)
	}
	spent := cpuSeconds() - before
	return func() outcome {
		told := summarize(records(), length)
		told.CPUSeconds = spent
		return told
	}
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "caller:", err)
	os.Exit(1)
}
