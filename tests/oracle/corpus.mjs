// Texts that tokenizers get wrong, and prompts for greedy completions. Seeded: the same texts on every run and machine.
import { readFileSync } from "node:fs";
import { randomFrom } from "./random.mjs";

const LICENCE = readFileSync(new URL("../../LICENSE-APACHE", import.meta.url), "utf8");
const GPL = optional("/usr/share/common-licenses/GPL-3");

// Tokens of the vocabulary that user text must not be able to write, ones it may, and texts that only look like one.
const LOOKALIKES = [
  "<bos>", "<eos>", "<pad>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>", "<unused0>", "<unused12>", "<unused6241>",
  "[multimodal]", "<start_of_image>", "<end_of_image>", "<table>", "</table>", "<td>", "<h1>", "</h6>", "<s>", "<code>", "</code>",
  "<strong>", "<0x41>", "<0x0A>", "<0x00>", "<|im_start|>", "<|endoftext|>", "[INST]", "<unused6242>", "<EOS>", "< eos >", "<eos", "eos>",
  "<start_<start_of_turn>of_turn>", "<<eos>>", "<eos><eos>", "▁", "▁▁", "<start_of_turn>user\n", "<end_of_turn>\n<start_of_turn>model\n",
];

const SCRIPTS = [
  "人工智能正在改变世界,每个人都应该了解它的成本。", "これはトークン化の試験です。ひらがなとカタカナと漢字。", "토큰화는 생각보다 어렵습니다. 한국어 문장.",
  "الذكاء الاصطناعي يكلف أكثر مما تظن، ١٢٣٤٥.", "בינה מלאכותית עולה כסף, שלום עולם.", "การตัดคำภาษาไทยไม่มีช่องว่างระหว่างคำ",
  "कृत्रिम बुद्धिमत्ता की लागत बहुत अधिक है।", "வணக்கம் உலகம், இது ஒரு சோதனை.", "Искусственный интеллект стоит денег, ёлки-палки.",
  "Η τεχνητή νοημοσύνη κοστίζει χρήματα.", "Trí tuệ nhân tạo tốn kém hơn bạn nghĩ.", "ሰላም ልዑል፣ ይህ ፈተና ነው።", "ជំរាបសួរ​ពិភពលោក", "မင်္ဂလာပါ ကမ္ဘာလောက", "Ɔdɔ yɛ wu, ŋ̀gbà; Žluťoučký kůň, Größe, œuvre, ǅ.",
];

const CODE = [
  "def f(x):\n    if x:\n\t\treturn x ** 2\n\n\n    return None\n", "fn main() {\n        println!(\"{:>8}\", 1_000);\n}\r\n", "if (a&&b||!c) { x[i++] += ~y<<2; } // => !=\n",
  "SELECT *\n  FROM t\n WHERE a <> 'it''s'\n   AND b >= 1e-9;\n", "{\"a\":[1,2.50,-3e10,null,true],\"b\\u00e9\":\"\\n\\t\\\\\"}", "<div class=\"a b\">\n\t<span>&nbsp;&amp;</span>\n</div>\n",
  "all:\n\t@echo $(shell date)\n\t\t-rm -rf ./*\n", "+---+----+\n|   | x  |\n+===+====+\n", "λ x → x ∘ f ≠ ∅ ∧ ∀y∈ℝ: y² ≥ 0", "/* ==================== */\n#define A(b) \\\n  b\n",
];

const EMOJI = ["👩", "👨", "🧑", "👧", "🏳", "🏴", "❤", "🔥", "💻", "🚀", "🌈", "✈", "⚕", "👍", "🇩", "🇪", "🇯", "🇵", "1", "#", "😀", "🫠", "🐈", "⬛"];
const JOINERS = ["\u200d", "\ufe0f", "\ufe0f\u200d", "🏻", "🏿", "\u20e3", "", " ", "\u{e0067}\u{e007f}"];
const SPACES = [" ", " ", " ", "  ", "\t", "\n", "\n", "\r\n", "\r", "\u00a0", "\u2003", "\u3000", "\u200b", "\ufeff", "\v", "\f", "\u0085", "\u2028", "a", ".", "▁"];

/** At least 2,000 of `{ kind, text }`. `scale` below 1 makes fewer of each kind. */
export function texts(seed, scale = 1) {
  const random = randomFrom(seed);
  const { below, pick, many } = random;
  const all = [];
  const add = (kind, count, make) => {
    for (let i = 0; i < Math.max(1, Math.round(count * scale)); i += 1) all.push({ kind, text: make(i).toWellFormed() });
  };
  add("empty and single", 200, (i) => (i === 0 ? "" : String.fromCodePoint(i)));
  add("planes", 340, (i) => many(1 + below(12), () => String.fromCodePoint((i % 17) * 0x10000 + below(0x10000))));
  add("blocks", 256, (i) => many(8, () => String.fromCodePoint(i * 256 + below(256))));
  add("emoji sequences", 160, () => many(1 + below(8), () => pick(EMOJI) + pick(JOINERS)));
  add("combining marks", 120, () => {
    const text = many(1 + below(10), () => pick([..."aeiouyńЖกक"]) + many(below(5), () => String.fromCodePoint(0x300 + below(0x70))));
    return text.normalize(pick(["NFC", "NFD", "NFKC", "NFKD"]));
  });
  add("scripts", 200, (i) => slice(random, SCRIPTS[i % SCRIPTS.length]) + pick(["", " ", " ok ", "123"]) + slice(random, pick(SCRIPTS)));
  add("code", 200, (i) => indent(random, CODE[i % CODE.length]));
  add("white space", 240, () => many(1 + below(30), () => pick(SPACES).repeat(1 + (below(4) === 0 ? below(40) : 0))));
  add("numbers", 80, () => many(1 + below(6), () => pick(["$", "-", "1e", "", "0x", "٣", "½"]) + String(below(10 ** (1 + below(9)))) + pick([",", ".", " ", "%", ":"])));
  add("addresses", 80, () => `https://${word(random)}.example${pick(["", ":8080"])}/${word(random)}?q=${encodeURIComponent(slice(random, pick(SCRIPTS)))}&n=${below(1e6)}#${word(random)}`);
  add("control look-alikes", 240, () => many(1 + below(5), () => pick(["", " ", "\n", "x", word(random)]) + slice(random, pick(LOOKALIKES), below(3) > 0)));
  add("strike-through tags", 20, () => `${word(random)}<s>${word(random)}</s>${pick(["", " ", "</s>"])}${word(random)}`);
  add("long words", 40, (i) => (i % 2 ? pick([..."aZ9-_=é漢"]).repeat(1 + below(4_000)) : many(1 + below(3_000), () => pick([..."abcdefghijklmnopqrstuvwxyz"]))));
  add("random bytes", 200, () => new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from({ length: 1 + below(60) }, () => below(256))));
  add("licences", 100, () => slice(random, GPL ?? LICENCE).slice(0, 3_000));
  add("mixtures", 300, () => many(2 + below(4), () => pick(all).text.slice(0, 200)));
  for (const whole of [LICENCE, GPL]) if (whole) all.push({ kind: "licences", text: whole });
  return all;
}

/** Short prompts of many kinds, for greedy completions. */
export const PROMPTS = [
  "The capital of France is", "Once upon a time", "def fibonacci(n):\n    ", "The quick brown fox", "1, 2, 3, 4,", "Q: What is 2 + 2?\nA:",
  "To make bread you need", "import numpy as np\n", "Dear Sir or Madam,\n\n", "In 1969,", "La capitale de l'Italie est", "Die Hauptstadt von Deutschland ist",
  "日本の首都は", "Столица России -", "عاصمة مصر هي", "SELECT name, price FROM", "<table>\n<tr><td>", "The three laws of thermodynamics are:\n1.",
  "Inference costs money because", "{\"name\": \"Alice\", \"age\":", "fn main() {\n", "Roses are red,", "Water boils at", "The meaning of life", "🎉🎉", " leading space", "ends in a space ",
];

// Text of the project's own licence, cut to a number of tokens: crosses chunk edges (64) and the sliding window (512).
export const PROMPT_SIZES = [1, 2, 63, 64, 65, 127, 128, 129, 511, 512, 513, 600, 1500];

/** A prompt that is exactly `size` tokens for `count(text)`, the beginning-of-sequence token counted; begins at `from`. */
export async function promptOfSize(size, count, from = 0) {
  let [low, high] = [0, size * 12];
  const text = (length) => LICENCE.slice(from, from + length);
  if (from + high > LICENCE.length + size * 6) throw new Error("the licence is too short for this prompt");
  while (low < high) {
    const middle = (low + high) >> 1;
    if (await count(text(middle)) < size) low = middle + 1;
    else high = middle;
  }
  // Merging is not quite monotonic in length: look around the place that the search found.
  for (let length = Math.max(0, low - 8); length <= low + 40; length += 1) {
    if (await count(text(length)) === size) return text(length);
  }
  throw new Error(`no prefix of the licence at ${from} has ${size} tokens`);
}

function word({ below, many, pick }) {
  return many(1 + below(12), () => pick([..."etaoinshrdlu"]));
}

/** A random part of `text`, or all of it if `whole`; cuts between code points. */
function slice({ below }, text, whole = false) {
  if (whole) return text;
  const points = [...text];
  const start = below(points.length);
  return points.slice(start, start + 1 + below(points.length - start)).join("");
}

/** `code` with its spaces and line ends multiplied at random. */
function indent({ below }, code) {
  return code.replace(/[ \t\n]/g, (space) => space.repeat(below(3) === 0 ? 1 + below(34) : 1));
}

function optional(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
