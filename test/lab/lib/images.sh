# shellcheck shell=bash
# lab image, lab binimage: docker-archive files from plain folders -> images/ of LAB_HOME and, when it runs, the node's containerd.

image_file() { tr '/:' '__' <<<"$1.tar"; }
have_image() { # have_image TAG PROGRAM... : there is one, not older than the programs in it
  local tar=$images/$(image_file "$1") p
  shift
  [[ -f $tar ]] || return 1
  for p in "$@"; do [[ ! $bin/$p -nt $tar ]] || return 1; done
}
cmd_image() { # TAG DIR [ENTRYPOINT...] ; IMAGE_USER sets the user
  [[ -d ${2:-} ]] || fail "lab image needs a tag and a folder" "lab image example.com/name:tag folder /path/in/image/program args"
  local tag=$1 dir=$2 tar
  shift 2
  mkdir -p "$images"
  tar=$images/$(image_file "$tag")
  python3 "$here/lib/ociimage.py" "$tag" "$dir" "$@" >"$tar.new"
  mv "$tar.new" "$tar"
  import_image "$tar"
  say "image $tag"
}
containerd_answers() { ctr -a "$run/containerd.sock" version >/dev/null 2>&1; } # a machine that was cut off leaves the socket's file behind
import_image() { ! containerd_answers || ctr -a "$run/containerd.sock" -n k8s.io images import "$1" >/dev/null; }

cmd_binimage() { # TAG FILE [ARGS...]
  [[ -x ${2:-} ]] || fail "lab binimage needs a tag and a program" "lab binimage example.com/name:tag ./program args"
  local tag=$1 file=$2 root lib
  shift 2
  root=$(mktemp -d)
  chmod 755 "$root"
  mkdir -p "$root/tmp" "$root/etc/ssl/certs"
  chmod 1777 "$root/tmp"
  echo 'root:x:0:0:root:/root:/sbin/nologin' >"$root/etc/passwd"
  [[ ! -f /etc/ssl/certs/ca-certificates.crt ]] || install -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  install -D -m 755 "$file" "$root/usr/local/bin/$(basename "$file")"
  for lib in $({ ldd "$file" 2>/dev/null || true; } | sed -nE 's#.*[[:space:]](/[^ ]+\.so[^ ]*).*#\1#p'); do install -D -m 755 "$(readlink -f "$lib")" "$root$lib"; done
  cmd_image "$tag" "$root" "/usr/local/bin/$(basename "$file")" "$@"
  rm -rf "$root"
}

cluster_images() { # what the cluster, the conformance suite and istiod would pull
  local tag root certs advanced=registry.k8s.io/gateway-api/echo-advanced:v1.5.1
  have_image lab/pause:1 pause || cmd_binimage lab/pause:1 "$bin/pause"
  for tag in v1.5.1 v1.6.0-dev.2 v1.6.0-dev.3; do
    tag=registry.k8s.io/gateway-api/echo-basic:$tag
    have_image "$tag" echo-basic || cmd_binimage "$tag" "$bin/echo-basic"
  done
  tag=registry.k8s.io/coredns/coredns:v1.12.2 # the suite runs its own DNS server for external names
  have_image $tag coredns || cmd_binimage $tag "$bin/coredns"
  tag=registry.istio.io/testing/pilot:lab
  have_image $tag pilot-discovery || IMAGE_USER=1337 cmd_binimage $tag "$bin/pilot-discovery"
  if ! have_image $advanced istio-echo-client istio-echo-server; then
    root=$(mktemp -d)
    chmod 755 "$root"
    mkdir -p "$root/usr/local/bin" "$root/tmp"
    certs=$(module_dir mesh istio.io/istio)/tests/testdata/certs/dns
    install -m 755 "$bin/istio-echo-client" "$root/usr/local/bin/client"
    install -m 755 "$bin/istio-echo-server" "$root/usr/local/bin/server"
    install -m 644 "$certs/cert-chain.pem" "$root/cert.crt"
    install -m 644 "$certs/key.pem" "$root/cert.key"
    cmd_image $advanced "$root" /usr/local/bin/server
    rm -rf "$root"
  fi
}
