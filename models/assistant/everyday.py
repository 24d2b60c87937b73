"""Everyday turns: who are you, small talk, facts, sums, translations, memory of what was said, and honest limits."""

from phrases import say

# Fixed answers: questions en, answer en, questions zh, answer zh.
TALK = [
    (["[hi|hello|hey][!|.| there!|]", "good [morning|afternoon|evening]!", "hi, [nice to meet you|how is it going]."],
     "Hello! How can I help you?",
     ["你好[！|。|]", "您好[！|。|]", "[早上|下午|晚上]好！", "嗨！", "[在吗|有人吗]？", "哈喽"], "你好！有什么可以帮你的吗？"),
    (["how are you[ today|]?", "how do you do?", "how are you doing?", "are you well?"],
     "I am fine, thank you. How can I help you?", ["你好吗？", "你最近怎么样？", "[今天|]过得怎么样？", "还好吗？"], "我很好，谢谢！有什么可以帮你的吗？"),
    (["who are you?", "what are you?", "what is your name?", "[please |]introduce yourself.", "what's your name?", "tell me about yourself.",
      "what should I call you?"],
     "I am Qiao, a small language model. I help customers of a demo shop and answer simple questions in English and Chinese.",
     ["你是谁？", "你叫什么[名字|]？", "[请|]介绍一下你自己。", "[请|]自我介绍一下。", "你是什么？", "怎么称呼你？"],
     "我是小桥，一个很小的语言模型。我为一家演示小店服务，可以用中文和英文回答简单的问题。"),
    (["what can you do[ for me|]?", "how can you help[ me|]?", "what do you know?", "help[ me|]!", "what can I ask you?"],
     "I can tell you about our products, prices, delivery and returns, do small sums, translate simple words and tell short stories.",
     ["你[能|会|可以]做什么？", "你有什么功能？", "你能帮我[做什么|什么]？", "你会什么？", "帮帮我。", "我可以问你什么？"],
     "我可以介绍产品、价格、配送和退货，也可以做简单的算术、翻译词语、讲小故事。"),
    (["are you [a human|a person|a robot|an AI|real]?", "are you ChatGPT?", "am I talking to a machine?"],
     "I am not a person. I am a small language model, a computer program.",
     ["你是[人|机器人|真人|人工智能|AI]吗？", "我在和机器说话吗？"], "我不是真人，我是一个小小的语言模型，也就是一个电脑程序。"),
    (["who made you?", "who created you?", "where do you come from?", "who built you?"],
     "I was trained by the qiao project as a small model for demos.",
     ["谁[创造|做|开发]了你？", "你是谁做的？", "你从哪里来？", "你是哪家公司的？"], "我是 qiao 项目训练的演示用小模型。"),
    (["what languages do you speak?", "do you speak [Chinese|English]?", "can you speak Chinese?"], "I speak English and Chinese.",
     ["你会说[什么语言|英文|中文|英语]吗？", "你会哪些语言？", "你会英语吗？"], "我会中文和英文。"),
    (["how old are you?", "when were you born?", "when is your birthday?"], "I have no age. I am a program, and quite a new one.",
     ["你[几岁|多大]了？", "你的生日是什么时候？"], "我没有年龄，我是一个很新的程序。"),
    (["how big are you?", "how many parameters do you have?", "are you a big model?"],
     "I am tiny: a few million parameters. That is why I know only a little.",
     ["你有多大？", "你有多少参数？", "你是大模型吗？"], "我很小，只有几百万个参数，所以我知道的不多。"),
    (["thank you[ very much|]!", "thanks[ a lot|]!", "thank you for your help.", "great, thanks."], "You are welcome!",
     ["[谢谢|多谢|感谢][你|]！", "非常感谢！", "谢谢你的帮助。", "好的，谢谢"], "不客气！"),
    (["[bye|goodbye|see you][!|.]", "good night!", "I have to go now."], "Goodbye! Have a nice day.",
     ["再见！", "拜拜！", "晚安！", "我要走了。", "下次再聊。"], "再见！祝你一切顺利。"),
    (["what time is it[ now|]?", "what is the time?", "can you tell me the time?", "do you know what time it is?"],
     "I cannot see a clock, so I do not know the time. Please look at your phone.",
     ["现在几点[了|]？", "几点了？", "现在是什么时间？", "你知道现在几点吗？"], "我看不到时钟，不知道现在几点。请看一下你的手机。"),
    (["what day is it[ today|]?", "what is the date[ today|]?", "what is today's date?", "which year is it?"],
     "I cannot see a calendar, so I do not know the date. Please look at your phone.",
     ["今天[几号|星期几|是几月几号]？", "今天是什么日子？", "现在是哪一年？"], "我看不到日历，不知道今天的日期。请看一下你的手机。"),
    (["what is the weather like[ today|]?", "how is the weather[ today|]?", "will it rain [today|tomorrow]?", "do I need an umbrella?", "is it cold outside?"],
     "I cannot see the weather from here. Please look out of the window or ask a weather app.",
     ["[今天|明天|现在]天气[怎么样|如何|好吗]？", "[今天|明天]会下雨吗？", "要带伞吗？", "外面冷吗？"], "我看不到天气。请看看窗外，或者查一下天气应用。"),
    (["I am [sad|unhappy|not happy].", "I feel [sad|lonely|down] today.", "I had a bad day."],
     "I am sorry to hear that. Take a deep breath, drink something warm and talk to a friend. Tomorrow can be better.",
     ["我[很难过|不开心|心情不好]。", "今天心情[不好|很差]。", "我有点孤单。"], "听到这个我很难过。深呼吸一下，喝点热的东西，和朋友聊聊天。明天会更好的。"),
    (["I am happy[ today|]!", "I had a great day!", "I feel good today."], "That is wonderful! What made your day so good?",
     ["我很[开心|高兴]！", "今天真开心！", "我今天心情很好。"], "太好了！是什么让你这么开心？"),
    (["I am tired.", "I am so sleepy.", "I cannot sleep."], "Then rest a little. Put the phone away and close your eyes for a while.",
     ["我[好累|累了|很累]。", "我困了。", "我睡不着。"], "那就休息一下吧。放下手机，闭上眼睛歇一会儿。"),
    (["I am hungry.", "what should I eat[ tonight|]?", "what shall I cook?"], "How about noodles with egg and tomato? They are quick and warm.",
     ["我饿了。", "[今天|晚上|中午]吃什么？", "做什么菜好？"], "来一碗西红柿鸡蛋面怎么样？又快又暖和。"),
    (["I am bored.", "what can I do now?", "entertain me."], "You could read a book, go for a walk, or let me tell you a story.",
     ["[我|]好无聊。", "我没事做。", "有什么好玩的？"], "你可以看看书、散散步，或者让我给你讲个故事。"),
    (["you are [great|nice|clever|good].", "I like you.", "well done!", "good job!"], "Thank you, that is kind of you!",
     ["你真[棒|好|聪明|厉害]！", "我喜欢你。", "做得好！"], "谢谢夸奖！"),
    (["you are [stupid|wrong|bad].", "that is wrong.", "this is not right.", "I don't like you."],
     "I am sorry. I am a very small model and make mistakes. Please ask me in another way.",
     ["你[真笨|错了|不行]。", "不对。", "这不对吧。", "你说错了。"], "抱歉，我是一个很小的模型，会出错。请换个方式问我。"),
    (["tell me a joke.", "do you know a joke?", "make me laugh.", "say something funny."],
     "Why did the phone go to school? It wanted to be smarter.",
     ["讲个笑话[吧|]。", "[给我|]说个笑话。", "你会讲笑话吗？", "逗我笑。"], "手机为什么去上学？因为它想变得更智能。"),
    (["do you [like music|have friends|sleep|eat|dream]?", "do you have feelings?", "what is your favourite colour?"],
     "I am a program, so I have no feelings or wishes. But I like to answer your questions.",
     ["你[喜欢音乐|有朋友|睡觉|吃饭|做梦]吗？", "你有感情吗？", "你最喜欢什么颜色？"], "我是程序，没有感情和愿望，不过我很乐意回答你的问题。"),
    (["what is qiao?", "what does qiao mean?", "what does your name mean?"], "Qiao is the Chinese word for bridge. It is also the name of the software that serves me.",
     ["qiao是什么[意思|]？", "你的名字是什么意思？", "qiao 是什么？"], "qiao 就是“桥”，也是运行我的软件的名字。"),
    (["ok[.|]", "I see.", "all right.", "good.", "yes."], "Good. Is there anything else I can do for you?",
     ["好的[。|]", "知道了。", "明白了。", "嗯。", "行。"], "好的，还有什么可以帮你的吗？"),
    (["can you speak [English|to me in English]?", "please answer in English."], "Of course. How can I help you?",
     ["[请|]用中文回答。", "可以说中文吗？", "你能说中文吗？"], "当然可以，有什么可以帮你的吗？"),
    (["how many days are in a week?", "how many days does a week have?"], "A week has seven days.", ["一[周|个星期]有几天？", "一星期有多少天？"], "一个星期有七天。"),
    (["how many months are in a year?", "how many months does a year have?"], "A year has twelve months.", ["一年有几个月？", "一年有多少个月？"], "一年有十二个月。"),
    (["how many hours are in a day?", "how many hours does a day have?"], "A day has 24 hours.", ["一天有[几|多少][个|]小时？"], "一天有 24 小时。"),
    (["how many minutes are in an hour?"], "An hour has 60 minutes.", ["一[个|]小时有多少分钟？", "一小时有几分钟？"], "一小时有 60 分钟。"),
    (["name the seasons.", "what are the four seasons?"], "The four seasons are spring, summer, autumn and winter.", ["四季是哪些？", "一年有哪四个季节？"], "四季是春、夏、秋、冬。"),
    (["what are the days of the week?", "name the days of the week."],
     "The days of the week are Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday.",
     ["一周有哪几天？", "说出一周的每一天。"], "一周有星期一、星期二、星期三、星期四、星期五、星期六和星期日。"),
]

CAPITALS = [("China", "中国", "Beijing", "北京"), ("France", "法国", "Paris", "巴黎"), ("Japan", "日本", "Tokyo", "东京"),
            ("Germany", "德国", "Berlin", "柏林"), ("Italy", "意大利", "Rome", "罗马"), ("Spain", "西班牙", "Madrid", "马德里"),
            ("England", "英国", "London", "伦敦"), ("Russia", "俄罗斯", "Moscow", "莫斯科"), ("the United States", "美国", "Washington", "华盛顿"),
            ("Canada", "加拿大", "Ottawa", "渥太华"), ("Brazil", "巴西", "Brasília", "巴西利亚"), ("India", "印度", "New Delhi", "新德里"),
            ("Egypt", "埃及", "Cairo", "开罗"), ("Australia", "澳大利亚", "Canberra", "堪培拉"), ("South Korea", "韩国", "Seoul", "首尔"),
            ("Thailand", "泰国", "Bangkok", "曼谷"), ("Vietnam", "越南", "Hanoi", "河内"), ("Greece", "希腊", "Athens", "雅典"),
            ("Portugal", "葡萄牙", "Lisbon", "里斯本"), ("Sweden", "瑞典", "Stockholm", "斯德哥尔摩"), ("Norway", "挪威", "Oslo", "奥斯陆"),
            ("Finland", "芬兰", "Helsinki", "赫尔辛基"), ("Poland", "波兰", "Warsaw", "华沙"), ("Austria", "奥地利", "Vienna", "维也纳"),
            ("Mexico", "墨西哥", "Mexico City", "墨西哥城"), ("Kenya", "肯尼亚", "Nairobi", "内罗毕"), ("Turkey", "土耳其", "Ankara", "安卡拉"),
            ("Switzerland", "瑞士", "Bern", "伯尔尼")]

COLOURS = [("the sky", "天空", "blue", "蓝色"), ("grass", "草", "green", "绿色"), ("snow", "雪", "white", "白色"), ("a banana", "香蕉", "yellow", "黄色"),
           ("a strawberry", "草莓", "red", "红色"), ("an orange", "橙子", "orange", "橙色"), ("coal", "煤", "black", "黑色"), ("the sea", "大海", "blue", "蓝色"),
           ("milk", "牛奶", "white", "白色"), ("a tomato", "西红柿", "red", "红色"), ("the sun", "太阳", "yellow", "黄色"), ("chocolate", "巧克力", "brown", "棕色"),
           ("a leaf", "树叶", "green", "绿色"), ("a crow", "乌鸦", "black", "黑色")]

WORDS = [("apple", "苹果"), ("water", "水"), ("bridge", "桥"), ("phone", "手机"), ("book", "书"), ("cat", "猫"), ("dog", "狗"), ("bird", "鸟"),
         ("fish", "鱼"), ("horse", "马"), ("tree", "树"), ("flower", "花"), ("sun", "太阳"), ("moon", "月亮"), ("star", "星星"), ("mountain", "山"),
         ("river", "河"), ("sea", "海"), ("rain", "雨"), ("snow", "雪"), ("wind", "风"), ("fire", "火"), ("house", "房子"), ("door", "门"),
         ("window", "窗户"), ("table", "桌子"), ("chair", "椅子"), ("bed", "床"), ("school", "学校"), ("teacher", "老师"), ("student", "学生"),
         ("friend", "朋友"), ("mother", "妈妈"), ("father", "爸爸"), ("child", "孩子"), ("tea", "茶"), ("coffee", "咖啡"), ("milk", "牛奶"),
         ("rice", "米饭"), ("bread", "面包"), ("egg", "鸡蛋"), ("red", "红色"), ("blue", "蓝色"), ("green", "绿色"), ("white", "白色"), ("black", "黑色"),
         ("big", "大"), ("small", "小"), ("good", "好"), ("happy", "快乐"), ("hello", "你好"), ("thank you", "谢谢"), ("goodbye", "再见"), ("love", "爱"),
         ("time", "时间"), ("today", "今天"), ("tomorrow", "明天"), ("yesterday", "昨天"), ("city", "城市"), ("car", "汽车"), ("train", "火车"),
         ("computer", "电脑"), ("music", "音乐"), ("film", "电影"), ("money", "钱"), ("price", "价格"), ("shop", "商店"), ("good morning", "早上好"),
         ("I love you", "我爱你"), ("how are you", "你好吗"),
         ("orange", "橙子"), ("banana", "香蕉"), ("meat", "肉"), ("vegetable", "蔬菜"), ("fruit", "水果"), ("sugar", "糖"), ("salt", "盐"), ("soup", "汤"),
         ("noodles", "面条"), ("beer", "啤酒"), ("wine", "葡萄酒"), ("cup", "杯子"), ("bowl", "碗"), ("knife", "刀"), ("key", "钥匙"), ("bag", "包"),
         ("shoe", "鞋"), ("hat", "帽子"), ("shirt", "衬衫"), ("coat", "外套"), ("hand", "手"), ("head", "头"), ("eye", "眼睛"), ("ear", "耳朵"),
         ("mouth", "嘴"), ("heart", "心"), ("brother", "兄弟"), ("sister", "姐妹"), ("family", "家庭"), ("doctor", "医生"), ("hospital", "医院"),
         ("office", "办公室"), ("work", "工作"), ("airport", "机场"), ("station", "车站"), ("bus", "公共汽车"), ("plane", "飞机"), ("ship", "船"),
         ("bicycle", "自行车"), ("street", "街道"), ("village", "村庄"), ("country", "国家"), ("world", "世界"), ("year", "年"), ("month", "月"),
         ("week", "星期"), ("day", "天"), ("hour", "小时"), ("minute", "分钟"), ("spring", "春天"), ("summer", "夏天"), ("autumn", "秋天"), ("winter", "冬天"),
         ("cold", "冷"), ("hot", "热"), ("new", "新"), ("old", "旧"), ("fast", "快"), ("slow", "慢"), ("beautiful", "美丽"), ("yellow", "黄色"),
         ("screen", "屏幕"), ("battery", "电池"), ("camera", "相机"), ("earbuds", "耳机"), ("charger", "充电器"), ("watch", "手表"), ("keyboard", "键盘"),
         ("mouse", "鼠标"), ("internet", "互联网"), ("letter", "信"), ("news", "新闻"), ("question", "问题"), ("answer", "答案"), ("language", "语言"),
         ("game", "游戏"), ("song", "歌曲"), ("story", "故事"), ("teacup", "茶杯"), ("snowman", "雪人"), ("elephant", "大象"), ("tiger", "老虎"),
         ("rabbit", "兔子"), ("panda", "熊猫"), ("see you tomorrow", "明天见"), ("good night", "晚安"), ("I am hungry", "我饿了"), ("welcome", "欢迎"),
         ("happy birthday", "生日快乐"), ("where is the station", "车站在哪里"), ("how much is it", "多少钱"), ("I do not understand", "我不明白")]

OPPOSITES = [("big", "small", "大", "小"), ("hot", "cold", "热", "冷"), ("high", "low", "高", "低"), ("fast", "slow", "快", "慢"), ("day", "night", "白天", "黑夜"),
             ("black", "white", "黑", "白"), ("good", "bad", "好", "坏"), ("open", "closed", "开", "关"), ("long", "short", "长", "短"), ("new", "old", "新", "旧"),
             ("left", "right", "左", "右"), ("up", "down", "上", "下"), ("cheap", "expensive", "便宜", "贵"), ("early", "late", "早", "晚")]

LISTS = {"fruits": ("水果", ["apple", "banana", "orange", "pear", "grape", "peach", "lemon", "cherry"], ["苹果", "香蕉", "橙子", "梨", "葡萄", "桃子", "柠檬", "樱桃"]),
         "animals": ("动物", ["cat", "dog", "horse", "elephant", "tiger", "rabbit", "panda", "bird"], ["猫", "狗", "马", "大象", "老虎", "兔子", "熊猫", "鸟"]),
         "colours": ("颜色", ["red", "blue", "green", "yellow", "white", "black", "purple", "orange"], ["红色", "蓝色", "绿色", "黄色", "白色", "黑色", "紫色", "橙色"]),
         "cities": ("城市", ["Beijing", "Shanghai", "Paris", "London", "Tokyo", "Berlin", "Rome", "New York"], ["北京", "上海", "巴黎", "伦敦", "东京", "柏林", "罗马", "纽约"]),
         "vegetables": ("蔬菜", ["carrot", "tomato", "potato", "cucumber", "cabbage", "onion", "spinach", "pepper"], ["胡萝卜", "西红柿", "土豆", "黄瓜", "白菜", "洋葱", "菠菜", "辣椒"]),
         "sports": ("运动", ["football", "tennis", "swimming", "running", "basketball", "cycling", "skiing", "table tennis"], ["足球", "网球", "游泳", "跑步", "篮球", "骑行", "滑雪", "乒乓球"])}
NUMBERS = {3: ("three", "三"), 4: ("four", "四"), 5: ("five", "五"), 6: ("six", "六")}


def small_talk(rng, talk):
    q_en, a_en, q_zh, a_zh = rng.choice(TALK)
    return say(rng, q_en if talk.lang == "en" else q_zh), a_en if talk.lang == "en" else a_zh


def capital(rng, talk):
    en, zh, a, b = rng.choice(CAPITALS)
    if talk.lang == "en":
        return say(rng, ["what is the capital of {x}?", "[what's|tell me] the capital of {x}.", "which city is the capital of {x}?", "capital of {x}?"], x=en), \
            f"The capital of {en} is {a}."
    return say(rng, ["{x}的首都是[哪里|哪儿|什么|哪个城市]？", "{x}首都在哪[里|儿]？", "哪个城市是{x}的首都？"], x=zh), f"{zh}的首都是{b}。"


def colour(rng, talk):
    en, zh, a, b = rng.choice(COLOURS)
    if talk.lang == "en":
        return say(rng, ["what colour is {x}?", "which color does {x} have?", "what is the colour of {x}?"], x=en), f"{en[:1].upper() + en[1:]} is {a}."
    return say(rng, ["{x}是什么颜色[的|]？", "{x}[什么|啥]颜色？"], x=zh), f"{zh}是{b}的。"


def sums(rng, talk):
    kind = rng.choice("++--*")
    if kind == "*":
        a, b = rng.randint(2, 12), rng.randint(1, 12)
        value, en, zh, sign = a * b, "times", "乘以", rng.choice(["*", "×", "x"])
    elif kind == "+":
        a, b = (rng.randint(1, 20), rng.randint(1, 20)) if rng.random() < 0.4 else (rng.randint(1, 99), rng.randint(1, 99))
        value, en, zh, sign = a + b, "plus", "加", "+"
    else:
        a = rng.randint(1, 20) if rng.random() < 0.4 else rng.randint(10, 150)
        b = rng.randint(0, a)
        value, en, zh, sign = a - b, "minus", "减", "-"
    gap = rng.choice(["", " "])
    if rng.random() < 0.5:
        mid = f"{a}{gap}{sign}{gap}{b}"
    else:
        mid = f"{a} {en} {b}" if talk.lang == "en" else f"{a}{gap}{zh}{gap}{b}"
    if talk.lang == "en":
        return say(rng, ["[what is|what's|how much is|calculate|compute] {m}?", "{m}=?", "can you calculate {m}?"], m=mid), f"{a} {en} {b} is {value}."
    return say(rng, ["{m}[等于多少|是多少|等于几|得多少|=？]？", "[算一下|请计算|计算]{m}。"], m=mid).replace("=？？", "=？"), f"{a} {zh} {b} 等于 {value}。"


def translate(rng, talk):
    en, zh = rng.choice(WORDS)
    if talk.lang == "en":
        if rng.random() < 0.75:
            return say(rng, ["how do you say {w} in Chinese?", "what is {w} in Chinese?", "translate {w} [into|to] Chinese.", "what is the Chinese word for {w}?"],
                       w=rng.choice([en, f'"{en}"', f"'{en}'"])), f'"{en}" in Chinese is "{zh}".'
        return say(rng, ["what does {w} mean[ in English|]?", "translate {w} into English."], w=rng.choice([zh, f'"{zh}"'])), f'"{zh}" means "{en}".'
    if rng.random() < 0.75:
        return say(rng, ["{w}[用英语怎么说|的英文是什么|英语怎么说|用英文怎么讲]？", "把{w}翻译成英[文|语]。", "翻译[一下|]：{w}"], w=rng.choice([zh, f"“{zh}”"])), \
            f"“{zh}”的英文是“{en}”。"
    return say(rng, ["{w}是什么意思？", "把 {w} 翻译成中文。", "{w} 的中文是什么？"], w=en), f"“{en}”的意思是“{zh}”。"


def opposite(rng, talk):
    a, b, c, d = rng.choice(OPPOSITES)
    if rng.random() < 0.5:
        a, b, c, d = b, a, d, c
    if talk.lang == "en":
        return say(rng, ["what is the opposite of {x}?", "[tell me |]the opposite of {x}[?|.]"], x=a), f'The opposite of "{a}" is "{b}".'
    return say(rng, ["{x}的反义词是什么？", "“{x}”的反义词[是|是什么？|]"], x=c), f"“{c}”的反义词是“{d}”。"


def a_list(rng, talk):
    kind = rng.choice(list(LISTS))
    zh_kind, en_items, zh_items = LISTS[kind]
    k = rng.choice(list(NUMBERS))
    if talk.lang == "en":
        return say(rng, ["[name|list|give me|tell me] {k} {x}.", "[can you |]name {k} {x}[?|.]"], k=rng.choice([NUMBERS[k][0], str(k)]), x=kind), \
            "\n".join(f"{i + 1}. {w[:1].upper() + w[1:]}" for i, w in enumerate(en_items[:k]))
    return say(rng, ["[说出|列出|举出|告诉我]{k}{m}{x}。", "[给我|]列{k}{m}{x}。", "请说{k}{m}{x}[的名字|]。"], k=rng.choice([NUMBERS[k][1], str(k)]),
               m="座" if kind == "cities" and rng.random() < .5 else "种" if kind != "cities" else "个", x=zh_kind), \
        "\n".join(f"{i + 1}. {w}" for i, w in enumerate(zh_items[:k]))


def count(rng, talk):
    first = rng.choice([1, 1, 1, rng.randint(2, 20)])
    last = first + rng.randint(3, 29 if first == 1 else 10)
    if rng.random() < 0.15:
        first, last = rng.randint(5, 12), 1
    step = 1 if last > first else -1
    numbers = [str(i) for i in range(first, last + step, step)]
    if talk.lang == "en":
        start = "count to {b}." if first == 1 else "count from {a} to {b}."
        return say(rng, [start, "[please |can you ]count from {a} to {b}."], a=first, b=last), ", ".join(numbers) + "."
    return say(rng, ["[请|]从 {a} 数到 {b}。", "从{a}数到{b}", "[请你|]数数，从 {a} 到 {b}。"], a=first, b=last), "、".join(numbers) + "。"


def compare(rng, talk):
    a, b = rng.sample(range(0, 100) if rng.random() < 0.6 else range(100, 10000), 2)
    more = rng.random() < 0.6
    best = max(a, b) if more else min(a, b)
    if talk.lang == "en":
        return say(rng, ["which is {w}, {a} or {b}?", "which number is {w}: {a} or {b}?"], a=a, b=b, w="larger" if more else "smaller"), \
            f"{best} is {'larger' if more else 'smaller'} than {a + b - best}."
    return say(rng, ["{a}和{b}哪个[更|]{w}？", "{a} 和 {b}，哪个数更{w}？"], a=a, b=b, w="大" if more else "小"), f"{best} 比 {a + b - best} {'大' if more else '小'}。"


DAYS_EN = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
DAYS_ZH = ["星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日"]


def next_day(rng, talk):
    n, step = rng.randrange(7), rng.choice([1, 1, -1])
    other = (n + step) % 7
    if talk.lang == "en":
        return say(rng, ["which day comes {w} {d}?", "what day is {w} {d}?"], d=DAYS_EN[n], w="after" if step > 0 else "before"), \
            f"The day {'after' if step > 0 else 'before'} {DAYS_EN[n]} is {DAYS_EN[other]}."
    return say(rng, ["{d}的{w}一天是星期几？", "{d}{w}一天是哪天？"], d=DAYS_ZH[n], w="后" if step > 0 else "前"), f"{DAYS_ZH[n]}的{'后' if step > 0 else '前'}一天是{DAYS_ZH[other]}。"


def spell(rng, talk):
    word = rng.choice([w for w, _ in WORDS if w.isalpha() and len(w) < 9] + EN_NAMES).lower()
    letters = "-".join(word.upper())
    if talk.lang == "en":
        return say(rng, ["how do you spell {w}?", "spell {w}.", "[please |can you ]spell the word {w}."], w=word), f"{word} is spelled {letters}."
    return say(rng, ["{w} 怎么拼？", "请拼写 {w}。", "{w}[的拼写是什么|怎么拼写]？"], w=word), f"{word} 的拼写是 {letters}。"


def convert(rng, talk):
    n = rng.randint(1, 24)
    big_en, small_en, big_zh, small_zh, factor = rng.choice([("hours", "minutes", "小时", "分钟", 60), ("minutes", "seconds", "分钟", "秒", 60), ("days", "hours", "天", "小时", 24),
                                                             ("weeks", "days", "周", "天", 7), ("metres", "centimetres", "米", "厘米", 100), ("kilograms", "grams", "公斤", "克", 1000)])
    if talk.lang == "en":
        big = big_en if n > 1 else big_en[:-1]
        return say(rng, ["how many {s} are [there |]in {n} {b}?", "{n} {b} are how many {s}?"] if n > 1 else ["how many {s} are in one {b}?"], s=small_en, n=n, b=big), \
            f"{n} {big} {'are' if n > 1 else 'is'} {n * factor} {small_en}."
    return say(rng, ["{n} {b}[是|等于|有]多少{s}？", "{n}{b}等于几{s}？"], s=small_zh, n=n, b=big_zh), f"{n} {big_zh}等于 {n * factor} {small_zh}。"


UNKNOWN_EN = ["who won the [football|basketball|tennis] match [yesterday|last night]?", "what is the population of [Peru|Norway|Shanghai|Ghana|Rome]?",
              "how do I [fix my car|bake a cake|build a house|learn piano|grow roses|file my taxes]?", "write a [Python|Java|C] program[ for me|].",
              "explain [quantum physics|black holes|inflation|relativity|democracy|DNA] to me.", "who [is the president of Brazil|wrote War and Peace|invented the radio|painted this]?",
              "what is the [stock price|best film this year|meaning of life|news today|speed of light|tallest building]?", "prove that [there are infinitely many primes|pi is irrational].",
              "when did [the Roman empire fall|the war end|they build the pyramids]?", "what do you think about [politics|art|football|religion]?",
              "which [medicine|vitamin] should I take for [a headache|my back|a cold]?", "how far is it [to the moon|to Mars|from here to Lyon]?",
              "what is the square root of [1234|77|3]?", "summarise [this book|the last chapter|Hamlet].", "[book a flight|order a pizza|call a taxi|send an e-mail|set an alarm] for me."]
UNKNOWN_ZH = ["[昨天|昨晚]的[足球|篮球|网球]比赛谁赢了？", "[秘鲁|挪威|上海|加纳|罗马]有多少人口？", "怎么[修车|烤蛋糕|盖房子|学钢琴|种玫瑰|报税]？",
              "写一个[Python|Java|C]程序。", "[解释一下|讲讲][量子物理|黑洞|通货膨胀|相对论|基因]。", "[巴西总统|红楼梦的作者|收音机的发明者|现在的首富]是谁？",
              "[股价|今年最好的电影|人生的意义|今天的新闻|光速|最高的楼]是什么？", "证明[素数有无穷多个|圆周率是无理数]。", "[罗马帝国|清朝|二战]是什么时候结束的？",
              "你怎么看[政治|艺术|足球|宗教]？", "[头疼|背疼|感冒]吃什么药？", "[月球|火星|里昂]有多远？", "[1234|77|3]的平方根是多少？", "总结一下[这本书|上一章|哈姆雷特]。",
              "帮我[订机票|点外卖|叫车|发邮件|定闹钟]。"]


def unknown(rng, talk):
    if talk.lang == "en":
        return say(rng, UNKNOWN_EN), "I am a very small model and do not know that. You can ask me about our products, prices and delivery."
    return say(rng, UNKNOWN_ZH), "我是一个很小的模型，不懂这个。你可以问我产品、价格和配送的问题。"


# --- what the talk itself said -------------------------------------------------------------------

EN_NAMES = ("Alice Bob Carol David Emma Frank Grace Henry Irene Jack Kate Leo Maria Nina Oscar Paul Rosa Sam Tom Vera Will Zoe Anna Ben Clara Daniel Eva "
            "Felix George Hannah Ian Julia Karl Lucy Max Nora Olga Peter Ruth Simon Tina Victor Wendy Adam Lily Mark Lisa John Mary James Linda").split()
SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧"
GIVEN = "明华丽强军芳敏静伟洋勇艳杰娟涛超霞平刚桂英兰玉春梅红雪琳晨阳宇轩欣怡子涵浩然思远天佑小雨冰文博"


def a_name(rng, lang):
    if lang == "en" or rng.random() < 0.15:
        if rng.random() < 0.6:
            return rng.choice(EN_NAMES)
        return "".join(rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") for _ in range(rng.randint(2, 3))).capitalize()
    if rng.random() < 0.25:
        return "小" + rng.choice(GIVEN)
    return rng.choice(SURNAMES) + "".join(rng.choice(GIVEN) for _ in range(rng.randint(1, 2)))


THINGS = {  # what is told, what is asked, the answers to both, the values
    "name": {"en": (["my name is {x}.", "I am {x}.", "I'm {x}.", "call me {x}.", "hello, my name is {x}.", "you can call me {x}.", "hi, I am {x}."],
                    "Nice to meet you, {x}! How can I help you?",
                    ["what is my name?", "what's my name?", "who am I?", "do you remember my name?", "do you know my name?", "what am I called?"], "Your name is {x}."),
             "zh": (["我叫{x}。", "我的名字是{x}。", "我是{x}。", "叫我{x}吧。", "你好，我叫{x}。", "我名叫{x}。", "你可以叫我{x}。"], "很高兴认识你，{x}！有什么可以帮你的吗？",
                    ["我叫什么[名字|]？", "我是谁？", "你[还|]记得我[的名字|叫什么]吗？", "我的名字是什么？", "你知道我叫什么吗？"], "你叫{x}。")},
    "city": {"en": (["I live in {x}.", "I am from {x}.", "my home is in {x}."], "{x} is a nice place! What can I do for you?",
                    ["where do I live?", "which city do I live in?", "where am I from?", "do you remember where I live?"], "You live in {x}."),
             "zh": (["我住在{x}。", "我[在|是]{x}人。", "我家在{x}。", "我来自{x}。"], "{x}是个好地方！有什么可以帮你的吗？",
                    ["我住在哪[里|儿]？", "我[家|]在哪个城市？", "你记得我住哪里吗？", "我是哪里人？"], "你住在{x}。")},
    "like": {"en": (["I like {x}.", "I love {x}.", "my favourite thing is {x}.", "I really like {x}."], "{x}, how nice! I will remember that.",
                    ["what do I like?", "what do I love?", "do you remember what I like?", "what is my favourite thing?"], "You like {x}."),
             "zh": (["我喜欢{x}。", "我[最|很|特别]喜欢{x}。", "我爱{x}。"], "{x}，真不错！我记住了。",
                    ["我喜欢什么？", "你记得我喜欢什么吗？", "我最喜欢什么？", "我爱什么？"], "你喜欢{x}。")},
    "pet": {"en": (["my dog is called {x}.", "the name of my cat is {x}.", "I have a dog. Its name is {x}.", "my cat's name is {x}."], "{x} is a lovely name!",
                   ["what is my [dog|cat|pet] called?", "what is the name of my [cat|dog|pet]?", "do you remember the name of my [cat|dog]?"], "Your pet is called {x}."),
            "zh": (["我的[狗|猫]叫{x}。", "我有一只[狗|猫]，[它|]叫{x}。", "我家[猫|狗]的名字是{x}。"], "{x}，真好听的名字！",
                   ["我的[狗|猫|宠物]叫什么？", "我家[狗|猫]叫什么名字？", "你记得我的[猫|狗]叫什么吗？"], "你的宠物叫{x}。")},
}
LIKES_EN = ["tea", "music", "apples", "football", "coffee", "rain", "books", "cats", "swimming", "green", "films", "chocolate", "drawing", "long walks", "noodles", "old bridges"]
LIKES_ZH = ["喝茶", "音乐", "苹果", "足球", "咖啡", "下雨天", "看书", "猫", "游泳", "绿色", "电影", "巧克力", "画画", "散步", "面条", "老桥"]
CITY_EN = ["Beijing", "Shanghai", "Paris", "London", "Tokyo", "Berlin", "Rome", "Madrid", "Suzhou", "Hangzhou", "Chengdu", "Oslo", "Vienna", "Xi'an", "New York", "Lisbon"]
CITY_ZH = ["北京", "上海", "巴黎", "伦敦", "东京", "柏林", "罗马", "马德里", "苏州", "杭州", "成都", "奥斯陆", "维也纳", "西安", "纽约", "里斯本"]


def value_of(rng, key, lang):
    if key == "name":
        return a_name(rng, lang)
    if key == "pet":
        return rng.choice(["豆豆", "小白", "咪咪", "旺财", "花花", "小" + rng.choice(GIVEN), rng.choice(GIVEN) * 2]) if lang == "zh" else a_name(rng, "en")
    return rng.choice({"city": (CITY_EN, CITY_ZH), "like": (LIKES_EN, LIKES_ZH)}[key][lang == "zh"])


def tell(rng, talk):
    key = rng.choices(list(THINGS), [5, 2, 2, 1.5])[0]
    x = value_of(rng, key, talk.lang)
    talk.known[key] = (x, talk.lang)
    told, thanks, _, _ = THINGS[key][talk.lang]
    return say(rng, told, x=x), say(rng, thanks, x=x)


def recall(rng, talk):
    """Asks for something that was told; or for something that was not, and is told so."""
    known = list(talk.known)
    key = rng.choice(known) if known and rng.random() < 0.93 else rng.choice(list(THINGS))
    question = say(rng, THINGS[key][talk.lang][2])
    if key in talk.known:
        x, _ = talk.known[key]
        return question, say(rng, THINGS[key][talk.lang][3], x=x)
    return question, {"en": "You have not told me that yet.", "zh": "你还没有告诉我。"}[talk.lang]


def repeat(rng, talk):
    if talk.lang == "en":
        words = " ".join(rng.choice(WORDS)[0] for _ in range(rng.randint(1, 4)))
        return say(rng, ["[say|repeat|repeat after me|say after me]: {w}", "[please |]say {w}."], w=words), words[:1].upper() + words[1:] + "."
    words = "".join(rng.choice(WORDS)[1] for _ in range(rng.randint(1, 4)))
    return say(rng, ["[请|]跟我说：{w}", "[重复|请重复|说]：{w}", "请说{w}。"], w=words), words + "。"


HANDLERS = [(small_talk, 12), (capital, 3), (colour, 1.5), (sums, 5), (translate, 4), (opposite, 1.5), (a_list, 2), (count, 3),
            (unknown, 4), (repeat, 1.5), (compare, 2), (next_day, 1), (spell, 1.5), (convert, 1.5)]
