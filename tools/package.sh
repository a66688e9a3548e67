#!/usr/bin/env bash
# Makes the Debian packages in dist/ from the programs that tools/release.sh built there, and the software bill of materials.
# Needs only Go and git.
#
#   tools/package.sh [ARCH...]            amd64, arm64 and armhf by default
#
# armhf contains the program for ARM v6, because Raspberry Pi OS calls that armhf, too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

nfpm=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0 # the last version whose modules are all on the module proxy
cyclonedx=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

architectures=("$@")
[ "$#" -gt 0 ] || architectures=(amd64 arm64 armhf)
declare -A program=([amd64]=linux_amd64 [arm64]=linux_arm64 [armhf]=linux_armv6 [riscv64]=linux_riscv64)

STAGE=$(mktemp -d)
trap 'rm -rf "$STAGE"' EXIT
unset GOFLAGS
GOPROXY=$(go env GOPROXY) GOSUMDB=$(go env GOSUMDB) GOMODCACHE=$(go env GOMODCACHE) GOENV=off
export GOPROXY GOSUMDB GOMODCACHE GOENV
export CGO_ENABLED=0 STAGE ARCH VERSION SOURCE_DATE_EPOCH
program_version=$(tools/release.sh --version)
DATE=$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) # nfpm uses this time for all files
VERSION=${program_version/-rc/\~rc} # dpkg sorts 0.2.0~rc1 before 0.2.0
VERSION=${VERSION//-/+}
[[ $VERSION == [0-9]*.* ]] || VERSION=0~git${DATE:0:4}${DATE:5:2}${DATE:8:2}.$program_version

go build -trimpath -buildvcs=false -ldflags "-X main.version=$program_version -X main.date=$DATE" -o "$STAGE/host" ./cmd/imprint
"$STAGE/host" __man | gzip -9n >"$STAGE/imprint.1.gz"
for shell in bash zsh fish; do "$STAGE/host" completion $shell >"$STAGE/completion.$shell"; done
"$STAGE/host" __udev >"$STAGE/60-imprint-edgetpu.rules"

gzip -9n >"$STAGE/changelog.gz" <<END
imprint ($VERSION) stable; urgency=medium

  * /usr/share/doc/imprint/CHANGELOG.md.gz lists the changes.

 -- The imprint authors <imprintkit@users.noreply.github.com>  $(git log -1 --format=%cD)
END

# The licenses of everything that the program contains.
{
	echo "imprint is licensed under the Apache License, version 2.0, which is in /usr/share/common-licenses/Apache-2.0 on"
	echo "Debian systems. Source: https://github.com/imprintkit/imprint"
	echo "Copyright: the imprint authors"
	echo
	echo "The program contains the Go standard library and these modules:"
	printf '\n== Go standard library\n\n'
	cat "$(go env GOROOT)/LICENSE"
	GOOS=linux go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/imprint | sort -u |
		while read -r module version folder; do
			printf '\n== %s %s\n\n' "$module" "$version"
			cat "$folder"/LICEN[SC]E* || exit
			if [ -e "$folder/NOTICE" ]; then cat "$folder/NOTICE"; fi
		done
} | sed 's/\r$//' >"$STAGE/copyright"

gzip -9nc CHANGELOG.md >"$STAGE/CHANGELOG.md.gz"

for ARCH in "${architectures[@]}"; do
	cp "dist/imprint_${program_version}_${program[$ARCH]}" "$STAGE/imprint"
	go run "$nfpm" package -f integrations/package/nfpm.yaml -p deb -t "dist/imprint_${VERSION}_$ARCH.deb" >"$STAGE/log" || { cat "$STAGE/log" >&2; exit 1; }
	file=dist/imprint_${VERSION}_$ARCH.deb
	printf '%-40s %5.1f MB\n' "${file#dist/}" "$(stat -c %s "$file" | awk '{ print $1 / 1e6 }')"
done

sbom=dist/imprint_$program_version.cdx.json
GOOS=linux GOARCH=amd64 go run "$cyclonedx" app -json -noserial -licenses -std -main cmd/imprint -output "$sbom" . 2>"$STAGE/log" ||
	{ cat "$STAGE/log" >&2; exit 1; }
sed -i "s/\"timestamp\": \"[^\"]*\"/\"timestamp\": \"$DATE\"/" "$sbom"
(cd dist && sha256sum imprint_* >SHA256SUMS)
