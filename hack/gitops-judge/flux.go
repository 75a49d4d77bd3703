package main

import (
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/ext"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// expressions are an entry of a Kustomization's healthCheckExprs.
type expressions struct {
	InProgress string `json:"inProgress"`
	Failed     string `json:"failed"`
	Current    string `json:"current"`
}

// computeStatus returns what kstatus says: what Flux without expressions, Helm and others wait for.
func computeStatus(object *unstructured.Unstructured) (status.Status, error) {
	result, err := status.Compute(object)
	if err != nil {
		return "", err
	}
	return result.Status, nil
}

// evaluateHealth returns what Flux makes of an object by expressions: a generation that is not observed is in progress,
// then the first that is true of inProgress, failed and current decides (Flux RFC 0009).
func evaluateHealth(exprs expressions, object *unstructured.Unstructured) (status.Status, error) {
	content := object.UnstructuredContent()
	observed, found, err := unstructured.NestedInt64(content, "status", "observedGeneration")
	if err == nil && found && observed != object.GetGeneration() {
		return status.InProgressStatus, nil
	}
	for _, each := range []struct {
		expression string
		status     status.Status
	}{
		{exprs.InProgress, status.InProgressStatus},
		{exprs.Failed, status.FailedStatus},
		{exprs.Current, status.CurrentStatus},
	} {
		if each.expression == "" {
			continue
		}
		holds, err := evaluate(each.expression, content)
		if err != nil {
			return "", fmt.Errorf("%s: %w", each.expression, err)
		}
		if holds {
			return each.status, nil
		}
	}
	return status.InProgressStatus, nil
}

// evaluate returns whether an expression holds, in the environment that Flux gives its expressions.
func evaluate(expression string, variables map[string]any) (bool, error) {
	environment, err := cel.NewEnv(
		cel.HomogeneousAggregateLiterals(),
		cel.EagerlyValidateDeclarations(true),
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		cel.OptionalTypes(),
		ext.Strings(),
		ext.Sets(),
		ext.Encoders(),
	)
	if err != nil {
		return false, err
	}
	parsed, issues := environment.Parse(expression)
	if issues != nil {
		return false, issues.Err()
	}
	program, err := environment.Program(parsed)
	if err != nil {
		return false, err
	}
	value, _, err := program.Eval(variables)
	if err != nil {
		return false, err
	}
	holds, ok := value.(types.Bool)
	if !ok {
		return false, fmt.Errorf("it gives a %s, not a bool", value.Type())
	}
	return bool(holds), nil
}
