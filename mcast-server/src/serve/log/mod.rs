//! Where the log goes: text, JSON, or the journal.

mod journal;

use std::io::{self, IsTerminal};
use std::os::linux::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

use tracing::{Subscriber, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use self::journal::Journal;
use crate::config::{Log, LogFormat};

/// What is logged, which a reload may change.
static LEVEL: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Begins to log; once a process.
pub(super) fn install(settings: &Log) {
    let (level, handle) = reload::Layer::new(settings.level.clone());
    let _ = LEVEL.set(handle);
    let form = form(settings.format, stderr_is_journal());
    let (layer, missing) = layer(form, Path::new(journal::SOCKET), io::stderr, is_coloured());
    tracing_subscriber::registry().with(layer.with_filter(level)).init();
    if let Some(error) = missing {
        warn!("the journal cannot be reached, this goes to the standard error: {error}");
    }
}

/// Takes over what is to be logged from now on.
pub(super) fn apply(settings: &Log) {
    if let Some(level) = LEVEL.get()
        && let Err(error) = level.reload(settings.level.clone())
    {
        warn!("log.level stays as it was: {error}");
    }
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Journal,
}

fn form(format: LogFormat, stderr_is_journal: bool) -> Form {
    match format {
        LogFormat::Journald => Form::Journal,
        LogFormat::Json => Form::Json,
        LogFormat::Auto if stderr_is_journal => Form::Journal,
        LogFormat::Auto | LogFormat::Text => Form::Text,
    }
}

/// Whether systemd has connected the standard error with the journal.
///
/// It says which file that is: whoever is started from a terminal or a script of a service inherits the variable, but
/// writes elsewhere.
fn stderr_is_journal() -> bool {
    let said = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let stderr = std::fs::metadata("/proc/self/fd/2");
    stderr.is_ok_and(|stderr| is_stream(&said, stderr.st_dev(), stderr.st_ino()))
}

/// Whether `said`, device and inode with a colon between, is this file.
fn is_stream(said: &str, device: u64, inode: u64) -> bool {
    said.split_once(':').is_some_and(|(d, i)| d.parse() == Ok(device) && i.parse() == Ok(inode))
}

/// Colours are for people, unless they do not want them (<https://no-color.org>).
fn is_coloured() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

type Boxed<S> = Box<dyn Layer<S> + Send + Sync>;

/// What writes in this form, and why it is text where a journal was wanted.
fn layer<S, W>(form: Form, journal: &Path, writer: W, coloured: bool) -> (Boxed<S>, Option<io::Error>)
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    match form {
        Form::Text => (text(writer, coloured), None),
        Form::Json => (json(writer), None),
        Form::Journal => match Journal::open(journal) {
            Ok(journal) => (Box::new(journal), None),
            Err(error) => (text(writer, coloured), Some(error)),
        },
    }
}

/// One object a line: `timestamp`, `level`, `target`, and `fields` with the `message` among them.
fn json<S, W>(writer: W) -> Boxed<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    Box::new(tracing_subscriber::fmt::layer().json().with_writer(writer))
}

fn text<S, W>(writer: W, coloured: bool) -> Boxed<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    Box::new(tracing_subscriber::fmt::layer().with_target(false).with_ansi(coloured).with_writer(writer))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing::{debug, info};

    use super::*;

    /// Collects what is written.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Page {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn each_line_of_json_is_an_object_whatever_a_client_calls_itself() {
        let page = Page::default();
        let (writer, host) = (page.clone(), "a\nb\"},{\u{1b}[31m");
        tracing::subscriber::with_default(Registry::default().with(json(move || writer.clone())), || {
            info!(host, blocks = 7, "client {host} joined");
            warn!("none");
        });
        let text = page.text();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["level"], &lines[0]["fields"]["blocks"]), (&"INFO".into(), &7.into()));
        assert_eq!(lines[0]["fields"]["host"], host);
        assert_eq!(lines[0]["fields"]["message"], format!("client {host} joined"));
        assert!(lines[1]["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    }

    #[test]
    fn text_has_colours_only_where_they_are_wanted() {
        for coloured in [false, true] {
            let page = Page::default();
            let writer = page.clone();
            let layer = text(move || writer.clone(), coloured);
            tracing::subscriber::with_default(Registry::default().with(layer), || info!(image = "a.wim", "ready"));
            assert_eq!(page.text().contains('\u{1b}'), coloured, "{:?}", page.text());
        }
    }

    #[test]
    fn where_there_is_no_journal_it_is_text() {
        let folder = tempfile::tempdir().unwrap();
        let (page, path) = (Page::default(), folder.path().join("journal"));
        let writer = page.clone();
        let (layer, missing) = layer(Form::Journal, &path, move || writer.clone(), false);
        assert_eq!(missing.unwrap().kind(), io::ErrorKind::NotFound);
        tracing::subscriber::with_default(Registry::default().with(layer), || info!(image = "a.wim", "ready"));
        assert!(page.text().trim_end().ends_with("INFO ready image=\"a.wim\""), "{:?}", page.text());
        let _listener = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let (_journal, missing) = super::layer::<Registry, _>(Form::Journal, &path, io::stderr, false);
        assert!(missing.is_none());
    }

    #[test]
    fn a_reload_changes_what_is_logged() {
        let page = Page::default();
        let writer = page.clone();
        let (level, handle) = reload::Layer::new("info".parse::<Targets>().unwrap());
        let layer = json(move || writer.clone()).with_filter(level);
        tracing::subscriber::with_default(Registry::default().with(layer), || {
            debug!("first");
            handle.reload("debug".parse::<Targets>().unwrap()).unwrap();
            debug!("second");
        });
        let text = page.text();
        assert!(!text.contains("first") && text.contains("second"), "{text}");
    }

    #[test]
    fn the_journal_is_taken_only_if_this_process_writes_to_it() {
        let forms = |is_journal| {
            [LogFormat::Auto, LogFormat::Text, LogFormat::Json, LogFormat::Journald]
                .map(|format| form(format, is_journal))
        };
        assert_eq!(forms(true), [Form::Journal, Form::Text, Form::Json, Form::Journal]);
        assert_eq!(forms(false), [Form::Text, Form::Text, Form::Json, Form::Journal]);
        assert!(is_stream("9:1234", 9, 1234));
        for said in ["", "9", "9:", "9:1235", "8:1234", "1234:9", "9:1234:", "9:1234 "] {
            assert!(!is_stream(said, 9, 1234), "{said:?}");
        }
    }
}
