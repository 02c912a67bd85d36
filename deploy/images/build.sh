#!/usr/bin/env bash
# Builds the images with buildx, with an SBOM and a provenance attestation where they are pushed.
#
#   deploy/images/build.sh                                  casa and casa-demo, into the local Docker
#   deploy/images/build.sh --push registry.example.com/casa pushes them there
#   deploy/images/build.sh --output DIRECTORY               as OCI archives, each with its SBOM beside it
#   deploy/images/build.sh --pin                            writes the base images' digests to deploy/images/pins.env
#
# --tag TAG (default: the program's version), --without-model, --only casa|casa-demo
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() { sed -n '2,9s/^# \{0,1\}//p' "deploy/images/build.sh" >&2; exit 64; }

# Digests and a moment, once `--pin` wrote them: then the same sources make the same images.
SWIFT_IMAGE=swift:6.3.1-bookworm
DEBIAN_IMAGE=debian:12-slim
PYTHON_IMAGE=python:3.11-slim-bookworm
DEBIAN_SNAPSHOT=
# shellcheck source=/dev/null
[[ -e deploy/images/pins.env ]] && source deploy/images/pins.env

version=$(sed -n 's/^ *version: "\(.*\)",$/\1/p' Sources/casa/Casa.swift | head -n 1)
[[ -n $version ]] || { echo "build.sh: expected the version in Sources/casa/Casa.swift" >&2; exit 1; }
tag=$version registry="" output="" model=true only=""
while (($#)); do
  case $1 in
    --push) registry=${2:?--push needs a registry, such as registry.example.com/casa}; shift 2 ;;
    --output) output=${2:?--output needs a directory}; shift 2 ;;
    --tag) tag=${2:?--tag needs a tag}; shift 2 ;;
    --only) only=${2:?--only needs casa or casa-demo}; shift 2 ;;
    --without-model) model=false; shift ;;
    --pin)
      {
        echo "# The base images, as \`deploy/images/build.sh --pin\` found them."
        for name in SWIFT_IMAGE DEBIAN_IMAGE PYTHON_IMAGE; do
          image=${!name%@*}
          digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$image")
          echo "$name=$image@$digest"
        done
        echo "DEBIAN_SNAPSHOT=$(date -u +%Y%m%dT000000Z)"
      } >deploy/images/pins.env.new
      mv deploy/images/pins.env.new deploy/images/pins.env
      cat deploy/images/pins.env
      exit 0
      ;;
    *) usage ;;
  esac
done
[[ -z $registry || -z $output ]] || usage
[[ -z $only || $only == casa || $only == casa-demo ]] || usage

revision=$(git rev-parse HEAD)
# Not the time of the build: that of the commit, so that a second build makes the same.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)

build() {
  local name=$1 file=$2
  shift 2
  [[ -z $only || $only == "$name" ]] || return 0
  local arguments=(
    --file "$file" --platform linux/amd64
    --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "CREATED=$created"
    --build-arg "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH" "$@"
  )
  if [[ -n $registry ]]; then
    arguments+=(
      --tag "$registry/$name:$tag" --sbom=true --provenance=mode=max
      --output "type=image,push=true,rewrite-timestamp=true" --metadata-file ".build/image-$name.json"
    )
  elif [[ -n $output ]]; then
    mkdir -p "$output"
    arguments+=(
      --tag "$name:$tag" --sbom=true --provenance=mode=max
      --output "type=oci,dest=$output/$name-$tag.tar,rewrite-timestamp=true"
    )
  else
    # The local Docker keeps no attestations.
    arguments+=(--tag "$name:$tag" --provenance=false --load)
  fi
  mkdir -p .build
  docker buildx build "${arguments[@]}" .
  if [[ -n $output ]]; then sbom "$name" "$output/$name-$tag.tar"; fi
}

# A file for people and scanners, beside the attestation within the image.
sbom() {
  if command -v syft >/dev/null; then
    syft scan --quiet "oci-archive:$2" --output "spdx-json=$output/$1-$tag.spdx.json"
  else
    echo "build.sh: syft is not installed; $1's SBOM is in the image only" >&2
  fi
}

build casa deploy/images/Dockerfile --build-arg "SWIFT_IMAGE=$SWIFT_IMAGE" --build-arg "DEBIAN_IMAGE=$DEBIAN_IMAGE" \
  --build-arg "PYTHON_IMAGE=$PYTHON_IMAGE" --build-arg "DEBIAN_SNAPSHOT=$DEBIAN_SNAPSHOT" \
  --build-arg "WITH_MODEL=$model"
build casa-demo deploy/images/demo.Dockerfile --build-arg "PYTHON_IMAGE=$PYTHON_IMAGE"
