//! Arguments that somebody might give a task: every kind of text and number that JSON has.

use std::fmt::Write as _;

/// Texts that have broken something somewhere.
const TEXTS: [&str; 24] = [
    "",
    " ",
    "plain",
    "caf\u{e9} \u{65e5}\u{672c}\u{8a9e} \u{5e9}\u{5dc}\u{5d5}\u{5dd}",
    "\u{1f980}\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{1f3fd}",
    "it's \"quoted\" `so` and \\so\\",
    "{\"nested\": [\"json\", \"text\"]}",
    "'); DROP TABLE jobs; --",
    "$(reboot) `reboot` ${HOME} %d %s %% {0} {x}",
    "a\nb\r\nc\td",
    "\u{0}\u{1}\u{7}\u{8}\u{b}\u{c}\u{1b}[31m\u{7f}\u{9f}",
    "\u{feff}bom \u{fffd} \u{fffe}\u{ffff} \u{10ffff}",
    "\u{2028}\u{2029}\u{202e}right to left",
    "e\u{301} \u{e9}",
    "null",
    "NaN",
    "0x10",
    "__class__",
    "\u{d7ff}\u{e000}",
    "\\u0041",
    "\\",
    "</script><!--",
    "\u{3000}\u{a0}blank",
    "args",
];

const NUMBERS: [&str; 16] = [
    "0",
    "-0",
    "1",
    "-1",
    "255",
    "2147483648",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551616",
    "123456789012345678901234567890123456789012345678901234567890",
    "0.1",
    "-0.0",
    "1e3",
    "1.7976931348623157e308",
    "5e-324",
    "3.141592653589793238462643383279",
];

/// Draws arguments, the same ones for the same seed.
pub struct Odd(u64);

impl Odd {
    pub fn new(seed: u64) -> Self {
        Odd(seed)
    }

    /// A JSON text that is the arguments of a task: an array, or an object.
    pub fn arguments(&mut self) -> String {
        let mut out = String::new();
        if self.below(2) == 0 {
            self.list(&mut out, 0);
        } else {
            self.object(&mut out, 0);
        }
        out
    }

    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        // splitmix64: what it draws is the same everywhere.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }

    fn value(&mut self, out: &mut String, depth: usize) {
        match self.below(if depth < 4 { 9 } else { 6 }) {
            0 => out.push_str(["null", "true", "false"][self.below(3)]),
            1 | 2 => out.push_str(NUMBERS[self.below(NUMBERS.len())]),
            3 | 4 => self.text(out),
            5 => self.long(out),
            6 | 7 => self.list(out, depth + 1),
            _ => self.object(out, depth + 1),
        }
    }

    fn list(&mut self, out: &mut String, depth: usize) {
        out.push('[');
        for nth in 0..self.below(5) {
            out.push_str(if nth == 0 { "" } else { [",", ", ", " ,\t"][self.below(3)] });
            self.value(out, depth);
        }
        out.push(']');
    }

    fn object(&mut self, out: &mut String, depth: usize) {
        out.push('{');
        for nth in 0..self.below(5) {
            out.push_str(if nth == 0 { "" } else { "," });
            self.text(out);
            out.push_str([":", ": ", " : "][self.below(3)]);
            self.value(out, depth);
        }
        out.push('}');
    }

    /// A text, each character of it as it is or escaped.
    fn text(&mut self, out: &mut String) {
        let (text, escaped) = (TEXTS[self.below(TEXTS.len())], self.below(2) == 0);
        out.push('"');
        for character in text.chars() {
            match character {
                '"' | '\\' => {
                    out.push('\\');
                    out.push(character);
                }
                '\u{0}'..='\u{1f}' => escape(out, character),
                _ if escaped => escape(out, character),
                _ => out.push(character),
            }
        }
        out.push('"');
    }

    fn long(&mut self, out: &mut String) {
        let count = [100, 1_000, 20_000][self.below(3)];
        out.push('"');
        out.push_str(&["x", "\u{fc}", "\\n", "\u{1f980}"][self.below(4)].repeat(count));
        out.push('"');
    }
}

/// `\u00fc`, in pairs where one is not enough.
fn escape(out: &mut String, character: char) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        write!(out, "\\u{unit:04x}").unwrap();
    }
}
