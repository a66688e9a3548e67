#!/usr/bin/env bash
# Teaches three classes from real photos, classifies photos that were not taught, forgets a class, takes that back and
# exports the model, and shows each command and what it prints. The photos are Coral's imprinting test photos and the
# model is Coral's MobileNet v1; both are looked for in ../shared (or $IMPRINT_SHARED). Without the model there it is
# pulled; photos of your own can be given as a folder of folders: tools/demo.sh PHOTOS.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
shared=${IMPRINT_SHARED:-../shared}
model=mobilenet_v1_1.0_224_quant_embedding_extractor
photos=${1:-}
if [ -z "$photos" ] && [ ! -d "$shared/images" ]; then
	echo "demo: there are no photos in $shared/images; give a folder that holds one folder of photos for each label:" >&2
	echo "demo: tools/demo.sh PHOTOS" >&2
	exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
CGO_ENABLED=0 go build -trimpath -o "$work/imprint" ./cmd/imprint
PATH=$work:$PATH
export IMPRINT_WORKSPACE=$work/workspace
show() {
	printf '\n$ %s\n' "$*" | sed "s|$work/||g; s|$shared/||g"
	"$@" | sed "s|$work/||g; s|$shared/||g"
}

if [ -f "$shared/models/$model.tflite" ]; then
	export IMPRINT_BACKBONE=$shared/models/$model.tflite
else
	show imprint models pull "$model"
	export IMPRINT_BACKBONE=$model
fi

if [ -n "$photos" ]; then
	show imprint add "$photos"
	show imprint eval
	show imprint classify "$photos"
	exit
fi
i=$shared/images
show imprint add --label cat "$i/cat_train_0.bmp"
show imprint add --label "hot dog" "$i/hotdog_train_0.bmp" "$i/hotdog_train_1.bmp"
show imprint add --label dog "$i/dog_train_0.bmp"
show imprint classify --top 3 "$i/cat_test_0.bmp" "$i/hotdog_test_0.bmp" "$i/dog_test_0.bmp"
show imprint list
before=$(sha256sum <"$IMPRINT_WORKSPACE/model.tflite")
show imprint remove --label dog
show imprint undo
[ "$before" = "$(sha256sum <"$IMPRINT_WORKSPACE/model.tflite")" ] || { echo "demo: undo gave another model" >&2; exit 1; }
printf '\nthe model is byte for byte what it was: SHA-256 %s\n' "${before%% *}"
show imprint export --layout coral -o "$work/coral.tflite"
show imprint classify --model "$work/coral.tflite" "$i/cat_test_0.bmp" "$i/hotdog_test_0.bmp" "$i/dog_test_0.bmp"
if [ -d "$shared/embeddings/flowers17" ]; then
	show imprint eval --embeddings "$shared/embeddings/flowers17"
fi
