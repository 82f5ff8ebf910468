//! Every text has the tokens that `bpe-openai` counts.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{fs, path::Path};

use proptest::prelude::*;

fn expected(text: &str) -> usize {
    bpe_openai::o200k_base().count(text)
}

/// Texts in which something is known to be hard.
const HARD: &[&str] = &[
    "",
    " ",
    "\n",
    "  \t \u{a0}\u{3000}\u{2028}\u{85} ",
    "a  b   c\n\n  d \r\n\r\n\te\r\n ",
    "   leading and trailing   ",
    "\n \n  \n\t\nx\n",
    "I'm you're he's they've I'll we'd isn't",
    "I'M YOU'RE HE'S THEY'VE I'LL WE'D ISN'T",
    "I'm You'Re hE'S THEY've i'lL 'Ll 'S'S 'ſ we'ſ I'\u{212a} x''s",
    "1 12 123 1234 1234567890123456789 3.14159 1,000,000 ١٢٣٤ ½ⅷ②",
    "今天天气很好，我们去公园散步吧。東京都港区　カタカナ、ひらがな。한국어 텍스트입니다",
    "مرحبا بالعالم، كيف حالك اليوم؟ السَّلامُ عَلَيْكُم",
    "नमस्ते दुनिया, आप कैसे हैं? क्षत्रिय ज्ञान",
    "สวัสดีชาวโลก ภาษาไทย",
    "👩‍👩‍👧‍👦 👍🏽 🇩🇪🇫🇷 ❤️‍🔥 1️⃣ 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "e\u{301}a\u{308}\u{323} \u{301}\u{301} \u{301}A \u{301}ABC A\u{301}B",
    "Z̷̢̛͎̆a̸͍̕l̴̙̈́g̵͕͝o̶̰͐ ţ̵̈́ȩ̸͝x̷͓̚t",
    "ǅungla ǈ ǋ ǲABC Ǆ ǆ ᾈ ʰʷ ªº ABCª ABªCD aªB",
    "fn main() {\n\tprintln!(\"{}\", x[0] += 1); // done\n}\n/*\n * a //\n */\n",
    "https://example.com/a/b?c=d&e=%20f#g http://[::1]:8080/// ..//..\\\\",
    "aGVsbG8gd29ybGQsIHRoaXMgaXMgYmFzZTY0IGVuY29kZWQgdGV4dA==",
    r#"{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"\n\u00e9"}}],"usage":null}"#,
    "!/\n/\r\n//\n\n!? ...\n---\n***\n",
    "<|endoftext|> <|im_start|>user<|im_end|>",
    "camelCase PascalCase SCREAMING_SNAKE snake_case HTTPServer iOS XMLHttpRequest",
    "\0\u{1}\u{7f}\u{feff}\u{fffd}\u{10ffff}\u{200b}\u{200d}\u{ad}",
    "pneumonoultramicroscopicsilicovolcanoconiosis Donaudampfschifffahrtsgesellschaft",
];

#[test]
fn hard_texts_have_their_tokens_whole_and_cut_anywhere() {
    for text in HARD {
        for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
            let (before, behind) = text.split_at(at);
            for text in [before, behind] {
                assert_eq!(tollgate_tokens::count(text), expected(text), "{text:?}");
            }
        }
    }
}

#[test]
fn every_character_of_the_basic_plane_has_its_tokens_among_others() {
    for char in '\0'..='\u{ffff}' {
        let text = format!("{char}{char} {char}A{char}a1{char}\n{char}'s ");
        assert_eq!(tollgate_tokens::count(&text), expected(&text), "{text:?}");
    }
}

#[test]
fn long_runs_have_their_tokens() {
    for unit in
        ["a", "A", "Aa", " ", "\n", " \n", "\t", "é", "語", "👍", "\u{301}", "1", "=", "/", "-_", "ab", "'s", "\0"]
    {
        for count in [15, 16, 17, 127, 128, 129, 300, 10_000] {
            let text = unit.repeat(count);
            for text in [text.as_str(), &format!("x{text}y"), &format!(" {text} z")] {
                assert_eq!(tollgate_tokens::count(text), expected(text), "{unit:?} {count}");
            }
        }
    }
    // Nothing is left over between pieces of all lengths.
    let text: String = (0..400).map(|len| "qx".repeat(len) + " ").collect();
    assert_eq!(tollgate_tokens::count(&text), expected(&text));
}

#[test]
fn files_of_this_repository_have_their_tokens() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for file in ["README.md", "Cargo.lock", "ARCHITECTURE.md", "docs/openapi.json", "src/upstream/endpoint.rs"] {
        let text = fs::read_to_string(root.join(file)).unwrap();
        assert_eq!(tollgate_tokens::count(&text), expected(&text), "{file}");
    }
}

/// What one piece may be made of, and what ends it.
fn fragment() -> impl Strategy<Value = String> {
    let token = (0..u32::try_from(bpe_openai::o200k_base().bpe.num_tokens()).unwrap())
        .prop_map(|rank| String::from_utf8_lossy(bpe_openai::o200k_base().bpe.token_bytes(rank)).into_owned());
    let few = prop::sample::select(&[
        " ",
        "  ",
        "\n",
        "\r\n",
        "\t",
        "/",
        "'",
        "'s",
        "'LL",
        "'ſ",
        "a",
        "A",
        "ab",
        "ABC",
        "ǅ",
        "ª",
        "語",
        "\u{301}",
        "1",
        "½",
        ".",
        "!",
        "\u{a0}",
        "👍",
        "\u{200d}",
        "<|endoftext|>",
    ]);
    prop_oneof![token, few.prop_map(str::to_owned), "\\PC", "[ -~]{1,4}", "[A-Za-z0-9+/]{1,30}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_text_has_its_tokens(text in any::<String>()) {
        prop_assert_eq!(tollgate_tokens::count(&text), expected(&text));
    }

    #[test]
    fn any_characters_have_their_tokens(chars in prop::collection::vec(any::<char>(), 0..60)) {
        let text = String::from_iter(chars);
        prop_assert_eq!(tollgate_tokens::count(&text), expected(&text));
    }

    #[test]
    fn any_fragments_in_a_row_have_their_tokens(parts in prop::collection::vec(fragment(), 0..60)) {
        let text = parts.concat();
        prop_assert_eq!(tollgate_tokens::count(&text), expected(&text));
    }
}
