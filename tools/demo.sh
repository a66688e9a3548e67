#!/usr/bin/env bash
# Shows what imprint does: it trains four classes on rendered photos, classifies other photos, removes a class, undoes
# the removal, and exports the model. It prints each command and its output. It needs no network and no other files.
#
#	tools/demo.sh           the demo
#	tools/demo.sh PHOTOS    train and evaluate on your photos, PHOTOS/<label>/…
#
# IMPRINT_BACKBONE selects another backbone.
set -euo pipefail
unset CDPATH # if it is set, cd may print the new folder
photos=${1:+$(cd "$1" && pwd)}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -trimpath -o "$work/imprint" ./cmd/imprint
PATH=$work:$PATH
export IMPRINT_WORKSPACE=$work/workspace
show() {
	printf '\n$' && printf ' %q' "$@" | sed "s|$work/||g" && echo
	"$@" | sed "s|$work/||g"
}

if [ -n "$photos" ]; then
	show imprint add "$photos"
	show imprint eval
	show imprint classify "$photos"
	exit
fi

photos=$work/photos
go run ./tools/photos -out "$photos" -n 25 -seed 1
classes=(arrow ball box cone)
for class in "${classes[@]}"; do
	show imprint add --label "$class" "$photos/$class"/[01]*.jpg
done
show imprint classify "$photos"/*/2*.jpg | tee "$work/results"
correct=0
for class in "${classes[@]}"; do
	correct=$((correct + $(grep -c "^photos/$class/[0-9]*.jpg: $class " "$work/results" || true)))
done
printf '\n%d of %d new photos are classified correctly\n' "$correct" "$(grep -c '^photos/' "$work/results")"

before=$(sha256sum <"$IMPRINT_WORKSPACE/model.tflite")
show imprint remove --label ball
show imprint classify "$photos/ball/20.jpg"
show imprint undo
[ "$before" = "$(sha256sum <"$IMPRINT_WORKSPACE/model.tflite")" ] || { echo "demo: undo did not restore the model" >&2; exit 1; }
printf '\nundo restored the same model: SHA-256 %s\n' "${before%% *}"
show imprint export -o "$work/trained.tflite"
show imprint classify --model "$work/trained.tflite" "$photos/cone/20.jpg"
show imprint list
