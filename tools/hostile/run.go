package hostile

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
)

// These environment variables choose what Run does.
const (
	timeEnv     = "IMPRINT_HOSTILE"          // run a campaign for this long, such as 6h
	dirEnv      = "IMPRINT_HOSTILE_DIR"      // folder of the campaign's results
	caseEnv     = "IMPRINT_HOSTILE_CASE"     // run one case, given in hexadecimal
	partEnv     = "IMPRINT_HOSTILE_PART"     // run a part of a campaign: seed, first case, number of cases
	progressEnv = "IMPRINT_HOSTILE_PROGRESS" // file for the number of the part's current case
)

// Run calls one with n cases, the same in every run; with -short a tenth of them. With IMPRINT_HOSTILE=6h it runs a campaign of six hours instead: it
// runs random cases, some hundred in each process, and keeps one case and the output of each different failure in the
// folder IMPRINT_HOSTILE_DIR. With IMPRINT_HOSTILE_CASE it runs only that case.
func Run(t *testing.T, n int, one func(c *Case)) {
	t.Helper()
	if text := os.Getenv(caseEnv); text != "" {
		content, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		one(newCase(t, content, Deadline, new(worst)))
	} else if text := os.Getenv(partEnv); text != "" {
		part(t, text, one)
	} else if text := os.Getenv(timeEnv); text != "" {
		runCampaign(t, text)
	} else {
		if testing.Short() {
			n = (n + 9) / 10
		}
		for i := range n {
			t.Run(fmt.Sprintf("%x", numbered(1, i)), func(t *testing.T) { one(New(t, numbered(1, i))) })
		}
	}
}

// numbered returns case i of those with a seed.
func numbered(seed uint64, i int) []byte { return random(rand.New(rand.NewPCG(seed, uint64(i)))) }

// worstPrefix is the start of the line with which a part reports its most expensive steps.
const worstPrefix = "hostile: worst "

// part runs a part of a campaign until a case fails. Before each case it writes the case's number to the progress file.
func part(t *testing.T, text string, one func(c *Case)) {
	var seed uint64
	var first, n int
	if _, err := fmt.Sscan(text, &seed, &first, &n); err != nil {
		t.Fatal(err)
	}
	progress, err := os.OpenFile(os.Getenv(progressEnv), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer progress.Close()
	var w worst
	for i := first; i < first+n && !t.Failed(); i++ {
		if _, err := progress.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(i)), 0); err != nil {
			t.Fatal(err)
		}
		one(newCase(t, numbered(seed, i), Deadline, &w))
	}
	report, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\n%s%s\n", worstPrefix, report)
}
