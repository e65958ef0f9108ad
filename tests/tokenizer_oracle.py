#!/usr/bin/env python3
"""Writes the golden token ids that quire/text/tokenizer_test.cc compares with.

The oracle is the Hugging Face `tokenizers` package. For the real models the tokenizer is built by hand from the GGUF
file's vocabulary and merges with the pre-tokenizer the model was trained with; for the other pre-tokenizers small
vocabularies are trained here, saved as tokenizer.json, and read back by both sides.

    python tests/tokenizer_oracle.py FOLDER_WITH_MODELS      (needs: tokenizers, gguf)
"""
import json
import pathlib
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

OUT = pathlib.Path(__file__).resolve().parent.parent / "quire/text/testdata/tokenizer"
CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
GPT4O = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+(?i:{CONTRACTIONS})?"
         rf"|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*(?i:{CONTRACTIONS})?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK_V3 = [r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+",
               r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
               r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]

SENTENCES = """The quick brown fox jumps over the lazy dog.
Don't you think it's time we'll be there? I'VE SEEN IT'S FINE, they'd said.
Der Bär überquert die Straße; größer als müßig.
El niño comió piñas mañana por la tarde, ¿verdad?
Le cœur a ses raisons que la raison ne connaît point.
Эта книга лежит на столе, а та — нет.
Η ταχεία αλώπηξ πηδά πάνω από τον σκύλο.
敏捷的棕色狐狸跳过了懒狗。天地玄黄,宇宙洪荒。
素早い茶色の狐がのろまな犬を飛び越える。カタカナもある。
빠른 갈색 여우가 게으른 개를 뛰어넘는다.
الثعلب البني السريع يقفز فوق الكلب الكسول
השועל החום המהיר קופץ מעל הכלב העצלן
तेज़ भूरी लोमड़ी आलसी कुत्ते के ऊपर से कूदती है
สุนัขจิ้งจอกสีน้ำตาลกระโดดข้ามสุนัขขี้เกียจ
Con cáo nâu nhanh nhẹn nhảy qua con chó lười.
🙂🙃👩‍👩‍👧‍👦🏳️‍🌈👍🏽 emoji 🇩🇪🇯🇵 ok ✅
def f(x: int) -> int:\n    return x ** 2 + 1  # squares\n
for (int i = 0; i < n; ++i) { sum += a[i] * 3.14159f; }\n
SELECT name, COUNT(*) FROM users WHERE age >= 21 GROUP BY name;
{"key": [1, 22, 333, 4444, 55555], "nested": {"a": null, "b": true}}
https://example.org/path?query=1&other=%20value#frag user@example.com
Price: $1,234,567.89 (≈ €1.1M), 50% off! 3/4 of 1e-10
x² + y³ = ½ ∑ αβγ ∞ ≠ ≤ ₁₂₃ ⅷ Ⅻ ①②
tabs\tand  double   triple    spaces \n\n\nnewlines\r\n windows\r
   leading and trailing   
snake_case camelCase PascalCase SCREAMING_CASE kebab-case x1y2z3
e\u0301 combining a\u0308o\u0308 vs \u00e9\u00e4\u00f6 \u1e9b\u0323
zero\u200bwidth non\u00a0breaking \u2003em \u3000ideographic \u0085nel
a\u00adb soft\u00adhyphen \ufeffbom \u202ertl\u202c
''' "quotes" “curly” ‘single’ «guillemets» — – - …
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa AAAAAAAA 000000000000
<b>html</b> &amp; <!-- c --> [link](http://a.b) **bold** `code`
"""


def texts(count):
    """Deterministic texts of many scripts, code, white space, digits, emoji and random Unicode."""
    rng = random.Random(20250101)
    lines = [s.encode().decode("unicode_escape").encode("latin-1", "ignore").decode("utf-8", "ignore")
             if "\\" in s and s.isascii() else s for s in SENTENCES.split("\n") if s]
    ranges = [(0x20, 0x7E), (0xA1, 0x24F), (0x370, 0x3FF), (0x400, 0x4FF), (0x5D0, 0x5EA), (0x620, 0x64A),
              (0x904, 0x939), (0xE01, 0xE3A), (0x3041, 0x3096), (0x30A1, 0x30FA), (0x4E00, 0x9FA5),
              (0xAC00, 0xD7A3), (0x1F300, 0x1F64F), (0x2190, 0x21FF), (0x2000, 0x200A), (0x300, 0x36F)]
    out = ["", " ", "  ", "\n", "\t\t", "a", " a", "a ", "é", "🙂", "\u3000", "1", "12", "123", "1234", "12345"] + lines
    while len(out) < count:
        kind = rng.randrange(5)
        if kind == 0:
            out.append("".join(rng.choice([" ", "  ", "\n", "\t", ""]) + rng.choice(lines)[:rng.randrange(1, 40)]
                               for _ in range(rng.randrange(1, 4))))
        elif kind == 1:
            line = rng.choice(lines)
            a, b = sorted((rng.randrange(len(line) + 1), rng.randrange(len(line) + 1)))
            out.append(line[a:b])
        elif kind == 2:
            out.append("".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.randrange(1, 24))))
        elif kind == 3:
            low, high = rng.choice(ranges)
            out.append(" ".join("".join(chr(rng.randint(low, high)) for _ in range(rng.randrange(1, 7)))
                                for _ in range(rng.randrange(1, 6))))
        else:
            out.append("".join(rng.choice(["  ", " ", "\n", "\r\n", "\t", "7", "42", "'s", "'LL", "don't", "_", "-", ".",
                                           "!?", "Ab", "xyz", "\u00a0", "é", "ß"]) for _ in range(rng.randrange(1, 12))))
    return out


def fingerprint(ids):
    """FNV-1a over the ids, as tokenizer_test.cc computes it."""
    value = 0xCBF29CE484222325
    for i in ids:
        value = (value ^ i) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def smollm2(path):
    from gguf import GGUFReader
    fields = GGUFReader(path).fields
    tokens, merges = fields["tokenizer.ggml.tokens"].contents(), fields["tokenizer.ggml.merges"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    t = Tokenizer(models.BPE({s: i for i, s in enumerate(tokens)}, [tuple(m.split(" ")) for m in merges]))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.add_special_tokens([AddedToken(s, special=True) for s, kind in zip(tokens, types) if kind == 3])
    return t


def gemma3(path):
    from gguf import GGUFReader
    fields = GGUFReader(path).fields
    tokens, scores = fields["tokenizer.ggml.tokens"].contents(), fields["tokenizer.ggml.scores"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    vocab = {}
    for i, s in enumerate(tokens):
        vocab.setdefault(s, i)
    # A SentencePiece BPE model merges two neighbours whenever the result is a piece, the best score first.
    pairs = []
    for piece, i in vocab.items():
        if types[i] in (1, 4):
            for cut in range(1, len(piece)):
                if piece[:cut] in vocab and piece[cut:] in vocab:
                    pairs.append((-scores[i], vocab[piece[:cut]], vocab[piece[cut:]], piece[:cut], piece[cut:]))
    pairs.sort()
    t = Tokenizer(models.BPE(vocab, [(a, b) for _, _, _, a, b in pairs], byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    t.normalizer = normalizers.Replace(" ", "▁")
    t.add_special_tokens([AddedToken(s, special=True) for s, kind in zip(tokens, types) if kind == 3])
    t.add_tokens([AddedToken(s, normalized=False) for s, kind in zip(tokens, types) if kind == 4])
    return t


def trained(patterns, corpus, byte_level=True, nfc=False):
    if byte_level:
        t = Tokenizer(models.BPE())
        t.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns] +
            [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        if nfc:
            t.normalizer = normalizers.NFC()
        t.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                      special_tokens=["<|endoftext|>", "<|im_end|>"], show_progress=False)
    else:
        t = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
        t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=["<unk>", "<s>", "</s>"] +
                                      [f"<0x{b:02X}>" for b in range(256)], limit_alphabet=200, show_progress=False)
    t.train_from_iterator(corpus, trainer)
    if not byte_level:  # byte pieces are vocabulary, not special
        data = json.loads(t.to_str())
        data["added_tokens"] = [a for a in data["added_tokens"] if not a["content"].startswith("<0x")]
        t = Tokenizer.from_str(json.dumps(data))
    return t


def write(name, tokenizer, samples, save):
    if save:
        folder = OUT / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    ids = [tokenizer.encode(s, add_special_tokens=False).ids for s in samples]
    shown = [{"text": s, "ids": i} for s, i in list(zip(samples, ids))[16:40]]
    golden = {"fingerprints": [fingerprint(i) for i in ids], "shown": shown}
    (OUT / f"{name}.json").write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    print(f"{name}: {len(samples)} texts, {sum(map(len, ids))} tokens")


def main():
    model_folder = pathlib.Path(sys.argv[1])
    OUT.mkdir(parents=True, exist_ok=True)
    samples = texts(5000)
    (OUT / "texts.json").write_text(json.dumps(samples, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    write("smollm2", smollm2(model_folder / "SmolLM2-135M-Instruct.Q4_1.gguf"), samples, False)
    for gemma in model_folder.glob("gemma*270m*.gguf"):
        write("gemma3", gemma3(gemma), samples, False)
    corpus = samples[16:3000]
    write("llama3", trained([LLAMA3], corpus), samples, True)
    write("qwen2", trained([QWEN2], corpus, nfc=True), samples, True)
    write("gpt4o", trained([GPT4O], corpus), samples, True)
    write("deepseek_v3", trained(DEEPSEEK_V3, corpus), samples, True)
    write("sentencepiece", trained([], corpus, byte_level=False), samples, True)


if __name__ == "__main__":
    main()
