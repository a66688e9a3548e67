#!/usr/bin/env bash
# Builds or tests the shared library in integrations/delegate, a TensorFlow Lite delegate with the C interface imprint.h, and
# tests the Python package in integrations/python, which contains it. All need Go and a C compiler.
#
#   tools/delegate.sh build FILE   builds the shared library
#   tools/delegate.sh test         tests the C interface, then runs models on an emulated device, with several versions
#                                  of TensorFlow Lite
#
# The tests of the delegate need the reference files, python3.11 and, the first time, npm and pip to download the versions. If
# something is missing, the exit status is 3 and the last line says what. All environment variables of cgo apply to build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
packages=(tflite-runtime==2.14.0 ai-edge-litert==1.0.1 ai-edge-litert==2.3.0)

unavailable() { echo "$*"; exit 3; }
command -v "${CC:-cc}" >/dev/null || unavailable "the delegate needs a C compiler (${CC:-cc})"

# The library exports only its C interface, under the version that libedgetpu has.
build() {
	# Without the tag libusb, which make may set, the library needs nothing but libc.
	CGO_ENABLED=1 go build -tags= -trimpath -buildmode=c-shared -o "$1" \
		-ldflags "-s -w -X main.version=$(./tools/release.sh --version) -extldflags '-Wl,--version-script=$PWD/integrations/delegate/exports.map -Wl,-soname,libimprint_edgetpu.so'" \
		./integrations/delegate
	rm -f "${1%.so}.h" # cgo's header, of functions that the library does not export
}

# Tests the C interface with and without sanitizers, and runs the example.
test_capi() {
	local here=integrations/delegate include=(-I integrations/delegate) folder
	"$scratch/photos" -out "$scratch/capi" -n 6 -seed 1 >/dev/null
	for folder in "$scratch" "$scratch/sanitized"; do
		echo "== imprint.h${folder#"$scratch"}"
		local flags=(-std=gnu11 -O1 -g -Wall -Wextra -Werror "${include[@]}" -pthread)
		[ "$folder" = "$scratch" ] || flags+=($sanitize)
		"${CC:-cc}" "${flags[@]}" -o "$folder/test_capi" $here/test_capi.c -L"$folder" -limprint_edgetpu -Wl,-rpath,"$folder"
		mkdir "$folder/test_capi.d"
		"$folder/test_capi" "$scratch/capi" "$folder/test_capi.d"
	done
	"${CC:-cc}" -std=c11 -Wall -Wextra -Werror "${include[@]}" -o "$scratch/example" $here/example.c -L"$scratch" -limprint_edgetpu -Wl,-rpath,"$scratch"
	"$scratch/example" "$scratch/example.d" arrow="$scratch/capi/arrow" ball="$scratch/capi/ball" "$scratch/capi/ball/01.jpg" | tee "$scratch/example.txt"
	grep -q '01.jpg: ball [0-9]* %$' "$scratch/example.txt"
}

case "${1:-}" in
build) build "${2:?FILE is missing}"; exit ;;
test) ;;
*) echo "usage: tools/delegate.sh build FILE | test" >&2; exit 2 ;;
esac

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
CGO_ENABLED=0 go build -o "$scratch" ./cmd/imprint ./integrations/delegate/testmodel ./tools/photos
build "$scratch/libimprint_edgetpu.so"
sanitize=-fsanitize=address,undefined
CGO_CFLAGS="-O1 -g $sanitize -fno-sanitize-recover=all" CGO_LDFLAGS=$sanitize build "$scratch/sanitized/libimprint_edgetpu.so"
[ "$(nm -D --defined-only "$scratch/libimprint_edgetpu.so" | awk '{ print $3 }' | grep -vcE '^(edgetpu|tflite_plugin|imprint)_|^VER_1.0$')" = 0 ] ||
	{ echo "the library exports more than its interface"; exit 1; }
test_capi

for models in "${IMPRINT_REFERENCE:-${IMPRINT_SHARED:-../shared}}/models" testdata/reference/models; do
	small=$models/mobilenet_v1_0.25_128_quant extractor=$models/mobilenet_v1_1.0_224_quant_embedding_extractor
	[ ! -e "${extractor}_edgetpu.tflite" ] || break
done
[ -e "${extractor}_edgetpu.tflite" ] || unavailable "no reference models: make testdata downloads them"
command -v python3.11 >/dev/null || unavailable "python3.11 is not installed; tflite-runtime needs it"
peer=$(./tools/tflitepeer/setup.sh) || exit # the status is 3 if the C library cannot be downloaded
tensorflow=$(dirname "$peer")/tensorflow
"${CC:-cc}" -std=c11 -O1 -g -Wall -Wextra -Werror $sanitize -I"$tensorflow/include" -o "$scratch/client" integrations/delegate/client.c \
	-L"$tensorflow/lib" -ltensorflowlite_c -Wl,-rpath,"$tensorflow/lib" -pthread -ldl

"$scratch/photos" -out "$scratch/shapes" -n 1 -seed 1 >/dev/null
"$scratch/imprint" add -q --workspace "$scratch/workspace" --layout coral --device cpu \
	--backbone "${extractor}_edgetpu.tflite" --uncompiled "$extractor.tflite" "$scratch/shapes"

# Runs a model with the C library and the given arguments, and compares all outputs with those of imprint.
#
#	c_library COMPILED UNCOMPILED BYTES-OF-INPUT OUTPUTS [ARGUMENT...]
c_library() {
	local compiled=$1 uncompiled=$2 outputs=() n
	head -c "$3" "$extractor.tflite" >"$scratch/input"
	for ((n = 0; n < $4; n++)); do outputs+=(--output "$scratch/want.$n"); done
	"$scratch/imprint" run -q --device cpu --uncompiled "$uncompiled" "$compiled" --input "$scratch/input" "${outputs[@]}"
	shift 4
	"$scratch/client" "$@" "$scratch/sanitized/libimprint_edgetpu.so" "$compiled" emulator="$uncompiled" <"$scratch/input" >"$scratch/got"
	cat "$scratch"/want.* | cmp - "$scratch/got"
	rm "$scratch"/want.*
	echo "all outputs of ${compiled##*/} are equal"
}

echo "== TensorFlow Lite's C library, with AddressSanitizer and UndefinedBehaviorSanitizer"
c_library "${small}_edgetpu.tflite" "$small.tflite" 49152 1
c_library "${small}_edgetpu.tflite" "$small.tflite" 49152 1 -c
c_library "${small}_edgetpu.tflite" "$small.tflite" 49152 1 -t 4 -n 20
c_library "$scratch/workspace/model.tflite" "$extractor.tflite" 150528 1
while read -r name bytes outputs; do
	[ ! -e "$models/${name}_edgetpu.tflite" ] || c_library "$models/${name}_edgetpu.tflite" "$models/$name.tflite" "$bytes" "$outputs"
done <<-END
	mobilenet_v1_0.5_160_quant 76800 1
	mobilenet_v1_1.0_224_quant_embedding_extractor 150528 1
	deeplabv3_mnv2_dm05_pascal_quant 789507 1
	movenet_single_pose_lightning_ptq 110592 1
	detect/ssdlite_v2_1class 270000 4
END

"$scratch/testmodel" "${small}_edgetpu.tflite" "$scratch/twice.tflite"
python3.11 integrations/python/build.py --library "$scratch/libimprint_edgetpu.so" --version "$(./tools/release.sh --version)" --output "$scratch"
for package in "${packages[@]}"; do
	echo "== $package"
	venv=$(./tools/tflitepeer/venv.sh "$package" 2>"$scratch/venv") || unavailable "$(tail -n 1 "$scratch/venv")"
	PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" integrations/delegate/test_delegate.py --library "$scratch/libimprint_edgetpu.so" \
		--imprint "$scratch/imprint" --models "$models" --twice "$scratch/twice.tflite" --written "$scratch/workspace/model.tflite"
	# The package's own tests, on the installed wheel.
	[ -e "$scratch/site" ] || "$venv/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps --target "$scratch/site" "$scratch"/imprintkit-*.whl
	tests=(test_pycoral)
	[ "$package" != "${packages[0]}" ] || tests+=(test_workspace test_client test_build)
	PYTHONPATH=$scratch/site:$PWD/integrations/python/tests PYTHONDONTWRITEBYTECODE=1 IMPRINT_PROGRAM=$scratch/imprint IMPRINT_MODELS=$models \
		"$venv/bin/python" -m unittest "${tests[@]}"
done
