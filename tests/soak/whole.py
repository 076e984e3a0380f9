"""Says what of a folder in the object store is not whole: `python -m tests.soak.whole FOLDER`.

Leftovers of half-written files, and files that differ from what their folder's meta.json says of them. Not the
checkpoints of a run that was killed while it sent one: they are looked at when they are read.
"""

from __future__ import annotations

import hashlib
import json
import sys

from pyarrow import fs


def broken(store: fs.FileSystem, folder: str) -> list[str]:
    def read(path: str) -> bytes:
        content: bytes = store.open_input_stream(path).read()
        return content

    files = [
        f.path
        for f in store.get_file_info(fs.FileSelector(folder, recursive=True))
        if f.is_file and "/ray/" not in f.path
    ]
    found = [path for path in files if path.endswith((".partial", ".fetched"))]
    for path in (p for p in files if p.endswith("/meta.json")):
        for name, want in json.loads(read(path))["files"].items():
            file = path.replace("meta.json", name)
            if file not in files or hashlib.sha256(read(file)).hexdigest() != want:
                found.append(file)
    return found


if __name__ == "__main__":
    sys.exit("\n".join(broken(fs.FileSystem.from_uri("s3://unlearning")[0], sys.argv[1])) or 0)
