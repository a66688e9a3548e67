#!/usr/bin/env bash
# Teaches four classes from rendered photos, classifies photos that were not taught, forgets a class, takes that back and
# exports the model, and shows each command and what it prints. Needs no network and nothing beside the checkout: the
# backbone is the program's own. For photos of your own: tools/demo.sh PHOTOS, a folder that holds one folder of photos
# for each label; IMPRINT_BACKBONE names another backbone.
set -euo pipefail
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

if [ $# -gt 0 ]; then
	show imprint add "$1"
	show imprint eval
	show imprint classify "$1"
	exit
fi

photos=$work/photos
go run ./tools/photos -out "$photos" -n 25 -seed 1
classes=(arrow ball box cone)
for class in "${classes[@]}"; do
	show imprint add --label "$class" "$photos/$class"/[01]*.jpg
done
show imprint classify "$photos"/*/2*.jpg | tee "$work/answers"
right=0
for class in "${classes[@]}"; do
	right=$((right + $(grep -c "^photos/$class/[0-9]*.jpg: $class " "$work/answers" || true)))
done
printf '\n%d of %d photos that were not taught are recognised\n' "$right" "$(grep -c '^photos/' "$work/answers")"

before=$(sha256sum <"$IMPRINT_WORKSPACE/model.tflite")
show imprint remove --label ball
show imprint classify "$photos/ball/20.jpg"
show imprint undo
[ "$before" = "$(sha256sum <"$IMPRINT_WORKSPACE/model.tflite")" ] || { echo "demo: undo gave another model" >&2; exit 1; }
printf '\nthe model is byte for byte what it was: SHA-256 %s\n' "${before%% *}"
show imprint export -o "$work/taught.tflite"
show imprint classify --model "$work/taught.tflite" "$photos/cone/20.jpg"
show imprint list
