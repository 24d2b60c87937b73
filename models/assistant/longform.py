"""Longer answers, so that there is something to stream: stories, poems, explanations, advice."""

from phrases import say

HEROES = [("a little fox", "一只小狐狸"), ("a young fisherman", "一个年轻的渔夫"), ("a small robot", "一个小机器人"), ("an old cat", "一只老猫"),
          ("a girl with a red umbrella", "一个打红伞的女孩"), ("a boy and his dog", "一个男孩和他的狗"), ("a tired traveller", "一个疲惫的旅人"), ("a white rabbit", "一只白兔")]
TOPICS = [("fox", "狐狸", 0), ("fisherman", "渔夫", 1), ("robot", "机器人", 2), ("cat", "猫", 3), ("girl", "女孩", 4), ("dog", "狗", 5), ("traveller", "旅人", 6), ("rabbit", "兔子", 7)]
PLACES = [("at the foot of a mountain", "山脚下"), ("beside a wide river", "一条大河边"), ("in a quiet village", "一个安静的村子里"), ("at the edge of a forest", "森林边上"),
          ("in a small town by the sea", "海边的小镇上")]
PLOTS = [
    ("One morning {he} found a broken bridge. Nobody could cross the river any more, and the children could not go to school. So {he} collected wood and stones, day after day. "
     "The neighbours laughed at first, then they came to help. After one month the bridge stood again, stronger than before. And on the other side {he} found many new friends.",
     "一天早上，{he}发现桥断了。谁也过不了河，孩子们也不能去上学。于是{he}每天收集木头和石头。邻居们起初在笑，后来都来帮忙。一个月以后，桥又立起来了，比以前更结实。"
     "在河的另一边，{he}认识了许多新朋友。"),
    ("One night a star fell from the sky and landed in the grass. It was cold and afraid. {He} took it home, gave it warm tea and told it a story. "
     "The next evening they climbed the highest hill together, and the star flew back to the sky. Since then it shines a little brighter over that house than over any other.",
     "一天夜里，一颗星星从天上掉下来，落在草地上。它又冷又害怕。{he}把它带回家，给它热茶，还给它讲故事。第二天晚上，他们一起爬上最高的山，星星飞回了天上。"
     "从那以后，它在那座房子上面总是更亮一些。"),
    ("One winter it snowed for ten days, and there was little to eat. {He} still had one loaf of bread. An old woman knocked at the door and asked for help, and they shared the bread. "
     "In spring she came back with a bag of seeds. They planted them together, and in autumn the garden gave enough food for the whole village.",
     "有一年冬天，雪下了十天，吃的东西很少。{he}只剩一个面包。一位老奶奶来敲门求助，他们就分着吃了。春天，老奶奶带着一袋种子回来了。他们一起把种子种下去，"
     "到了秋天，园子里的粮食够全村人吃。"),
    ("One day a letter came with the wind. It said: follow the blue birds. {He} packed some apples and walked for three days. Behind the last hill there was a lake as clear as glass, "
     "and beside it stood a house with an open door. Inside sat an old friend, who had waited for a long time. They talked until the moon was high.",
     "有一天，风吹来一封信，上面写着：跟着蓝色的鸟走。{he}带上几个苹果，走了三天。在最后一座山的后面，有一个像玻璃一样清澈的湖，湖边有一座开着门的房子。"
     "里面坐着一位老朋友，已经等了很久。他们一直聊到月亮升得很高。"),
]


def story_text(rng, lang, hero=None, plot=None):
    en, zh = HEROES[hero] if hero is not None else rng.choice(HEROES)
    place = rng.choice(PLACES)
    plot = rng.choice(PLOTS) if plot is None else PLOTS[plot]
    if lang == "en":
        short = "they" if "and his" in en else "the " + en.split(" with ")[0].split(" ", 1)[1]
        he = short.split(" ")[0] + " " + short.split(" ")[-1] if " " in short else short
        return f"Once upon a time there lived {en} {place[0]}. " + plot[0].format(he=he, He=he[:1].upper() + he[1:])
    he = {"一只": "它", "一个": "他"}[zh[:2]]
    he = {"一个打红伞的女孩": "她", "一个小机器人": "它", "一个男孩和他的狗": "他们"}.get(zh, he)
    return f"从前，在{place[1]}，住着{zh}。" + plot[1].format(he=he)


def story(rng, talk):
    if rng.random() < 0.5:
        en, zh, hero = rng.choice(TOPICS)
        q = say(rng, {"en": ["[tell me|write|can you tell me] a [short |]story about a {x}.", "a story about a {x}[, please|]."],
                      "zh": ["[讲|说|给我讲|写]一个[关于|]{x}的[小|]故事[吧|]。", "我想听{x}的故事。"]}[talk.lang], x=en if talk.lang == "en" else zh)
        return q, story_text(rng, talk.lang, hero)
    return say(rng, {"en": ["tell me a [short |]story[, please|].", "can you tell me a story?", "I want to hear a story.", "[please |]write a short story."],
                     "zh": ["[给我|]讲[一|]个[小|]故事[吧|]。", "说个故事。", "我想听故事。", "写一个[短|小]故事。", "能给我讲个故事吗？"]}[talk.lang]), story_text(rng, talk.lang)


POEMS = {
    "moon": ("月亮", "The moon looks down on field and stream,\nit paints the roofs with silver light.\nThe river carries, like a dream,\nits little lanterns through the night.",
             "月亮照着小河湾，\n银光落在旧屋檐。\n晚风轻轻摇小船，\n带着梦儿到天边。"),
    "spring": ("春天", "The snow is gone, the buds are green,\na bird sings on the garden wall.\nThe softest rain I have ever seen\nbrings flowers out for one and all.",
               "春风吹绿小山坡，\n燕子飞来唱新歌。\n细雨轻轻润花朵，\n河边柳树笑呵呵。"),
    "sea": ("大海", "The sea is wide, the sea is deep,\nit sings the ships a song of sleep.\nIts waves run white towards the land\nand write their letters in the sand.",
            "大海大海蓝又宽，\n浪花一朵连一朵。\n白帆远远天边过，\n贝壳轻轻唱着歌。"),
    "bridge": ("桥", "A bridge of stone, a bridge of wood,\nfor hundred years it firmly stood.\nIt joins the left side to the right,\nand friends can meet by day and night.",
               "一座小桥弯弯腰，\n流水从它脚下跑。\n东边西边手拉手，\n朋友过河把手招。"),
    "autumn": ("秋天", "The leaves turn yellow, red and brown,\nthe wind has come to shake them down.\nThe geese fly south across the sky,\nand summer waves a last goodbye.",
               "秋风起来树叶黄，\n片片落在小路旁。\n大雁排队往南飞，\n田里稻子闪金光。"),
    "cat": ("猫", "A cat sits on the window sill,\nthe house is warm, the night is still.\nShe dreams of fish, she dreams of cream,\nand smiles a little in her dream.",
            "小猫坐在窗台上，\n眯着眼睛晒太阳。\n梦见小鱼游过来，\n嘴角弯弯笑得香。"),
}


def poem(rng, talk):
    key = rng.choice(list(POEMS))
    zh, a, b = POEMS[key]
    return say(rng, {"en": ["[write|give me|can you write] a [short |]poem about [the |]{x}.", "a poem about [the |]{x}[, please|]."],
                     "zh": ["[写|来|作]一首[关于|]{x}的诗[吧|]。", "[请|]以{x}为题写一首[小|]诗。", "写首{x}的诗"]}[talk.lang], x=key if talk.lang == "en" else zh), \
        a if talk.lang == "en" else b


def any_poem(rng, talk):
    return say(rng, {"en": ["write [me |]a [short |]poem.", "do you know a poem?", "a poem, please."], "zh": ["写一首[小|]诗[吧|]。", "来首诗[吧|]。", "你会写诗吗？"]}[talk.lang]), \
        POEMS["bridge"][1 if talk.lang == "en" else 2]


EXPLAIN = [
    (["what is Bluetooth?", "how does Bluetooth work?", "explain Bluetooth."],
     "Bluetooth is a way for devices to talk to each other over a short distance without a cable. It uses radio waves, much weaker than those of a phone mast. "
     "You pair two devices once, for example a phone and earbuds. After that they find each other as soon as both are switched on and close to each other.",
     ["什么是蓝牙？", "蓝牙是什么？", "[解释一下|介绍一下]蓝牙。", "蓝牙是怎么工作的？"],
     "蓝牙是一种让设备在短距离内不用线就能互相通信的技术。它使用很弱的无线电波。两台设备只要配对一次，比如手机和耳机，以后打开电源并且靠近时就会自动连接。"),
    (["what is [Wi-Fi|wifi]?", "how does Wi-Fi work?", "explain Wi-Fi."],
     "Wi-Fi connects phones and computers to the internet by radio. A router at home is joined to the network by a cable and sends the data through the air. "
     "Walls make the signal weaker, so put the router in the middle of the home and keep it away from metal.",
     ["什么是[Wi-Fi|无线网]？", "Wi-Fi是什么？", "[解释一下|介绍一下]无线网络。"],
     "Wi-Fi 用无线电把手机和电脑连接到互联网。家里的路由器用线接入网络，再把数据从空中发给设备。墙会让信号变弱，所以路由器最好放在家的中间，并且远离金属。"),
    (["how can I save battery?", "how do I make my battery last longer?", "my battery is empty so fast. What can I do?", "give me tips to save battery."],
     "Here are some tips:\n1. Make the screen darker.\n2. Switch off GPS and Bluetooth when you do not need them.\n3. Close apps that run in the background.\n4. Keep the phone away from heat.\n5. Use the battery saver at night.",
     ["怎么[省电|节省电量]？", "手机怎么更省电？", "电池用得太快怎么办？", "给我一些省电的建议。", "手机耗电快怎么办？"],
     "可以试试这些方法：\n1. 把屏幕调暗一点。\n2. 不用的时候关掉定位和蓝牙。\n3. 关闭后台运行的应用。\n4. 不要让手机太热。\n5. 晚上打开省电模式。"),
    (["why is the sky blue?", "explain why the sky is blue.", "do you know why the sky is blue?"],
     "Sunlight is a mixture of all colours. When it passes through the air, the tiny particles of the air scatter blue light much more than red light. "
     "So blue light reaches our eyes from every direction, and the sky looks blue. In the evening the way through the air is longer, the blue is lost, and the sky turns red.",
     ["天空为什么是蓝[色|]的？", "为什么天是蓝的？", "天为什么这么蓝？"],
     "阳光里有各种颜色的光。它穿过空气时，空气里很小的粒子把蓝光散射得比红光多得多。所以蓝光从四面八方进入我们的眼睛，天空看起来就是蓝色的。傍晚光走的路更长，蓝光散掉了，天空就变红了。"),
    (["what is wireless charging?", "how does wireless charging work?", "explain wireless charging."],
     "Wireless charging works with two coils. The coil in the pad makes a magnetic field that changes very fast, and the coil in the phone turns this field back into electricity. "
     "It is comfortable, but slower and warmer than a cable. Put the phone in the middle of the pad and take off thick cases.",
     ["什么是无线充电？", "无线充电是怎么工作的？", "[解释|介绍]一下无线充电。"],
     "无线充电靠两个线圈。充电板里的线圈产生快速变化的磁场，手机里的线圈再把磁场变成电。它很方便，但是比用线慢，也更热一些。请把手机放在充电板的中间，并取下厚的手机壳。"),
    (["how do I choose a phone?", "which phone is right for me?", "help me choose a phone.", "how to choose a phone?"],
     "First think about what you do most. For photos choose a good camera, like the Summit 9. For films and games choose a big screen, like the Bamboo 5 Pro. "
     "For daily use the Bamboo 5 is enough, and for people who want it simple there is the Skiff 2. Then look at your budget, and tell me if you need more help.",
     ["怎么[选|挑]手机？", "我该买哪款手机？", "帮我选一款手机。", "手机怎么选？"],
     "先想想你最常用手机做什么。喜欢拍照可以选相机好的远山 9，喜欢看电影和玩游戏可以选大屏的青竹 5 Pro，日常使用青竹 5 就够了，想要简单好用的可以选小舟 2。然后看看预算，需要的话可以再问我。"),
    (["what is a language model?", "how do you work?", "what is an AI model?", "how do language models work?"],
     "A language model is a program that has read many sentences and learned which word is likely to come next. It writes an answer word by word. "
     "It does not look things up and has no feelings, so it can be wrong. I am a very small one, trained only on simple dialogues, so please check what I say.",
     ["什么是语言模型？", "你是怎么工作的？", "语言模型是什么？", "你的原理是什么？"],
     "语言模型是一个读过很多句子的程序，它学会了下一个词可能是什么，然后一个词一个词地写出回答。它不会查资料，也没有感情，所以可能会出错。我是其中很小的一个，只学过简单的对话，所以请核对我说的话。"),
    (["how do I set up my new phone?", "I have a new phone. What do I do first?", "how to start with a new phone?"],
     "Do it step by step:\n1. Charge the phone.\n2. Put in the SIM card.\n3. Switch it on and choose your language.\n4. Connect it to Wi-Fi.\n5. Copy your contacts and photos from the old phone.\n6. Set a screen lock.",
     ["新手机怎么设置？", "新手机[买来|到手]先做什么？", "怎么[开始使用|设置]新手机？"],
     "一步一步来：\n1. 给手机充电。\n2. 装上 SIM 卡。\n3. 开机并选择语言。\n4. 连接无线网络。\n5. 从旧手机复制联系人和照片。\n6. 设置屏幕锁。"),
    (["how can I sleep better?", "give me tips for good sleep.", "how do I sleep well?"],
     "Here are some tips:\n1. Go to bed at the same time every day.\n2. Put the phone away an hour before.\n3. Keep the room dark and cool.\n4. Drink no coffee in the evening.\n5. Read a few pages of a book.",
     ["怎么睡得更好？", "怎样才能睡好？", "给我一些睡眠的建议。"],
     "可以试试这些方法：\n1. 每天同一时间睡觉。\n2. 睡前一小时放下手机。\n3. 房间要暗一点、凉一点。\n4. 晚上不喝咖啡。\n5. 读几页书。"),
    (["how do I learn [Chinese|English|a language]?", "give me tips for learning [English|Chinese].", "how can I learn a language?"],
     "Learn a little every day. Start with the most common words, listen to songs and short films, and speak aloud even when you make mistakes. "
     "Write three sentences about your day each evening. Find a friend to talk to. After a few months you will be surprised how much you understand.",
     ["怎么学[英语|外语|中文]？", "学[英语|外语]有什么好方法？", "怎样学好英语？"],
     "每天学一点。先学最常用的词，多听歌、看短片，说错了也要大胆说出来。每天晚上写三句话讲讲自己的一天，再找一个朋友一起练习。几个月以后，你会惊讶自己懂了这么多。"),
    (["how do I make tea?", "how to make [a cup of |]tea?"],
     "Boil fresh water and let it rest for a minute. Put two spoons of leaves into the pot and pour the water over them. Wait three minutes for green tea and four for black tea. "
     "Then pour it into a warm cup, and take your time to drink it.",
     ["怎么泡茶？", "泡茶的方法是什么？", "茶怎么泡？"],
     "先把水烧开，放一分钟。在壶里放两勺茶叶，倒上热水。绿茶等三分钟，红茶等四分钟。然后倒进温热的杯子里，慢慢喝。"),
    (["what is a bridge?", "tell me about bridges.", "explain what a bridge is."],
     "A bridge carries a road over something that would stop us: a river, a valley or another road. The oldest ones were tree trunks and stones. "
     "Later people built arches of stone, which stand for a thousand years, and today long bridges hang from steel cables. A bridge joins two sides, and that is why we like the word.",
     ["什么是桥？", "介绍一下桥。", "讲讲桥。"],
     "桥让路跨过河流、山谷或者另一条路。最早的桥是树干和石头。后来人们用石头造拱桥，可以立上千年。今天的长桥挂在钢缆上。桥连接两边，所以我们喜欢这个字。"),
]


def explain(rng, talk):
    q_en, a_en, q_zh, a_zh = rng.choice(EXPLAIN)
    return say(rng, q_en if talk.lang == "en" else q_zh), a_en if talk.lang == "en" else a_zh


def more(rng, talk):
    """'Another one' after a story."""
    return say(rng, {"en": ["another [one|story][, please|].", "tell me another story.", "one more[ story|]."], "zh": ["再[讲|来]一个[故事|]。", "还有别的故事吗？", "换一个故事。"]}[talk.lang]), \
        story_text(rng, talk.lang)


HANDLERS = [(story, 4), (poem, 2), (any_poem, 0.4), (explain, 6)]
