//! What an operator has done: to sessions, and to clients.

use std::io::{IsTerminal, Write, stderr, stdin};

use serde_json::{Value, json};

use super::answers::{ClientView, Done, SessionView};
use super::api::{Answer, Api, part};
use super::error::{CtlError, CtlExit};
use super::figures::{plain, share};
use super::find;
use super::out::{Paper, print};

/// What can be done to a session: the API's word, and what the session is then.
pub(super) type Order = (&'static str, &'static str);

pub(super) const START: Order = ("start", "started");
pub(super) const PAUSE: Order = ("pause", "paused");
pub(super) const RESUME: Order = ("resume", "resumed");
pub(super) const CANCEL: Order = ("cancel", "cancelled");

/// Has something done to each of these sessions. A name that means none, or several, is found before anything is done;
/// a refusal of one does not stand in the way of the others.
pub(super) fn session(api: &Api, paper: &Paper, (word, done): Order, wanted: &[String]) -> Result<CtlExit, CtlError> {
    let all = find::sessions(api)?;
    let mut meant: Vec<&SessionView> = Vec::new();
    for wanted in wanted {
        let session = find::session(&all, wanted, &api.server())?;
        if !meant.iter().any(|known| known.id == session.id) {
            meant.push(session);
        }
    }
    let body = json!({ "command": word }).to_string();
    let give = |session: &SessionView| api.post(&format!("api/v1/sessions/{}", part(&session.id)), &body);
    if let [only] = meant[..] {
        let answer = give(only)?;
        paper.show(&answer, || Ok(vec![told(api, only, done, &answer)?]))?;
        return Ok(CtlExit::Success);
    }
    let (mut exit, mut answers) = (CtlExit::Success, Vec::new());
    for session in meant {
        match give(session) {
            Ok(answer) if paper.json => answers.push(api.parsed(&answer)?),
            Ok(answer) => print(&told(api, session, done, &answer)?)?,
            Err(error) => {
                error.say();
                answers.push(json!({ "error": error.text(), "help": error.help() }));
                exit = if exit == CtlExit::Success { error.exit() } else { exit };
            }
        }
    }
    if paper.json {
        print(&Value::Array(answers).to_string())?;
    }
    Ok(exit)
}

/// What became of an order, in a line.
fn told(api: &Api, session: &SessionView, done: &str, answer: &Answer) -> Result<String, CtlError> {
    let (id, image) = (&session.id, plain(&session.image));
    Ok(match api.parsed::<Done>(answer)?.status.as_str() {
        "passed_on" => {
            format!("session {id} of {image} is to be {done}: passed on to server {}", plain(&session.server))
        }
        _ => format!("session {id} of {image} is {done}"),
    })
}

/// Removes a client from a session for good, once that is confirmed.
pub(super) fn remove(api: &Api, paper: &Paper, wanted: &str, client: &str, sure: bool) -> Result<(), CtlError> {
    let all = find::sessions(api)?;
    let session = find::session(&all, wanted, &api.server())?;
    let path = format!("api/v1/sessions/{}/clients", part(&session.id));
    let clients: Vec<ClientView> = api.parsed(&api.get(&path)?)?;
    let client = find::client(&clients, client, &session.id)?;
    let who = format!("{} ({}, {})", plain(&client.host), client.client, client.address);
    let of = format!("session {} of {}", session.id, plain(&session.image));
    if !sure {
        let has = share(f64::from(client.verified) / f64::from(client.blocks.max(1)));
        confirm(&format!("Remove {who}, {} at {has}, from {of} for good?", plain(&client.state)), "a client")?;
    }
    let answer = api.delete(&format!("{path}/{}", part(&client.client)))?;
    paper.show(&answer, || {
        Ok(vec![match api.parsed::<Done>(&answer)?.status.as_str() {
            "passed_on" => {
                format!("{who} is to be removed from {of}: passed on to server {}", plain(&session.server))
            }
            _ => format!("{who} is removed from {of}"),
        }])
    })
}

/// Asks on the terminal whether `what` is to be removed; without one nobody can answer.
pub(super) fn confirm(question: &str, what: &'static str) -> Result<(), CtlError> {
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return Err(CtlError::Unconfirmed { what });
    }
    eprint!("{question} [y/N] ");
    stderr().flush()?;
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CtlError::Declined),
    }
}
