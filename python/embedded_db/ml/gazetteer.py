"""Short lists of well-known names: hints for the entity recogniser, never decisions.

Typed for this project. Entries are lower case; a phrase has its words separated by one space.
"""

from __future__ import annotations

__all__ = ["CALENDAR", "GAZETTEERS", "NEVER"]

FIRST_NAMES = """
aaron abby abdul abigail adam adrian ahmed aidan aisha alan albert alejandro alex alexander
alexandra alexis alfred ali alice alicia alison allison amanda amber amelia amir amy ana andrea
andreas andrew andy angela anita ann anna anne annie anthony antonio anya april arjun arnold
arthur ashley astrid audrey austin ava barbara barry beatrice becky ben benjamin bernard beth
betty bianca bill billy bob bobby boris brad bradley brandon brenda brian bridget bruce bryan
caleb calvin cameron camila carl carla carlos carol caroline carmen catherine cathy cecilia
charles charlie charlotte chen chloe chris christian christina christine christopher cindy claire
clara claudia colin connor craig cynthia daisy dan daniel daniela danielle danny darren dave david
dawn dean deborah debra denise dennis derek diana diane diego dmitri dominic donald donna doris
dorothy doug douglas dylan eddie edgar eduardo edward edwin eileen elaine eleanor elena eli elias
elijah elizabeth ella ellen ellie elsa emil emily emma eric erica erik erin esther ethan eva evan
eve evelyn fatima felix fernando fiona florence frances francesca francis frank franz fred
frederick gabriel gabriela gary gavin geoff george gerald gina giovanni giulia glenn gloria gordon
grace graham greg gregory greta guillermo gustavo hannah hans harold harriet harry hassan hazel
heather hector heidi helen helena henry herbert hiroshi holly howard hugh hugo ian ibrahim igor
ingrid irene iris isaac isabel isabella isla ivan ivy jack jackie jackson jacob jacqueline jacques
jade jake james jamie jan jane janet janice jared jasmine jason javier jay jean jeff jeffrey jen
jenna jennifer jenny jeremy jerry jesse jessica jill jim jimmy joan joanna joe joel johanna john
johnny jon jonathan jordan jorge jose joseph josh joshua joy joyce juan juanita judith judy julia
julian julie justin kai karen karl kate katherine kathleen kathy katie katrina kayla keith kelly
ken kenneth kenji kevin kim kimberly kirsten kumar kurt kyle lara larry lars laura lauren laurie
lea leah lee lena leo leon leonard leslie leticia liam lillian lily linda lindsay lisa liz logan
lorenzo louis louise luca lucas lucia lucy luis luke lydia madison mandy manuel marc marcel marco
marcus margaret maria marie marilyn mario marion mark marta martha martin marvin mary mateo matt
matthew maurice max maya megan mei melanie melissa mia michael michelle miguel mike mikhail milan
miles miranda mohamed mohammed molly monica morgan muhammad mustafa nadia nancy naomi natalia
natalie natasha nathan neil nicholas nick nicola nicole nigel nina noah noel nora norman oleg
oliver olivia omar oscar otto owen pablo pamela patricia patrick paul paula pauline pedro peggy
penny peter petra phil philip phoebe pierre polly priya rachel rafael raj rajesh ralph ramon randy
raymond rebecca reginald ricardo richard rick rita rob robert roberto robin rodney roger roland
ron ronald rory rosa rosie ross roy ruby rupert russell ruth ryan sabrina sally sam samantha
samira samuel sandra sanjay sara sarah scott sean sebastian sergei seth shane shannon sharon shawn
sheila shirley simon sofia sonia sophia sophie stacy stan stefan stella stephanie stephen steve
steven stuart sue susan suzanne sven sylvia tamara tanya tara ted teresa terry theo theresa thomas
tim timothy tina todd tom tommy tony tracy trevor tyler ursula valentina valerie vanessa vera
veronica victor victoria vincent viola violet virginia vivian vladimir walter wanda wayne wendy
wesley wei will william wolfgang xavier yasmin yolanda yuki yusuf yvonne zach zachary zara zoe
"""

SURNAMES = """
adams ali allen andersen anderson armstrong bailey baker becker bell bennett bieber brooks brown
butler campbell carter chan chen clark clinton collins cook cooper cox cruz davies davis diaz
dubois edwards einstein evans fernandez fischer fisher flores foster garcia gates gomez gonzalez
gray green gupta hall hansen harris harrison hernandez hill hoffmann howard hughes ivanov jackson
jensen jobs johansson johnson jones kennedy khan kim king klein kumar larsen lee lewis li lin
lopez lovell martinez martin mcdonald meyer miller mitchell moore morales morgan morris muller
murphy murray musk nelson nguyen nielsen novak obama ortiz parker patel perez peterson phillips
price putin ramirez reed reyes richardson rivera roberts robinson rodriguez rogers rossi russell
sanchez sanders sato schmidt schneider schulz scott sharma shaw silva singh smith spears stewart
suzuki swift tanaka taylor thomas thompson torres trump turner wagner walker wallace wang ward
watson weber white williams wilson wong wood wright yamamoto yang young zhang zimmermann
zuckerberg
"""

CITIES = """
amsterdam|ankara|athens|atlanta|auckland|austin|baghdad|baltimore|bangalore|bangkok|barcelona
basel|beijing|beirut|belfast|belgrade|berlin|bern|birmingham|bogota|bologna|bombay|bordeaux|boston
brighton|brisbane|bristol|brooklyn|brussels|bucharest|budapest|buenos aires|buffalo|cairo|calgary
cambridge|cape town|cardiff|casablanca|charlotte|chennai|chicago|cincinnati|cleveland|cologne
columbus|copenhagen|dallas|damascus|delhi|denver|detroit|dhaka|doha|dresden|dubai|dublin|edinburgh
el paso|florence|frankfurt|geneva|genoa|glasgow|gothenburg|granada|hamburg|hanoi|havana|helsinki
hiroshima|hollywood|hong kong|honolulu|houston|hyderabad|istanbul|jakarta|jerusalem|johannesburg
kabul|karachi|kathmandu|kiev|kolkata|krakow|kuala lumpur|kyiv|kyoto|lagos|lahore|las vegas|leeds
leipzig|lima|lisbon|liverpool|ljubljana|london|los angeles|lyon|madrid|malaga|manchester|manhattan
manila|marseille|melbourne|memphis|mexico city|miami|milan|milwaukee|minneapolis|monaco|montreal
moscow|mumbai|munich|nairobi|naples|nashville|new delhi|new orleans|new york|new york city|newcastle
nice|nottingham|nyc|oakland|odessa|orlando|osaka|oslo|ottawa|oxford|palermo|paris|perth|philadelphia
phoenix|pisa|pittsburgh|portland|porto|prague|quebec|queens|reykjavik|riga|rio de janeiro|rome
rotterdam|sacramento|salzburg|san antonio|san diego|san francisco|san jose|santiago|sao paulo
sarajevo|seattle|seoul|seville|shanghai|sheffield|shenzhen|singapore|sofia|st louis|stockholm
strasbourg|stuttgart|sydney|taipei|tallinn|tampa|tehran|tel aviv|the hague|tokyo|toronto|toulouse
tripoli|tunis|turin|utrecht|valencia|vancouver|venice|verona|vienna|vilnius|warsaw|washington
washington dc|wellington|york|zagreb|zurich
"""

COUNTRIES = """
afghanistan|africa|alabama|alaska|albania|algeria|america|antarctica|argentina|arizona|arkansas
armenia|asia|australia|austria|azerbaijan|bahamas|bahrain|bangladesh|bavaria|belarus|belgium|bermuda
bolivia|bosnia|botswana|brazil|britain|bulgaria|california|cambodia|cameroon|canada|catalonia|chile
china|colombia|colorado|congo|connecticut|costa rica|crimea|croatia|cuba|cyprus|czech republic
delaware|denmark|dominican republic|ecuador|egypt|el salvador|england|estonia|ethiopia|europe
fiji|finland|florida|france|georgia|germany|ghana|great britain|greece|greenland|guatemala|haiti
hawaii|honduras|hungary|iceland|idaho|illinois|india|indiana|indonesia|iowa|iran|iraq|ireland|israel
italy|jamaica|japan|jordan|kansas|kazakhstan|kentucky|kenya|kosovo|kuwait|laos|latvia|lebanon
liberia|libya|lithuania|louisiana|luxembourg|macedonia|madagascar|maine|malaysia|malta|maryland
massachusetts|mexico|michigan|minnesota|mississippi|missouri|moldova|mongolia|montana|montenegro
morocco|mozambique|myanmar|namibia|nebraska|nepal|netherlands|nevada|new hampshire|new jersey
new mexico|new zealand|nicaragua|nigeria|north america|north carolina|north dakota|north korea
northern ireland|norway|ohio|oklahoma|oman|ontario|oregon|pakistan|palestine|panama|paraguay
pennsylvania|peru|philippines|poland|portugal|puerto rico|qatar|rhode island|romania|russia|rwanda
saudi arabia|scotland|senegal|serbia|siberia|sicily|slovakia|slovenia|somalia|south africa
south america|south carolina|south dakota|south korea|spain|sri lanka|sudan|sweden|switzerland|syria
taiwan|tanzania|tennessee|texas|thailand|tibet|tunisia|turkey|tuscany|uganda|uk|ukraine
united arab emirates|united kingdom|united states|uruguay|usa|utah|venezuela|vermont|vietnam|wales
west virginia|wisconsin|wyoming|yemen|zambia|zimbabwe
"""

ORGANISATIONS = """
accenture|adidas|adobe|airbus|alibaba|amazon|amd|anthropic|apple|arsenal|at&t|barcelona|basf|bbc
bloomberg|bmw|boeing|bosch|bp|cbs|celtics|chelsea|cia|cisco|cnn|coca cola|congress|costco|deepmind
dell|disney|dropbox|ebay|ericsson|espn|eu|european union|everton|exxon|facebook|fbi|fc barcelona
fedex|fema|fifa|ford|fox news|gm|goldman sachs|google|greenpeace|guardian|harvard|hp|hsbc|ibm|ikea
imf|instagram|intel|interpol|jpmorgan|juventus|knicks|lakers|lego|lenovo|lg|linkedin|liverpool fc
lufthansa|manchester city|manchester united|mcdonalds|mercedes|meta|microsoft|mit|motorola|mtv|nasa
nato|nba|nbc|nestle|netflix|new york times|nfl|nhs|nike|nintendo|nokia|nsa|nvidia|openai|oracle
paypal|pepsi|pfizer|philips|pixar|porsche|real madrid|red cross|reddit|reuters|ryanair|salesforce
samsung|sap|senate|shell|siemens|slack|sony|spacex|spotify|stanford|starbucks|stripe|target|tesla
tottenham|toyota|twitter|uber|ucla|un|unesco|unicef|united nations|verizon|visa|vodafone|volkswagen
volvo|walmart|warner bros|world bank|yahoo|yale|yankees|youtube
"""

PRODUCTS = """
airpods|alexa|android|apple watch|chatgpt|chrome|excel|fitbit|firefox|galaxy|github|gmail
google maps|imac|ios|ipad|iphone|ipod|itunes|java|kindle|kubernetes|linux|macbook|minecraft
mongodb|mysql|netflix|oculus|photoshop|playstation|postgres|postgresql|powerpoint|prius|ps3|ps4|ps5|python
redis|rust|siri|skype|snapchat|sqlite|switch|tiktok|ubuntu|vscode|whatsapp|wii|windows|word|xbox|zoom
"""

CALENDAR = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri "
    "sat sun january february march april may june july august september october november december "
    "jan feb mar apr jun jul aug sep sept oct nov dec today tomorrow yesterday tonight christmas "
    "easter halloween thanksgiving am pm morning".split()
)

# Words that are no entity by themselves, however they are written.
NEVER = frozenset(
    "i i'm im me my mine we us our you your he him his she her they them their it its this "
    "that ok okay yes no yeah yep nope hi hey hello bye thanks thank lol omg wtf please sorry "
    "oh wow haha hmm well so and but or the a an mom dad mum sir".split()
) | CALENDAR - {"april", "june", "august", "may"}


def _phrases(text: str) -> frozenset[str]:
    return frozenset(part.strip() for part in text.replace("\n", "|").split("|") if part.strip())


# In the order of their feature bits.
GAZETTEERS: tuple[frozenset[str], ...] = (
    frozenset(FIRST_NAMES.split()),
    frozenset(SURNAMES.split()),
    _phrases(CITIES),
    _phrases(COUNTRIES),
    _phrases(ORGANISATIONS),
    _phrases(PRODUCTS),
    CALENDAR,
    NEVER,
)
