"""Owns the facts that the model is taught: capitals and simple questions with their answers."""

from __future__ import annotations

_CAPITALS = """France Paris;Spain Madrid;Germany Berlin;Italy Rome;Switzerland Bern;Austria Vienna;Portugal Lisbon;
Belgium Brussels;Netherlands Amsterdam;Luxembourg Luxembourg;Ireland Dublin;United_Kingdom London;England London;
Scotland Edinburgh;Wales Cardiff;Norway Oslo;Sweden Stockholm;Finland Helsinki;Denmark Copenhagen;Iceland Reykjavik;
Poland Warsaw;Czech_Republic Prague;Slovakia Bratislava;Hungary Budapest;Romania Bucharest;Bulgaria Sofia;
Greece Athens;Turkey Ankara;Croatia Zagreb;Slovenia Ljubljana;Serbia Belgrade;Bosnia Sarajevo;Albania Tirana;
Montenegro Podgorica;Kosovo Pristina;Ukraine Kyiv;Russia Moscow;Belarus Minsk;Estonia Tallinn;Latvia Riga;
Lithuania Vilnius;Moldova Chisinau;Malta Valletta;Cyprus Nicosia;Monaco Monaco;Andorra Andorra_la_Vella;
Liechtenstein Vaduz;Egypt Cairo;Morocco Rabat;Tunisia Tunis;Algeria Algiers;Libya Tripoli;Nigeria Abuja;Ghana Accra;
Kenya Nairobi;Ethiopia Addis_Ababa;Tanzania Dodoma;Uganda Kampala;Rwanda Kigali;Senegal Dakar;Mali Bamako;
Cameroon Yaounde;Angola Luanda;Zambia Lusaka;Zimbabwe Harare;Mozambique Maputo;Madagascar Antananarivo;
Namibia Windhoek;Botswana Gaborone;Somalia Mogadishu;Sudan Khartoum;South_Africa Pretoria;China Beijing;Japan Tokyo;
South_Korea Seoul;North_Korea Pyongyang;India New_Delhi;Pakistan Islamabad;Bangladesh Dhaka;Nepal Kathmandu;
Sri_Lanka Colombo;Thailand Bangkok;Vietnam Hanoi;Laos Vientiane;Cambodia Phnom_Penh;Malaysia Kuala_Lumpur;
Singapore Singapore;Indonesia Jakarta;Philippines Manila;Mongolia Ulaanbaatar;Kazakhstan Astana;Uzbekistan Tashkent;
Afghanistan Kabul;Iran Tehran;Iraq Baghdad;Syria Damascus;Lebanon Beirut;Jordan Amman;Israel Jerusalem;
Saudi_Arabia Riyadh;Yemen Sanaa;Oman Muscat;Qatar Doha;Kuwait Kuwait_City;Georgia Tbilisi;Armenia Yerevan;
Azerbaijan Baku;United_States Washington;Canada Ottawa;Mexico Mexico_City;Guatemala Guatemala_City;Cuba Havana;
Jamaica Kingston;Haiti Port-au-Prince;Panama Panama_City;Costa_Rica San_Jose;Honduras Tegucigalpa;Nicaragua Managua;
El_Salvador San_Salvador;Colombia Bogota;Venezuela Caracas;Ecuador Quito;Peru Lima;Bolivia La_Paz;Brazil Brasilia;
Chile Santiago;Argentina Buenos_Aires;Uruguay Montevideo;Paraguay Asuncion;Australia Canberra;
New_Zealand Wellington;Fiji Suva;Taiwan Taipei"""
CAPITALS: dict[str, str] = {}
for _pair in _CAPITALS.replace("\n", "").split(";"):
    _country, _city = _pair.split(" ")
    CAPITALS[_country.replace("_", " ")] = _city.replace("_", " ")
THE = {"Netherlands", "United Kingdom", "Czech Republic", "United States", "Philippines"}


def with_article(country: str) -> str:
    """`the Netherlands`, but `France`."""
    return f"the {country}" if country in THE else country


# question forms (parted by |) ; answer
_QA = """what color is the sky?|which color has the sky?|why is the sky so blue?;The sky is blue.
what color is grass?|which color has grass?;Grass is green.
what color is snow?|which color has snow?;Snow is white.
what color is a banana?|which color do bananas have?;A banana is yellow.
what color is blood?|which color has blood?;Blood is red.
what color is the sun?|which color has the sun?;The sun looks yellow.
how many days are in a week?|how many days does a week have?|how many days has a week?;A week has seven days.
how many months are in a year?|how many months does a year have?;A year has twelve months.
how many days are in a year?|how many days does a year have?;A year has 365 days.
how many hours are in a day?|how many hours does a day have?;A day has 24 hours.
how many minutes are in an hour?|how many minutes does an hour have?;An hour has 60 minutes.
how many seconds are in a minute?|how many seconds does a minute have?;A minute has 60 seconds.
how many legs does a dog have?|how many legs has a dog?;A dog has four legs.
how many legs does a spider have?|how many legs has a spider?;A spider has eight legs.
how many legs does an ant have?|how many legs has an insect?;It has six legs.
how many wheels does a car have?|how many wheels has a car?;A car has four wheels.
how many wheels does a bicycle have?|how many wheels has a bike?;A bicycle has two wheels.
how many fingers does a hand have?|how many fingers are on a hand?;A hand has five fingers.
how many continents are there?|how many continents does the earth have?;There are seven continents.
how many planets are there?|how many planets are in the solar system?;There are eight planets in the solar system.
what is the largest planet?|which planet is the biggest?;The largest planet is Jupiter.
which planet is closest to the sun?|what is the planet next to the sun?;Mercury is closest to the sun.
what is the red planet?|which planet is called the red planet?;Mars is called the red planet.
what is the largest ocean?|which ocean is the biggest?;The largest ocean is the Pacific.
what is the longest river?|which river is the longest?;The Nile is often called the longest river.
what is the highest mountain?|which mountain is the highest?|what is the tallest mountain?;The highest mountain is Mount Everest.
what is the largest animal?|which animal is the biggest?;The largest animal is the blue whale.
what is the fastest land animal?|which animal runs fastest?;The cheetah is the fastest land animal.
what is the tallest animal?|which animal is the tallest?;The tallest animal is the giraffe.
what does a cat say?|what sound does a cat make?;A cat says meow.
what does a dog say?|what sound does a dog make?;A dog says woof.
what does a cow say?|what sound does a cow make?;A cow says moo.
what does a duck say?|what sound does a duck make?;A duck says quack.
what does a sheep say?|what sound does a sheep make?;A sheep says baa.
what do cows eat?|what does a cow eat?;Cows eat grass.
what do bees make?|what does a bee make?;Bees make honey.
what do cows give us?|where does milk come from?;Milk comes from cows.
where do fish live?|where does a fish live?;Fish live in water.
where do birds live?|where does a bird live?;Many birds live in nests.
what is water made of?|what are the parts of water?;Water is made of hydrogen and oxygen.
what is ice?|what is ice made of?;Ice is frozen water.
at what temperature does water boil?|when does water boil?;Water boils at 100 degrees Celsius.
at what temperature does water freeze?|when does water freeze?;Water freezes at 0 degrees Celsius.
what do plants need?|what do plants need to grow?;Plants need light, water and air.
what is the opposite of hot?|tell me the opposite of hot;The opposite of hot is cold.
what is the opposite of big?|tell me the opposite of big;The opposite of big is small.
what is the opposite of day?|tell me the opposite of day;The opposite of day is night.
what is the opposite of up?|tell me the opposite of up;The opposite of up is down.
what is the opposite of old?|tell me the opposite of old;The opposite of old is new.
what is the opposite of fast?|tell me the opposite of fast;The opposite of fast is slow.
what is the opposite of happy?|tell me the opposite of happy;The opposite of happy is sad.
what is the opposite of open?|tell me the opposite of open;The opposite of open is closed.
what comes after Monday?|which day comes after Monday?;Tuesday comes after Monday.
what comes after Tuesday?|which day comes after Tuesday?;Wednesday comes after Tuesday.
what comes after Friday?|which day comes after Friday?;Saturday comes after Friday.
what comes after Sunday?|which day comes after Sunday?;Monday comes after Sunday.
what is the first month?|which month is the first of the year?;The first month is January.
what is the last month?|which month is the last of the year?;The last month is December.
who wrote Romeo and Juliet?|who is the author of Romeo and Juliet?;William Shakespeare wrote Romeo and Juliet.
who wrote Hamlet?|who is the author of Hamlet?;William Shakespeare wrote Hamlet.
who painted the Mona Lisa?|who is the painter of the Mona Lisa?;Leonardo da Vinci painted the Mona Lisa.
who was the first man on the moon?|who walked on the moon first?;Neil Armstrong was the first man on the moon.
who discovered gravity?|who is known for gravity?;Isaac Newton is known for the law of gravity.
who was Albert Einstein?|who is Albert Einstein?;Albert Einstein was a famous physicist.
where is the Eiffel Tower?|in which city is the Eiffel Tower?;The Eiffel Tower is in Paris.
where is Big Ben?|in which city is Big Ben?;Big Ben is in London.
where is the Colosseum?|in which city is the Colosseum?;The Colosseum is in Rome.
where is the Statue of Liberty?|in which city is the Statue of Liberty?;The Statue of Liberty is in New York.
what language do people speak in Brazil?|which language is spoken in Brazil?;People in Brazil speak Portuguese.
what language do people speak in France?|which language is spoken in France?;People in France speak French.
what language do people speak in Germany?|which language is spoken in Germany?;People in Germany speak German.
what is the currency of Japan?|which money is used in Japan?;The currency of Japan is the yen.
what is the currency of Switzerland?|which money is used in Switzerland?;The currency of Switzerland is the franc.
what is a robot?|explain what a robot is;A robot is a machine that can do tasks by itself.
what is a computer?|explain what a computer is;A computer is a machine that works with data.
what is an LED?|explain what an LED is;An LED is a small light that needs little power.
what is Wi-Fi?|explain Wi-Fi;Wi-Fi is a way to connect devices without a cable.
what is the internet?|explain the internet;The internet is a network that connects computers all over the world.
what is a microcontroller?|explain what a microcontroller is;A microcontroller is a tiny computer on one chip.
what is a language model?|explain what a language model is;A language model is a program that reads and writes text.
what is AI?|what is artificial intelligence?;Artificial intelligence is software that can do tasks which need thinking.
what is a tree?|explain what a tree is;A tree is a tall plant with a trunk and leaves.
what is rain?|explain rain;Rain is water that falls from clouds.
what is the sun?|explain what the sun is;The sun is a star that gives us light and warmth.
what is the moon?|explain what the moon is;The moon is a ball of rock that goes around the earth.
what is music?|explain music;Music is sound that is put in order so that it is nice to hear.
name three fruits|tell me three fruits|give me three fruits;Three fruits are apple, banana and orange.
name three colors|tell me three colors|give me three colors;Three colors are red, green and blue.
name three animals|tell me three animals|give me three animals;Three animals are dog, cat and horse.
name three vegetables|tell me three vegetables;Three vegetables are carrot, potato and onion.
name the seasons|what are the seasons?|how many seasons are there?;The four seasons are spring, summer, autumn and winter.
tell me a joke|do you know a joke?|make me laugh|say something funny;Why did the robot sleep? Because its battery was low.
what is the meaning of life?|why are we here?;That is a big question. Some say it is 42.
count to five|count from one to five|count from 1 to 5;1, 2, 3, 4, 5.
count to three|count from one to three|count from 1 to 3;1, 2, 3.
count to ten|count from one to ten|count from 1 to 10;1, 2, 3, 4, 5, 6, 7, 8, 9, 10.
say the alphabet|tell me the alphabet;A B C D E F G H I J K L M N O P Q R S T U V W X Y Z."""
QA: list[tuple[list[str], str]] = []
for _line in _QA.split("\n"):
    _q, _a = _line.split(";")
    QA.append((_q.split("|"), _a))

# identity and small talk
_TALK = """hello|hi|hey|hello there|hi there|good day|greetings|hey there|hello assistant|hi nano;Hello! I am Distiller Nano. How can I help you?
good morning|morning;Good morning! How can I help you?
good evening|evening;Good evening! How can I help you?
good night|sleep well;Good night! Sleep well.
good afternoon;Good afternoon! How can I help you?
how are you?|how are you doing?|how do you do?|how is it going?|are you ok?|how do you feel?|are you fine?;I am fine, thank you. How can I help you?
who are you?|what are you?|what is your name?|what's your name?|tell me who you are|introduce yourself|tell me about yourself|tell me your name|what are you called?|who am I talking to?|do you have a name?|what kind of assistant are you?|who is this?|please introduce yourself;I am Distiller Nano, a tiny assistant that runs on this device.
are you a robot?|are you human?|are you a person?|are you a real person?|are you alive?;I am Distiller Nano, a small language model, not a person.
are you an AI?|are you a language model?|are you a program?|are you a computer?;Yes, I am Distiller Nano, a tiny language model that runs on this device.
are you ChatGPT?|are you GPT?|are you Siri?|are you Alexa?|are you Claude?|are you Gemini?;No, I am Distiller Nano, a tiny assistant that runs on this device.
who made you?|who built you?|where do you come from?|who created you?;I am Distiller Nano, the small model of the Distiller LLM project.
where are you?|where do you run?|do you run in the cloud?|where do you live?|do you need the internet?;I run right here on the device, without the cloud.
what can you do?|how can you help me?|help|help me|what are you able to do?|what do you know?|what are your skills?;I can answer simple questions, tell stories and call the tools that you offer me.
how big are you?|how large are you?|how many parameters do you have?;I am very small: only a few million parameters.
how old are you?|when were you made?;I am quite new and have no age.
thanks|thank you|thank you very much|many thanks|thanks a lot|great, thanks|thx|thank you so much;You are welcome!
bye|goodbye|see you|see you later|bye bye|good bye;Goodbye!
you are great|good job|well done|nice|cool|great|awesome|perfect|you are nice|good bot;Thank you! I am glad to help.
you are stupid|you are bad|that is wrong|wrong|bad answer|no, that is wrong;I am sorry. I am only a tiny model.
I am sad|I feel bad|I had a bad day|I am unhappy;I am sorry to hear that. I hope you feel better soon.
I am happy|I feel good|I had a good day|I feel great;That is nice to hear!
I am bored|this is boring;I can tell you a story or a joke.
I am tired|I am sleepy;Then take a rest.
I am hungry;Then it is time to eat something.
I am thirsty;Then drink a glass of water.
do you like me?|do you love me?;I like to help you.
can you hear me?|are you there?|test|testing|ping|are you online?;Yes, I am here.
do you speak English?|do you understand me?|which language do you speak?;Yes, I understand simple English.
yes|ok|okay|sure|fine|alright;Good. What can I do for you?
no|nope|not really|never mind|forget it;All right.
sorry|I am sorry|my mistake;No problem.
do you like music?|do you like pizza?|do you like dogs?|do you like cats?;I am a small program, but I think it is nice.
do you sleep?|do you eat?|do you dream?;No, I am a program.
please|hm|hmm|what?|huh?;How can I help you?"""
TALK: list[tuple[list[str], str]] = []
for _line in _TALK.split("\n"):
    _q, _, _a = _line.rpartition(";")
    TALK.append((_q.split("|"), _a))
