# shellcheck shell=bash
# lab up, lab down: certificates -> network -> control plane -> node -> DNS, load balancer, CRDs. State and logs in run/ of LAB_HOME.

spawn() { # spawn NAME CMD... : start in the cluster's network namespace, keep its pid and log
  local name=$1
  shift
  (exec nsenter --net="/run/netns/$ns" setsid "$@") >"$run/$name.log" 2>&1 </dev/null 9>&- &
  echo $! >"$run/$name.pid"
}
spawn_node() { # the same, inside the node: its own pids and mounts (all shared), as containers need
  local name=$1 init
  shift
  init=$(<"$run/init")
  (exec nsenter --net="/run/netns/$ns" --mount="/proc/$init/ns/mnt" --pid="/proc/$init/ns/pid" setsid -w "$@") >"$run/$name.log" 2>&1 </dev/null 9>&- &
  echo $! >"$run/$name.pid"
}

certificate() { # certificate NAME SUBJECT [EXTENSION]
  openssl req -newkey rsa:2048 -nodes -subj "$2" -keyout "$1.key" -out "$1.csr" 2>/dev/null
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "$1.crt" -extfile <(echo "${3:-}") 2>/dev/null
}
certificates() {
  mkdir -p "$run/pki"
  (
    cd "$run/pki"
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=lab-ca -keyout ca.key -out ca.crt 2>/dev/null
    certificate apiserver /CN=kube-apiserver "subjectAltName=IP:127.0.0.1,IP:$node_ip,IP:$api_ip,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
    certificate kubelet-client /O=system:masters/CN=kubelet-client
    openssl genrsa -out sa.key 2048 2>/dev/null
    openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
  )
  cat >"$run/tokens.csv" <<E
admin-token,admin,admin,"system:masters"
kubelet-token,system:node:node1,node1,"system:nodes"
kcm-token,system:kube-controller-manager,kcm,""
scheduler-token,system:kube-scheduler,scheduler,""
proxy-token,system:kube-proxy,proxy,""
E
  local user server=127.0.0.1
  for user in kubelet kcm scheduler proxy admin; do
    [[ $user != admin ]] || server=$node_ip # the administrator comes from outside the namespace
    cat >"$run/$user.kubeconfig" <<E
apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: "https://$server:6443", certificate-authority-data: $(base64 -w0 <"$run/pki/ca.crt")}}]
users: [{name: $user, user: {token: $user-token}}]
contexts: [{name: lab, context: {cluster: lab, user: $user}}]
current-context: lab
E
  done
  cp "$run/admin.kubeconfig" "$KUBECONFIG"
}

network() { # one veth pair: lab0 on the host, eth0 in the namespace; the host routes all cluster addresses through it
  local cidr
  ip link del lab0 2>/dev/null || true
  ip netns add "$ns"
  ip link add lab0 type veth peer name eth0 netns "$ns"
  ip addr add $host_ip/16 dev lab0
  ip link set lab0 up
  in_ns ip link set lo up
  in_ns ip addr add $node_ip/16 dev eth0
  in_ns ip link set eth0 up
  in_ns ip route add default via $host_ip
  for cidr in $pod_cidr $svc_cidr $lb_prefix.0/24; do
    ip route replace "$cidr" via $node_ip
  done
  in_ns sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
  in_ns sysctl -qw net.bridge.bridge-nf-call-iptables=1 2>/dev/null || true # only where the module is loaded
  mkdir -p "$run/cni/net.d"
  cat >"$run/cni/net.d/10-lab.conflist" <<E
{"cniVersion": "1.0.0", "name": "lab", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true, "promiscMode": false,
   "ipam": {"type": "host-local", "dataDir": "$run/cni/ipam", "ranges": [[{"subnet": "10.244.0.0/20"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
E
}

control_plane() {
  local pki=$run/pki
  spawn etcd "$bin/etcd" --data-dir "$run/etcd" --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
  spawn kube-apiserver "$bin/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --service-cluster-ip-range=$svc_cidr \
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --client-ca-file="$pki/ca.crt" --secure-port=6443 --advertise-address=$node_ip \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
    --token-auth-file="$run/tokens.csv" --authorization-mode=Node,RBAC --allow-privileged=true --enable-admission-plugins=NodeRestriction \
    --kubelet-client-certificate="$pki/kubelet-client.crt" --kubelet-client-key="$pki/kubelet-client.key" --kubelet-preferred-address-types=InternalIP
  wait_for 90 "the API server" kubectl get --raw /readyz
  spawn kube-controller-manager "$bin/kube-controller-manager" --kubeconfig="$run/kcm.kubeconfig" --use-service-account-credentials=true \
    --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" --cluster-cidr=$pod_cidr --leader-elect=false \
    --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key"
  spawn kube-scheduler "$bin/kube-scheduler" --kubeconfig="$run/scheduler.kubeconfig" --leader-elect=false
}

shared_mounts() { nsenter --mount="/proc/$1/ns/mnt" --pid="/proc/$1/ns/pid" findmnt -no PROPAGATION / | grep -q shared; }
node() { # a process and mount namespace as the node, in it containerd and kubelet; when it ends, its containers end
  cat >"$run/containerd.toml" <<E
version = 2
root = "$run/containerd"
state = "$run/containerd-state"
[grpc]
  address = "$run/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "lab/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$(cni_plugins)"
    conf_dir = "$run/cni/net.d"
E
  spawn node unshare --mount --pid --fork --mount-proc --kill-child sh -c 'mount --make-rshared / && exec sleep infinity'
  wait_for 5 "the node's namespaces" pgrep -P "$(<"$run/node.pid")"
  pgrep -P "$(<"$run/node.pid")" >"$run/init"
  wait_for 5 "the node's mounts" shared_mounts "$(<"$run/init")"
  spawn_node containerd containerd -c "$run/containerd.toml"
  wait_for 30 containerd containerd_answers
  local tar
  for tar in "$images"/*.tar; do import_image "$tar"; done
  # No per-class cgroups and no isolation of containers' file systems: one node, alone in its namespace, for tests.
  cat >"$run/kubelet.yaml" <<E
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$run/containerd.sock
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
cgroupRoot: /lab
failSwapOn: false
clusterDNS: [$dns_ip]
clusterDomain: cluster.local
podCIDR: 10.244.0.0/20
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: $run/pki/ca.crt}}
authorization: {mode: AlwaysAllow}
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 1Mi, imagefs.available: 1Mi, nodefs.inodesFree: "1%"}
syncFrequency: 5s
fileCheckFrequency: 5s
nodeStatusUpdateFrequency: 5s
maxPods: 250
registryPullQPS: 0
E
  mkdir -p "$run/kubelet"
  spawn_node kubelet "$bin/kubelet" --config="$run/kubelet.yaml" --kubeconfig="$run/kubelet.kubeconfig" --hostname-override=node1 \
    --node-ip=$node_ip --root-dir="$run/kubelet" --cert-dir="$run/kubelet/pki" --resolv-conf="$run/resolv.conf"
  cat >"$run/kube-proxy.yaml" <<E
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: $pod_cidr
hostnameOverride: node1
bindAddress: $node_ip
metricsBindAddress: 127.0.0.1:10249
clientConnection: {kubeconfig: $run/proxy.kubeconfig}
nftables: {minSyncPeriod: 20ms, syncPeriod: 10s}
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
E
  spawn kube-proxy "$bin/kube-proxy" --config="$run/kube-proxy.yaml"
}

dns() { # CoreDNS runs beside the node; a Service without selector gives it the usual address
  cat >"$run/Corefile" <<E
.:53 {
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $run/admin.kubeconfig
  }
  cache 5
}
E
  spawn coredns "$bin/coredns" -conf "$run/Corefile"
  kubectl apply -f - >/dev/null <<E
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec: {clusterIP: $dns_ip, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns-lab, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
endpoints: [{addresses: [$node_ip]}]
ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
E
}

up() {
  preflight
  build
  if is_up; then
    say "already up: export KUBECONFIG=$KUBECONFIG"
    return
  fi
  [[ ! -e $run && ! -e /run/netns/$ns ]] || { say "clearing what a stopped cluster left"; down; }
  local start=$SECONDS
  mkdir -p "$run"
  : >"$run/resolv.conf" # Pods resolve cluster names only
  certificates
  network
  control_plane
  node
  dns
  spawn lb python3 "$here/lib/lb.py" "$run/admin.kubeconfig" "$lb_prefix"
  cmd_crds
  wait_for 60 "node1 to be Ready" kubectl wait --for=condition=Ready node/node1 --timeout=1s
  wait_for 10 "the default ServiceAccount" kubectl get serviceaccount default
  touch "$run/up"
  say "up in $((SECONDS - start)) s: export KUBECONFIG=$KUBECONFIG"
}

down() { # everything lives in the network namespace; the node's pid namespace takes kubelet, containerd and the containers with it
  local p m i
  for p in $(ip netns pids "$ns" 2>/dev/null); do kill "$p" 2>/dev/null || true; done
  for ((i = 0; i < 20; i++)); do
    [[ -n $(ip netns pids "$ns" 2>/dev/null) ]] || break
    sleep 0.1
  done
  for p in $(ip netns pids "$ns" 2>/dev/null); do kill -9 "$p" 2>/dev/null || true; done
  awk -v r="$run/" 'index($2, r) == 1 {print $2}' /proc/mounts | sort -r | while read -r m; do umount -l "$m" 2>/dev/null || true; done
  for p in /run/netns/cni-*; do [[ ! -e $p ]] || ip netns del "$(basename "$p")" 2>/dev/null || true; done
  ip netns del "$ns" 2>/dev/null || true
  ip link del lab0 2>/dev/null || true
  rm -rf "$run"
}
