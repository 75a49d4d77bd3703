// Gitops-judge answers what GitOps tools make of an object: Argo CD by its Lua, Flux and Helm by kstatus and CEL.
//
// The unit tests start it once and send it one JSON document a line; it answers each with one line. It runs the
// interpreters that those tools embed, and touches nothing outside itself.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// request is one question: a verb, and what the verb needs.
type request struct {
	Verb        string          `json:"verb"`
	Script      string          `json:"script"`
	Expressions expressions     `json:"expressions"`
	Object      json.RawMessage `json:"object"`
}

// answer holds a result, or why there is none.
type answer struct {
	Result any    `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
}

const longestLine = 16 << 20

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, longestLine)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		if err := answers.Encode(respond(lines.Bytes())); err != nil {
			fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		fatal(err)
	}
}

func respond(line []byte) answer {
	result, err := judge(line)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Result: result}
}

func judge(line []byte) (any, error) {
	var asked request
	if err := json.Unmarshal(line, &asked); err != nil {
		return nil, err
	}
	// As the tools decode objects: whole numbers become int64.
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(asked.Object); err != nil {
		return nil, err
	}
	switch asked.Verb {
	case "lua":
		return runLua(asked.Script, object.Object)
	case "kstatus":
		return computeStatus(object)
	case "cel":
		return evaluateHealth(asked.Expressions, object)
	}
	return nil, fmt.Errorf("no verb %q; one of lua, kstatus, cel", asked.Verb)
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "gitops-judge:", err)
	os.Exit(1)
}
