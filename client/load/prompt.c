#include "client/load/prompt.h"

#include "base/buf.h"
#include "base/rand.h"

enum {
    WORDS = 64,
    WORD_BITS = 6,
    NUMBER_WORDS = 4
};

// clang-format off
static const char *const zh[WORDS] = {
    "我们", "今天", "明天", "时间", "问题", "工作", "学习", "生活", "中国", "世界", "城市", "学校", "老师", "学生", "朋友", "孩子",
    "公司", "市场", "技术", "科学", "历史", "文化", "音乐", "电影", "健康", "医院", "天气", "春天", "夏天", "秋天", "冬天", "早上",
    "晚上", "北京", "上海", "火车", "飞机", "汽车", "道路", "河流", "海洋", "山水", "森林", "动物", "植物", "食物", "水果", "米饭",
    "茶叶", "咖啡", "电脑", "手机", "网络", "语言", "文字", "故事", "新闻", "经济", "政府", "社会", "国家", "人民", "发展", "研究",
};
static const char *const en[WORDS] = {
    "time", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school",
    "state", "family", "group", "country", "hand", "part", "place", "case", "week", "work",
    "night", "point", "home", "water", "room", "mother", "area", "money", "story", "fact", "month",
    "lot", "right", "study", "book", "eye", "job", "word", "business", "issue", "side", "kind",
    "head", "house", "service", "friend", "father", "power", "hour", "game", "line", "end",
    "member", "law", "car", "city", "name", "team", "minute", "idea", "body", "back", "face",
};

// clang-format on

void prompt_write(struct buf *out, uint64_t seed, uint64_t number, uint64_t words,
                  enum prompt_language language)
{
    bool chinese = language == PROMPT_ZH || (language == PROMPT_BOTH && number % 2 == 0);
    for (uint64_t i = 0; i < words; i++) {
        uint64_t draw;
        if (i < NUMBER_WORDS) // a digit, turned by the seed so that runs differ too
            draw = (number >> (i * WORD_BITS)) + rand_at(seed, 0, i);
        else
            draw = rand_at(seed, (uint32_t)i, number);
        if (i > 0 && !chinese) buf_add_byte(out, ' ');
        buf_add_text(out, (chinese ? zh : en)[draw % WORDS]);
    }
}
