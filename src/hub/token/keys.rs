//! The keys that tokens are verified with: secrets, PEM and JSON Web Key Sets, each bound to one algorithm.

use super::Verifier;
use crate::config::{SettingError, TokenKeys};
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt;

/// A key and the only algorithm that it verifies, whatever a token's header says: a public key is no secret that
/// somebody could have signed with (RFC 8725, section 3.1).
pub(super) struct Key {
    algorithm: Algorithm,
    id: Option<String>,
    key: DecodingKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("algorithm", &self.algorithm).field("id", &self.id).finish_non_exhaustive()
    }
}

impl Key {
    /// Whether a token with these words in its header may have been signed with it.
    pub(super) fn fits(&self, algorithm: &str, id: Option<&str>) -> bool {
        let fits_id = self.id.as_deref().is_none_or(|own| id.is_none_or(|id| own == id));
        names(self.algorithm).contains(&algorithm) && fits_id
    }

    pub(super) fn has_signed(&self, message: &[u8], signature: &Vec<u8>) -> bool {
        // The provider is named, since the one of the process is unset, and panics, if some crate asks for a second.
        let verifier = (DEFAULT_PROVIDER.verifier_factory)(&self.algorithm, &self.key);
        verifier.is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
    }
}

/// The names of RFC 7518, section 3.1, RFC 8037, section 3.1, and RFC 9864, section 2.2, of the algorithms that keys can
/// have here.
fn names(algorithm: Algorithm) -> &'static [&'static str] {
    match algorithm {
        Algorithm::HS256 => &["HS256"],
        Algorithm::RS256 => &["RS256"],
        Algorithm::ES256 => &["ES256"],
        Algorithm::EdDSA => &["EdDSA", "Ed25519"],
        _ => unreachable!("keys are read for four algorithms"),
    }
}

/// Every key in the settings.
pub(super) fn read(settings: &TokenKeys) -> Result<Vec<Key>, SettingError> {
    let mut keys = Vec::new();
    for secret in &settings.hmac_secrets {
        keys.push(of_secret(secret)?);
    }
    for (text, number) in settings.public_keys.iter().zip(1..) {
        of_pem(text, number, &mut keys)?;
    }
    if let Some(text) = &settings.jwks {
        of_set(text, &mut keys)?;
    }
    if keys.len() > Verifier::MAX_KEYS {
        return Err(fault(
            "token_jwks",
            format!("a set that makes {} keys in all", keys.len()),
            "leave at most 64 keys",
        ));
    }
    Ok(keys)
}

fn fault(setting: &'static str, value: String, mend: &str) -> SettingError {
    SettingError { setting, value, mend: mend.to_owned() }
}

fn of_secret(secret: &str) -> Result<Key, SettingError> {
    if secret.is_empty() {
        return Err(fault(
            "token_hmac_secret",
            "empty".to_owned(),
            "give one that nobody guesses: openssl rand -hex 32",
        ));
    }
    Ok(Key { algorithm: Algorithm::HS256, id: None, key: DecodingKey::from_secret(secret.as_bytes()) })
}

/// All public keys of a file in PEM.
fn of_pem(text: &str, number: usize, keys: &mut Vec<Key>) -> Result<(), SettingError> {
    let refuse = |mend: &str| Err(fault("token_public_key", format!("text {number}"), mend));
    if text.contains("PRIVATE KEY") {
        return refuse("keep the private key to who makes tokens; its public one: openssl pkey -in key.pem -pubout");
    }
    let blocks: Vec<&str> = text.match_indices("-----BEGIN ").filter_map(|(at, _)| text.get(at..)).collect();
    if blocks.is_empty() {
        return refuse("give public keys in PEM, which begin with -----BEGIN PUBLIC KEY-----");
    }
    for block in blocks {
        let Some((algorithm, key)) = public_key(block).filter(|(algorithm, key)| is_usable(*algorithm, key)) else {
            return refuse("give public keys of RSA (2048 to 8192 bits), EC (P-256) or Ed25519, in PEM");
        };
        keys.push(Key { algorithm, id: None, key });
    }
    Ok(())
}

fn public_key(pem: &str) -> Option<(Algorithm, DecodingKey)> {
    let label = pem.lines().next()?.trim_end();
    if !matches!(label, "-----BEGIN PUBLIC KEY-----" | "-----BEGIN RSA PUBLIC KEY-----") {
        return None;
    }
    let pem = pem.as_bytes();
    let rsa = || Some((Algorithm::RS256, DecodingKey::from_rsa_pem(pem).ok()?));
    let ec = || Some((Algorithm::ES256, DecodingKey::from_ec_pem(pem).ok()?));
    let ed = || Some((Algorithm::EdDSA, DecodingKey::from_ed_pem(pem).ok()?));
    rsa().or_else(ec).or_else(ed)
}

/// A key that the algorithm would refuse for every token is told at once.
fn is_usable(algorithm: Algorithm, key: &DecodingKey) -> bool {
    match (algorithm, key.kind()) {
        (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, .. }) => (256..=1024).contains(&n.len()),
        // A modulus, an exponent and the few bytes around them.
        (Algorithm::RS256, DecodingKeyKind::SecretOrDer(der)) => (256..=1024 + 32).contains(&der.len()),
        (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => point.len() == 65,
        (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(point)) => point.len() == 32,
        _ => false,
    }
}

#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// The usable keys of a set; others are passed over (RFC 7517, section 5).
fn of_set(text: &str, keys: &mut Vec<Key>) -> Result<(), SettingError> {
    let refuse = |value: &str, mend: &str| Err(fault("token_jwks", value.to_owned(), mend));
    let Ok(set) = serde_json::from_str::<Set<'_>>(text) else {
        return refuse("not a key set", r#"give a JSON Web Key Set: {"keys":[...]}"#);
    };
    let before = keys.len();
    keys.extend(set.keys.into_iter().filter_map(|key| of_jwk(&serde_json::from_str(key.get()).ok()?)));
    if keys.len() == before {
        return refuse("a set without a usable key", "it needs one of RSA (2048 to 8192 bits), P-256 or Ed25519");
    }
    Ok(())
}

/// Secrets are passed over too: key sets are published.
fn of_jwk(jwk: &Jwk) -> Option<Key> {
    let (algorithm, own) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let common = &jwk.common;
    // The library does not know the newer name of EdDSA, and a key of Ed25519 is for nothing else.
    let only_own = algorithm == Algorithm::EdDSA;
    let for_this = only_own || common.key_algorithm.is_none_or(|algorithm| algorithm == own);
    let for_signatures = common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature);
    let to_verify = common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    let key = DecodingKey::from_jwk(jwk).ok().filter(|key| is_usable(algorithm, key))?;
    (for_this && for_signatures && to_verify).then(|| Key { algorithm, id: common.key_id.clone(), key })
}
