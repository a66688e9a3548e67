#!/usr/bin/env bash
# Teaches classes from photos, classifies photos that were not taught, forgets a class, takes that back and exports the
# model, and shows each command and what it prints. Coral's imprinting test photos and its MobileNet v1 are taken from
# ../shared (or $IMPRINT_SHARED) when they are there. Otherwise the photos are rendered and the model is pulled; without
# a network the backbone in the tree serves, which is much weaker. For photos of your own: tools/demo.sh PHOTOS, a
# folder that holds one folder of photos for each label.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
shared=${IMPRINT_SHARED:-../shared}
model=mobilenet_v1_1.0_224_quant_embedding_extractor
photos=${1:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
CGO_ENABLED=0 go build -trimpath -o "$work/imprint" ./cmd/imprint
PATH=$work:$PATH
export IMPRINT_WORKSPACE=$work/workspace
show() {
	printf '\n$' && printf ' %q' "$@" | sed "s|$work/||g; s|$shared/||g" && echo
	"$@" | sed "s|$work/||g; s|$shared/||g"
}

if [ -f "$shared/models/$model.tflite" ]; then
	export IMPRINT_BACKBONE=$shared/models/$model.tflite
elif show imprint models pull "$model"; then
	export IMPRINT_BACKBONE=$model
else
	export IMPRINT_BACKBONE=backbone/builtin/imprint-mobilenet_v1_0.25_128.tflite
	echo "demo: the model can't be pulled; going on with the weaker $IMPRINT_BACKBONE"
fi

if [ -n "$photos" ]; then
	show imprint add "$photos"
	show imprint eval
	show imprint classify "$photos"
	exit
fi
if [ ! -d "$shared/images" ]; then
	go run ./tools/photos -out "$work/photos" -n 15 -seed 1
	for class in arrow ball box cone; do
		show imprint add --label "$class" "$work/photos/$class"/0*.jpg
	done
	show imprint classify "$work"/photos/*/1*.jpg
	show imprint remove --label ball
	show imprint undo
	show imprint export -o "$work/model.tflite"
	show imprint classify --model "$work/model.tflite" "$work/photos/cone/12.jpg"
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
