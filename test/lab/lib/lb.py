"""The lab's load balancer: lb.py KUBECONFIG PREFIX gives Services of type LoadBalancer addresses, as a cloud's controller would.

PREFIX.1 to PREFIX.239 are given out, the lowest free one first; PREFIX.240 to PREFIX.250 only to a Service that asks for one
(spec.loadBalancerIP). An address is free again when its Service is deleted or changes its type. What cannot be had (outside the pool,
taken, or of another loadBalancerClass) stays pending. Speaks to the API server itself: an address takes a few milliseconds.
"""
import base64, http.client, json, re, ssl, sys, time, urllib.parse

kubeconfig, prefix = open(sys.argv[1]).read(), sys.argv[2]
automatic = [f"{prefix}.{i}" for i in range(1, 240)]
pool = set(automatic) | {f"{prefix}.{i}" for i in range(240, 251)}
given = {}  # namespace/name -> address


def field(pattern):
    return re.search(pattern, kubeconfig).group(1)


server = urllib.parse.urlparse(field(r'server: "?(https://[^"} ]+)'))
tls = ssl.create_default_context(cadata=base64.b64decode(field(r"certificate-authority-data: ([\w+/=]+)")).decode())
headers = {"Authorization": "Bearer " + field(r"token: ([\w-]+)")}


def connect(timeout):
    return http.client.HTTPSConnection(server.hostname, server.port, context=tls, timeout=timeout)


writer = connect(5)


def set_ingress(meta, ingress):
    """Writes the Service's status; says whether it is as wished. A Service that is gone is nobody's loss."""
    path = f'/api/v1/namespaces/{meta["namespace"]}/services/{meta["name"]}/status'
    body = json.dumps({"status": {"loadBalancer": {"ingress": ingress}}})
    for attempt in (1, 2):
        try:
            writer.request("PATCH", path, body, {**headers, "Content-Type": "application/merge-patch+json"})
            response = writer.getresponse()
            answer = response.read()
            if response.status not in (200, 404):
                print(f'{path}: {response.status} {answer.decode(errors="replace")}', flush=True)
            return response.status == 200
        except (OSError, http.client.HTTPException) as error:  # an idle connection that the server closed
            writer.close()
            print(f"{path}: {error!r}, attempt {attempt}", flush=True)
    return False


def settle(service):
    """Gives the Service the address that it should have; takes it back when it should have none."""
    meta, spec = service["metadata"], service["spec"]
    key = f'{meta["namespace"]}/{meta["name"]}'
    have = [i.get("ip") for i in service.get("status", {}).get("loadBalancer", {}).get("ingress") or []]
    if spec.get("type") != "LoadBalancer" or spec.get("loadBalancerClass"):
        if given.pop(key, None) and have:
            set_ingress(meta, [])
        return
    want, taken = spec.get("loadBalancerIP"), {ip for k, ip in given.items() if k != key}
    current = have[0] if have and have[0] in pool else given.get(key)
    if want:
        address = want if want in pool and want not in taken else None
    elif current and current not in taken:
        address = current
    else:
        address = next((a for a in automatic if a not in taken), None)
    if address is None:
        print(f"{key}: no address (asked for {want or 'any'})", flush=True)
        given.pop(key, None)
        if have:
            set_ingress(meta, [])
        return
    given[key] = address
    if have != [address]:
        set_ingress(meta, [{"ip": address}])


def pending_again():
    """After an address became free: who waits for one?"""
    for service in list_services()["items"]:
        if service["spec"].get("type") == "LoadBalancer" and f'{service["metadata"]["namespace"]}/{service["metadata"]["name"]}' not in given:
            settle(service)


def list_services():
    connection = connect(10)
    connection.request("GET", "/api/v1/services", headers=headers)
    answer = json.load(connection.getresponse())
    connection.close()
    return answer


def watch():
    """Lists, then follows; returns when the server ends the watch."""
    answer = list_services()
    given.clear()
    for service in sorted(answer["items"], key=lambda s: not s.get("status", {}).get("loadBalancer", {}).get("ingress")):
        settle(service)  # those that have an address first, so that they keep it
    connection = connect(None)
    version = answer["metadata"]["resourceVersion"]
    connection.request("GET", f"/api/v1/services?watch=1&resourceVersion={version}", headers=headers)
    for line in connection.getresponse():
        event = json.loads(line)
        if event["type"] == "ERROR":
            return
        service = event["object"]
        if event["type"] != "DELETED":
            settle(service)
        elif given.pop(f'{service["metadata"]["namespace"]}/{service["metadata"]["name"]}', None):
            pending_again()


while True:
    try:
        watch()
    except (OSError, http.client.HTTPException, KeyError, ValueError) as error:
        print(f"watching again after {error!r}", flush=True)
    time.sleep(0.2)
