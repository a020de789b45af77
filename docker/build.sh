#!/usr/bin/env bash
# Builds the jobs' images with docker, podman or buildah.
#
#   docker/build.sh [--push | --tags] [NAME...]
#
# A NAME is `data`, `autogluon` or `xgboost`, or a repository that ends so:
# 123456789012.dkr.ecr.eu-west-1.amazonaws.com/demo-data. Without a NAME the first two are built. NAME=FOLDER builds a
# folder with a Dockerfile of its own. stdout has one line for each: `NAME:TAG`, and with --push also the digest in ECR.
# The tag is a hash of all that the image is made from, so what was built or pushed before is not built again.
#
#   --push   push to ECR, unless the tag is there
#   --tags   print the lines, build nothing
#
# Environment: BASE (another base image), PLATFORM (linux/amd64), ENGINE (docker, podman or buildah).
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

PLATFORM=${PLATFORM:-linux/amd64}
mode=build
scratch=

die() {
    echo "docker/build.sh: $*" >&2
    exit "${code:-1}"
}

usage() {
    sed -n '2,/^set /s/^# \{0,1\}//p' docker/build.sh >&2
    exit 2
}

# `HASH  FILE` for each FILE, or of stdin
sha256() {
    if command -v sha256sum >/dev/null; then sha256sum -- "$@"; else shasum -a 256 -- "$@"; fi
}

# The folder of a NAME's Dockerfile
folder_of() {
    case $1 in
    *=*)
        [ -f "${1#*=}/Dockerfile" ] || code=2 die "there is no ${1#*=}/Dockerfile"
        echo "${1#*=}"
        ;;
    data | */data | *-data) echo docker/data ;;
    autogluon | */autogluon | *-autogluon) echo docker/autogluon ;;
    xgboost | */xgboost | *-xgboost) echo docker/xgboost ;;
    *) code=2 die "'$1' is not an image: a name is data, autogluon or xgboost, or ends with one of them after a dash" ;;
    esac
}

base_of() {
    echo "${BASE:-$(sed -n 's/^ARG BASE=//p' "$1/Dockerfile")}"
}

is_ours() {
    case $1 in docker/data | docker/autogluon | docker/xgboost) ;; *) return 1 ;; esac
}

# The Dockerfile, and the files of the repository that it names
files_of() {
    echo "$1/Dockerfile"
    grep -v '^#' "$1/Dockerfile" | grep -oE '(code|docker)/[a-z0-9_/]+\.(py|lock)' | sort -u
}

# `HASH  FILE` for each file of a folder of the user's, and its right to be executed
sums_of_folder() {
    local file
    (cd "$1" && find . -type f -not -path '*/__pycache__/*' | sort | while IFS= read -r file; do
        sha256 "$file"
        [ ! -x "$file" ] || echo "executable $file"
    done)
}

# Names and bytes only: modes, times and the place of the checkout do not matter. Nor does the registry that a base with
# a digest is pulled from.
content_of() {
    local file files base hash
    base=$(base_of "$1")
    if ! is_ours "$1"; then
        { echo "base ${base##*@}" && echo "platform $PLATFORM" && sums_of_folder "$1"; } | sha256 |
            { read -r hash file && echo "$hash"; }
        return
    fi
    files=$(files_of "$1")
    for file in $files; do
        [ -f "$file" ] || die "$1/Dockerfile copies $file, which is not there"
    done
    {
        echo "base ${base##*@}"
        echo "platform $PLATFORM"
        # All files in one call: a process for each takes longer than the hashing. No name has a space in it.
        # shellcheck disable=SC2086
        sha256 $files | while read -r hash file; do echo "$file $hash"; done
    } | sha256 | { read -r hash file && echo "$hash"; }
}

find_engine() {
    if [ -n "${ENGINE:-}" ]; then
        command -v "$ENGINE" >/dev/null || die "ENGINE is $ENGINE, which is not installed here"
    elif command -v docker >/dev/null && docker info >/dev/null 2>&1; then
        ENGINE=docker
    elif command -v podman >/dev/null; then
        ENGINE=podman
    elif command -v buildah >/dev/null; then
        ENGINE=buildah
    else
        die "docker (with its daemon running), podman or buildah is needed; none is here"
    fi
}

# pip's settings of this machine as a pip.conf for the build. Places on this machine's disk mean nothing in there.
pip_settings() {
    echo '[global]'
    if [ -f "$1" ]; then echo 'cert = /etc/pip.pem'; fi
    { python3 -m pip config list 2>/dev/null || true; } |
        sed -nE "s/^(:env:|global|install)\.(index-url|extra-index-url|find-links|trusted-host|proxy|(default-)?timeout|retries)='(.*)'\$/\2 \4/p" |
        sed -E 's/\\n/ /g; s/^default-timeout/timeout/' |
        awk '{
            values = ""
            for (i = 2; i <= NF; i++) if ($i !~ /^(file:|[.\/~])/) values = values " " $i
            if (values != "") settings[$1] = values  # the environment comes first in the list, and wins
        }
        END { for (key in settings) print key " =" settings[key] }'
}

is_here() {
    if [ "$ENGINE" = buildah ]; then
        buildah inspect --type image "$1" >/dev/null 2>&1
    else
        "$ENGINE" image inspect "$1" >/dev/null 2>&1
    fi
}

build() {
    local image=$1 folder=$2 content=$3 context=. certificates=${PIP_CERT:-${SSL_CERT_FILE:-}}
    if [ -z "$scratch" ]; then
        scratch=$(mktemp -d 2>/dev/null) || die "no folder can be made in ${TMPDIR:-/tmp}; set TMPDIR to another"
        trap 'rm -rf "$scratch"' EXIT
    fi
    set -- --file "$folder/Dockerfile" --tag "$image" --platform "$PLATFORM"
    if grep -q '^ARG BASE=' "$folder/Dockerfile"; then set -- "$@" --build-arg "BASE=$(base_of "$folder")"; fi
    if is_ours "$folder"; then
        set -- "$@" --build-arg "CONTENT=$content" \
            --build-arg "VERSION=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' stepgluon/__init__.py)"
    else
        context=$folder
        if [ "$ENGINE" = buildah ]; then set -- "$@" --layers; fi # docker and podman keep them anyway
    fi
    pip_settings "$certificates" >"$scratch/pip.conf"
    set -- "$@" --secret "id=pip,src=$scratch/pip.conf"
    if [ -f "$certificates" ]; then set -- "$@" --secret "id=certificates,src=$certificates"; fi
    # SageMaker takes plain images in Docker's format: no list of platforms, no attestations beside the image.
    if [ "$ENGINE" != docker ]; then set -- "$@" --format docker; fi
    echo "$image: building with $ENGINE" >&2
    DOCKER_BUILDKIT=1 BUILDX_NO_DEFAULT_ATTESTATIONS=1 "$ENGINE" build "$@" "$context" >&2
}

# The digest of an image in ECR, or nothing where the tag is not there
pushed() {
    local answer
    if answer=$(aws ecr describe-images --registry-id "${registry%%.*}" --region "$region" --output text \
        --repository-name "$repository" --image-ids "imageTag=$1" --query 'imageDetails[0].imageDigest' 2>&1); then
        echo "$answer"
    elif [[ $answer != *ImageNotFoundException* ]]; then
        die "ECR does not tell whether $repository:$1 is there: $(tail -n 1 <<<"$answer")"
    fi
}

split() {
    registry=${1%%/*} repository=${1#*/}
    [[ $registry =~ ^[0-9]{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?$ ]] ||
        code=2 die "--push needs a repository of ECR, like 123456789012.dkr.ecr.eu-west-1.amazonaws.com/demo-data, not '$1'"
    region=${BASH_REMATCH[1]}
    command -v aws >/dev/null || die "--push needs the aws command line, which is not installed here"
}

make_one() {
    local name=${1%%=*} folder content tag digest
    folder=$(folder_of "$1")
    content=$(content_of "$folder")
    tag=${content:0:32}
    if [ "$mode" = push ]; then
        split "$name"
        digest=$(pushed "$tag")
        if [ -n "$digest" ]; then
            echo "$name:$tag: already in ECR" >&2
            echo "$name:$tag $digest"
            return
        fi
    fi
    if [ "$mode" != tags ]; then
        find_engine
        if ! is_here "$name:$tag"; then build "$name:$tag" "$folder" "$content"; fi # || would let errors in it pass
    fi
    if [ "$mode" = push ]; then
        aws ecr get-login-password --region "$region" |
            "$ENGINE" login --username AWS --password-stdin "$registry" >&2
        # Somebody else may have pushed the same meanwhile; ECR has the last word.
        "$ENGINE" push "$name:$tag" >&2 || echo "$name:$tag: the push failed; asking ECR whether it is there" >&2
        digest=$(pushed "$tag")
        [ -n "$digest" ] || die "$name:$tag was not pushed"
    fi
    echo "$name:$tag${digest:+ $digest}"
}

main() {
    while [ $# -gt 0 ]; do
        case $1 in
        --push) mode=push ;;
        --tags) mode=tags ;;
        -*) usage ;;
        *) break ;;
        esac
        shift
    done
    [ $# -gt 0 ] || set -- data autogluon
    local name
    for name in "$@"; do folder_of "$name" >/dev/null; done
    for name in "$@"; do make_one "$name"; done
}

main "$@"
exit # a checkout that changes while this runs is not read any further
