"""Owns the tools that are made by rule: a verb, an object and fitting parameters."""

from __future__ import annotations

import random
from dataclasses import dataclass

from . import words as w
from .synonyms import PLAIN_VERBS, SYNONYMS
from .toolkit import BOOL_KIND, Param, Tool, random_enum, rename
from .values import BOOLS, KINDS


@dataclass
class Verb:
    """A kind of action: how tools call it, describe it, how users ask, how it is reported."""

    names: list[str]
    descs: list[str]
    asks: list[str]
    done: list[str]
    pools: str
    kinds: list[str]
    need: int = 0
    reading: bool = False


def _v(names: str, descs: str, asks: str, done: str, pools: str, kinds: str, need: int = 0,
       reading: bool = False) -> Verb:
    return Verb(names.split(), descs.split("|"), asks.split("|"), done.split("|"), pools, kinds.split(),
                need, reading)


# o = the object, s = its name in snake_case; pools: d device, r reading, i item, t thing
VERBS = [
    _v("start_s activate_s turn_on_s enable_s s_on run_s power_on_s switch_on_s s_start",
       "Start the o|Turn the o on|Switch on the o|Activates the o|Power up the o|Run the o",
       "start the o|turn on the o|turn the o on|switch the o on|switch on the o|activate the o|get the o running"
       "|run the o|fire up the o|power up the o|the o should run", "The o is on", "d",
       "minutes seconds hours room percent level celsius speed enum bool time index"),
    _v("stop_s deactivate_s turn_off_s disable_s s_off shut_off_s power_off_s switch_off_s s_stop halt_s",
       "Stop the o|Turn the o off|Switch off the o|Shuts the o down|Deactivate the o|Halt the o",
       "stop the o|turn off the o|turn the o off|switch the o off|switch off the o|shut the o down|kill the o"
       "|deactivate the o|halt the o|no more o please", "The o is off", "d", "room minutes bool index time"),
    _v("set_s control_s adjust_s s_control configure_s change_s s_set", "Set the o|Control the o|Adjust the o|"
       "Change how the o works|Sets the o to a value", "set the o|adjust the o|change the o|put the o|bring the o",
       "The o is set", "d", "percent level celsius speed enum angle room index", 1),
    _v("open_s s_open raise_s", "Open the o|Opens a o|Open up the o", "open the o|open up the o|get the o open|"
       "make the o open|let the o open", "The o is open", "d", "room percent seconds bool id"),
    _v("close_s s_close shut_s lower_s", "Close the o|Closes the o|Shut the o", "close the o|shut the o|make the o "
       "shut|get the o closed", "The o is closed", "d", "room percent time bool id"),
    _v("lock_s secure_s s_lock", "Lock the o|Secure the o against use", "lock the o|secure the o|lock up the o",
       "The o is locked", "d", "room id minutes"),
    _v("reset_s restart_s reboot_s s_reset calibrate_s", "Reset the o|Restart the o|Bring the o back to its first "
       "state", "reset the o|restart the o|reboot the o|bring the o back to its start", "The o is reset", "d",
       "room bool seconds id"),
    _v("clean_s wash_s service_s rinse_s", "Clean the o|Run the cleaning program of the o", "clean the o|wash the o|"
       "run the cleaning of the o|the o is dirty, clean it", "The o gets clean", "d", "enum minutes room bool date"),
    _v("move_s rotate_s turn_s shift_s s_move", "Move the o|Turn the o|Shift the position of the o", "move the o|turn "
       "the o|shift the o|push the o", "The o moved", "d", "angle distance enum speed level", 1),
    _v("fill_s refill_s load_s top_up_s", "Fill the o|Refill the o|Load the o", "fill the o|refill the o|top up the o|"
       "load the o", "The o is filled", "d", "volume_ml percent thing weight"),
    _v("check_s test_s inspect_s s_status get_s_status diagnose_s", "Check the state of the o|Tell whether the o works|"
       "Get the status of the o|Test the o", "check the o|is the o working?|is the o on?|test the o|what is the "
       "state of the o?|how is the o doing?|look at the o|what is the status of the o?", "o status", "d",
       "room id", 0, True),
    _v("get_s read_s measure_s s_now current_s fetch_s check_s", "Get the o|Read the current o|Measure the o|Tell the o|"
       "Current value of the o|Returns the o", "what is the o|what's the o|tell me the o|how high is the o|read the o|"
       "measure the o|get the o|give me the o|check the o|I want to know the o|show me the o", "o", "r",
       "city room id name date period enum index", 0, True),
    _v("log_s record_s track_s save_s report_s", "Save a value of the o|Log the o|Record the o", "log the o|record the o|"
       "save the o|track the o|write down the o", "The o is saved", "r", "number_of time date name", 1),
    _v("get_s_history s_history s_trend analyze_s", "Show how the o changed|History of the o", "how did the o change|"
       "show the history of the o|how was the o|what was the o", "o history", "r", "days hours city room date", 1, True),
    _v("create_s add_s new_s make_s s_create insert_s", "Create a new o|Add a o|Make a o|Creates a o entry",
       "create a o|add a o|make a new o|add a new o|new o|I need a new o|set up a o", "The o is created", "i",
       "title date time name text price id count thing enum bool city email", 1),
    _v("delete_s remove_s cancel_s drop_s s_delete discard_s", "Delete a o|Remove a o|Cancel a o|Removes the o",
       "delete the o|remove the o|cancel the o|throw the o away|get rid of the o|drop the o|I do not need the o any "
       "more,", "The o is gone", "i", "title id name date", 1),
    _v("find_s search_s lookup_s s_search query_s locate_s", "Find a o|Search for a o|Look up a o|Searches all o entries",
       "find a o|search for a o|look for a o|look up the o|is there a o|find me a o|search the o", "o", "i",
       "query title date city name price id limit enum thing", 1, True),
    _v("list_s show_s get_s view_s s_list display_s", "List all o entries|Show every o|Get the list of o entries",
       "list every o|show me every o|show the o list|what is in my o list?|give me the o list|show all o entries",
       "o list", "i", "limit date city enum name weekday", 0, True),
    _v("update_s edit_s change_s modify_s s_update", "Change a o|Update a o|Edit the o", "change the o|update the o|edit "
       "the o|modify the o", "The o is changed", "i", "title id text date time enum price", 1),
    _v("send_s share_s forward_s deliver_s mail_s", "Send a o to somebody|Share a o|Forward the o", "send the o|share "
       "the o|forward the o|pass the o on|mail the o", "The o is sent", "i", "to email title id enum text", 1),
    _v("rename_s name_s label_s", "Give the o a new name|Rename the o", "rename the o|name the o|label the o",
       "The o has its name", "id", "newname id", 1),
    _v("book_s reserve_s rent_s hire_s s_booking", "Book a o|Reserve a o|Rent a o", "book a o|reserve a o|rent a o|hire a "
       "o|I would like to have a o|get me a o", "The o is booked", "di", "date time city name days hours count enum "
       "people clock", 1),
    _v("order_s buy_s purchase_s request_s", "Order a o|Buy a o|Purchase some o", "order a o|buy a o|purchase a o|get me a "
       "o|I want to buy a o|I need a o", "The o is ordered", "dt", "count color price enum address date id", 1),
    _v("schedule_s plan_s postpone_s s_schedule arrange_s", "Plan a o|Schedule the o|Put the o on the plan",
       "schedule the o|plan the o|plan a o|arrange the o|put the o on the plan", "The o is planned", "di",
       "date time clock city weekday name minutes people", 1),
    _v("assign_s give_s hand_over_s", "Give a o to a person|Assign the o to somebody", "assign the o|give the o|hand the "
       "o", "The o is assigned", "id", "to id date", 1),
    _v("rate_s review_s score_s grade_s", "Rate a o|Give a o some stars|Grade the o", "rate the o|review the o|grade "
       "the o|give the o a rating", "Your rating is saved", "it", "stars title text id name", 1),
    _v("count_s s_count total_s", "Count the o entries|How many o there are", "count the o entries|how many o are there|"
       "how many o entries do we have|tell me the number of o", "o count", "it", "city room date enum color", 0, True),
    _v("export_s download_s backup_s archive_s", "Export the o|Save the o to a file|Back up the o", "export the o|download "
       "the o|back up the o|archive the o", "The o is exported", "i", "file enum date email", 1),
    _v("import_s load_s upload_s", "Import a o from a file|Load the o", "import the o|load the o|upload the o",
       "The o is loaded", "i", "file url bool", 1),
    _v("play_s show_s preview_s watch_s", "Play a o|Show a o|Preview the o", "play the o|show the o|preview the o|watch the "
       "o|let me see the o", "The o is playing", "i", "title language enum level minutes by", 1),
    _v("notify_s alert_s ping_s page_s", "Notify a o|Alert the o|Tell the o something", "notify the o|alert the o|ping the "
       "o|tell the o", "The o knows", "i", "text enum time", 1),
    _v("weigh_s measure_s scan_s detect_s", "Weigh a o|Measure a o|Scan a o", "weigh the o|measure the o|scan the o|have a "
       "look at the o", "o result", "dt", "room id unit enum", 0, True),
    _v("mix_s cook_s prepare_s heat_s cool_s", "Prepare some o|Cook the o|Heat the o", "prepare the o|cook the o|heat the "
       "o|make some o|cool the o|mix the o", "The o is ready", "t", "minutes celsius count weight enum volume_ml", 1),
]
LOCAL: dict[str, tuple[str, str]] = {
    "people": ("level", "for {p} people"), "stars": ("level", "with {p} stars"),
    "number_of": ("celsius", "as {p}"), "newname": ("title", "to {p}"), "address": ("city", "to {p}"),
}
LOCAL_NAMES = {"people": ["people", "persons", "guests", "party_size"], "stars": ["stars", "rating", "score"],
               "number_of": ["value", "reading", "amount"], "newname": ["new_name", "name", "label"],
               "address": ["city", "ship_to", "address"]}
BEFORE = """target max min new current start end first last preferred total user item order default desired
planned next own full exact daily net initial final""".split()
AFTER = """name number value level code s m percent id text c kg ml count label key type ref hint info""".split()


def _object(verb: Verb, rng: random.Random) -> str:
    pool = {"d": w.DEVICES, "r": w.READING_LIST, "i": w.ITEM_LIST, "t": w.FOODS + w.DEVICES}
    return w.object_word(rng, pool[rng.choice(verb.pools)])


def _one_param(kind: str, rng: random.Random, obj: str) -> tuple[Param, str]:
    if kind == "bool":
        name, desc, yes, no = rng.choice(BOOLS)
        return Param(name, BOOL_KIND, desc, rng.random() < 0.3, True), f"{{{name}:{yes}/{no}}}"
    if kind in ("enum", "unit", "period"):
        name, k = random_enum(rng)
        return Param(name, k, rng.choice(k.descs), rng.random() < 0.6), k.tails[0].replace("{p}", f"{{{name}}}")
    if kind in LOCAL:
        base, tail = LOCAL[kind]
        k, names = KINDS[base], LOCAL_NAMES[kind]
    else:
        k = KINDS[kind]
        names, tail = k.names, rng.choice(k.tails)
    name = rng.choice(names)
    roll = rng.random()
    if roll < 0.08:
        name = f"{obj.split()[-1]}_{name}"
    elif roll < 0.2:
        name = f"{rng.choice(BEFORE)}_{name}"
    elif roll < 0.28:
        name = f"{name}_{rng.choice(AFTER)}"
    elif roll < 0.3:
        name = f"{w.made_word(rng)}_{name}"
    elif roll < 0.35:
        name = w.made_word(rng)
        tail = f"{name} {{p}}" if rng.random() < 0.5 else f"with {name} {{p}}"
    desc = rng.choice(k.descs) if rng.random() < 0.7 else rng.choice(
        [f"The {name.replace('_', ' ')}", f"{name.replace('_', ' ').capitalize()} of the {obj}",
         f"{name.replace('_', ' ').capitalize()} to use"])
    return Param(name, k, desc, rng.random() < 0.65), tail.replace("{p}", f"{{{name}}}")


def _params(verb: Verb, rng: random.Random, obj: str) -> tuple[list[Param], list[str]]:
    wanted = max(verb.need, rng.choice((0, 1, 1, 1, 2, 2, 2, 3, 3, 4)))
    if verb.need == 0 and rng.random() < 0.25:
        wanted = 0
    kinds = rng.sample(verb.kinds, min(wanted, len(verb.kinds)))
    if rng.random() < 0.12 and kinds:
        kinds[-1] = rng.choice(list(KINDS))
    params: list[Param] = []
    tails: list[str] = []
    for kind in kinds:
        p, tail = _one_param(kind, rng, obj)
        if p.name in {q.name for q in params} or any(q.kind is p.kind for q in params):
            continue
        params.append(p)
        tails.append(tail)
    if params and verb.need:
        params[0].required = True
    return params, tails


def _asks(verb: Verb, obj: str, params: list[Param], tails: list[str], rng: random.Random) -> list[str]:
    asks = []
    for _ in range(8):
        head = rng.choice(verb.asks).replace(" o ", f" {obj} ")
        question = head.endswith("?")
        head = (" " + head.rstrip("?") + " ").replace(" o ", f" {obj} ").replace(" o, ", f" {obj}, ").strip()
        use = [t for p, t in zip(params, tails, strict=True) if p.required or rng.random() < 0.6]
        if rng.random() < 0.3:
            rng.shuffle(use)
        if use and rng.random() < 0.12 and use[0].split()[0] in ("in", "at", "on", "for", "with"):
            text = f"{use[0]}, {' '.join([head, *use[1:]])}"
        elif use and rng.random() < 0.1:
            text = f"{head}, {', '.join(use)}"
        else:
            text = " ".join([head, *use])
        asks.append(text + ("?" if question or head.split()[0] in ("what", "what's", "how", "is") else ""))
    return asks


def plain_verb(rng: random.Random) -> Verb:
    """A verb whose name, description and request use the same everyday word."""
    v = rng.choice(PLAIN_VERBS) if rng.random() < 0.85 else w.made_word(rng)
    names = [f"{v}_s", f"{v}_s", f"s_{v}", f"{v}_one_s"]
    descs = [f"{v.capitalize()} the o", f"{v.capitalize()} a o", f"Lets the user {v} the o", f"To {v} the o"]
    asks = [f"{v} the o", f"{v} my o", f"{v} this o", f"{v} the o", f"the o is next, {v} it", f"{v} one o"]
    kinds = rng.sample([k for k in KINDS if k not in ("song", "task", "isodate", "ssid")], 6) + ["enum", "bool"]
    return Verb(names, descs, asks, [f"Done, {v} o"], "dirt", kinds)


def _reword(asks: list[str], obj: str, rng: random.Random) -> list[str]:
    """At times call the object by another word than the tool does, or `my` object."""
    out = []
    others = SYNONYMS.get(obj) or SYNONYMS.get(obj.split()[-1]) or []
    for ask in asks:
        if others and rng.random() < 0.45:
            key = obj if obj in SYNONYMS else obj.split()[-1]
            ask = ask.replace(key, rng.choice(others), 1)
        if rng.random() < 0.1:
            ask = ask.replace("the ", rng.choice(["my ", "our ", "this ", "that "]), 1)
        out.append(ask)
    return out


def _long_desc(desc: str, asks: list[str], rng: random.Random) -> str:
    """Descriptions in the wild often say when to use the tool."""
    roll = rng.random()
    plain = [a.split("{")[0].strip().rstrip("?,:\"'") for a in asks]
    head = rng.choice(plain)
    if roll < 0.1:
        return f"{desc.rstrip('.')}. Use this when the user says something like: {head}."
    if roll < 0.16:
        return f"{desc.rstrip('.')}. " + rng.choice(["Returns the result as JSON.", "Returns true when it worked.",
                                                    "Works only at home.", "Call it once per request.",
                                                    "Needs a connection.", "The result is shown to the user."])
    if roll < 0.2:
        return rng.choice(["A tool to ", "Function to ", "Use this tool to ", "Helps to "]) + desc[0].lower() + desc[1:]
    return desc


def _article(text: str) -> str:
    words = text.split(" ")
    for i in range(len(words) - 1):
        if words[i] == "a" and words[i + 1][:1] in "aeiou":
            words[i] = "an"
    return " ".join(words)


def make_tool(rng: random.Random, verb: Verb | None = None, obj: str | None = None) -> Tool:
    """Make one tool; a verb or object may be given, for look-alikes."""
    verb = verb or (plain_verb(rng) if rng.random() < 0.25 else rng.choice(VERBS))
    obj = obj or _object(verb, rng)
    params, tails = _params(verb, rng, obj)
    snake = obj.replace(" ", "_").replace("-", "_")
    name = "_".join(snake if part == "s" else part for part in rng.choice(verb.names).split("_"))
    desc = (" " + rng.choice(verb.descs) + " ").replace(" o ", f" {obj} ").strip()
    if params and rng.random() < 0.25:
        desc += rng.choice([" with a ", ", given its ", " by "]) + params[0].name.replace("_", " ")
    desc = _article(desc) + ("." if rng.random() < 0.4 else "")
    asks = _asks(verb, obj, params, tails, rng)
    desc = _long_desc(desc, asks, rng)
    asks = [_article(a) for a in _reword(asks, obj, rng)]
    done = [f" {d} ".replace(" o ", f" {obj} ").strip() for d in verb.done]
    if rng.random() < 0.15:
        rng.shuffle(params)
    return rename(Tool(name, desc, params, asks, done, "reading" if verb.reading else "action",
                       done[0] if verb.reading else ""), rng)


def look_alikes(rng: random.Random, count: int) -> list[Tool]:
    """A tool and some that resemble it: other verbs of its object, other objects of its verb."""
    verb = plain_verb(rng) if rng.random() < 0.25 else rng.choice(VERBS)
    obj = _object(verb, rng)
    out = [make_tool(rng, verb, obj)]
    while len(out) < count:
        if rng.random() < 0.55:
            other = rng.choice([*[v for v in VERBS if set(v.pools) & set(verb.pools)], plain_verb(rng),
                                plain_verb(rng)])
            if other is verb:
                continue
            out.append(make_tool(rng, other, obj))
        else:
            out.append(make_tool(rng, verb, None))
    return out
