package main

import (
	"encoding/binary"
	"fmt"
	"os"
)

// pair is a request and the only right answer to it; an empty one leaves the answer open.
type pair struct {
	request, answer []byte
}

const lengthBytes = 4

func readPairs(requestsPath, answersPath string) ([]pair, error) {
	requests, err := readMessages(requestsPath)
	if err != nil {
		return nil, err
	}
	answers, err := readMessages(answersPath)
	if err != nil {
		return nil, err
	}
	if len(requests) == 0 || len(requests) != len(answers) {
		return nil, fmt.Errorf("%d requests and %d answers; there must be as many of both", len(requests), len(answers))
	}
	pairs := make([]pair, len(requests))
	for i := range requests {
		pairs[i] = pair{requests[i], answers[i]}
	}
	return pairs, nil
}

func readMessages(path string) ([][]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var messages [][]byte
	for len(content) > 0 {
		if len(content) < lengthBytes {
			return nil, fmt.Errorf("%s ends within a length", path)
		}
		size := int(binary.LittleEndian.Uint32(content))
		content = content[lengthBytes:]
		if len(content) < size {
			return nil, fmt.Errorf("%s ends within a message", path)
		}
		messages = append(messages, content[:size:size])
		content = content[size:]
	}
	return messages, nil
}
