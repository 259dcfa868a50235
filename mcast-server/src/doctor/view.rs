//! How findings are shown: a line each, or NDJSON.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use multicast_core::doctor::{Finding, Outcome, Summary};
use multicast_core::engine::DEFAULT_CONTROL_PORT;
use serde::Serialize;

/// Shows findings as they come, and counts them.
pub(super) struct Report {
    json: bool,
    /// What is being tested goes to the standard error, and is wiped off again.
    watched: bool,
    coloured: bool,
    summary: Summary,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Finding(&'a Finding),
    Verdict { verdict: Outcome, exit_code: u8, summary: Summary },
    Serving { control: SocketAddr, seconds: f64 },
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        let coloured = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json, watched: !json && io::stderr().is_terminal(), coloured, summary: Summary::default() }
    }

    /// What is tested, in front of all.
    pub(super) fn head(&self, text: &str) {
        if !self.json {
            self.say(&format!("{text}\n"));
        }
    }

    /// What is being tested now.
    pub(super) fn doing(&self, what: &str) {
        if self.watched {
            eprint!("\r\x1b[2K… {what}");
        }
    }

    /// What a test showed.
    pub(super) fn tell(&mut self, finding: &Finding) {
        self.summary.add(finding.outcome);
        match (self.json, self.coloured) {
            (true, _) => self.say_json(&Line::Finding(finding)),
            (false, true) => self.say(&format!("{finding:#}")),
            (false, false) => self.say(&finding.to_string()),
        }
    }

    /// The verdict, and the code to end with.
    pub(super) fn end(&self) -> ExitCode {
        let exit_code = self.summary.exit_code();
        if self.json {
            self.say_json(&Line::Verdict { verdict: self.summary.verdict(), exit_code, summary: self.summary });
        } else {
            self.say(&format!("\n{}", self.summary));
        }
        exit_code.into()
    }

    /// That clients can test for so long.
    pub(super) fn serving(&self, control: SocketAddr, time: Duration) {
        if self.json {
            return self.say_json(&Line::Serving { control, seconds: time.as_secs_f64() });
        }
        let port = match control.port() {
            DEFAULT_CONTROL_PORT => String::new(),
            port => format!(":{port}"),
        };
        let time = humantime::format_duration(time);
        self.say(&format!(
            "\nfor {time}, or until Ctrl-C, clients can test:\n  mcast-client doctor --server HOST{port}"
        ));
    }

    fn say_json(&self, line: &Line<'_>) {
        if let Ok(text) = serde_json::to_string(line) {
            self.say(&text);
        }
    }

    fn say(&self, text: &str) {
        if self.watched {
            eprint!("\r\x1b[2K");
        }
        // Who read it may have gone; the verdict is the exit code, too.
        let _ = writeln!(io::stdout().lock(), "{text}");
    }
}
