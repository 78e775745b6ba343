"""Unpacks wheels as an installer lays them out: unpack_wheels.py WHEEL_FOLDER TO_FOLDER.

Packages land in TO_FOLDER itself; what a wheel carries for the prefix (NAME.data/data/include,
.../lib) lands in TO_FOLDER/include and TO_FOLDER/lib. Python and static libraries are left out. A
wheel cannot hold links and stores a library once per name: equal libraries become links here.

libdnnl and libduckdb export parts of the C++ standard library, compiled from versions of it that do
not agree. In one process the first would serve both, and crash; so each is told to use its own.
"""
import hashlib
import pathlib
import re
import struct
import sys
import zipfile


def bound_to_itself(library, name):
    """The shared library (64-bit ELF) with the entry DT_SYMBOLIC in its dynamic section."""
    PT_DYNAMIC, DT_NULL, DT_SYMBOLIC = 2, 0, 16
    library = bytearray(library)
    headers, = struct.unpack_from("<Q", library, 32)
    count, = struct.unpack_from("<H", library, 56)
    for header in range(headers, headers + 56 * count, 56):
        kind, _, begin, _, _, size = struct.unpack_from("<IIQQQQ", library, header)
        if kind != PT_DYNAMIC:
            continue
        entries = range(begin, begin + size, 16)
        free = [at for at in entries if struct.unpack_from("<Q", library, at)[0] == DT_NULL]
        if len(free) >= 2:  # the last one ends the section
            struct.pack_into("<Q", library, free[0], DT_SYMBOLIC)
            return bytes(library)
    sys.exit(f"{name}: its dynamic section has no free entry; take another version of the wheel")


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
            keep = re.search(r"\.(h|hpp|cmake)$|lib(dnnl|arrow|parquet|duckdb|mujoco)\.so|LICENSE|NOTICE", name)
            if item.is_dir() or not keep or ".." in pathlib.PurePosixPath(name).parts:
                continue
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content = archive.read(item)
            if re.match(r"lib(dnnl|duckdb)\.so", path.name):
                content = bound_to_itself(content, path.name)
            if ".so" in path.name:
                first = libraries.setdefault(
                    (path.parent, hashlib.sha256(content).digest()), path.name)
                if first != path.name:
                    path.symlink_to(first)
                    continue
            path.write_bytes(content)
    print(f"setup: unpacked {wheel.name}", file=sys.stderr)
