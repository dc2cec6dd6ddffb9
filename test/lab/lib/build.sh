# shellcheck shell=bash
# lab build: what the cluster runs. Debian packages and Go modules -> bin/, crds/ and images/ of LAB_HOME.

# command:Debian package, for what no Go module gives
needs=(containerd:containerd ctr:containerd runc:runc nft:nftables iptables:iptables conntrack:conntrack ip:iproute2 pgrep:procps openssl:openssl
  python3:python3)
cni_plugins() { # the folder with the CNI plugins
  local dir
  for dir in /usr/lib/cni /opt/cni/bin; do [[ ! -x $dir/bridge ]] || { echo "$dir"; return; }; done
  return 1
}

preflight() { # says early, in one sentence each, why a cluster cannot run here
  [[ $(uname -s) == Linux ]] || fail "the lab needs Linux, this is $(uname -s)" "use a Linux machine, $else_own_cluster"
  ((EUID == 0)) || fail "the lab needs root: it makes network namespaces and runs containers" \
    "sudo env HOME=$HOME PATH=\$PATH $here/lab up, $else_own_cluster"
  unshare --net --mount --pid --fork true 2>/dev/null || fail "this machine does not let root make namespaces" \
    "use a virtual machine or a privileged container (docker run --privileged), $else_own_cluster"
}

packages() { # installs what is missing
  local need missing=() install=()
  for need in "${needs[@]}"; do
    command -v "${need%%:*}" >/dev/null || { missing+=("${need%%:*}"); install+=("${need##*:}"); }
  done
  cni_plugins >/dev/null || { missing+=("CNI plugins in /usr/lib/cni or /opt/cni/bin"); install+=(containernetworking-plugins); }
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || fail "missing: ${missing[*]}; and there is no apt-get to install them" \
    "install them (in Debian: ${install[*]}), $else_own_cluster"
  say "installing ${install[*]}"
  DEBIAN_FRONTEND=noninteractive
  export DEBIAN_FRONTEND
  apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends "${install[@]}" >/dev/null ||
    fail "apt-get could not install ${install[*]}" "check the network and /etc/apt/sources.list, then lab build again"
}

# A program is built again when the files of its module changed; one that was built before there were stamps is taken as it is.
sources() { # one hash of what a module is built from
  local f
  for f in "$here/$1"/{go.mod,go.sum,*.go}; do [[ ! -f $f ]] || cat "$f"; done | sha256sum | cut -c1-64
}
is_fresh() { # is_fresh FOLDER PROGRAM
  local stamp=$LAB_HOME/stamps/$2
  [[ -x $bin/$2 ]] || return 1
  [[ -f $stamp ]] || stamp_of "$1" "$2"
  [[ $(<"$stamp") == "$(sources "$1")" ]]
}
stamp_of() { sources "$1" >"$LAB_HOME/stamps/$2"; }
go_in() { # go_in FOLDER ARGS... : without the hundreds of lines about downloads
  (cd "$here/$1" && shift && CGO_ENABLED=0 GOFLAGS='-trimpath -mod=readonly' go "$@") 2> >(sed '/^go: downloading/d' >&2) ||
    fail "building $1 failed" "see the lines above; go needs the network or a filled module cache (go env GOPROXY)"
}
program() { # program FOLDER PROGRAM GO-ARGS... : build with GO-ARGS unless PROGRAM is fresh
  local folder=$1 program=$2
  shift 2
  mkdir -p "$bin" "$LAB_HOME/stamps"
  is_fresh "$folder" "$program" && return
  command -v go >/dev/null || fail "Go is missing" "install Go 1.26 or later (https://go.dev/dl), $else_own_cluster"
  say "building $program"
  go_in "$folder" "$@"
  stamp_of "$folder" "$program"
}
module_dir() { # module_dir FOLDER MODULE : where Go keeps the module's files
  go_in "$1" mod download "$2" && go_in "$1" list -m -f '{{.Dir}}' "$2"
}

build() {
  local p v=k8s.io/component-base/version start=$SECONDS
  packages
  program kubernetes kubernetes build -ldflags "-s -w -X $v.gitVersion=v1.36.3 -X $v.gitMajor=1 -X $v.gitMinor=36" -o "$bin/kubernetes" .
  for p in kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do ln -sfn kubernetes "$bin/$p"; done
  program etcd etcd build -ldflags '-s -w' -o "$bin/etcd" tool
  program dns coredns build -ldflags '-s -w' -o "$bin/" tool
  program helm helm build -ldflags '-s -w' -o "$bin/" tool
  program conformance echo-basic build -ldflags '-s -w' -o "$bin/" tool
  suite
  program mesh pilot-discovery build -ldflags '-s -w' -o "$bin/" tool
  [[ ! -x $bin/client ]] || mv "$bin/client" "$bin/istio-echo-client"
  [[ ! -x $bin/server ]] || mv "$bin/server" "$bin/istio-echo-server"
  program pause pause build -ldflags '-s -w' -o "$bin/pause" .
  gateway_api
  cluster_images
  ((SECONDS - start < 5)) || say "built in $((SECONDS - start)) s"
}

suite() { program conformance gateway-conformance test -c -ldflags '-s -w' -o "$bin/gateway-conformance" .; }
gateway_api() { # the CRDs of the conformance suite's version; not the safe-upgrades policy, which would refuse a later change
  local dir f stamp=$LAB_HOME/stamps/crds
  [[ ! -f $stamp || $(<"$stamp") != "$(sources conformance)" ]] || return 0
  dir=$(module_dir conformance sigs.k8s.io/gateway-api)/config/crd/experimental
  mkdir -p "$crds"
  rm -f "$crds"/*.yaml
  for f in "$dir"/*.yaml; do
    [[ $f == */kustomization.yaml || $f == *safeupgrades* ]] || install -m 644 "$f" "$crds/"
  done
  stamp_of conformance crds
}
cmd_crds() { kubectl apply --server-side --force-conflicts -f "$crds" >/dev/null; }
