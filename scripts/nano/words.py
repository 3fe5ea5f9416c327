"""Owns the plain word lists from which names, objects and values are drawn."""

from __future__ import annotations

import random

FIRST = """Ada Ben Clara David Emma Felix Grace Hugo Ida Jonas Karin Leo Maya Nora Oscar Paula Quinn
Rosa Sam Tina Uma Victor Wendy Xavier Yara Zoe Anna Bruno Carla Daniel Elena Fabio Gina Henry Iris
Jack Kate Lena Marco Nina Otto Petra Ralf Sofia Tom Ursula Vera Will Yusuf Zara Alice Bob Carol
Dmitri Eve Frank Gloria Hans Ingrid Julia Kevin Laura Max Nadia Olga Peter Rachel Simon Theo Vince
Amir Bianca Chen Diego Esther Fatima George Hana Ivan Jasmin Kofi Lucia Miguel Noah Omar Priya
Rania Stefan Tara Viktor Wei Ximena Aisha Boris Cecile Dora Elias Farid Greta Hiro Isabel Jamal
Kim Lars Mona Nils Olivia Pablo Rita Sven Tariq Lily Mia Liam Ethan Mason Lucas Ella Chloe Ruby
Adam Aaron Abby Alan Amy Andy Angela Arthur Becky Bill Brenda Brian Carl Cathy Chris Cindy Craig
Dan Debbie Dennis Diana Don Doris Doug Ed Eric Erin Fred Gary Greg Heidi Holly Ian Jane Jason Jeff
Jenny Jill Jim Joan Joe John Josh Judy Karen Keith Ken Larry Linda Lisa Luke Mark Mary Matt Mike
Molly Nancy Neil Nick Pam Pat Paul Phil Ray Rick Rob Ron Ross Roy Ruth Sally Sara Sean Steve Sue
Ted Tim Tony Tracy Wayne""".split()
LAST = """Smith Meyer Rossi Garcia Novak Tanaka Silva Kumar Olsen Dubois Weber Brown Lopez Kovac Lee
Nguyen Hall Young King Wright Scott Green Baker Adams Nelson Carter Turner Parker Evans Collins
Stewart Morris Rogers Reed Cook Bell Murphy Bailey Cooper Ward Brooks Gray James Hughes Foster
Fischer Keller Huber Moreau Petit Costa Ferrari Marino Haas Lindberg Berg Dahl Ito Sato Khan Ali
Hassan Cohen Levi Popov Sokolov Ivanova Horvat Nowak Duarte Mendes Ortega Ramos""".split()
CITIES = """Paris London Berlin Madrid Rome Vienna Zurich Geneva Basel Lyon Nice Milan Naples Turin
Venice Florence Hamburg Munich Cologne Frankfurt Dresden Leipzig Bremen Lisbon Porto Seville
Valencia Bilbao Barcelona Dublin Cork Glasgow Edinburgh Cardiff Leeds Bristol Liverpool Oxford
Cambridge Oslo Bergen Stockholm Malmo Helsinki Copenhagen Aarhus Reykjavik Warsaw Krakow Gdansk
Prague Brno Budapest Bucharest Sofia Athens Istanbul Ankara Izmir Moscow Kyiv Lviv Riga Vilnius
Tallinn Minsk Belgrade Zagreb Split Ljubljana Sarajevo Skopje Tirana Cairo Tunis Algiers Rabat
Casablanca Lagos Accra Nairobi Kampala Lusaka Harare Durban Dakar Addis Tokyo Osaka Kyoto Nagoya
Seoul Busan Beijing Shanghai Shenzhen Taipei Bangkok Hanoi Manila Jakarta Delhi Mumbai Chennai
Kolkata Karachi Lahore Dhaka Colombo Kathmandu Tehran Baghdad Riyadh Dubai Doha Muscat Amman Beirut
Jerusalem Toronto Montreal Ottawa Vancouver Calgary Boston Chicago Denver Dallas Houston Miami
Seattle Portland Phoenix Atlanta Detroit Austin Orlando Havana Lima Quito Bogota Caracas Santiago
Mendoza Montevideo Asuncion Brasilia Recife Sydney Melbourne Perth Brisbane Adelaide Auckland
Wellington""".split() + ["New York", "San Francisco", "Los Angeles", "Buenos Aires", "Mexico City",
    "Cape Town", "Hong Kong", "Tel Aviv", "Rio de Janeiro", "Kuala Lumpur", "St. Gallen", "The Hague"]
ROOMS = """kitchen,bedroom,living room,bathroom,hallway,garage,office,basement,attic,garden,terrace,
balcony,nursery,dining room,guest room,laundry room,entrance,study,workshop,cellar,porch,pantry,
meeting room,lobby,classroom,storage room,stairs,veranda,playroom,gym,lounge,yard,shed,corridor,
reception,server room,warehouse,studio,hall,kids room"""
ROOM_LIST = [r.strip() for r in ROOMS.split(",")]
COLORS = """red green blue yellow white orange purple pink cyan magenta violet brown black gray
turquoise gold silver indigo lime teal amber crimson beige olive navy""".split()
FOODS = """milk bread eggs butter cheese apples bananas rice pasta tomatoes onions potatoes coffee
tea sugar salt flour yogurt chicken fish carrots lemons oranges honey chocolate cookies water juice
olives beans lentils soup salad pizza mushrooms garlic pepper nuts grapes pears cucumbers spinach
soap batteries paper candles napkins shampoo toothpaste""".split()
TASKS = """call the dentist;water the plants;buy milk;pay the rent;feed the cat;take out the trash;
send the report;walk the dog;pick up the kids;charge the phone;clean the kitchen;book a table;
renew the passport;call grandma;check the oven;return the books;fix the bike;wash the car;
write the essay;take the medicine;order new filters;back up the laptop;iron the shirts;
prepare the slides;sign the contract;visit the bank;mow the lawn;empty the dishwasher;study math;
practice the guitar;meet the lawyer;change the sheets;print the tickets;defrost the chicken;
read chapter four;update the website;clean the windows;buy a birthday card;lock the back door;
drink some water;stretch my legs;call the plumber;bring an umbrella;turn in the homework"""
TASK_LIST = [t.strip() for t in TASKS.replace("\n", " ").split(";")]
TEXTS = """I will be late;dinner is ready;the meeting is moved to Friday;see you at the station;
please call me back;the package has arrived;happy birthday;we are out of milk;good luck today;
the keys are under the mat;I am on my way;the train is delayed;can you pick me up;great job team;
the heating is broken;do not forget the tickets;lunch at noon;I found your wallet;welcome home;
the car is fixed;let us meet at six;the dog is fine;thank you for the flowers;school is closed;
bring your swimsuit;the code is 4711;the internet is down;I love this song;good morning everyone;
all doors are closed;the soup is on the stove;we won the game;stay where you are;back in ten minutes;
the water is boiling;please bring your laptop;no school tomorrow;the show starts at eight;
call me when you land;the report is finished;I left work early;the cake needs sugar;visitors are here;
the power is out;turn left at the church;everything is fine;your order is ready;we need more time"""
TEXT_LIST = [t.strip() for t in TEXTS.replace("\n", " ").split(";")]
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = """January February March April May June July August September October November
December""".split()
LANGS = """English German French Italian Spanish Portuguese Dutch Polish Czech Turkish Greek Arabic
Hindi Japanese Korean Chinese Russian Swedish Danish Finnish Norwegian Hungarian""".split()
GENRES = """jazz,rock,pop,classical,blues,country,techno,folk,reggae,metal,hip hop,ambient,soul,funk,
disco,opera,salsa,house,indie,lo-fi"""
GENRE_LIST = [g.strip() for g in GENRES.replace("\n", " ").split(",")]
ADJ = """main front back upper lower left right inner outer small big spare new old north south east
west central backup secondary primary smart hidden mobile portable solar electric digital manual
guest night day emergency public private""".split()
DEVICES = """pump valve fan heater oven curtain gate door window shutter awning sprinkler fountain boiler
radiator lamp spotlight lantern chandelier siren buzzer bell horn motor engine conveyor crane lift
robot arm gripper mixer blender toaster kettle fridge freezer dishwasher dryer stove grill
microwave humidifier dehumidifier purifier ventilator compressor generator battery inverter charger
router modem switch server database firewall proxy scanner copier shredder screen monitor
television radio speaker amplifier microphone headset recorder webcam sensor detector thermostat
thermometer barometer meter gauge scale counter timer clock display panel keypad lock safe vault
cabinet drawer shelf locker bin tank barrel reservoir pipe faucet shower bathtub sauna toilet sink
tractor mower trimmer chainsaw drill saw lathe press welder furnace laser plotter
cutter feeder incubator tracker beacon antenna satellite radar turbine windmill heatpump
treadmill scooter wheelchair stroller trailer truck van car bus train tram ferry boat
mower snowplow telegraph jukebox synthesizer metronome karaoke carousel""".split()
READINGS = """temperature,humidity,air pressure,water level,fuel level,air quality,noise level,wind speed,
power usage,signal strength,soil moisture,light level,heart rate,blood pressure,step count,
oil pressure,voltage,current,frequency,rainfall,visibility,pollen level,exchange rate,stock price,
score,balance,distance,altitude,depth,weight,memory usage,disk space,network speed,uptime,queue length,
waiting time,traffic,snow depth,tide,gas price,water usage,occupancy,sleep score,calorie count"""
READING_LIST = [r.strip() for r in READINGS.replace("\n", " ").split(",")]
ITEMS = """note,task,event,meeting,appointment,contact,ticket,order,playlist,folder,file,document,
report,form,page,post,comment,photo,video,album,ballot,poll,survey,quiz,course,lesson,lecture,
project,milestone,budget,account,customer,client,supplier,product,category,label,
tag,bookmark,draft,letter,postcard,shipment,claim,contract,policy,case,issue,bug,
release,backup,snapshot,session,user,team,group,channel,room,booking,reservation,
flight,trip,route,hike,workout,diet,meal,menu,dish,ingredient,shopping list,wish list,gift,
coupon,voucher,badge,subscription,membership,donation,payment,loan,deposit,transfer,bill,
habit,goal,diary entry,dream,medication,prescription,vaccine,checkup,symptom,pet,plant,
tree,seed,harvest,herd,barn,field,tool,spare part,machine,vehicle,rental,repair,inspection,
alert,rule,scene,routine,macro,profile,preset,theme,wallpaper,font,template,slide,chart,formula,
song,podcast,episode,movie,series,game,puzzle,riddle,poem,chapter,character,scoreboard,tournament,
match,player,coach,referee,stadium,exhibit,concert,festival,workshop,seminar"""
ITEM_LIST = [i.strip() for i in ITEMS.replace("\n", " ").split(",")]
TITLES = """blue river,morning light,golden hour,summer rain,quiet night,the long road,first snow,
paper moon,silver train,wild garden,lost city,open sky,red balloon,winter song,little bird,old friends,
ocean drive,night shift,broken clock,happy days,green hills,last dance,city lights,falling leaves,
big plans,team lunch,spring cleaning,road trip,tax papers,holiday ideas,kick off,weekly review,
family dinner,book club,yoga class,new kitchen,garden plan,school trip,blood test,chess night"""
TITLE_LIST = [t.strip() for t in TITLES.replace("\n", " ").split(",")]

_ON = "b bl br c ch cl d dr f fl g gl gr h j k kl kr l m n p pl pr qu r s sk sl sn st t tr v w z".split()
_VO = "a e i o u ai ee oo ou ea".split()
_CO = "b ck d f g l ll m n nd nk p r rd rk s sh st t x z".split()


def made_word(rng: random.Random) -> str:
    """An invented word, so that copying does not depend on knowing the word."""
    parts = [rng.choice(_ON) + rng.choice(_VO) for _ in range(rng.choice((1, 2, 2)))]
    return "".join(parts) + rng.choice(_CO)


def object_word(rng: random.Random, pool: list[str]) -> str:
    """A noun phrase for a tool to act on: known, qualified or invented."""
    roll = rng.random()
    if roll < 0.24:
        return made_word(rng)
    noun = rng.choice(pool)
    if roll < 0.38:
        return f"{made_word(rng)} {noun}"
    if roll < 0.42:
        return f"{noun} {made_word(rng)}"
    if roll < 0.52 and " " not in noun:
        return f"{rng.choice(ADJ)} {noun}"
    if roll < 0.58 and " " not in noun:
        return f"{rng.choice(DEVICES)} {noun}"
    return noun
