//! Writing systems, and how each is written in Latin letters.
//!
//! The tables follow what passports and lists do (BGN/PCGN, ICAO 9303 part 3, Hepburn, Revised
//! Romanization, RTGS without tones) where these agree; where they do not, `sound` lets the spellings meet.

/// The writing system of a word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Script {
    /// Latin letters and digits.
    Latin,
    /// Russian, Ukrainian, Bulgarian, Serbian, Kazakh and others.
    Cyrillic,
    /// Greek.
    Greek,
    /// Arabic, Persian, Pashto, Urdu: vowels are mostly not written.
    Arabic,
    /// Hebrew and Yiddish: vowels are mostly not written.
    Hebrew,
    /// Chinese characters, also in Japanese.
    Han,
    /// Hiragana and Katakana.
    Kana,
    /// Korean.
    Hangul,
    /// Thai and Lao: vowels stand around the consonant.
    Thai,
    /// Devanagari and the scripts of India built like it.
    Indic,
    /// Armenian.
    Armenian,
    /// Anything else, Georgian among them.
    Other,
}

impl Script {
    /// The script of a letter or mark.
    pub fn of(letter: char) -> Self {
        match u32::from(letter) {
            0..=0x24f | 0x1e00..=0x1eff => Self::Latin,
            0x0370..=0x03ff | 0x1f00..=0x1fff => Self::Greek,
            0x0400..=0x052f | 0x1c80..=0x1c8f | 0x2de0..=0x2dff | 0xa640..=0xa69f => Self::Cyrillic,
            0x0530..=0x058f => Self::Armenian,
            0x0590..=0x05ff | 0xfb1d..=0xfb4f => Self::Hebrew,
            0x0600..=0x06ff
            | 0x0750..=0x077f
            | 0x08a0..=0x08ff
            | 0xfb50..=0xfdff
            | 0xfe70..=0xfeff => Self::Arabic,
            0x0900..=0x0d7f => Self::Indic,
            0x0e00..=0x0eff => Self::Thai,
            0x1100..=0x11ff | 0xac00..=0xd7af => Self::Hangul,
            0x3040..=0x30ff | 0x31f0..=0x31ff | 0xff66..=0xff9f => Self::Kana,
            0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3ffff => Self::Han,
            _ => Self::Other,
        }
    }

    /// All of them, in the order of their numbers in files.
    pub const ALL: [Self; 12] = [
        Self::Latin,
        Self::Cyrillic,
        Self::Greek,
        Self::Arabic,
        Self::Hebrew,
        Self::Han,
        Self::Kana,
        Self::Hangul,
        Self::Thai,
        Self::Indic,
        Self::Armenian,
        Self::Other,
    ];

    /// Whether a letter is a syllable by itself.
    pub fn is_syllabic(self) -> bool {
        matches!(self, Self::Han | Self::Hangul)
    }

    /// Whether words are written without spaces between them, at least in names of organisations.
    pub fn runs_together(self) -> bool {
        matches!(self, Self::Han | Self::Kana | Self::Thai | Self::Hangul)
    }
}

/// Letters of one script in Latin ones, with their neighbours in view. `None`: no rule of ours, ask the
/// general table.
pub fn latin(script: Script, letters: &[char], at: usize) -> Option<(&'static str, usize)> {
    let (letter, next) = (letters[at], letters.get(at + 1).copied().unwrap_or(' '));
    let before = if at == 0 { ' ' } else { letters[at - 1] };
    match script {
        Script::Cyrillic => cyrillic(letter, next).map(|text| (text, 1)),
        Script::Greek => Some(greek(letter, next, before)?),
        Script::Arabic => arabic(letter, before, next).map(|text| (text, 1)),
        Script::Hebrew => hebrew(letter).map(|text| (text, 1)),
        Script::Armenian => armenian(letter, next),
        Script::Indic => indic(letter, letters, at),
        Script::Thai => thai(letter).map(|text| (text, 1)),
        Script::Kana => kana(letter, next),
        _ => None,
    }
}

fn cyrillic(letter: char, next: char) -> Option<&'static str> {
    Some(match letter {
        'а' | 'ә' => "a",
        'б' => "b",
        'в' => "v",
        'г' | 'ґ' | 'ғ' => "g",
        'д' => "d",
        'е' | 'ё' | 'э' => "e",
        'є' => "ye",
        'ж' | 'җ' => "zh",
        'з' => "z",
        'и' if next == 'й' => "i",
        'и' | 'і' => "i",
        'ї' => "yi",
        'й' => "y",
        'ы' if next == 'й' => "",
        'ы' => "y",
        'к' | 'қ' | 'ҡ' => "k",
        'л' => "l",
        'м' => "m",
        'н' => "n",
        'ң' => "ng",
        'о' | 'ө' => "o",
        'п' => "p",
        'р' => "r",
        'с' => "s",
        'т' => "t",
        'у' | 'ў' | 'ү' | 'ұ' => "u",
        'ф' => "f",
        'х' => "kh",
        'һ' | 'ҳ' => "h",
        'ц' => "ts",
        'ч' | 'ҷ' | 'ҹ' => "ch",
        'ш' => "sh",
        'щ' => "shch",
        'ъ' | 'ь' => "",
        'ю' => "yu",
        'я' => "ya",
        'ј' => "j",
        'љ' => "lj",
        'њ' => "nj",
        'ћ' => "c",
        'ђ' => "dj",
        'џ' => "dz",
        'ѓ' => "gj",
        'ќ' => "kj",
        'ѕ' => "dz",
        _ => return None,
    })
}

fn greek(letter: char, next: char, before: char) -> Option<(&'static str, usize)> {
    let start = !before.is_alphabetic();
    let plain = unaccented(letter);
    let after = unaccented(next);
    Some(match (plain, after) {
        ('μ', 'π') => (if start { "b" } else { "mb" }, 2),
        ('ν', 'τ') => (if start { "d" } else { "nt" }, 2),
        ('γ', 'κ') => (if start { "g" } else { "gk" }, 2),
        ('γ', 'γ') => ("ng", 2),
        ('ο', 'υ') => ("ou", 2),
        ('ε', 'υ') => ("ev", 2),
        ('α', 'υ') => ("av", 2),
        ('η', _) => ("i", 1),
        ('υ', _) => ("y", 1),
        ('χ', _) => ("ch", 1),
        ('β', _) => ("v", 1),
        ('ξ', _) => ("x", 1),
        ('ψ', _) => ("ps", 1),
        ('θ', _) => ("th", 1),
        ('φ', _) => ("f", 1),
        ('ω', _) => ("o", 1),
        _ => return None,
    })
}

fn unaccented(letter: char) -> char {
    match letter {
        'ά' | 'ὰ' => 'α',
        'έ' => 'ε',
        'ή' => 'η',
        'ί' | 'ϊ' | 'ΐ' => 'ι',
        'ό' => 'ο',
        'ύ' | 'ϋ' | 'ΰ' => 'υ',
        'ώ' => 'ω',
        'ς' => 'σ',
        other => other,
    }
}

fn arabic(letter: char, before: char, next: char) -> Option<&'static str> {
    Some(match letter {
        // At the end it is a vowel. Behind these letters it would make one sound of two.
        'ه' | 'ہ' | 'ھ' if !next.is_alphabetic() => "a",
        'ه' if matches!(before, 'س' | 'ص' | 'ك' | 'ک' | 'د' | 'ت' | 'ط' | 'ز' | 'گ' | 'پ') => {
            "ah"
        }
        'ا' | 'أ' | 'إ' | 'آ' | 'ٱ' | 'ى' | 'ة' => "a",
        'ء' | 'ئ' | 'ؤ' | 'ـ' => "",
        'ع' => "a",
        'ب' => "b",
        'پ' => "p",
        'ت' | 'ط' | 'ټ' | 'ٹ' => "t",
        'ث' => "th",
        'ج' => "j",
        'چ' => "ch",
        'ځ' | 'څ' => "z",
        'ح' | 'ه' | 'ھ' | 'ہ' => "h",
        'خ' => "kh",
        'د' | 'ډ' | 'ڈ' => "d",
        'ذ' | 'ض' => "dh",
        'ر' | 'ړ' | 'ڑ' => "r",
        'ز' | 'ظ' => "z",
        'ژ' | 'ږ' => "zh",
        'س' | 'ص' => "s",
        'ش' | 'ښ' => "sh",
        'غ' => "gh",
        'ف' => "f",
        'ق' => "q",
        'ك' | 'ک' | 'ګ' => "k",
        'گ' => "g",
        'ل' => "l",
        'م' => "m",
        'ن' | 'ں' | 'ڼ' => "n",
        'و' => "w",
        'ي' | 'ی' | 'ے' | 'ې' | 'ۍ' => "y",
        '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6dc}' => "",
        _ => return None,
    })
}

fn hebrew(letter: char) -> Option<&'static str> {
    Some(match letter {
        'א' | 'ע' => "a",
        'ב' => "b",
        'ג' => "g",
        'ד' => "d",
        'ה' | 'ח' => "h",
        'ו' => "v",
        'ז' => "z",
        'ט' | 'ת' => "t",
        'י' => "y",
        'כ' | 'ך' | 'ק' => "k",
        'ל' => "l",
        'מ' | 'ם' => "m",
        'נ' | 'ן' => "n",
        'ס' => "s",
        'פ' | 'ף' => "p",
        'צ' | 'ץ' => "ts",
        'ר' => "r",
        'ש' => "sh",
        '\u{591}'..='\u{5c7}' => "",
        _ => return None,
    })
}

fn armenian(letter: char, next: char) -> Option<(&'static str, usize)> {
    Some(match (letter, next) {
        ('ո', 'ւ') => ("u", 2),
        ('և', _) => ("ev", 1),
        ('ղ', _) => ("gh", 1),
        ('խ', _) => ("kh", 1),
        ('ծ' | 'ց', _) => ("ts", 1),
        ('ձ', _) => ("dz", 1),
        ('ճ' | 'չ', _) => ("ch", 1),
        ('ջ', _) => ("j", 1),
        ('ռ', _) => ("r", 1),
        ('ւ', _) => ("v", 1),
        ('թ', _) => ("t", 1),
        ('փ', _) => ("p", 1),
        ('ք', _) => ("k", 1),
        ('ժ', _) => ("zh", 1),
        ('ը' | 'է', _) => ("e", 1),
        _ => return None,
    })
}

/// The nine scripts of the Indic blocks put the same letter at the same place.
fn indic(letter: char, letters: &[char], at: usize) -> Option<(&'static str, usize)> {
    let place = |c: char| if Script::of(c) == Script::Indic { u32::from(c) & 0x7f } else { 0 };
    let consonant = match place(letter) {
        0x05 => return Some(("a", 1)),
        0x06 => return Some(("a", 1)),
        0x07 | 0x08 => return Some(("i", 1)),
        0x09 | 0x0a => return Some(("u", 1)),
        0x0b => return Some(("ri", 1)),
        0x0e | 0x0f => return Some(("e", 1)),
        0x10 => return Some(("ai", 1)),
        0x11..=0x13 => return Some(("o", 1)),
        0x14 => return Some(("au", 1)),
        0x01 | 0x02 => return Some(("n", 1)),
        0x03 => return Some(("h", 1)),
        0x3c | 0x4d => return Some(("", 1)),
        0x3e => return Some(("a", 1)),
        0x3f | 0x40 => return Some(("i", 1)),
        0x41 | 0x42 => return Some(("u", 1)),
        0x43 => return Some(("ri", 1)),
        0x46 | 0x47 => return Some(("e", 1)),
        0x48 => return Some(("ai", 1)),
        0x49..=0x4b => return Some(("o", 1)),
        0x4c => return Some(("au", 1)),
        place @ 0x15..=0x39 => place,
        _ => return None,
    };
    // A consonant carries an a, unless a sign says otherwise or the word ends with it alone.
    let mut after = letters.get(at + 1).copied().unwrap_or(' ');
    if place(after) == 0x3c {
        after = letters.get(at + 2).copied().unwrap_or(' ');
    }
    let cluster = at > 0 && place(letters[at - 1]) == 0x4d;
    let bare =
        matches!(place(after), 0x3e..=0x4d) || Script::of(after) != Script::Indic && !cluster;
    let pair: (&'static str, &'static str) = match consonant {
        0x15 => ("k", "ka"),
        0x16 => ("kh", "kha"),
        0x17 => ("g", "ga"),
        0x18 => ("gh", "gha"),
        0x1a => ("ch", "cha"),
        0x1b => ("chh", "chha"),
        0x1c => ("j", "ja"),
        0x1d => ("jh", "jha"),
        0x19 | 0x1e | 0x23 | 0x28 | 0x29 => ("n", "na"),
        0x1f | 0x24 => ("t", "ta"),
        0x20 | 0x25 => ("th", "tha"),
        0x21 | 0x26 => ("d", "da"),
        0x22 | 0x27 => ("dh", "dha"),
        0x2a => ("p", "pa"),
        0x2b => ("ph", "pha"),
        0x2c => ("b", "ba"),
        0x2d => ("bh", "bha"),
        0x2e => ("m", "ma"),
        0x2f => ("y", "ya"),
        0x30 | 0x31 => ("r", "ra"),
        0x32..=0x34 => ("l", "la"),
        0x35 => ("v", "va"),
        0x36 | 0x37 => ("sh", "sha"),
        0x38 => ("s", "sa"),
        0x39 => ("h", "ha"),
        _ => return None,
    };
    Some((if bare { pair.0 } else { pair.1 }, 1))
}

/// Consonants only count (see `sound::Sound::Consonants`); vowels are there to be read.
fn thai(letter: char) -> Option<&'static str> {
    Some(match letter {
        'ก' => "k",
        'ข' | 'ฃ' | 'ค' | 'ฅ' | 'ฆ' => "kh",
        'ง' => "ng",
        'จ' | 'ฉ' | 'ช' | 'ฌ' => "ch",
        'ซ' | 'ศ' | 'ษ' | 'ส' => "s",
        'ญ' | 'ย' => "y",
        'ฎ' | 'ด' => "d",
        'ฏ' | 'ต' => "t",
        'ฐ' | 'ฑ' | 'ฒ' | 'ถ' | 'ท' | 'ธ' => "th",
        'ณ' | 'น' => "n",
        'บ' => "b",
        'ป' => "p",
        'ผ' | 'พ' | 'ภ' => "ph",
        'ฝ' | 'ฟ' => "f",
        'ม' => "m",
        'ร' => "r",
        'ล' | 'ฬ' => "l",
        'ว' => "w",
        'ห' | 'ฮ' => "h",
        'อ' => "o",
        'ะ' | 'ั' | 'า' | 'ำ' => "a",
        'ิ' | 'ี' | 'ึ' | 'ื' => "i",
        'ุ' | 'ู' => "u",
        'เ' | 'แ' => "e",
        'โ' => "o",
        'ใ' | 'ไ' => "ai",
        '\u{e47}'..='\u{e4e}' | 'ๆ' | 'ฯ' => "",
        _ => return None,
    })
}

/// Hepburn, with the small letters drawn to the syllable before them.
fn kana(letter: char, next: char) -> Option<(&'static str, usize)> {
    let hiragana = |c: char| match u32::from(c) {
        code @ 0x30a1..=0x30f6 => char::from_u32(code - 0x60).unwrap_or(c),
        _ => c,
    };
    let (letter, next) = (hiragana(letter), hiragana(next));
    let small = matches!(next, 'ゃ' | 'ゅ' | 'ょ');
    let vowel = |a: &'static str, u: &'static str, o: &'static str| match next {
        'ゃ' => a,
        'ゅ' => u,
        _ => o,
    };
    if small {
        let text = match letter {
            'き' => vowel("kya", "kyu", "kyo"),
            'ぎ' => vowel("gya", "gyu", "gyo"),
            'し' => vowel("sha", "shu", "sho"),
            'じ' | 'ぢ' => vowel("ja", "ju", "jo"),
            'ち' => vowel("cha", "chu", "cho"),
            'に' => vowel("nya", "nyu", "nyo"),
            'ひ' => vowel("hya", "hyu", "hyo"),
            'び' => vowel("bya", "byu", "byo"),
            'ぴ' => vowel("pya", "pyu", "pyo"),
            'み' => vowel("mya", "myu", "myo"),
            'り' => vowel("rya", "ryu", "ryo"),
            _ => return None,
        };
        return Some((text, 2));
    }
    match (letter, next) {
        ('ー' | 'っ', _) => Some(("", 1)),
        ('ぢ', _) => Some(("ji", 1)),
        ('づ', _) => Some(("zu", 1)),
        _ => None,
    }
}
