//! How findings of the doctor are shown: a line each, or NDJSON.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use multicast_core::doctor::{Finding, Outcome, Summary};
use serde::Serialize;

/// Shows findings as they come, and counts them.
pub struct Report {
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
}

impl Report {
    /// An empty one; as NDJSON if `json`.
    pub fn new(json: bool) -> Self {
        let coloured = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json, watched: !json && io::stderr().is_terminal(), coloured, summary: Summary::default() }
    }

    /// What is being tested now.
    pub fn doing(&self, what: &str) {
        if self.watched {
            eprint!("\r\x1b[2K… {what}");
        }
    }

    /// What a test showed.
    pub fn tell(&mut self, finding: &Finding) {
        self.summary.add(finding.outcome);
        match (self.json, self.coloured) {
            (true, _) => self.note(&Line::Finding(finding), ""),
            (false, true) => self.say(&format!("{finding:#}")),
            (false, false) => self.say(&finding.to_string()),
        }
    }

    /// Something besides findings: `text` for people, `event` for programs.
    pub fn note(&self, event: &impl Serialize, text: &str) {
        if !self.json {
            self.say(text);
        } else if let Ok(line) = serde_json::to_string(event) {
            self.say(&line);
        }
    }

    /// What is tested, for people, in front of all.
    pub fn head(&self, text: &str) {
        if !self.json {
            self.say(&format!("{text}\n"));
        }
    }

    /// The verdict, and the code to end with.
    pub fn end(&self) -> ExitCode {
        let exit_code = self.summary.exit_code();
        let verdict = Line::Verdict { verdict: self.summary.verdict(), exit_code, summary: self.summary };
        self.note(&verdict, &format!("\n{}", self.summary));
        exit_code.into()
    }

    fn say(&self, text: &str) {
        if self.watched {
            eprint!("\r\x1b[2K");
        }
        // Who read it may have gone; the verdict is the exit code, too.
        let _ = writeln!(io::stdout().lock(), "{text}");
    }
}
