#!/usr/bin/env bash
# Builds the release in dist/: one static program per platform, and SHA256SUMS. Needs only Go and git.
#
#   tools/release.sh [PLATFORM...]        such as linux/amd64 linux/arm/7; all by default
#   tools/release.sh --version            prints the version
#
# The same commit and Go version produce the same bytes in any folder: nothing depends on paths, times or the
# environment. VERSION overrides the version, which otherwise comes from the git tag.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=${VERSION:-$(git describe --tags --match 'v*' --always --dirty)}
version=${version#v}
if [ "${1:-}" = --version ]; then
	echo "$version"
	exit
fi

platforms=("$@")
[ "$#" -gt 0 ] || platforms=(linux/amd64 linux/arm64 linux/arm/7 linux/arm/6 linux/riscv64 darwin/amd64 darwin/arm64 windows/amd64)

# The version names files, so it must not contain a slash or a space.
[[ $version =~ ^[0-9A-Za-z.+~-]+$ ]] || { echo "release: invalid version \"$version\"" >&2; exit 2; }
for platform in "${platforms[@]}"; do
	if ! go tool dist list | grep -qxF "$(cut -d/ -f1,2 <<<"$platform")"; then
		echo "release: unknown platform \"$platform\"; \"go tool dist list\" lists them" >&2
		exit 2
	fi
done

commit=$(git rev-parse HEAD)
[ -z "$(git status --porcelain)" ] || commit+=-dirty
date=$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ)

# This machine's settings must not change the bytes.
unset GOFLAGS GOEXPERIMENT GOFIPS140
GOPROXY=$(go env GOPROXY) GOSUMDB=$(go env GOSUMDB) GOMODCACHE=$(go env GOMODCACHE) GOENV=off
export GOPROXY GOSUMDB GOMODCACHE GOENV
export CGO_ENABLED=0 GOAMD64=v1 GOARM64=v8.0 GORISCV64=rva20u64 GOWORK=off

# The new files replace dist only if all of them could be built.
new=$(mktemp -d "$PWD/dist.XXXXXX")
trap 'rm -rf "$new"' EXIT
chmod 755 "$new"
for platform in "${platforms[@]}"; do
	IFS=/ read -r os arch arm <<<"$platform"
	name=imprint_${version}_${os}_$arch${arm:+v$arm}
	[ "$os" != windows ] || name+=.exe
	GOOS=$os GOARCH=$arch GOARM=${arm:-7} go build -trimpath -buildvcs=false -mod=readonly \
		-ldflags "-s -w -X main.version=$version -X main.commit=$commit -X main.date=$date" \
		-o "$new/$name" ./cmd/imprint
	printf '%-40s %5.1f MB\n' "$name" "$(stat -c %s "$new/$name" | awk '{ print $1 / 1e6 }')"
done
(cd "$new" && sha256sum imprint_* >SHA256SUMS)
rm -rf dist
mv "$new" dist
