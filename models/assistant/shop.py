"""The demo shop: its catalogue, its rules, and questions and answers about them in both languages.

Everything here is invented. A handler takes (rng, talk) and returns (question, answer); `talk` carries the
language and the product that the conversation is about, so that "how much is it?" has a meaning.
"""

from phrases import say

# en, zh, kind, price in yuan, colours en, colours zh, what it is en, zh, days of stock (0: sold out)
PRODUCTS = [
    ("Bamboo 5", "青竹 5", "phone", 1999, "green, white and black", "绿色、白色和黑色",
     "a light phone with a 6.1-inch screen and a battery that lasts all day",
     "一款轻巧的手机，配有 6.1 英寸屏幕，电池可以用一整天", 1),
    ("Bamboo 5 Pro", "青竹 5 Pro", "phone", 2999, "green and silver", "绿色和银色",
     "a phone with a 6.7-inch screen, three cameras and fast charging",
     "一款 6.7 英寸大屏手机，有三个摄像头，支持快充", 1),
    ("Summit 9", "远山 9", "phone", 4999, "black and gold", "黑色和金色",
     "our best phone, with a very sharp camera that also takes fine pictures at night",
     "我们最好的手机，相机非常清晰，夜晚也能拍出好照片", 1),
    ("Skiff 2", "小舟 2", "phone", 999, "blue and red", "蓝色和红色",
     "a simple phone with big letters, a loud speaker and a low price",
     "一款简单的手机，字体大，声音响，价格低", 1),
    ("Canvas 8", "画板 8", "tablet", 1599, "grey and pink", "灰色和粉色",
     "a small 8-inch tablet for reading and films",
     "一款 8 英寸小平板，适合看书和看电影", 1),
    ("Canvas 11", "画板 11", "tablet", 2599, "grey and white", "灰色和白色",
     "an 11-inch tablet with a pen, made for drawing and taking notes",
     "一款 11 英寸平板，带手写笔，适合画画和做笔记", 0),
    ("Bookhill laptop", "书山笔记本", "laptop", 5499, "silver", "银色",
     "a 14-inch laptop that weighs 1.2 kilograms and works for 12 hours",
     "一款 14 英寸笔记本电脑，重 1.2 公斤，可以用 12 小时", 1),
    ("Brook earbuds", "溪流耳机", "audio", 399, "white and blue", "白色和蓝色",
     "wireless earbuds that play for 8 hours and are safe in the rain",
     "一款无线耳机，可以连续播放 8 小时，不怕雨水", 1),
    ("Nocturne headphones", "静夜头戴耳机", "audio", 899, "black", "黑色",
     "large headphones that keep the noise outside",
     "一款头戴式耳机，可以把噪音挡在外面", 1),
    ("Bellflower speaker", "铃兰音箱", "audio", 299, "white and purple", "白色和紫色",
     "a small speaker with warm sound for the home",
     "一款小音箱，声音温暖，适合放在家里", 1),
    ("Dawn watch", "晨光手表", "watch", 799, "black and orange", "黑色和橙色",
     "a watch that measures your heart rate and your sleep, with GPS",
     "一款智能手表，可以测心率和睡眠，带 GPS", 1),
    ("Pulse band", "跃动手环", "watch", 199, "black, blue and pink", "黑色、蓝色和粉色",
     "a light band that counts your steps for 14 days on one charge",
     "一款轻便的手环，可以计步，充一次电用 14 天", 1),
    ("Swift charger", "飞燕充电器", "accessory", 129, "white", "白色",
     "a 65-watt charger that fills a phone in about 40 minutes",
     "一款 65 瓦快充充电器，大约 40 分钟充满一部手机", 1),
    ("Lily charging pad", "睡莲充电板", "accessory", 159, "white and grey", "白色和灰色",
     "a wireless charging pad for phones, earbuds and watches",
     "一款无线充电板，手机、耳机和手表都能用", 0),
    ("Pebble power bank", "鹅卵石充电宝", "accessory", 149, "grey and green", "灰色和绿色",
     "a power bank of 10000 mAh that charges a phone twice",
     "一款 10000 毫安时的充电宝，可以给手机充两次电", 1),
    ("Clearwater case", "清水手机壳", "accessory", 49, "clear and black", "透明和黑色",
     "a thin case that protects the phone when it falls",
     "一款很薄的手机壳，手机掉落时能保护它", 1),
    ("Lookout camera", "瞭望摄像头", "home", 259, "white", "白色",
     "a home camera that sees in the dark and sends a message when something moves",
     "一款家用摄像头，夜里也看得清，有动静时会发消息", 1),
    ("Crossway router", "路桥路由器", "home", 349, "white and black", "白色和黑色",
     "a Wi-Fi 6 router that covers a home of 120 square metres",
     "一款 Wi-Fi 6 路由器，可以覆盖 120 平方米的家", 1),
]

KINDS = {  # singular, plural, zh, measure word
    "phone": ("phone", "phones", "手机", "款"), "tablet": ("tablet", "tablets", "平板", "款"),
    "laptop": ("laptop", "laptops", "笔记本电脑", "款"), "audio": ("audio product", "headphones and speakers", "耳机和音箱", "款"),
    "watch": ("wearable", "watches and bands", "手表和手环", "款"), "accessory": ("accessory", "accessories", "配件", "款"),
    "home": ("home device", "home devices", "家用设备", "款"),
}
WARRANTY = {"phone": 12, "tablet": 12, "laptop": 24, "audio": 12, "watch": 12, "accessory": 6, "home": 12}


def name(p, lang):
    return ("the " + p[0]) if lang == "en" else p[1]


def agree(text):
    """Earbuds and headphones are plural in English."""
    for many in ("Brook earbuds", "Nocturne headphones"):
        for one, more in ((" costs ", " cost "), (" is ", " are "), (" has ", " have "), (" comes ", " come ")):
            text = text.replace(many + one, many + more)
        if many in text:
            text = text.replace("It costs", "They cost")
    return text


def pick(rng, talk):
    """Chooses the product that the talk is about from now on."""
    talk.product = rng.choice(PRODUCTS)
    return talk.product


# The facts about one product: question with its name {p}, question without (a follow-up), answer.
FACTS = {
    "price": {
        "en": (["[how much is|what is the price of|what's the price of|can you tell me the price of] {p}?",
                "how much does {p} cost?", "what does {p} cost?", "how much for {p}?", "price of {p}?", "is {p} expensive?"],
               ["how much is it?", "how much does it cost?", "[what is|what's] the price?", "and the price?", "what does it cost?",
                "how much?", "is it expensive?"],
               ["{p} costs {n} yuan.", "{p} is {n} yuan."]),
        "zh": (["{p}[多少钱|的价格是多少|卖多少钱|是什么价格|要多少钱|什么价|价格多少|贵吗]？", "一[个|款]{p}多少钱？", "我想知道{p}的价格。"],
               ["[它|这个|这款]多少钱？", "多少钱？", "价格[呢|是多少]？", "[它|这个|这款][卖多少钱|贵吗|要多少钱]？", "那价格呢？"],
               ["{p}的价格是 {n} 元。", "{p}售价 {n} 元。"]),
    },
    "colour": {
        "en": (["[what|which] colours does {p} come in?", "what colors does {p} have?", "which colours of {p} do you have?",
                "what colour is {p}?", "colours of {p}?"],
               ["what colours does it come in?", "which colours are there?", "what colors does it have?", "and the colours?",
                "what colour is it?"],
               ["{p} comes in {c}.", "you can get {p} in {c}."]),
        "zh": (["{p}[有哪些颜色|有什么颜色|有几种颜色|是什么颜色|都有什么颜色]？", "{p}的颜色有哪些？"],
               ["[它|这款|]有[哪些|什么]颜色？", "颜色呢？", "都有什么颜色？", "可以选什么颜色？"],
               ["{p}有{c}可以选。", "{p}有{c}。"]),
    },
    "what": {
        "en": (["what is {p}?", "tell me about {p}.", "[can you |]describe {p}[ for me|].", "what can {p} do?",
                "what's special about {p}?", "is {p} [any |]good?", "[introduce|I want to know more about] {p}."],
               ["what can it do?", "tell me more about it.", "what is special about it?", "is it [any |]good?", "tell me more."],
               ["{p} is {d}. It costs {n} yuan.", "{p} is {d}."]),
        "zh": (["{p}是什么？", "介绍一下{p}。", "[请|帮我|]介绍{p}。", "{p}怎么样？", "{p}有什么特点？", "{p}好用吗？", "{p}有什么功能？",
                "我想了解一下{p}。"],
               ["[它|这款]有什么特点？", "[它|这款|]怎么样？", "[再|]介绍一下它。", "有什么功能？", "好用吗？", "说说看。"],
               ["{p}是{d}，价格是 {n} 元。", "{p}是{d}。"]),
    },
    "stock": {
        "en": (["[is {p} in stock|do you have {p}|do you sell {p}|can I buy {p} now|is {p} available]?", "do you have {p} in stock?"],
               ["is it in stock?", "is it available[ now|]?", "can I buy it now?", "do you have it[ in stock|]?"],
               None),
        "zh": (["{p}[有货吗|有现货吗|还有吗|现在能买到吗|还有货吗|缺货吗]？", "你们[有|卖]{p}吗？"],
               ["[有货吗|有现货吗|现在能买到吗|还有货吗]？", "[它|这款]有货吗？"],
               None),
    },
    "warranty": {
        "en": (["how long is the warranty [of|for|on] {p}?", "does {p} have a warranty?", "what warranty does {p} have?"],
               ["how long is the warranty?", "does it have a warranty?", "and the warranty?", "is there a warranty?"],
               ["{p} has a warranty of {w} months.", "the warranty of {p} is {w} months."]),
        "zh": (["{p}[保修多久|有保修吗|的保修期是多久|保修几个月|质保多久]？"],
               ["保修多久？", "有保修吗？", "保修期[呢|是多久]？", "质保多久？"],
               ["{p}保修 {w} 个月。", "{p}的保修期是 {w} 个月。"]),
    },
}
STOCK_ANSWER = {
    "en": ["Yes, {p} is in stock. We can send it today.", "Sorry, {p} is sold out. New stock comes next week."],
    "zh": ["有的，{p}有现货，今天就可以发货。", "抱歉，{p}暂时缺货，下周到货。"],
}


def fact_answer(rng, p, lang, fact):
    answers = FACTS[fact][lang][2]
    if fact == "stock":
        answers = STOCK_ANSWER[lang][0 if p[8] else 1]
    return agree(say(rng, answers, p=name(p, lang), n=p[3], c=p[4] if lang == "en" else p[5],
                     d=p[6] if lang == "en" else p[7], w=WARRANTY[p[2]]))


def named_fact(rng, talk):
    p = pick(rng, talk)
    fact = rng.choices(["price", "colour", "what", "stock", "warranty"], [5, 2, 3, 2, 2])[0]
    called = name(p, talk.lang)
    if talk.lang == "en" and rng.random() < 0.35:
        called = p[0]  # without the article
    return say(rng, FACTS[fact][talk.lang][0], p=called), \
        fact_answer(rng, p, talk.lang, fact)


def follow_fact(rng, talk):
    """A question about the product of the turn before; or the same question about another product."""
    if talk.product is None:
        return named_fact(rng, talk)
    fact = rng.choices(["price", "colour", "what", "stock", "warranty"], [5, 3, 2, 2, 2])[0]
    question = say(rng, FACTS[fact][talk.lang][1])
    talk.fact = fact
    return question, fact_answer(rng, talk.product, talk.lang, fact)


def what_about(rng, talk):
    """'And the Summit 9?' repeats the last question for another product."""
    if talk.fact is None:
        return follow_fact(rng, talk)
    p = pick(rng, talk)
    question = say(rng, {"en": ["[and|what about|how about] {p}?"], "zh": ["{p}呢？", "那{p}呢？"]}[talk.lang],
                   p=name(p, talk.lang))
    return question, fact_answer(rng, p, talk.lang, talk.fact)


def buy_it(rng, talk):
    if talk.product is None:
        return named_fact(rng, talk)
    p = talk.product
    if p[8]:
        answer = {"en": "Good choice! Your order of {p} is {n} yuan and arrives in two to three days. You can pay by card or phone.",
                  "zh": "好的！{p}一共 {n} 元，两到三天送到，可以刷卡或者手机支付。"}
    else:
        answer = {"en": "Sorry, {p} is sold out. New stock comes next week.", "zh": "抱歉，{p}暂时缺货，下周到货。"}
    return say(rng, {"en": ["[OK, |]I'll take [it|one].", "I want to buy it.", "[OK, |]I would like to buy one."],
                     "zh": ["[好，|]我要[买|]一个。", "我想买[它|这个]。", "那我买一个吧。", "[好的，|]我买了。"]}[talk.lang]), \
        say(rng, answer[talk.lang], p=name(p, talk.lang), n=p[3])


def cheaper(rng, talk):
    """Says both prices first: the comparison is then read off its own words."""
    a, b = rng.sample(PRODUCTS, 2)
    low = rng.random() < 0.6
    better = a if (a[3] < b[3]) == low else b
    talk.product = better
    question = say(rng, {"en": ["[which is|which one is|what is] {x}, {a} or {b}?", "is {a} or {b} {x}?"],
                         "zh": ["{a}和{b}[哪个|哪一个]更{x}？", "{a}和{b}比，哪个{x}？", "哪个更{x}，{a}还是{b}？"]}[talk.lang],
                   a=name(a, talk.lang), b=name(b, talk.lang),
                   x={"en": "cheaper" if low else "more expensive", "zh": "便宜" if low else "贵"}[talk.lang])
    answer = say(rng, {"en": "{a} costs {m} yuan and {b} costs {n} yuan, so {c} is {x}.",
                       "zh": "{a} {m} 元，{b} {n} 元，所以{c}更{x}。"}[talk.lang],
                 a=name(a, talk.lang), b=name(b, talk.lang), c=name(better, talk.lang), m=a[3], n=b[3],
                 x={"en": "cheaper" if low else "more expensive", "zh": "便宜" if low else "贵"}[talk.lang])
    return question, agree(answer)


def several(rng, talk):
    p = pick(rng, talk)
    k = rng.choice([2, 3])
    en, zh = {2: ("two", "两"), 3: ("three", "三")}[k]
    if talk.lang == "en":
        question = say(rng, ["how much for {k} of {p}?", "what do {k} of {p} cost?", "if I buy {p} {t}, how much is it?"],
                       k=en, p=name(p, "en"), t={2: "twice", 3: "three times"}[k])
        return question, agree(f"The {p[0]} costs {p[3]} yuan, so {en} cost {p[3] * k} yuan.")
    question = say(rng, ["买{k}个{p}[一共|]多少钱？", "{k}个{p}多少钱？"], k=zh, p=p[1])
    return question, f"{p[1]}每个 {p[3]} 元，{zh}个一共 {p[3] * k} 元。"


def listing(rng, talk):
    kind = rng.choice(list(KINDS))
    en, plural, zh, _ = KINDS[kind]
    here = [p for p in PRODUCTS if p[2] == kind]
    if talk.lang == "en":
        items = [f"the {p[0]} ({p[3]} yuan)" for p in here]
        text = items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
        return say(rng, ["[what|which] {k} do you [sell|have]?", "do you [sell|have] [any |]{k}?", "show me your {k}.",
                         "I am looking for {k}.", "I want to see some {k}."], k=plural), f"We have {text}."
    items = [f"{p[1]}（{p[3]} 元）" for p in here]
    text = items[0] if len(items) == 1 else "、".join(items[:-1]) + "和" + items[-1]
    return say(rng, ["你们[有|卖][哪些|什么]{k}？", "有{k}吗？", "[我想看看|给我看看|我想买]{k}。", "店里有哪些{k}？"], k=zh), f"我们有{text}。"


def whole_range(rng, talk):
    return say(rng, {"en": ["what do you sell?", "what products do you have?", "what can I buy [here|in your shop]?",
                            "what is in your [shop|store]?"],
                     "zh": ["你们卖什么？", "[你们|店里]有什么[产品|商品]？", "[这里|你们店]能买到什么？", "你们店卖哪些东西？"]}[talk.lang]), \
        {"en": "We sell phones, tablets, a laptop, headphones, speakers, watches, chargers, phone cases and home devices. "
               "Which of them would you like to know about?",
         "zh": "我们卖手机、平板、笔记本电脑、耳机、音箱、手表、充电器、手机壳和家用设备。您想了解哪一种？"}[talk.lang]


def extreme(rng, talk):
    """The cheapest and the dearest of a kind with at least two products."""
    kind = rng.choice(["phone", "phone", "tablet", "audio", "watch", "accessory"])
    low = rng.random() < 0.5
    here = sorted((p for p in PRODUCTS if p[2] == kind), key=lambda p: p[3])
    p = here[0] if low else here[-1]
    talk.product = p
    en = {"phone": "phone", "tablet": "tablet", "audio": "audio product", "watch": "watch or band", "accessory": "accessory"}[kind]
    zh = KINDS[kind][2]
    if talk.lang == "en":
        x = "cheapest" if low else "most expensive"
        return say(rng, ["[what|which] is [the|your] {x} {k}?", "tell me the {x} {k}.", "which {k} is the {x}?"], x=x, k=en), \
            agree(f"The {x} {en} is the {p[0]}. It costs {p[3]} yuan.")
    x = "便宜" if low else "贵"
    return say(rng, ["最{x}的{k}是[哪个|哪款|什么]？", "哪[个|款]{k}最{x}？", "你们最{x}的{k}[多少钱|是哪款]？"], x=x, k=zh), \
        f"最{x}的{zh}是{p[1]}，价格是 {p[3]} 元。"


NEEDS = [  # what for en, zh, index of the product
    ("taking photos", "拍照", 2), ("my grandmother", "奶奶", 3), ("my grandfather", "爷爷", 3), ("an old person", "老人", 3),
    ("travelling", "旅行", 14), ("running", "跑步", 10), ("sports", "运动", 11), ("drawing", "画画", 5), ("reading", "看书", 4),
    ("watching films", "看电影", 4), ("listening to music", "听音乐", 7), ("a noisy office", "吵闹的办公室", 8),
    ("working", "办公", 6), ("writing code", "写代码", 6), ("my child", "孩子", 4), ("studying", "学习", 5),
    ("parties at home", "家里聚会", 9), ("watching my cat at home", "在家看猫", 16), ("better Wi-Fi", "更好的网络", 17),
    ("sleep tracking", "记录睡眠", 10), ("big screens and games", "玩游戏", 1), ("daily use", "日常使用", 0),
]


def recommend(rng, talk):
    en, zh, index = rng.choice(NEEDS)
    p = talk.product = PRODUCTS[index]
    if talk.lang == "en":
        return say(rng, ["[can you |please |]recommend something for {x}[?|.]", "what do you recommend for {x}?", "what should I buy for {x}?",
                         "I need something for {x}.", "which product is good for {x}?", "what is best for {x}?"], x=en), \
            agree(f"For {en} I recommend the {p[0]}: {p[6]}. It costs {p[3]} yuan.")
    who = zh in ("奶奶", "爷爷", "老人", "孩子")
    return say(rng, ["我想[给{x}买|送{x}]一个东西，[推荐什么|有什么推荐]？", "[有什么适合|什么适合|哪款适合]{x}的？", "给{x}推荐一[款|个]。"] if who else
               ["[有什么适合|什么适合|哪款适合]{x}的？", "推荐一款适合{x}的[产品|]。", "我想{x}，[买什么好|推荐什么]？", "{x}用什么好？"], x=zh), \
        f"适合{zh}的，我推荐{p[1]}：{p[7]}，价格是 {p[3]} 元。"


BUDGETS = [(1000, 3), (1500, 3), (2000, 0), (2500, 0), (3000, 1), (4000, 1), (5000, 2), (6000, 2)]


def budget(rng, talk):
    n, index = rng.choice(BUDGETS)
    p = talk.product = PRODUCTS[index]
    if talk.lang == "en":
        return say(rng, ["[which|what] phone can I buy [for|with] {n} yuan?", "recommend a phone [under|below] {n} yuan.",
                         "I have {n} yuan. Which phone should I buy?", "my budget is {n} yuan. Which phone do you recommend?"], n=n), \
            f"With {n} yuan I recommend the {p[0]} for {p[3]} yuan: {p[6]}."
    return say(rng, ["{n} 元[以内|以下|左右]推荐哪款手机？", "[我的|]预算 {n} 元，[买什么手机|推荐哪款手机]？", "{n} 元能买什么手机？",
                     "我有 {n} 元，想买手机。"], n=n), f"{n} 元的预算，我推荐{p[1]}，价格 {p[3]} 元：{p[7]}。"


# The rules of the shop: questions and answer, en and zh.
RULES = [
    (["how long does [delivery|shipping] take?", "when will my order arrive?", "how fast do you deliver?", "how many days is delivery?",
      "when do I get [it|my order]?"], "Delivery takes two to three days. In the city you can have it the next day for 15 yuan more.",
     ["[多久|几天]能[送到|到货|收到]？", "快递要[多久|几天]？", "送货要多长时间？", "什么时候能到？", "配送需要几天？", "下单后几天到？"],
     "一般两到三天送到。市内可以选次日达，另加 15 元。"),
    (["how much is [delivery|shipping]?", "is [delivery|shipping] free?", "what does [delivery|shipping] cost?", "do I pay for delivery?"],
     "Delivery is free for orders of 99 yuan or more. Below that it costs 8 yuan.",
     ["[运费|邮费]多少[钱|]？", "包邮吗？", "[快递费|送货]要多少钱？", "免运费吗？", "运费怎么算？"], "满 99 元包邮，不满 99 元收 8 元运费。"),
    (["can I return [it|a product|something]?", "how do I return [it|a product]?", "what is your return policy?", "I want to return my [phone|order|watch].",
      "how long can I return it?", "can I get my money back?"],
     "You can return a product within 7 days without a reason. Keep the box, please. The money is back within 3 working days.",
     ["[可以|能]退货吗？", "怎么退货？", "退货政策是什么？", "我想退货。", "[几天内|多久内]可以退？", "不喜欢可以退吗？", "可以退款吗？"],
     "7 天内可以无理由退货，请保留好包装。退款会在 3 个工作日内到账。"),
    (["can I exchange it?", "can I change the colour later?", "how do I exchange a product?", "I want to exchange my order."],
     "Yes, you can exchange a product for another one within 15 days.",
     ["[可以|能]换货吗？", "怎么换货？", "我想换一个颜色。", "能换吗？"], "可以，15 天内可以换货。"),
    (["what is your warranty?", "how long is the warranty in general?", "do you give a warranty?", "what about warranty?"],
     "Phones, tablets and watches have a warranty of 12 months, the laptop 24 months and accessories 6 months.",
     ["你们的保修政策是什么？", "一般保修多长时间？", "产品都保修多久？", "有质保吗？"], "手机、平板和手表保修 12 个月，笔记本电脑 24 个月，配件 6 个月。"),
    (["when are you open?", "what are your [opening|store|shop] hours?", "when do you [open|close]?", "are you open [on Sunday|on Monday|today|at the weekend]?",
      "what time does the [shop|store] [open|close]?"], "We are open every day from 9 in the morning to 9 in the evening.",
     ["[你们|店里]几点[开门|关门|营业]？", "营业时间是[什么|几点到几点]？", "[周末|周日|星期天|今天]开门吗？", "什么时候营业？", "几点下班？"],
     "我们每天早上 9 点到晚上 9 点营业。"),
    (["where is [your|the] [shop|store]?", "what is your address?", "how do I find [you|the shop]?", "where are you?"],
     "Our shop is at 8 Bridgeside Road, next to the old stone bridge.",
     ["[你们|店]在哪[里|儿]？", "[店|]地址是什么？", "怎么去你们店？", "店铺在什么地方？"], "我们的店在桥边路 8 号，就在老石桥旁边。"),
    (["what is your phone number?", "how can I [call|contact|reach] you?", "I want to talk to a [person|human].", "can I speak with someone?", "customer service please."],
     "You can call our colleagues at 400-000-1234, every day from 9 to 21.",
     ["[你们的|客服|]电话是多少？", "怎么联系[你们|客服]？", "[转|我要找]人工[客服|]。", "我想和真人说话。", "有客服吗？"], "您可以拨打客服电话 400-000-1234，每天 9 点到 21 点有人接听。"),
    (["how can I pay?", "do you take [cards|credit cards|cash]?", "which payment methods do you accept?", "can I pay [by card|in cash|with my phone]?"],
     "You can pay by card, in cash or with your phone.",
     ["[可以|能]怎么付款？", "[可以|能]刷卡吗？", "支持什么支付方式？", "怎么支付？", "可以用现金吗？"], "可以刷卡、付现金，也可以用手机支付。"),
    (["can I pay in instalments?", "do you offer instalments?", "can I pay monthly?"],
     "Yes. From 1000 yuan you can pay in 3, 6 or 12 months without interest.",
     ["[可以|能]分期[付款|]吗？", "支持分期吗？", "怎么分期？"], "可以。满 1000 元可以分 3 期、6 期或 12 期，免利息。"),
    (["do you have a [student |]discount?", "is there a discount?", "can you give me a discount?", "can it be cheaper?", "any offers [today|now]?"],
     "Students get 5 percent off with a student card. Members collect points with each order.",
     ["有[优惠|折扣|活动]吗？", "能便宜一点吗？", "学生有优惠吗？", "可以打折吗？", "有没有优惠？"], "学生凭学生证可以打九五折，会员每次购物都有积分。"),
    (["can you repair my phone?", "my [phone|screen|tablet] is broken.", "do you repair phones?", "my phone does not work.", "my screen is cracked."],
     "I am sorry to hear that. Please bring it to our shop. We look at it for free, and most repairs take one day.",
     ["[可以|能]修手机吗？", "我的[手机|屏幕|平板]坏了。", "你们修手机吗？", "手机[开不了机|不能用了]怎么办？", "屏幕碎了怎么办？"],
     "很抱歉听到这个消息。请把它带到店里，检测免费，大多数维修一天就好。"),
    (["can I trade in my old phone?", "do you buy old phones?", "what is my old phone worth?"],
     "Yes, bring your old phone to the shop. We check it and take its value off the price of the new one.",
     ["[可以|能]以旧换新吗？", "旧手机能[换|抵]钱吗？", "你们回收旧手机吗？"], "可以，请把旧手机带到店里，检测后可以抵扣新手机的价格。"),
    (["can you wrap it as a gift?", "is it possible to gift-wrap it?", "it is a gift."], "Of course. Gift wrapping is free, and you can add a card.",
     ["可以[包装成礼物|礼品包装]吗？", "我是送人的。", "这是礼物，能包一下吗？"], "当然可以，礼品包装免费，还可以附一张贺卡。"),
    (["where is my order?", "what is the status of my order?", "has my order been sent?", "can you track my order?"],
     "I cannot see orders. Please call 400-000-1234 and have your order number ready.",
     ["我的[订单|快递|包裹][到哪了|在哪里]？", "帮我查一下订单。", "订单发货了吗？", "查物流。"], "我看不到订单信息。请拨打 400-000-1234，并准备好订单号。"),
    (["can I get an invoice?", "do you give invoices?", "I need an invoice."], "Yes, you get an electronic invoice by e-mail after you pay.",
     ["[可以|能]开发票吗？", "怎么开发票？", "我要发票。"], "可以，付款后电子发票会发到您的邮箱。"),
    (["I want to cancel my order.", "how do I cancel an order?", "can I cancel?"],
     "You can cancel an order free of charge before it is sent. Please call 400-000-1234.",
     ["[怎么|我想]取消订单？", "订单可以取消吗？", "我不想要了，能取消吗？"], "发货前可以免费取消订单，请拨打 400-000-1234。"),
    (["what is the name of your [shop|store]?", "what shop is this?", "which shop is this?"], "This is Bridgeside Gadgets, a small demo shop for phones and gadgets.",
     ["你们店叫什么[名字|]？", "这是什么店？", "店名是什么？"], "这里是桥边数码，一家卖手机和数码产品的演示小店。"),
]


def rule(rng, talk):
    q_en, a_en, q_zh, a_zh = rng.choice(RULES)
    return say(rng, q_en if talk.lang == "en" else q_zh), a_en if talk.lang == "en" else a_zh


HANDLERS = [(named_fact, 12), (rule, 9), (recommend, 3), (listing, 3), (cheaper, 3), (extreme, 2), (budget, 1.5), (several, 1.5),
            (whole_range, 0.7)]
FOLLOW = [(follow_fact, 8), (what_about, 4), (buy_it, 1.5)]
