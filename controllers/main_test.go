package controllers_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/kubewright/kubewright/pkg/testenv"
)

// env is the one API server of this package's tests; each test has a namespace of its own.
var env *testenv.Env

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == fetchArgument {
		os.Exit(serveFetch())
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctrl.SetLogger(logr.Discard())
	var err error
	if env, err = testenv.Start(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "start an API server for the tests:", err)
		return 1
	}
	code := m.Run()
	if err := env.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the tests' API server:", err)
		return 1
	}
	return code
}
