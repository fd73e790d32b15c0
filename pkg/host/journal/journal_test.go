package journal_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/host/journal"
	"github.com/kubewright/kubewright/pkg/host/sys"
)

func TestAJournalIsBoundedAndKeepsTheNewest(t *testing.T) {
	s := &sys.System{Root: t.TempDir(), Now: time.Now}
	j := journal.New(s)
	message := strings.Repeat("x", 4000)
	const n = 1500
	for i := range n {
		if err := j.Append("op", api.JournalEntry{Event: "changed", Resource: fmt.Sprint(i), Message: message}); err != nil {
			t.Fatal(err)
		}
	}
	ops, err := j.Operations()
	if err != nil || len(ops) != 1 {
		t.Fatalf("%+v, %v", ops, err)
	}
	if ops[0].Bytes > 3<<20 {
		t.Errorf("the journal has %d bytes", ops[0].Bytes)
	}
	entries, err := j.Read("op", 2)
	if err != nil || len(entries) != 2 || entries[1].Resource != fmt.Sprint(n-1) {
		t.Errorf("the last entries are %+v, %v", entries, err)
	}
	if all, err := j.Read("op", 0); err != nil || len(all) < 100 {
		t.Errorf("%d entries are kept, %v", len(all), err)
	}
}

func TestOnlyTheNewestOperationsKeepTheirJournal(t *testing.T) {
	clock := time.Now().Add(-time.Hour)
	s := &sys.System{Root: t.TempDir(), Now: func() time.Time { return clock }}
	j := journal.New(s)
	for i := range 60 {
		name := fmt.Sprintf("op-%02d", i)
		if err := j.Append(name, api.JournalEntry{Event: "lease"}); err != nil {
			t.Fatal(err)
		}
		clock = clock.Add(time.Second)
		if err := os.Chtimes(s.State("journal", name+".jsonl"), clock, clock); err != nil {
			t.Fatal(err)
		}
	}
	ops, err := j.Operations()
	if err != nil || len(ops) != 50 || ops[0].Operation != "op-59" || ops[49].Operation != "op-10" {
		t.Errorf("%d operations, from %s to %s, %v", len(ops), ops[0].Operation, ops[len(ops)-1].Operation, err)
	}
}

func TestALineThatACrashCutOffIsSkipped(t *testing.T) {
	s := &sys.System{Root: t.TempDir(), Now: time.Now}
	j := journal.New(s)
	if err := j.Append("op", api.JournalEntry{Event: "one"}); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(s.State("journal", "op.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"event":"tw` + "\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Append("op", api.JournalEntry{Event: "three"}); err != nil {
		t.Fatal(err)
	}
	if entries, err := j.Read("op", 0); err != nil || len(entries) != 2 || entries[1].Event != "three" {
		t.Errorf("%+v, %v", entries, err)
	}
}

func TestAnOperationCannotNameAFileElsewhere(t *testing.T) {
	j := journal.New(&sys.System{Root: t.TempDir(), Now: time.Now})
	var invalid *api.InvalidError
	if err := j.Append("../ledger", api.JournalEntry{}); !errors.As(err, &invalid) {
		t.Errorf("append: %v", err)
	}
	if _, err := j.Read("../../etc/passwd", 0); !errors.As(err, &invalid) {
		t.Errorf("read: %v", err)
	}
}
