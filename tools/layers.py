#!/usr/bin/env python3
"""Checks that lower folders never include higher ones, and that nothing includes a .cc file.

  tools/layers.py [FOLDER]      FOLDER holds quire/; default: this checkout
"""
import pathlib
import re
import sys

ORDER = "base kernels policies tiers files text kv model engine memory sim server cli".split()
# The simulator drives the engine; the server must not know of it.
FORBIDDEN = {("server", "sim")}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)


def violations(root):
    """Sentences, and the number of includes that were checked."""
    found, checked = [], 0
    for path in sorted((root / "quire").rglob("*")):
        if path.suffix not in (".h", ".cc", ".inc"):
            continue
        where = path.relative_to(root)
        folder = where.parts[1]
        if folder not in ORDER:
            found.append(f"{where}: quire/{folder} is not one of the folders: {' '.join(ORDER)}")
            continue
        for included in INCLUDE.findall(path.read_text(errors="replace")):
            if included.endswith(".cc"):
                found.append(f"{where}: includes a source file, {included}")
            if not included.startswith("quire/"):
                continue
            checked += 1
            target = included.split("/")[1]
            if target not in ORDER or ORDER.index(target) > ORDER.index(folder) or (folder, target) in FORBIDDEN:
                found.append(f"{where}: {folder} must not include {included}")
    return found, checked


if __name__ == "__main__":
    here = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent
    wrong, count = violations(here)
    print("\n".join(wrong + [f"layers: {count} includes checked, {len(wrong)} wrong"]))
    sys.exit(1 if wrong or not count else 0)
