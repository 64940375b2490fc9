package country

import "strings"

// The names of the fictional country. Given names are ordinary ones of the language; surnames are composed, places and
// companies invented.

var maleNames = strings.Fields(`Anar Araz Aslan Aydın Azər Babək Bəhruz Cavid Ceyhun Cəlal Çingiz Elçin Elnur Elşad Emin
Eldar Fərid Fuad Gündüz Hikmət İlkin İlqar İsmayıl Kamran Kənan Ləzgin Mahir Mətin Murad Mübariz Natiq Nəriman Nihad
Orxan Oqtay Pərviz Polad Qabil Qədir Rəşad Rövşən Rüfət Samir Səbuhi Şahin Şəmil Tağı Təbriz Toğrul Tural Turqut Uğur
Üzeyir Vaqif Vüqar Xəyal Yaşar Yusif Zaur Ziya`)

var femaleNames = strings.Fields(`Afaq Aida Aygül Aynur Aysel Aytən Banu Bənövşə Çiçək Çinarə Dilarə Durna Dürdanə Elnarə
Esmira Əfsanə Əminə Fatimə Fəridə Gülnar Gülşən Günay Həcər Humay İlahə İradə Jalə Kəmalə Könül Laçın Ləman Lalə Mehriban
Məryəm Mələk Nailə Nərgiz Nigar Nuranə Ofeliya Pərvanə Pünhan Qönçə Rəna Ruhəngiz Sevil Səbinə Səkinə Sona Şəfəq Şəhla
Təranə Türkan Ülkər Ülviyyə Vəfa Xatirə Yasəmən Zəhra Zülfiyyə`)

// Surname roots by the vowel harmony of the ending that they take.
var surnameRoots = strings.Fields(`Alma Almaz Anbar Arpa Ayna Bağır Bahar Balaş Bulaq Çaylaq Çınqıl Dağ Dalğa Darı
Dəmir Dəniz Dərviş Duman Əkin Ənbər Əncir Fındıq Gəmi Göyçə Göyərçin Gümüş Günəş Güzgü Hasar Hörük İlbiz İlğım İncə
İpək Kəklik Kəhriz Kömür Körpü Küknar Külək Ləpə Lilpar Məşəl Mərmər Naxış Nərd Oxlov Ocaq Ördək Palıd Pələng Qala
Qamış Qanad Qarğı Qaya Qayıq Qızıl Qumru Saman Sazaq Səhər Səhra Söyüd Sünbül Şam Şimşək Tarla Tonqal Torpaq Turac
Tülkü Ulduz Umud Üfüq Üzüm Vadi Yağış Yarpaq Yaylaq Yelkən Yulğun Zəmi Zirvə Zoğal`)

var surnameEndings = []string{"lı", "zadə", "gil", "soy"}

// withHarmony ends a root with -lı, -li, -lu or -lü after its last vowel.
func withHarmony(root string) string {
	ending := "lı"
	for _, r := range strings.ToLower(root) {
		switch r {
		case 'a', 'ı':
			ending = "lı"
		case 'e', 'ə', 'i':
			ending = "li"
		case 'o', 'u':
			ending = "lu"
		case 'ö', 'ü':
			ending = "lü"
		}
	}
	return root + ending
}

func surname(root, ending string) string {
	if ending == "lı" {
		return withHarmony(root)
	}
	return root + ending
}

type settlement struct {
	name  string
	rural bool
}

type region struct {
	name     string
	postcode string // first two characters
	places   []settlement
}

var regions = []region{
	{"Paytaxt", "10", []settlement{{"Nurşəhər", false}, {"Dalğakənd", false}, {"Mayakqala", false}}},
	{"Qızılçay", "21", []settlement{{"Qızılçaybaşı", false}, {"Üçkörpü", false}, {"Nardüzü", true}, {"Əncirli Yal", true}}},
	{"Ağtəpə", "32", []settlement{{"Ağtəpəşəhər", false}, {"Duzlubulaq", true}, {"İlğımlı", true}}},
	{"Göyçəmən", "43", []settlement{{"Göyçəmənşəhər", false}, {"Şimşəkli", false}, {"Söyüdözü", true}}},
	{"Yeddidağ", "54", []settlement{{"Yeddidağqala", false}, {"Qartalyuva", true}, {"Buludlu Dərə", true}}},
	{"Samansahil", "65", []settlement{{"Samansahilşəhər", false}, {"Lilparlı", true}, {"Balıqtor", true}}},
	{"Ulduzdərə", "76", []settlement{{"Ulduzdərəşəhər", false}, {"Zoğalkənd", true}, {"Sünbüllü Düz", true}}},
	{"Küləkbaşı", "87", []settlement{{"Küləkşəhər", false}, {"Yelkəntəpə", false}, {"Qumluoba", true}}},
}

var streets = strings.Fields(`Alça Ardıc Badam Bağça Bahar Bənövşə Bulaq Çinar Çörəkçi Dalğa Dəmirçi Dəniz Dərə Dulusçu
Əncir Fənər Fındıq Göyərti Gülüstanlı Günəş Heyva Xalçaçı Xonça İnci İpək Körpübaşı Köhnə-Dəyirman Lalə Mayak Meydan Nar
Nərgiz Palıd Püstə Qaya Qumlu Saatsaz Sahil Sərv Söyüd Süsən Şam Şəlalə Tarla Turac Tut Ulduz Üzümçü Yasəmən Zeytun`)

var abroad = []struct{ code, city string }{
	{"NRV", "Norvale"}, {"SDL", "Sundal"}, {"ORS", "Orsenna"}, {"TMB", "Tumbra"}, {"KLD", "Kaldera"},
}

var foreignSurnames = strings.Fields(`Aldvik Brannock Corvane Dremmel Eskola Farnese Gorvik Hallam Istvary Jorund Kestrel
Lomax Marwick Norden Ostrell Pellan Quist Ravell Sorrel Tarn Ulven Varga Wexley Yorrick Zander`)

var foreignMale = strings.Fields(`Adan Bero Cas Dorin Emil Falk Gero Hanno Ivo Jaro Kilian Leno Milo Nils Otmar Piet`)
var foreignFemale = strings.Fields(`Alma Bruna Cira Dalia Edda Flora Greta Hilde Irma Jana Kaia Lena Mira Nora Oda Petra`)

type carModel struct{ maker, model string }

var carModels = []carModel{
	{"Turac", "Saz"}, {"Turac", "Saz"}, {"Turac", "Tar"}, {"Turac", "Ney"}, {"Ceyran", "Düz"}, {"Ceyran", "Düz"},
	{"Ceyran", "Yal"}, {"Ceyran", "Çöl"}, {"Qırğı", "102"}, {"Qırğı", "104"}, {"Qırğı", "106"}, {"Durna", "Səfər"},
	{"Durna", "Səfər"}, {"Durna", "Sahil"}, {"Kəhər", "Yük"}, {"Kəhər", "Furqon"}, {"Şimşək", "E1"}, {"Şimşək", "E2"},
}

var colours = []string{"white", "black", "grey", "silver", "blue", "red", "green", "brown"}

var companyWords = strings.Fields(`Anbar Ayna Bərəkət Cığır Çıraq Dalğa Dəyirman Duzlaq Əkinçi Fənər Gəmiçi Göyqurşağı
Güzgü Hasar İlmə İpəkçi Karvan Kəhriz Körpü Kürsü Lövbər Mehvər Məşəl Mismar Naxış Ocaq Pəncərə Pillə Qayıqçı Qəlib
Qovşaq Sandıq Sərgi Səyyah Şanı Şəbəkə Tağ Tərəzi Toxum Vərəq Xətt Xırman Yelkən Yolçu Zəncir Zirvə`)

var companySectors = []struct{ word, activity string }{
	{"Ticarət", "retail trade"}, {"İnşaat", "construction"}, {"Aqro", "agriculture"}, {"Nəqliyyat", "transport"},
	{"Qida", "food production"}, {"Texnika", "engineering"}, {"Tədris", "education"}, {"Mətbəə", "printing"},
	{"Mebel", "furniture"}, {"Toxuculuq", "textiles"}, {"Enerji", "energy services"}, {"Balıqçılıq", "fishing"},
}

var publicBodies = []struct {
	agency AgencyCode
	name   string
	work   string
}{
	{POP, "Əhali Reyestri Xidməti", "Registrar"},
	{VEH, "Nəqliyyat Vasitələri Reyestri", "Registration Inspector"},
	{SOC, "Sosial Müdafiə Fondu", "Benefits Officer"},
	{CLN, "Nurşəhər Klinikası", "Physician"},
	{MUN, "Nurşəhər Bələdiyyəsi", "Municipal Officer"},
	{POL, "Polis İdarəsi", "Police Inspector"},
	{Court, "Nurşəhər Məhkəməsi", "Judge"},
	{Authority, "Fərdi Məlumatların Müdafiəsi Qurumu", "Overseer"},
}
