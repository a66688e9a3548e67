# Most targets need only Go, git, make and bash. Their comments say what else they need.

# With libusb and a C compiler, the Edge TPU driver uses libusb, otherwise the kernel's usbfs. The tag decides, because a
# plain "go build" must not need libusb. make runs the script once, and only if a target needs the answer.
LIBUSB = $(eval LIBUSB := $(shell ./tools/libusb.sh))$(LIBUSB)
FLAGS := $(GOFLAGS)
export CGO_ENABLED = $(LIBUSB)
export GOFLAGS = $(strip $(FLAGS) $(if $(filter 1,$(CGO_ENABLED)),-tags=libusb))

GO ?= go
FUZZTIME ?= 10m
HOURS ?= 8

.PHONY: help demo test testdata bench fuzz torture build delegate release sign check-tflite bench-peers test-vm test-power ci clean go-is-there

# The demo needs no Edge TPU, so this target installs nothing.
demo: export CGO_ENABLED = 0
demo: go-is-there ## train and classify rendered photos
	./tools/demo.sh

test: go-is-there ## run all tests
	$(GO) test -timeout 30m ./...

testdata: go-is-there ## download the tests' reference files, 70 MB, into testdata/reference
	CGO_ENABLED=0 $(GO) run ./tools/reference/fetch

bench: go-is-there ## run all benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./...

fuzz: go-is-there ## run every fuzz target for FUZZTIME (10m)
	FUZZTIME=$(FUZZTIME) ./.ci/run fuzz

torture: go-is-there ## run the longest tests for about HOURS (8)
	HOURS=$(HOURS) CGO_ENABLED=0 GOFLAGS=$(FLAGS) ./tools/torture.sh

build: go-is-there ## build the commands into bin/
	$(GO) build -trimpath -o bin/ ./cmd/...

delegate: go-is-there ## build the TensorFlow Lite delegate bin/libimprint_edgetpu.so (needs cc)
	./tools/delegate.sh build bin/libimprint_edgetpu.so

release: go-is-there ## build programs for all platforms, Debian packages and SHA256SUMS into dist/
	./tools/release.sh
	./tools/package.sh

sign: ## sign dist/SHA256SUMS with the secret key MINISIGN_KEY (needs minisign)
	minisign -S -s "$${MINISIGN_KEY:?set it to the file of the secret key}" -m dist/SHA256SUMS -t "imprint $$(./tools/release.sh --version)"

check-tflite: go-is-there ## compare results with the real TensorFlow Lite library and LiteRT (needs npm, cc and python3.11)
	./.ci/run peer

bench-peers: go-is-there ## compare the speed of imprint with TensorFlow Lite and LiteRT and update docs/performance.md (needs npm, cc and python3.11)
	IMPRINT_TFLITEPEER=$$(./tools/tflitepeer/setup.sh) && IMPRINT_LITERT=$$(./tools/tflitepeer/litert.sh) && \
	export IMPRINT_TFLITEPEER IMPRINT_LITERT && \
	$(GO) run ./tools/benchpeers -document docs/performance.md

# The folder of the reference files, found as in package tools/reference. Tests that need a missing file are skipped.
SHARED = $(or $(IMPRINT_REFERENCE),$(IMPRINT_SHARED),$(if $(wildcard ../shared/models),../shared,testdata/reference))
# How often the device is unplugged.
REPLUGS = 1
VM_MODEL = mobilenet_v1_0.25_128_quant
VM_GOLDEN = mobilenet_v1_1.0_224_quant_embedding_extractor
VM_MODELS = $(wildcard $(foreach m,$(VM_MODEL) $(VM_GOLDEN) $(VM_TEMPLATE),$(SHARED)/models/$(m).tflite $(SHARED)/models/$(m)_edgetpu.tflite) \
	$(SHARED)/golden/$(VM_MODEL)/cat.bmp.in)
VM_TEMPLATE = mobilenet_v1_0.5_160_quant
VM_GOLDENS = $(wildcard $(foreach f,cat.bmp hot_dog.jpg,$(SHARED)/golden/$(VM_GOLDEN)/$(f).in $(SHARED)/golden/$(VM_GOLDEN)/$(f).tpu))

test-vm: go-is-there ## test the Edge TPU driver, cameras and buttons on a real kernel in a VM (needs cc, libusb, qemu, busybox, apt)
	set -e; gate=$$(mktemp -d); trap 'rm -rf "$$gate"' EXIT; \
	$(if $(VM_MODELS),mkdir "$$gate/models"; cp $(VM_MODELS) "$$gate/models/";) \
	$(if $(VM_GOLDENS),mkdir "$$gate/models/$(VM_GOLDEN)"; cp $(VM_GOLDENS) "$$gate/models/$(VM_GOLDEN)/";) \
	for l in cat dog hotdog; do for p in $(SHARED)/images/$${l}_t*_[01].bmp; do \
		if [ -e "$$p" ]; then mkdir -p "$$gate/models/images/$$l"; cp "$$p" "$$gate/models/images/$$l/"; fi; done; done; \
	for l in $(wildcard $(SHARED)/datasets/clothing/*); do mkdir -p "$$gate/models/clothing/$${l##*/}"; \
		ls "$$l" | head -n 6 | while read -r p; do cp "$$l/$$p" "$$gate/models/clothing/$${l##*/}/"; done; done; \
	CGO_ENABLED=1 $(GO) test -tags libusb -c -o "$$gate/libusb.test" ./tpu/emulator; \
	export CGO_ENABLED=0; $(GO) test -c -o "$$gate/usbfs.test" ./tpu/emulator; \
	$(GO) test -c -o "$$gate/car.test" ./imprint/serve; $(GO) build -o "$$gate" ./cmd/imprint ./cmd/edgetpu-emulator; \
	$(GO) run ./tools/vm -timeout 20m "$$gate" env IMPRINT_VM=1 sh -c \
		'libusb.test -test.run "^TestVM$$" -test.v -test.short && usbfs.test -test.run "^TestVM$$" -test.v -replugs $(REPLUGS) && \
		car.test -test.run "^TestVMCar$$" -test.v'

# How often the power of each file system is cut, and the programs that make and repair file systems. The test names a
# file system without its program as not run.
CUTS ?= 20
POWER_TIMEOUT ?= 20m
POWER_TOOLS = mkfs.fat fsck.fat mkfs.exfat mke2fs mkfs.btrfs

test-power: go-is-there ## cut the power of disks in a VM, CUTS times on each file system (needs qemu, busybox, apt, mkfs)
	set -e; gate=$$(mktemp -d); trap 'rm -rf "$$gate"' EXIT; export CGO_ENABLED=0; \
	for p in $(POWER_TOOLS); do f=$$(PATH=$$PATH:/usr/sbin:/sbin; command -v $$p) && cp -L "$$f" "$$gate/$$p" || true; done; \
	$(GO) test -c -o "$$gate/power.test" ./imprint; \
	$(GO) run ./tools/vm -modules disk -timeout $(POWER_TIMEOUT) "$$gate" env IMPRINT_VM=1 \
		power.test -test.run '^TestVMPower$$' -test.v -test.timeout 0 -cuts $(CUTS)

ci: go-is-there ## run all checks that a change must pass
	./.ci/run

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 14

clean: ## remove bin and dist
	rm -rf bin dist

# Go 1.21 and newer download the version that go.mod asks for. Older versions cannot read go.mod and fail with an
# unclear error. The version is checked in / because an old Go rejects our go.mod.
go-is-there:
	@command -v $(GO) >/dev/null || { echo "Go is not installed. Version 1.21 or newer is needed: https://go.dev/dl/" >&2; exit 1; }
	@case "$$(cd / && GOTOOLCHAIN=local $(GO) env GOVERSION)" in \
	go1.?|go1.?.*|go1.1[0-9]*|go1.20*) \
		echo "$$(cd / && $(GO) version) is too old. Version 1.21 or newer is needed: https://go.dev/dl/" >&2; exit 1 ;; \
	esac
