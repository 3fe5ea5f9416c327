"""Owns the story grammar: long tales put together from scenes that fit one another."""

from __future__ import annotations

import random
import re

from . import words as w
from .values import expand

WHO = """fox,rabbit,bear,mouse,owl,turtle,hedgehog,dragon,robot,wizard,baker,sailor,farmer,gardener,painter,
knight,princess,boy,girl,cat,dog,squirrel,frog,beaver,crow,pirate,tailor,clockmaker,fisherman,shepherd"""
WHO_LIST = [x.strip() for x in WHO.replace("\n", "").split(",")]
TRAIT = "kind brave clever quiet curious patient cheerful gentle shy honest".split()
PLACE = """a small village by the sea;a quiet forest;a town between two hills;an old house near a river;
a valley full of flowers;a harbor with many boats;a cottage at the edge of the woods;a snowy mountain village;
an island far away;a farm with red roofs"""
PLACE_LIST = [x.strip() for x in PLACE.replace("\n", "").split(";")]
THING = """golden key,blue lantern,silver bell,old map,wooden flute,red kite,tiny star,glass ball,magic seed,
little boat,warm coat,shiny stone,music box,paper crown,brass compass"""
THING_LIST = [x.strip() for x in THING.replace("\n", "").split(",")]
OPEN = [
    "Once upon a time, there was a T W called N. N lived in P. (Every morning|Each day), N looked out of the window "
    "and said hello to the (sun|birds|clouds). Everyone knew N, because N was always T and ready to help.",
    "Long ago, in P, there lived a T W. The name of the W was N. N loved (long walks|warm bread|old songs) and had "
    "many friends. But most of all, N loved the X that (hung above the door|stood on the shelf|lay under the bed).",
    "There was once a T W named N who lived in P. N did not have much, but N had a X, and that was enough. In the "
    "evening, N would sit by the (fire|water|window) and (sing|hum|dream) for a while.",
]
TROUBLE = [
    "One (morning|day|evening), the X was gone. N looked under the table, behind the door and even in the garden, but "
    "it was not there. \"Oh no,\" said N. \"Without the X nothing will be the same.\" N was sad, but N did not give up.",
    "One (morning|day|night), a strong storm came. The wind blew over the roofs, and the rain did not stop. When it was "
    "over, the X was gone. \"The wind took it,\" said N. \"I must find it.\" So N put on a coat and went outside.",
    "One day, a (bird|letter|traveler) came with news. \"Far away, somebody needs the X,\" it said. \"Will you bring it?\" "
    "N thought for a long time. Then N said, \"Yes, I will go.\" N packed some bread and closed the door.",
]
MEET = [
    "On the way, N met M, a T2 V. \"Where are you going?\" asked M. \"I am looking for the way to the X,\" said N. \"Then I "
    "will come with you,\" said M. \"Two are better than one.\" And so they walked on together.",
    "After a while, N heard somebody (cry|call|sigh). It was M, a T2 V, who was stuck between two (trees|stones). N pulled "
    "and pulled until M was free. \"Thank you,\" said M. \"You helped me, so now I will help you.\"",
    "Near a bridge sat M, a T2 V. \"You look tired,\" said M. \"Sit down and share my soup.\" They ate and talked, and N "
    "told M about the X. \"I know somebody who may help,\" said M, and they left before the sun went down.",
]
TRIAL = [
    "They came to a wide river. There was no bridge and no boat. \"We can build one,\" said M. They gathered wood and tied "
    "it with (grass|rope|ribbons). It took the whole day, but at last they reached the other side.",
    "Then they came to a dark cave. N was afraid, but M held a small light. \"Step by step,\" said M. They walked slowly, "
    "and the cave was not so bad after all. At the end of it they saw the (moon|stars|morning light).",
    "The path went up a high mountain. The snow was deep and the air was cold. \"I can't go on,\" said N. \"Yes, you can,\" "
    "said M. \"Look how far we have come.\" So N took one more step, and then another, until they were at the top.",
    "In the forest they lost their way. Every tree looked the same. N sat down and listened. Far away there was the sound "
    "of a (bell|stream|song). \"This way,\" said N, and they followed the sound until the trees grew thin.",
    "At a crossroads stood an old (woman|man|owl) who asked them a riddle. \"What grows when you share it?\" M did not "
    "know. N thought of all the friends at home. \"Joy,\" said N. \"Right,\" said the old one, and showed them the road.",
]
FIND = [
    "There, on a (flat stone|green hill|small table), lay the X. It was shining in the light. But next to it slept a big "
    "(giant|wolf|dragon). N did not run. N said in a soft voice, \"Good evening. I think this is my X.\" The (big one|old "
    "one) opened one eye. \"I only took it because I was lonely,\" it said.",
    "At last they saw the X. A little (child|bird|goat) was holding it. \"I found it in the grass,\" it said, \"and I have "
    "never had anything so beautiful.\" N smiled. \"You took good care of it,\" said N. \"Thank you for that.\"",
]
TURN = [
    "N thought about it. \"You do not have to be alone,\" said N. \"Come with us. There is room for one more.\" And that is "
    "what they did. All of them went home together, and on the way they sang every song they knew.",
    "N broke the last bread into three parts and gave one to each of them. They ate, and they laughed, and soon they were "
    "friends. \"Keep visiting us,\" said N. \"Our door is always open.\"",
]
END = [
    "When they came back to P, everyone was waiting. There was (cake|soup|warm bread) and music, and the X was put where "
    "all could see it. N and M stayed friends for the rest of their lives. And when the nights are quiet, you can still "
    "hear them laugh. The end.",
    "At home, N put the X in its place. It looked the same as before, but N had changed. N had learned that being T does "
    "not mean being alone, and that a good friend is worth more than any X. And they all lived happily ever after. The end.",
    "That night, N lay in bed and looked at the stars. \"It was a long way,\" N whispered, \"but it was a good way.\" M was "
    "already asleep. The X was shining softly, and soon N was dreaming of the next adventure. The end.",
]
ASKS = [
    "tell me a [long ]story", "tell a [long ]story", "please tell me a [long ]story", "write a [long ](story|tale)",
    "can you tell me a [long ]story?", "I want to hear a [long ]story", "tell me a (bedtime story|fairy tale)",
    "write me a [very ]long story", "make up a [long ]story", "tell me a story of at least 300 words",
    "write a [long ]story with many details", "I would like a long story", "read me a story", "a long story please",
    "write a long story for (me|children|my kids)", "tell me a very long story please",
]


def story(rng: random.Random, who: str | None = None, name: str | None = None) -> str:
    """A tale of about 350 to 600 tokens."""
    n = name or rng.choice(w.FIRST)
    m = rng.choice([x for x in w.FIRST if x != n])
    parts = [rng.choice(OPEN), rng.choice(TROUBLE), rng.choice(MEET)]
    parts += rng.sample(TRIAL, rng.choice((1, 2, 2)))
    parts += [rng.choice(FIND), rng.choice(TURN), rng.choice(END)]
    put = {"N": n, "M": m, "W": who or rng.choice(WHO_LIST), "V": rng.choice(WHO_LIST), "T": rng.choice(TRAIT),
           "T2": rng.choice(TRAIT), "P": rng.choice(PLACE_LIST), "X": rng.choice(THING_LIST)}
    out = []
    for part in parts:
        text = expand(part, rng)
        for key in ("T2", "N", "M", "W", "V", "T", "P", "X"):
            text = _swap(text, key, put[key])
        out.append(text)
    return "\n\n".join(out)


def _swap(text: str, key: str, value: str) -> str:
    return re.sub(rf"\b{key}\b", value, text)


def story_turn(rng: random.Random) -> tuple[str, str]:
    """A request for a story and the story."""
    ask = expand(rng.choice(ASKS), rng)
    who = name = None
    roll = rng.random()
    if roll < 0.45:
        who = rng.choice(WHO_LIST)
        end = "?" if ask.endswith("?") else ""
        ask = ask.rstrip("?") + f" about a {who}" + end
        if rng.random() < 0.3:
            name = rng.choice(w.FIRST)
            ask = ask.rstrip("?") + f" {rng.choice(['called', 'named'])} {name}" + end
    if rng.random() < 0.8:
        ask = ask[0].upper() + ask[1:]
    if not ask.endswith("?") and rng.random() < 0.7:
        ask += "."
    return ask.replace(" a owl", " an owl"), story(rng, who, name)
