"""Owns words of like meaning and plain verbs, so that requests need not repeat the tool's words."""

from __future__ import annotations

_PAIRS = """lamp light;television TV;screen display;car vehicle;photo picture;movie film;song track;
meeting appointment;shop store;fridge refrigerator;freezer deep freezer;faucet tap;bin trash can;bathtub tub;shelf rack;
door entrance;window pane;motor engine;pump water pump;fan ventilator;heater radiator;lift elevator platform;
siren alarm horn;bell chime;lock bolt;safe strongbox;drawer compartment;tank container;pipe tube;stove cooker;
trip journey;route way;hike walk;workout training;meal dish;menu food list;gift present;payment transaction;
bill account statement;goal target;diary entry journal entry;medication pills;prescription medicine;plant flower;
field acre;tool instrument;machine device;repair fix;alert warning;picture image;podcast audio show;
game play;poem verse;tournament contest;match game;coach trainer;concert show;seminar class;note memo;task job;
contact person;ticket pass;order purchase;file document;report summary;page sheet;post entry;comment remark;
video clip;quiz test;lesson class;lecture talk;project undertaking;customer client;supplier vendor;product article;
letter mail;shipment delivery;contract agreement;policy rule;issue problem;bug error;release version;backup copy;
user member;team group;room chamber;booking reservation;flight plane;coupon discount;subscription plan;loan credit;
temperature heat;speed pace;score points;balance money left;weight mass;distance way;noise level loudness;
rainfall rain;traffic cars on the road;waiting time wait;humidity damp;wind speed wind;heart rate pulse;
step count steps;disk space free storage;memory usage RAM;power usage electricity;water level water;fuel level fuel;
uptime running time;air quality air;light level brightness;stock price share value;speaker loudspeaker;
microphone mic;router internet box;server machine;truck lorry;boat ship;bus coach;tram streetcar;bread loaf;
shower wash;kettle water boiler;toaster bread toaster;oven stove;clock watch;camera cam;webcam camera"""
SYNONYMS: dict[str, list[str]] = {}
_WORDS = {"deep", "water"}
for _p in _PAIRS.replace("\n", "").split(";"):
    _parts = _p.split(" ")
    _cut = 2 if _parts[0] + " " + _parts[1] in {
        "diary entry", "noise level", "waiting time", "wind speed", "heart rate", "step count", "disk space",
        "memory usage", "power usage", "water level", "fuel level", "air quality", "light level", "stock price",
    } else 1
    SYNONYMS.setdefault(" ".join(_parts[:_cut]), []).append(" ".join(_parts[_cut:]))

PLAIN_VERBS = """polish sharpen fold wrap paint dust press stretch bend cut slice peel freeze melt dry iron stack sort
mark tag pin flag freeze mute pause resume extend shorten double split merge join copy clone duplicate paste print sign
verify validate approve reject accept decline confirm deny block unblock allow ban invite kick follow unfollow like
subscribe unsubscribe upgrade downgrade install uninstall compile build deploy publish hide reveal highlight
summarize compare rank filter group attach detach connect disconnect link unlink pair unpair sync mirror flip crop
resize compress encrypt decrypt sanitize calibrate tune align level balance park dock launch land charge discharge
drain flush vent seal unseal unlock unfold unwrap plug unplug mount unmount wake snooze skip rewind dim brighten warm
chill stir shake whisk knead bake roast grill fry boil steam season serve taste water plant prune harvest dig rake sow
feed groom walk train pet ride tow lift hoist swing spin pull push drag throw catch kick bounce illuminate ventilate
inflate deflate lubricate oil disinfect sterilize label catalog index archive renew extend return refund withdraw deposit
lend borrow donate sell trade auction audit approve escalate resolve reopen dispatch track trace tail monitor observe
guard patrol survey map chart sketch draw design rehearse perform broadcast stream record dub mix remix transpose hum
greet welcome thank warn comfort wake interview hire promote dismiss transfer evacuate quarantine treat bandage massage
inject dose vaccinate""".split()
