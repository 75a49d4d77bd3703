package main

import (
	"slices"
	"time"
)

// calls are the calls that ended with one code: how many, and quantiles of their latency in seconds.
type calls struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Most  float64 `json:"most"`
}

// bin is a tenth of a second: calls that began in it, those answered right, and the median latency of these.
type bin struct {
	Calls int     `json:"calls"`
	Right int     `json:"right"`
	P50   float64 `json:"p50"`
}

const binWidth = 100 * time.Millisecond

// summarize tells of the calls of a phase of that length.
func summarize(records []record, length time.Duration) outcome {
	told := outcome{Seconds: length.Seconds(), Calls: map[string]calls{}}
	latencies := map[string][]time.Duration{}
	var late []time.Duration
	for _, each := range records {
		latencies[each.code] = append(latencies[each.code], each.latency)
		late = append(late, each.late)
		if each.wrong {
			told.Wrong++
		} else if each.code == "OK" && each.start+each.latency <= length {
			told.Right++
		}
	}
	for code, values := range latencies {
		slices.Sort(values)
		told.Calls[code] = calls{
			Count: len(values),
			P50:   quantile(values, 0.5),
			P90:   quantile(values, 0.9),
			P99:   quantile(values, 0.99),
			Most:  quantile(values, 1),
		}
	}
	slices.Sort(late)
	told.Lateness = quantile(late, 0.99)
	told.Bins = fillBins(records, length)
	return told
}

// fillBins tells of each tenth of a second; what began just after the end belongs to the last.
func fillBins(records []record, length time.Duration) []bin {
	bins := make([]bin, max(int((length+binWidth-1)/binWidth), 1))
	right := make([][]time.Duration, len(bins))
	for _, each := range records {
		at := min(int(each.start/binWidth), len(bins)-1)
		bins[at].Calls++
		if each.code == "OK" && !each.wrong {
			right[at] = append(right[at], each.latency)
		}
	}
	for at, values := range right {
		slices.Sort(values)
		bins[at].Right, bins[at].P50 = len(values), quantile(values, 0.5)
	}
	return bins
}

// quantile is the smallest of the sorted values that at least that share of them does not exceed.
func quantile(sorted []time.Duration, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)].Seconds()
}
