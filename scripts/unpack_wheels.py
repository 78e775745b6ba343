"""Unpacks wheels as an installer lays them out: unpack_wheels.py WHEEL_FOLDER TO_FOLDER.

Packages land in TO_FOLDER itself; what a wheel carries for the prefix (NAME.data/data/include,
.../lib) lands in TO_FOLDER/include and TO_FOLDER/lib. Python and static libraries are left out. A
wheel cannot hold links and stores a library once per name: equal libraries become links here.
"""
import hashlib
import pathlib
import re
import sys
import zipfile

source, target = map(pathlib.Path, sys.argv[1:])
wheels = sorted(source.glob("*.whl"))
if not wheels:
    sys.exit(f"{source}: holds no wheel; run scripts/setup again")
libraries = {}  # folder and digest: the first name
for wheel in wheels:
    with zipfile.ZipFile(wheel) as archive:
        for item in archive.infolist():
            name = re.sub(r"^[^/]+\.data/(data|purelib|platlib)/", "", item.filename)
            # the program needs headers, libraries and CMake files; of pyarrow only Arrow and Parquet
            keep = re.search(r"\.(h|hpp|cmake)$|lib(dnnl|arrow|parquet|mujoco)\.so|LICENSE|NOTICE", name)
            if item.is_dir() or not keep or ".." in pathlib.PurePosixPath(name).parts:
                continue
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content = archive.read(item)
            if ".so" in path.name:
                first = libraries.setdefault(
                    (path.parent, hashlib.sha256(content).digest()), path.name)
                if first != path.name:
                    path.symlink_to(first)
                    continue
            path.write_bytes(content)
    print(f"setup: unpacked {wheel.name}", file=sys.stderr)
