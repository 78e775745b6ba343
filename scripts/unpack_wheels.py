"""Unpacks wheels as an installer lays them out: unpack_wheels.py WHEEL_FOLDER TO_FOLDER.

Packages land in TO_FOLDER itself; what a wheel carries for the prefix (NAME.data/data/include,
.../lib) lands in TO_FOLDER/include and TO_FOLDER/lib. Python and link-time duplicates are left out.
"""
import pathlib
import re
import sys
import zipfile

source, target = map(pathlib.Path, sys.argv[1:])
for wheel in sorted(source.glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        for item in archive.infolist():
            name = re.sub(r"^[^/]+\.data/(data|purelib|platlib)/", "", item.filename)
            # the program needs headers, libraries and CMake files; of pyarrow only Arrow and Parquet
            keep = re.search(r"\.(h|hpp|cmake)$|lib(dnnl|arrow|parquet)\.so|LICENSE|NOTICE", name)
            if item.is_dir() or not keep or ".." in pathlib.PurePosixPath(name).parts:
                continue
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(item))
    print(f"unpacked {wheel.name}", file=sys.stderr)
