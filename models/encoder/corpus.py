#!/usr/bin/env python3
"""Reads public texts into the pairs that the sentence encoder learns from: a line each, {"a", "b", "kind"}.

    corpus.py --packages unpacked/ --words cedict.json --annotations cldr-annotations-full/annotations \\
              --dialogues dialogues/ --items ../recommender/items.ndjson --out pairs.jsonl

`a` and `b` mean the same, or one answers the other:

    program     a message of a program and its Chinese translation (compiled gettext catalogues, GPL and others)
    help        a paragraph of LibreOffice's help and the same paragraph in Chinese (MPL 2.0)
    word        a Chinese word and an English sense of it (CC-CEDICT, CC BY-SA 4.0), or an emoji's names (Unicode CLDR)
    gloss       an English word and its definition (WordNet 3.0)
    fact        a question about a thing and the text that has the answer (KdConv, CrossWOZ, Apache-2.0)
    talk        something said and what was said next (the same)
    title       a product's English and Chinese names, also by other words (this project's demo shop)
    near        two neighbouring paragraphs of one page, of one language

Each source is read in a fixed order, pairs are unique, so the same files give the same lines. A hundredth of each kind,
by the hash of its text, is marked "held": training leaves it out, score.py asks it.
"""

import argparse
import gettext
import glob
import hashlib
import html
import json
import os
import random
import re
import zipfile

CHINESE = re.compile(r"[\u3400-\u9fff]")
LETTER = re.compile(r"[A-Za-z]")
FORMAT = re.compile(r"%(?:\d+\$)?[-+#0 ]?\d*(?:\.\d+)?l?[a-zA-Z%]|%\d|\{[^}]*\}|\$\{?\w+\}?|&[a-z]+;|<[^>]*>|\\[nt]")
MNEMONIC = re.compile(r"\s*[\(（][_&~][A-Z0-9][\)）]")
TAG = re.compile(r"<[^>]+>")
PARAGRAPH = re.compile(r'<(?:p|h\d|td)[^>]*\bid="([^"]+)"[^>]*>(.*?)</(?:p|h\d|td)>', re.S)
ANY_PARAGRAPH = re.compile(r"<p[^>]*>(.*?)</p>", re.S)
LONGEST = 600  # characters kept of a text


def plain(text):
    return re.sub(r"\s+", " ", html.unescape(TAG.sub(" ", text))).strip()


def message(text):
    """A program's message without what only programs read."""
    text = FORMAT.sub(" ", MNEMONIC.sub("", text))
    text = re.sub(r"[_&~](?=\w)", "", text)
    return re.sub(r"\s+", " ", text).strip(" .…:：。")


def programs(root):
    for path in sorted(glob.glob(os.path.join(root, "**", "zh_CN*", "LC_MESSAGES", "*.mo"), recursive=True)):
        with open(path, "rb") as file:
            try:
                catalogue = gettext.GNUTranslations(file)._catalog
            except (OSError, UnicodeDecodeError, ValueError):
                continue
        for english, chinese in sorted((k if isinstance(k, str) else k[0], v) for k, v in catalogue.items()):
            english = english.split("\x04")[-1]  # a context stands before it
            english, chinese = message(english), message(chinese)
            if CHINESE.search(chinese) and LETTER.search(english) and not CHINESE.search(english) and len(english) > 2:
                yield english, chinese, "program"


def helps(root):
    base = os.path.join(root, "usr/share/libreoffice/help")
    for path in sorted(glob.glob(os.path.join(base, "zh-CN", "text", "**", "*.html"), recursive=True)):
        twin = path.replace("/zh-CN/", "/en-US/")
        if not os.path.exists(twin):
            continue
        read = lambda p: {i: plain(t) for i, t in PARAGRAPH.findall(open(p, encoding="utf-8", errors="replace").read())}
        english, chinese = read(twin), read(path)
        for i, text in english.items():
            if i in chinese and CHINESE.search(chinese[i]) and LETTER.search(text) and not CHINESE.search(text):
                yield text, chinese[i], "help"


def neighbours(root):
    pages = sorted(p for p in glob.glob(os.path.join(root, "usr/share", "**", "*.html"), recursive=True))
    for path in pages:
        if "/manual" not in path and "/libreoffice/help/" not in path and "/help/" not in path and "/html/" not in path and "/FAQ/" not in path \
                and "/debian-reference/" not in path:
            continue
        with open(path, encoding="utf-8", errors="replace") as file:
            texts = [t for t in map(plain, ANY_PARAGRAPH.findall(file.read())) if len(t) >= 30]
        for a, b in zip(texts, texts[1:]):
            if a != b and bool(CHINESE.search(a)) == bool(CHINESE.search(b)):
                yield a, b, "near"


def words(path):
    with open(path, encoding="utf-8") as file:
        for entry in json.load(file):
            senses = [re.sub(r"\([^)]*\)|\[[^]]*\]", "", s).strip() for s in entry["english"]]
            senses = [s for s in senses if LETTER.search(s) and not s.startswith(("CL:", "variant of", "old variant", "see ", "abbr. for", "surname ", "used in")) and not CHINESE.search(s)]
            for sense in senses[:3]:
                yield entry["simplified"], sense, "word"
            if len(senses) > 1:
                yield entry["simplified"], "; ".join(senses[:4]), "word"
            if entry["traditional"] != entry["simplified"] and senses and len(entry["traditional"]) > 1:
                yield entry["traditional"], entry["simplified"], "word"


def annotations(root):
    read = lambda lang: json.load(open(os.path.join(root, lang, "annotations.json"), encoding="utf-8"))["annotations"]["annotations"]
    english, chinese = read("en"), read("zh")
    for sign in sorted(english.keys() & chinese.keys()):
        if english[sign].get("tts") and chinese[sign].get("tts"):
            yield english[sign]["tts"][0], chinese[sign]["tts"][0], "word"
            yield ", ".join(english[sign]["default"]), ", ".join(chinese[sign]["default"]), "word"


def glosses(root):
    for part in ("noun", "verb", "adj", "adv"):
        path = os.path.join(root, "usr/share/wordnet", "data." + part)
        with open(path, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("  ") or "|" not in line:
                    continue
                head, gloss = line.split("|", 1)
                fields = head.split()
                names = [fields[4 + 2 * n].replace("_", " ") for n in range(int(fields[3], 16))]
                definition, *examples = gloss.strip().split('; "')
                yield names[0], definition, "gloss"
                if len(names) > 1:
                    yield ", ".join(names[1:4]), names[0] + ": " + definition, "gloss"
                for example in examples[:1]:
                    yield definition, example.strip('"'), "gloss"


ASKS = ["{n}的{a}是什么？", "{n}{a}", "{a}：{n}", "请问{n}的{a}", "你知道{n}的{a}吗？"]


def kdconv(root, rng):
    for path in sorted(glob.glob(os.path.join(root, "kdconv", "*.json"))):
        seen = set()
        with open(path, encoding="utf-8") as file:
            talks = json.load(file)
        for talk in talks:
            said = talk["messages"]
            for one, next_one in zip(said, said[1:]):
                yield one["message"], next_one["message"], "talk"
            for one in said:
                for fact in one.get("attrs", []):
                    name = re.sub(r"（.*?）", "", fact["name"])
                    mark = (name, fact["attrname"], fact["attrvalue"])
                    if mark in seen:
                        continue
                    seen.add(mark)
                    if fact["attrname"] == "Information":
                        yield rng.choice(["介绍一下{n}", "{n}是什么？", "{n}", "你知道{n}吗？"]).format(n=name), fact["attrvalue"], "fact"
                        parts = [p for p in re.split(r"(?<=[。！？])", fact["attrvalue"]) if len(p) > 12]
                        if len(parts) > 2:  # a sentence and what stands around it
                            n = rng.randrange(len(parts))
                            yield parts[n], "".join(parts[:n] + parts[n + 1:]), "near"
                    else:
                        yield rng.choice(ASKS).format(n=name, a=fact["attrname"]), f"{name}的{fact['attrname']}：{fact['attrvalue']}", "fact"
                    if one["message"] and len(fact["attrvalue"]) > 8 and fact["attrvalue"][:4] in one["message"]:
                        yield one["message"], f"{name}的{fact['attrname']}是{fact['attrvalue']}", "fact"


def crosswoz(root, rng):
    for path in sorted(glob.glob(os.path.join(root, "crosswoz", "*_db.json"))):
        with open(path, encoding="utf-8") as file:
            things = json.load(file)
        for name, facts in things:
            told = {k: v for k, v in facts.items() if v not in ("", None, []) and not k.startswith("周边")}
            text = "，".join(f"{k}：{'、'.join(map(str, v[:8])) if isinstance(v, list) else v}" for k, v in told.items())
            yield rng.choice(["介绍一下{n}", "{n}", "{n}怎么样？"]).format(n=name), text, "fact"
            for k, v in told.items():
                if k not in ("名称", "领域"):
                    value = "、".join(map(str, v[:8])) if isinstance(v, list) else v
                    yield rng.choice(ASKS).format(n=name, a=k), f"{name}：{k}{value}", "fact"
    for path in sorted(glob.glob(os.path.join(root, "crosswoz", "*.json.zip"))):
        with zipfile.ZipFile(path) as archive:
            talks = json.loads(archive.read(archive.namelist()[0]))
        for key in sorted(talks):
            said = talks[key]["messages"]
            for one, next_one in zip(said, said[1:]):
                yield one["content"], next_one["content"], "talk"


KINDS_OF_THINGS = {"phone": ("smartphone, mobile, cell phone", "手机 智能手机 电话"), "earbuds": ("wireless headphones, earphones", "无线耳机 耳塞 蓝牙耳机"),
                   "laptop": ("notebook computer, portable PC", "笔记本电脑 便携电脑"), "tablet": ("tablet computer, pad", "平板电脑"),
                   "powerbank": ("portable battery, spare battery", "充电宝 移动电源"), "watch": ("smart watch, wearable", "智能手表 腕表"),
                   "band": ("activity tracker, sports bracelet", "运动手环"), "vacuum": ("robot cleaner for floors", "扫地机器人 打扫地板"),
                   "camera": ("security camera for the home", "监控摄像头"), "charger": ("power adapter", "充电器 电源适配器"), "bag": ("rucksack, school bag", "书包 背包"),
                   "lamp": ("reading light", "台灯 读书灯"), "speaker": ("loudspeaker for music", "音响 喇叭"), "monitor": ("computer screen, display", "电脑屏幕 显示屏"),
                   "lock": ("keyless door lock", "电子门锁"), "purifier": ("clean air, dust filter", "净化空气"), "case": ("phone cover, protective shell", "手机保护壳")}


def titles(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            item = json.loads(line)
            english, chinese = item["titles"]["en"], item["titles"]["zh"]
            yield english, chinese, "title"
            other = KINDS_OF_THINGS.get(item["category"])
            if other:
                yield other[0], chinese, "title"
                yield other[1], english, "title"
                yield other[1], other[0], "title"


def held(a, b):
    return hashlib.blake2b((a + "\0" + b).encode(), digest_size=4).digest()[0] < 3  # 1.2 %


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("packages", "words", "annotations", "dialogues", "items", "out"):
        parser.add_argument("--" + name, required=True)
    args = parser.parse_args()
    rng = random.Random(1)
    sources = [programs(args.packages), helps(args.packages), words(args.words), annotations(args.annotations), glosses(args.packages),
               kdconv(args.dialogues, rng), crosswoz(args.dialogues, rng), titles(args.items), neighbours(args.packages)]
    seen, counts = set(), {}
    with open(args.out, "w", encoding="utf-8") as out:
        for source in sources:
            for a, b, kind in source:
                a, b = a[:LONGEST].strip(), b[:LONGEST].strip()
                mark = (a, b)
                if not a or not b or a == b or mark in seen:
                    continue
                seen.add(mark)
                line = {"a": a, "b": b, "kind": kind}
                if held(a, b):
                    line["held"] = True
                counts[kind] = counts.get(kind, 0) + 1
                out.write(json.dumps(line, ensure_ascii=False) + "\n")
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
