"""The little grammar that every template of the generator is written in.

`[a|b|c]` is a choice (nestable, an empty branch is allowed), `{slot}` a value filled in afterwards.
One random.Random is passed down everywhere, so a seed gives one corpus on any machine.
"""

import random


def choose(rng: random.Random, text: str) -> str:
    """Expands every [a|b] of `text`, innermost first."""
    while True:
        end = text.find("]")
        if end < 0:
            return text
        start = text.rfind("[", 0, end)
        if start < 0:
            raise ValueError(f"unbalanced choice in {text!r}")
        text = text[:start] + rng.choice(text[start + 1:end].split("|")) + text[end + 1:]


def say(rng: random.Random, templates, **slots) -> str:
    """One of `templates` (a string or a list of them), expanded and filled in."""
    if not isinstance(templates, str):
        templates = rng.choice(templates)
    text = choose(rng, templates).format(**slots)
    return text[:1].upper() + text[1:]


def rough(rng: random.Random, lang: str, text: str) -> str:
    """A question as people type it: greetings before it, capitals and punctuation lost."""
    if lang == "en":
        if rng.random() < 0.12 and len(text) < 90:
            head = rng.choice(["Hi, ", "Hello, ", "Please tell me, ", "Excuse me, ", "Hey, ", "Quick question: "])
            text = head + (text if text.startswith(("I ", "I'", "Who", "My")) else text[:1].lower() + text[1:])
        if rng.random() < 0.2:
            text = text.lower()
        if rng.random() < 0.2:
            text = text.rstrip("?.!")
        elif rng.random() < 0.05:
            text += rng.choice([" Thanks!", " Thank you.", " please"])
    else:
        if rng.random() < 0.15 and len(text) < 60:
            text = rng.choice(["请问", "你好，", "您好，", "请问一下，", "我想问一下，", "想问下"]) + text
        if rng.random() < 0.25:
            text = text.rstrip("？。！")
        elif rng.random() < 0.12:
            text = text.replace("？", "?")
        if rng.random() < 0.1:
            text = text.replace(" ", "")
    return text
