// Words that tell Latin languages apart, those that prompts are made of among them: little words, question words, greetings, "please", "write", "explain".
// A word of several languages counts for each of them, the less the more they are. Words that programs are made of count little for English.

enum LanguageWords {
    static let codes: [StaticString] = ["en", "de", "fr", "es", "it", "pt", "nl", "pl", "tr", "sv", "cs", "id", "vi"]
    static let count = 13

    static let lists: [StaticString] = [
        """
        the and of to a is that it was on are they at be this have or had by but what some we you your were when there use an each which she do how their will up about many then them these so \
        her would make him into has more who could my than been now people write explain please can could should why where help me i hello hi thanks thank create give show tell does did \
        don't i'm it's what's translate summarize list find name names between following text sentence word words code using very here answer question short best about also just want need like \
        know think only other because after before most our its over such any same between through good morning every all one two out get got as with from he his summary story poem
        """,
        """
        der die das und ist in zu den mit nicht von sie es ein eine einen einem einer auf für dem sich auch als an wie was wer wo wann warum ich du er wir ihr mir mich dir dich uns ihnen kann kannst \
        könnte können bitte wird werden wurde hat haben habe sind war bei aus nach noch nur so wenn über oder aber im zum zur des vom durch mehr schreibe schreib erkläre erklär übersetze gib zeig \
        hallo danke guten morgen tag welche welcher welches diese dieser dieses mein meine dein deine kein keine man sehr gut hier heute zwischen unterschied möchte muss soll text satz wörter \
        deutsch hilf helfen machen mach geht gibt wieviel viele erstelle beschreibe
        """,
        """
        le la les de des du et est un une en que qui dans pour pas sur au aux avec ce cette ces il elle nous vous ils je tu ne se sont plus par mais ou où comme tout mon ma mes votre vos notre son sa \
        ses leur être avoir fait faire peux peut pouvez quel quelle quels quelles comment pourquoi quand bonjour merci s'il plaît écris écrivez explique expliquez moi traduis résume donne donnez \
        j'ai c'est d'un d'une l'on qu'est n'est aussi très bien entre différence aide aidez texte phrase mots français chez sans sous après avant aujourd'hui était sera liste crée créer salut
        """,
        """
        el la los las de del y que en es un una por para con no se lo le su sus al como más pero este esta estos estas mi tu me te nos hay está están ser son fue qué cómo cuál cuáles cuándo dónde \
        quién porqué hola gracias favor escribe explica explícame dame puedes puede podrías traduce resume necesito quiero tengo muy también entre diferencia sobre desde hasta cuando donde \
        porque si o ni ya yo él ella ellos usted ustedes texto frase palabras español ayuda ayúdame hacer crea buenos días todo todos sin otro hoy cada mejor
        """,
        """
        il lo la i gli le di del della dei delle e è che in un una uno per con non si su al alla ai dal nel nella come più ma questo questa questi queste mi ti ci sono sei ho hai ha abbiamo essere \
        cosa chi quando dove perché quale quali ciao grazie favore scrivi spiega spiegami dammi puoi può potresti traduci riassumi vorrei voglio molto anche tra fra differenza io tu lui lei noi voi \
        loro testo frase parole italiano aiuto aiutami fare crea buongiorno tutti tutto senza oggi dopo prima mio tuo suo sua dell'
        """,
        """
        o a os as de do da dos das e que em um uma para por com não se no na nos nas ao à como mais mas este esta isso isto esse essa eu você vocês ele ela nós eles meu minha seu sua é são está estão \
        ser foi tem ter qual quais quando onde porque quem olá oi obrigado obrigada favor escreva explique explica-me dê me pode poderia traduza resuma preciso quero muito também entre diferença \
        sobre até já texto frase palavras português ajuda ajude fazer crie bom dia todos tudo sem hoje cada melhor pelo pela
        """,
        """
        de het een en van in is dat op te zijn met voor niet die aan er om ook als maar bij uit dan naar door over wat wie waar wanneer waarom hoe ik je jij u hij zij wij we jullie mij mijn jouw uw ons \
        kan kun kunt kunnen wil wilt moet heeft hebben heb was waren worden wordt deze dit geen meer veel hallo dank bedankt alsjeblieft alstublieft schrijf leg uitleggen vertaal geef maak \
        tussen verschil tekst zin woorden nederlands help goed goedemorgen zeer heel nog wel naar onze welke hier vandaag samenvatting
        """,
        """
        i w z na do to że się nie jest o po jak ale co za od czy dla tak już tylko przez ten ta te tego tej tym są był była było być mam masz ma może można możesz jego jej ich mnie mi cię ci nas wam \
        kto gdzie kiedy dlaczego który która które jaki jaka jakie cześć dziękuję dzięki proszę napisz wyjaśnij przetłumacz podaj daj pomóż pokaż między różnica różnicę bardzo też oraz lub \
        ponieważ tekst zdanie słowa słów polski polsku dzień dobry dzisiaj bez wszystkie chcę potrzebuję stwórz krótki
        """,
        """
        ve bir bu da de için ile mi mı mu mü ne nasıl neden niçin kim nerede zaman hangi ben sen o biz siz onlar benim senin onun çok daha en gibi kadar olan olarak var yok değil ama veya ya ki her \
        şey olur oldu eder misin mısın mısınız misiniz lütfen merhaba teşekkür teşekkürler yaz yazın açıkla açıklar çevir ver bana bize arasındaki arasında fark nedir midir hakkında kısa metin \
        cümle kelime türkçe yardım et eder günaydın bugün sonra önce bütün tüm oluştur istiyorum gerekiyor bana göre
        """,
        """
        och att det i en som är av för den till på med inte om ett har jag de så men var vi du han hon kan ska skulle man från när hur vad vem varför vilken vilket vilka där här mig dig min mitt din \
        ditt sin oss er eller också bara mycket mer än efter vid upp ut nu hej tack snälla skriv förklara översätt ge gör hjälp mellan skillnaden skillnad kort text mening ord svenska god morgon \
        idag alla allt utan vill behöver skapa finns mina några
        """,
        """
        a je se v na to že s z do o i jak ale jsem jsi jsme jste jsou byl byla bylo být co kdo kde kdy proč který která které jaký jaká jaké pro po za od tak už jen ten ta tato tento mi mě ti tě nám \
        vám já ty on ona my vy nebo také velmi více mezi rozdíl ahoj děkuji díky prosím napiš napište vysvětli přelož dej můžeš můžete může mám máš má není text věta slova česky čeština pomoz \
        dobrý den dnes bez všechny chci potřebuji vytvoř krátký při podle
        """,
        """
        yang dan di ini itu dengan untuk tidak dari dalam adalah pada akan ke ada saya anda kamu kami kita mereka dia apa bagaimana mengapa kenapa siapa kapan dimana mana bisa dapat tolong silakan \
        halo terima kasih tulis tuliskan jelaskan terjemahkan berikan buat buatkan antara perbedaan sangat juga atau karena jika sudah belum lebih seperti oleh sebagai bahasa indonesia teks \
        kalimat kata bantu selamat pagi hari semua tanpa tentang ringkas ringkasan satu dua aku cara harus telah tersebut bukan
        """,
        """
        và của là có không được cho một các những người trong tôi bạn này đó với để như khi từ ra đã sẽ đang cũng nhưng nếu thì hay hoặc gì nào sao thế tại ai đâu bao giờ hãy xin chào cảm ơn viết \
        giải thích dịch sang giúp tiếng việt anh chị em chúng ta họ rất nhiều hơn giữa khác nhau về vào lên xuống làm biết cần muốn câu từ văn bản ngắn hôm nay
        """,
    ]

    /// Words of programs: no sign of English in a text of another script.
    static let ofCode: StaticString = "for in if is as not and or from import with while class return this print new the a i to of at it on"

    /// Open addressing: hash in the high half, then languages (16 bits), points (8 bits), 1 for a word of code.
    struct Table: @unchecked Sendable {
        static let size = 8192
        let places: UnsafeMutablePointer<UInt64>
        init() {
            places = .allocate(capacity: Self.size)
            places.initialize(repeating: 0, count: Self.size)
            for (language, list) in LanguageWords.lists.enumerated() { words(of: list) { set($0, language) } }
            words(of: LanguageWords.ofCode) { hash in
                let place = self.place(hash)
                if places[place] != 0 { places[place] |= 1 }
            }
            for place in 0..<Self.size where places[place] != 0 {
                let languages = UInt16(truncatingIfNeeded: places[place] >> 16)
                let points: UInt64 = switch languages.nonzeroBitCount {
                case 1: 12
                case 2: 6
                case 3: 4
                default: 3
                }
                places[place] |= points << 8
            }
        }

        private func words(of list: StaticString, _ body: (UInt32) -> Void) {
            var hash = LanguageWords.start
            for at in 0...list.utf8CodeUnitCount {
                let byte = at < list.utf8CodeUnitCount ? list.utf8Start[at] : 0x20
                if byte == 0x20 || byte == 0x0A {
                    if hash != LanguageWords.start { body(hash) }
                    hash = LanguageWords.start
                } else {
                    hash = LanguageWords.add(hash, byte)
                }
            }
        }

        private func place(_ hash: UInt32) -> Int {
            var place = Int((hash &* 0x9E37_79B1) >> 19)
            while places[place] != 0, places[place] >> 32 != UInt64(hash) { place = (place + 1) % Self.size }
            return place
        }
        private func set(_ hash: UInt32, _ language: Int) {
            let place = self.place(hash)
            places[place] |= UInt64(hash) << 32 | 1 << (16 + UInt64(language))
        }

        /// 0: no such word.
        @inline(__always)
        func find(_ hash: UInt32) -> UInt64 { places[place(hash)] }
    }

    static let table = Table()

    /// FNV-1a over the lower-case bytes.
    static let start: UInt32 = 0x811C_9DC5
    @inline(__always) static func add(_ hash: UInt32, _ byte: UInt8) -> UInt32 { (hash ^ UInt32(byte)) &* 0x0100_0193 }
}
