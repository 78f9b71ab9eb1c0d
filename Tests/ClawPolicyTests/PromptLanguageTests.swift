import ClawPolicy
import Testing

@Suite struct PromptLanguageTests {
    private func guess(_ json: String) -> String {
        var reading = PromptReading(.language)
        Array(json.utf8).withUnsafeBytes { _ = reading.read($0) }
        return "\(LanguageGuess.codes[reading.language.language])"
    }
    private func quoted(_ text: String) -> String {
        "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n") + "\""
    }

    static let sentences: [(String, [String])] = [
        ("en", ["Hello!", "What is the capital of France?", "Please write a short poem about the sea and explain what each line means.",
                "Fix this code for me:\n```python\nfor i in range(10):\n    print(i)\n```\nIt should print only even numbers.", "Translate 안녕하세요 into English", "Tell me a joke", "How do I use Docker?"]),
        ("de", ["Hallo, wie geht es dir?", "Was ist die Hauptstadt von Frankreich?", "Bitte schreibe ein kurzes Gedicht über das Meer und erkläre, was jede Zeile bedeutet.",
                "Erkläre mir diesen Code: `let x = foo(bar)`", "Guten Morgen", "Fasse den Text zusammen", "Ich möchte eine Rechnung erstellen."]),
        ("fr", ["Bonjour, comment ça va ?", "Quelle est la capitale de la France ?", "Écris un court poème sur la mer et explique ce que chaque ligne veut dire.",
                "Explique-moi ce code :\n```js\nconst a = require('b')\n```", "Peux-tu m'aider avec mon projet ?", "Merci beaucoup"]),
        ("es", ["Hola, ¿cómo estás?", "¿Cuál es la capital de Francia?", "Escribe un poema corto sobre el mar y explica qué significa cada línea.", "Explícame este código: def f(x): return x + 1",
                "Necesito ayuda con mi proyecto", "Buenos días"]),
        ("it", ["Ciao, come stai?", "Qual è la capitale della Francia?", "Scrivi una breve poesia sul mare e spiega che cosa significa ogni riga.", "Spiegami questo codice: def f(x): return x + 1",
                "Ho bisogno di aiuto con il mio progetto", "Grazie mille"]),
        ("pt", ["Olá, como você está?", "Qual é a capital da França?", "Escreva um pequeno poema sobre o mar e explique o que cada linha significa.", "Explique este código: def f(x): return x + 1",
                "Preciso de ajuda com o meu projeto", "Bom dia"]),
        ("nl", ["Hallo, hoe gaat het met je?", "Wat is de hoofdstad van Frankrijk?", "Schrijf een kort gedicht over de zee en leg uit wat elke regel betekent.", "Leg deze code uit: def f(x): return x + 1",
                "Ik heb hulp nodig met mijn project", "Goedemorgen"]),
        ("pl", ["Cześć, jak się masz?", "Jaka jest stolica Francji?", "Napisz krótki wiersz o morzu i wyjaśnij, co oznacza każda linia.", "Wyjaśnij ten kod: def f(x): return x + 1", "Potrzebuję pomocy z moim projektem",
                "Dzień dobry"]),
        ("tr", ["Merhaba, nasılsın?", "Fransa'nın başkenti neresidir?", "Deniz hakkında kısa bir şiir yaz ve her satırın ne anlama geldiğini açıkla.", "Bu kodu açıkla: def f(x): return x + 1",
                "Projem için yardıma ihtiyacım var", "Günaydın"]),
        ("sv", ["Hej, hur mår du?", "Vad är Frankrikes huvudstad?", "Skriv en kort dikt om havet och förklara vad varje rad betyder.", "Förklara den här koden: def f(x): return x + 1", "Jag behöver hjälp med mitt projekt",
                "God morgon"]),
        ("cs", ["Ahoj, jak se máš?", "Jaké je hlavní město Francie?", "Napiš krátkou báseň o moři a vysvětli, co znamená každý řádek.", "Vysvětli tento kód: def f(x): return x + 1", "Potřebuji pomoc s mým projektem",
                "Dobrý den"]),
        ("id", ["Halo, apa kabar?", "Apa ibu kota Prancis?", "Tulis puisi pendek tentang laut dan jelaskan apa arti setiap baris.", "Jelaskan kode ini: def f(x): return x + 1", "Saya butuh bantuan dengan proyek saya",
                "Terima kasih"]),
        ("vi", ["Xin chào, bạn khỏe không?", "Thủ đô của Pháp là gì?", "Hãy viết một bài thơ ngắn về biển và giải thích ý nghĩa của từng dòng.", "Giải thích đoạn mã này: def f(x): return x + 1",
                "Tôi cần giúp đỡ với dự án của mình", "Cảm ơn bạn"]),
        ("ko", ["안녕하세요", "프랑스의 수도는 어디인가요?", "Kubernetes와 Docker Compose를 사용해서 Redis Cluster 배포 방법을 알려줘", "이 코드를 설명해줘:\n```python\nfor i in range(10):\n    print(i)\n```",
                "for i in range(10): print(i) 이 코드 설명해줘", "iPhone 16 Pro Max 가격 비교", "OpenAI ChatGPT Enterprise 요금제 알려줘"]),
        ("ja", ["こんにちは", "フランスの首都はどこですか？", "海についての短い詩を書いて、各行の意味を説明してください。", "このコードを説明して: def f(x): return x + 1", "東京都の人口を教えて", "AWS Lambda の料金"]),
        ("zh", ["你好", "法国的首都是哪里？", "写一首关于大海的短诗，并解释每一行的意思。", "解释这段代码：def f(x): return x + 1", "請用繁體中文回答", "用 Python 写一个快速排序"]),
        ("ru", ["Привет, как дела?", "Какая столица Франции?", "Напиши короткое стихотворение о море и объясни, что означает каждая строка.", "Объясни этот код: def f(x): return x + 1", "Мне нужна помощь с проектом на Python"]),
        ("uk", ["Привіт, як справи?", "Яка столиця Франції?", "Напиши короткий вірш про море і поясни, що означає кожен рядок.", "Поясни цей код: def f(x): return x + 1 і його мету", "Мені потрібна допомога з проєктом"]),
        ("ar", ["مرحبا، كيف حالك؟", "ما هي عاصمة فرنسا؟", "اكتب قصيدة قصيرة عن البحر واشرح معنى كل سطر.", "اشرح هذا الكود: def f(x): return x + 1", "أحتاج إلى مساعدة في مشروعي"]),
        ("fa", ["سلام، حالت چطور است؟", "پایتخت فرانسه کجاست؟", "یک شعر کوتاه درباره دریا بنویس و معنی هر خط را توضیح بده.", "این کد را توضیح بده: def f(x): return x + 1", "برای پروژه‌ام به کمک نیاز دارم"]),
        ("he", ["שלום, מה שלומך?", "מהי בירת צרפת?", "כתוב שיר קצר על הים והסבר את משמעות כל שורה.", "הסבר את הקוד הזה: def f(x): return x + 1", "אני צריך עזרה עם הפרויקט שלי"]),
        ("hi", ["नमस्ते, आप कैसे हैं?", "फ्रांस की राजधानी क्या है?", "समुद्र पर एक छोटी कविता लिखो और हर पंक्ति का अर्थ समझाओ।", "इस कोड को समझाओ: def f(x): return x + 1", "मुझे अपने प्रोजेक्ट में मदद चाहिए"]),
        ("th", ["สวัสดีครับ", "เมืองหลวงของฝรั่งเศสคืออะไร", "เขียนบทกวีสั้นเกี่ยวกับทะเลและอธิบายความหมายของแต่ละบรรทัด", "อธิบายโค้ดนี้: def f(x): return x + 1", "ฉันต้องการความช่วยเหลือกับโปรเจกต์"]),
        ("el", ["Γεια σου, τι κάνεις;", "Ποια είναι η πρωτεύουσα της Γαλλίας;", "Γράψε ένα σύντομο ποίημα για τη θάλασσα.", "Εξήγησε αυτόν τον κώδικα: def f(x): return x + 1", "Χρειάζομαι βοήθεια με το έργο μου"]),
        ("und", ["", "?", "42", "x", "12:30 - 15:45", "Ω", "```\nthe code is not what you read here\n```"]),
    ]

    @Test(arguments: Self.sentences) func everySentenceIsKnown(_ row: (String, [String])) {
        for sentence in row.1 {
            let got = guess("{\"prompt\":\(quoted(sentence))}")
            #expect(got == row.0, "\(sentence) is \(got)")
        }
    }

    @Test func theUsersLanguageCountsAndHisLastMessageMost() {
        let english = quoted(String(repeating: "You are a helpful assistant. You must always answer the user in a polite way. ", count: 30))
        #expect(guess(#"{"messages":[{"role":"system","content":\#(english)},{"role":"user","content":"환불은 어떻게 하나요?"}]}"#) == "ko")
        #expect(guess(#"{"system":\#(english),"messages":[{"content":"Wie bekomme ich mein Geld zurück?","role":"user"}]}"#) == "de")
        #expect(guess(#"{"messages":[{"role":"user","content":"Can you help me with this?"},{"role":"assistant","content":"Sure"},{"role":"user","content":"좋아요, 한국어로 대답해 주세요"}]}"#) == "ko")
        #expect(guess(#"{"messages":[{"role":"user","content":"환불은 어떻게 하나요?"},{"role":"assistant","content":"네"},{"role":"user","content":"42"}]}"#) == "ko")
        #expect(guess(#"{"messages":[{"role":"system","content":"Du bist ein Übersetzer."},{"role":"user","content":"?"}]}"#) == "de")
    }

    @Test func codesHavePositions() {
        for at in LanguageGuess.codes.indices { #expect(LanguageGuess.index(of: "\(LanguageGuess.codes[at])") == at) }
        #expect(LanguageGuess.index(of: "und") == LanguageGuess.undetermined && LanguageGuess.index(of: "xx") == nil)
    }

    @Test func escapedTextIsTheSame() {
        #expect(guess(#"{"prompt":"\uc548\ub155\ud558\uc138\uc694"}"#) == "ko")
        #expect(guess(#"{"prompt":"\u00bfC\u00f3mo est\u00e1s?"}"#) == "es")
    }
}
