#!/usr/bin/env python3
"""tests/tidy.py [--warnings] [ROOT]: the house rules that a compiler does not know. Prints file:line: what is wrong, and fails.

Floors: base < kernels, text, wire, client < node, scheduler. A file may include its own folder and lower floors; node/
and scheduler/ never see one another; tests/ and bench/ stand beside and may see all. --self-test proves that each rule bites.
"""
import os
import re
import sys
import tempfile

FLOORS = {"base": 1, "kernels": 2, "text": 2, "wire": 2, "client": 2, "node": 3, "scheduler": 3}
BESIDE = {"tests", "bench"}
SKIPPED = {"build", "node_modules", ".git", ".cache", "__pycache__"}
COLUMNS, FUNCTION_LINES, FILE_WARNING, FILE_LINES = 100, 70, 500, 800

# Where a library may be included; a unit test in tests/unit/X/ counts as X/. The simulator stands in for two of them.
LIBRARIES = {"nng": ["wire/"], "event2": ["scheduler/", "client/", "bench/", "tests/sim/"],
             "hiredis": ["scheduler/state/", "scheduler/features/", "scheduler/policy/", "tests/sim/"], "cblas": ["kernels/"], "opencc": ["text/"],
             "unicode": ["text/"], "libstemmer": ["text/"]}

# Calls, what to write instead, and the prefixes of paths that may use them all the same.
BANNED = [
    ("strcpy", "buf_add_text() or mem_copy_text()", []),
    ("strcat", "buf_add_text()", ["tests/"]),
    ("sprintf", "snprintf() or buf_addf()", []),
    ("atoi", "strtol() with its end checked", []),
    ("strtok", "strcspn()", []),
    ("rand", "base/rand.h, from a seed", []),
    ("assert", "must(), or an enum err for a stranger's mistake", ["tests/"]),
    ("malloc", "base/mem.h", ["base/mem.c", "base/wipe_free.c", "bench/wipe.c", "tests/"]),
    ("calloc", "base/mem.h", ["base/mem.c", "tests/"]),
    ("realloc", "base/mem.h", ["base/mem.c", "base/wipe_free.c", "bench/wipe.c", "tests/"]),
]

NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(text):
    """The same text with comments and the insides of strings as spaces; every line stays where it is."""
    return NOT_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def check_includes(path, text):
    folder = path.split("/")[0]
    place = path[len("tests/unit/"):] if path.startswith("tests/unit/") else path
    for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', text, re.M):
        line, quote, name = text.count("\n", 0, match.start()) + 1, match[1], match[2]
        target = name.split("/")[0]
        if quote == "<":
            library = target.split(".")[0]
            if library in LIBRARIES and not place.startswith(tuple(LIBRARIES[library])):
                yield line, f"<{name}> belongs to {' and '.join(LIBRARIES[library])}"
        elif target not in FLOORS and target not in BESIDE:
            yield line, f'"{name}": includes are written from the root: "folder/room.h"'
        elif folder in BESIDE:
            continue
        elif target in BESIDE:
            yield line, f'"{name}": {folder}/ may not depend on {target}/'
        elif folder in FLOORS and target != folder and FLOORS[target] >= FLOORS[folder]:
            yield line, f'"{name}": {folder}/ is on floor {FLOORS[folder]}, {target}/ on floor {FLOORS[target]}'


def check_calls(path, code):
    for name, instead, allowed in BANNED:
        if path.startswith(tuple(allowed)):
            continue
        for match in re.finditer(r"(?<![\w.>])" + name + r"\s*\(", code):
            yield code.count("\n", 0, match.start()) + 1, f"{name}() is not used here: {instead}"


LOG_CALL = re.compile(r'\blog_(?:debug|info|warn|error)\s*\(\s*(?:[^,()"]|"[^"]*")*,\s*((?:"(?:\\.|[^"\\])*"\s*|PRI\w+\s*)*)')
# What a metric may be split by: names of ours, of operators, of models; never a user's, nor anything that grows with users.
LABELS = {"basis", "code", "feature", "model", "outcome", "part", "reason", "region", "route", "side", "source", "class", "action"}
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def log_fields():
    with open(os.path.join(HERE, "base/log.def"), encoding="utf-8") as file:
        return set(re.findall(r"^LOG_FIELD\((\w+),", file.read(), re.M))


def check_words(path, text, fields=None):
    """Logs have no field and metrics no label but those that are allowed."""
    if path.endswith(".metric.def"):
        for match in re.finditer(r'^METRIC\(\s*\w+\s*,\s*\w+\s*,\s*"([^"]*)"', text, re.M):
            for label in filter(None, match[1].split(",")):
                if label not in LABELS:
                    yield text.count("\n", 0, match.start()) + 1, f"a metric may not be split by '{label}'"
    if path.split("/")[0] not in FLOORS or path.startswith("base/log."):
        return
    for match in LOG_CALL.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        form = "".join(re.findall(r'"((?:\\.|[^"\\])*)"', match[1])).replace('\\"', '"')
        words = re.findall(r'[^ "]*(?:"[^"]*"?)?[^ "]*', form)
        names = [word.split("=")[0] if "=" in word else word for word in words if word]
        fields = fields or log_fields()
        for name in names or ["(a format that is no literal)"]:
            if name not in fields:
                yield line, f"'{name}' is no field of a log (base/log.def)"


def check_columns(text, code):
    """(line, what, is it code?): clang-format wraps code but leaves comments and tables as they were written."""
    for number, (line, bare) in enumerate(zip(text.split("\n"), code.split("\n")), 1):
        if len(line) > COLUMNS:
            yield number, f"{len(line)} columns, at most {COLUMNS}", len(bare.rstrip()) > COLUMNS


def check_shape(path, text, code):
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if re.search(r"\b(FIXME|TODO|XXX)\b", line):
            yield number, "do it, or file it; no FIXME or TODO"
    # Linux braces: only a function's body opens and closes in the first column, alone.
    # The rows of a constant table inside it are data and do not count.
    opened, count, table = None, 0, None
    for number, line in enumerate(code.split("\n"), 1):
        line = line.rstrip()
        if line == "{":
            opened, count, table = number, 0, None
        elif line == "}" and opened:
            if count > FUNCTION_LINES:
                yield opened, f"a function of {count} lines, at most {FUNCTION_LINES}"
            opened = None
        elif table is not None:
            table = None if line == table else table
        else:
            count += 1
            if opened and line.endswith("] = {"):
                table = line[: len(line) - len(line.lstrip())] + "};"
    if len(lines) - 1 > FILE_LINES:
        yield 1, f"{len(lines) - 1} lines, at most {FILE_LINES}: part the file"
    if path.endswith(".h") and not text.startswith("/*"):
        yield 1, "a header opens with a comment that says what it is"


def source_files(root):
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in SKIPPED)
        for name in sorted(files):
            if name.endswith((".c", ".h", ".def")):
                yield os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")


def check_file(root, path):
    """(errors, warnings): lists of (line, text)."""
    with open(os.path.join(root, path), encoding="utf-8") as file:
        text = file.read()
    code = blank(text)
    errors = [*check_includes(path, text), *check_calls(path, code), *check_shape(path, text, code),
              *check_words(path, text)]
    count = text.count("\n")
    warnings = [(1, f"{count} lines, more than {FILE_WARNING}")] if FILE_WARNING < count <= FILE_LINES else []
    for line, what, is_code in check_columns(text, code):
        is_code = is_code and not path.endswith(".def")
        (errors if is_code else warnings).append((line, what + ("" if is_code else " (a comment or a table)")))
    return sorted(errors), warnings


def check_tree(root, show_warnings):
    failures, warned, count = 0, 0, 0
    for path in source_files(root):
        count += 1
        errors, warnings = check_file(root, path)
        for line, text in warnings if show_warnings else []:
            print(f"{path}:{line}: warning: {text}")
        for line, text in errors:
            print(f"{path}:{line}: {text}")
        failures += len(errors)
        warned += len(warnings)
    print(f"tidy: {count} files, {failures} failures, {warned} warnings")
    return failures if count else 1


# Path, content, and a piece of the one error that it must give; None where it must pass.
SAMPLES = [
    ("base/a.c", '#include "wire/link.h"\n', "floor 2"),
    ("node/a.c", '#include "scheduler/fleet.h"\n', "floor 3"),
    ("scheduler/a.c", '#include "node/engine/kv.h"\n', "floor 3"),
    ("text/a.c", '#include "wire/link.h"\n', "floor 2"),
    ("node/b.c", '#include "wire/link.h"\n#include "base/err.h"\n', None),
    ("wire/a.c", '#include "link.h"\n', "from the root"),
    ("wire/b.c", '#include "tests/test.h"\n', "may not depend"),
    ("tests/unit/wire/a.c", '#include "tests/test.h"\n#include <nng/nng.h>\n', None),
    ("node/c.c", "#include <nng/nng.h>\n", "belongs to wire/"),
    ("text/b.c", "#include <event2/event.h>\n", "belongs to scheduler/"),
    ("scheduler/b.c", "#include <hiredis/hiredis.h>\n", "belongs to scheduler/state/ and scheduler/features/"),
    ("node/d.c", "#include <cblas.h>\n", "belongs to kernels/"),
    ("scheduler/c.c", "#include <unicode/ubrk.h>\n", "belongs to text/"),
    *[(f"node/x_{name}.c", f"void f(void)\n{{\n    {name} (x);\n}}\n", f"{name}()") for name, _, _ in BANNED],
    ("base/mem.c", "void *f(void)\n{\n    return malloc(1);\n}\n", None),
    ("node/e.c", '/* malloc(1) */ char *a = "rand()"; // atoi(x)\nint b = my_rand(1) + a->rand(2);\n', None),
    ("node/f.c", "_Static_assert(1, \"\"); struct rand rand; static_assert(1, \"\");\n", None),
    ("node/g.c", "// " + "x" * 98 + "\n", "101 columns"),
    ("node/g2.c", "int " + "x" * 97 + ";\n", "at most 100"),
    ("node/h.c", "// " + "桥" * 97 + "\n", None),
    ("node/i.c", "void f(void)\n{\n" + "    g();\n" * 71 + "}\n", "71 lines"),
    ("node/j.c", "void f(void)\n{\n" + "    g();\n" * 70 + "}\n", None),
    ("node/j2.c", "void f(void)\n{\n    int a[] = {\n" + "        1,\n" * 99 + "    };\n    g();\n}\n", None),
    ("node/j3.c", "void f(void)\n{\n    int a[] = {\n        1,\n    };\n" + "    g();\n" * 70 + "}\n", "71 lines"),
    ("node/k.c", "int a;\n" * 801, "801 lines"),
    ("node/l.h", "#ifndef L\n#endif\n", "opens with a comment"),
    ("node/m.c", "// FIX" + "ME later\n", "FIXME"),
    ("node/n.c", 'void f(void)\n{\n    log_info("up", "node=%s reason=\\"a b\\" port=%" PRIu32, a, b);\n}\n', None),
    ("node/o.c", 'void f(void)\n{\n    log_warn("up", "node=%s "\n             "user=%s", a, b);\n}\n', "'user' is no field"),
    ("node/p.c", 'void f(void)\n{\n    log_warn("up", format, a);\n}\n', "no literal"),
    ("node/q.c", 'void f(void)\n{\n    log_error("up", "said", a);\n}\n', "'said' is no field"),
    ("node/r.metric.def", 'METRIC(counter, a_total, "model,user", "x")\n', "split by 'user'"),
    ("build/x.c", "int a = atoi(b);\n", None),
    ("web/node_modules/x.c", "int a = atoi(b);\n", None),
]


def self_test():
    wrong = 0
    for path, content, want in SAMPLES:
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, os.path.dirname(path)))
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(content)
            checked = [check_file(root, found) for found in source_files(root)]
            errors = [text for pair in checked for part in pair for _, text in part]
        if (len(errors) != 1 or want not in errors[0]) if want else errors:
            print(f"self-test: {path}: wanted {want!r}, got {errors}")
            wrong += 1
    print(f"tidy: {len(SAMPLES)} samples, {wrong} wrong")
    return wrong


if __name__ == "__main__":
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(1 if self_test() else 0)
    roots = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    sys.exit(1 if check_tree(roots[0] if roots else here, "--warnings" in sys.argv) else 0)
