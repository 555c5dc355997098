//! `token`: a token (JWT) for a user, signed by the configuration's secret, one that is given, or a private key. It
//! starts nothing and asks nobody.

use super::configuration::Reading;
use super::sources::Flags;
use super::values::{self, OrOff};
use super::{Failure, say};
use crate::config::TokenKeys;
use crate::hub::token::Verifier;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;
use serde_json::value::RawValue;
use std::env;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What `token` takes.
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    /// The user; empty for an anonymous one
    #[arg(long)]
    user: String,
    /// Make a token to subscribe to this channel with, rather than one to connect with
    #[arg(long)]
    channel: Option<String>,
    /// How long it is valid; off for ever
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = values::duration_or_off)]
    exp: OrOff<Duration>,
    /// What others are told of the user, as JSON: '{"name":"Ann"}'
    #[arg(long, value_name = "JSON")]
    info: Option<String>,
    /// Channels that the connection is subscribed to by the server, with commas between
    #[arg(long, value_delimiter = ',', conflicts_with = "channel")]
    channels: Vec<String>,
    /// Secret to sign with (HS256) [default: the first token_hmac_secret of the environment or the file]
    #[arg(long, conflicts_with = "private_key")]
    secret: Option<String>,
    /// PEM file of the private key to sign with, RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA)
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// The key's id (kid), where the server has a key set
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
    /// TOML file of settings; else the one that TIDEGATE_CONFIG names
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Prints the token, and nothing else.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let flags = Flags::of_file(arguments.config.clone());
    let Reading { configuration, problems, .. } = Reading::of(flags.gather(&env::vars_os().collect::<Vec<_>>()));
    if !problems.is_empty() {
        return Err(Failure::Usage(problems));
    }
    let token = make(arguments, configuration.hub.tokens, unix_seconds()).map_err(|mend| Failure::Usage(vec![mend]))?;
    say(token);
    Ok(())
}

#[derive(Serialize)]
struct Claims {
    sub: String,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    channels: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
}

/// The token, or what to change to get one.
fn make(arguments: Arguments, settings: TokenKeys, now: u64) -> Result<String, String> {
    let (algorithm, key) = match (&arguments.private_key, &arguments.secret) {
        (Some(path), _) => private_key(path)?,
        (None, given) => secret(given.as_ref(), &settings)?,
    };
    let claims = Claims {
        sub: arguments.user,
        iat: now,
        exp: arguments.exp.0.map(|time| now.saturating_add(time.as_secs())),
        channel: arguments.channel,
        channels: arguments.channels,
        info: arguments.info.as_deref().map(info).transpose()?,
        aud: settings.audience,
        iss: settings.issuer,
    };
    let header = Header { kid: arguments.key_id, ..Header::new(algorithm) };
    let token = encode(&header, &claims, &key).map_err(|error| format!("the key cannot sign: {error}; {KINDS}"))?;
    if token.len() > Verifier::MAX_TOKEN_BYTES {
        return Err("the token is longer than 16 KiB, which no server takes: shorten --info or --channels".to_owned());
    }
    Ok(token)
}

const KINDS: &str = "give one of RSA (2048 bits or more), P-256 or Ed25519, in PEM (PKCS #8): \
                     openssl pkcs8 -topk8 -nocrypt -in key.pem";

fn secret(given: Option<&String>, settings: &TokenKeys) -> Result<(Algorithm, EncodingKey), String> {
    match given.or(settings.hmac_secrets.first()) {
        Some(secret) if !secret.is_empty() => Ok((Algorithm::HS256, EncodingKey::from_secret(secret.as_bytes()))),
        _ => Err("no key to sign with: give --secret or --private-key, or set token_hmac_secret in the environment \
                  (TIDEGATE_TOKEN_HMAC_SECRET) or the file, as for the server"
            .to_owned()),
    }
}

fn private_key(path: &Path) -> Result<(Algorithm, EncodingKey), String> {
    let shown = path.display();
    let pem = std::fs::read(path).map_err(|error| format!("--private-key {shown} cannot be read: {error}"))?;
    let is_public = !String::from_utf8_lossy(&pem).contains("PRIVATE KEY");
    let rsa = || Some((Algorithm::RS256, EncodingKey::from_rsa_pem(&pem).ok()?));
    let ec = || Some((Algorithm::ES256, EncodingKey::from_ec_pem(&pem).ok()?));
    let ed = || Some((Algorithm::EdDSA, EncodingKey::from_ed_pem(&pem).ok()?));
    let found = if is_public { None } else { rsa().or_else(ec).or_else(ed) };
    found.ok_or_else(|| format!("--private-key {shown} holds no private key of a known kind: {KINDS}"))
}

fn info(text: &str) -> Result<Box<RawValue>, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("--info is not JSON ({error}): write it in single quotes, as '{{\"name\":\"Ann\"}}'"))
}

#[expect(clippy::disallowed_methods, reason = "a token's times are the calendar's")]
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, FromArgMatches as _};
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};

    const NOW: u64 = 1_800_000_000;
    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn arguments(flags: &[&str]) -> Arguments {
        let command = Arguments::augment_args(clap::Command::new("token").no_binary_name(true));
        let matches = command.try_get_matches_from(flags).expect("flags of the test");
        Arguments::from_arg_matches(&matches).expect("flags of the test")
    }

    fn settings() -> TokenKeys {
        TokenKeys { hmac_secrets: vec![SECRET.to_owned(), "another".to_owned()], ..TokenKeys::default() }
    }

    #[test]
    fn a_token_connects_at_a_server_with_the_same_configuration() {
        let settings = TokenKeys { audience: Some("chat".to_owned()), issuer: Some("login".to_owned()), ..settings() };
        let flags = ["--user=42", "--exp=5m", "--channels=news,chat:1", r#"--info={"name": "Ann"}"#];
        let token = make(arguments(&flags), settings.clone(), NOW).unwrap();
        let claims = Verifier::new(&settings).unwrap().verify_connection(&token, NOW + 299).unwrap();
        assert_eq!((claims.user.as_str(), claims.expires_at), ("42", Some(NOW + 300)));
        assert_eq!(claims.channels, ["news", "chat:1"]);
        assert_eq!(claims.info.unwrap().get(), r#"{"name":"Ann"}"#);
        assert!(Verifier::new(&settings).unwrap().verify_connection(&token, NOW + 300).is_err());
    }

    #[test]
    fn a_token_for_a_channel_is_valid_for_ever_where_exp_is_off() {
        let token = make(arguments(&["--user=", "--channel=chat:1", "--exp=off"]), settings(), NOW).unwrap();
        let claims = Verifier::new(&settings()).unwrap().verify_subscription(&token, u64::MAX).unwrap();
        assert_eq!((claims.user.as_str(), claims.channel.as_str(), claims.expires_at), ("", "chat:1", None));
    }

    #[test]
    fn a_secret_that_is_given_wins_over_the_configuration() {
        let token = make(arguments(&["--user=42", "--secret=given"]), settings(), NOW).unwrap();
        assert!(Verifier::new(&settings()).unwrap().verify_connection(&token, NOW).is_err());
        let given = TokenKeys { hmac_secrets: vec!["given".to_owned()], ..TokenKeys::default() };
        assert!(Verifier::new(&given).unwrap().verify_connection(&token, NOW).is_ok());
    }

    fn in_file(name: &str, text: &str) -> PathBuf {
        let path = env::temp_dir().join(format!("tidegate-token-{}-{name}.pem", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn a_private_key_signs_by_its_kind() {
        let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let ec = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let ed = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        for (name, pair) in [("rsa", rsa), ("ec", ec), ("ed", ed)] {
            let path = in_file(name, &pair.serialize_pem());
            let flags = ["--user=42", "--private-key", path.to_str().unwrap(), "--key-id=2026"];
            let made = make(arguments(&flags), TokenKeys::default(), NOW);
            std::fs::remove_file(&path).unwrap();
            let keys = TokenKeys { public_keys: vec![pair.public_key_pem()], ..TokenKeys::default() };
            let claims = Verifier::new(&keys).unwrap().verify_connection(&made.unwrap(), NOW).unwrap();
            assert_eq!(claims.user, "42", "{name}");
        }
    }

    #[test]
    fn what_cannot_be_signed_is_told_with_the_mend() {
        let told = |flags: &[&str], settings| make(arguments(flags), settings, NOW).unwrap_err();
        assert!(told(&["--user=42"], TokenKeys::default()).contains("TIDEGATE_TOKEN_HMAC_SECRET"));
        assert!(told(&["--user=42", "--secret="], settings()).contains("no key to sign with"));
        assert!(told(&["--user=42", "--info=Ann"], settings()).contains("single quotes"));
        assert!(told(&["--user=42", "--private-key=/no/such"], settings()).contains("cannot be read"));
        let long = format!("--user={}", "x".repeat(17_000));
        assert!(told(&[&long], settings()).contains("longer than 16 KiB"));
        let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        for (name, text) in [("p384", p384.serialize_pem()), ("public", p384.public_key_pem()), ("none", String::new())]
        {
            let path = in_file(name, &text);
            let told = told(&["--user=42", "--private-key", path.to_str().unwrap()], settings());
            std::fs::remove_file(&path).unwrap();
            assert!(told.contains("openssl pkcs8") && !told.contains(SECRET), "{told}");
        }
    }
}
