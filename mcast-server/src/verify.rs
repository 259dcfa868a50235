//! `mcast-server verify`: WIMs against their own integrity tables.

use std::path::Path;
use std::time::{Duration, Instant};

use command_line::Interrupt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use multicast_core::image::wim::{IntegrityReport, WimSummary, verify_integrity};
use multicast_core::image::{Delivery, ImageError};
use serde::Serialize;

use crate::cli::VerifyArguments;
use crate::exit::{Exit, Failure};
use crate::view::json;

const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Checks one after the other, all of them whatever one is like.
pub(crate) fn run(arguments: &VerifyArguments, interrupt: &Interrupt) -> Result<Exit, Failure> {
    let mut worst = Exit::Success;
    for path in &arguments.images {
        let mut progress = Progress::new(path, arguments.json);
        let checked = check(path, interrupt, &mut progress);
        progress.end();
        let verdict = match checked {
            Ok(verdict) => verdict,
            // Its fields lie: as damaged as a file whose sums do not match.
            Err(error @ ImageError::Wim { .. }) => {
                Verdict { exit: Exit::Incomplete, wim: None, text: error.to_string() }
            }
            Err(error) => return Err(error.into()),
        };
        verdict.print(path, arguments.json);
        if weight(verdict.exit) > weight(worst) {
            worst = verdict.exit;
        }
    }
    Ok(worst)
}

fn check(path: &Path, interrupt: &Interrupt, progress: &mut Progress) -> Result<Verdict, ImageError> {
    let delivery = Delivery::open(&[path.to_owned()])?;
    let wim = delivery.wim(0)?.map(|wim| wim.summary());
    let report = verify_integrity(&delivery, 0, |done, total| progress.show(done, total), interrupt.flag())?;
    let exit = match report {
        IntegrityReport::Good { .. } => Exit::Success,
        IntegrityReport::NotWim | IntegrityReport::Absent => Exit::Unchecked,
        _ => Exit::Incomplete,
    };
    Ok(Verdict { exit, wim, text: report.to_string() })
}

fn weight(exit: Exit) -> u8 {
    match exit {
        Exit::Success => 0,
        Exit::Unchecked => 1,
        _ => 2,
    }
}

/// What is to be said of one image.
struct Verdict {
    exit: Exit,
    wim: Option<WimSummary>,
    text: String,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Progress { image: &'a Path, bytes_done: u64, bytes_total: u64 },
    Verified { image: &'a Path, verdict: &'a str, text: &'a str, wim: Option<&'a WimSummary> },
}

impl Verdict {
    fn print(&self, image: &Path, as_json: bool) {
        let verdict = match self.exit {
            Exit::Success => "good",
            Exit::Unchecked => "unchecked",
            _ => "bad",
        };
        if as_json {
            json::print(&Line::Verified { image, verdict, text: &self.text, wim: self.wim.as_ref() });
            return;
        }
        println!("{}: {verdict}: {}", image.display(), self.text);
        if let Some(wim) = &self.wim {
            println!("  {wim}");
        }
    }
}

/// A bar on a terminal, events as JSON, nothing in a log.
enum Progress<'a> {
    Bar(ProgressBar),
    Json { image: &'a Path, told: Instant },
}

impl<'a> Progress<'a> {
    fn new(image: &'a Path, as_json: bool) -> Self {
        if as_json {
            return Self::Json { image, told: Instant::now() };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let template = "{prefix}  {wide_bar}  {percent:>3} %  {binary_bytes_per_sec}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("██░"));
        }
        bar.set_prefix(image.display().to_string());
        Self::Bar(bar)
    }

    fn show(&mut self, done: u64, total: u64) {
        match self {
            Self::Bar(bar) => {
                bar.set_length(total);
                bar.set_position(done);
            }
            Self::Json { image, told } if told.elapsed() >= PROGRESS_INTERVAL => {
                json::print(&Line::Progress { image, bytes_done: done, bytes_total: total });
                *told = Instant::now();
            }
            Self::Json { .. } => {}
        }
    }

    fn end(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
