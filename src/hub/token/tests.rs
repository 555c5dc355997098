//! Tokens made by the library that makes them elsewhere, and by hand where it would refuse to.

use super::*;
use jsonwebtoken::{Algorithm, EncodingKey, Header as JwtHeader, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};
use std::sync::LazyLock;

const NOW: u64 = 1_800_000_000;
const SECRET: &str = "a secret of thirty-two bytes ...";

/// One pair of each kind, made once: RSA takes its time.
struct Pairs {
    rsa: KeyPair,
    ec: KeyPair,
    ed: KeyPair,
}

static PAIRS: LazyLock<Pairs> = LazyLock::new(|| Pairs {
    rsa: KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
    ec: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
    ed: KeyPair::generate_for(&PKCS_ED25519).unwrap(),
});

fn signing(algorithm: Algorithm) -> EncodingKey {
    let pem = |pair: &KeyPair| pair.serialize_pem().into_bytes();
    match algorithm {
        Algorithm::RS256 => EncodingKey::from_rsa_pem(&pem(&PAIRS.rsa)).unwrap(),
        Algorithm::ES256 => EncodingKey::from_ec_pem(&pem(&PAIRS.ec)).unwrap(),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(&pem(&PAIRS.ed)).unwrap(),
        _ => EncodingKey::from_secret(SECRET.as_bytes()),
    }
}

fn public(algorithm: Algorithm) -> String {
    match algorithm {
        Algorithm::RS256 => PAIRS.rsa.public_key_pem(),
        Algorithm::ES256 => PAIRS.ec.public_key_pem(),
        _ => PAIRS.ed.public_key_pem(),
    }
}

const PUBLIC: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

fn token(claims: &Value) -> String {
    encode(&JwtHeader::default(), claims, &signing(Algorithm::HS256)).unwrap()
}

/// A token as its three texts say, signed by the secret.
fn by_hand(header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{signed}.{signature}")
}

fn secret() -> TokenKeys {
    TokenKeys { hmac_secrets: vec![SECRET.to_owned()], ..TokenKeys::default() }
}

fn verifier(keys: TokenKeys) -> Verifier {
    Verifier::new(&keys).unwrap()
}

/// The user that a token connects, or else why it does not.
#[track_caller]
fn check(token: &str, expected: Result<&str, &str>) {
    check_with(&verifier(secret()), token, expected);
}

#[track_caller]
fn check_with(verifier: &Verifier, token: &str, expected: Result<&str, &str>) {
    let told = verifier.verify_connection(token, NOW).map(|claims| claims.user).map_err(|error| error.to_string());
    match (&told, expected) {
        (Ok(user), Ok(expected)) => assert_eq!(user, expected),
        (Err(why), Err(part)) => assert!(why.contains(part), "{why:?} should tell {part:?}"),
        _ => panic!("expected {expected:?}, got {told:?}"),
    }
}

#[test]
fn a_token_says_who_connects_and_what_of_it_others_are_told() {
    let claims = json!({"sub": "42", "exp": NOW + 60, "info": {"name": "Ann B"}, "channels": ["news", "chat:1"]});
    let claims = verifier(secret()).verify_connection(&token(&claims), NOW).unwrap();
    assert_eq!((claims.user.as_str(), claims.expires_at), ("42", Some(NOW + 60)));
    assert_eq!(claims.info.unwrap().get(), r#"{"name":"Ann B"}"#);
    assert_eq!(claims.channels, ["news", "chat:1"]);
}

#[test]
fn a_token_without_claims_is_an_anonymous_one_that_never_ends() {
    let claims = verifier(secret()).verify_connection(&token(&json!({})), NOW).unwrap();
    assert_eq!((claims.user.as_str(), claims.expires_at), ("", None));
    assert!(claims.info.is_none() && claims.channels.is_empty());
}

#[test]
fn a_token_for_a_channel_names_it_and_connects_nobody() {
    let text = token(&json!({"sub": "42", "channel": "chat:1", "info": 7}));
    let claims = verifier(secret()).verify_subscription(&text, NOW).unwrap();
    assert_eq!((claims.user.as_str(), claims.channel.as_str(), claims.expires_at), ("42", "chat:1", None));
    assert_eq!(claims.info.unwrap().get(), "7");
    check(&text, Err("for a channel"));
    let connecting = verifier(secret()).verify_subscription(&token(&json!({"sub": "42"})), NOW);
    assert_eq!(connecting.unwrap_err(), TokenError::Invalid("the token names no channel"));
}

#[test]
fn info_comes_out_on_one_line_with_its_strings_untouched() {
    let payload = "{ \"info\" : {\n \"a\" : [ 1 ,\t2 ] ,\r\n \"b\" : \"x \\\" y \\\\\" , \"c\" : 1.50 }\n}";
    let claims = verifier(secret()).verify_connection(&by_hand(r#"{"alg":"HS256"}"#, payload), NOW).unwrap();
    assert_eq!(claims.info.unwrap().get(), r#"{"a":[1,2],"b":"x \" y \\","c":1.50}"#);
}

#[test]
fn each_kind_of_public_key_verifies_its_own_tokens_only() {
    for signed in PUBLIC {
        let token = encode(&JwtHeader::new(signed), &json!({"sub": "42"}), &signing(signed)).unwrap();
        for held in PUBLIC {
            let verifier = verifier(TokenKeys { public_keys: vec![public(held)], ..TokenKeys::default() });
            check_with(&verifier, &token, if held == signed { Ok("42") } else { Err("no key is set") });
        }
    }
}

#[test]
fn keys_of_several_kinds_and_of_yesterday_are_valid_side_by_side() {
    let all = PUBLIC.map(public).concat();
    let old = "the secret of yesterday, 32 bytes".to_owned();
    let keys = TokenKeys { hmac_secrets: vec![SECRET.into(), old.clone()], public_keys: vec![all], ..secret() };
    let verifier = verifier(keys);
    for algorithm in PUBLIC {
        let token = encode(&JwtHeader::new(algorithm), &json!({"sub": "42"}), &signing(algorithm)).unwrap();
        check_with(&verifier, &token, Ok("42"));
    }
    let yesterday = encode(&JwtHeader::default(), &json!({"sub": "7"}), &EncodingKey::from_secret(old.as_bytes()));
    check_with(&verifier, &yesterday.unwrap(), Ok("7"));
    check_with(&verifier, &token(&json!({"sub": "8"})), Ok("8"));
}

#[test]
fn ed25519_goes_by_its_newer_name_as_well() {
    let signed = |alg: &str| {
        let (header, claims) = (format!(r#"{{"alg":"{alg}"}}"#), r#"{"sub":"42"}"#);
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let key = signing(Algorithm::EdDSA);
        format!("{signed}.{}", jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::EdDSA).unwrap())
    };
    let verifier = verifier(set(&[jwk(Algorithm::EdDSA, &json!({"alg": "Ed25519"}))]));
    check_with(&verifier, &signed("EdDSA"), Ok("42"));
    check_with(&verifier, &signed("Ed25519"), Ok("42"));
    check_with(&verifier, &signed("Ed448"), Err("no key is set"));
}

#[test]
fn another_key_of_the_same_kind_is_told_from_ours() {
    let other = encode(&JwtHeader::default(), &json!({"sub": "42"}), &EncodingKey::from_secret(b"guessed"));
    check(&other.unwrap(), Err("not of a key that is set"));
    let stranger = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let verifier = verifier(TokenKeys { public_keys: vec![stranger.public_key_pem()], ..TokenKeys::default() });
    let token = encode(&JwtHeader::new(Algorithm::ES256), &json!({}), &signing(Algorithm::ES256)).unwrap();
    check_with(&verifier, &token, Err("not of a key that is set"));
}

#[test]
fn a_public_key_is_no_secret_to_sign_with() {
    for held in PUBLIC {
        let pem = public(held);
        let verifier = verifier(TokenKeys { public_keys: vec![pem.clone()], ..TokenKeys::default() });
        let forged = encode(&JwtHeader::default(), &json!({"sub": "1"}), &EncodingKey::from_secret(pem.as_bytes()));
        check_with(&verifier, &forged.unwrap(), Err("no key is set"));
    }
}

#[test]
fn no_algorithm_but_the_keys_is_taken_from_the_header() {
    let payload = r#"{"sub":"1"}"#;
    check(&by_hand(r#"{"alg":"HS256"}"#, payload), Ok("1"));
    for alg in ["none", "None", "NONE", "", "hs256", "HS384", "HS512", "RS256", "ES256", "EdDSA"] {
        check(&by_hand(&format!(r#"{{"alg":"{alg}"}}"#), payload), Err("no key is set"));
    }
    let unsigned = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(payload));
    check(&unsigned, Err("no key is set"));
    let stripped = by_hand(r#"{"alg":"HS256"}"#, payload);
    check(&stripped[..=stripped.rfind('.').unwrap()], Err("not of a key"));
    check(&by_hand(r#"{"alg":"HS256","crit":["exp"]}"#, payload), Err("crit"));
    check(&by_hand(r#"{"alg":"HS256","alg":"HS256"}"#, payload), Err("three parts"));
    check(&by_hand("{}", payload), Err("three parts"));
}

#[test]
fn no_changed_byte_and_no_cut_token_is_accepted() {
    let verifier = verifier(secret());
    let genuine = token(&json!({"sub": "42", "exp": NOW + 60}));
    for at in 0..genuine.len() {
        assert!(verifier.verify_connection(&genuine[..at], NOW).is_err(), "cut at {at}");
        for other in ["A", "Q", ".", "=", " ", "\u{e9}"] {
            let changed = format!("{}{other}{}", &genuine[..at], &genuine[at + 1..]);
            let accepted = verifier.verify_connection(&changed, NOW).is_ok();
            assert!(!accepted || changed == genuine, "{other:?} at {at}");
        }
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let long = "a".repeat(Verifier::MAX_TOKEN_BYTES + 1);
    for (text, why) in [
        ("", "three parts"),
        ("..", "three parts"),
        ("a.b", "three parts"),
        ("a.b.c.d", "three parts"),
        ("bm8.bm8.bm8", "three parts"),
        (long.as_str(), "longer than 16 KiB"),
    ] {
        check(text, Err(why));
    }
}

#[test]
fn the_longest_token_is_looked_at_and_a_longer_one_is_not() {
    let of = |bytes: usize| token(&json!({"sub": "x".repeat(bytes)}));
    let longest = (11_000..12_300).rev().map(of).find(|text| text.len() <= Verifier::MAX_TOKEN_BYTES).unwrap();
    assert!(longest.len() > Verifier::MAX_TOKEN_BYTES - 4);
    assert!(verifier(secret()).verify_connection(&longest, NOW).is_ok());
    check(&of(12_300), Err("longer than 16 KiB"));
}

#[test]
fn claims_of_another_form_are_refused() {
    for payload in [
        "",
        "null",
        "[]",
        "7",
        "{",
        r#"{"sub":1}"#,
        r#"{"exp":"soon"}"#,
        r#"{"exp":true}"#,
        r#"{"channels":"news"}"#,
        r#"{"channels":[1]}"#,
        r#"{"sub":"1","sub":"2"}"#,
        r#"{"info":{}"#,
        r#"{"info":nope}"#,
        "{\"sub\":\"\u{1}\"}",
    ] {
        check(&by_hand(r#"{"alg":"HS256"}"#, payload), Err("claims"));
    }
    check(&by_hand(r#"{"alg":"HS256"}"#, r#"{"sub":"1","exp":null,"info":null,"channels":null,"more":[]}"#), Ok("1"));
    let deep = format!(r#"{{"sub":"1","info":{}{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    check(&by_hand(r#"{"alg":"HS256"}"#, &deep), Ok("1"));
}

#[test]
fn a_token_ends_with_the_second_it_names() {
    check(&token(&json!({"exp": NOW + 1})), Ok(""));
    for exp in [json!(NOW), json!(NOW - 1), json!(0), json!(-5), json!(NOW as f64 + 0.9), json!(-1e300)] {
        assert_eq!(
            verifier(secret()).verify_connection(&token(&json!({"exp": exp})), NOW).unwrap_err(),
            TokenError::Expired
        );
    }
    let last = verifier(secret()).verify_connection(&token(&json!({"exp": 1e300})), NOW).unwrap();
    assert_eq!(last.expires_at, Some(u64::MAX));
}

#[test]
fn a_token_begins_five_seconds_early_for_the_sake_of_clocks() {
    for claim in ["nbf", "iat"] {
        check(&token(&json!({claim: NOW + 5})), Ok(""));
        check(&token(&json!({claim: NOW + 6})), Err("not valid yet"));
    }
    let claims = verifier(secret()).verify_connection(&token(&json!({"nbf": u64::MAX})), u64::MAX);
    assert!(claims.is_ok(), "the end of time overflows nothing");
}

#[test]
fn a_forged_token_is_not_told_that_it_has_expired() {
    let forged = encode(&JwtHeader::default(), &json!({"exp": 1}), &EncodingKey::from_secret(b"guessed")).unwrap();
    check(&forged, Err("not of a key that is set"));
}

#[test]
fn audience_and_issuer_are_asked_for_where_they_are_set() {
    let ours = verifier(TokenKeys { audience: Some("chat".into()), issuer: Some("login".into()), ..secret() });
    check_with(&ours, &token(&json!({"sub": "1", "aud": "chat", "iss": "login"})), Ok("1"));
    check_with(&ours, &token(&json!({"sub": "1", "aud": ["mail", "chat"], "iss": "login"})), Ok("1"));
    for aud in [json!("mail"), json!(["mail"]), json!([]), json!(null)] {
        check_with(&ours, &token(&json!({"aud": aud, "iss": "login"})), Err("aud"));
    }
    check_with(&ours, &token(&json!({"aud": "chat", "iss": "else"})), Err("iss"));
    check_with(&ours, &token(&json!({"aud": "chat"})), Err("iss"));
    check(&token(&json!({"sub": "1", "aud": "any", "iss": "any"})), Ok("1"));
}

#[test]
fn without_keys_no_token_is_valid() {
    let none = verifier(TokenKeys::default());
    assert!(!none.has_keys() && verifier(secret()).has_keys());
    check_with(&none, &token(&json!({})), Err("no key is set"));
}

/// The key of a set that a pair makes.
fn jwk(algorithm: Algorithm, more: &Value) -> Value {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let mut key = match algorithm {
        Algorithm::RS256 => {
            // RSAPublicKey: a header of 4 bytes, a modulus of 257 with a header of 4, an exponent of 3 with one of 2.
            let der = PAIRS.rsa.public_key_raw();
            json!({"kty": "RSA", "n": part(&der[9..265]), "e": part(&der[267..])})
        }
        Algorithm::ES256 => {
            let point = PAIRS.ec.public_key_raw();
            json!({"kty": "EC", "crv": "P-256", "x": part(&point[1..33]), "y": part(&point[33..])})
        }
        _ => json!({"kty": "OKP", "crv": "Ed25519", "x": part(PAIRS.ed.public_key_raw())}),
    };
    key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    key
}

fn set(keys: &[Value]) -> TokenKeys {
    TokenKeys { jwks: Some(json!({ "keys": keys }).to_string()), ..TokenKeys::default() }
}

fn with_id(algorithm: Algorithm, id: Option<&str>) -> String {
    let header = JwtHeader { kid: id.map(str::to_owned), ..JwtHeader::new(algorithm) };
    encode(&header, &json!({"sub": "42"}), &signing(algorithm)).unwrap()
}

#[test]
fn a_key_of_a_set_is_found_by_its_id_or_else_by_its_kind() {
    let keys = PUBLIC.map(|algorithm| jwk(algorithm, &json!({"kid": format!("{algorithm:?}"), "use": "sig"})));
    let verifier = verifier(set(&keys));
    for algorithm in PUBLIC {
        check_with(&verifier, &with_id(algorithm, Some(&format!("{algorithm:?}"))), Ok("42"));
        check_with(&verifier, &with_id(algorithm, None), Ok("42"));
        check_with(&verifier, &with_id(algorithm, Some("another")), Err("no key is set"));
    }
}

#[test]
fn a_key_without_id_is_tried_whatever_a_token_names() {
    let verifier = verifier(set(&[jwk(Algorithm::ES256, &json!({}))]));
    check_with(&verifier, &with_id(Algorithm::ES256, Some("any")), Ok("42"));
}

#[test]
fn keys_of_a_set_that_are_for_something_else_are_passed_over() {
    let good = jwk(Algorithm::EdDSA, &json!({"key_ops": ["verify"], "alg": "EdDSA"}));
    let keys = [
        json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET)}),
        json!({"kty": "new", "what": 1}),
        json!(7),
        json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}),
        jwk(Algorithm::ES256, &json!({"use": "enc"})),
        jwk(Algorithm::ES256, &json!({"key_ops": ["encrypt"]})),
        jwk(Algorithm::RS256, &json!({"alg": "RS512"})),
        good,
    ];
    let verifier = verifier(set(&keys));
    check_with(&verifier, &with_id(Algorithm::EdDSA, None), Ok("42"));
    for algorithm in [Algorithm::RS256, Algorithm::ES256] {
        check_with(&verifier, &with_id(algorithm, None), Err("no key is set"));
    }
    check_with(&verifier, &token(&json!({})), Err("no key is set"));
    assert_eq!(Verifier::new(&set(&keys[..7])).unwrap_err().setting, "token_jwks");
}

#[test]
fn a_key_that_cannot_be_used_is_told_by_its_setting_and_never_shown() {
    let public = |text: String| TokenKeys { public_keys: vec![text], ..TokenKeys::default() };
    let set = |text: &str| TokenKeys { jwks: Some(text.to_owned()), ..TokenKeys::default() };
    let many = vec![jwk(Algorithm::EdDSA, &json!({})); Verifier::MAX_KEYS + 1];
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let ed = PAIRS.ed.public_key_pem();
    for (keys, setting, mend) in [
        (TokenKeys { hmac_secrets: vec![String::new()], ..TokenKeys::default() }, "token_hmac_secret", "openssl rand"),
        (public(PAIRS.ec.serialize_pem()), "token_public_key", "-pubout"),
        (public(p384.public_key_pem()), "token_public_key", "P-256"),
        (public(String::new()), "token_public_key", "BEGIN PUBLIC KEY"),
        (public("ssh-ed25519 AAAA".into()), "token_public_key", "BEGIN PUBLIC KEY"),
        (public(ed.replace("PUBLIC KEY", "CERTIFICATE")), "token_public_key", "P-256"),
        (public(ed.replace("MC", "MD")), "token_public_key", "P-256"),
        (public(format!("{ed}-----BEGIN ")), "token_public_key", "P-256"),
        (set(""), "token_jwks", "JSON Web Key Set"),
        (set(r#"{"keys":[]}"#), "token_jwks", "it needs one"),
        (set(&json!({ "keys": many }).to_string()), "token_jwks", "at most 64"),
    ] {
        let error = Verifier::new(&keys).unwrap_err();
        assert_eq!(error.setting, setting);
        assert!(error.mend.contains(mend) && error.to_string().len() < 200, "{error} should tell {mend}");
    }
    assert!(!format!("{:?}", verifier(secret())).contains(SECRET));
}
