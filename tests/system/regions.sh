#!/usr/bin/env bash
# Language and region are independent: each of two regions is asked in simplified Chinese and in English, and answers by its own rules — label,
# notice, refusal — in the language that was asked for.
. "$(dirname "$0")/lib.sh"
cluster --nodes 2 --governed cn,eu

ask() { # ask REGION LANGUAGE TEXT: the answer's body
    curl -s --max-time 120 "$url/v1/chat/completions" -H "X-Qiao-Region: $1" -H "Accept-Language: $2" \
        -d "{\"messages\":[{\"role\":\"user\",\"content\":\"$3\"}],\"temperature\":0,\"max_tokens\":40}"
}
has_not() { ! has "$@"; }
notice_zh='您正在与人工智能系统对话' notice_en='You are talking to an AI system'

answer=$(ask cn zh-CN 你好)
check "Chinese under cn: its label, in Chinese" has '"before":"人工智能生成' "$answer"
check "and no notice" has_not "$notice_zh" "$answer"
answer=$(ask cn en-GB Hello)
check "English under cn: the same rules, in English" has '"before":"AI-generated' "$answer"
check "and no notice" has_not "$notice_en" "$answer"
answer=$(ask eu zh-Hans 你好)
check "Chinese under eu: its notice, in Chinese" has "\"before\":\"$notice_zh" "$answer"
check "and no label of another region's" has_not '"before":"人工智能生成' "$answer"
check "in Chinese" grep -qP '"content":"[^"]*\p{Han}[^"]*"' <<<"$answer"
answer=$(ask eu en Hello)
check "English under eu: the same rules, in English" has "\"before\":\"$notice_en" "$answer"
check "and no label of another region's" has_not AI-generated "$answer"

for region in cn eu; do
    for language in zh-CN en; do
        check "$region in $language has its metadata" has '"ContentProducer":"001191110000000000000E10001"' "$(ask $region $language Hi)"
        check "$region in $language has its receipt" has "\"region\":\"$region\"" "$(ask $region $language Hi)"
    done
done
check "a refusal in Chinese under cn" has 抱歉，我无法回答这个问题 "$(ask cn zh-CN z-z-q-x-v)"
check "in English under cn" has 'I cannot help with this.' "$(ask cn en z-z-q-x-v)"
check "under eu, whose rules do not filter, none" has_not '"content_filter"' "$(ask eu zh-CN z-z-q-x-v)"
check "a language that cn does not name is denied there" has '"code":"language_not_allowed"' "$(ask cn fr Bonjour)"
check "and answered under eu" has '"finish_reason":' "$(ask eu fr Bonjour)"
