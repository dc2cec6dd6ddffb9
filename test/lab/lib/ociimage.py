"""Writes a docker-archive of one layer, made from a folder, to stdout: [IMAGE_USER=1000] ociimage.py TAG DIR [ENTRYPOINT...].

The same folder gives the same bytes: files belong to root, have no time, and are in order of their names.
"""
import hashlib, io, json, os, platform, sys, tarfile, tempfile

tag, root, entrypoint = sys.argv[1], sys.argv[2], sys.argv[3:]
if ":" not in tag.rsplit("/", 1)[-1]:
    tag += ":latest"
first = tag.split("/", 1)[0]
if "/" not in tag:
    tag = "docker.io/library/" + tag
elif "." not in first and ":" not in first:
    tag = "docker.io/" + tag


def own_by_root(info):
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    info.mtime = 0
    return info


def add(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


with tempfile.TemporaryFile() as layer:
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(root, arcname=".", filter=own_by_root)
    size = layer.tell()
    layer.seek(0)
    digest = hashlib.sha256()
    while chunk := layer.read(1 << 20):
        digest.update(chunk)
    digest = digest.hexdigest()
    config = json.dumps({
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {
            "User": os.environ.get("IMAGE_USER", ""),
            "Entrypoint": entrypoint or None,
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created": "1970-01-01T00:00:00Z"}],
    }).encode()
    name = hashlib.sha256(config).hexdigest()
    manifest = json.dumps([{"Config": f"{name}.json", "RepoTags": [tag], "Layers": [f"{digest}/layer.tar"]}]).encode()
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as out:
        add(out, f"{name}.json", config)
        add(out, "manifest.json", manifest)
        layer.seek(0)
        info = tarfile.TarInfo(f"{digest}/layer.tar")
        info.size = size
        out.addfile(info, layer)
