//! `publish`: one publication through the HTTP API of a running hub, and where it stands in the channel's history.

use super::configuration::Reading;
use super::post::{Answer, Target, post};
use super::sources::Flags;
use super::{Failure, say};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::env;
use std::path::PathBuf;

/// What `publish` takes.
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    /// The hub: http://HOST[:PORT][/PATH] or https://
    url: String,
    /// Where to publish
    channel: String,
    /// What to publish, as JSON: '{"text":"hi"}', or '"hi"' for a text
    data: String,
    /// The hub's API key [default: the api_key of the environment or the file]
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// Names this publication: done twice with one name it has one effect, and the same answer
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Leave it out of the channel's history
    #[arg(long)]
    skip_history: bool,
    /// PEM file of the certificate authorities that are trusted with https:// [default: the system's]
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// TOML file of settings; else the one that TIDEGATE_CONFIG names
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Publishes, and says what came of it.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let usage = |mend: String| Failure::Usage(vec![mend]);
    let target: Target = arguments.url.parse().map_err(usage)?;
    let body = body(arguments).map_err(usage)?;
    let key = match &arguments.api_key {
        Some(key) => Some(key.clone()),
        None => configured_key(arguments.config.clone())?,
    };
    if key.as_ref().is_some_and(|key| key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err(usage("the API key is printable ASCII without spaces".to_owned()));
    }
    let fields: Vec<_> = key.iter().map(|key| ("X-API-Key", key.as_str())).collect();
    let answer = post(&target, "/api/publish", &fields, &body, arguments.tls_ca.as_deref())?;
    outcome(&answer).map(say).map_err(|why| Failure::Running(format!("not published: {why}")))
}

fn configured_key(config: Option<PathBuf>) -> Result<Option<String>, Failure> {
    let reading = Reading::of(Flags::of_file(config).gather(&env::vars_os().collect::<Vec<_>>()));
    if reading.problems.is_empty() {
        Ok(reading.configuration.hub.api_key)
    } else {
        Err(Failure::Usage(reading.problems))
    }
}

#[derive(Serialize)]
struct Publish<'a> {
    channel: &'a str,
    data: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    skip_history: bool,
}

/// The request's body, or what to change to get one.
fn body(arguments: &Arguments) -> Result<Vec<u8>, String> {
    let data: &RawValue = serde_json::from_str(&arguments.data).map_err(|error| {
        let text = serde_json::Value::from(arguments.data.as_str());
        format!("DATA is not JSON ({error}): a text needs its own quotes inside the shell's, as '{text}'")
    })?;
    let publish = Publish {
        channel: &arguments.channel,
        data,
        idempotency_key: arguments.idempotency_key.as_deref(),
        skip_history: arguments.skip_history,
    };
    serde_json::to_vec(&publish).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
struct Outcome {
    result: Option<Published>,
    error: Option<Refused>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Published {
    offset: u64,
    epoch: String,
}

#[derive(Deserialize)]
struct Refused {
    code: u32,
    message: String,
}

/// What to tell of an answer.
fn outcome(answer: &Answer) -> Result<String, String> {
    match answer.status {
        200 => {}
        401 => return Err("the API key is wrong or missing (--api-key)".to_owned()),
        403 => return Err("this address may not call the API: set api_key there, and give it here".to_owned()),
        404 => return Err("nothing answers /api/publish there: is its app the hub?".to_owned()),
        status => return Err(format!("the answer is status {status}: {}", beginning(&answer.body))),
    }
    match serde_json::from_slice(&answer.body) {
        Ok(Outcome { error: Some(refused), .. }) => Err(format!("{} ({})", refused.message, refused.code)),
        Ok(Outcome { result: Some(published), .. }) if published.epoch.is_empty() => {
            Ok("published; the history does not hold it, so it has no offset".to_owned())
        }
        Ok(Outcome { result: Some(Published { offset, epoch }), .. }) => Ok(format!("offset {offset} epoch {epoch}")),
        _ => Err(format!("the answer is not the API's: {}", beginning(&answer.body))),
    }
}

/// Enough of a body to know who answered, fit for a terminal.
fn beginning(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
    text.trim().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(data: &str) -> Arguments {
        Arguments {
            url: "http://127.0.0.1:1".to_owned(),
            channel: "chat:1".to_owned(),
            data: data.to_owned(),
            api_key: Some("k".to_owned()),
            idempotency_key: None,
            skip_history: false,
            tls_ca: None,
            config: None,
        }
    }

    #[test]
    fn data_goes_out_as_the_json_that_it_came_as() {
        let written = |arguments: &Arguments| String::from_utf8(body(arguments).unwrap()).unwrap();
        assert_eq!(written(&arguments(r#"{"a": 1.50}"#)), r#"{"channel":"chat:1","data":{"a": 1.50}}"#);
        let more = Arguments { idempotency_key: Some("k\"1".to_owned()), skip_history: true, ..arguments("null") };
        assert_eq!(written(&more), r#"{"channel":"chat:1","data":null,"idempotency_key":"k\"1","skip_history":true}"#);
    }

    #[test]
    fn data_that_is_not_json_is_wrong_usage_that_shows_how_to_quote() {
        for (data, quoted) in [("hi", r#"'"hi"'"#), ("", r#"'""'"#), ("it's \"so\"", r#"'"it's \"so\""'"#)] {
            match run(&arguments(data)) {
                Err(Failure::Usage(told)) => assert!(told[0].contains(quoted), "{told:?}"),
                other => panic!("expected wrong usage, got {other:?}"),
            }
        }
    }

    #[test]
    fn a_key_that_would_break_the_request_is_wrong_usage() {
        for key in ["", "a b", "a\r\nHost: b"] {
            let arguments = Arguments { api_key: Some(key.to_owned()), ..arguments("1") };
            assert!(matches!(run(&arguments), Err(Failure::Usage(_))), "{key:?}");
        }
    }

    #[track_caller]
    fn check(status: u16, body: &str, expected: Result<&str, &str>) {
        let told = outcome(&Answer { status, body: body.into() });
        match expected {
            Ok(line) => assert_eq!(told.unwrap(), line),
            Err(part) => assert!(told.as_ref().unwrap_err().contains(part), "{told:?} should tell {part:?}"),
        }
    }

    #[test]
    fn each_answer_is_told_in_a_line() {
        check(200, r#"{"result":{"offset":7,"epoch":"xyz"}}"#, Ok("offset 7 epoch xyz"));
        check(200, r#"{"result":{}}"#, Ok("published; the history does not hold it, so it has no offset"));
        check(200, r#"{"error":{"code":102,"message":"unknown channel"}}"#, Err("unknown channel (102)"));
        check(200, "<html>\x1b[2J", Err(r"not the API's: <html>\u{1b}[2J"));
        check(200, "{}", Err("not the API's"));
        check(401, "", Err("--api-key"));
        check(403, "", Err("set api_key"));
        check(404, "", Err("is its app the hub?"));
        check(503, "the engine is full\n", Err("status 503: the engine is full"));
    }
}
