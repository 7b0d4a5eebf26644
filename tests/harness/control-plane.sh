#!/usr/bin/env bash
# Prints the folder that holds kube-apiserver and etcd (and kubectl, where PATH has none), getting them first if need be:
# $KUBEBUILDER_ASSETS, else the cache, else a download, else a build from their Go modules.
# Progress goes to standard error; standard output is the folder alone.
set -euo pipefail

KUBE_VERSION=${KUBE_VERSION:-1.36.3}
ETCD_VERSION=${ETCD_VERSION:-3.7.3}

say() { printf '%s\n' "control planes: $*" >&2; }
die() { say "$*"; exit 1; }

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
    for tool in kube-apiserver etcd; do
        [ -x "$KUBEBUILDER_ASSETS/$tool" ] ||
            die "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS has no $tool; unset it to let this script get one"
    done
    printf '%s\n' "$KUBEBUILDER_ASSETS"
    exit 0
fi

cache=${RESOURCE_BROKER_CACHE:-${XDG_CACHE_HOME:-${HOME:?is not set: set RESOURCE_BROKER_CACHE to a folder for the programs}/.cache}/resource-broker}
os=$(uname -s | tr '[:upper:]' '[:lower:]')
case $(uname -m) in
    x86_64) arch=amd64 ;;
    aarch64 | arm64) arch=arm64 ;;
    *) arch=$(uname -m) ;;
esac
dir=$cache/control-plane/k8s-$KUBE_VERSION-etcd-$ETCD_VERSION-$os-$arch

has() { [ -x "$dir/$1" ]; }
has_kubectl() { has kubectl || command -v kubectl >/dev/null; }
finish_if_complete() {
    if has kube-apiserver && has etcd && has_kubectl; then
        printf '%s\n' "$dir"
        exit 0
    fi
}
finish_if_complete

mkdir -p "$dir" || die "cannot make $dir; set RESOURCE_BROKER_CACHE to a folder that can be written"
# Two runs at once (make test beside make demo) must not both build: the second waits and finds the result.
if command -v flock >/dev/null; then
    exec 9>"$dir/.lock"
    flock -n 9 || { say "another run is getting them; waiting for it"; flock 9; }
    finish_if_complete
fi
work=$(mktemp -d "$dir/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Gives up quickly: a machine without a way out, or with a thin one, is better off building.
fetch() {
    curl --fail --silent --location --connect-timeout 5 --max-time 240 --speed-limit 500000 --speed-time 10 \
        --output "$2" "$1" 2>/dev/null
}

# sha256_is FILE SUM
sha256_is() {
    local actual
    if command -v sha256sum >/dev/null; then
        actual=$(sha256sum "$1")
    else
        actual=$(shasum -a 256 "$1")
    fi
    [ "${actual%% *}" = "$2" ] || { say "$(basename "$1") does not match its published checksum; building it instead"; return 1; }
}

# A program of Kubernetes as its project publishes it, with the checksum beside it.
download_kube() {
    local base=https://dl.k8s.io/release/v$KUBE_VERSION/bin/$os/$arch/$1
    fetch "$base.sha256" "$work/$1.sha256" && fetch "$base" "$work/$1" &&
        sha256_is "$work/$1" "$(cat "$work/$1.sha256")" && install -m 755 "$work/$1" "$dir/$1"
}

download_etcd() {
    local base=https://github.com/etcd-io/etcd/releases/download/v$ETCD_VERSION
    local archive=etcd-v$ETCD_VERSION-$os-$arch.tar.gz
    fetch "$base/SHA256SUMS" "$work/SHA256SUMS" && fetch "$base/$archive" "$work/$archive" &&
        sha256_is "$work/$archive" "$(awk -v file="$archive" '$2 == file { print $1 }' "$work/SHA256SUMS")" &&
        tar -xzf "$work/$archive" -C "$work" --strip-components=1 && install -m 755 "$work/etcd" "$dir/etcd"
}

# Shows on a terminal that a long step is alive; elsewhere one line a minute.
with_progress() {
    local what=$1 log=$work/log start=$SECONDS pid
    shift
    "$@" >"$log" 2>&1 9>&- &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        sleep 1
        local spent=$((SECONDS - start))
        if [ -t 2 ]; then
            printf '\rcontrol planes: %s … %ds ' "$what" "$spent" >&2
        elif [ "$spent" -gt 0 ] && [ $((spent % 60)) -eq 0 ]; then
            say "$what … ${spent}s"
        fi
    done
    [ -t 2 ] && printf '\n' >&2
    if wait "$pid"; then
        say "$what: done in $((SECONDS - start))s"
    else
        tail -n 20 "$log" >&2
        die "$what failed (its last words are above)"
    fi
}

# build PROGRAM PACKAGE: in the module of the current folder
build() {
    CGO_ENABLED=0 go build -mod=mod -trimpath -ldflags="-s -w -X k8s.io/component-base/version.gitVersion=v$KUBE_VERSION" \
        -o "$work/$1.built" "$2"
    mv "$work/$1.built" "$dir/$1"
}

# Kubernetes cannot be required as it is: its go.mod replaces the staging modules by folders of its own repository.
build_kube() {
    mkdir -p "$work/kubernetes"
    cd "$work/kubernetes"
    go mod download -json "k8s.io/kubernetes@v$KUBE_VERSION" >download.json || { cat download.json; return 1; }
    local gomod
    gomod=$(sed -n 's/^.*"GoMod": "\(.*\)",$/\1/p' download.json)
    {
        echo "module control-plane"
        sed -n 's/^go \(.*\)$/go \1/p' "$gomod"
        echo "require k8s.io/kubernetes v$KUBE_VERSION"
        # They are published as v0.MINOR.PATCH of the same release.
        sed -n 's|^[[:space:]]*\(k8s\.io/[^ ]*\) v0\.0\.0\( .*\)\{0,1\}$|\1|p' "$gomod" | sort -u |
            while read -r staging; do echo "replace $staging => $staging v0.${KUBE_VERSION#*.}"; done
    } >go.mod
    build "$1" "k8s.io/kubernetes/cmd/$1"
}

build_etcd() {
    mkdir -p "$work/etcd-module"
    cd "$work/etcd-module"
    printf 'module control-plane\n\nrequire go.etcd.io/etcd/server/v3 v%s\n' "$ETCD_VERSION" >go.mod
    cat >main.go <<'GO'
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
GO
    build etcd .
}

# provide PROGRAM HOW-LONG DOWNLOAD BUILD: by the first function, else by the second
downloads=yes
command -v curl >/dev/null || downloads=no
provide() {
    local program=$1 duration=$2 download=$3 build=$4
    if [ "$downloads" = yes ]; then
        say "downloading $program"
        "$download" "$program" && return
        # What cannot be had now will not be had a minute later.
        downloads=no
    fi
    command -v go >/dev/null ||
        die "$program cannot be downloaded, and there is no Go to build it with: install Go 1.26 or later (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd"
    with_progress "building $program ($duration on two cores)" "$build" "$program"
}

say "getting kube-apiserver and kubectl $KUBE_VERSION, etcd $ETCD_VERSION (once; kept in $dir)"
has etcd || provide etcd "about a minute" download_etcd build_etcd
has kube-apiserver || provide kube-apiserver "about six minutes" download_kube build_kube
has_kubectl || provide kubectl "about two minutes" download_kube build_kube
finish_if_complete
die "kube-apiserver, etcd and kubectl are not in $dir after all"
