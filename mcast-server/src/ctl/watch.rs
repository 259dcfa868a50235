//! News as they come, over one connection after the other.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::blocking::Response;

use super::answers::Site;
use super::api::Api;
use super::error::CtlError;
use super::find;
use super::out::{Paper, print};
use super::sse::Decoder;
use super::story::{End, Story};

/// Between two tries to connect, longer each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Tells what happens in all sessions of the server, or in one until it ends.
pub(super) fn run(api: &Api, paper: &Paper, wanted: Option<&str>) -> Result<(), CtlError> {
    let only = wanted.map(|wanted| here(api, wanted)).transpose()?;
    let mut story = Story::new(paper.json, paper.zone.clone(), only);
    // Who cannot be reached at all is no outage but a mistake.
    let mut stream = api.stream("api/v1/events")?;
    let mut again = false;
    loop {
        print(&story.connected(&api.server(), again, Instant::now(), now_ms()))?;
        let lost = match follow(api, &mut story, &mut stream)? {
            Followed::Over => return Ok(()),
            Followed::Lost(lost) => lost,
        };
        print(&story.disconnected(&lost.text(), now_ms()))?;
        stream = reconnect(api)?;
        again = true;
    }
}

/// The session that is meant, if this server has it: its number and its image.
fn here(api: &Api, wanted: &str) -> Result<(String, String), CtlError> {
    let all = find::sessions(api)?;
    let session = find::session(&all, wanted, &api.server())?;
    let site: Site = api.parsed(&api.get("api/v1/site")?)?;
    match session.server == site.server {
        true => Ok((session.id.clone(), session.image.clone())),
        false => Err(CtlError::Elsewhere { session: session.id.clone(), other: session.server.clone() }),
    }
}

/// What became of a connection.
enum Followed {
    /// There is nothing more to tell.
    Over,
    Lost(CtlError),
}

/// Tells what comes, as long as it does.
fn follow(api: &Api, story: &mut Story, stream: &mut impl Read) -> Result<Followed, CtlError> {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = match stream.read(&mut buffer) {
            Ok(0) => return Ok(Followed::Lost(closed(api))),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Ok(Followed::Lost(api.broken(&error))),
        };
        let messages = decoder
            .feed(&buffer[..read])
            .map_err(|error| CtlError::NotTheApi { server: api.server(), what: error.to_string() })?;
        for message in messages {
            let told = story.tell(&message, Instant::now(), now_ms());
            told.lines.iter().try_for_each(|line| print(line))?;
            match told.end {
                None => {}
                Some(End::Ended) => return Ok(Followed::Over),
                Some(End::Gone(session)) => return Err(CtlError::Gone { session }),
            }
        }
    }
}

fn closed(api: &Api) -> CtlError {
    CtlError::Unreachable { server: api.server(), reason: "it closed the connection".to_owned(), help: None }
}

/// Tries until there is a connection, or a reason for which there never will be one.
fn reconnect(api: &Api) -> Result<Response, CtlError> {
    let mut pause = FIRST_PAUSE;
    loop {
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
        match api.stream("api/v1/events") {
            Ok(stream) => return Ok(stream),
            Err(error) if error.may_pass() => {}
            Err(error) => return Err(error),
        }
    }
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}
