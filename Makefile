# imprint. Everything here but "ci", "check-tflite" and "bench-peers" needs only Go, git and make (and bash, for "fuzz").

# No C compiler is needed, and none must slip in: the programs run on any Linux of their architecture.
export CGO_ENABLED = 0

GO ?= go
FUZZTIME ?= 10m

.PHONY: demo test bench fuzz build check-tflite bench-peers ci clean go-is-there

demo: go-is-there ## teach and recognise the sample photos
	./tools/demo.sh

test: go-is-there ## all tests
	$(GO) test ./...

bench: go-is-there ## all benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./...

fuzz: go-is-there ## every fuzz target, FUZZTIME=10m each
	FUZZTIME=$(FUZZTIME) ./.ci/run fuzz

build: go-is-there ## the commands, into bin/
	$(GO) build -trimpath -o bin/ ./cmd/...

check-tflite: go-is-there ## compare with the real TensorFlow Lite library (needs npm and cc)
	./.ci/run peer

bench-peers: go-is-there ## time the real TensorFlow Lite library and ours in turn, into docs/performance.md (needs npm and cc)
	IMPRINT_TFLITEPEER=$$(./tools/tflitepeer/setup.sh) && export IMPRINT_TFLITEPEER && \
	$(GO) run ./tools/benchpeers -document docs/performance.md

ci: go-is-there ## all of what a change must pass
	./.ci/run

clean:
	rm -rf bin

# Go from 1.21 on fetches the version that go.mod asks for by itself; an older one stops at a line of go.mod that it
# cannot read. Asked in the root folder, where no go.mod is in the way of the answer.
go-is-there:
	@command -v $(GO) >/dev/null || { echo "Go is not installed; version 1.21 or newer is needed: https://go.dev/dl/" >&2; exit 1; }
	@case "$$(cd / && GOTOOLCHAIN=local $(GO) env GOVERSION)" in \
	go1.?|go1.?.*|go1.1[0-9]*|go1.20*) \
		echo "$$(cd / && $(GO) version) is too old; version 1.21 or newer is needed: https://go.dev/dl/" >&2; exit 1 ;; \
	esac
