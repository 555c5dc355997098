//! What is agreed on about compression: the first offer that can be honoured, by a plain reading of all offers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::wire::websocket::{DeflateParams, negotiate};

/// A name, or a parameter's name, and the value of a parameter without its quotes and escapes.
type Param = (String, Option<String>);

#[derive(Debug)]
struct Extension {
    name: String,
    params: Vec<Param>,
}

/// The options that have a few words read again and again up to this length, to see that the cost is no more than
/// linear: a square of it would take longer than a fuzzer waits.
const READ_LONG: u8 = 0xFF;
const FEW: usize = 12;
const LONG: usize = 256 << 10;

/// What the bytes from 0x80 on stand for, so that a changed byte makes another list and not another word.
const WORDS: [&[u8]; 24] = [
    b"permessage-deflate",
    b"; server_no_context_takeover",
    b"; client_no_context_takeover",
    b"; server_max_window_bits",
    b"; client_max_window_bits",
    b"=8",
    b"=9",
    b"=10",
    b"=15",
    b"=16",
    b"=7",
    b"=\"15\"",
    b"=\"\\1\\5\"",
    b"=\"",
    b"\\\"",
    b", ",
    b",, ",
    b"\n",
    b" ; ",
    b"\t= ",
    b"x-webkit-deflate-frame",
    b"permessage-deflate; client_max_window_bits",
    b"\xC3\xA4",
    b"=",
];

fuzz_target!(|input: (u8, &[u8])| {
    let (options, words) = input;
    let bytes: Vec<u8> = words.iter().flat_map(expand).copied().collect();
    let takeover = options & 1 != 0;
    // A line feed stands between the values of two fields.
    let values: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    let extensions = read_all(&values);
    check_negotiated(&values, extensions.as_deref(), takeover);
    check_answer(&values, extensions.as_deref());
    if options == READ_LONG && (1..=FEW).contains(&words.len()) {
        let long = bytes.repeat(LONG / bytes.len());
        let _ = negotiate(std::iter::once(&long[..]), takeover);
        let _ = DeflateParams::from_answer(std::iter::once(&long[..]));
    }
});

fn expand(byte: &u8) -> &[u8] {
    let word = byte.checked_sub(0x80).map(|word| WORDS[usize::from(word) % WORDS.len()]);
    word.unwrap_or(std::slice::from_ref(byte))
}

fn check_negotiated(values: &[&[u8]], offers: Option<&[Extension]>, takeover: bool) {
    let agreed = negotiate(values.iter().copied(), takeover);
    let honoured = offers.and_then(|offers| offers.iter().find(|offer| can_be_honoured(offer)));
    let Some((params, offer)) = agreed.zip(honoured) else {
        assert!(agreed.is_none() && honoured.is_none(), "{agreed:?} to {offers:?}");
        return;
    };
    let asks = |name: &str| offer.params.iter().any(|param| param.0 == name);
    assert_eq!(params.server_no_context_takeover, !takeover || asks("server_no_context_takeover"));
    assert_eq!(params.client_no_context_takeover, !takeover || asks("client_no_context_takeover"));
    let window = offer.params.iter().find(|param| param.0 == "server_max_window_bits");
    let window = window.and_then(|param| param.1.as_ref()?.parse().ok());
    assert_eq!(params.server_max_window_bits.map(|bits| bits.get()), window);
    assert!(matches!(params.server_window_bits(), 9..=15) && params.client_window_bits() == 15);
    assert_eq!(params.client_max_window_bits, None, "whose client did not offer it could not read it");
    check_written(&params, takeover);
}

/// The answer reads as it was meant. A client of ours would take it, where it asked for no memory.
fn check_written(params: &DeflateParams, takeover: bool) {
    let mut answer = Vec::new();
    params.answer(&mut answer);
    let [written] = &read_all(&[&answer]).expect("an answer is a list")[..] else { panic!("one extension") };
    let names = [
        (params.server_no_context_takeover, "server_no_context_takeover".to_owned(), None),
        (params.client_no_context_takeover, "client_no_context_takeover".to_owned(), None),
        (
            params.server_max_window_bits.is_some(),
            "server_max_window_bits".to_owned(),
            Some(params.server_window_bits().to_string()),
        ),
    ];
    let expected: Vec<Param> = names.into_iter().filter(|it| it.0).map(|(_, name, value)| (name, value)).collect();
    assert!(written.name == "permessage-deflate" && written.params == expected, "{written:?}");
    let read = DeflateParams::from_answer(std::iter::once(&answer[..]));
    let is_taken = params.server_no_context_takeover;
    assert_eq!(read.is_ok(), is_taken);
    assert!(takeover || read == Ok(Some(*params)));
}

/// An answer that is taken is one extension, the one that was offered, as it was offered; an empty one is none.
fn check_answer(values: &[&[u8]], extensions: Option<&[Extension]>) {
    let read = DeflateParams::from_answer(values.iter().copied());
    match (read, extensions) {
        (Err(_), None) => {}
        (Ok(None), Some([])) => {}
        (Ok(Some(params)), Some([answer])) => {
            let has = |name: &str| answer.params.iter().any(|param| param.0 == name);
            assert!(is_sound(answer) && has("server_no_context_takeover"), "{answer:?}");
            assert!(params.server_no_context_takeover && params.client_no_context_takeover);
            let bits = [params.server_max_window_bits, params.client_max_window_bits];
            for (bits, name) in bits.into_iter().zip(["server_max_window_bits", "client_max_window_bits"]) {
                let told = answer.params.iter().find(|param| param.0 == name);
                assert!(told.is_none_or(|param| param.1.is_some()), "a window of no size");
                assert_eq!(bits.map(|bits| bits.to_string()), told.and_then(|param| param.1.clone()));
            }
            assert!(params.client_window_bits() >= 9, "our compressor has no narrower window");
        }
        (Err(_), Some(extensions)) => assert!(!is_plain_answer(extensions), "refused: {extensions:?}"),
        (read, extensions) => panic!("{read:?} of {extensions:?}"),
    }
}

/// What most servers answer.
fn is_plain_answer(extensions: &[Extension]) -> bool {
    let [answer] = extensions else { return false };
    let plain = [("server_no_context_takeover", None), ("client_no_context_takeover", None)];
    let is_plain = |param: &Param| plain.contains(&(&*param.0, param.1.as_deref()));
    answer.name == "permessage-deflate"
        && is_sound(answer)
        && answer.params.iter().all(is_plain)
        && answer.params.iter().any(|param| param.0 == plain[0].0)
}

/// An offer of the one extension there is, with a window for the server that its compressor has.
fn can_be_honoured(offer: &Extension) -> bool {
    let is_narrow = |param: &Param| param.0 == "server_max_window_bits" && param.1.as_deref() == Some("8");
    is_sound(offer) && !offer.params.iter().any(is_narrow)
}

/// Its parameters are known, each stands there once, and has a value that it may have (RFC 7692, section 7.1).
fn is_sound(extension: &Extension) -> bool {
    let is_known = |(name, value): &Param| match (&**name, value.as_deref()) {
        ("server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits", None) => true,
        ("server_max_window_bits" | "client_max_window_bits", Some(bits)) => {
            ["8", "9", "10", "11", "12", "13", "14", "15"].contains(&bits)
        }
        _ => false,
    };
    let is_alone = |param: &Param| extension.params.iter().filter(|other| other.0 == param.0).count() == 1;
    extension.name == "permessage-deflate" && extension.params.iter().all(|param| is_known(param) && is_alone(param))
}

/// All extensions in the values of a field, or `None` where they are no list of extensions (RFC 6455, section 9.1).
fn read_all(values: &[&[u8]]) -> Option<Vec<Extension>> {
    let mut all = Vec::new();
    for value in values {
        for element in split(value, ',')? {
            if !element.trim_matches(BLANK).is_empty() {
                all.push(read(&element)?);
            }
        }
    }
    Some(all)
}

const BLANK: [char; 2] = [' ', '\t'];

fn read(element: &str) -> Option<Extension> {
    let chars: Vec<u8> = element.chars().map(|c| c as u8).collect();
    let mut parts = split(&chars, ';')?.into_iter();
    let name = token(&parts.next()?)?;
    let params = parts.map(|part| match part.split_once('=') {
        None => Some((token(&part)?, None)),
        Some((name, value)) => Some((token(name)?, Some(unquoted(value.trim_matches(BLANK)).or(token(value))?))),
    });
    Some(Extension { name, params: params.collect::<Option<_>>()? })
}

/// Cuts at each separator that does not stand in quotes; bytes become the characters of the same number.
fn split(text: &[u8], separator: char) -> Option<Vec<String>> {
    let (mut parts, mut in_quotes, mut is_escaped) = (vec![String::new()], false, false);
    for c in text.iter().map(|&byte| char::from(byte)) {
        if c == separator && !in_quotes {
            parts.push(String::new());
            continue;
        }
        parts.last_mut()?.push(c);
        if c == '"' && !is_escaped {
            in_quotes = !in_quotes;
        }
        is_escaped = in_quotes && c == '\\' && !is_escaped;
    }
    (!in_quotes).then_some(parts)
}

fn token(text: &str) -> Option<String> {
    let text = text.trim_matches(BLANK);
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    (!text.is_empty() && text.chars().all(is_token)).then(|| text.to_owned())
}

/// What stands in quotes, without them and without the escapes (RFC 9110, section 5.6.4).
fn unquoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?;
    let (mut out, mut chars) = (String::new(), inner.chars());
    loop {
        match chars.next()? {
            '"' => return chars.next().is_none().then_some(out),
            '\\' => out.push(chars.next().filter(is_quotable)?),
            c => out.push(Some(c).filter(is_quotable)?),
        }
    }
}

fn is_quotable(c: &char) -> bool {
    *c == '\t' || (*c >= ' ' && *c != '\u{7F}')
}
