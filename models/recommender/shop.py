#!/usr/bin/env python3
"""The demo shop: a catalogue of invented things and invented people who look for them.

    shop.py --items items.ndjson --events events.ndjson [--users 20000] [--seed 1]

items.ndjson   a line for each item, as PUT /v1/items takes them
events.ndjson  a line for each user, as `qiaoctl recommender export` writes them: {"user", "items", "times"}

Nobody's habits are in it. What makes a person's next step predictable is put there on purpose: a taste for some lines
of products, a purse, interests; a visit goes through things that are alike; and a thing leads to others (a phone to
its own case and film, a laptop to a bag, a mat to a bottle), soon but not at once. An item comes once for each person.
"""

import argparse
import json
import math
import random

# en, zh, how dear (1 = as the category says), how far and wide it is known
LINES = [
    ("Bamboo", "青竹", 1.0, 10), ("Summit", "远山", 1.9, 8), ("Skiff", "小舟", 0.5, 8), ("Canvas", "画板", 1.2, 5),
    ("Brook", "溪流", 0.8, 6), ("Dawn", "晨光", 1.1, 5), ("Lily", "睡莲", 0.9, 4), ("Pebble", "鹅卵石", 0.6, 6),
    ("Pine", "青松", 1.4, 4), ("Cloud", "云朵", 0.7, 5), ("Lantern", "灯笼", 1.6, 3), ("Heron", "白鹭", 2.3, 2),
]

# key, en, zh, price in yuan, models of a line, weight among interests, [(what comes after, how often, of the same line or model)]
CATEGORIES = [
    ("phone", "phone", "手机", 2400, 5, 10, [("case", .75, "model"), ("film", .55, "model"), ("charger", .4, "line"), ("earbuds", .4, "line"), ("powerbank", .25, "")]),
    ("tablet", "tablet", "平板电脑", 1900, 3, 5, [("pen", .6, "line"), ("cover", .6, "model"), ("keyboard", .3, "line")]),
    ("laptop", "laptop", "笔记本电脑", 5200, 3, 5, [("bag", .55, ""), ("mouse", .6, "line"), ("keyboard", .3, "line"), ("monitor", .3, "line")]),
    ("earbuds", "earbuds", "无线耳机", 360, 4, 7, [("earcase", .35, "model"), ("speaker", .2, "line")]),
    ("headphones", "headphones", "头戴式耳机", 780, 3, 4, [("speaker", .3, "line")]),
    ("speaker", "speaker", "音箱", 320, 3, 4, [("lamp", .2, "line")]),
    ("watch", "watch", "智能手表", 850, 4, 6, [("strap", .65, "model"), ("scale", .25, "line"), ("bottle", .25, "")]),
    ("band", "fitness band", "手环", 190, 3, 4, [("strap", .4, "line"), ("mat", .3, ""), ("bottle", .25, "")]),
    ("charger", "charger", "充电器", 110, 3, 4, [("cable", .6, "line"), ("powerbank", .3, "line")]),
    ("powerbank", "power bank", "充电宝", 140, 3, 4, [("cable", .5, "line")]),
    ("cable", "cable", "数据线", 39, 3, 2, []),
    ("case", "case", "手机壳", 59, 0, 2, [("film", .4, "model")]),
    ("film", "screen film", "屏幕贴膜", 35, 0, 1, []),
    ("cover", "tablet cover", "平板保护套", 99, 0, 1, []),
    ("earcase", "earbud case", "耳机套", 29, 0, 1, []),
    ("strap", "watch strap", "表带", 79, 0, 2, []),
    ("pen", "stylus", "触控笔", 249, 2, 2, [("notebook", .3, "")]),
    ("keyboard", "keyboard", "键盘", 299, 3, 3, [("mouse", .45, "line")]),
    ("mouse", "mouse", "鼠标", 129, 3, 3, [("pad", .4, "")]),
    ("monitor", "monitor", "显示器", 1300, 2, 2, [("lamp", .35, ""), ("keyboard", .3, "line")]),
    ("bag", "backpack", "双肩包", 239, 3, 4, [("bottle", .3, "")]),
    ("pad", "mouse pad", "鼠标垫", 35, 1, 1, []),
    ("notebook", "notebook", "笔记本", 25, 1, 1, []),
    ("camera", "home camera", "家用摄像头", 260, 2, 4, [("doorbell", .4, "line"), ("sensor", .5, "line")]),
    ("doorbell", "doorbell", "智能门铃", 330, 2, 2, [("lock", .4, "line")]),
    ("lock", "door lock", "智能门锁", 1100, 2, 2, [("sensor", .4, "line")]),
    ("sensor", "window sensor", "门窗传感器", 69, 2, 2, []),
    ("lamp", "desk lamp", "台灯", 189, 3, 4, [("bulb", .5, "line")]),
    ("bulb", "smart bulb", "智能灯泡", 49, 2, 2, [("plug", .45, "line")]),
    ("plug", "smart plug", "智能插座", 59, 1, 2, []),
    ("vacuum", "robot vacuum", "扫地机器人", 1700, 3, 3, [("filter", .6, "line"), ("brush", .5, "line"), ("purifier", .2, "line")]),
    ("purifier", "air purifier", "空气净化器", 990, 2, 3, [("filter", .6, "line"), ("humidifier", .3, "line")]),
    ("humidifier", "humidifier", "加湿器", 219, 2, 2, []),
    ("filter", "filter", "滤芯", 89, 1, 1, []),
    ("brush", "brush set", "清洁刷套装", 69, 1, 1, []),
    ("kettle", "kettle", "电水壶", 169, 2, 3, [("cup", .5, ""), ("cooker", .25, "line")]),
    ("cooker", "rice cooker", "电饭煲", 399, 2, 3, [("kettle", .25, "line"), ("cup", .2, "")]),
    ("cup", "thermos cup", "保温杯", 79, 2, 2, []),
    ("scale", "body scale", "体重秤", 139, 2, 3, [("mat", .4, ""), ("bottle", .3, "")]),
    ("mat", "yoga mat", "瑜伽垫", 99, 2, 3, [("bottle", .5, ""), ("rope", .4, "")]),
    ("rope", "skipping rope", "跳绳", 45, 1, 2, []),
    ("bottle", "water bottle", "运动水壶", 59, 2, 2, []),
]

KINDS = {row[0]: row for row in CATEGORIES}
# What is made for one model of another category.
FITS = {"case": ("phone", 2), "film": ("phone", 1), "cover": ("tablet", 1), "earcase": ("earbuds", 1), "strap": ("watch", 2)}
FINISHES = [("clear", "透明"), ("leather", "皮革"), ("silicone", "硅胶"), ("woven", "编织")]
COLOURS = [("black", "黑色"), ("white", "白色"), ("green", "绿色"), ("blue", "蓝色"), ("grey", "灰色"), ("red", "红色")]


def price_of(rng, base, line, step):
    yuan = base * line[2] * (1 + 0.22 * step) * math.exp(rng.gauss(0, 0.06))
    return max(9, int(round(yuan / 10) * 10 - 1))


def make_item(rng, kind, line_index, step, model=None, finish=None):
    """`model`: the item that this one is made for."""
    key, en, zh, base = KINDS[kind][:4]
    line = LINES[line_index]
    number = rng.choice((2, 3, 5, 8)) + step
    colour = rng.choice(COLOURS)
    if model:
        mark = f"{finish[0]}-" if finish else ""
        ident = f"{kind}-{mark}{model['id']}"
        words = f"{finish[0]} {en}" if finish else en
        title = {"en": f"{words[0].upper()}{words[1:]} for {model['title']['en']}",
                 "zh": f"{model['title']['zh']}{finish[1] if finish else ''}{zh}"}
        price = max(9, int(base * line[2] ** 0.5 * (1.5 if finish and finish[0] == "leather" else 1)))
    else:
        number = step * 2 + 1 + line_index % 2
        ident = f"{kind}-{line[0].lower()}-{number}"
        title = {"en": f"{line[0]} {en} {number}", "zh": f"{line[1]}{zh} {number}"}
        price = price_of(rng, base, line, step)
    item = {"id": ident, "titles": title, "category": kind, "price": price,
            "attributes": {"line": line[0].lower(), "colour": colour[0]}, "available": rng.random() > 0.02,
            "regions": ["cn", "sg"] if line_index % 4 else ["cn"]}
    if model:
        item["attributes"]["fits"] = model["id"]
    return item, {"line": line_index, "step": step, "fits": model["id"] if model else None,
                  "fame": math.log(line[3]) + rng.gauss(0, 0.7) + 0.15 * step}


def make_catalogue(rng):
    """Items, and beside each what only the generator knows of it."""
    items, facts, by_kind = [], [], {}

    def add(pair):
        by_kind.setdefault(pair[0]["category"], []).append(len(items))
        items.append(pair[0])
        facts.append(pair[1])

    for key, _, _, _, models, _, _ in CATEGORIES:
        if key in FITS:
            continue
        makers = [i for i in range(len(LINES)) if rng.random() < (0.75 if models > 2 else 0.55)] or [0]
        for line in makers:
            for step in range(models):
                add(make_item(rng, key, line, step))
    for key, (fitted, finishes) in FITS.items():
        for index in list(by_kind[fitted]):
            for finish in (rng.sample(FINISHES, finishes) if finishes > 1 else [None]):
                add(make_item(rng, key, facts[index]["line"], facts[index]["step"], items[index], finish))
    return items, facts, by_kind


class Person:
    def __init__(self, rng):
        self.purse = rng.gauss(0, 0.5)  # the logarithm of what they spend, about the usual
        self.lines = [rng.gauss(0, 1.1) - 0.9 * abs(math.log(line[2]) - self.purse) for line in LINES]
        favourites = set(rng.sample([row[0] for row in CATEGORIES], 6))
        self.interests = {row[0]: row[5] * (6 if row[0] in favourites else 0.5) for row in CATEGORIES}
        self.curious = rng.uniform(0.35, 0.7)  # that a visit goes on
        self.faithful = rng.uniform(0.5, 0.9)  # that a thing leads to what belongs to it


def choose(rng, weights):
    return rng.choices(range(len(weights)), weights)[0]


def visit(rng, person, kind, wish, shop, seen):
    """Things of one kind, one after the other; `wish`: the thing that they are to go with, and how closely."""
    items, facts, by_kind = shop
    taken, last = [], None
    while True:
        left = [i for i in by_kind[kind] if i not in seen]
        if not left:
            return taken
        scores = []
        for i in left:
            score = facts[i]["fame"] + 1.3 * person.lines[facts[i]["line"]]
            if wish:
                source, how = wish
                if how == "model" and facts[i]["fits"] == items[source]["id"]:
                    score += 7
                if how == "line" and facts[i]["line"] == facts[source]["line"]:
                    score += 3.5
                score += 1 if facts[i]["step"] == facts[source]["step"] else 0
            if last is not None:  # alike: the line, or the next better one, or the price
                score += 2.2 * (facts[i]["line"] == facts[last]["line"])
                score += 1.5 * (facts[i]["step"] == facts[last]["step"] + 1)
                score -= 2.0 * abs(math.log(items[i]["price"] / items[last]["price"]))
            scores.append(score)
        top = max(scores)
        last = left[choose(rng, [math.exp(s - top) for s in scores])]
        taken.append(last)
        seen.add(last)
        if rng.random() > person.curious or len(taken) == 5:
            return taken


def live(rng, shop, length):
    """The items of one person's life, in order."""
    person = Person(rng)
    kinds = list(person.interests)
    weights = list(person.interests.values())
    wishes, history, seen = [], [], set()
    while len(history) < length:
        if wishes and rng.random() < person.faithful:
            kind, wish = wishes.pop(0)
        else:
            kind, wish = kinds[choose(rng, weights)], None
        taken = visit(rng, person, kind, wish, shop, seen)
        history += taken
        if not taken:
            continue
        follow = [(kind, (taken[-1], how)) for kind, often, how in KINDS[kind][6] if rng.random() < often]
        rng.shuffle(follow)
        wishes = (wishes + follow)[-4:]
    return history[:length]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--items", required=True)
    parser.add_argument("--events", required=True)
    parser.add_argument("--users", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(7)  # the shop is the same whoever comes
    shop = make_catalogue(rng)
    with open(options.items, "w", encoding="utf-8") as file:
        for item in shop[0]:
            file.write(json.dumps(item, ensure_ascii=False) + "\n")
    rng = random.Random(options.seed)
    events = 0
    with open(options.events, "w", encoding="utf-8") as file:
        for number in range(options.users):
            history = live(rng, shop, min(60, 5 + int(rng.expovariate(1 / 13))))
            at, times = 1_760_000_000_000 + rng.randrange(10**9), []
            for _ in history:
                at += int(rng.expovariate(1 / 40_000_000)) + 20_000
                times.append(at)
            events += len(history)
            file.write(json.dumps({"user": f"demo-{number}", "items": [shop[0][i]["id"] for i in history], "times": times}) + "\n")
    print(f"{len(shop[0])} items, {options.users} users, {events} events")


if __name__ == "__main__":
    main()
